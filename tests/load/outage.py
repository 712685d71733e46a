"""Cost of a queue's outage for a forwarder with a store, by its kind: the table of docs/performance.md.

    python3 -m tests.load.outage target/release [BEFORE]

Of each kind, on a fresh process: one delivery, 200 at once, and then a stream of 20 a second while the outage goes
on. All must be answered 200 and lie in the store, or in the queue. `BEFORE` is a folder with the binaries of another
version, which are measured beside.
"""
import concurrent.futures
import json
import pathlib
import statistics
import sys
import tempfile
import time

from tests import support

HTML = "<html>Bad Gateway</html>"
LATE = {"error": {"code": "FailedOperation.SendMessageTimeoutError"}}

# What it is, its faults, and what the queue's address is if not the emulator's.
KINDS = [
    ("`InternalError`", [{"error": {"code": "InternalError"}}], None),
    ("500 with an error", [{"error": {"code": "InternalError", "status": 500}}], None),
    ("502 of a gateway", [{"raw": {"status": 502, "body": HTML}}], None),
    ("`RequestLimitExceeded`", ["throttle"], None),
    ("the vendor's time-out, after 3 s", [{"latency_ms": 3000}, LATE], None),
    ("no answer", ["hang"], None),
    ("an answer after 12 s", [{"latency_ms": 12000}], None),
    ("reset", ["reset"], None),
    ("connection refused", [], "http://127.0.0.1:{closed}"),
    ("a name that does not exist", [], "http://queue.invalid"),
]


def deliver(port: int, n: int) -> float:
    """Sends a delivery, which must be acknowledged, and returns the seconds until the answer."""
    headers = {"authorization": f"Bearer {support.TOKEN}", "content-type": "application/json"}
    begun = time.monotonic()
    status, _, body = support.request(port, "POST", "/conformance", json.dumps({"n": n}).encode(), headers)
    assert status == 200, (status, body)
    return time.monotonic() - begun


def attempts(log: pathlib.Path) -> int:
    """Returns the attempts so far, as the lines of deliveries count them."""
    lines = (line for line in log.read_text().splitlines() if line.startswith("{"))
    return sum(json.loads(line).get("attempts") or 0 for line in lines)


def measure(binaries: pathlib.Path, faults: list, endpoint: str | None) -> dict:
    """Measures times and attempts of one version in one kind of outage."""
    result = {}
    for count in (1, 200):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            vendor, port = support.free_port(), support.free_port()
            env = {"LISTEN": f"127.0.0.1:{vendor}", "PATH": "/usr/bin:/bin"}
            with support.process([binaries / "hookmq-emulator"], env) as emulator:
                support.wait_for(vendor, emulator)
                plan = [{"fault": fault, "times": 0} for fault in faults]
                support.request(vendor, "PUT", "/_/faults", json.dumps(plan).encode())
                url = endpoint and endpoint.format(closed=support.free_port())
                log = folder / "log"
                env = support.forwarder_env(
                    vendor, LISTEN=f"127.0.0.1:{port}", SPILL_URL=f"file://{folder}/store",
                    ALLOW_HTTP_ENDPOINTS="1", LOG_FORMAT="json", **({"TDMQ_ENDPOINT": url} if url else {}))
                (folder / "store").mkdir()
                with support.process([binaries / "tdmq"], env, log) as child:
                    support.wait_for(port, child)
                    with concurrent.futures.ThreadPoolExecutor(200) as pool:
                        times = list(pool.map(lambda n: deliver(port, n), range(count)))
                        result[count] = (statistics.median(times), max(times), settled(log, count))
                        if count > 1:
                            result["stream"] = stream(pool, port, log, count)
    return result


def settled(log: pathlib.Path, count: int) -> int:
    """Returns the attempts of so many deliveries, once their lines are written."""
    for _ in range(100):
        if log.read_text().count('"hook":"conformance"') >= count:
            break
        time.sleep(0.02)
    return attempts(log)


def stream(pool, port: int, log: pathlib.Path, count: int) -> tuple:
    """Sends 20 deliveries a second for 5 s, and returns their median time and attempts."""
    before, begun = attempts(log), time.monotonic()
    futures = []
    for n in range(100):
        time.sleep(max(0, begun + n / 20 - time.monotonic()))
        futures.append(pool.submit(deliver, port, 1000 + n))
    times = [future.result() for future in futures]
    return statistics.median(times), settled(log, count + 100) - before


def shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds * 1000:.0f} ms"


def cells(result: dict) -> list:
    one, burst, stream = result[1], result[200], result["stream"]
    return [f"{shown(one[0])}, {one[2]}", f"{shown(burst[0])}, {burst[2]}", f"{shown(stream[0])}, {stream[1]}"]


def main() -> None:
    versions = [pathlib.Path(folder).resolve() for folder in reversed(sys.argv[1:3])]
    names = ["before", "now"][-len(versions):]
    heads = [f"{what}, {name}" for what in ("1", "200 at once", "20 a second") for name in names]
    print("| Outage | " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * len(heads))
    for name, faults, endpoint in KINDS:
        results = [cells(measure(version, faults, endpoint)) for version in versions]
        row = [result[at] for at in range(3) for result in results]
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
