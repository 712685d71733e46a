"""Trials with the sample events: what is sent, and what must become of it in the answer and in the queues."""
import json
import re
import subprocess
import sys
import threading
import tomllib

from tests import support

FORWARDERS = {"tdmq": "/tdmq", "rocketmq": "/rocketmq"}
SCHEDULE = support.ROOT / "events/redrive-schedule.json"

# A hook more than the samples': its queue gets so little time that it is soon given up.
MORE_HOOKS = """
[hooks.slow-queue]
source = "bearer"
secrets = ["plain:hookmq-sample-bearer-token"]
topic = { tdmq = "pulsar-demo/webhooks/slow", rocketmq = "webhooks_slow" }
deadline = "1s"
"""
BEARER = {"authorization": "Bearer hookmq-sample-bearer-token", "content-type": "application/json"}


# In a function's log line of an accepted delivery.
ACCEPTED = re.compile(r'"outcome":"accepted".*?"message_id":"([^"]+)"')
# Of Werkzeug, which SAM and moto are served by.
ASKED = re.compile(r' - - \[[^]]*\] "[^"]* HTTP/1\.1[^"]*" \d{3} ')


def fail(message: str):
    sys.exit(f"failed: {message}")


def hookmq(*arguments: str) -> str:
    done = subprocess.run([support.binary("hookmq"), *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def hooks() -> str:
    """Returns the samples' hooks, and ours."""
    return hookmq("events", "--hooks") + MORE_HOOKS


def samples(vendor: str):
    """Yields a forwarder's sample events and forged twins, each signed in turn, with its expected answer."""
    for path in sorted(SCHEDULE.parent.iterdir()):
        if path != SCHEDULE:
            lines = hookmq("events", "--base-path", FORWARDERS[vendor], path.name).splitlines()
            yield from map(json.loads, lines)


def name_of(sample: dict) -> str:
    return sample["file"] + (", forged" if sample["forged"] else "")


def secrets() -> list[str]:
    """Returns everything that must not be in a log."""
    values = [support.SECRET_KEY, support.SECRET_ACCESS_KEY]
    for hook in tomllib.loads(hooks())["hooks"].values():
        references = [*hook.get("secrets", []), *hook.get("params", {}).values()]
        values += [reference.removeprefix("plain:") for reference in references]
    return values


def headers_of(answer: dict) -> dict:
    multi = {name: values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return {name.lower(): value for name, value in (multi | (answer.get("headers") or {})).items()}


def carries(envelope: str, data: str) -> bool:
    """Returns True if the envelope ends with the body, as it came or as a string."""
    as_string = json.dumps(data, ensure_ascii=False)
    return envelope.endswith((f',"data":{data}}}', f',"data":{as_string}}}'))


class Queues:
    """Queues of the vendors' emulator, and what was acknowledged."""

    def __init__(self, host: str, port: int):
        self.host, self.port = host, port
        # Acknowledged since the last `settle`; and the message ids that ever were.
        self.stored, self.accepted = 0, set()
        self.lock = threading.Lock()

    def control(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = support.request(self.port, method, path, data, host=self.host)
        if status >= 300:
            fail(f"the emulator answers {status} to {method} {path}")
        return json.loads(answer)

    def messages(self, vendor: str) -> dict:
        return {m["message_id"]: m for m in self.control("GET", "/_/messages") if m["vendor"] == vendor}

    def check(self, vendor: str, what: str, expected: dict, answer: dict) -> None:
        """Checks that the answer (a gateway's) and the queue are as they must be."""
        status, message_id = answer.get("statusCode"), headers_of(answer).get("x-hookmq-message-id")
        if status != expected["status"]:
            fail(f"{what} to {vendor}: answered {status}, not {expected['status']}: {answer}")
        if not expected["stored"]:
            if message_id:
                fail(f"{what} to {vendor}: stored as {message_id}, and must not be")
            return
        message = self.messages(vendor).get(message_id)
        if message is None:
            fail(f"{what} to {vendor}: acknowledged as {message_id}, and not in the queue")
        if not carries(message["text"], expected["data"]):
            fail(f"{what} to {vendor}: the message does not carry the body byte for byte: {message['text']}")
        self.count(message_id)

    def count(self, message_id: str) -> None:
        with self.lock:
            self.stored += 1
            self.accepted.add(message_id)

    def settle(self) -> None:
        """Checks that the queues hold what was acknowledged and nothing else."""
        there = len(self.control("GET", "/_/messages"))
        if there != self.stored:
            fail(f"{there} messages are in the queues, and {self.stored} were acknowledged")
        self.control("DELETE", "/_/messages")
        self.stored = 0

    def check_logs(self, logs: list, whole: bool = True) -> None:
        """Checks that every accepted request left its line (half of them did, where the logs are not whole),
        and that no secret is in any line.

        A local server's own lines of what was asked are not the function's, and hold queries.
        """
        logged, hidden = set(), secrets()
        for log in logs:
            lines = log.read_text(errors="replace").splitlines()
            text = "\n".join(line for line in lines if not ASKED.search(line))
            logged.update(ACCEPTED.findall(text))
            found = [secret for secret in hidden if secret in text]
            if found:
                fail(f"{log} holds {len(found)} secrets, the first of them begins with {found[0][:4]}")
            if "panicked" in text:
                fail(f"a function panicked: {log}")
        if not logged <= self.accepted or len(logged) < len(self.accepted) // (1 if whole else 2):
            fail(f"the logs tell of {len(logged)} accepted requests, and there were {len(self.accepted)}")
        count = len(self.accepted)
        print(f"{count} accepted requests, each in its queue byte for byte; no secret in the logs", flush=True)
