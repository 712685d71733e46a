"""A forwarder's resident memory with ten of the bodies that hurt at a time, before a slow vendor.

    python3 -m tests.load.memory [--ci] [--no-build]  # release builds; fails above 200 MB, for a function of 256

Each shape has a process of its own; none of its deliveries may be lost, though it may be asked for again.

A compressed body of 1 MB that stands for 1 GB is answered 413, and takes at most three times what a body may have.
"""
import argparse
import concurrent.futures
import contextlib
import functools
import gzip
import hashlib
import hmac
import json
import pathlib
import re
import sys
import tempfile
import time
import zlib

from tests import support
from tests.load.backlog import Built
from tests.load.shapes import MIB, as_json, binary, escapes, mixed

MOST = 200 * 1000 * 1000
AT_ONCE = 10
# Name, vendor, bodies, their type, keys of the hook, whether it is for CI.
SHAPES = [
    ("6 MiB of escapes, always", "tdmq", escapes(6 * MIB), "text/plain", {"spill": "always"}, True),
    ("6 MiB of escapes, on failure", "tdmq", escapes(6 * MIB), "text/plain", {"spill": "on-failure"}, False),
    ("6 MiB of escapes, no store", "tdmq", escapes(6 * MIB), "text/plain", {"spill": "never"}, False),
    ("0.65 MiB of escapes, DMS", "rocketmq", escapes(650 << 10), "text/plain", {"spill": "on-failure"}, True),
    ("3.9 MiB of JSON, always, DMS", "rocketmq", as_json(39 * MIB // 10), "application/json",
     {"spill": "always"}, False),
    ("3.9 MiB of JSON, on failure, DMS", "rocketmq", as_json(39 * MIB // 10), "application/json",
     {"spill": "on-failure"}, True),
    ("2 MiB, mixed, DMS", "rocketmq", mixed(2 * MIB), "text/plain", {"spill": "on-failure"}, False),
    ("3 MiB of bytes, DMS", "rocketmq", binary(3 * MIB), "application/octet-stream", {"spill": "on-failure"}, False),
]


def hooks(vendor: str, keys: dict) -> str:
    topic = {"tdmq": "pulsar-demo/webhooks/h", "rocketmq": "webhooks_h"}[vendor]
    own = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return f'[hooks.h]\nsource = "none"\ntopic = "{topic}"\ndeadline = "20s"\n{own}'


def resident(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def deliver(port: int, body: bytes, content_type: str) -> int:
    """Sends a delivery again as long as it is asked for, and returns the last status."""
    for _ in range(20):
        try:
            status, _, _ = support.request(port, "POST", "/h", body, {"Content-Type": content_type})
        except OSError:
            status = 503  # Refused before it was read.
        if status != 503:
            break
        time.sleep(0.5)
    return status


def measure(built: Built, vendor: str, shape, content_type: str, keys: dict) -> tuple[int, list[int]]:
    with tempfile.TemporaryDirectory(prefix="memory-") as folder, contextlib.ExitStack() as stack:
        emulator, folder = support.free_port(), pathlib.Path(folder)
        started = stack.enter_context(support.process([built.emulator], {"LISTEN": f"127.0.0.1:{emulator}"}))
        support.wait_for(emulator, started)
        fault = json.dumps([{"fault": {"latency_ms": 1500}, "times": 0}]).encode()
        assert support.request(emulator, "PUT", "/_/faults", fault)[0] < 300
        port = support.free_port()
        env = support.forwarder_env(emulator, LISTEN=f"127.0.0.1:{port}", HOOKS=hooks(vendor, keys))
        if keys["spill"] != "never":
            env["SPILL_URL"] = f"file://{folder}/spill"
        else:
            env["HOOKS"] = env["HOOKS"].replace('spill = "never"\n', "")
        with support.process([built.function(vendor, folder)], env) as child, \
                concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            support.wait_for(port, child)
            bodies = [shape(number) for number in range(AT_ONCE)]
            statuses = list(pool.map(lambda body: deliver(port, body, content_type), bodies))
            return resident(child.pid), statuses


@functools.cache
def deflated() -> bytes:
    """Returns a megabyte that stands for a gigabyte."""
    writer, piece = zlib.compressobj(9, zlib.DEFLATED, -15), bytes(MIB)
    return b"".join(writer.compress(piece) for _ in range(1024)) + writer.flush()


def bomb(coding: str) -> bytes:
    """Wraps that megabyte. Nobody gets as far as the checksum, which is left out."""
    head, end = {"gzip": (b"\x1f\x8b\x08\0\0\0\0\0\x02\x03", bytes(4) + (1 << 30).to_bytes(4, "little")),
                 "deflate": (b"\x78\xda", bytes(4))}[coding]
    return head + deflated() + end


def explode(built: Built, coding: str, max_body: int) -> tuple[int, int]:
    """Returns the memory that a bomb takes beyond a small delivery, and its status."""
    secret = "a-secret-of-the-sender-for-tests"
    hook = f'[hooks.h]\nsource = "getstream"\nsecrets = ["env:SECRET"]\ntopic = "pulsar-demo/webhooks/h"\n' \
        f'max_body = {max_body}\n'
    with tempfile.TemporaryDirectory(prefix="memory-") as folder, contextlib.ExitStack() as stack:
        emulator, port = support.free_port(), support.free_port()
        support.wait_for(emulator, stack.enter_context(
            support.process([built.emulator], {"LISTEN": f"127.0.0.1:{emulator}"})))
        env = support.forwarder_env(emulator, LISTEN=f"127.0.0.1:{port}", HOOKS=hook, SECRET=secret)
        child = stack.enter_context(support.process([built.function("tdmq", pathlib.Path(folder))], env))
        support.wait_for(port, child)
        event = b'{"type":"message.new"}'
        signature = hmac.new(secret.encode(), event, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": signature, "Content-Encoding": coding}
        small = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](event)
        status, _, told = support.request(port, "POST", "/h", small, headers)
        assert status == 200, (status, told)
        before = resident(child.pid)
        status, _, _ = support.request(port, "POST", "/h", bomb(coding), headers)
        return resident(child.pid) - before, status


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ci", action="store_true", help="the worst few only")
    options.add_argument("--no-build", action="store_true")
    options.add_argument("--functions", help="a folder with tdmq and rocketmq of another build")
    options = options.parse_args()
    ci, built = options.ci, Built(options)
    wrong = []
    print(f"| {AT_ONCE} at a time | resident | answers |\n| --- | ---: | --- |")
    for name, vendor, shape, content_type, keys, is_ci in SHAPES:
        if ci and not is_ci:
            continue
        highest, statuses = measure(built, vendor, shape, content_type, keys)
        answers = ", ".join(f"{statuses.count(status)} × {status}" for status in sorted(set(statuses)))
        print(f"| {name} | {highest / 1e6:.0f} MB | {answers} |", flush=True)
        # Without a store what no queue takes is too large.
        want = {413} if keys["spill"] == "never" else {200}
        if highest > MOST or not set(statuses) <= want:
            wrong.append(name)
    for coding in ("gzip", "deflate"):
        for max_body in (2 * MIB, 6 * MIB):
            more, status = explode(built, coding, max_body)
            name = f"1 MB of {coding} for 1 GB, max_body {max_body // MIB} MiB"
            print(f"| {name} | {more / 1e6:.1f} MB more | {status} |", flush=True)
            if status != 413 or more > 3 * max_body:
                wrong.append(name)
    sys.exit(f"above {MOST / 1e6:.0f} MB, or not answered as it must be: {'; '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
