#!/usr/bin/env python3
"""Instructions of a forwarder: to start, for its first delivery, and for one that follows.

    cargo build --release -p tdmq -p hookmq-emulator
    python3 tests/delivery_instructions.py [BINARY [--spill]]

valgrind counts a run without a delivery, one with one, and one with 101: the differences tell. The
vendor is the emulator on the loopback without TLS, the delivery a signed GitHub push of 4 KB.
"""
import hashlib
import hmac
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time

import support

SECRET = "0123456789abcdef0123"
HOOKS = f'[hooks.h]\nsource = "github"\nsecrets = ["plain:{SECRET}"]\ntopic = "a/b/c"\n'
BODY = json.dumps({"a": "x" * 4000}).encode()
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
TIMES = 100


def instructions(binary: str, emulator: int, spill: str | None, deliveries: int) -> int:
    """Those of a whole run with so many deliveries."""
    port = support.free_port()
    env = {
        "LISTEN": f"127.0.0.1:{port}", "DRAIN_AFTER": "0", "HOOKS": HOOKS,
        "TDMQ_ENDPOINT": f"http://127.0.0.1:{emulator}",
        "TENCENTCLOUD_SECRET_ID": support.SECRET_ID, "TENCENTCLOUD_SECRET_KEY": support.SECRET_KEY,
        "TENCENTCLOUD_REGION": "ap-guangzhou",
    }
    if spill:
        env["SPILL_URL"] = f"file://{spill}"
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary]
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    support.wait_for(port, child, 60)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(deliveries):
        connection.request("POST", "/h", BODY, {
            "Content-Type": "application/json", "X-GitHub-Event": "push",
            "X-GitHub-Delivery": f"id-{number:05}", "X-Hub-Signature-256": SIGNATURE,
        })
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()
    time.sleep(0.3)
    child.send_signal(signal.SIGTERM)
    counted = re.search(r"Collected : (\d+)", child.communicate(timeout=60)[1])
    assert counted, "valgrind counted nothing"
    return int(counted[1])


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--spill"]
    binary = arguments[0] if arguments else str(support.TARGET / "release" / "tdmq")
    port = support.free_port()
    emulator = [support.TARGET / "release" / "hookmq-emulator"]
    with tempfile.TemporaryDirectory() as folder, \
            support.process(emulator, {"LISTEN": f"127.0.0.1:{port}"}) as child:
        support.wait_for(port, child)
        spill = folder if "--spill" in sys.argv else None
        start, one, many = (instructions(binary, port, spill, count) for count in (0, 1, 1 + TIMES))
    print(f"start {start}, first delivery {one - start}, one that follows {(many - one) // TIMES}")


if __name__ == "__main__":
    main()
