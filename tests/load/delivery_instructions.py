"""Instructions of a forwarder: to start, for its first delivery, and for one that follows.

    cargo build --release -p tdmq -p hookmq-emulator
    python3 -m tests.load.delivery_instructions [BINARY]

valgrind counts a run without a delivery, one with one, and one with 101: the differences tell. Each is counted
as a Lambda function, whose start ends with the first question for work, and as an HTTP server, whose run without
a delivery also writes the store's probe and ends. The vendor is the emulator on the loopback without TLS, the
store a folder, the delivery a signed GitHub push of 4 KB.
"""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests import support

SECRET = "0123456789abcdef0123"
HOOKS = f'[hooks.h]\nsource = "github"\nsecrets = ["plain:{SECRET}"]\ntopic = "a/b/c"\n'
BODY = json.dumps({"a": "x" * 4000}).encode()
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
TIMES = 100


def headers(number: int) -> dict:
    """Those of one delivery, under an id of its own."""
    return {
        "Content-Type": "application/json", "X-GitHub-Event": "push",
        "X-GitHub-Delivery": f"id-{number:05}", "X-Hub-Signature-256": SIGNATURE,
    }


def environment(emulator: int, spill: str) -> dict:
    """What a forwarder of either host needs."""
    return {
        "HOOKS": HOOKS, "SPILL_URL": f"file://{spill}", "DURABLE_FOLDER": spill,
        "TDMQ_ENDPOINT": f"http://127.0.0.1:{emulator}",
        "TENCENTCLOUD_SECRET_ID": support.SECRET_ID, "TENCENTCLOUD_SECRET_KEY": support.SECRET_KEY,
        "TENCENTCLOUD_REGION": "ap-guangzhou",
    }


def begin(binary: str, env: dict) -> subprocess.Popen:
    """The binary in valgrind."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(child: subprocess.Popen) -> int:
    """Ends it, and gives what was counted."""
    child.send_signal(signal.SIGTERM)
    counted = re.search(r"Collected : (\d+)", child.communicate(timeout=60)[1])
    assert counted, "valgrind counted nothing"
    return int(counted[1])


def server(binary: str, env: dict, deliveries: int) -> int:
    """Instructions of a whole run as an HTTP server with so many deliveries."""
    port = support.free_port()
    child = begin(binary, env | {"LISTEN": f"127.0.0.1:{port}", "DRAIN_AFTER": "0"})
    support.wait_for(port, child, 60)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(deliveries):
        connection.request("POST", "/h", BODY, headers(number))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()
    time.sleep(0.3)
    return end(child)


class Runtime(http.server.BaseHTTPRequestHandler):
    """The runtime API of Lambda, with so many events of an HTTP API."""

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
            "headers": headers(number), "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "example.com", "domainPrefix": "a",
                "requestId": f"r{number}", "routeKey": "$default", "stage": "$default",
                "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1767225600000, "http": {
                    "method": "POST", "path": "/h", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "g",
                },
            },
            "body": base64.b64encode(BODY).decode(), "isBase64Encoded": True,
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


def function(binary: str, env: dict, deliveries: int) -> int:
    """Instructions of a Lambda function until it asks for work after so many deliveries."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime) as runtime:
        runtime.daemon_threads = True
        runtime.deliveries, runtime.given, runtime.refused = deliveries, 0, 0
        runtime.idle, runtime.over = threading.Event(), threading.Event()
        threading.Thread(target=runtime.serve_forever, daemon=True).start()
        child = begin(binary, env | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_LAMBDA_LOG_GROUP_NAME": "g", "AWS_REGION": "eu-west-1",
        })
        assert runtime.idle.wait(60), "it did not ask for work"
        time.sleep(0.3)
        counted = end(child)
        runtime.over.set()
        runtime.shutdown()
        assert runtime.refused == 0, runtime.refused
        return counted


def main() -> None:
    binary = sys.argv[1] if sys.argv[1:] else str(support.TARGET / "release" / "tdmq")
    port = support.free_port()
    emulator = [support.TARGET / "release" / "hookmq-emulator"]
    with support.process(emulator, {"LISTEN": f"127.0.0.1:{port}"}) as child:
        support.wait_for(port, child)
        for host in (function, server):
            with tempfile.TemporaryDirectory() as folder:
                env = environment(port, folder)
                start, one, many = (host(binary, env, count) for count in (0, 1, 1 + TIMES))
            follows = (many - one) // TIMES
            print(f"{host.__name__}: start {start}, first delivery {one - start}, one that follows {follows}")


if __name__ == "__main__":
    main()
