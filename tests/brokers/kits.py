"""Check that each kit of consumers/ reads what hookmq writes, from the real brokers that it is for.

    python3 -m tests.in_venv brokers.kits                                every kit
    KITS="go-pulsar java-pulsar" python3 -m tests.in_venv brokers.kits   these

A kit is copied, built as its first lines say, and started against each broker that it reads. The test holds what it
prints against what was sent, and then does the same with a copy that does not look at `webhookverified`, which must
fail. Nothing of this machine's own brokers is touched: the test starts its own, on other ports.
"""
import contextlib
import dataclasses
import datetime
import http.server
import importlib.machinery
import importlib.util
import ipaddress
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import uuid

import pulsar
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from tests import golang
from tests.brokers import messages
from tests.support import ROOT, TARGET

HOME = TARGET / "brokers-kits"
# Below the ports that a system gives to outgoing connections.
OFFSET = 7000
# Seconds that a kit has for all messages of a run, of which there are some 400.
PATIENCE = 60
BODY = ("{\"claim\":\"" + "x" * 300_000 + "\"}").encode()


def script():
    """Returns scripts/brokers as a module."""
    loader = importlib.machinery.SourceFileLoader("brokers", str(ROOT / "scripts" / "brokers"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("brokers", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


brokers = script()


@dataclasses.dataclass
class Kit:
    """A folder of consumers/: how it is built and started, and the edits that the test makes in a copy."""
    name: str
    file: str
    brokers: list[str]
    build: list[str]
    run: list[str]
    # The end of the line that prints, and what stands there to print the data as digits too.
    prints: tuple[str, str]
    # The text that compares `webhookverified`, and one that is satisfied with anything.
    verifies: tuple[str, str]
    # Lines that are not blank. gofmt gives each error three lines, so Go needs more.
    lines: int = 120
    env: dict = dataclasses.field(default_factory=dict)


MAVEN = ["mvn -q -B compile dependency:copy-dependencies -DoutputDirectory=target/lib"]
JAVA = ["java", "-cp", "target/classes:target/lib/*", "Consumer"]
JAVA_EDITS = {
    "prints": ('" " + subject);', '" " + subject + " " + java.util.HexFormat.of().formatHex(data));'),
    "verifies": ('!env("WEBHOOK_VERIFIED", "body").equals(verified)', "false"),
}
PIP = ["test -x venv/bin/python || python3 -m venv venv", "venv/bin/python -m pip install -q -r requirements.txt"]
PYTHON = ["./venv/bin/python", "consumer.py"]
PYTHON_EDITS = {
    "prints": ('or "-", flush', 'or "-", data.hex(), flush'),
    "verifies": ('event.get_extension("webhookverified") != env("WEBHOOK_VERIFIED", "body")', "False"),
}
GO = {
    "lines": 140,
    "build": ["go build -o consumer ."], "run": ["./consumer"],
    "prints": ('cmp.Or(e.Subject(), "-"))', 'cmp.Or(e.Subject(), "-"), fmt.Sprintf("%x", data))'),
    "verifies": ('verified != env("WEBHOOK_VERIFIED", "body")', 'verified == ""'),
}
KITS = [
    Kit("java-rocketmq", "Consumer.java", ["rocketmq", "rocketmq-4.8"], MAVEN, JAVA, **JAVA_EDITS),
    Kit("java-pulsar", "Consumer.java", ["pulsar"], MAVEN, JAVA, **JAVA_EDITS),
    Kit("go-rocketmq", "main.go", ["rocketmq", "rocketmq-4.8"], **GO),
    Kit("go-pulsar", "main.go", ["pulsar"], **GO),
    Kit("typescript-rocketmq", "consumer.ts", ["rocketmq"],
        ["npm install --no-audit --no-fund --silent", "npm run --silent build"], ["node", "consumer.js"],
        prints=('?? "-");', '?? "-", data.toString("hex"));'),
        verifies=('webhookverified !== env("WEBHOOK_VERIFIED", "body")', "false")),
    Kit("java-rocketmq-grpc", "Consumer.java", ["rocketmq"], MAVEN, JAVA, **JAVA_EDITS),
    Kit("rust-pulsar", "src/main.rs", ["pulsar"], ["cargo build --quiet --locked && cp $CARGO_TARGET_DIR/debug/webhook-consumer ."],
        ["./webhook-consumer"], lines=140,
        prints=('"{} {} {}", event.ty(), event.id(), event.subject().unwrap_or("-"))',
                '"{} {} {} {}", event.ty(), event.id(), event.subject().unwrap_or("-"),'
                ' data.iter().map(|b| format!("{b:02x}")).collect::<String>())'),
        verifies=('verified != env("WEBHOOK_VERIFIED", "body")', "false")),
    Kit("python-rocketmq", "consumer.py", ["rocketmq"], PIP, PYTHON, **PYTHON_EDITS),
    Kit("python-pulsar", "consumer.py", ["pulsar"], PIP, PYTHON, **PYTHON_EDITS),
]


class Store(http.server.BaseHTTPRequestHandler):
    """The store that a `dataref` leads to, behind https."""

    def do_GET(self) -> None:
        found = self.path == "/objects/claims/tdmq/github/0b4f"
        self.send_response(200 if found else 404)
        self.send_header("content-length", str(len(BODY) if found else 0))
        self.end_headers()
        self.wfile.write(BODY if found else b"")

    def log_message(self, *_) -> None:
        pass


def certificates(folder: pathlib.Path) -> None:
    """Writes a certificate authority, as PEM and as a trust store of Java, and a certificate for this machine."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(name: str, key, issuer: str, issuer_key, *extensions):
        built = x509.CertificateBuilder().subject_name(called(name)).issuer_name(called(issuer))
        built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
        built = built.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(1))
        for extension, critical in extensions:
            built = built.add_extension(extension, critical)
        return built.sign(issuer_key, hashes.SHA256())

    called = lambda name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = signed("kits CA", ca_key, "kits CA", ca_key, (x509.BasicConstraints(True, None), True))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"),
                                         x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = signed("localhost", key, "kits CA", ca_key, (x509.BasicConstraints(False, None), True), (names, False))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    trusted = [pkcs12.PKCS12Certificate(ca, b"ca")]
    (folder / "ca.p12").write_bytes(pkcs12.serialize_java_truststore(
        trusted, serialization.BestAvailableEncryption(b"changeit")))


@contextlib.contextmanager
def store():
    """Serves the body of a reference over https, and yields the environment that makes a kit find and trust it."""
    certificates(HOME)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HOME / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trust = f"-Djavax.net.ssl.trustStore={HOME}/ca.p12 -Djavax.net.ssl.trustStorePassword=changeit"
    try:
        yield {
            "DATAREF_PREFIX": "s3://bucket/", "DATAREF_BASE": f"https://localhost:{server.server_port}/objects/",
            "SSL_CERT_FILE": f"{HOME}/ca.pem", "NODE_EXTRA_CA_CERTS": f"{HOME}/ca.pem", "JAVA_TOOL_OPTIONS": trust,
        }
    finally:
        server.shutdown()


def build(kit: Kit, sabotaged: bool) -> pathlib.Path:
    """Returns a copy of a kit that was built, with the edits of the test."""
    folder = HOME / "kits" / (f"{kit.name}-sabotaged" if sabotaged else kit.name)
    original = ROOT / "consumers" / kit.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in original.rglob("*"):
        if path.is_file() and not {"target", "venv", "node_modules"} & set(path.parts[len(original.parts):]):
            (folder / path.relative_to(original)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(original))
    text = (original / kit.file).read_text()
    lines = [line for line in re.sub(r"^import \(.*?^\)", "", text, flags=re.M | re.S).splitlines() if line.strip()]
    limit = kit.lines
    assert len(lines) <= limit, f"{kit.name}: {len(lines)} lines without blank ones, of which {limit} are allowed"
    for edit in [kit.prints, kit.verifies] if sabotaged else [kit.prints]:
        assert text.count(edit[0]) == 1, f"{kit.name}: the test edits `{edit[0]}`, which is not there once"
        text = text.replace(*edit)
    (folder / kit.file).write_text(text)
    env = {**os.environ, "CARGO_TARGET_DIR": str(HOME / "rust")}
    if kit.name.startswith("go-"):
        go, env = golang.program()
        env["PATH"] = f"{go.parent}{os.pathsep}{env['PATH']}"
    for command in kit.build:
        if subprocess.run(command, shell=True, cwd=folder, env=env, stdin=subprocess.DEVNULL).returncode:
            raise AssertionError(f"{kit.name}: `{command}` failed")
    return folder


class Running:
    """A kit that runs, and the lines that it has printed."""

    def __init__(self, kit: Kit, folder: pathlib.Path, env: dict):
        self.kit, self.out, self.err = kit, folder / "out.txt", folder / "err.txt"
        command = [str(folder / kit.run[0]) if kit.run[0].startswith("./") else kit.run[0], *kit.run[1:]]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = subprocess.Popen(command, cwd=folder, env={**os.environ, **kit.env, **env}, stdout=out,
                                          stderr=err, stdin=subprocess.DEVNULL)

    def printed(self) -> list[str]:
        # Some clients log to the standard output.
        return [line for line in self.out.read_text().splitlines() if re.match(r"[a-z]+\.\S+( \S+){2,} [0-9a-f]*$", line)]

    def told(self) -> str:
        return self.err.read_text(errors="replace")

    def wait(self, what: str, is_there, seconds: float = PATIENCE) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            ended = self.child.poll() is not None
            if ended or time.monotonic() > until:
                raise AssertionError(f"{self.kit.name}: {'ended' if ended else 'time is up'} before {what}; its "
                                     f"{len(self.printed())} lines and the end of its errors:\n{self.told()[-3000:]}"
                                     f"\n{self.out.read_text()[-1000:][:300]}")
            time.sleep(0.2)

    def stop(self) -> None:
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def settings(broker, topic: str) -> dict:
    """Returns the settings with which a kit reads a topic."""
    ports = broker.ports
    if broker.name == "pulsar":
        return {"SERVICE_URL": f"pulsar://127.0.0.1:{ports['binary']}", "GROUP": "kit",
                "TOPIC": f"persistent://public/default/{topic}"}
    login = {"ACCESS_KEY": brokers.ACCESS_KEY, "SECRET_KEY": brokers.SECRET_KEY}
    return {"NAME_SERVER": f"127.0.0.1:{ports['namesrv']}", "TOPIC": topic, "GROUP": f"group_{topic}",
            **({"ENDPOINT": f"127.0.0.1:{ports['grpc']}"} if "grpc" in ports else login)}


class Topic:
    """A topic of its own on one broker, and the ways to write to it and to name it to a kit."""

    def __init__(self, broker, name: str):
        self.broker, self.name = broker, name
        self.is_pulsar = broker.name == "pulsar"
        if self.is_pulsar:
            self.client = pulsar.Client(f"pulsar://127.0.0.1:{broker.ports['binary']}",
                                        logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
            self.producer = self.client.create_producer(f"persistent://public/default/{name}")
        elif broker.name == "rocketmq":
            brokers.make_topic(broker.ports["broker"], name)

    def send(self, sample: messages.Sample, bare: bool = False) -> None:
        if self.is_pulsar:
            self.producer.send(sample.text, properties={} if bare else sample.to_pulsar())
        else:
            brokers.publish(self.broker.ports["broker"], self.name, sample.text, sample.properties,
                            signed=self.broker.name == "rocketmq-4.8")

    def env(self) -> dict:
        return settings(self.broker, self.name)

    def close(self) -> None:
        if self.is_pulsar:
            self.client.close()


def check(kit: Kit, broker, folder: pathlib.Path, trust: dict, sent: list[messages.Sample], sabotaged: bool) -> int:
    """Runs a kit on a topic of its own and returns the number of messages that it read as they were meant."""
    unverified = messages.sample("forged", "erp", "application/json", b'{"forged":true}', webhookverified="none")
    referring = messages.sample("referring", "github", "application/json", BODY,
                                dataref="s3://bucket/claims/tdmq/github/0b4f")
    elsewhere = messages.sample("elsewhere", "github", "application/json", b"{}", dataref="file:///etc/hostname")
    last = messages.sample("last", "github", "application/json", b'{"last":true}')
    topic = Topic(broker, f"kit_{kit.name}_{uuid.uuid4().hex[:8]}")
    (folder / "seen.db").unlink(missing_ok=True)
    running = None
    try:
        for message in sent:
            # Over TDMQ's HTTP API a message has no properties, and an envelope needs none.
            topic.send(message, bare=bool(re.fullmatch(r"structured-\d*2", message.attributes["id"])))
        for message in (unverified, referring, elsewhere):
            topic.send(message)
        if topic.is_pulsar:
            # What comes raw over TDMQ's HTTP API says neither its id nor its verification: no line may come of it.
            topic.send(messages.sample("bare", "github", "text/plain", b"bare", raw=True), bare=True)
        running = Running(kit, folder, {**topic.env(), **trust})
        running.wait("the messages were read", lambda: len(running.printed()) > len(sent))
        # The first delivery comes a second time, as it does where a receipt was lost.
        for message in (sent[0], last):
            topic.send(message)
        running.wait("the last message was read", lambda: any(" last " in line for line in running.printed()))
        running.wait("the repeat was noticed", lambda: f"repeat {sent[0].attributes['id']}" in running.told(), 30)
        if not sabotaged:
            running.wait("the unverified message was refused", lambda: "refused forged" in running.told(), 30)
            running.wait("the foreign reference was refused", lambda: "file:///etc/hostname" in running.told(), 30)
        time.sleep(1)
        expected = sorted(message.line for message in [*sent, referring, last])
        printed = sorted(running.printed())
        extra = [line for line in printed if line not in expected or printed.count(line) > expected.count(line)]
        missing = [line for line in expected if line not in printed]
        shown = lambda lines: "\n".join(line[:300] for line in lines[:5])
        assert printed == expected, (f"{kit.name}: {len(extra)} lines too many:\n{shown(extra)}\n"
                                     f"{len(missing)} missing:\n{shown(missing)}")
        return len(printed)
    finally:
        if running:
            running.stop()
        topic.close()


def prove(kit: Kit, started: dict, trust: dict, sent: list[messages.Sample]) -> None:
    """Proves a kit on each of its brokers, and that the proof fails without the check of `webhookverified`."""
    begun = time.monotonic()
    folder = build(kit, sabotaged=False)
    built = time.monotonic()
    for name in kit.brokers:
        count = check(kit, started[name], folder, trust, sent, sabotaged=False)
        print(f"{kit.name} on {name}: {count} messages as they were meant, one repeat dropped, one message refused",
              flush=True)
    folder = build(kit, sabotaged=True)
    try:
        check(kit, started[kit.brokers[0]], folder, trust, sent[:1], sabotaged=True)
    except AssertionError as failure:
        assert "1 lines too many" in str(failure) and " forged " in str(failure), failure
    else:
        raise AssertionError(f"{kit.name}: the test passes a kit that does not look at webhookverified")
    print(f"{kit.name}: a copy without the check of webhookverified is noticed "
          f"({built - begun:.0f} s to build, {time.monotonic() - built:.0f} s to try)", flush=True)


def main() -> None:
    wanted = os.environ.get("KITS", "").split()
    kits = [kit for kit in KITS if not wanted or kit.name in wanted]
    assert kits and (not wanted or len(kits) == len(wanted)), f"the kits are {[kit.name for kit in KITS]}"
    folders = {path.name for path in (ROOT / "consumers").iterdir() if path.is_dir()}
    assert wanted or folders == {kit.name for kit in KITS}, f"consumers/ has {folders}"
    HOME.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for kit in kits for name in kit.brokers))
    started = {name: brokers.Broker(name, HOME, OFFSET) for name in names}
    # Whoever works on a kit can leave them running: scripts/brokers --offset 7000 up all target/brokers-kits
    ours = [broker for broker in started.values() if not broker.running()]
    failed = []
    try:
        for broker in started.values():
            broker.up()
        sent = messages.samples()
        with store() as trust:
            for kit in kits:
                try:
                    prove(kit, started, trust, sent)
                except AssertionError as failure:
                    print(f"FAILED {failure}", flush=True)
                    failed.append(kit.name)
    finally:
        for broker in ours:
            broker.down()
    print(f"{len(kits) - len(failed)} passed, {len(failed)} failed")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
