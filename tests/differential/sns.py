"""Requests of tests/differential/libraries.py that are Amazon SNS's: signed fields of a JSON body."""
import json
import random

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from tests.differential.cases import URL, Case, b64, bodies, signatures_mutated, texts_mutated
from tests.support import ROOT

SOURCE = "aws-sns"
TOPIC = "arn:aws:sns:us-east-1:123456789012:hooks"
CERTIFICATE = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
CONFIRM = f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
NOTIFICATION = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
CONFIRMATION = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]


def key(name: str):
    pem = (ROOT / "shared" / "tests" / "vectors" / "keys" / f"{name}.pem").read_bytes()
    return serialization.load_pem_private_key(pem, None)


KEY, OTHER = key("rsa"), key("rsa_other")
FORM = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
PUBLIC = KEY.public_key().public_bytes(*FORM).decode()


def sign(message: dict, by=KEY, version: str = "2") -> str:
    names = NOTIFICATION if message.get("Type") == "Notification" else CONFIRMATION
    text = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    return b64(by.sign(text.encode(), padding.PKCS1v15(), algorithm))


def cases(rng: random.Random):
    for body in rng.sample([*bodies(rng)], 4):
        text = body.decode(errors="replace") or "empty"
        for kind in ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"):
            message = {
                "Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC,
                # SNS takes no subject with a line break or a control character.
                "Subject": "".join(filter(str.isprintable, text[:9])) or "empty", "Message": text, "Timestamp": "2025-10-09T08:53:20.000Z",
                "SignatureVersion": "2", "SigningCertURL": CERTIFICATE,
            }
            if kind != "Notification":
                del message["Subject"]
                message |= {"Token": "2336412f37", "SubscribeURL": CONFIRM}
            yield from of_message(rng, message)


def of_message(rng: random.Random, message: dict):
    kind = message["Type"]

    def case(what, message, signature=None, text=None):
        proof = sign(message)
        if text is None:
            text = json.dumps(message | {"Signature": proof if signature is None else signature})
        found = Case(SOURCE, f"{kind}: {what}", [PUBLIC], [], text.encode(), URL, proof)
        found.params = {"topic": TOPIC}
        return found

    good = sign(message)
    yield case("valid", message)
    yield case("indented", message, text=json.dumps(message | {"Signature": good}, indent=1, ensure_ascii=False))
    yield case("another member", message | {"More": "1"})
    yield case("signed by another", message, sign(message, OTHER))
    yield case("no signature", message, text=json.dumps(message))
    yield case("not JSON", message, text=json.dumps(message | {"Signature": good})[:-1])
    yield case("version 1", message | {"SignatureVersion": "1"}, sign(message, version="1"))
    yield case("version 1, said to be 2", message, sign(message, version="1"))
    for what, changed in [*texts_mutated(rng, good), *signatures_mutated(rng, good)]:
        yield case(f"signature: {what}", message, changed)
    for name, value in message.items():
        lacking = {n: v for n, v in message.items() if n != name}
        yield case(f"{name} dropped", lacking, good)
        yield case(f"{name} dropped, signed", lacking)
        yield case(f"{name} null", message | {name: None}, good)
        whole = json.dumps(message | {"Signature": good})
        yield case(f"{name} twice", message, text=whole[:-1] + f', "{name}": {json.dumps(value)}}}')
        for what, changed in texts_mutated(rng, value):
            yield case(f"{name}: {what}", message | {name: changed}, good)
    for name in ("Message", "Subject", "MessageId", "Token"):
        if name in message:
            yield case(f"{name} with lines, signed", message | {name: f"a\n{name}\nb"})
            yield case(f"{name} empty, signed", message | {name: ""})
    yield case("another topic, signed", message | {"TopicArn": TOPIC + "2"})
    for at in ("2025-10-09T07:48:00.000Z", "2025-10-09T07:49:00Z", "2025-10-09T08:58:00.000Z",
               "2025-10-09T09:00:00.000Z", "1760000000", "soon"):
        yield case(f"signed time: {at}", message | {"Timestamp": at})
    for url in ("http://sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com/a.pem",
                "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
                "https://evil.example/SimpleNotificationService-1.pem",
                "https://s3.amazonaws.com/SimpleNotificationService-1.pem",
                "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
                "https://sns.us-east-1.amazonaws.com:444/SimpleNotificationService-1.pem",
                "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"):
        yield case(f"SigningCertURL {url}", message | {"SigningCertURL": url})
