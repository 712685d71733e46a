"""Differential tests: hookmq and the providers' official libraries look at the same requests, valid, broken
and odd. Every difference in their verdicts must be one of RULES, and every rule must be met.

    python3 -m tests.in_venv differential.libraries
    python3 -m tests.differential.libraries --install       only the JavaScript libraries, into target/npm
"""
import base64
import collections
import contextlib
import datetime
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time
import urllib.parse
from unittest import mock

import braintree
import discord_interactions
import livekit.api
import razorpay
import standardwebhooks.webhooks
import stream_chat
import stripe
from hubspot.utils.signature import Signature
from lark_oapi.core.model import RawRequest
from lark_oapi.event.dispatcher_handler import EventDispatcherHandler
from linebot.v3.webhook import SignatureValidator
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from twilio.request_validator import RequestValidator

from tests.differential import braintree_cases, sns
from tests.differential.cases import AT, PROVIDERS, cases, is_known
from tests.differential.rules import ACCEPTED, RULES, SIGNATURES
from tests.support import TARGET, binary, cargo_build

FOLDER = pathlib.Path(__file__).resolve().parent
SEED = 20251009


class Now(datetime.datetime):
    """Stand-in for datetime, for the library that asks it for the time."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(AT, tz)


class Clock:
    """Stand-in for the clock, for the library that is given one."""

    @staticmethod
    def now():
        return AT


class Form(dict):
    """Form with several values of a name, as web frameworks have it."""

    def getlist(self, name):
        return self[name]


def form(body: bytes) -> Form:
    found = Form()
    for name, value in urllib.parse.parse_qsl(body.decode(), keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def standard_webhooks(case, secret):
    headers = {name: case.header(name) for name, _ in case.headers}
    standardwebhooks.Webhook(secret).verify(case.body, headers, json_parse=False)
    return True


def slack(case, secret):
    headers = {name: case.header(name) for name, _ in case.headers}
    return SignatureVerifier(secret, Clock()).is_valid_request(case.body, headers)


def feishu(case, secret):
    request = RawRequest()
    names = "X-Lark-Signature", "X-Lark-Request-Timestamp", "X-Lark-Request-Nonce"
    request.headers = {name: case.header(name) for name in names}
    request.body = case.body
    # The step of `do` that checks the signature; it raises.
    EventDispatcherHandler()._verify_sign(request, secret)
    return True


def discord(case, secret):
    signature, at = case.header("X-Signature-Ed25519"), case.header("X-Signature-Timestamp")
    with contextlib.redirect_stdout(None):
        return discord_interactions.verify_key(case.body, signature, at, secret)


def sendgrid(case, secret):
    head = "X-Twilio-Email-Event-Webhook-"
    signature, at = case.header(head + "Signature"), case.header(head + "Timestamp")
    return EventWebhook(secret).verify_signature(case.body.decode(), signature, at)


def stripe_py(case, secret):
    return stripe.WebhookSignature.verify_header(case.body, case.header("Stripe-Signature"), secret, 300)


def twilio_form(case, secret):
    return RequestValidator(secret).validate(case.url, form(case.body), case.header("X-Twilio-Signature"))


def twilio_json(case, secret):
    return RequestValidator(secret).validate(case.url, case.body.decode(), case.header("X-Twilio-Signature"))


def hubspot(version: str):
    def verify(case, secret):
        more = {"timestamp": case.header("X-HubSpot-Request-Timestamp")} if version == "v3" else {}
        name = "X-HubSpot-Signature-v3" if version == "v3" else "X-HubSpot-Signature"
        return Signature.is_valid(case.header(name), secret, case.body.decode(), case.url, "POST", version, **more)
    return verify


def square(case, secret):
    return verify_signature(
        request_body=case.body.decode(), signature_header=case.header("x-square-hmacsha256-signature"),
        signature_key=secret, notification_url=case.url,
    )


def line(case, secret):
    return SignatureValidator(secret).validate(case.body.decode(), case.header("x-line-signature"))


def razorpay_py(case, secret):
    utility = razorpay.Client(auth=("key", "secret")).utility
    return utility.verify_webhook_signature(case.body.decode(), case.header("X-Razorpay-Signature"), secret)


def getstream(case, secret):
    return stream_chat.StreamChat("key", secret).verify_webhook(case.body, case.header("X-Signature"))


def livekit_py(case, secret):
    # What the body says is not a matter of its signature.
    with mock.patch("livekit.api.webhook.Parse"):
        receiver = livekit.api.WebhookReceiver(livekit.api.TokenVerifier(case.params["api_key"], secret))
        receiver.receive(case.body.decode(), case.header("Authorization"))
    return True


def braintree_py(case, secret):
    gateway = braintree.BraintreeGateway(braintree.Configuration(
        braintree.Environment.Sandbox, "merchant", case.params["public_key"], secret,
    ))
    fields = dict(urllib.parse.parse_qsl(case.body.decode(), keep_blank_values=True))
    gateway.webhook_notification.parse(fields.get("bt_signature"), fields.get("bt_payload"))
    return True


PYTHON = {
    "hubspot-v1": {"hubspot-py": hubspot("v1")},
    "hubspot-v2": {"hubspot-py": hubspot("v2")},
    "hubspot-v3": {"hubspot-py": hubspot("v3")},
    "square": {"square-py": square},
    "line": {"line-py": line},
    "razorpay": {"razorpay-py": razorpay_py},
    "getstream": {"stream-chat-py": getstream},
    "livekit": {"livekit-py": livekit_py},
    "braintree": {"braintree-py": braintree_py},
    "standard-webhooks": {"standardwebhooks-py": standard_webhooks},
    "stripe": {"stripe-py": stripe_py},
    "slack": {"slack-py": slack},
    "feishu": {"lark-py": feishu},
    "discord": {"discord-py": discord},
    "sendgrid": {"sendgrid-py": sendgrid},
    "twilio-form": {"twilio-py": twilio_form},
    "twilio-json": {"twilio-py": twilio_json},
}
JAVASCRIPT = {
    "standard-webhooks": ["standardwebhooks-js"],
    "stripe": ["stripe-js"],
    "github": ["octokit-js"],
    "shopify": ["shopify-js"],
    "aws-sns": ["sns-validator-js"],
    "contentful": ["contentful-js"],
    "ebay": ["ebay-js"],
    "twilio-form": ["twilio-js"],
    "twilio-json": ["twilio-js"],
}


# Those libraries that sign as well. What we sign by hand must be what they sign.
SIGNERS = {
    "standard-webhooks": lambda case, secret: standardwebhooks.Webhook(secret).sign(
        case.header("webhook-id"), datetime.datetime.fromtimestamp(AT, datetime.timezone.utc), case.body.decode()
    ),
    "stripe": lambda case, secret: stripe.WebhookSignature.generate_signature_header(
        case.body.decode(), secret, AT
    ),
    "slack": lambda case, secret: SignatureVerifier(secret).generate_signature(
        timestamp=str(AT), body=case.body
    ),
    "twilio-form": lambda case, secret: RequestValidator(secret).compute_signature(case.url, form(case.body)),
    "twilio-json": lambda case, secret: RequestValidator(secret).compute_signature(case.url, {}),
}


def check_signature(case) -> None:
    with contextlib.suppress(UnicodeDecodeError):
        official = SIGNERS[case.source](case, case.secrets[0])
        assert official == case.header(SIGNATURES[case.source]), f"{case.source} signs {case.body} otherwise"


def accepts(library, case) -> bool:
    """Returns True if one of the secrets will do. A library refuses by an answer or by raising."""
    for secret in case.secrets:
        with contextlib.suppress(Exception):
            if library(case, secret):
                return True
    return False


def lines(command: list, text: list) -> list:
    output = subprocess.run(command, input="\n".join(text), capture_output=True, text=True, check=True).stdout
    found = output.splitlines()
    assert len(found) == len(text), f"{command[0]}: {len(found)} answers to {len(text)} cases"
    return found


def modules() -> pathlib.Path | None:
    """Returns the folder with the JavaScript libraries, installed if need be, or None without npm."""
    modules = TARGET / "npm"
    if not shutil.which("npm"):
        print("skipped: the JavaScript libraries, because npm is not installed here")
        return None
    modules.mkdir(parents=True, exist_ok=True)
    lock = (FOLDER / "package-lock.json").read_bytes()
    stamp = modules / "installed-lock.json"
    if not stamp.exists() or stamp.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / name, modules)
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit"], cwd=modules, check=True)
        stamp.write_bytes(lock)
    return modules


def javascript(cases: list) -> dict:
    """Returns the verdicts of the JavaScript libraries by case and library."""
    found = modules()
    if not found:
        return {}
    asked = [(number, case) for number, case in enumerate(cases) if case.source in JAVASCRIPT]
    command = ["node", FOLDER / "libraries.mjs", found]
    answers = lines(command, [case.js(JAVASCRIPT[case.source]) for _, case in asked])
    return {number: json.loads(answer) for (number, _), answer in zip(asked, answers)}


def main() -> int:
    if sys.argv[1:] == ["--install"]:
        modules()
        return 0
    cargo_build("hookmq-cli")
    started = time.monotonic()
    rng = random.Random(SEED)
    every = [case for kind in PROVIDERS for case in cases(kind, rng)]
    every += sns.cases(rng)
    if is_known(braintree_cases.Braintree):
        every += braintree_cases.cases(rng)
    ours = lines([binary("hookmq"), "verify", "--batch"], [case.line() for case in every])
    theirs = collections.defaultdict(dict, javascript(every))
    with mock.patch("time.time", lambda: float(AT)), mock.patch("standardwebhooks.webhooks.datetime", Now), \
            mock.patch("hubspot.utils.signature.datetime", Now), mock.patch("jwt.api_jwt.datetime", Now):
        for number, case in enumerate(every):
            if case.what == "valid" and case.source in SIGNERS:
                check_signature(case)
            for name, library in PYTHON.get(case.source, {}).items():
                theirs[number][name] = accepts(library, case)

    met, unexplained, forged = collections.Counter(), [], []
    counts = collections.defaultdict(collections.Counter)
    for number, (case, verdict) in enumerate(zip(every, ours)):
        assert not verdict.startswith("error"), f"{case}: {verdict}"
        accepted = not verdict.startswith("rejected")
        if accepted and not case.is_authentic(SIGNATURES[case.source]):
            forged.append(f"we accept a forgery: {case.source}, {case.what}")
        for library, answer in theirs[number].items():
            count = counts[f"{case.source} / {library}"]
            count["cases"] += 1
            count["accepted by both"] += accepted and answer
            if accepted == answer:
                continue
            count["differences"] += 1
            rule = next((r for r in RULES if r.explains(case, library, verdict)), None)
            if rule:
                met[rule.name] += 1
            else:
                unexplained.append((library, case, accepted, verdict))

    for name, count in counts.items():
        print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in count.items()))
    for rule in RULES:
        print(f"  {met[rule.name]:5} {rule.name}: {rule.reason}")
    failures = forged + [f"{name}: no case was accepted by both" for name, c in counts.items() if not c["accepted by both"]]
    asked = {library for answers in theirs.values() for library in answers}
    failures += [f"{r.name}: why is it safe?" for r in RULES if r.verdict == ACCEPTED and "safe: " not in r.reason]
    failures += [f"no case met the rule {r.name}" for r in RULES if not met[r.name] and asked & r.libraries]
    seen = collections.Counter((l, c.source, c.what, a, v) for l, c, a, v in unexplained)
    failures += [f"{n} x {l} {'refuses' if a else 'accepts'}, we say {v!r}: {s}, {w}" for (l, s, w, a, v), n in seen.items()]
    print("\n".join(failures) or f"{len(every)} requests, {sum(met.values())} known differences, "
          f"{time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
