"""Check of the native route of RocketMQ on real brokers, with the real function and every sample.

    python3 -m tests.in_venv brokers.routes

Every sample that becomes a message is sent, in both formats, to the function behind each address: the name servers of
RocketMQ 5.3 and of 4.8 with ACL, and the remoting port of 5.3's proxy. The same request also goes to the function
before the emulator of the HTTP API. Apache's Java client, in the kit `java-rocketmq`, then reads both brokers: type, id,
subject and the bytes of the body must be those of the HTTP API's messages, whatever the route. Forged twins are refused.

At the end a broker is killed while deliveries arrive and started again: all that was acknowledged is there. `hookmq demo
--behind` must pass before the same broker.
"""
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import tempfile
import threading
import time
import urllib.parse
import uuid

from tests import support
from tests.brokers import kits
from tests.brokers.kits import brokers
from tests.platforms.trials import hookmq

# Below the ports that a system gives to outgoing connections.
OFFSET = 8500
BASE = "/tdmq"
FORMATS = ("cloudevents", "raw")


def hooks(shape: str, topic: str) -> str:
    """Returns the samples' hooks with this format, all with one topic."""
    return re.sub(r"^topic = .*$", f'topic = "{topic}"\nformat = "{shape}"', hookmq("events", "--hooks"), flags=re.M)


def requests() -> list[dict]:
    """Returns the samples as HTTP requests, each with what is expected."""
    found = []
    for sample in map(json.loads, hookmq("events", "--base-path", BASE).splitlines()):
        event = sample["event"]
        context = event.get("requestContext", {})
        method = event.get("httpMethod") or context.get("http", {}).get("method")
        if not method:
            continue
        query = event.get("rawQueryString")
        if query is None:
            many = event.get("multiValueQueryStringParameters") or {}
            single = event.get("queryStringParameters") or {}
            query = urllib.parse.urlencode(list(many.items()) or list(single.items()), doseq=True)
        fields = dict(event.get("headers") or {})
        fields.update({name: ", ".join(values) for name, values in (event.get("multiValueHeaders") or {}).items()})
        fields = {name: value for name, value in fields.items() if name.lower() != "content-length"}
        body = event.get("body") or ""
        body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
        path = event.get("rawPath") or event["path"]
        found.append(sample | {"request": (method, path + (f"?{query}" if query else ""), body, fields)})
    assert sum(sample["stored"] for sample in found) == 41, "the samples are 41 messages"
    return found


class Function:
    """The function of RocketMQ as an HTTP server."""

    def __init__(self, stack: contextlib.ExitStack, folder: pathlib.Path, name: str, text: str, env: dict):
        self.port, self.log = support.free_port(), folder / f"{name}.log"
        env = {**env, "PATH": os.environ["PATH"], "HOOKS": text, "LISTEN": f"127.0.0.1:{self.port}", "BASE_PATH": BASE,
               "ALLOW_SAMPLE_SECRETS": "1", "DRAIN_AFTER": "0"}
        child = stack.enter_context(support.process([support.binary("rocketmq")], env, self.log))
        support.wait_for(self.port, child)

    def send(self, sample: dict) -> None:
        method, path, body, fields = sample["request"]
        status, _, told = support.request(self.port, method, path, body, fields)
        assert status == sample["status"], (sample["file"], status, told, self.log.read_text()[-1500:])


def native(broker, port: str) -> dict:
    env = {"ROCKETMQ_NAME_SERVER": f"127.0.0.1:{broker.ports[port]}"}
    if broker.name == "rocketmq-4.8":
        env |= {"ROCKETMQ_ACL_ACCESS_KEY": brokers.ACCESS_KEY, "ROCKETMQ_ACL_SECRET_KEY": f"plain:{brokers.SECRET_KEY}"}
    return env


def line_of(message: dict) -> str:
    """Returns what the kit prints of a message of the HTTP API, read by the contract of docs/messages.md."""
    properties = message["properties"]
    if properties.get("CE_contenttype") != "application/cloudevents+json":
        data, attributes = message["text"].encode(), {name[3:]: value for name, value in properties.items()}
    else:
        attributes = json.loads(message["text"])
        text = message["text"].partition(',"data":')[2][:-1]
        if "data_base64" in attributes:
            data = base64.b64decode(attributes["data_base64"])
        elif re.fullmatch(r"[^/;]+/([^;]*\+)?json", attributes["datacontenttype"].split(";")[0].strip().lower()):
            data = text.encode()
        else:
            data = attributes["data"].encode()
    return f"{attributes['type']} {attributes['id']} {attributes.get('subject', '-')} {data.hex()}"


def kit() -> tuple[kits.Kit, pathlib.Path]:
    """Returns the Java kit, built to print bodies and to read messages of every kind of verification."""
    chosen = next(each for each in kits.KITS if each.name == "java-rocketmq")
    return chosen, kits.build(chosen, sabotaged=True)


@contextlib.contextmanager
def reading(chosen, folder: pathlib.Path, broker, topic: str):
    """Runs the kit on a topic, as a consumer that has read nothing before."""
    (folder / "seen.db").unlink(missing_ok=True)
    running = kits.Running(chosen, folder, kits.settings(broker, topic))
    try:
        yield running
    finally:
        running.stop()


def make_topic(broker, topic: str) -> None:
    """Makes a topic, and returns when the name server knows it."""
    if broker.name == "rocketmq-4.8":
        # Its access control lets nobody here make a topic, and a message to a missing one makes it.
        brokers.publish(broker.ports["broker"], topic, b"no event", {}, signed=True)
    else:
        brokers.make_topic(broker.ports["broker"], topic)
    end = time.monotonic() + 60
    while brokers.remoting(broker.ports["namesrv"], 105, {"topic": topic})[0]["code"]:
        assert time.monotonic() < end, f"the name server never knows {topic}"
        time.sleep(0.2)


def check_samples(started: dict, folder: pathlib.Path, chosen, built: pathlib.Path) -> None:
    sent = requests()
    run = uuid.uuid4().hex[:8]
    ways = [(started["rocketmq"], "namesrv"), (started["rocketmq"], "remoting"), (started["rocketmq-4.8"], "namesrv")]
    for shape in FORMATS:
        with contextlib.ExitStack() as stack:
            vendor = stack.enter_context(support.emulator())
            by_http = Function(stack, folder, f"http-{shape}", hooks(shape, "webhooks"), support.forwarder_env(vendor))
            for sample in sent:
                by_http.send(sample)
            expected = [line_of(message) for message in support.messages(vendor)]
        assert len(expected) == 41, (shape, len(expected))
        for broker, port in ways:
            topic = f"samples_{shape}_{port}_{broker.ports[port]}_{run}"
            make_topic(broker, topic)
            with contextlib.ExitStack() as stack:
                function = Function(stack, folder, topic, hooks(shape, topic), native(broker, port))
                for sample in sent:
                    function.send(sample)
            with reading(chosen, built, broker, topic) as running:
                running.wait(f"all of {topic} was read", lambda: set(expected) <= set(running.printed()))
                time.sleep(1)
                printed = running.printed()
            assert sorted(set(printed)) == sorted(set(expected)), set(printed) ^ set(expected)
            print(f"{shape} by {broker.name}'s {port}: {len(printed)} of {len(expected)} samples read by Apache's client",
                  flush=True)


def check_kill(broker, folder: pathlib.Path, chosen, built: pathlib.Path) -> None:
    """Kills the broker while deliveries arrive, and starts it again."""
    topic = f"killed_{uuid.uuid4().hex[:8]}"
    make_topic(broker, topic)
    text = support.HOOKS.replace("webhooks_conformance", topic).replace('"10s"', '"5s"')
    acknowledged, lock, ends = [], threading.Lock(), time.monotonic() + 12

    def deliver(worker: int, function: Function) -> None:
        number = 0
        while time.monotonic() < ends:
            number += 1
            body = json.dumps({"id": f"{worker}-{number}"}).encode()
            headers = {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": "application/json"}
            status = support.request(function.port, "POST", f"{BASE}/conformance", body, headers)[0]
            assert status in (200, 503), status
            if status == 200:
                with lock:
                    acknowledged.append(body)
            time.sleep(0.05)

    with contextlib.ExitStack() as stack:
        function = Function(stack, folder, topic, text, {"CONFORMANCE_TOKEN": support.TOKEN, **native(broker, "namesrv")})
        workers = [threading.Thread(target=deliver, args=(number, function)) for number in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(3)
        before = len(acknowledged)
        # The name server, the broker and the proxy at once.
        for pid in broker.running().values():
            os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        broker.up()
        for worker in workers:
            worker.join()
    assert before > 20, before
    expected = {body.hex() for body in acknowledged}
    with reading(chosen, built, broker, topic) as running:
        bodies = lambda: {line.split(" ")[-1] for line in running.printed()}
        with contextlib.suppress(AssertionError):
            running.wait("everything was read", lambda: expected <= bodies())
        lost = expected - bodies()
    assert not lost, f"{len(lost)} acknowledged deliveries are lost"
    print(f"kill -9 of {broker.name}: {len(acknowledged)} acknowledged ({before} before it), none lost", flush=True)


def main() -> None:
    support.cargo_build("hookmq-cli", "hookmq-emulator", "rocketmq")
    home = support.TARGET / "brokers-routes"
    home.mkdir(parents=True, exist_ok=True)
    started = {name: brokers.Broker(name, home, OFFSET) for name in ("rocketmq", "rocketmq-4.8")}
    try:
        for broker in started.values():
            broker.up()
        chosen, built = kit()
        with tempfile.TemporaryDirectory(prefix="routes-") as folder:
            folder = pathlib.Path(folder)
            check_samples(started, folder, chosen, built)
            check_kill(started["rocketmq"], folder, chosen, built)
        address = f"rocketmq://127.0.0.1:{started['rocketmq'].ports['namesrv']}"
        told = hookmq("demo", "--behind", address)
        assert told.endswith("PASS\n"), told[-2000:]
        print(f"hookmq demo --behind {address}: {told.splitlines()[-2]}")
    finally:
        for broker in started.values():
            broker.down()


if __name__ == "__main__":
    main()
