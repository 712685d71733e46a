"""Intended differences between hookmq's verdicts and those of official libraries."""
import base64
import contextlib
import dataclasses
import json
import re
import typing

from tests.differential.cases import PROVIDERS, Case

SIGNATURES = {provider.source: provider.signature for provider in PROVIDERS} | {"aws-sns": "Signature", "braintree": "bt_signature"}
STANDARD = {"standardwebhooks-py", "standardwebhooks-js"}
STRIPE = {"stripe-py", "stripe-js"}
TEXTS = {"hubspot-py", "square-py", "line-py", "razorpay-py", "livekit-py", "twilio-js", "contentful-js"}
SNS = {"sns-validator-js"}
EBAY = {"ebay-js"}
NO_CLOCK = {"lark-py", "discord-py", "sendgrid-py"}


@dataclasses.dataclass
class Rule:
    """Explanation of a difference: of these libraries, where our verdict reads so and the request is so."""

    name: str
    libraries: set
    verdict: str
    reason: str
    holds: typing.Callable[[Case], bool] = lambda _: True

    def explains(self, case: Case, library: str, verdict: str) -> bool:
        return bool(library in self.libraries and re.match(self.verdict, verdict) and self.holds(case))


def signature(case: Case) -> str:
    return case.header(SIGNATURES[case.source]) or ""


def is_text(body: bytes) -> bool:
    return body.decode(errors="ignore").encode() == body


def is_upper_hex(case: Case) -> bool:
    value = signature(case).rpartition("=")[2]
    return value == value.upper() != value.lower()


def is_written_otherwise(case: Case) -> bool:
    """Returns True if the body is not the JSON text that JSON.stringify writes."""
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(case.body), separators=(",", ":"), ensure_ascii=False)
        return text.encode(errors="replace") != case.body
    return True


def is_proper_base64(text: str) -> bool:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


# The verdict that a rule matches begins with "accepted" or "handshake" where we accept what the library
# refuses: its reason is why that is safe. All others are of requests that we refuse.
ACCEPTED = "accepted|handshake"
RULES = [
    Rule(
        "a body that is not UTF-8", STANDARD | STRIPE | {"slack-py", "octokit-js", "shopify-js", "sendgrid-py", "twilio-py"} | TEXTS,
        ACCEPTED, "safe: these take text, and fail to decode it or lose bytes; we sign the bytes themselves",
        lambda case: not is_text(case.body),
    ),
    Rule(
        "an empty body", {"stripe-js", "octokit-js", "shopify-js", "square-py"}, ACCEPTED,
        "safe: these take it for a forgotten argument; its signature is as good as any other",
        lambda case: not case.body,
    ),
    Rule(
        "a byte order mark that was signed", {"stripe-js"}, ACCEPTED,
        "safe: its decoder drops the mark; we sign the bytes themselves",
        lambda case: case.body.startswith(b"\xef\xbb\xbf"),
    ),
    Rule(
        "upper-case hex",
        STRIPE | {"slack-py", "octokit-js", "lark-py", "hubspot-py", "razorpay-py", "stream-chat-py", "contentful-js", "braintree-py"},
        ACCEPTED, "safe: these compare texts, we the bytes, which are the same",
        lambda case: is_upper_hex(case) or case.what == "upper-case hex",
    ),
    Rule(
        "an item that is not a signature", {"standardwebhooks-py"}, ACCEPTED,
        "safe: it raises at an item without exactly one comma; an item that we skip never counts",
        lambda case: any(item.count(",") != 1 for item in signature(case).split(" ")),
    ),
    Rule(
        "a time signed with a leading zero", STANDARD | STRIPE, ACCEPTED,
        "safe: these sign the number anew; we sign the text, which only the sender can have written so",
        lambda case: re.search(r"(^|t=)0", case.header("webhook-timestamp") or signature(case)) is not None,
    ),
    Rule(
        "Shopify's other fields", {"shopify-js"}, ACCEPTED,
        "safe: it wants topic, shop and version too, which are not signed, so they prove nothing",
        lambda case: not all(
            case.header(f"X-Shopify-{name}") for name in ("Topic", "Shop-Domain", "API-Version", "Webhook-Id")
        ),
    ),
    Rule(
        "a future time", STRIPE | NO_CLOCK | {"hubspot-py", "contentful-js"}, "rejected: timestamp: the timestamp is in the future",
        "they look at the past only, or not at the time; a request from the future stays valid for longer",
    ),
    Rule(
        "an old time", NO_CLOCK, "rejected: timestamp: the timestamp is too old",
        "they do not look at the time, so what was sent once is valid for ever",
    ),
    Rule(
        "an old time that a retry may have", {"contentful-js"}, ACCEPTED,
        "safe: nobody says that a retry is signed anew, so our window outlives the retries; repeats have one id",
        lambda case: "signed time: -" in case.what,
    ),
    Rule(
        "a time that is not a number, signed", NO_CLOCK | {"slack-py", "stripe-py"},
        "rejected: timestamp: .* is not of the expected form",
        "they do not read the time, or Python's int() takes blanks, signs, underscores and any size",
    ),
    Rule(
        "no time, signed", NO_CLOCK, "rejected: signed: .* is missing or empty",
        "the empty text is signed as well as any other; we want a time",
    ),
    Rule(
        "a time written in another way", STANDARD, "rejected: signature: no configured secret matches",
        "they sign the number that they read anew, so its text can be changed; we sign the text",
        lambda case: not re.fullmatch("[1-9][0-9]*", case.header("webhook-timestamp") or ""),
    ),
    Rule(
        "a time given twice", {"standardwebhooks-js"}, "rejected: signed: .* is given more than once",
        "parseInt ends at the comma of the joined field",
    ),
    Rule(
        "t written in another way", STRIPE, "rejected: signature: no configured secret matches",
        "they sign the number that they read anew, so its text can be changed; we sign the text",
        lambda case: not re.search("(^|,)t=[1-9][0-9]*(,|$)", signature(case)),
    ),
    Rule(
        "a byte order mark put in front", {"stripe-js"}, "rejected: signature: no configured secret matches",
        "its decoder drops the mark, so these bytes are not covered",
        lambda case: case.body.startswith(b"\xef\xbb\xbf"),
    ),
    Rule(
        "signature fields joined, or t twice", STANDARD | STRIPE | {"sendgrid-py"},
        "rejected: signature: .* is given more than once",
        "which of the two counts is anybody's guess",
        lambda case: "," in signature(case),
    ),
    Rule(
        "more than eight signatures", STANDARD | STRIPE, "rejected: signature: more than 8 signatures",
        "no sender has as many keys; each costs work",
    ),
    Rule(
        "a signature beside one that cannot be read", STANDARD, "rejected: signature: .* not of the expected form",
        "we read all before any is compared; nothing may follow a signature",
        lambda case: " v1," in signature(case) or signature(case).count(",") > 1,
    ),
    Rule(
        "a pair that cannot be read", STRIPE, "rejected: signature: .* not of the expected form",
        "they skip what is not a pair, and what follows a second equals sign; we read all before we compare",
        lambda case: not re.fullmatch("[^,=]+=[^,=]+(,[^,=]+=[^,=]+)*", signature(case)) or "=no" in signature(case),
    ),
    Rule(
        "base64 with other characters, padding or bits", {"standardwebhooks-py", "sendgrid-py"},
        "rejected: signature: .* not of the expected form",
        "Python's decoder skips what it does not know, so many texts are one signature",
        lambda case: not is_proper_base64(signature(case).removeprefix("v1,")),
    ),
    Rule(
        "hex with blanks or in mixed case", {"discord-py"}, "rejected: signature: .* not of the expected form",
        "bytes.fromhex takes them, so many texts are one signature",
    ),
    Rule(
        "a name twice in JSON", STANDARD | STRIPE | {"slack-py", "discord-py", "square-py", "stream-chat-py", "livekit-py", "razorpay-py"},
        "rejected: names: json:.* is given more than once",
        "parsers differ in which counts; the id and type of an event must be one",
    ),
    Rule(
        "an unsigned field twice", {"octokit-js", "shopify-js", "contentful-js"}, "rejected: names: header:.* is given more than once",
        "the id and type of an event must be one",
    ),
    Rule(
        "exactly five minutes", {"hubspot-py"}, ACCEPTED,
        "safe: a second of difference",
        lambda case: case.what == "signed time: -300 s",
    ),
    Rule(
        "HubSpot: another version, or none", {"hubspot-py"}, "rejected: require: header:X-HubSpot-Signature-Version",
        "its caller says the version; we read the header field, which HubSpot always sends",
    ),
    Rule(
        "Contentful: list or time written in another way", {"contentful-js"},
        "rejected: sign(ed: .* (is missing or empty|has no .*|is given more than once)|ature: no configured secret matches)",
        "it lists the fields and writes the time anew, so both texts can be changed; we sign the texts",
        lambda case: case.what.startswith(("X-Contentful-Signed-Headers: ", "timestamp: ")),
    ),
    Rule(
        "Contentful: blanks around the signature", {"contentful-js"}, "rejected: signature: .* not of the expected form",
        "it trims them, a no-break space among them, so many texts are one signature",
    ),
    Rule(
        "Braintree: another public key", {"braintree-py"}, ACCEPTED,
        "safe: the public key names the private one, whose signature it is; we try each secret",
        lambda case: case.what == "another public key",
    ),
    Rule(
        "LiveKit: base64 with padding", {"livekit-py"}, "rejected: token: header:Authorization is not of the expected form",
        "a JWT has no padding (RFC 7515); its decoder adds what is missing, and takes any",
    ),
    Rule(
        "eBay: JSON with escapes that it writes otherwise", EBAY, ACCEPTED,
        "safe: it verifies what it has read and written again; we verify the text that was sent and signed",
        is_written_otherwise,
    ),
    Rule(
        "eBay: JSON with blanks around it", EBAY, "rejected: signature: no configured secret matches",
        "it verifies what it has read and written again, so many texts have one signature",
        is_written_otherwise,
    ),
    Rule(
        "eBay: base64 with other characters, padding or bits", EBAY, "rejected: signature: .* not of the expected form",
        "Node's decoder skips what it does not know, so many texts are one signature",
    ),
    Rule(
        "eBay: the header twice", EBAY, "rejected: signature: .* is given more than once",
        "the decoder ends at the comma of the joined field, or skips it",
    ),
    Rule(
        "eBay: another digest, or none", EBAY, "rejected: require: sigkv:digest ",
        "it does not read the digest and takes SHA-1; eBay always names it",
    ),
    Rule(
        "Twilio: an upper-case host", {"twilio-js"}, "rejected: signature: no configured secret matches",
        "its parser of addresses writes the host in lower case; we take the hook's url as it is written",
        lambda case: case.what == "url: an upper-case host",
    ),
    Rule(
        "SNS: a signed UnsubscribeConfirmation", SNS, ACCEPTED,
        "safe: AWS signs the fields of a SubscriptionConfirmation; it checks those of a Notification",
        lambda case: case.what.startswith("UnsubscribeConfirmation"),
    ),
    Rule(
        "SNS: version 1", SNS, "rejected: require: json:SignatureVersion has none",
        "SHA-1; the message does not choose its algorithm",
    ),
    Rule(
        "SNS: another topic", SNS, "rejected: require: json:TopicArn has none",
        "any customer's messages are validly signed, so the topic must be ours",
    ),
    Rule(
        "SNS: a member twice", SNS, "rejected: .* is given more than once",
        "JSON.parse takes the last; another parser may take the first",
    ),
    Rule(
        "SNS: base64 with other characters, padding or bits", SNS, "rejected: signature: .* not of the expected form",
        "Node's decoder skips what it does not know, so many texts are one signature",
    ),
    Rule(
        "SNS: another certificate's address", SNS, "rejected: key: json:SigningCertURL names an address",
        "it takes any path that ends with .pem, and what url.parse makes of blanks and commas",
    ),
    Rule(
        "SNS: a member that is empty, null or has lines, signed", SNS, "rejected: signed: ",
        "SNS sends none of them; where a line ends decides what is signed, and null is not the text \"null\"",
        lambda case: "signed" in case.what or "null" in case.what,
    ),
    Rule(
        "SNS: the time", SNS, "rejected: timestamp: ",
        "it does not look at the time, so what was sent once is valid for ever",
    ),
]
