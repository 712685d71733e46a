"""How the providers of `generate.py` sign: their schemes, in hookmq's words and as code, and a body each."""
import base64
import datetime
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

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
}


@dataclass
class Request:
    """What a signature is made of."""
    secret: str
    body: bytes
    stamp: str
    id: str = "msg_1"


@dataclass
class Scheme:
    """A provider's scheme: in hookmq's words, and as code."""
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
    # Whether the address is signed.
    needs_url: bool = False
    # Header fields with one right value each.
    pinned: tuple = ()
    # The header of an id that is signed.
    id_header: str | None = None
    # The query parameter that carries the token.
    query: str | None = None


@dataclass
class Provider:
    scheme: Scheme
    body: str
    # Examples that the provider publishes: (why, secret, headers, body, now).
    published: list = field(default_factory=list)


def mac(hash_name: str, key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hash_name).digest()


def base64_key(secret: str, prefix: str) -> bytes:
    return base64.b64decode(secret.removeprefix(prefix))


def of_body(header, encoding="hex", hash_name="sha256", prefix="", **more) -> Scheme:
    """The body alone is signed."""
    return keyed(header, encoding, ["{body}"], lambda r: mac(hash_name, r.secret.encode(), r.body),
                 hash_name=hash_name, prefix=prefix, **more)


def keyed(header, encoding, signed, sign, *, kind="hmac", hash_name="sha256", prefix="", window=None,
          stamp_header=None, fields=(), require=(), names=None, **more) -> Scheme:
    """One signature in a header of its own."""
    config = {"kind": kind, "hash": hash_name} if hash_name else {"kind": kind}
    config |= {"signature": {"from": f"header:{header}", "prefix": prefix, "encoding": encoding}}
    config["signed"] = signed
    if not prefix:
        del config["signature"]["prefix"]
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
          future=300, stamp_last=False, stamp_after_body=False, names=None) -> Scheme:
    """`t=…,v1=…`: a timestamp beside the signature, and both of one header."""
    stamp = f"{{sigkv:{stamp_key}}}"
    signed = ["{body}", stamp] if stamp_after_body else [stamp, joint, "{body}"]
    config = {
        "kind": "hmac", "hash": "sha256",
        "signature": {"from": f"header:{header}", "format": "kv", "sep": sep, "take": signature_key,
                      "single": [stamp_key], "encoding": encoding},
        "signed": signed,
        "timestamp": {"from": f"sigkv:{stamp_key}", "unit": unit, "past": past, "future": future},
    }

    def sign(r):
        parts = (r.body, r.stamp.encode()) if stamp_after_body else (f"{r.stamp}{joint}".encode(), r.body)
        return mac("sha256", r.secret.encode(), *parts)

    def value(signatures, r):
        items = [f"{signature_key}={WRITE[encoding](signature)}" for signature in signatures]
        items.insert(len(items) if stamp_last else 0, f"{stamp_key}={r.stamp}")
        return sep.join(items)

    return Scheme(config | (names or {}), header, lambda r: [], value, sign, (unit, past, future), lists=True)


def standard(family="webhook", *, prefix="whsec_", text_key=False, names=None) -> Scheme:
    """Standard Webhooks, under its own or Svix's header names."""
    header, stamp_header, id_header = (f"{family}-{name}" for name in ("signature", "timestamp", "id"))
    config = {"kind": "hmac", "hash": "sha256"}
    if not text_key:
        config["key"] = {"encoding": "base64", "strip_prefix": prefix}
    config |= {
        "signature": {"from": f"header:{header}", "format": "list", "sep": " ", "take": "v1,",
                      "encoding": "base64"},
        "signed": [f"{{header:{id_header}}}", ".", f"{{header:{stamp_header}}}", ".", "{body}"],
        "timestamp": {"from": f"header:{stamp_header}", "unit": "s", "past": 300, "future": 300},
        "id": f"header:{id_header}",
    }

    def sign(r):
        key = r.secret.encode() if text_key else base64_key(r.secret, prefix)
        return mac("sha256", key, f"{r.id}.{r.stamp}.".encode(), r.body)

    secrets = [prefix + WRITE["base64"](hashlib.sha256(text.encode()).digest()) for text in (SECRET, OTHER)]
    return Scheme(config | (names or {}), header, lambda r: [(id_header, r.id), (stamp_header, r.stamp)],
                  lambda sigs, r: " ".join("v1," + WRITE["base64"](sig) for sig in sigs), sign,
                  ("s", 300, 300), stamp_header, (SECRET, OTHER) if text_key else tuple(secrets), lists=True,
                  id_header=id_header)


def token(header, prefix="", names=None, fields=()) -> Scheme:
    """The secret itself in a header."""
    config = {"kind": "token", "from": f"header:{header}"} | ({"prefix": prefix} if prefix else {})
    return Scheme(config | (names or {}), header, lambda r: list(fields), lambda sigs, r: prefix + r.secret, None)


def token_in_body(path, names=None) -> Scheme:
    return Scheme({"kind": "token", "from": f"json:{path}"} | (names or {}), None, lambda r: [], None, None)


def token_in_query(name, names=None) -> Scheme:
    config = {"kind": "token", "from": f"query:{name}"} | (names or {})
    return Scheme(config, None, lambda r: [], None, None, query=name)


def nothing() -> Scheme:
    return Scheme({"kind": "none"}, None, lambda r: [], None, None)


def tencent_vod() -> Scheme:
    """An expiry and the digest of key and expiry, both in the body, which is not signed."""
    config = {"kind": "digest", "hash": "md5", "signature": {"from": "json:Sign", "encoding": "hex"},
              "signed": ["{secret}", "{json:T}"],
              "timestamp": {"from": "json:T", "unit": "expires", "max_ahead": 3600}, "event": "json:EventType"}
    return Scheme(config, None, lambda r: [], None, lambda r: hashlib.md5((r.secret + r.stamp).encode()).digest(),
                  ("expires", 600, 3000))


def ed25519_key(seed: bytes) -> tuple:
    """RFC 8032, 5.1.5: the scalar, the prefix and the public key."""
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return scalar, digest[32:], ed25519_point(scalar)


def ed25519_point(scalar: int) -> bytes:
    """The base point times the scalar (RFC 8032, 5.1)."""
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
    """RFC 8032, 5.1.6."""
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
                 names={"id": "json:id", "event": "json:trigger"})


def with_url(header, names, url_first) -> Scheme:
    parts = ["{url}", "{body}"] if url_first else ["{body}", "{url}"]

    def sign(r):
        order = (URL.encode(), r.body) if url_first else (r.body, URL.encode())
        return mac("sha1", r.secret.encode(), *order)

    return keyed(header, "base64", parts, sign, hash_name="sha1", names=names, needs_url=True)


def header_stamp(header, encoding, stamp_header, joint, unit, past, *, prefix="", names=None) -> Scheme:
    """A timestamp in a header of its own, before the body."""
    signed = [f"{{header:{stamp_header}}}", joint, "{body}"]
    return keyed(header, encoding, [part for part in signed if part],
                 lambda r: mac("sha256", r.secret.encode(), (r.stamp + joint).encode(), r.body), prefix=prefix,
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


def cloudinary() -> Scheme:
    return keyed("X-Cld-Signature", "hex", ["{body}", "{header:X-Cld-Timestamp}", "{secret}"],
                 lambda r: hashlib.sha1(r.body + (r.stamp + r.secret).encode()).digest(), kind="digest",
                 hash_name="sha1", window=("s", 7200, 300), stamp_header="X-Cld-Timestamp",
                 names={"event": "json:notification_type"})


def named(id=None, event=None) -> dict:
    return {key: value for key, value in (("id", id), ("event", event)) if value}


PUSH = '{"ref":"refs/heads/main","repository":{"full_name":"octocat/hello-world"}}'
DATA = '{"id":"evt_1","type":"user.created","data":{"id":"1"}}'

PROVIDERS = {
    "alertmanager": Provider(
        token("Authorization", "Bearer ", named(event="json:status")),
        '{"version":"4","groupKey":"{}:{alertname=\\"Down\\"}","status":"firing","receiver":"hookmq","alerts":[]}'),
    "appwrite": Provider(
        with_url("X-Appwrite-Webhook-Signature", named(event="header:X-Appwrite-Webhook-Events"), True),
        '{"$id":"user_1","email":"jon@example.com"}'),
    "asana": Provider(
        of_body("X-Hook-Signature"),
        '{"events":[{"action":"added","resource":{"gid":"1","resource_type":"task"},"parent":null}]}'),
    "box": Provider(box("PRIMARY"), '{"type":"webhook_event","id":"e1","trigger":"FILE.UPLOADED","source":{"id":"1"}}'),
    "box_secondary": Provider(
        box("SECONDARY"), '{"type":"webhook_event","id":"e1","trigger":"FILE.UPLOADED","source":{"id":"1"}}'),
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
        pairs("Calendly-Webhook-Signature", "t", "v1", names=named(event="json:event")),
        '{"event":"invitee.created","created_at":"2026-01-01T00:00:00Z","payload":{"email":"jon@example.com"}}'),
    "checkly": Provider(of_body("x-checkly-signature"), '{"event":"ALERT_FAILURE: homepage","alert_type":"FAILURE"}'),
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
    "cloudinary": Provider(cloudinary(), '{"notification_type":"upload","public_id":"sample","version":1}'),
    "codeup": Provider(token("X-Codeup-Token", names=named(event="header:Codeup-Event")),
                       '{"object_kind":"push","ref":"refs/heads/main","repository":{"name":"demo"}}'),
    "cloudevents": Provider(
        token("Authorization", "Bearer ", {"id": ["header:ce-id", "json:id"], "event": ["header:ce-type", "json:type"]}),
        '{"specversion":"1.0","id":"1","source":"/example","type":"com.example.created","data":{}}'),
    "coding": Provider(
        of_body("X-Coding-Signature", hash_name="sha1", prefix="sha1=",
                names=named("header:X-Coding-Delivery", "header:X-Coding-Event")), PUSH),
    "coinbase_commerce": Provider(
        of_body("X-CC-Webhook-Signature", names=named("json:event.id", "json:event.type")),
        '{"id":1,"attempt_number":1,"event":{"id":"24934862","type":"charge:confirmed","data":{"code":"66BEOV2A"}}}'),
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
              names=named(event="json:event")),
        '{"event":"envelope-completed","apiVersion":"v2.1","data":{"envelopeId":"1"}}'),
    "dropbox": Provider(of_body("X-Dropbox-Signature"), '{"list_folder":{"accounts":["dbid:1"]},"delta":{"users":[1]}}'),
    "dub": Provider(of_body("Dub-Signature", names=named("json:id", "json:event")),
                    '{"id":"evt_1","event":"link.created","data":{"id":"link_1"}}'),
    "easypost": Provider(
        of_body("X-Hmac-Signature", prefix="hmac-sha256-hex=", names=named("json:id", "json:description")),
        '{"id":"evt_1","object":"Event","description":"tracker.updated","result":{"id":"trk_1"}}'),
    "elevenlabs": Provider(
        pairs("ElevenLabs-Signature", "t", "v0", past=1800, names=named(event="json:type")),
        '{"type":"post_call_transcription","event_timestamp":1760000000,"data":{"agent_id":"a1"}}'),
    "feishu_token": Provider(
        token_in_body("header.token", named("json:header.event_id", "json:header.event_type")),
        '{"schema":"2.0","header":{"event_id":"1","event_type":"im.message.receive_v1","token":"$SECRET"},"event":{}}'),
    "figma": Provider(token_in_body("passcode", named(event="json:event_type")),
                      '{"event_type":"FILE_UPDATE","passcode":"$SECRET","webhook_id":"1","file_key":"k"}'),
    "flagsmith": Provider(of_body("X-Flagsmith-Signature", names=named(event="json:event_type")),
                          '{"data":{"enabled":true},"event_type":"FLAG_UPDATED"}'),
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
    "huawei_codearts": Provider(
        token("X-Repo-Token", names={"event": "json:object_kind", "subject": "json:ref"}),
        '{"object_kind":"push","event_name":"push","ref":"refs/heads/main","repository":{"name":"demo"}}'),
    "huawei_eventgrid": Provider(
        token_in_query("token", {"id": "json:id", "event": "json:type", "subject": "json:subject"}),
        '{"id":"1","specversion":"1.0","source":"HC.OBS","type":"object:put","subject":"a.jpg","data":{}}'),
    "huggingface": Provider(token("X-Webhook-Secret", names=named(event="json:event.scope")),
                            '{"event":{"action":"update","scope":"repo.content"},"repo":{"type":"model","name":"gpt2"}}'),
    "jira": Provider(
        of_body("X-Hub-Signature", prefix="sha256=",
                names=named("header:X-Atlassian-Webhook-Identifier", "json:webhookEvent")),
        '{"timestamp":1760000000000,"webhookEvent":"jira:issue_created","issue":{"key":"A-1"}}'),
    "lemon_squeezy": Provider(of_body("X-Signature", names=named(event="json:meta.event_name")),
                              '{"meta":{"event_name":"order_created"},"data":{"type":"orders","id":"1"}}'),
    "line": Provider(of_body("x-line-signature", "base64"),
                     '{"destination":"U1","events":[{"type":"message","message":{"type":"text","text":"hello"}}]}'),
    "lithic": Provider(standard(names=named(event="json:event_type")),
                       '{"event_type":"card.created","card_token":"1"}'),
    "liveblocks": Provider(standard(names=named(event="json:type")),
                           '{"type":"storageUpdated","data":{"roomId":"r1","appId":"a1"}}'),
    "mailchimp": Provider(
        token_in_query("secret", named(event="form:type")),
        "type=subscribe&fired_at=2026-01-01+00%3A00%3A00&data%5Bid%5D=8a25ff1d98&data%5Bemail%5D=jon%40example.com"),
    "mattermost": Provider(token_in_body("token", named("json:post_id", "json:trigger_word")),
                           '{"token":"$SECRET","team_id":"t1","channel_name":"town-square","post_id":"p1",'
                           '"text":"#build main","trigger_word":"#build"}'),
    "modern_treasury": Provider(of_body("X-Signature", names=named(event="json:event")),
                                '{"event":"completed","data":{"id":"1","object":"payment_order"}}'),
    "mollie": Provider(
        of_body("X-Mollie-Signature", prefix="sha256=", names=named("json:id", "json:type")),
        '{"resource":"event","id":"event_1","type":"payment-link.paid","entityId":"pl_1"}'),
    "mux": Provider(pairs("Mux-Signature", "t", "v1", names=named("json:id", "json:type")),
                    '{"type":"video.asset.ready","id":"1","data":{"id":"a1"},"attempts":[]}'),
    "new_relic": Provider(token("Authorization", "Bearer "), '{"id":"1","issueUrl":"https://example.com","state":"ACTIVATED"}'),
    "none": Provider(nothing(), '{"a":1}'),
    "okta": Provider(
        token("Authorization", names=named("json:eventId", "json:eventType")),
        '{"eventType":"com.okta.event_hook","eventId":"b5a188b9","data":{"events":[{"eventType":"user.session.start"}]}}'),
    "openai": Provider(standard(names=named(event="json:type")),
                       '{"id":"evt_1","object":"event","type":"response.completed","data":{"id":"resp_1"}}'),
    "opsgenie": Provider(token("Authorization", "Bearer ", named(event="json:action")),
                         '{"action":"Create","alert":{"alertId":"1","message":"down"}}'),
    "paddle": Provider(
        pairs("Paddle-Signature", "ts", "h1", sep=";", joint=":", names=named("json:event_id", "json:event_type")),
        '{"event_id":"evt_1","event_type":"transaction.completed","data":{"id":"txn_1"}}'),
    "phabricator": Provider(
        of_body("X-Phabricator-Webhook-Signature", names=named(event="json:object.type")),
        '{"object":{"type":"TASK","phid":"PHID-TASK-1"},"triggers":[],"action":{"test":false,"epoch":1760000000}}'),
    "polar": Provider(standard(text_key=True, names=named(event="json:type")),
                      '{"type":"order.paid","timestamp":"2026-01-01T00:00:00Z","data":{"id":"1"}}'),
    "pulumi": Provider(
        of_body("Pulumi-Webhook-Signature",
                names=named("header:Pulumi-Webhook-ID", "header:Pulumi-Webhook-Kind")),
        '{"organization":{"name":"acme"},"projectName":"website","stackName":"prod","result":"succeeded"}'),
    "pusher": Provider(
        keyed("X-Pusher-Signature", "hex", ["{body}"], lambda r: mac("sha256", r.secret.encode(), r.body),
              window=("ms", 600, 300), stamp_field="json:time_ms", names=named(event="json:events.0.name")),
        '{"time_ms":$STAMP,"events":[{"name":"channel_occupied","channel":"c1"}]}'),
    "razorpay": Provider(
        of_body("X-Razorpay-Signature", names=named("header:X-Razorpay-Event-Id", "json:event")),
        '{"entity":"event","account_id":"acc_1","event":"payment.captured","payload":{}}',
        [("razorpay-node, test of validateWebhookSignature", "123456",
          [["X-Razorpay-Signature", "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"]],
          '{"a":1,"b":2,"c":{"d":3}}', NOW)]),
    "replicate": Provider(standard(names=named(event="json:status")),
                          '{"id":"p1","status":"succeeded","output":["hello"]}'),
    "resend": Provider(standard("svix", names=named(event="json:type")),
                       '{"type":"email.sent","created_at":"2026-01-01T00:00:00Z","data":{"email_id":"1"}}'),
    "sanity": Provider(
        pairs("sanity-webhook-signature", "t", "v1", encoding="base64url", unit="ms"),
        '{"_id":"resume","_type":"document"}',
        [("sanity-io/webhook-toolkit, test of its middleware", "test",
          [["sanity-webhook-signature", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"]],
          '{"_id":"resume"}', 1_633_519_811)]),
    "shopware": Provider(
        keyed("shopware-shop-signature", "hex", ["{body}"], lambda r: mac("sha256", r.secret.encode(), r.body),
              window=("s", 300, 300), stamp_field="json:timestamp",
              names=named("json:source.eventId", "json:data.event")),
        '{"data":{"payload":[],"event":"product.written"},"source":{"shopId":"s1","eventId":"e1"},"timestamp":$STAMP}'),
    "supabase": Provider(standard(prefix="v1,whsec_"), '{"user":{"id":"1","phone":"12345"},"sms":{"otp":"1"}}'),
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
    "trello": Provider(with_url("X-Trello-Webhook", named("json:action.id", "json:action.type"), False),
                       '{"action":{"id":"1","type":"updateCard","data":{}},"model":{"id":"b1","name":"board"}}'),
    "twitch": Provider(twitch(), '{"subscription":{"id":"1","type":"stream.online"},"event":{"broadcaster_user_id":"1"}}'),
    "vercel": Provider(
        of_body("x-vercel-signature", hash_name="sha1", names=named("json:id", "json:type")),
        '{"id":"1","type":"deployment.created","createdAt":1760000000000,"payload":{}}'),
    "viber": Provider(
        of_body("X-Viber-Content-Signature", names=named("json:message_token", "json:event")),
        '{"event":"message","timestamp":1760000000000,"message_token":"1","message":{"type":"text","text":"hello"}}',
        [("viber-bot-python, test_verify_signature", "44dafb7e0f40021e-61a47a1e6778d187-f2c5a676a07050b3",
          [["X-Viber-Content-Signature", "d21b343448c8aee33b8e93768ef6ceb64a6ba6163099973a2b8bd028fea510ef"]],
          '{"event":"webhook","timestamp":4977069964384421269,"message_token":1478683725125}', NOW)]),
    "webflow": Provider(
        header_stamp("x-webflow-signature", "hex", "x-webflow-timestamp", ":", "ms", 300,
                     names=named(event="json:triggerType")),
        '{"triggerType":"form_submission","payload":{"name":"contact"}}'),
    "woocommerce": Provider(
        of_body("X-WC-Webhook-Signature", "base64",
                names=named("header:X-WC-Webhook-Delivery-ID", "header:X-WC-Webhook-Topic")),
        '{"id":1,"status":"processing","total":"10.00"}'),
    "workos": Provider(
        pairs("WorkOS-Signature", "t", "v1", sep=", ", unit="ms", past=180, future=180,
              names=named("json:id", "json:event")),
        '{"id":"event_1","event":"dsync.user.created","data":{"id":"u1"}}'),
    "x_twitter": Provider(of_body("x-twitter-webhooks-signature", "base64", prefix="sha256="),
                  '{"for_user_id":"1","tweet_create_events":[{"id":1,"text":"hello"}]}'),
    "zendesk": Provider(
        header_stamp("X-Zendesk-Webhook-Signature", "base64", "X-Zendesk-Webhook-Signature-Timestamp", "", "rfc3339",
                     300, names=named("json:id", "json:type")),
        '{"id":"1","type":"zen:event-type:ticket.created","subject":"zen:ticket:1"}'),
}
