"""Instructions of a forwarder: to start, for its first delivery, and for one that follows.

    cargo build --release -p tdmq
    python3 -m tests.load.delivery_instructions [BINARY]         # one hook, 4 KB, on Lambda and as a server
    python3 -m tests.load.delivery_instructions --ci [BINARY]    # 20 hooks, 2.6 and 6 KB, on Lambda, against the budget

valgrind counts a run without a delivery, one with one, and one with 101: the differences tell. Each is counted
as a Lambda function, whose start ends with the first question for work, and as an HTTP server, whose run without
a delivery also writes the store's probe and ends. The vendor is the emulator on the loopback without TLS, the
store a folder, the delivery a signed GitHub push. Counts do not depend on the machine's load; with `--ci`, more
than the budget allows fails the run.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests import support

SECRET = "0123456789abcdef0123"
ONE_HOOK = f'[hooks.h]\nsource = "github"\nsecrets = ["plain:{SECRET}"]\ntopic = "a/b/c"\n'
# Ten sources, two hooks each.
SOURCES = ["github", "gitlab-secret-token", "stripe", "shopify", "slack", "linear", "sentry", "zoom", "dropbox", "intercom"]
TWENTY_HOOKS = ONE_HOOK + "".join(
    f'[hooks.{source}-{n}]\nsource = "{source}"\nsecrets = ["plain:{SECRET}"]\ntopic = "a/b/{source}"\n'
    for source in SOURCES for n in (1, 2) if (source, n) != ("github", 1))
TIMES = 100
# The most instructions that `--ci` allows: about 2 % more than what was counted when a figure was last set.
BUDGET = {
    "start, 20 hooks": 4_985_000,
    "a delivery of 2.6 KB that follows": 860_000,
    "a delivery of 6 KB that follows": 1_297_000,
}


def push(size: int) -> bytes:
    """Returns a GitHub push of so many bytes: as many commits as fit, and a message that fills the rest."""
    def written(commits: int, fill: int) -> bytes:
        return json.dumps({
            "ref": "refs/heads/main", "before": "0" * 40, "after": "1" * 40, "compare": "https://example.com/compare",
            "repository": {"id": 1296269, "full_name": "octocat/Hello-World", "private": False, "stargazers_count": 80},
            "pusher": {"name": "octocat", "email": "octocat@example.com"},
            "commits": [{
                "id": f"{n:040}", "message": "Fix \"all\" the bugs\n\n" + "x" * (fill if n == 0 else 60),
                "timestamp": "2026-01-01T00:00:00Z", "author": {"name": "Mona Lisa", "email": "mona@example.com"},
                "added": [], "removed": ["docs/old.md"], "modified": ["src/lib.rs", "README.md"],
            } for n in range(commits)],
        }).encode()

    commits = 1
    while len(written(commits + 1, 0)) <= size:
        commits += 1
    return written(commits, size - len(written(commits, 0)))


class Sender:
    """Provider that signs deliveries of one body."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()

    def headers(self, number: int) -> dict:
        """Returns the headers of one delivery, under an id of its own."""
        return {
            "Content-Type": "application/json", "X-GitHub-Event": "push",
            "X-GitHub-Delivery": f"id-{number:05}", "X-Hub-Signature-256": self.signature,
        }


def environment(hooks: str, emulator: int, spill: str) -> dict:
    """Returns the variables that a forwarder of either host needs."""
    return {
        "HOOKS": hooks, "SPILL_URL": f"file://{spill}", "DURABLE_FOLDER": spill,
        "TDMQ_ENDPOINT": f"http://127.0.0.1:{emulator}",
        "TENCENTCLOUD_SECRET_ID": support.SECRET_ID, "TENCENTCLOUD_SECRET_KEY": support.SECRET_KEY,
        "TENCENTCLOUD_REGION": "ap-guangzhou",
    }


def begin(binary: pathlib.Path, env: dict) -> subprocess.Popen:
    """Starts the binary in valgrind."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(child: subprocess.Popen) -> int:
    """Ends the process and returns the instructions that were counted."""
    child.send_signal(signal.SIGTERM)
    counted = re.search(r"Collected : (\d+)", child.communicate(timeout=60)[1])
    assert counted, "valgrind counted nothing"
    return int(counted[1])


def server(binary: pathlib.Path, env: dict, sender: Sender, deliveries: int) -> int:
    """Counts the instructions of a whole run as an HTTP server with so many deliveries."""
    port = support.free_port()
    child = begin(binary, env | {"LISTEN": f"127.0.0.1:{port}", "DRAIN_AFTER": "0"})
    support.wait_for(port, child, 60)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(deliveries):
        connection.request("POST", "/h", sender.body, sender.headers(number))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()
    time.sleep(0.3)
    return end(child)


class Runtime(http.server.BaseHTTPRequestHandler):
    """Runtime API of Lambda, with so many events of an HTTP API."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.server.given == self.server.deliveries:
            self.server.idle.set()
            self.server.over.wait()
            self.close_connection = True
            return
        number = self.server.given
        self.server.given += 1
        self.answer(200, json.dumps({
            "version": "2.0", "routeKey": "$default", "rawPath": "/h", "rawQueryString": "",
            "headers": self.server.sender.headers(number), "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "example.com", "domainPrefix": "a",
                "requestId": f"r{number}", "routeKey": "$default", "stage": "$default",
                "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1767225600000, "http": {
                    "method": "POST", "path": "/h", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "g",
                },
            },
            "body": base64.b64encode(self.server.sender.body).decode(), "isBase64Encoded": True,
        }).encode(), {
            "Lambda-Runtime-Aws-Request-Id": f"r{number}",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
        })

    def do_POST(self):
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.refused += answer.get("statusCode") != 200
        self.answer(202, b"", {})

    def answer(self, status: int, body: bytes, fields: dict):
        """Writes an answer."""
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def function(binary: pathlib.Path, env: dict, sender: Sender, deliveries: int) -> int:
    """Counts the instructions of a Lambda function until it asks for work after so many deliveries."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime) as runtime:
        runtime.daemon_threads, runtime.sender = True, sender
        runtime.deliveries, runtime.given, runtime.refused = deliveries, 0, 0
        runtime.idle, runtime.over = threading.Event(), threading.Event()
        threading.Thread(target=runtime.serve_forever, daemon=True).start()
        child = begin(binary, env | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_LAMBDA_LOG_GROUP_NAME": "g", "AWS_REGION": "eu-west-1",
        })
        late = time.monotonic() + 120
        while not runtime.idle.wait(0.2):
            assert child.poll() is None, f"it ended: {child.communicate()[1][-500:]}"
            assert time.monotonic() < late, "it did not ask for work"
        time.sleep(0.3)
        counted = end(child)
        runtime.over.set()
        runtime.shutdown()
        assert runtime.refused == 0, runtime.refused
        return counted


def count(host, binary: pathlib.Path, hooks: str, body: bytes, emulator: int) -> tuple:
    """Counts the instructions to start, for the first delivery, and for one that follows."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(hooks, emulator, folder)
        start, one, many = (host(binary, env, Sender(body), deliveries) for deliveries in (0, 1, 1 + TIMES))
    return start, one - start, (many - one) // TIMES


def by_budget(binary: pathlib.Path, emulator: int) -> int:
    """Counts what the budget names, prints it, and returns 1 if any count is over its limit."""
    small, large = (count(function, binary, TWENTY_HOOKS, push(size), emulator) for size in (2600, 6000))
    failed = 0
    for (name, most), counted in zip(BUDGET.items(), (small[0], small[2], large[2])):
        failed |= counted > most
        print(f"{name}: {counted} instructions, {most} at most{': OVER' if counted > most else ''}")
    print(f"the first delivery of 2.6 KB: {small[1]} instructions, of 6 KB: {large[1]}")
    return failed


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ci", action="store_true", help="20 hooks, on Lambda, against the budget")
    arguments.add_argument("binary", nargs="?", type=pathlib.Path,
                           help="by default the release build, with --ci the zip for Lambda")
    given = arguments.parse_args()
    binary = given.binary or (support.shipped("tdmq") if given.ci else support.TARGET / "release" / "tdmq")
    port = support.free_port()
    # The vendor is not counted, so any build of it will do.
    support.cargo_build("hookmq-emulator")
    emulator = support.binary("hookmq-emulator")
    with support.process([emulator], {"LISTEN": f"127.0.0.1:{port}"}) as child, \
            tempfile.TemporaryDirectory() as folder:
        support.wait_for(port, child)
        if binary.suffix == ".zip":
            binary = support.unpacked(binary, folder)
        if given.ci:
            return by_budget(binary, port)
        body = json.dumps({"a": "x" * 4000}).encode()
        for host in (function, server):
            start, first, follows = count(host, binary, ONE_HOOK, body, port)
            print(f"{host.__name__}: start {start}, first delivery {first}, one that follows {follows}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
