"""A forwarder's resident memory with ten of the bodies that hurt at a time, before a slow vendor.

    python3 -m tests.load.memory [--ci] [--no-build]  # release builds; fails above 200 MB, for a function of 256

Each shape has a process of its own; none of its deliveries may be lost, though it may be asked for again.
"""
import argparse
import concurrent.futures
import contextlib
import json
import pathlib
import re
import sys
import tempfile
import time

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
    """The last status of a delivery that is sent again as long as it is asked for."""
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
    sys.exit(f"above {MOST / 1e6:.0f} MB, or not accepted: {'; '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
