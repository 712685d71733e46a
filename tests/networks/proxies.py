"""Test of two instances behind nginx, HAProxy and Caddy, configured exactly as docs/reverse-proxy.md says.

    python3 -m tests.networks.proxies            ten restarts a proxy and signal: some ten minutes
    python3 -m tests.networks.proxies --ci       under a minute
    python3 -m tests.networks.proxies --install  as root on Debian: installs the proxies that are missing first
    python3 -m tests.networks.proxies --bin DIR  binaries that are built already (tdmq, hookmq-emulator)

What must hold, and no matter how long anything takes:

- strangers: unsigned and oversized requests are answered by what they are, and take no instance out;
- bursts over MAX_IN_FLIGHT are 200 or 503 with Retry-After, and over when they are over;
- bodies just below and above the limits get their answer;
- `/_/` is nobody's outside, and a sender's address is the sender's;
- restarts with SIGTERM: no error that a client sees; with SIGKILL: nothing acknowledged is lost.
"""
import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from tests import support

SECRET = "0123456789abcdef-proxies"
MIB = 1 << 20
# What a hook takes, and what the host reads on of what it refused, which the document lets through.
LIMIT = 6 * MIB
LINGER = 32 * MIB
CLOSED = "closed without an answer"
HOOKS = """
[hooks.github]
source = "github"
secrets = ["env:SECRET"]
topic = "pulsar-demo/webhooks/github"
[hooks.nine]
topic = "pulsar-demo/webhooks/nine"
verify = { kind = "network", cidrs = ["127.0.0.9/32"] }
"""
DOCUMENT = support.ROOT / "docs" / "reverse-proxy.md"
BACKENDS = ["10.0.0.11:9000", "10.0.0.12:9000"]

# As an operator begins: the defaults, and a limit that lets everything through.
NAIVE = {
    "nginx": """
upstream hookmq {
    server 10.0.0.11:9000;
    server 10.0.0.12:9000;
    keepalive 8;
}
server {
    listen 80;
    client_max_body_size 30m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / { proxy_pass http://hookmq; }
}
""",
    "haproxy": """
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
frontend hooks
    bind :80
    default_backend hookmq
backend hookmq
    option httpchk GET /_/ready
    default-server check inter 1s
    server one 10.0.0.11:9000
    server two 10.0.0.12:9000
""",
}
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy"}


class Wrong(AssertionError):
    """Violation of a rule that must hold."""


def blocks() -> dict[str, str]:
    found = re.findall(r"^```(nginx|haproxy|caddy)\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    assert [name for name, _ in found] == list(PROGRAMS), found
    return dict(found)


def install(is_asked: bool) -> list[str]:
    """Returns the proxies that are installed, and before that installs Debian's if that is asked for."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if is_asked and missing and os.geteuid() == 0 and shutil.which("apt-get"):
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=env, check=False, stdout=subprocess.DEVNULL)
        for program in missing:
            # Nothing of them is to run by itself.
            subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", program],
                           env=env | {"RUNLEVEL": "1"}, check=False, stdout=subprocess.DEVNULL)
    found = [program for program in PROGRAMS if shutil.which(program)]
    if not {"nginx", "haproxy"} <= set(found):
        sys.exit("nginx and haproxy are needed: install them, or let --install do it (as root, from Debian)")
    for program in PROGRAMS:
        if program not in found:
            print(f"skipped: {program} is not installed here", flush=True)
    return found


# Instances and proxies.


class Instance:
    """Process of the HTTP host, which can be ended and started again at the same port."""

    def __init__(self, binary: pathlib.Path, env: dict, scratch: pathlib.Path):
        self.port = support.free_port()
        self.command, self.log = [str(binary)], scratch / f"{self.port}.log"
        self.env = env | {"LISTEN": f"127.0.0.1:{self.port}"}
        self.begin()

    def begin(self) -> None:
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(self.command, env=self.env, stdout=out, stderr=subprocess.STDOUT)

    async def ready(self) -> None:
        for _ in range(600):
            if self.child.poll() is not None:
                raise Wrong(f"an instance ended with {self.child.returncode}: {self.log.read_text()[-500:]}")
            with contextlib.suppress(OSError, Wrong):
                if (await Client(self.port).once("GET", "/_/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.1)
        raise Wrong(f"never ready: {self.log.read_text()[-500:]}")

    async def end(self, how: signal.Signals) -> None:
        self.child.send_signal(how)
        while self.child.poll() is None:
            await asyncio.sleep(0.02)

    def gone(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


@contextlib.contextmanager
def instances(binary: pathlib.Path, scratch: pathlib.Path, vendor: int, **more: str):
    # The defaults for stopping, which other checks do without.
    own = {"DRAIN_AFTER": "3", "DRAIN_WITHIN": "6", "TRUST_PROXIES": "127.0.0.1", "READY": "all"}
    env = support.forwarder_env(vendor, HOOKS=HOOKS, SECRET=SECRET, **own | more)
    both = [Instance(binary, env, scratch) for _ in BACKENDS]
    try:
        yield both
    finally:
        for instance in both:
            instance.gone()


@contextlib.contextmanager
def proxy(name: str, block: str, both: list[Instance], scratch: pathlib.Path):
    """Starts the proxy with this configuration, at the test's addresses and folders, and yields its port."""
    port = support.free_port()
    for address, instance in zip(BACKENDS, both, strict=True):
        assert address in block, f"{name}: {address}"
        block = block.replace(address, f"127.0.0.1:{instance.port}")
    folder = scratch / f"{name}-{port}"
    folder.mkdir()
    file = folder / "conf"
    if name == "nginx":
        paths = "".join(f"{part}_temp_path {folder}/{part};\n"
                        for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        block = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
        file.write_text(f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/log;\n"
                        "events { worker_connections 4096; }\n"
                        f"http {{\naccess_log off;\n{paths}{block}}}\n")
        command = ["nginx", "-e", folder / "log", "-p", folder, "-c", file]
    elif name == "haproxy":
        file.write_text(f"global\n    maxconn 4096\n{block.replace('bind :80', f'bind 127.0.0.1:{port}')}")
        command = ["haproxy", "-db", "-q", "-f", file]
    else:
        block = block.replace("hooks.example.com {", f"http://:{port} {{")
        file.write_text(f"{{\n    admin off\n    auto_https off\n    default_bind 127.0.0.1\n}}\n{block}")
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", file]
    assert str(port) in file.read_text(), f"{name}: nothing listens"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with support.process(command, env, folder / "out") as child:
        try:
            support.wait_for(port, child)
            yield port
        except AssertionError as error:
            told = "".join((folder / part).read_text()[-1500:] for part in ("out", "log") if (folder / part).exists())
            raise Wrong(f"{name}: {error}\n{told}") from error


# Clients.


class Connection:
    """Connection of HTTP/1.1 over a socket. What was received is read even where writing fails."""

    def __init__(self):
        self.loop, self.socket, self.buffer = asyncio.get_running_loop(), socket.socket(), b""
        self.socket.setblocking(False)

    async def open(self, port: int, source: str | None) -> None:
        if source:
            self.socket.bind((source, 0))
        await self.loop.sock_connect(self.socket, ("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.socket.close()

    def is_open(self) -> bool:
        """Returns True if nothing has come since the last answer, not even an end."""
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(OSError):
                self.socket.recv(1)
            return False
        return True

    async def write(self, head: bytes, body: bytes, chunked: bool) -> None:
        parts = [body[at:at + 65536] for at in range(0, len(body), 65536)]
        if chunked:
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
        # One write where it is small, as senders do.
        if parts:
            head += parts.pop(0)
        for part in [head, *parts]:
            await self.loop.sock_sendall(self.socket, part)

    async def more(self) -> None:
        if not (read := await self.loop.sock_recv(self.socket, 65536)):
            raise ConnectionError("ended")
        self.buffer += read

    async def until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            await self.more()
        found, _, self.buffer = self.buffer.partition(end)
        return found

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.more()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    async def read(self) -> tuple[int, dict]:
        status = 0
        while status < 200:
            head = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if "content-length" in fields:
            fields["body"] = (await self.exactly(int(fields["content-length"]))).decode("latin-1")
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(await self.until(b"\r\n"), 16):
                await self.exactly(size + 2)
            await self.until(b"\r\n")
        else:
            fields["connection"] = "close"
        return status, fields


class Client:
    """Client that keeps its connections, as a balancer or a provider does."""

    def __init__(self, port: int):
        self.port, self.idle = port, []

    async def connection(self, source: str | None) -> Connection:
        while self.idle and source is None:
            if (kept := self.idle.pop()).is_open():
                return kept
            kept.close()
        connection = Connection()
        await connection.open(self.port, source)
        return connection

    async def once(self, method: str, path: str, body: bytes = b"", headers: dict | None = None, *,
                   chunked: bool = False, source: str | None = None, all_first: bool = False):
        """Returns status and header fields of one answer. `all_first` writes everything before it reads."""
        fields = {"Host": "hooks.example.com", **(headers or {})}
        fields |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        try:
            connection = await self.connection(source)
        except OSError as error:
            raise Wrong(f"no connection: {error}") from error
        writing = asyncio.ensure_future(connection.write(head.encode() + b"\r\n", body, chunked))
        try:
            if all_first:
                await writing
            status, answer = await connection.read()
            is_whole = writing.done() and not writing.exception()
        except (OSError, ValueError, IndexError) as error:
            is_whole = False
            raise Wrong(CLOSED) from error
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        # A proxy that answers early may read no further.
        if is_whole and answer.get("connection") != "close" and source is None:
            self.idle.append(connection)
        else:
            connection.close()
        return status, answer

    async def deliver(self, ident: str, body: bytes, **more):
        headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": ident,
                   "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"}
        return await self.once("POST", "/github", body, headers, **more)


def json_of(size: int) -> bytes:
    return b'{"text":"' + b"x" * (size - 11) + b'"}'


class Load:
    """Source of genuine deliveries at a rate, each with an id of its own, until it is told to end. On a
    machine that is too slow for the rate they are fewer, and not late: nothing must fail for that."""

    MOST = 48

    def __init__(self, port: int, rate: int):
        self.client, self.rate = Client(port), rate
        self.acknowledged, self.errors, self.times = set(), [], []
        self.count, self.is_over = 0, False

    async def __aenter__(self):
        self.running = asyncio.ensure_future(self.run())
        return self

    async def __aexit__(self, *_):
        self.is_over = True
        await self.running

    async def run(self) -> None:
        body, under_way, begin = json_of(2600), set(), time.monotonic()
        while not self.is_over:
            due = int((time.monotonic() - begin) * self.rate)
            # After a stall it goes on at its rate.
            due = min(due, self.count + self.rate // 10 + 1)
            while self.count < due and len(under_way) < self.MOST:
                task = asyncio.ensure_future(self.one(f"load-{self.client.port}-{self.count}", body))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                self.count += 1
            await asyncio.sleep(0.005)
        self.seconds = time.monotonic() - begin
        while under_way:
            await asyncio.wait(under_way)

    async def one(self, ident: str, body: bytes) -> None:
        begin = time.monotonic()
        try:
            status, _ = await self.client.deliver(ident, body)
        except (Wrong, OSError) as error:
            status = str(error)
        self.times.append(time.monotonic() - begin)
        if status == 200:
            self.acknowledged.add(ident)
        else:
            self.errors.append(status)

    def p99(self) -> float:
        times = sorted(self.times)
        return round(1000 * times[len(times) * 99 // 100], 1) if times else 0.0

    def told(self) -> dict[str, int]:
        return {str(error): self.errors.count(error) for error in sorted(set(self.errors), key=str)}


def lost(emulator: int, acknowledged: set[str]) -> tuple[set[str], int]:
    """Returns the acknowledged deliveries that are not in the queue, and how many are there twice."""
    stored = [json.loads(message["text"])["id"] for message in support.messages(emulator)]
    return acknowledged - set(stored), len(stored) - len(set(stored))


def latency(emulator: int, milliseconds: int) -> None:
    plan = [{"fault": {"latency_ms": milliseconds}, "vendor": "tdmq", "times": 0}]
    status, _, told = support.request(emulator, "PUT", "/_/faults", json.dumps(plan).encode())
    assert status in (200, 204), told


# What is tried.


async def strangers(port: int, seconds: float, lenient: str) -> list[str]:
    """Sends requests without a signature that are too large, wrong, or both, beside genuine deliveries."""
    big, small = b"x" * (7 * MIB), b"x" * 900_000
    tries = [("/github", big, False, {413}), ("/github", big, True, {413}), ("/nothing", big, False, {404, 413}),
             ("/nothing", big, True, {404, 413}), ("/_/health", small, False, {404, 405}),
             ("/_/ready", small, True, {404, 405}), ("/nothing", small, False, {404})]
    wrong = []
    async with Load(port, 50) as load:
        await asyncio.sleep(seconds / 3)
        for all_first in (False, True):
            for path, body, chunked, wanted in tries:
                # Twice, for each of the instances.
                for _ in BACKENDS:
                    try:
                        status, _ = await Client(port).once("POST", path, body, chunked=chunked, all_first=all_first)
                    except Wrong as error:
                        status = str(error)
                    if status not in wanted and not (status == CLOSED and may_close(lenient, path, all_first)):
                        how = " in chunks" * chunked + ", written first" * all_first
                        wrong.append(f"{path}, {len(body)} bytes{how}: {status}")
        await asyncio.sleep(seconds * 2 / 3)
    if load.errors:
        wrong.append(f"genuine deliveries: {load.told()} of {load.count}")
    return wrong


async def bursts(port: int, size: int) -> list[str]:
    """Sends more deliveries at a time than there is room for, then three by themselves."""
    client, gate, answers = Client(port), asyncio.Semaphore(40), []

    async def one(number: int) -> None:
        async with gate:
            try:
                status, fields = await client.deliver(f"burst-{port}-{size}-{number}", json_of(size))
                answers.append("503 without Retry-After" if status == 503 and "retry-after" not in fields else status)
            except (Wrong, OSError) as error:
                answers.append(str(error))

    await asyncio.gather(*map(one, range(120)))
    wrong = [f"{answer}: {answers.count(answer)} of 120 with {size} bytes" for answer in set(answers) - {200, 503}]
    for number in range(3):
        try:
            status, _ = await Client(port).deliver(f"after-{port}-{size}-{number}", json_of(2600))
        except Wrong as error:
            status = str(error)
        if status != 200:
            wrong.append(f"afterwards, with {size} bytes: {status}")
    return wrong


def may_close(proxy: str, path: str, all_first: bool) -> bool:
    """Returns True where a proxy ends the connection with its sender's body unread, which is not ours to
    mend: HAProxy where it refuses by itself, Caddy where it has passed an answer on before the body's end."""
    return proxy == "haproxy" and path.startswith("/_/") or proxy == "caddy" and all_first


async def edges(port: int, lenient: str) -> list[str]:
    """Sends bodies just below and above what a hook takes, and what is let through."""
    wrong = []

    async def expect(what: str, wanted: set, sending) -> None:
        try:
            status, _ = await sending
        except Wrong as error:
            status = str(error)
        if status not in wanted:
            wrong.append(f"{what}: {status}")

    for chunked in (False, True):
        how = " in chunks" if chunked else ""
        for size, wanted in ((LIMIT - 1, {200}), (LIMIT, {200}), (LIMIT + 1, {413}), (LINGER - 1024, {413})):
            sending = Client(port).deliver(f"edge-{port}-{size}{how}", json_of(size), chunked=chunked)
            await expect(f"{size} bytes{how}", wanted, sending)
        for size in (LIMIT + 1, LINGER - 1024):
            sending = Client(port).once("POST", "/github", b"x" * size, chunked=chunked, all_first=True)
            wanted = {413, CLOSED} if may_close(lenient, "/github", True) else {413}
            await expect(f"{size} bytes{how}, written first", wanted, sending)
        # What the proxy refuses is its own to answer: nobody else must suffer from it.
        for size in (LINGER + 1, LINGER + 8 * MIB):
            sending = Client(port).once("POST", "/github", b"x" * size, chunked=chunked, all_first=True)
            await expect(f"{size} bytes{how}, written first", {413, CLOSED}, sending)
            for number in range(4):
                sending = Client(port).deliver(f"edged-{port}-{size}{how}-{number}", json_of(2600))
                await expect(f"after {size} bytes{how}", {200}, sending)
    return wrong


async def outside(name: str, port: int) -> list[str]:
    """Checks that nobody outside sees `/_/`, and that no sender can claim another address."""
    wrong = []
    for path in ("/_/health", "/_/ready", "/_/metrics", "//_/health", "/./_/health", "/x/../_/health", "/%5f/health",
                 "/_%2fhealth", "/_/health?x", "http://hooks.example.com/_/health"):
        status, fields = await Client(port).once("GET", path)
        if status < 400 or "hookmq_" in fields.get("body", ""):
            wrong.append(f"{name}: {path}: {status}")
    claims = [{}, {"X-Forwarded-For": "127.0.0.9"}, {"Forwarded": "for=127.0.0.9"}, {"X-Real-IP": "127.0.0.9"},
              {"X-Forwarded-For": "127.0.0.9", "Forwarded": "for=127.0.0.9"},
              {"X-Forwarded-For": "127.0.0.9, 127.0.0.1"}, {"X-Forwarded-For": "127.0.0.9,"},
              {"Forwarded": 'for="127.0.0.9'}]
    for source, wanted in (("127.0.0.9", 200), ("127.0.0.8", 401)):
        for claim in claims:
            status, _ = await Client(port).once("POST", "/nine", b"{}", claim, source=source)
            if status != wanted:
                wrong.append(f"{name}: from {source} with {claim}: {status}")
    return wrong


async def restarts(port: int, both: list[Instance], how: signal.Signals, times: int, rate: int) -> Load:
    """Restarts one instance after the other, as an operator does it: each when the last is ready again."""
    async with Load(port, rate) as load:
        await asyncio.sleep(1)
        for number in range(times):
            instance = both[number % len(both)]
            await instance.end(how)
            instance.begin()
            await instance.ready()
            # For the proxy to know, where it asks.
            await asyncio.sleep(1)
    return load


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("--install", action="store_true", help="install the proxies that are missing")
    parser.add_argument("--bin", type=pathlib.Path)
    parser.add_argument("--only", choices=["strangers", "bursts", "edges", "outside", "restarts"])
    parser.add_argument("--proxy", choices=list(PROGRAMS))
    asked = parser.parse_args()
    if not asked.bin:
        support.cargo_build("tdmq", "hookmq-emulator")
    folder = asked.bin or support.binary("tdmq").parent
    support.binary = lambda name: folder / name
    names = [name for name in install(asked.install) if asked.proxy in (None, name)]
    documented = blocks()
    configurations = [(name, "document", documented[name]) for name in names]
    if asked.only in (None, "strangers", "bursts"):
        naive = [(name, "defaults", NAIVE[name]) for name in names if name in NAIVE]
    else:
        naive = []
    wrong, table = [], []
    short, rate = asked.ci, 200

    def due(what: str) -> bool:
        return asked.only in (None, what)

    def note(what: str, found: list[str]) -> None:
        wrong.extend(f"{what}: {each}" for each in found)
        print(f"{what}: {'right' if not found else found}", flush=True)

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        scratch = pathlib.Path(name)
        scratch.chmod(0o755)
        emulator = stack.enter_context(support.emulator())

        def pair(**more: str):
            return instances(folder / "tdmq", scratch, emulator, **more)

        def run(both, block: str, program: str, work):
            async def whole():
                for instance in both:
                    await instance.ready()
                with proxy(program, block, both, scratch) as port:
                    return await work(port)
            return asyncio.run(whole())

        for program, which, block in configurations + naive:
            title = f"{program} ({which})"
            if due("strangers"):
                lenient = program if which == "document" else ""
                with pair() as both:
                    note(f"strangers, {title}",
                         run(both, block, program, lambda port: strangers(port, 1 if short else 12, lenient)))
            # In short: those that failed.
            if due("bursts") and (not short or program == "nginx" or which == "document"):
                latency(emulator, 400)
                for size in (60_000,) if short else (60_000, 600_000):
                    with pair(MAX_IN_FLIGHT="8") as both:
                        note(f"bursts, {title}", run(both, block, program, lambda port: bursts(port, size)))
                latency(emulator, 0)
        for program, which, block in configurations:
            title = f"{program} ({which})"
            if due("edges"):
                spill = scratch / f"spill-{program}"
                spill.mkdir()
                with pair(SPILL_URL=f"file://{spill}") as both:
                    note(f"edges, {title}", run(both, block, program, lambda port: edges(port, program)))
            if due("outside"):
                with pair() as both:
                    note(f"outside, {title}", run(both, block, program, lambda port: outside(program, port)))
            if due("restarts") and not (short and program == "caddy"):
                latency(emulator, 40)
                for how in (signal.SIGTERM, signal.SIGKILL):
                    support.request(emulator, "DELETE", "/_/messages")
                    # One second is enough for these proxies' checks.
                    with pair(**({"DRAIN_AFTER": "1"} if short else {})) as both:
                        load = run(both, block, program,
                                   lambda port: restarts(port, both, how, 2 if short else 10, rate))
                    gone, repeats = lost(emulator, load.acknowledged)
                    found = [f"acknowledged and lost: {len(gone)}"] if gone else []
                    if load.errors and how == signal.SIGTERM:
                        found.append(f"{load.told()} of {load.count}")
                    note(f"restarts with {how.name}, {title}", found)
                    pace = round(load.count / load.seconds)
                    table.append((program, how.name, load.count, pace, load.told() or 0, len(gone), repeats,
                                  load.p99()))
                latency(emulator, 0)
    if table:
        print("| Proxy | Signal | Sent | A second | Errors | Acknowledged and lost | Repeats | p99 ms |\n"
              "|---|---|---:|---:|---|---:|---:|---:|")
        for row in table:
            print("| " + " | ".join(map(str, row)) + " |")
    for each in wrong:
        print(f"WRONG {each}")
    print("proxies: " + (f"{len(wrong)} wrong" if wrong else "right"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
