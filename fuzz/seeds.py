#!/usr/bin/env python3
"""Writer of `fuzz/corpus`, where each fuzz target starts from: vectors, samples and presets."""
import base64
import gzip
import json
import pathlib
import re
import tomllib
import urllib.parse
import zlib
from collections.abc import Callable, Iterable

ROOT = pathlib.Path(__file__).resolve().parents[1]
CORPUS = ROOT / "fuzz/corpus"
VECTORS = ROOT / "shared/tests/vectors"
PRESETS = sorted((ROOT / "shared/src/source/presets").glob("*.toml"))
NOW = 1_760_000_000
MOST = 60
# What fuzzing found is named by its hash, and stays.
FOUND = re.compile("[0-9a-f]{40}")
Seeds = Iterable[tuple[str, bytes]]


def accepted(preset: pathlib.Path) -> list[dict]:
    """Returns the accepted cases of a preset's vector file, those of the targets' own time first."""
    file = VECTORS / "webhooks" / f"{preset.stem.replace('-', '_')}.json"
    cases = json.loads(file.read_text())["cases"] if file.exists() else []
    return sorted((case for case in cases if case["expect"] == "accept"), key=lambda case: case["now"] != NOW)


def various(key: Callable[[dict], object]) -> list[pathlib.Path]:
    """Returns the first preset of each way to verify, as far as `key` distinguishes them."""
    found = {}
    for preset in PRESETS:
        found.setdefault(json.dumps(key(tomllib.loads(preset.read_text())["verify"])), preset)
    return list(found.values())[:MOST]


def way(verify: dict) -> list[object]:
    """Returns the kind, the places, the spelling and the parts of what is signed."""
    signature = verify.get("signature", {})
    return [verify["kind"], signature.get("from", "").split(":")[0], signature.get("format"),
            signature.get("encoding"), "timestamp" in verify, "decrypt" in verify, "body_hash" in verify,
            sorted(set(re.findall(r"{(\w+)", json.dumps(verify.get("signed")))))]


def written(preset: str, case: dict, body: bytes) -> bytes:
    url = urllib.parse.urlsplit(case.get("url") or "https://example.com/hook")
    target = url.path + (url.query and "?" + url.query)
    head = [preset, f"{case['method']} {target}", *(f"{name}: {value}" for name, value in case.get("headers", []))]
    return "\n".join(head).encode() + b"\n\n" + body


def request() -> Seeds:
    for preset in various(way):
        for case in accepted(preset)[:1]:
            yield preset.stem, written(preset.stem, case, base64.b64decode(case["body_b64"]))
    for case in json.loads((VECTORS / "webhooks/handshakes.json").read_text())["cases"]:
        if "method" in case and not case.get("signed"):
            preset = case["provider"].replace("_", "-")
            case["headers"] = case.get("headers", {}).items()
            yield f"{preset}-handshake", written(preset, case, case.get("body", "").encode())


def signature() -> Seeds:
    # The ways are numbered in the target.
    texts = ["00ff", "AP8=", "_-8", "sha256=00FF", "bearer  _-8=", "v1,AP8= v2,x v1,AA==", "v1=00,v0=11,v1=ff",
             "HMAC v1AP8, v1_-8", "t=1,v1=00,v1=ff", "v1=AP8=, t=1, n=2", "t=1;s=AP8", "a=1,é=00&é=ff"]
    for way, text in enumerate(texts):
        yield str(way), bytes([way]) + text.encode()
    for name, text in {"eight": ",v1=00" * 8, "nine": ",v1=00" * 9, "twice": ",t=1,t=2,v1=00"}.items():
        yield name, bytes([8]) + text[1:].encode()


def encrypted() -> Seeds:
    salt = bytes(range(16))
    event = b'{"a":"b"}'
    framed = salt + len(event).to_bytes(4, "big") + event + b"corp-1"
    for number, preset in enumerate(["feishu", "dingtalk", "wecom", "wechat-mp-secure", "wechat-pay-v3"]):
        text, most = (event, 16) if preset == "feishu" else (framed, 32)
        missing = most - len(text) % most
        yield preset, bytes([number, 3, 1]) + salt + text + bytes([missing]) * missing
        for case in accepted(ROOT / f"{preset}.toml")[:1]:
            yield f"{preset}-body", bytes([number, 40, 0]) + salt + base64.b64decode(case["body_b64"])


def json_field() -> Seeds:
    paths = {"json:a.b.0.c"}
    for preset in PRESETS:
        places = [place for place in re.findall(r'json:[\w.-]+', preset.read_text()) if place not in paths]
        for case in accepted(preset)[:1]:
            for place in places[:1]:
                paths.add(place)
                yield preset.stem, place[5:].encode() + b"\n" + base64.b64decode(case["body_b64"])


def form() -> Seeds:
    for number, text in enumerate(["k\nk=v%20w&k2=1", "a\na=1&b=2&a=3", "e\ne=&f&=g&&", "+ \n%2B+=%zz%4"]):
        yield str(number), text.encode()
    for preset in PRESETS:
        for place in re.findall(r'form:([\w.-]+)', preset.read_text())[:1]:
            for case in accepted(preset)[:1]:
                yield preset.stem, place.encode() + b"\n" + base64.b64decode(case["body_b64"])


def xml() -> Seeds:
    for number, text in enumerate([
        "A\n<?xml version=\"1.0\"?>\n<xml a='1'><A><![CDATA[a<&b]]></A><B> x&amp;&lt;y </B ></xml>\n",
        "C.D\n<xml><C><D>1</D><E/><A>no</A></C><F>a<![CDATA[]]]]><![CDATA[>]]>b</F><G></G></xml> ",
        "p.a\n<x><p><a>1</a></p><p><a>2</a></p></x>",
        "a\n<x><a><b>1</b></a><a/></x>",
        "a\n<!DOCTYPE x [<!ENTITY e \"v\">]><x><a>&e;</a></x>",
    ]):
        yield str(number), text.encode()
    for preset in PRESETS:
        for place in re.findall(r'xml:([\w.-]+)', preset.read_text())[:1]:
            for case in accepted(preset)[:1]:
                yield preset.stem, place.encode() + b"\n" + base64.b64decode(case["body_b64"])


def certificate() -> Seeds:
    texts = {file.stem: file.read_text() for file in sorted((VECTORS / "keys").iterdir())}
    for preset in PRESETS:
        texts |= {preset.stem: secret for case in accepted(preset) for secret in case["secrets"]}
    for name, text in texts.items():
        if pem := re.search(r"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END", text, re.S):
            yield name, base64.b64decode(pem[1])


def hooks_file() -> Seeds:
    yield "hooks", (ROOT / "hooks.toml").read_bytes()
    yield "targets", b"""[targets.eu]
vendor = "tdmq"
region = "eu-frankfurt"
secret_id = "env:SECRET"
secret_key = "env:SECRET"
[targets.otc]
vendor = "rocketmq"
auth_url = "https://iam.eu-de.otc.t-systems.com/v3"
[hooks.h]
source = "github"
secrets = ["env:SECRET"]
targets = ["eu", "otc", "rocketmq"]
topic = { eu = "a/b/{event}", rocketmq = "t-1" }
"""
    for preset in various(way)[:MOST - 2]:
        verify = re.search(r"^\[verify\]\n.*?(?=^\[(?!verify)|\Z)", preset.read_text(), re.M | re.S)[0]
        head = '[hooks.h]\nsecrets = ["env:SECRET"]\ntopic = "t-{event}"\nkey = "{json:id}"\n'
        yield preset.stem, (head + verify.replace("[verify", "[hooks.h.verify")).encode()


def trigger_event() -> Seeds:
    for event in sorted((ROOT / "events").glob("*.json")):
        if event.name.startswith("github") or event.name.endswith("-challenge-http-api.json"):
            yield event.stem, event.read_bytes()
    # What strangers make of an event, and what clouds write in other types than they document.
    for case in sorted((ROOT / "shared/tests/cases/host").glob("*/*.json")):
        if re.search("latin1|surrogate|escape|control|array|number|odd|object|text|lattice", case.stem):
            yield f"{case.parent.name}-{case.stem}", case.read_bytes()


def vendor_answer() -> Seeds:
    statuses = [200, 201, 302, 400, 401, 404, 429, 500, 504]
    for answer in json.loads((VECTORS / "response_fixtures.json").read_text())["fixtures"]:
        status = answer.get("http_status")
        if status in statuses:
            body = answer.get("body") or ""
            yield answer["name"], bytes([statuses.index(status)]) + body.encode()


def remoting() -> Seeds:
    def frame(header: str, body: bytes = b"") -> bytes:
        size = len(header).to_bytes(4, "big")
        return (4 + len(header) + len(body)).to_bytes(4, "big") + size + header.encode() + body

    route = (b'{"brokerDatas":[{"brokerAddrs":{%s:"10.0.0.1:10911"},"brokerName":"a","cluster":"c,1:{2:"}],'
             b'"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":4,"writeQueueNums":4}]}')
    answer = '{"code":0,"extFields":{"msgId":"7F01","queueId":"0"},"flag":1,"opaque":1}'
    refused = '{"code":17,"flag":1,"opaque":2,"remark":"no topic"}'
    for number, stream in enumerate([
        frame(answer), frame(answer) + frame(refused), frame(answer, route % b"0"), frame(answer, route % b'"0"'),
        frame('{"code":40,"flag":0,"opaque":1}', b"{}"), frame(answer)[:20], b"\xff\xff\xff\xff\0\0\0\x02{}",
        b"\0\0\0\x08\x01\0\0\x04{}{}", b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ]):
        yield str(number), stream


def head() -> Seeds:
    long = b"x" * 33_000
    for number, text in enumerate([
        b"POST /h?a=1&b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /h HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /h HTTP/1.0\r\nX-A: 1\r\nx-a:\t2 \r\nX-Latin: caf\xe9\r\n\r\n",
        b"POST /h HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /h HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /h HTTP/1.1\r\nX-Folded: a\r\n b\r\n\r\n",
        b"GET /_/ready HTTP/1.1\r\nHost: a\r\n\r\nGET /_/metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST http://a/h HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /h HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(120)) + b"\r\n",
        b"POST /h HTTP/1.1\r\nX-Long: " + long + b"\r\n\r\n",
        b"POST /h HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ]):
        yield str(number), text


def mask() -> Seeds:
    for number, text in enumerate([
        "s3cret-token\nanother\n{\"a\":\"s3cret-token\",\"b\":\"s3cret-tokens3cret-token another\"}",
        "a b+c\né😀x\na=a+b%2Bc&b=a%20b%2bc&c=\\u00e9\\ud83d\\ude00x",
        "<&'>\n%41\n<a>&lt;&amp;&apos;&gt;</a>%2541%41",
        "aaaaaaab\naab\naaaaaaaaaaaaab%61%61\\u0061&amp;aab",
        "\\\"\n\\\n\\\\\\\"\\\\",
    ]):
        yield str(number), text.encode()


def inflate() -> Seeds:
    deflated = lambda text, level, shape: (packer := zlib.compressobj(level, zlib.DEFLATED, shape)).compress(text) + packer.flush()
    texts = [b"", b"{}", b'{"id":"evt_1","list":[1,2,3,4,5,6,7,8,9]}' * 3, b"a" * 900, bytes(range(256))]
    for number, text in enumerate(texts):
        for name, shape in {"gzip": 31, "zlib": 15, "raw": -15}.items():
            for level in (0, 9):
                yield f"{name}-{number}-{level}", b"\x00\x04" + deflated(text, level, shape)
    whole = deflated(b"{}", 9, 31)
    yield "gzip-twice", b"\x00\x04" + whole + whole
    yield "gzip-head", b"\x00\x04" + b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x03\0abcname\0comment\0cc" + whole[10:]


def decode() -> Seeds:
    form, kind = b"payload=%7B%22a%22%3A1%7D&x=1", b"application/x-www-form-urlencoded"
    for number, (way, coding, of, body) in enumerate([
        (1, b"gzip", b"application/json", gzip.compress(b"{}", mtime=0)), (1, b"deflate", b"", zlib.compress(b"{}")),
        (1, b"br", b"", b"{}"), (1, b"identity", b"", b"{}"), (0, b"gzip", b"", b"{}"), (2, b"", kind, form),
        (2, b"", b"application/json", b"{}"), (3, b"x-gzip", kind, gzip.compress(form, mtime=0)),
        (1, b"gzip", b"", gzip.compress(b"a" * 9000, mtime=0)),
    ]):
        yield str(number), bytes([way]) + coding + b"\n" + of + b"\n\n" + body
    yield "two", b"\x01gzip\n\ngzip\n\n{}"


def pattern() -> Seeds:
    for number, text in enumerate(["push\npush", "invoice.*\ninvoice.paid", "*\n", "a*b\nab", "Orders/*\norders/x"]):
        yield str(number), text.encode()


def mend() -> Seeds:
    for number, event in enumerate([
        b'{"a": "Beno\xeet", "b": [1, 2.5, true, null]}', rb'{"a": "Beno\xEEt\q\u12\ud83d\ude00\ud83d"}',
        b'{"a": "\x00\n\x7f"}', b'[-0, 1e5, 18446744073709551616]', b'{"a": {"b": "c"}, "a": 1}',
    ]):
        yield str(number), event


def main() -> None:
    for target in [request, signature, json_field, form, xml, certificate, encrypted, hooks_file, trigger_event,
                   vendor_answer, remoting, head, mask, inflate, decode, pattern, mend]:
        folder = CORPUS / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if not FOUND.fullmatch(file.name):
                file.unlink()
        seeds = {seed: name for name, seed in target()}
        for seed, name in list(seeds.items())[:MOST]:
            (folder / name).write_bytes(seed)
        print(f"{target.__name__}: {len(list(folder.iterdir()))}")


if __name__ == "__main__":
    main()
