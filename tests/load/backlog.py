"""Load test of redrivers before a backlog: their time, their calls of the store and their memory.

    python3 -m tests.load.backlog                           # 10^5 deliveries, 1 and 8 redrivers, folder and S3
    python3 -m tests.load.backlog --objects 1000000         # 17 minutes a line, 3 GB of memory for the S3
    python3 -m tests.load.backlog --memory                  # the bodies that hurt; fails above 100 MB resident
    python3 -m tests.load.backlog --ci                      # both, small: never fails on time

A backlog is made of real objects: a forwarder whose vendor fails has spilled them, and copies with other ids lie
under the names that these make (`docs/delivery-semantics.md`). Vendor and S3 are the emulator's. It counts what is
stored, and different deliveries among that: none may be missing, none left in the store.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tests import support
from tests.load.shapes import SHAPES, Shape, many

# What AWS says of the shipped function, in bytes: of its 128 MB a fifth is left.
MOST_RESIDENT = 100_000_000
# S3's time for a page of a listing, and for any other request.
PAGE_MS, REQUEST_MS = 100, 5
# What a delivery without a state may cost: one read, one removal; listings are counted by the thousand.
CALLS = {"get": 1.0, "delete": 1.0, "put": 0.0}
SLACK = 0.02
# What TDMQ takes a second, which all redrivers share; more would be answered 429.
MOST_A_SECOND = 1000
HOOK, ID = "backlog", re.compile(rb"sha256-[0-9a-f]{64}")


class Built:
    """Locations of the binaries."""

    def __init__(self, options):
        self.emulator = support.TARGET / "release" / "hookmq-emulator"
        self.dir = pathlib.Path(options.functions) if options.functions else support.TARGET / "release"
        if options.functions and (self.dir / "hookmq-emulator").exists():
            self.emulator = self.dir / "hookmq-emulator"
        if options.ci:
            # What is shipped, where `scripts/cargo-lambda build` has been; else built now.
            self.emulator = support.binary("hookmq-emulator")
            functions = [name for name in ("redrive", "tdmq", "rocketmq")
                         if not support.shipped(name).exists()]
            support.cargo_build("hookmq-emulator", *functions)
        elif not options.no_build:
            packages = ["hookmq-emulator"] + ([] if options.functions else ["redrive", "tdmq", "rocketmq"])
            named = [argument for package in packages for argument in ("-p", package)]
            subprocess.run(["cargo", "build", "--release", "--quiet", *named], cwd=support.ROOT, check=True)
        self.is_ci = options.ci

    def function(self, name: str, under: pathlib.Path) -> pathlib.Path:
        if not self.is_ci:
            return self.dir / name
        shipped = support.shipped(name)
        return support.unpacked(shipped, under / f"of-{name}") if shipped.exists() else support.binary(name)


@contextlib.contextmanager
def world(built: Built, store: str, under: pathlib.Path, page_ms: int = PAGE_MS, request_ms: int = REQUEST_MS):
    """Starts vendor and store, and yields what the functions' environment needs of them."""
    port, s3 = support.free_port(), support.free_port()
    env = {"PATH": os.environ["PATH"], "LISTEN": f"127.0.0.1:{port}", "KEEP_MESSAGES": "0",
           "S3_LISTEN": f"127.0.0.1:{s3}", "S3_PAGE_MS": str(page_ms), "S3_REQUEST_MS": str(request_ms)}
    with support.process([built.emulator], env) as child:
        support.wait_for(port, child)
        support.wait_for(s3, child)
        yield World(port, s3 if store == "s3" else None, under, child.pid)


class World:
    def __init__(self, port: int, s3: int | None, under: pathlib.Path, pid: int):
        self.port, self.s3, self.folder, self.pid = port, s3, under / "store", pid
        self.folder.mkdir(exist_ok=True)

    def env(self, hooks: str, **more: str) -> dict:
        env = support.forwarder_env(self.port, HOOKS=hooks, SPILL_URL=f"file://{self.folder}", RUST_LOG="error")
        if self.s3:
            env |= {"SPILL_URL": "s3://hooks", "S3_ENDPOINT": f"http://127.0.0.1:{self.s3}",
                    "S3_REGION": "eu-central-1", "S3_FORCE_PATH_STYLE": "1",
                    "S3_ACCESS_KEY_ID": support.ACCESS_KEY, "S3_SECRET_ACCESS_KEY": support.SECRET_ACCESS_KEY}
        return env | more

    def counts(self) -> dict:
        return json.loads(support.request(self.port, "GET", "/_/counts")[2])

    def store_counts(self) -> dict:
        if not self.s3:
            return {"calls": {}, "objects": {}}
        return json.loads(support.request(self.s3, "GET", "/_/counts")[2])

    def faults(self, *faults) -> None:
        status, _, text = support.request(self.port, "PUT", "/_/faults", json.dumps(faults).encode())
        assert status == 200, text

    def fill(self, objects) -> None:
        """Stores names and contents. A folder is filled without a sync."""
        if not self.s3:
            known = set()
            for name, content in objects:
                path = os.path.join(self.folder, name)
                if (parent := os.path.dirname(path)) not in known:
                    os.makedirs(parent, exist_ok=True)
                    known.add(parent)
                with open(path, "wb", buffering=0) as file:
                    file.write(content)
            return
        lines, size = [], 0

        def flush():
            status, _, text = support.request(self.s3, "POST", "/_/objects", b"\n".join(lines))
            assert status == 204, text

        for name, content in objects:
            lines.append(name.encode() + b"\t" + content)
            size += len(content)
            if size > 16 << 20:
                flush()
                lines, size = [], 0
        flush()

    def left(self, folder: str = "spill") -> int:
        """Returns the number of objects in a folder of the store."""
        if self.s3:
            return self.store_counts()["objects"].get(folder, 0)
        return sum(path.is_file() for path in (self.folder / folder).rglob("*"))


def hooks(name: str, targets: list[str] = (), **more: str) -> str:
    topic = {"tdmq": "pulsar-demo/webhooks/backlog", "rocketmq": "webhooks_backlog"}
    # Each target has a topic of its own, so that its messages can be told from those of the others.
    named = {target: f"pulsar-demo/webhooks/{target}" if target.startswith("t") else f"webhooks_{target}"
             for target in targets}
    topics = ", ".join(f'{target} = "{of}"' for target, of in {**topic, **named}.items())
    lines = [f"[hooks.{name}]", 'source = "bearer"', 'secrets = ["env:CONFORMANCE_TOKEN"]',
             f"topic = {{ {topics} }}", 'deadline = "30s"']
    lines += [f'targets = {json.dumps(list(targets))}'] if targets else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    for target in targets:
        if target not in topic:
            vendor = "tdmq" if target.startswith("t") else "rocketmq"
            lines += [f"[targets.{target}]", f'vendor = "{vendor}"']
    return "\n".join(lines) + "\n"


def spilled(built: Built, under: pathlib.Path, hooks_toml: str, hook: str, bodies, vendor: str = "tdmq",
            faults=({"fault": {"error": {"code": "InternalError"}}, "times": 0},), content_type="text/plain"):
    """Returns the names and contents that a forwarder spills of these bodies, without the claims."""
    store = under / "spilled"
    shutil.rmtree(store, ignore_errors=True)
    (store / "store").mkdir(parents=True)
    with world(built, "folder", store, 0, 0) as place:
        place.faults(*faults)
        port = support.free_port()
        env = place.env(hooks_toml, LISTEN=f"127.0.0.1:{port}")
        with support.process([built.function(vendor, store)], env) as child:
            support.wait_for(port, child)
            for body in bodies:
                fields = {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": content_type}
                status, _, text = support.request(port, "POST", f"/{hook}", body, fields)
                assert status == 200, (status, text)
    root = store / "store"
    names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return {name: (root / name).read_bytes() for name in names if name.startswith("spill/")}


def name_of(target: str, hook: str, delivery_id: str, body: bytes) -> str:
    digest = hashlib.sha256()
    for part in (hook.encode(), delivery_id.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"spill/{target}/{hook}/{digest.hexdigest()}"


def copies(name: str, content: bytes, count: int, body: bytes, waiting: float = 0.0, hook: str | None = None,
           first: int = 0, due: float | None = None):
    """Yields `count` deliveries like this one. The share `waiting` was tried before, and is due at `due`."""
    target, own = name.split("/")[1:3]
    hook = hook or own
    pieces = ID.split(content)
    ids = ID.findall(content)
    assert len(set(ids)) == 1, "one delivery has one id"
    if hook != own:
        pieces = [piece.replace(own.encode(), hook.encode()) for piece in pieces]
    every = int(1 / waiting) if waiting else 0
    for number in range(first, first + count):
        delivery_id = f"sha256-{hashlib.sha256(number.to_bytes(8, 'big')).hexdigest()}"
        object_name = name_of(target, hook, delivery_id, body)
        yield object_name, delivery_id.encode().join(pieces)
        if every and number % every == 0:
            state = object_name.replace("spill/", "retry/", 1)
            yield f"{state}.{int((due or 1760000000) * 1000):013}.1", b"{}"


class Redriver(threading.Thread):
    """Process of a redriver, which is asked for runs until there is nothing left for it."""

    def __init__(self, binary: pathlib.Path, place: World, hooks_toml: str, shard: str | None, log: pathlib.Path,
                 path: str):
        super().__init__()
        self.port, self.log, self.path = support.free_port(), log, path
        more = {"REDRIVE_SHARD": shard} if shard else {}
        # Its own clock does not run again: the first run is its own, and the others are asked for.
        self.env = place.env(hooks_toml, LISTEN=f"127.0.0.1:{self.port}", REDRIVE_EVERY="86400", **more)
        self.binary, self.reports, self.error = binary, [], None
        self.resident, self.cpu = 0, 0.0

    def run(self):
        try:
            with support.process([self.binary], self.env, self.log) as child:
                support.wait_for(self.port, child)
                idle = 0
                while idle < 3:
                    report = self.ask()
                    self.reports.append(report)
                    done = [summary.get("done", {}) for summary in report.values()]
                    if all(one and one["found"] == one["waiting"] and not (one["more"] or one.get("stopped"))
                           for one in done):
                        break
                    idle = 0 if any(one.get("sent") or one.get("dead") for one in done) else idle + 1
                status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
                self.resident = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
                self.cpu = cpu(child.pid)
        except Exception as error:  # Told by whoever waits.
            self.error = error

    def ask(self) -> dict:
        connection = support.http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        refused = 0
        try:
            while True:
                connection.request("POST", self.path)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    return json.loads(text)
                # The run before this one is not over yet, on a machine with other work.
                refused += 1
                assert answer.status == 503 and refused < 20, (answer.status, text)
                time.sleep(5)
        finally:
            connection.close()


def cpu(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def redrive(built: Built, place: World, hooks_toml: str, count: int, under: pathlib.Path,
            path: str = "/?now=1") -> dict:
    """Runs redrivers until all have ended. With `now=1`, what was not sent in time is tried again at once."""
    before, began, spent = place.store_counts()["calls"], time.time(), cpu(place.pid)
    binary = built.function("redrive", under)
    shards = [None] if count == 1 else [f"{index}/{count}" for index in range(count)]
    threads = [Redriver(binary, place, hooks_toml, shard, under / f"redrive-{index}.log", path)
               for index, shard in enumerate(shards)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.error:
            raise thread.error
    after, counts = place.store_counts()["calls"], place.counts()
    return {"wall": time.time() - began, "first": (counts["first_ms"] or 0) / 1000 - began,
            "sending": ((counts["last_ms"] or 0) - (counts["first_ms"] or 0)) / 1000,
            "calls": {kind: after[kind] - before[kind] for kind in after}, "counts": counts,
            "resident": max(thread.resident for thread in threads), "cpu": sum(thread.cpu for thread in threads),
            "theirs": cpu(place.pid) - spent, "reports": [{target: summary for target, summary in thread.reports[-1].items()
                         if summary.get("done", {"found": 1})["found"]} for thread in threads]}


def backlog(built: Built, store: str, objects: int, redrivers: int, waiting: float, not_due: float) -> list[str]:
    """Prints one row of the table and returns what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="backlog-") as under, contextlib.ExitStack() as stack:
        under = pathlib.Path(under)
        body = b'{"order": 4711, "items": [1, 2, 3], "note": "' + b"x" * 200 + b'"}'
        hooks_toml = hooks(HOOK)
        (name, content), = spilled(built, under, hooks_toml, HOOK, [body], content_type="application/json").items()
        place = stack.enter_context(world(built, store, under))
        began = time.time()
        place.fill(copies(name, content, objects, body, waiting))
        rest = int(objects * not_due)
        # Within the hour that a wait may last.
        place.fill(copies(name, content, rest, body, 1.0, first=objects, due=began + 3300))
        filled = time.time() - began
        done = redrive(built, place, hooks_toml, redrivers, under, "/" if rest else "/?now=1")
        left = place.left() - rest
        wrong = []
        counts = done["counts"]
        if counts["deliveries"] != objects or left:
            wrong.append(f"{objects - counts['deliveries']} lost, {left} left: {done['reports']}")
        if counts["messages"] > objects:
            # A machine that is too slow for a send's deadline.
            print(f"  {counts['messages'] - objects} sent twice", file=sys.stderr)
        each = {kind: calls / objects for kind, calls in done["calls"].items()}
        # A delivery that has a state costs the removal of this too.
        allowed = {kind: most + (waiting if kind == "delete" else 0) + SLACK for kind, most in CALLS.items()}
        pages = (objects * (1 + waiting) + 2 * rest) / 1000
        allowed["list"] = (4 * pages + 100 * redrivers) / objects
        wrong += [f"{each[kind]:.3f} {kind} a delivery, {most:.3f} allowed"
                  for kind, most in allowed.items() if each.get(kind, 0) > most]
        calls = " ".join(f"{kind} {each[kind]:.3f}" for kind in ("list", "get", "put", "delete")) if each else "n/a"
        rate = objects / max(done["sending"], 0.001)
        if objects >= 10_000 and rate > MOST_A_SECOND * (1 + SLACK):
            wrong.append(f"{rate:,.0f} sends a second, more than the vendor takes")
        print(f"| {objects:,} | {redrivers} | {store} | {done['wall']:.0f} s | {done['first']:.1f} s | {rate:,.0f} | "
              f"{calls} | {done['resident'] / 1e6:.0f} MB | {1000 * done['cpu'] / objects:.2f} ms | "
              f"{1000 * done['theirs'] / objects:.2f} ms |", flush=True)
        print(f"  filled in {filled:.0f} s, {counts['connections']} connections to the vendor", file=sys.stderr)
        return [f"{objects:,} objects, {redrivers} redrivers, {store}: {text}" for text in wrong]


def memory(built: Built, store: str, shape: Shape, latency_ms: int, few: bool) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="backlog-") as under, contextlib.ExitStack() as stack:
        under = pathlib.Path(under)
        place = stack.enter_context(world(built, store, under, 0, 0))
        if shape.is_many:
            hooks_toml, objects = many(built, under, few, hooks, spilled, copies)
        else:
            keys = shape.keys if shape.code else {"spill": "always", **shape.keys}
            hooks_toml = hooks("shape", list(shape.targets), **keys)
            bodies = [shape.body(number) for number in range(shape.few() if few else shape.count)]
            faults = [{"fault": {"error": {"code": shape.code, "status": 400}}, "times": 0}] if shape.code else []
            objects = spilled(built, under, hooks_toml, "shape", bodies, shape.vendor, faults, shape.content_type)
            if shape.change:
                objects = {name: shape.change(name, content) for name, content in objects.items()}
            objects = objects.items()
        objects = list(objects)
        place.fill(objects)
        waiting = sum(name.startswith("spill/") for name, _ in objects)
        largest = max(len(content) for _, content in objects)
        del objects
        place.faults({"fault": {"latency_ms": latency_ms}, "times": 0}, *shape.redrive_faults)
        done = redrive(built, place, hooks_toml, 1, under)
        counts, wrong = done["counts"], []
        ended = place.left("dead") if shape.fate == "dead" else counts["deliveries"]
        if ended != waiting or place.left():
            wrong.append(f"{ended} of {waiting} {shape.fate}, {place.left()} left, {counts}: {done['reports']}")
        if done["resident"] > MOST_RESIDENT:
            wrong.append(f"{done['resident'] / 1e6:.0f} MB resident")
        print(f"| {shape.name} | {store} | {waiting:,} | {largest / 1e6:.1f} MB | {done['wall']:.0f} s | "
              f"{done['resident'] / 1e6:.0f} MB |", flush=True)
        return [f"{shape.name}, {store}: {text}" for text in wrong]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--objects", type=int, nargs="+", default=[100_000])
    options.add_argument("--redrivers", type=int, nargs="+", default=[1, 8])
    options.add_argument("--store", nargs="+", default=["folder", "s3"], choices=["folder", "s3"])
    options.add_argument("--waiting", type=float, default=0.1, help="share that was tried before (default 0.1)")
    options.add_argument("--memory", action="store_true")
    options.add_argument("--shape", help="only the shapes whose name holds this")
    options.add_argument("--ci", action="store_true")
    options.add_argument("--functions", help="a folder with redrive, tdmq and rocketmq of another build, and "
                         "perhaps hookmq-emulator")
    options.add_argument("--not-due", type=float, default=0.0, help="as many more, of the share, are not due yet")
    options.add_argument("--no-build", action="store_true")
    options = options.parse_args()
    built, wrong = Built(options), []
    if options.ci:
        options.objects, options.redrivers = [2000], [2]
    if not options.memory:
        print("| Deliveries | Redrivers | Store | Drained in | First send after | Sends a second | Calls a delivery | "
              "Resident, most | CPU a delivery | Vendor's and store's |\n" + "|---" * 10 + "|")
        for objects in options.objects:
            for store in options.store:
                for redrivers in options.redrivers:
                    wrong += backlog(built, store, objects, redrivers, options.waiting,
                                     options.not_due)
    if options.memory or options.ci:
        print("| Shape | Store | Deliveries | Largest object | Drained in | Resident, most |\n" + "|---" * 6 + "|")
        for shape in SHAPES:
            if (options.ci and not shape.is_ci) or (options.shape and options.shape not in shape.name):
                continue
            for store in ["s3"] if options.ci else options.store:
                wrong += memory(built, store, shape, 300 if options.ci else 1500, options.ci)
    for text in wrong:
        print(f"failed: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
