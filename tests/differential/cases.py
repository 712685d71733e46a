"""Requests of tests/differential/libraries.py: of each provider, valid ones and their mutations."""
import base64
import dataclasses
import hashlib
import hmac
import json
import random
import string
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import SigningKey

from tests.support import ROOT

AT = 1_760_000_000
URL = "https://hooks.example.com/tdmq/hook"


@dataclasses.dataclass
class Case:
    """Request of a provider, and what it is verified with."""

    source: str
    what: str
    secrets: list
    headers: list
    body: bytes
    url: str
    # The signature that this body and time have by the right key.
    proof: str
    params: dict = dataclasses.field(default_factory=dict)

    def is_authentic(self, signature: str) -> bool:
        """Returns True if the proof is among the signatures that the header, or a signed body, gives."""
        given = self.header(signature) or self.body.decode(errors="replace")
        if self.source == "ebay":
            given = base64.b64decode(given).decode(errors="replace")
        return self.proof in given or self.proof in given.lower()  # hex may be in upper case

    def header(self, name: str) -> str | None:
        """Returns a header as frameworks give it: fields of one name as one, which RFC 9110 5.3 allows."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def line(self) -> str:
        """Returns the line for `hookmq verify --batch`."""
        body = base64.b64encode(self.body).decode()
        return json.dumps(
            {"source": self.source, "secrets": self.secrets, "params": self.params, "url": self.url, "at": AT,
             "headers": self.headers, "body": body}
        )

    def js(self, libraries: list) -> str:
        """Returns the line for `tests/differential/libraries.mjs`."""
        headers = {name.lower(): self.header(name) for name, _ in self.headers}
        body = base64.b64encode(self.body).decode()
        return json.dumps(
            {"libraries": libraries, "secrets": self.secrets, "at": AT, "headers": headers, "body": body,
             "url": self.url}
        )


def mac(key: bytes, text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, text, algorithm).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Provider:
    """Signer of requests by hand, so that what no official signer makes is signed as well."""

    source: str
    signature: str
    timestamp: str | None = None
    unsigned: dict = {}
    params: dict = {}
    # How many of the timestamp make a second.
    unit = 1
    signs_url = False

    def __init__(self, rng: random.Random):
        self.rng = rng

    def keys(self) -> tuple:
        """Returns the key that signs, and the secret that verifies."""
        secret = "".join(self.rng.choices(string.ascii_letters + string.digits, k=32))
        return secret, secret

    def body(self, body: bytes) -> bytes:
        return body

    def url(self, body: bytes) -> str:
        return URL

    def value(self, key, body: bytes, at: str) -> str:
        """Returns the text of the signature's header."""
        raise NotImplementedError

    def headers(self, key, body: bytes, at: str) -> list:
        fields = [(self.signature, self.value(key, body, at)), *self.unsigned.items()]
        return fields + ([(self.timestamp, at)] if self.timestamp else [])

    def proof(self, value: str) -> str:
        """Returns the signature in the text of its header."""
        return value.rpartition(",")[2]

    def time(self, value: str) -> str:
        """Returns the time in the signature's header, or an empty text where the time is elsewhere."""
        return ""

    def other_values(self, good: str, bad: str) -> dict:
        """Returns values that hold several signatures, by name."""
        return {}


class StandardWebhooks(Provider):
    source, signature, timestamp = "standard-webhooks", "webhook-signature", "webhook-timestamp"
    unsigned = {"webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"}

    def keys(self):
        secret = "whsec_" + b64(self.rng.randbytes(self.rng.choice([24, 32, 64])))
        return secret, secret

    def value(self, key, body, at):
        text = f"{self.unsigned['webhook-id']}.{at}.".encode() + body
        return "v1," + b64(mac(base64.b64decode(key.removeprefix("whsec_")), text))

    def other_values(self, good, bad):
        return {
            "bad then good": f"{bad} {good}",
            "good then bad": f"{good} {bad}",
            "an unknown version first": f"v1a,{b64(bytes(64))} {good}",
            "a signature that is none first": f"v1,no {good}",
            "a signature that is none after": f"{good} v1,no",
            "an item without a comma first": f"v2 {good}",
            "two blanks": f"{bad}  {good}",
            "eight": " ".join([bad] * 7 + [good]),
            "nine": " ".join([bad] * 8 + [good]),
            "as another version": "v1a" + good[2:],
            "of an upper-case version": "V1" + good[2:],
            "a third part": good + ",",
            "no version": good[3:],
        }


class Stripe(Provider):
    source, signature = "stripe", "Stripe-Signature"

    def value(self, key, body, at):
        return f"t={at},v1={mac(key.encode(), at.encode() + b'.' + body).hex()}"

    def time(self, value):
        return dict(item.partition("=")[::2] for item in value.split(",")).get("t", "")

    def other_values(self, good, bad):
        time, good, bad = good.split(",")[0], good.split(",")[1], bad.split(",")[1]
        return {
            "bad then good": f"{time},{bad},{good}",
            "good then bad": f"{time},{good},{bad}",
            "t last": f"{good},{time}",
            "t twice": f"{time},{time},{good}",
            "another t first": f"t=1,{time},{good}",
            "another t last": f"{time},{good},t=1",
            "no t": good,
            "v0 as well": f"{time},{good},v0={bytes(32).hex()}",
            "only as v0": f"{time},v0{good[2:]}",
            "a signature that is none": f"{time},{good},v1=no",
            "an item without an equals sign": f"{time},{good},v2",
            "a trailing comma": f"{time},{good},",
            "blanks": f"{time}, {good}",
            "eight": ",".join([time] + [bad] * 7 + [good]),
            "nine": ",".join([time] + [bad] * 8 + [good]),
            "a leading zero": f"t=0{time[2:]},{good}",
            "a fraction": f"{time}.5,{good}",
        }


class Slack(Provider):
    source, signature, timestamp = "slack", "X-Slack-Signature", "X-Slack-Request-Timestamp"

    def value(self, key, body, at):
        return "v0=" + mac(key.encode(), f"v0:{at}:".encode() + body).hex()

    def other_values(self, good, bad):
        return {"as another version": "v1" + good[2:], "no version": good[3:], "two": f"{good},{bad}"}


class GitHub(Provider):
    source, signature = "github", "X-Hub-Signature-256"
    unsigned = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}

    def value(self, key, body, at):
        return "sha256=" + mac(key.encode(), body).hex()

    def other_values(self, good, bad):
        return {"as SHA-1": "sha1" + good[6:], "no prefix": good[7:], "upper-case prefix": "SHA" + good[3:]}


class Shopify(Provider):
    source, signature = "shopify", "X-Shopify-Hmac-Sha256"
    unsigned = {
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Shop-Domain": "shop.myshopify.com",
        "X-Shopify-API-Version": "2026-10",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }

    def value(self, key, body, at):
        return b64(mac(key.encode(), body))


class Feishu(Provider):
    source, signature, timestamp = "feishu", "X-Lark-Signature", "X-Lark-Request-Timestamp"
    unsigned = {"X-Lark-Request-Nonce": "1747183747"}

    def value(self, key, body, at):
        head = f"{at}{self.unsigned['X-Lark-Request-Nonce']}{key}".encode()
        return hashlib.sha256(head + body).hexdigest()


class Discord(Provider):
    source, signature, timestamp = "discord", "X-Signature-Ed25519", "X-Signature-Timestamp"

    def keys(self):
        key = SigningKey(self.rng.randbytes(32))
        return key, key.verify_key.encode().hex()

    def value(self, key, body, at):
        return key.sign(at.encode() + body).signature.hex()


class SendGrid(Provider):
    source = "sendgrid"
    signature = "X-Twilio-Email-Event-Webhook-Signature"
    timestamp = "X-Twilio-Email-Event-Webhook-Timestamp"

    def keys(self):
        key = ec.derive_private_key(self.rng.randrange(1, 2**255), ec.SECP256R1())
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return key, b64(key.public_key().public_bytes(*form))

    def value(self, key, body, at):
        signature = key.sign(at.encode() + body, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return b64(signature)


class EBay(Provider):
    source, signature = "ebay", "X-EBAY-SIGNATURE"
    params = {"api": "api.ebay.com", "client_id": "id", "client_secret": "secret", "verification_token": "token"}

    def keys(self):
        return SendGrid.keys(self)

    def body(self, body):
        # Its library writes the message that it reads again, and wants these members.
        text = json.dumps(body.decode(errors="ignore")).encode()
        return b'{"metadata":{"topic":"T"},"notification":{"data":' + text + b"}}"

    def value(self, key, body, at):
        signature = key.sign(body, ec.ECDSA(hashes.SHA1(), deterministic_signing=True))
        header = {"alg": "ecdsa", "kid": "9936261a-7d7b-4621-a0f1-96ccb428af49", "signature": b64(signature), "digest": "SHA1"}
        return b64(json.dumps(header).encode())

    def proof(self, value):
        return json.loads(base64.b64decode(value))["signature"]


class TwilioForm(Provider):
    source, signature, signs_url = "twilio-form", "X-Twilio-Signature", True

    def body(self, body):
        text = body.decode(errors="replace")
        fields = [("Body", text), ("From", "+14158675309"), ("To", text[:4]), ("Empty", "")]
        fields += [("Media", value) for value in self.rng.choices("abc", k=self.rng.randrange(4))]
        self.rng.shuffle(fields)
        return urllib.parse.urlencode(fields).encode() if body else b""

    def value(self, key, body, at):
        pairs = set(urllib.parse.parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        text = URL + "".join(name + value for name, value in sorted(pairs))
        return b64(mac(key.encode(), text.encode(), "sha1"))


class TwilioJson(Provider):
    source, signature, signs_url = "twilio-json", "X-Twilio-Signature", True

    def url(self, body):
        return f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"

    def value(self, key, body, at):
        return b64(mac(key.encode(), self.url(body).encode(), "sha1"))


class HubSpotV1(Provider):
    source, signature = "hubspot-v1", "X-HubSpot-Signature"
    unsigned = {"X-HubSpot-Signature-Version": "v1"}

    def value(self, key, body, at):
        return hashlib.sha256(key.encode() + body).hexdigest()


class HubSpotV2(HubSpotV1):
    source, signs_url = "hubspot-v2", True
    unsigned = {"X-HubSpot-Signature-Version": "v2"}

    def value(self, key, body, at):
        return hashlib.sha256(f"{key}POST{URL}".encode() + body).hexdigest()


class HubSpotV3(Provider):
    source, signature, timestamp = "hubspot-v3", "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"
    unit, signs_url = 1000, True

    def value(self, key, body, at):
        return b64(mac(key.encode(), f"POST{URL}".encode() + body + at.encode()))


class Square(Provider):
    source, signature, signs_url = "square", "x-square-hmacsha256-signature", True

    def value(self, key, body, at):
        return b64(mac(key.encode(), URL.encode() + body))


class Line(Provider):
    source, signature = "line", "x-line-signature"

    def value(self, key, body, at):
        return b64(mac(key.encode(), body))


class Razorpay(Provider):
    source, signature = "razorpay", "X-Razorpay-Signature"

    def value(self, key, body, at):
        return mac(key.encode(), body).hex()


class GetStream(Provider):
    source, signature = "getstream", "X-Signature"

    def value(self, key, body, at):
        return mac(key.encode(), body).hex()


class LiveKit(Provider):
    source, signature = "livekit", "Authorization"
    params = {"api_key": "APIhookmq"}

    def value(self, key, body, at):
        url64 = lambda text: base64.urlsafe_b64encode(text).rstrip(b"=")
        claims = {"iss": "APIhookmq", "exp": AT + 300, "nbf": AT - 5, "sha256": b64(hashlib.sha256(body).digest())}
        text = b".".join(url64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (text + b"." + url64(mac(key.encode(), text))).decode()


class Contentful(Provider):
    """Signer of the names that a header field lists, their values, the path and the body."""

    source, signature, timestamp = "contentful", "x-contentful-signature", "x-contentful-timestamp"
    signs_url, unit = True, 1000
    listed = "x-contentful-signed-headers,x-contentful-timestamp"
    unsigned = {"X-Contentful-Signed-Headers": listed, "X-Contentful-Topic": "ContentManagement.Entry.publish"}

    def keys(self):
        # The library wants 64 characters.
        secret = "".join(self.rng.choices(string.ascii_letters + string.digits, k=64))
        return secret, secret

    def value(self, key, body, at):
        fields = f"x-contentful-signed-headers:{self.listed};x-contentful-timestamp:{at}"
        head = "\n".join(["POST", urllib.parse.urlsplit(URL).path, fields, ""])
        return mac(key.encode(), head.encode() + body).hex()


def is_known(provider: type) -> bool:
    """Returns True if there is a preset of this provider."""
    return (ROOT / "shared" / "src" / "source" / "presets" / f"{provider.source}.toml").exists()


PROVIDERS = [
    StandardWebhooks, Stripe, Slack, GitHub, Shopify, Feishu, Discord, SendGrid, TwilioForm, TwilioJson,
    HubSpotV1, HubSpotV2, HubSpotV3, Square, Line, Razorpay, GetStream, LiveKit,
    # Beginning with the day on which their presets are there.
    *filter(is_known, [Contentful, EBay]),
]


def bodies(rng: random.Random):
    """Yields every kind of body, and some at random."""
    yield b""
    yield b"{}"
    yield b"null"
    yield b'{"type":"a","id":"evt_1","event":{"type":"b"},"event_id":"Ev1"}\r\n'
    yield b'{"type":"a","type":"b","id":"1","id":"2"}'
    yield b'{"type": "url_verification", "challenge": "3eZbrw1aB", "token": "t"}'
    yield '{"text":"größe 大小 🙂","url":"a\\/b"}'.encode()
    yield '\ufeff{"type":"a"}'.encode()
    yield b"a=1&b=%2B&b=&c"
    yield b"\xff\xfe\x00binary\x80"
    yield json.dumps({"id": rng.random(), "data": [rng.randrange(99)] * rng.randrange(400)}).encode()
    yield rng.randbytes(rng.randrange(1, 300))
    yield "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0xD800)])) for _ in range(60)).encode()
    yield bytes(rng.choices(b"abc \t\r\n\0{}\"", k=rng.randrange(1, 60)))


def bodies_mutated(rng: random.Random, body: bytes):
    place = rng.randrange(len(body) + 1)
    yield "a bit flipped", body[: place - 1] + bytes([body[place - 1] ^ 1 << rng.randrange(8)]) + body[place:] if body and place else body + b"x"
    yield "a byte dropped", body[:-1] if body else b"\0"
    yield "a byte more", body[:place] + rng.randbytes(1) + body[place:]
    yield "a newline more", body + b"\n"
    yield "a byte order mark more", b"\xef\xbb\xbf" + body
    yield "empty", b"" if body else b" "
    yield "doubled", body + body if body else b"{}"
    yield "in base64", base64.b64encode(body) if body else b"="


def texts_mutated(rng: random.Random, text: str):
    """Yields mutations of a header's value."""
    place = rng.randrange(len(text))
    other = rng.choice([c for c in string.ascii_letters + string.digits if c.lower() != text[place].lower()])
    yield "a character replaced", text[:place] + other + text[place + 1 :]
    yield "a character dropped", text[:place] + text[place + 1 :]
    yield "truncated", text[: len(text) // 2]
    yield "its last character dropped", text[:-1]
    yield "a character more", text + other
    yield "empty", ""
    yield "upper case", text.upper()
    yield "a blank before", " " + text
    yield "a blank after", text + " "
    yield "a blank inside", text[:-6] + " " + text[-6:]
    yield "a newline after", text + "\n"
    yield "a no-break space after", text + "\xa0"
    yield "not ASCII", text + "ä"
    yield "doubled with a comma", f"{text},{text}"


def signatures_mutated(rng: random.Random, text: str):
    """Yields other spellings of the same bytes. A prefix stays."""
    head = next((h for h in ("v1,", "v0=", "sha256=") if text.startswith(h)), "")
    head = text[: text.index("v1=") + 3] if ",v1=" in text else head
    tail = text[len(head) :]
    yield "upper-case value", head + tail.upper()
    yield "mixed-case value", head + "".join(rng.choice([c.upper(), c.lower()]) for c in tail)
    yield "padding dropped", head + tail.rstrip("=")
    yield "padding more", head + tail + "="
    yield "URL-safe alphabet", head + tail.replace("+", "-").replace("/", "_")
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    if tail.endswith("=") and not tail.endswith("=="):
        stray = alphabet[alphabet.index(tail[-2]) | 1 + rng.randrange(3)]
        yield "stray bits", head + tail[:-2] + stray + "="
    yield "a stray character", head + tail[:4] + "!" + tail[4:]
    yield "white space inside the value", head + tail[:8] + " \t" + tail[8:]
    yield "text after the value", head + tail + "AAAA"
    yield "only the prefix", head


# Signed as they stand.
TIMES = {
    **{f"{offset:+} s": str(AT + offset) for offset in
       (-86400, -3601, -3600, -3599, -301, -300, -299, -1, 1, 299, 300, 301, 3600, 86400)},
    "a plus sign": f"+{AT}", "a blank before": f" {AT}", "a blank after": f"{AT} ", "a leading zero": f"0{AT}",
    "a fraction": f"{AT}.9", "letters after": f"{AT}abc", "an exponent": "1.76e9", "underscores": "1_760_000_000",
    "full-width digits": str(AT).translate(str.maketrans("0123456789", "０１２３４５６７８９")),
    "in milliseconds": f"{AT}000", "negative": f"-{AT}", "hexadecimal": hex(AT), "NaN": "nan", "empty": "",
    "RFC 3339": "2025-10-09T08:53:20Z", "beyond 64 bits": "9" * 30,
}


def cases(kind: type, rng: random.Random):
    """Yields all requests of one provider for one pass over the bodies."""
    p = kind(rng)
    for body in map(p.body, bodies(rng)):
        (key, secret), (other_key, other_secret) = p.keys(), p.keys()
        now = str(AT * p.unit)
        url, headers = p.url(body), p.headers(key, body, now)

        def case(what, headers=headers, body=body, secrets=(secret,), url=url):
            fields = {name.lower(): value for name, value in headers}
            at = fields.get((p.timestamp or "").lower()) or p.time(fields.get(p.signature.lower(), ""))
            proof = p.proof(p.value(key, body, at))
            return Case(p.source, what, list(secrets), list(headers), body, url, proof, p.params)

        def replaced(name, value):
            return [(n, value if n == name else v) for n, v in headers]

        yield case("valid")
        yield case("names in upper case", [(n.upper(), v) for n, v in headers])
        yield case("names in lower case", [(n.lower(), v) for n, v in headers])
        yield case("another secret", secrets=[other_secret])
        yield case("signed by another", p.headers(other_key, body, now))
        yield case("rotation: the old", secrets=[other_secret, secret])
        yield case("rotation: the new", secrets=[secret, other_secret])
        for what, changed in bodies_mutated(rng, body):
            yield case(f"body: {what}", body=changed)
        for name, value in headers:
            field = "signature" if name == p.signature else "timestamp" if name == p.timestamp else name
            yield case(f"{field}: dropped", [h for h in headers if h[0] != name])
            yield case(f"{field}: twice", [*headers, (name, value)])
            yield case(f"{field}: another before", [(name, value[::-1]), *headers])
            yield case(f"{field}: an empty one before", [(name, ""), *headers])
            for what, changed in texts_mutated(rng, value):
                yield case(f"{field}: {what}", replaced(name, changed))
        good, bad = headers[0][1], p.value(other_key, body, now)
        for what, changed in [*signatures_mutated(rng, good), *p.other_values(good, bad).items()]:
            yield case(f"signature: {what}", replaced(p.signature, changed))
        if p.timestamp or p.source == "stripe":
            for what, at in TIMES.items():
                if p.unit > 1 and not what.endswith(" s"):
                    continue
                at = f"{int(at) * p.unit}" if p.unit > 1 else at
                yield case(f"signed time: {what}", p.headers(key, body, at))
        if p.signs_url:
            for what, changed in [
                ("another path", url + "/x"), ("another host", url.replace("example.com", "example.org")),
                ("a port", url.replace(".com/", ".com:443/")), ("http", url.replace("https:", "http:")),
                ("an upper-case host", url.replace("hooks.example", "Hooks.Example")),
                ("a query", url + ("&a=b" if "?" in url else "?a=b")),
                ("no query", URL),
            ]:
                if changed != url:
                    yield case(f"url: {what}", url=changed)
