"""Messages as docs/messages.md shows them: the page's own examples, and bodies of the vectors in both formats."""
import base64
import dataclasses
import json
import re

import jsonschema

from tests.support import ROOT

STRUCTURED = "application/cloudevents+json"
TIME = "2025-10-09T08:53:20.123Z"
# The attributes of an envelope in their order, up to the body.
ORDER = [
    "specversion", "id", "source", "type", "time", "datacontenttype", "subject", "webhooksource", "webhookverified",
    "traceparent", "partitionkey", "dataref", "webhookheaders",
]
SCHEMA = json.loads((ROOT / "docs" / "message.schema.json").read_text())
# Bodies that a reader which parses and writes them again would change, or that are not JSON at all.
ODD = [
    ("application/json", b'{ "amount" : 1.00,\n"big":12345678901234567890, "twice":1,"twice":2, "e":"\\u00e9\\/"}'),
    ("application/json; charset=utf-8", "{\"name\":\"caf\u00e9 \u4f60\u597d\",\"emoji\":\"\U0001f600\"}".encode()),
    ("application/vnd.api+json", b'[1, 2, {"data":{"data":[]}}]'),
    ("application/json", b'",\\"data\\":{}"'),
    ("application/json", b"not JSON"),
    ("text/plain", b'line one\nline two, "data":1}'),
    ("text/plain;charset=iso-8859-1", b"caf\xe9"),
    ("application/x-www-form-urlencoded", b"a=1&b=%7B%22data%22%3A1%7D"),
    ("application/octet-stream", bytes(range(256))),
    (None, b"without a type"),
]


@dataclasses.dataclass
class Sample:
    """A message, and what a consumer must read of it."""
    attributes: dict
    data: bytes
    text: bytes
    properties: dict

    @property
    def line(self) -> str:
        """Returns what a kit prints, with the data as digits."""
        subject = self.attributes.get("subject", "-")
        return f"{self.attributes['type']} {self.attributes['id']} {subject} {self.data.hex()}"

    def to_pulsar(self) -> dict:
        """Returns the properties as hookmq's native route names them."""
        return {"content-type" if name == "CE_contenttype" else "ce_" + name[3:]: value
                for name, value in self.properties.items() if name.startswith("CE_")
                and not (name == "CE_datacontenttype" and "CE_specversion" in self.properties)}


def is_json(kind: str | None) -> bool:
    return bool(re.fullmatch(r"[^/;]+/([^;]*\+)?json", (kind or "").split(";")[0].strip().lower()))


def member(kind: str | None, body: bytes) -> str:
    """Returns the member of an envelope that holds a body: JSON verbatim, other text as a string, the rest in Base64."""
    plain = not re.search(r"charset=(?!utf-8)", kind or "")
    try:
        text = body.decode()
        if plain and is_json(kind):
            json.loads(text)
            return f'"data":{text}'
        if plain and kind and kind.startswith(("text/", "application/x-www-form-urlencoded")):
            return f'"data":{json.dumps(text, ensure_ascii=False)}'
    except ValueError:
        pass
    return f'"data_base64":"{base64.b64encode(body).decode()}"'


def packed(value: dict) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def properties(attributes: dict, structured: bool, kind: str | None) -> dict:
    """Returns the properties on RocketMQ of a message with these attributes."""
    named = {name: value for name, value in attributes.items() if name not in ("specversion", "webhookheaders")}
    if structured:
        mode = {"CE_contenttype": STRUCTURED}
    else:
        mode = {**({"CE_contenttype": kind} if kind else {}), "CE_specversion": "1.0"}
        named.pop("dataref", None)
    return {"KEYS": attributes["id"], **mode, **{f"CE_{name}": value for name, value in named.items()}}


def sample(number: str, source: str, kind: str | None, body: bytes, raw: bool = False, **more: str) -> Sample:
    """Returns the message of a body, with an id of its own."""
    attributes = {
        "specversion": "1.0", "id": f"{number}", "source": f"/hooks/{source}", "type": f"com.{source}.event",
        "time": TIME, "datacontenttype": kind or "application/octet-stream", "webhooksource": source,
        "webhookverified": "body", "webhookheaders": packed([["content-type", kind]] if kind else []), **more,
    }
    attributes = {name: attributes[name] for name in ORDER if name in attributes}
    text = body
    if not raw:
        text = packed(attributes).encode()
        if "dataref" not in more:
            text = text[:-1] + f",{member(kind, body)}}}".encode()
        jsonschema.validate(json.loads(text), SCHEMA)
    return Sample(attributes, body, text, properties(attributes, not raw, kind))


def examples() -> list[Sample]:
    """Returns the messages that docs/messages.md prints, in both formats."""
    page = (ROOT / "docs" / "messages.md").read_text()
    block = dict(re.findall(r"^```json (\S+)\n(.*?)\n```$", page, re.M | re.S))
    whole = json.loads(block["envelope"])
    body = block["raw"].encode()
    found = [Sample(whole, body, block["envelope"].encode(), json.loads(block["properties"]))]
    # The page shows the same delivery twice. Here it has another id the second time, or it would be a repeat.
    again = block["raw-properties"].replace(whole["id"], "raw-" + whole["id"])
    found.append(Sample({**whole, "id": "raw-" + whole["id"]}, body, body, json.loads(again)))
    return found


def vectors() -> list[tuple[str, str | None, bytes]]:
    """Returns source, content type and body of the first accepted delivery of each provider."""
    found = []
    for path in sorted((ROOT / "shared" / "tests" / "vectors" / "webhooks").glob("*.json")):
        read = json.loads(path.read_text())
        for case in read.get("cases", []):
            if case.get("expect") == "accept" and case.get("body_b64"):
                kind = {name.lower(): value for name, value in case.get("headers", [])}.get("content-type")
                body = base64.b64decode(case["body_b64"])
                kind = kind or ("application/json" if body[:1] in b"{[" else None)
                found.append((path.stem.replace("_", "-"), kind, body))
                break
    assert len(found) > 100, len(found)
    return found


def samples() -> list[Sample]:
    """Returns every message of a run, each with an id of its own."""
    found = examples()
    bodies = [("github", kind, body) for kind, body in ODD] + vectors()
    for number, (source, kind, body) in enumerate(bodies):
        subject = {"subject": f"order/{number}"} if number % 2 else {}
        found.append(sample(f"structured-{number}", source, kind, body, **subject))
        # The format `raw` carries text alone.
        if body and is_text(body):
            found.append(sample(f"raw-{number}", source, kind, body, raw=True, **subject))
    return found


def is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
