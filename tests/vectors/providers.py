"""Schemes by which the providers of `generate.py` sign, in hookmq's words and as code, and a body each."""
import base64
import datetime
import hashlib
import hmac
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support import ROOT

NOW = 1_760_000_000
URL = "https://example.com/hook"
SECRET, OTHER = "a-secret-of-the-sender-for-tests", "another-secret-that-nobody-uses"

WRITE = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
}
STAMP = {
    "s": str,
    "ms": lambda at: str(at * 1000),
    # Ten minutes from when it was signed.
    "expires": lambda at: str(at + 600),
    "rfc3339": lambda at: datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    # Either of two forms: the one that the provider's own text shows.
    "utc": lambda at: STAMP["rfc3339"](at).replace("Z", ".000000"),
    "s or ms": str,
}
# The other form of these.
OTHER_STAMP = {"utc": "rfc3339", "s or ms": "ms"}


@dataclass
class Request:
    """Values that a signature is made of."""
    secret: str
    body: bytes
    stamp: str
    id: str = "msg_1"


@dataclass
class Scheme:
    """Scheme of a provider, in hookmq's words and as code."""
    config: dict
    # The header that carries the signature or the token; none if it is in the body.
    header: str | None
    # The other header fields of a request, and the value of `header` for signatures.
    fields: Callable
    value: Callable | None
    # The signature of a request; none for tokens.
    sign: Callable | None
    # (unit, past, future) of a timestamp that is signed.
    window: tuple | None = None
    # The header of the timestamp; without one it is in the body or beside the signature.
    stamp_header: str | None = None
    # The one that signs, and another.
    secrets: tuple = (SECRET, OTHER)
    # What a hook has in `secrets` for a key that signs.
    public: Callable = lambda secret: secret
    # Whether several signatures may stand beside each other.
    lists: bool = False
    # Whether the signature may stand in several header fields, any of which counts.
    several: bool = False
    # Whether the prefix of the signature may be missing.
    or_bare: bool = False
    # Whether a comma may stand behind a signature of a list.
    commas: bool = False
    # Whether the address is signed.
    needs_url: bool = False
    # Header fields with one right value each.
    pinned: tuple = ()
    # The header of an id that is signed.
    id_header: str | None = None
    # The query parameter that carries the token.
    query: str | None = None
    # The list in the body of which each item carries the token.
    items: str | None = None


@dataclass
class Provider:
    scheme: Scheme
    body: str
    # Examples that the provider publishes: (why, secret, headers, body, now).
    published: list = field(default_factory=list)
    # Parameters that the preset requires.
    params: dict = field(default_factory=dict)


def mac(hash_name: str, key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hash_name).digest()


def base64_key(secret: str, prefix: str) -> bytes:
    return base64.b64decode(secret.removeprefix(prefix))


def of_body(header, encoding="hex", hash_name="sha256", prefix="", **more) -> Scheme:
    """Returns a scheme that signs the body alone."""
    return keyed(header, encoding, ["{body}"], lambda r: mac(hash_name, r.secret.encode(), r.body),
                 hash_name=hash_name, prefix=prefix, **more)


def keyed(header, encoding, signed, sign, *, kind="hmac", hash_name="sha256", prefix="", window=None,
          stamp_header=None, fields=(), require=(), names=None, **more) -> Scheme:
    """Returns a scheme with one signature in a header of its own."""
    config = {"kind": kind, "hash": hash_name} if hash_name else {"kind": kind}
    config |= {"signature": {"from": f"header:{header}", "prefix": prefix, "encoding": encoding}}
    config["signed"] = signed
    if not prefix:
        del config["signature"]["prefix"]
    if more.get("several"):
        config["signature"]["several"] = True
    if more.get("or_bare"):
        config["signature"]["or_bare"] = True
    if window:
        unit, past, future = window
        place = f"header:{stamp_header}" if stamp_header else more.pop("stamp_field")
        config["timestamp"] = {"from": place, "unit": unit, "past": past, "future": future}
    if require:
        config["require"] = [{"from": f"header:{name}", "in": [value]} for name, value in require]

    def others(r):
        stamp = [(stamp_header, r.stamp)] if stamp_header else []
        return stamp + list(require) + list(fields)

    return Scheme(config | (names or {}), header, others, lambda sigs, r: prefix + WRITE[encoding](sigs[0]), sign,
                  window, stamp_header, pinned=tuple(require), **more)


def pairs(header, stamp_key, signature_key, *, sep=",", joint=".", encoding="hex", unit="s", past=300,
          future=300, stamp_last=False, stamp_after_body=False, sets=None, names=None) -> Scheme:
    """Returns a scheme with a timestamp beside the signature, both in one header: `t=…,v1=…`.

    With `sets`, each signature has a timestamp of its own, and that stands between two such sets.
    """
    stamp = f"{{sigkv:{stamp_key}}}"
    signed = ["{body}", stamp] if stamp_after_body else [stamp, joint, "{body}"]
    config = {
        "kind": "hmac", "hash": "sha256",
        "signature": {"from": f"header:{header}", "format": "kv", "sep": sep, "take": signature_key,
                      "single": [stamp_key], "encoding": encoding} | ({"sets": sets} if sets else {}),
        "signed": signed,
        "timestamp": {"from": f"sigkv:{stamp_key}", "unit": unit, "past": past, "future": future},
    }

    def sign(r):
        parts = (r.body, r.stamp.encode()) if stamp_after_body else (f"{r.stamp}{joint}".encode(), r.body)
        return mac("sha256", r.secret.encode(), *parts)

    def value(signatures, r):
        if sets:
            return sets.join(f"{stamp_key}={r.stamp}{sep}{signature_key}={WRITE[encoding](sig)}" for sig in signatures)
        items = [f"{signature_key}={WRITE[encoding](signature)}" for signature in signatures]
        items.insert(len(items) if stamp_last else 0, f"{stamp_key}={r.stamp}")
        return sep.join(items)

    return Scheme(config | (names or {}), header, lambda r: [], value, sign, (unit, past, future), lists=True)


def listed(header, take, sep, signed, stamp_header, unit, names=None, past=300) -> Scheme:
    """Returns a scheme with a list of signatures, in hexadecimal, over `signed` with a `{}` for the timestamp.

    The body follows.
    """
    before, after = signed.split("{}")
    config = {
        "kind": "hmac", "hash": "sha256",
        "signature": {"from": f"header:{header}", "format": "list", "sep": sep, "take": take, "encoding": "hex"},
        "signed": [before, f"{{header:{stamp_header}}}", after, "{body}"],
        "timestamp": {"from": f"header:{stamp_header}", "unit": unit, "past": past, "future": 300},
    }
    return Scheme(config | (names or {}), header, lambda r: [(stamp_header, r.stamp)],
                  lambda sigs, r: sep.join(take + sig.hex() for sig in sigs),
                  lambda r: mac("sha256", r.secret.encode(), signed.format(r.stamp).encode(), r.body),
                  (unit, past, 300), stamp_header, lists=True)


def standard(family="webhook", *, prefix="whsec_", text_key=False, past=300, names=None, commas=False) -> Scheme:
    """Returns the scheme of Standard Webhooks, under its own or Svix's header names."""
    header, stamp_header, id_header = (f"{family}-{name}" for name in ("signature", "timestamp", "id"))
    config = {"kind": "hmac", "hash": "sha256"}
    if not text_key:
        config["key"] = {"encoding": "base64", "strip_prefix": prefix}
    config |= {
        "signature": {"from": f"header:{header}", "format": "list", "sep": " ", "take": "v1,",
                      "encoding": "base64"} | ({"commas": True} if commas else {}),
        "signed": [f"{{header:{id_header}}}", ".", f"{{header:{stamp_header}}}", ".", "{body}"],
        "timestamp": {"from": f"header:{stamp_header}", "unit": "s", "past": past, "future": 300},
        "id": f"header:{id_header}",
    }

    def sign(r):
        key = r.secret.encode() if text_key else base64_key(r.secret, prefix)
        return mac("sha256", key, f"{r.id}.{r.stamp}.".encode(), r.body)

    secrets = [prefix + WRITE["base64"](hashlib.sha256(text.encode()).digest()) for text in (SECRET, OTHER)]
    return Scheme(config | (names or {}), header, lambda r: [(id_header, r.id), (stamp_header, r.stamp)],
                  lambda sigs, r: " ".join("v1," + WRITE["base64"](sig) for sig in sigs), sign,
                  ("s", past, 300), stamp_header, (SECRET, OTHER) if text_key else tuple(secrets), lists=True,
                  id_header=id_header, commas=commas)


def token(header, prefix="", names=None, fields=()) -> Scheme:
    """Returns a scheme with the secret itself in a header."""
    config = {"kind": "token", "from": f"header:{header}"} | ({"prefix": prefix} if prefix else {})
    return Scheme(config | (names or {}), header, lambda r: list(fields), lambda sigs, r: prefix + r.secret, None)


def basic(names=None) -> Scheme:
    """Returns the scheme of Basic authentication, whose secret is `user:password`."""
    scheme = token("Authorization", "Basic ", names)
    scheme.value = lambda sigs, r: "Basic " + WRITE["base64"](r.secret.encode())
    scheme.secrets = tuple(f"user:{secret}" for secret in (SECRET, OTHER))
    return scheme


def token_in_items(items, member) -> Scheme:
    """Returns a scheme with the secret itself in each item of a list in the body."""
    config = {"kind": "token", "from": f"item:{member}", "items": f"json:{items}"}
    return Scheme(config, None, lambda r: [], None, None, items=items)


def token_in_body(path, names=None) -> Scheme:
    return Scheme({"kind": "token", "from": f"json:{path}"} | (names or {}), None, lambda r: [], None, None)


def token_in_query(name, names=None) -> Scheme:
    config = {"kind": "token", "from": f"query:{name}"} | (names or {})
    return Scheme(config, None, lambda r: [], None, None, query=name)


def nothing() -> Scheme:
    return Scheme({"kind": "none"}, None, lambda r: [], None, None)


def tencent_vod() -> Scheme:
    """Returns a scheme with an expiry and the digest of key and expiry in the body, which is not signed."""
    config = {"kind": "digest", "hash": "md5", "signature": {"from": "json:Sign", "encoding": "hex"},
              "signed": ["{secret}", "{json:T}"],
              "timestamp": {"from": "json:T", "unit": "expires", "max_ahead": 3600}, "event": "json:EventType"}
    return Scheme(config, None, lambda r: [], None, lambda r: hashlib.md5((r.secret + r.stamp).encode()).digest(),
                  ("expires", 600, 3000))


def ed25519_key(seed: bytes) -> tuple:
    """Returns the scalar, the prefix and the public key (RFC 8032, 5.1.5)."""
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return scalar, digest[32:], ed25519_point(scalar)


def ed25519_point(scalar: int) -> bytes:
    """Multiplies the base point by the scalar (RFC 8032, 5.1)."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def add(a, b):
        product = d * a[0] * b[0] * a[1] * b[1] % p
        return ((a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, p) % p,
                (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, p) % p)

    y = 4 * pow(5, -1, p) % p
    square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    x = pow(square, (p + 3) // 8, p)
    x = x if (x * x - square) % p == 0 else x * pow(2, (p - 1) // 4, p) % p
    base, point = (x if x % 2 == 0 else p - x, y), (0, 1)
    for bit in range(255, -1, -1):
        point = add(point, point)
        if scalar >> bit & 1:
            point = add(point, base)
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Signs the message (RFC 8032, 5.1.6)."""
    order = 2**252 + 27742317777372353535851937790883648493
    scalar, prefix, public = ed25519_key(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % order
    point = ed25519_point(nonce)
    challenge = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little") % order
    return point + ((nonce + challenge * scalar) % order).to_bytes(32, "little")


def telnyx() -> Scheme:
    seeds = [hashlib.sha256(text.encode()).hexdigest() for text in (SECRET, OTHER)]
    scheme = keyed("Telnyx-Signature-Ed25519", "base64", ["{header:Telnyx-Timestamp}", "|", "{body}"],
                   lambda r: ed25519_sign(bytes.fromhex(r.secret), f"{r.stamp}|".encode() + r.body),
                   kind="ed25519", hash_name=None, window=("s", 300, 300), stamp_header="Telnyx-Timestamp",
                   names={"id": "json:data.id", "event": "json:data.event_type"})
    scheme.config = {"kind": "ed25519", "key": {"encoding": "base64"}} | scheme.config
    scheme.secrets = tuple(seeds)
    scheme.public = lambda seed: WRITE["base64"](ed25519_key(bytes.fromhex(seed))[2])
    return scheme


def box(which) -> Scheme:
    return keyed(f"BOX-SIGNATURE-{which}", "base64", ["{body}", "{header:BOX-DELIVERY-TIMESTAMP}"],
                 lambda r: mac("sha256", r.secret.encode(), r.body, r.stamp.encode()),
                 window=("rfc3339", 600, 300), stamp_header="BOX-DELIVERY-TIMESTAMP",
                 require=[("BOX-SIGNATURE-VERSION", "1"), ("BOX-SIGNATURE-ALGORITHM", "HmacSHA256")],
                 names={"id": "json:id", "event": "json:trigger"}, several=which == "PRIMARY")


def with_url(header, names, url_first) -> Scheme:
    parts = ["{url}", "{body}"] if url_first else ["{body}", "{url}"]

    def sign(r):
        order = (URL.encode(), r.body) if url_first else (r.body, URL.encode())
        return mac("sha1", r.secret.encode(), *order)

    return keyed(header, "base64", parts, sign, hash_name="sha1", names=names, needs_url=True)


def header_stamp(header, encoding, stamp_header, joint, unit, past, *, before="", after="", prefix="",
                 names=None) -> Scheme:
    """Returns a scheme that signs a timestamp, in a header of its own, before the body."""
    signed = [before, f"{{header:{stamp_header}}}", joint, "{body}", after]
    return keyed(header, encoding, [part for part in signed if part],
                 lambda r: mac("sha256", r.secret.encode(), (before + r.stamp + joint).encode(), r.body,
                               after.encode()), prefix=prefix,
                 window=(unit, past, 300), stamp_header=stamp_header, names=names)


def twitch() -> Scheme:
    names = ("Twitch-Eventsub-Message-Id", "Twitch-Eventsub-Message-Timestamp")
    scheme = keyed("Twitch-Eventsub-Message-Signature", "hex", [*(f"{{header:{n}}}" for n in names), "{body}"],
                   lambda r: mac("sha256", r.secret.encode(), (r.id + r.stamp).encode(), r.body),
                   prefix="sha256=", window=("rfc3339", 600, 300), stamp_header=names[1],
                   names={"id": f"header:{names[0]}", "event": "header:Twitch-Eventsub-Subscription-Type"})
    stamp = scheme.fields
    scheme.fields = lambda r: [(names[0], r.id), *stamp(r)]
    scheme.id_header = names[0]
    return scheme


def cloudinary(hash_name) -> Scheme:
    return keyed("X-Cld-Signature", "hex", ["{body}", "{header:X-Cld-Timestamp}", "{secret}"],
                 lambda r: hashlib.new(hash_name, r.body + (r.stamp + r.secret).encode()).digest(), kind="digest",
                 hash_name=hash_name, window=("s", 7200, 300), stamp_header="X-Cld-Timestamp",
                 names={"event": "json:notification_type"})


def coinbase_cdp() -> Scheme:
    """Returns a scheme that signs a timestamp, a list of header fields, their values and the body."""
    signed = (("content-type", "application/json"), ("x-hook0-id", "8d1b7f"))
    names, values = (" ".join(pair[0] for pair in signed), ".".join(pair[1] for pair in signed))
    config = {
        "kind": "hmac", "hash": "sha256",
        "signature": {"from": "header:X-Hook0-Signature", "format": "kv", "sep": ",", "take": "v1",
                      "single": ["t", "h"], "encoding": "hex"},
        "signed": ["{sigkv:t}", ".", "{sigkv:h}", ".", "{named_values:sigkv:h}", ".", "{body}"],
        "timestamp": {"from": "sigkv:t", "unit": "s", "past": 300, "future": 300},
    } | named(["json:eventId", "json:id"], ["json:eventType", "json:type"])

    def value(signatures, r):
        return f"t={r.stamp},v0=00,h={names}," + ",".join(f"v1={signature.hex()}" for signature in signatures)

    return Scheme(config, "X-Hook0-Signature", lambda r: [list(pair) for pair in signed], value,
                  lambda r: mac("sha256", r.secret.encode(), f"{r.stamp}.{names}.{values}.".encode(), r.body),
                  ("s", 300, 300), lists=True, pinned=signed)


def contentful() -> Scheme:
    """Returns a scheme that signs method, path, header fields that another one lists, and the body."""
    listing, stamp_header = "x-contentful-signed-headers", "x-contentful-timestamp"
    more = ("x-contentful-topic", "ContentManagement.Entry.publish")
    names = ",".join(sorted((listing, stamp_header, more[0])))
    part = f"{{named_headers:header:{listing},{listing},{stamp_header}}}"

    def sign(r):
        fields = sorted(((listing, names), (stamp_header, r.stamp), more))
        text = f"POST\n/hook\n{';'.join(':'.join(pair) for pair in fields)}\n"
        return mac("sha256", r.secret.encode(), text.encode(), r.body)

    scheme = keyed("x-contentful-signature", "hex", ["{method}", "\n", "{path_query}", "\n", part, "\n", "{body}"],
                   sign, window=("ms", 90_000, 300), stamp_header=stamp_header, fields=[(listing, names), more],
                   names=named(event="header:X-Contentful-Topic", subject="json:sys.id"))
    scheme.pinned = ((listing, names), more)
    return scheme


def qq_bot() -> Scheme:
    """Returns a scheme whose private key is the secret, repeated."""
    def sign(r):
        return ed25519_sign((r.secret.encode() * 32)[:32], r.stamp.encode() + r.body)

    scheme = keyed("X-Signature-Ed25519", "hex", ["{header:X-Signature-Timestamp}", "{body}"], sign,
                   kind="ed25519", hash_name=None, window=("s", 3600, 300), stamp_header="X-Signature-Timestamp",
                   names=named("json:id", "json:t"))
    scheme.config = {"kind": "ed25519", "key": {"encoding": "utf8", "derive": "seed"}} | scheme.config
    return scheme


def airtable() -> Scheme:
    scheme = keyed("X-Airtable-Content-MAC", "hex", ["{body}"],
                   lambda r: mac("sha256", base64.b64decode(r.secret), r.body), prefix="hmac-sha256=",
                   names=named(subject="json:base.id"))
    scheme.config = {"key": {"encoding": "base64"}} | scheme.config
    scheme.secrets = tuple(WRITE["base64"](hashlib.sha256(text.encode()).digest()) for text in (SECRET, OTHER))
    return scheme


def feishu_card() -> Scheme:
    names = ("X-Lark-Request-Timestamp", "X-Lark-Request-Nonce")
    scheme = keyed("X-Lark-Signature", "hex", [*(f"{{header:{name}}}" for name in names), "{secret}", "{body}"],
                   lambda r: hashlib.sha1((r.stamp + r.id + r.secret).encode() + r.body).digest(), kind="digest",
                   hash_name="sha1", window=("s", 300, 300), stamp_header=names[0],
                   names=named(event="json:action.tag", subject="json:open_message_id"))
    stamp = scheme.fields
    scheme.fields = lambda r: [(names[1], r.id), *stamp(r)]
    scheme.pinned = ((names[1], Request.id),)
    return scheme


def klaviyo() -> Scheme:
    """Returns a scheme that signs a header field of time, which nothing tells how to read."""
    stamp = ("Klaviyo-Timestamp", "1760000000")
    scheme = keyed("Klaviyo-Signature", "hex", ["{body}", "{header:Klaviyo-Timestamp}"],
                   lambda r: mac("sha256", r.secret.encode(), r.body, stamp[1].encode()), fields=[stamp],
                   names=named(event="json:data.0.topic", subject="json:meta.klaviyo_account_id"))
    scheme.pinned = (stamp,)
    return scheme


def named(id=None, event=None, subject=None) -> dict:
    return {key: value for key, value in (("id", id), ("event", event), ("subject", subject)) if value}


def sample(preset) -> str:
    """Returns the body that the preset has as its sample."""
    text = (ROOT / f"shared/src/source/presets/{preset}.toml").read_text()
    return tomllib.loads(text)["sample"]["body"]


PUSH = '{"ref":"refs/heads/main","repository":{"full_name":"octocat/hello-world"}}'
FORM = ("Content-Type", "application/x-www-form-urlencoded")
DATA = '{"id":"evt_1","type":"user.created","data":{"id":"1"}}'

PROVIDERS = {
    "acuity": Provider(
        of_body("X-Acuity-Signature", "base64", fields=[FORM], names=named(event="form:action", subject="form:id")),
        sample("acuity")),
    "aftership": Provider(
        of_body("aftership-hmac-sha256", "base64", names=named("json:event_id", "json:event")), sample("aftership")),
    "airtable": Provider(airtable(), sample("airtable")),
    "alertmanager": Provider(
        token("Authorization", "Bearer ", named(event="json:status")),
        '{"version":"4","groupKey":"{}:{alertname=\\"Down\\"}","status":"firing","receiver":"hookmq","alerts":[]}'),
    "appwrite": Provider(
        with_url("X-Appwrite-Webhook-Signature", named(event="header:X-Appwrite-Webhook-Events"), True),
        '{"$id":"user_1","email":"jon@example.com"}'),
    "asana": Provider(
        of_body("X-Hook-Signature"),
        '{"events":[{"action":"added","resource":{"gid":"1","resource_type":"task"},"parent":null}]}'),
    "attio": Provider(
        of_body("Attio-Signature", names=named("header:Idempotency-Key", "json:events.0.event_type")),
        sample("attio")),
    "auth0": Provider(token("Authorization", names=named("json:log_id", "json:data.type")), sample("auth0")),
    "authorize_net": Provider(
        of_body("X-ANET-Signature", hash_name="sha512", prefix="sha512=",
                names=named("json:notificationId", "json:eventType")),
        sample("authorize-net")),
    "bigcommerce": Provider(
        standard(text_key=True, past=49 * 3600, names=named(event="json:scope", subject="json:producer")),
        sample("bigcommerce")),
    "box": Provider(box("PRIMARY"), '{"type":"webhook_event","id":"e1","trigger":"FILE.UPLOADED","source":{"id":"1"}}'),
    "box_secondary": Provider(
        box("SECONDARY"), '{"type":"webhook_event","id":"e1","trigger":"FILE.UPLOADED","source":{"id":"1"}}'),
    "brex": Provider(standard("Webhook", names=named(event="json:event_type")), sample("brex")),
    "buildkite": Provider(
        pairs("X-Buildkite-Signature", "timestamp", "signature", names=named(event="header:X-Buildkite-Event")),
        '{"event":"build.finished","build":{"id":"1","state":"passed"}}'),
    "buildkite_token": Provider(
        token("X-Buildkite-Token", names=named(event="header:X-Buildkite-Event")),
        '{"event":"build.finished","build":{"id":"1","state":"passed"}}'),
    "cal_com": Provider(
        of_body("X-Cal-Signature-256", names=named(event="json:triggerEvent")),
        '{"triggerEvent":"BOOKING_CREATED","createdAt":"2026-01-01T00:00:00Z","payload":{"title":"Call"}}'),
    "calendly": Provider(
        pairs("Calendly-Webhook-Signature", "t", "v1", past=90_000, names=named(event="json:event")),
        '{"event":"invitee.created","created_at":"2026-01-01T00:00:00Z","payload":{"email":"jon@example.com"}}'),
    "cashfree": Provider(
        header_stamp("x-webhook-signature", "base64", "x-webhook-timestamp", "", "ms", 3600,
                     names=named(event="json:type")), sample("cashfree")),
    "chargebee": Provider(basic(named("json:id", "json:event_type")), sample("chargebee")),
    "chatwoot": Provider(
        header_stamp("X-Chatwoot-Signature", "hex", "X-Chatwoot-Timestamp", ".", "s", 300, prefix="sha256=",
                     names=named("header:X-Chatwoot-Delivery", "json:event")), sample("chatwoot")),
    "checkly": Provider(of_body("x-checkly-signature"), '{"event":"ALERT_FAILURE: homepage","alert_type":"FAILURE"}'),
    "checkout_com": Provider(of_body("Cko-Signature", names=named("json:id", "json:type")), sample("checkout-com")),
    "circleci": Provider(
        Scheme({"kind": "hmac", "hash": "sha256",
                "signature": {"from": "header:circleci-signature", "format": "list", "sep": ",", "take": "v1=",
                              "encoding": "hex"},
                "signed": ["{body}"], "id": "json:id", "event": "header:circleci-event-type"},
               "circleci-signature", lambda r: [], lambda sigs, r: ",".join("v1=" + sig.hex() for sig in sigs),
               lambda r: mac("sha256", r.secret.encode(), r.body), lists=True),
        '{"id":"w1","type":"workflow-completed","workflow":{"name":"build","status":"success"}}',
        [("circleci.com/docs: Validate outbound webhooks", secret, [["circleci-signature", "v1=" + value]], body, NOW)
         for body, secret, value in (
             ("hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
             ("lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
             ("an-important-request-payload", "hunter123",
              "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa"),
             ("foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"))]),
    "clerk": Provider(standard("svix", names=named(event="json:type")), DATA),
    "clickup": Provider(
        of_body("X-Signature", names=named(event="json:event")),
        '{"webhook_id":"7689a169","event":"taskCreated","task_id":"c0j"}'),
    "cloudflare": Provider(
        token("cf-webhook-auth", names=named(event="json:alert_type", subject="json:policy_id")),
        sample("cloudflare")),
    "cloudinary": Provider(
        cloudinary("sha1"), '{"notification_type":"upload","public_id":"sample","version":1}'),
    "cloudinary_sha256": Provider(cloudinary("sha256"), sample("cloudinary-sha256")),
    "codeup": Provider(token("X-Codeup-Token", names=named(event="header:Codeup-Event")),
                       '{"object_kind":"push","ref":"refs/heads/main","repository":{"name":"demo"}}'),
    "cloudevents": Provider(
        token("Authorization", "Bearer ", {"id": ["header:ce-id", "json:id"], "event": ["header:ce-type", "json:type"]}),
        '{"specversion":"1.0","id":"1","source":"/example","type":"com.example.created","data":{}}'),
    "cloudevents_query": Provider(
        token_in_query("access_token", {"id": ["header:ce-id", "json:id"], "event": ["header:ce-type", "json:type"],
                                        "subject": ["header:ce-subject", "json:subject"]}),
        sample("cloudevents-query")),
    "coding": Provider(
        of_body("X-Coding-Signature", hash_name="sha1", prefix="sha1=",
                names=named("header:X-Coding-Delivery", "header:X-Coding-Event")), PUSH),
    "coinbase_commerce": Provider(
        of_body("X-CC-Webhook-Signature", names=named("json:event.id", "json:event.type")),
        '{"id":1,"attempt_number":1,"event":{"id":"24934862","type":"charge:confirmed","data":{"code":"66BEOV2A"}}}'),
    "coinbase_cdp": Provider(coinbase_cdp(), sample("coinbase-cdp")),
    "contentful": Provider(contentful(), sample("contentful")),
    "crisp": Provider(
        header_stamp("X-Crisp-Signature", "hex", "X-Crisp-Request-Timestamp", ";", "s or ms", 300, before="[",
                     after="]", names=named(event="json:event")), sample("crisp")),
    "customer_io": Provider(
        header_stamp("X-CIO-Signature", "hex", "X-CIO-Timestamp", ":", "s", 169 * 3600, before="v0:",
                     names=named("json:event_id", "json:metric", "json:object_type")), sample("customer-io")),
    "datadog": Provider(token("Authorization", "Bearer "), '{"id":"1","title":"[Triggered] load","event_type":"metric_alert"}'),
    "discourse": Provider(
        of_body("X-Discourse-Event-Signature", prefix="sha256=",
                names=named("header:X-Discourse-Event-Id", "header:X-Discourse-Event")),
        '{"post":{"id":1,"username":"jon","raw":"hello"}}'),
    "docker_hub": Provider(
        token_in_query("token", {"subject": "json:repository.repo_name"}),
        '{"callback_url":"https://registry.hub.docker.com/u/octocat/hello-world/hook/1/",'
        '"push_data":{"pushed_at":1760000000,"pusher":"octocat","tag":"latest"},'
        '"repository":{"status":"Active","repo_name":"octocat/hello-world","name":"hello-world"}}'),
    "docusign": Provider(
        keyed("X-DocuSign-Signature-1", "base64", ["{body}"],
              lambda r: mac("sha256", r.secret.encode(), r.body), require=[("X-Authorization-Digest", "HMACSHA256")],
              names=named(event="json:event"), several=True),
        '{"event":"envelope-completed","apiVersion":"v2.1","data":{"envelopeId":"1"}}'),
    "dropbox": Provider(of_body("X-Dropbox-Signature"), '{"list_folder":{"accounts":["dbid:1"]},"delta":{"users":[1]}}'),
    "dub": Provider(of_body("Dub-Signature", names=named("json:id", "json:event")),
                    '{"id":"evt_1","event":"link.created","data":{"id":"link_1"}}'),
    "dwolla": Provider(
        of_body("X-Request-Signature-SHA-256", names=named("json:id", "json:topic", "json:resourceId")),
        sample("dwolla")),
    "easypost": Provider(
        of_body("X-Hmac-Signature", prefix="hmac-sha256-hex=", names=named("json:id", "json:description")),
        '{"id":"evt_1","object":"Event","description":"tracker.updated","result":{"id":"trk_1"}}'),
    "elevenlabs": Provider(
        pairs("ElevenLabs-Signature", "t", "v0", past=2700, names=named(event="json:type")),
        '{"type":"post_call_transcription","event_timestamp":1760000000,"data":{"agent_id":"a1"}}'),
    "exa": Provider(pairs("Exa-Signature", "t", "v1", names=named("json:id", "json:type")), sample("exa")),
    "expo": Provider(
        of_body("expo-signature", hash_name="sha1", prefix="sha1=",
                names=named("json:id", "json:status", "json:appId")),
        sample("expo")),
    "fastspring": Provider(
        of_body("X-FS-Signature", "base64", names=named(event="json:events.0.type")), sample("fastspring")),
    "feishu_card": Provider(feishu_card(), sample("feishu-card")),
    "feishu_token": Provider(
        token_in_body("header.token", named("json:header.event_id", "json:header.event_type")),
        '{"schema":"2.0","header":{"event_id":"1","event_type":"im.message.receive_v1","token":"$SECRET"},"event":{}}'),
    "figma": Provider(token_in_body("passcode", named(event="json:event_type")),
                      '{"event_type":"FILE_UPDATE","passcode":"$SECRET","webhook_id":"1","file_key":"k"}'),
    "flagsmith": Provider(of_body("X-Flagsmith-Signature", names=named(event="json:event_type")),
                          '{"data":{"enabled":true},"event_type":"FLAG_UPDATED"}'),
    "front": Provider(
        header_stamp("X-Front-Signature", "base64", "X-Front-Request-Timestamp", ":", "ms", 300,
                     names=named(event="json:type")), sample("front")),
    "getstream": Provider(of_body("X-Signature", names=named("header:X-Webhook-Id", "json:type")),
                          '{"type":"message.new","cid":"messaging:fun","message":{"id":"1","text":"hello"}}'),
    "ghost": Provider(
        pairs("X-Ghost-Signature", "t", "sha256", sep=", ", unit="ms", stamp_last=True, stamp_after_body=True,
              names=named(event="json:event")),
        '{"event":"post.published","post":{"current":{"id":"1","title":"Hello"}}}'),
    "gocardless": Provider(
        of_body("Webhook-Signature"),
        '{"events":[{"id":"EV1","resource_type":"payments","action":"confirmed"}],"meta":{"webhook_id":"WB1"}}'),
    "gogs": Provider(
        of_body("X-Gogs-Signature", names=named("header:X-Gogs-Delivery", "header:X-Gogs-Event")), PUSH),
    "google_drive": Provider(
        token("X-Goog-Channel-Token",
              names=named("{header:X-Goog-Channel-ID}.{header:X-Goog-Message-Number}",
                          "header:X-Goog-Resource-State", "header:X-Goog-Resource-ID"),
              fields=[("X-Goog-Channel-ID", "channel-1"), ("X-Goog-Message-Number", "10"),
                      ("X-Goog-Resource-State", "update"), ("X-Goog-Resource-ID", "ret08u3rv24htgh289g")]),
        sample("google-drive")),
    "grafana": Provider(of_body("X-Grafana-Alerting-Signature", names=named(event="json:status")),
                        '{"receiver":"hookmq","status":"firing","orgId":1,"alerts":[]}'),
    "grafana_timestamp": Provider(
        header_stamp("X-Grafana-Alerting-Signature", "hex", "X-Grafana-Alerting-Timestamp", ":", "s", 300,
                     names=named(event="json:status")),
        '{"receiver":"hookmq","status":"firing","orgId":1,"alerts":[]}'),
    "harbor": Provider(token("Authorization", names=named(event="json:type")),
                       '{"type":"PUSH_ARTIFACT","occur_at":1586922308,"operator":"admin","event_data":{}}'),
    "help_scout": Provider(
        of_body("X-HelpScout-Signature", "base64", "sha1", names=named(event="header:X-HelpScout-Event")),
        '{"id":1,"type":"email","subject":"hello"}'),
    "heroku": Provider(
        of_body("Heroku-Webhook-Hmac-SHA256", "base64", names=named(event="json:resource", subject="json:action")),
        sample("heroku")),
    "huawei_codearts": Provider(
        token("X-Repo-Token", names={"event": "json:object_kind", "subject": "json:ref"}),
        '{"object_kind":"push","event_name":"push","ref":"refs/heads/main","repository":{"name":"demo"}}'),
    "huawei_eventgrid": Provider(
        token_in_query("token", {"id": "json:id", "event": "json:type", "subject": "json:subject"}),
        '{"id":"1","specversion":"1.0","source":"HC.OBS","type":"object:put","subject":"a.jpg","data":{}}'),
    "huggingface": Provider(token("X-Webhook-Secret", names=named("header:Webhook-Id", "json:event.scope")),
                            '{"event":{"action":"update","scope":"repo.content"},"repo":{"type":"model","name":"gpt2"}}'),
    "instagram": Provider(
        of_body("X-Hub-Signature-256", prefix="sha256=",
                names=named(event=["json:entry.0.changes.0.field", "json:object"], subject="json:entry.0.id")),
        sample("instagram")),
    "jira": Provider(
        of_body("X-Hub-Signature", prefix="sha256=",
                names=named("header:X-Atlassian-Webhook-Identifier", "json:webhookEvent")),
        '{"timestamp":1760000000000,"webhookEvent":"jira:issue_created","issue":{"key":"A-1"}}'),
    "klaviyo": Provider(klaviyo(), sample("klaviyo")),
    "launchdarkly": Provider(of_body("X-LD-Signature", names=named("json:_id", "json:kind")), sample("launchdarkly")),
    "lemon_squeezy": Provider(of_body("X-Signature", names=named(event="json:meta.event_name")),
                              '{"meta":{"event_name":"order_created"},"data":{"type":"orders","id":"1"}}'),
    "line": Provider(of_body("x-line-signature", "base64"),
                     '{"destination":"U1","events":[{"type":"message","message":{"type":"text","text":"hello"}}]}'),
    "lithic": Provider(standard(names=named(event="json:event_type")),
                       '{"event_type":"card.created","card_token":"1"}'),
    "liveblocks": Provider(standard(names=named(event="json:type")),
                           '{"type":"storageUpdated","data":{"roomId":"r1","appId":"a1"}}'),
    "logto": Provider(of_body("logto-signature-sha-256", names=named(event="json:event")), sample("logto")),
    "mailchimp": Provider(
        token_in_query("secret", named(event="form:type")),
        "type=subscribe&fired_at=2026-01-01+00%3A00%3A00&data%5Bid%5D=8a25ff1d98&data%5Bemail%5D=jon%40example.com"),
    "mailchimp_signed": Provider(
        pairs("X-Mailchimp-Signature", "t", "v1", past=4800, names=named(event="form:type")),
        sample("mailchimp-signed")),
    "mattermost": Provider(token_in_body("token", named("json:post_id", "json:trigger_word")),
                           '{"token":"$SECRET","team_id":"t1","channel_name":"town-square","post_id":"p1",'
                           '"text":"#build main","trigger_word":"#build"}'),
    "modern_treasury": Provider(of_body("X-Signature", names=named(event="json:event")),
                                '{"event":"completed","data":{"id":"1","object":"payment_order"}}'),
    "mollie": Provider(
        of_body("X-Mollie-Signature", prefix="sha256=", names=named("json:id", "json:type"), several=True,
                or_bare=True),
        '{"resource":"event","id":"event_1","type":"payment-link.paid","entityId":"pl_1"}'),
    "ms_sharepoint": Provider(
        token_in_items("value", "clientState"),
        sample("ms-sharepoint").replace('"clientState":""', '"clientState":"$SECRET"')),
    "mux": Provider(pairs("Mux-Signature", "t", "v1", past=90_000, names=named("json:id", "json:type")),
                    '{"type":"video.asset.ready","id":"1","data":{"id":"a1"},"attempts":[]}'),
    "new_relic": Provider(token("Authorization", "Bearer "), '{"id":"1","issueUrl":"https://example.com","state":"ACTIVATED"}'),
    "none": Provider(nothing(), '{"a":1}'),
    "nylas": Provider(of_body("X-Nylas-Signature", names=named("json:id", "json:type")), sample("nylas")),
    "okta": Provider(
        token("Authorization", names=named("json:eventId", "json:eventType")),
        '{"eventType":"com.okta.event_hook","eventId":"b5a188b9","data":{"events":[{"eventType":"user.session.start"}]}}'),
    "openai": Provider(standard(names=named(event="json:type")),
                       '{"id":"evt_1","object":"event","type":"response.completed","data":{"id":"resp_1"}}'),
    "opsgenie": Provider(token("Authorization", "Bearer ", named(event="json:action")),
                         '{"action":"Create","alert":{"alertId":"1","message":"down"}}'),
    "orb": Provider(
        listed("X-Orb-Signature", "v1=", " ", "v1:{}:", "X-Orb-Timestamp", "utc", named("json:id", "json:type")),
        sample("orb")),
    "paddle": Provider(
        pairs("Paddle-Signature", "ts", "h1", sep=";", joint=":", past=262_800,
              names=named("json:event_id", "json:event_type")),
        '{"event_id":"evt_1","event_type":"transaction.completed","data":{"id":"txn_1"}}'),
    "paystack": Provider(
        of_body("x-paystack-signature", hash_name="sha512",
                names=named(event="json:event", subject="json:data.reference")),
        sample("paystack")),
    "persona": Provider(
        pairs("Persona-Signature", "t", "v1", sets=" ", names=named("json:data.id", "json:data.attributes.name")),
        sample("persona")),
    "phabricator": Provider(
        of_body("X-Phabricator-Webhook-Signature", names=named(event="json:object.type")),
        '{"object":{"type":"TASK","phid":"PHID-TASK-1"},"triggers":[],"action":{"test":false,"epoch":1760000000}}'),
    "pipedrive": Provider(
        basic(named("json:meta.id", "{json:meta.action}.{json:meta.entity}", "json:meta.entity")),
        sample("pipedrive")),
    "polar": Provider(standard(text_key=True, names=named(event="json:type")),
                      '{"type":"order.paid","timestamp":"2026-01-01T00:00:00Z","data":{"id":"1"}}'),
    "postmark": Provider(basic(named(event="json:RecordType", subject="json:MessageID")), sample("postmark")),
    "pulumi": Provider(
        of_body("Pulumi-Webhook-Signature",
                names=named("header:Pulumi-Webhook-ID", "header:Pulumi-Webhook-Kind")),
        '{"organization":{"name":"acme"},"projectName":"website","stackName":"prod","result":"succeeded"}'),
    "pusher": Provider(
        keyed("X-Pusher-Signature", "hex", ["{body}"], lambda r: mac("sha256", r.secret.encode(), r.body),
              window=("ms", 600, 300), stamp_field="json:time_ms", names=named(event="json:events.0.name")),
        '{"time_ms":$STAMP,"events":[{"name":"channel_occupied","channel":"c1"}]}'),
    "pylon": Provider(of_body("X-Pylon-Signature"), sample("pylon")),
    "qq_bot": Provider(
        qq_bot(), sample("qq-bot"),
        [("tencent-connect/botgo, TestVerify of interaction/signature", "123456abcdef",
          [["X-Signature-Ed25519", "e949b5b94ef4103df903fb031d1d16e358db3db83e79e117edd404c8508be3ce"
                                   "8a76d7bad1bed353194c126a1a5915b4ad8b5288c1191cc53a12acffccd82004"],
           ["X-Signature-Timestamp", "1728981195"]],
          '{"id":"ROBOT1.0_veoihSEXDc8Q.g-6eLpNIa11bH8MisOjn-m-LKxCPntMk6exUXgcWCGpVO7L2QKTNZzjZzFFDSbiOFcqAPWyVA!!",'
          '"content":"哦一下","timestamp":"2024-10-15T16:33:15+08:00",'
          '"author":{"id":"675860273","user_openid":"675860273"}}', 1_728_981_195)]),
    "quickbooks": Provider(of_body("intuit-signature", "base64"), sample("quickbooks")),
    "razorpay": Provider(
        of_body("X-Razorpay-Signature", names=named("header:X-Razorpay-Event-Id", "json:event")),
        '{"entity":"event","account_id":"acc_1","event":"payment.captured","payload":{}}',
        [("razorpay-node, test of validateWebhookSignature", "123456",
          [["X-Razorpay-Signature", "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"]],
          '{"a":1,"b":2,"c":{"d":3}}', NOW)]),
    "recharge": Provider(
        keyed("X-Recharge-Hmac-Sha256", "hex", ["{secret}", "{body}"],
              lambda r: hashlib.sha256(r.secret.encode() + r.body).digest(), kind="digest",
              names=named(event="header:X-Recharge-Topic")), sample("recharge")),
    "replicate": Provider(standard(names=named(event="json:status")),
                          '{"id":"p1","status":"succeeded","output":["hello"]}'),
    "resend": Provider(standard("svix", names=named(event="json:type")),
                       '{"type":"email.sent","created_at":"2026-01-01T00:00:00Z","data":{"email_id":"1"}}'),
    "retell": Provider(
        pairs("X-Retell-Signature", "v", "d", unit="ms", stamp_after_body=True,
              names=named(event="json:event", subject="json:call.call_id")),
        sample("retell")),
    "revolut": Provider(
        listed("Revolut-Signature", "v1=", ",", "v1.{}.", "Revolut-Request-Timestamp", "ms",
               named(event="json:event", subject=["json:data.id", "json:order_id"]), past=2100),
        sample("revolut")),
    "ringcentral": Provider(
        token("Verification-Token", names=named("json:uuid", "json:event", "json:subscriptionId")),
        sample("ringcentral")),
    "sanity": Provider(
        pairs("sanity-webhook-signature", "t", "v1", encoding="base64url", unit="ms"),
        '{"_id":"resume","_type":"document"}',
        [("sanity-io/webhook-toolkit, test of its middleware", "test",
          [["sanity-webhook-signature", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"]],
          '{"_id":"resume"}', 1_633_519_811)]),
    "shipbob": Provider(standard(past=100_800, names=named(event="header:x-webhook-topic")), sample("shipbob")),
    "shopware": Provider(
        keyed("shopware-shop-signature", "hex", ["{body}"], lambda r: mac("sha256", r.secret.encode(), r.body),
              window=("s", 300, 300), stamp_field="json:timestamp",
              names=named("json:source.eventId", "json:data.event")),
        '{"data":{"payload":[],"event":"product.written"},"source":{"shopId":"s1","eventId":"e1"},"timestamp":$STAMP}'),
    "smartcar": Provider(
        of_body("SC-Signature", names=named("json:eventId", ["json:eventType", "json:eventName"])),
        sample("smartcar")),
    "statsig": Provider(
        header_stamp("X-Statsig-Signature", "hex", "X-Statsig-Request-Timestamp", ":", "ms", 300, before="v0:",
                     prefix="v0="), sample("statsig")),
    "strava": Provider(
        token_in_query("token", {"event": "{json:object_type}.{json:aspect_type}", "subject": "json:object_id"}),
        sample("strava")),
    "supabase": Provider(standard(prefix="v1,whsec_", commas=True), '{"user":{"id":"1","phone":"12345"},"sms":{"otp":"1"}}'),
    "tally": Provider(
        of_body("Tally-Signature", "base64", names=named("json:eventId", "json:eventType")), sample("tally")),
    "telnyx": Provider(telnyx(), '{"data":{"record_type":"event","id":"e1","event_type":"message.received","payload":{}}}'),
    "tencent_eventbridge": Provider(
        token_in_query("token", {"id": "json:id", "event": "json:type", "subject": "json:subject"}),
        '{"specversion":"1.0","id":"1","type":"cos:created:object","source":"cos.cloud.tencent","subject":"b","data":{}}'),
    "tencent_vod": Provider(
        tencent_vod(),
        '{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":"1"},"Sign":"$SIGN","T":$STAMP}'),
    "terraform": Provider(
        of_body("X-TFE-Notification-Signature", hash_name="sha512", names=named(event="json:notifications.0.trigger")),
        '{"payload_version":1,"run_id":"run-1","notifications":[{"message":"Errored","trigger":"run:errored"}]}'),
    "tiktok": Provider(
        pairs("TikTok-Signature", "t", "s", past=73 * 3600,
              names=named(event="json:event", subject="json:user_openid")),
        sample("tiktok")),
    "trello": Provider(with_url("X-Trello-Webhook", named("json:action.id", "json:action.type"), False),
                       '{"action":{"id":"1","type":"updateCard","data":{}},"model":{"id":"b1","name":"board"}}'),
    "twitch": Provider(twitch(), '{"subscription":{"id":"1","type":"stream.online"},"event":{"broadcaster_user_id":"1"}}'),
    "uber": Provider(
        of_body("X-Uber-Signature", names=named("json:event_id", "json:event_type", "json:meta.resource_id")),
        sample("uber")),
    "vercel": Provider(
        of_body("x-vercel-signature", hash_name="sha1", names=named("json:id", "json:type")),
        '{"id":"1","type":"deployment.created","createdAt":1760000000000,"payload":{}}'),
    "vercel_drains": Provider(
        of_body("x-vercel-signature", hash_name="sha1", names=named(event="json:0.source")), sample("vercel-drains"),
        params={"verify": "87b9f4d2c5a1"}),
    "viber": Provider(
        of_body("X-Viber-Content-Signature", names=named("json:message_token", "json:event")),
        '{"event":"message","timestamp":1760000000000,"message_token":"1","message":{"type":"text","text":"hello"}}',
        [("viber-bot-python, test_verify_signature", "44dafb7e0f40021e-61a47a1e6778d187-f2c5a676a07050b3",
          [["X-Viber-Content-Signature", "d21b343448c8aee33b8e93768ef6ceb64a6ba6163099973a2b8bd028fea510ef"]],
          '{"event":"webhook","timestamp":4977069964384421269,"message_token":1478683725125}', NOW)]),
    "webflow": Provider(
        header_stamp("x-webflow-signature", "hex", "x-webflow-timestamp", ":", "ms", 2100,
                     names=named(event="json:triggerType")),
        '{"triggerType":"form_submission","payload":{"name":"contact"}}'),
    "whatsapp": Provider(
        of_body("X-Hub-Signature-256", prefix="sha256=",
                names=named(event="json:entry.0.changes.0.field", subject="json:entry.0.id")),
        sample("whatsapp")),
    "woocommerce": Provider(
        of_body("X-WC-Webhook-Signature", "base64",
                names=named("header:X-WC-Webhook-Delivery-ID", "header:X-WC-Webhook-Topic")),
        '{"id":1,"status":"processing","total":"10.00"}'),
    "workos": Provider(
        pairs("WorkOS-Signature", "t", "v1", sep=", ", unit="ms", past=262_800, future=180,
              names=named("json:id", "json:event")),
        '{"id":"event_1","event":"dsync.user.created","data":{"id":"u1"}}'),
    "x_twitter": Provider(of_body("x-twitter-webhooks-signature", "base64", prefix="sha256="),
                  '{"for_user_id":"1","tweet_create_events":[{"id":1,"text":"hello"}]}'),
    "xero": Provider(of_body("x-xero-signature", "base64"), sample("xero")),
    "zendesk": Provider(
        header_stamp("X-Zendesk-Webhook-Signature", "base64", "X-Zendesk-Webhook-Signature-Timestamp", "", "rfc3339",
                     300, names=named("json:id", "json:type")),
        '{"id":"1","type":"zen:event-type:ticket.created","subject":"zen:ticket:1"}'),
}
