"""Requests of tests/differential/libraries.py that are Braintree's: a signed payload in base64, in a form."""
import base64
import hashlib
import hmac
import random
import urllib.parse

from tests.differential.cases import URL, Case



class Braintree:
    """Provider, as far as the presets know it."""

    source = "braintree"


SOURCE = Braintree.source
PUBLIC, PRIVATE, OTHER = "integration_public_key", "integration_private_key", "another_private_key"


def sign(payload: str, key: str = PRIVATE) -> str:
    return hmac.new(hashlib.sha1(key.encode()).digest(), payload.encode(), "sha1").hexdigest()


def cases(rng: random.Random):
    """Yields valid notifications and their mutations."""
    for kind in ("check", "subscription_canceled", "dispute_opened"):
        xml = f"<notification><kind>{kind}</kind><timestamp type=\"datetime\">2025-10-09T08:53:20Z</timestamp>" \
            "<subject><check type=\"boolean\">true</check></subject></notification>"
        payload = base64.encodebytes(xml.encode()).decode()
        proof = sign(payload)

        def case(what, signature=f"{PUBLIC}|{proof}", payload=payload, **more):
            form = {"bt_signature": signature, "bt_payload": payload} | more
            body = urllib.parse.urlencode({name: value for name, value in form.items() if value is not None}).encode()
            return Case(SOURCE, what, [PRIVATE], [("Content-Type", "application/x-www-form-urlencoded")], body, URL,
                        sign(payload or ""), {"public_key": PUBLIC})

        yield case("valid")
        yield case("another field", more="x")
        yield case("another key", f"{PUBLIC}|{sign(payload, OTHER)}")
        yield case("another public key", f"other|{proof}")
        yield case("another's signature before", f"other|{sign(payload, OTHER)}&{PUBLIC}|{proof}")
        yield case("another's signature after", f"{PUBLIC}|{proof}&other|{sign(payload, OTHER)}")
        yield case("no public key", proof)
        yield case("no signature", None)
        yield case("an empty signature", "")
        yield case("no payload", payload=None)
        yield case("upper-case hex", f"{PUBLIC}|{proof.upper()}")
        place = rng.randrange(len(payload) - 2)
        other = "A" if payload[place] != "A" else "B"
        yield case("a character replaced", payload=payload[:place] + other + payload[place + 1:])
