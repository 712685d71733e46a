"""Check of the functions built and run by cargo-lambda. See `scripts/cargo-lambda`."""
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import zipfile

import boto3

from tests import support
from tests.platforms.trials import BEARER, FORWARDERS, SCHEDULE, Queues, fail, hooks, name_of, samples

STEPS = ["build", "glibc", "watch"]
PACKAGES = ["tdmq", "rocketmq", "redrive"]
# The C library of Amazon Linux 2023, and of the CentOS 7 that Tencent SCF runs functions on.
LAMBDA_GLIBC, SCF_GLIBC = (2, 34), (2, 17)
GLIBC_TARGET = support.TARGET / "glibc-2.17"
ENV = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def cargo_lambda(*arguments: str, **more: str) -> None:
    done = subprocess.run(["cargo", "lambda", *arguments], cwd=support.ROOT, env=ENV | more, check=False)
    if done.returncode:
        fail(f"cargo lambda {arguments[0]}")


def release(*arguments: str, folder: pathlib.Path, glibc: tuple, **more: str) -> None:
    """Builds the zipped release, and checks what the binaries need of the C library."""
    packages = [argument for package in PACKAGES for argument in ("--package", package)]
    cargo_lambda("build", "--release", "--output-format", "zip", "--lambda-dir", str(folder), *packages, *arguments,
                 **more)
    for package in PACKAGES:
        path = folder / package / "bootstrap.zip"
        subprocess.run([sys.executable, support.ROOT / "scripts" / "pack_tightly.py", path], check=True)
        with zipfile.ZipFile(path) as archive:
            (entry,) = archive.infolist()
            binary = archive.read(entry)
        if entry.filename != "bootstrap" or not entry.external_attr >> 16 & 0o111:
            fail(f"{path} holds no executable bootstrap")
        needed = needed_glibc(binary)
        print(f"{package:<9} {path.stat().st_size:>9,} bytes zipped, {len(binary):>9,} unzipped, "
              f"glibc {'.'.join(map(str, needed))}: {path.relative_to(support.ROOT)}", flush=True)
        if needed > glibc:
            fail(f"{package} needs a newer C library than {'.'.join(map(str, glibc))}")


def needed_glibc(binary: bytes) -> tuple:
    """Returns the newest version of glibc's symbols, which are texts in the binary's string table."""
    versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", binary)
    return max((int(major), int(minor)) for major, minor in versions)


def build() -> None:
    arm64 = platform.machine() == "aarch64"
    release("--arm64" if arm64 else "--x86-64", folder=support.TARGET / "lambda", glibc=LAMBDA_GLIBC)


def old_glibc() -> None:
    if platform.machine() != "x86_64":
        print("skipped: the build for glibc 2.17, which is for x86_64")
        return
    # A target directory of its own: in the same one each of the two would rebuild what the other built.
    release("--target", "x86_64-unknown-linux-gnu.2.17", folder=GLIBC_TARGET / "lambda", glibc=SCF_GLIBC,
            CARGO_TARGET_DIR=str(GLIBC_TARGET))
    as_a_web_function()


def as_a_web_function() -> None:
    """Runs the build for glibc as the HTTP server that it is in a web function."""
    with contextlib.ExitStack() as stack:
        queues, environment = beside(stack)
        for package, base in FORWARDERS.items():
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bootstrap = support.unpacked(GLIBC_TARGET / "lambda" / package / "bootstrap.zip", folder)
            port, log = support.free_port(), folder / "log"
            variables = environment | {"LISTEN": f"127.0.0.1:{port}", "BASE_PATH": base, "ALLOW_SAMPLE_SECRETS": "1"}
            with support.process([bootstrap], variables, log) as child:
                support.wait_for(port, child)
                over_http(queues, package, port, f"{base}/bearer")
        queues.settle()
    print("the builds for glibc 2.17 run and deliver")


def over_http(queues: Queues, vendor: str, port: int, path: str) -> None:
    """Sends a delivery, a forged one and one to no hook."""
    body = json.dumps({"over": "http", "to": vendor})
    forged = BEARER | {"authorization": "Bearer forged"}
    for what, target, headers, status in [("a delivery", path, BEARER, 200), ("a forged delivery", path, forged, 401),
                                          ("a delivery to no hook", f"{path}-nothing", BEARER, 404)]:
        got, answer_headers, answer = support.request(port, "POST", target, body.encode(), headers)
        expected = {"status": status, "stored": status == 200, "data": body}
        queues.check(vendor, what, expected, {"statusCode": got, "headers": answer_headers, "body": str(answer)})


def beside(stack: contextlib.ExitStack) -> tuple:
    """Starts the vendors' emulator, and returns the environment of functions that send to it."""
    support.cargo_build("hookmq-emulator", "hookmq-cli")
    port = stack.enter_context(support.emulator())
    environment = support.forwarder_env(port, HOOKS=hooks())
    del environment["CONFORMANCE_TOKEN"]
    return Queues("127.0.0.1", port), environment


def spill_store(stack: contextlib.ExitStack) -> dict:
    """Starts an S3 (moto) with a bucket: a folder is not a store in a function's runtime."""
    port = support.free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    support.wait_for(port, stack.enter_context(support.process(command, ENV)))
    endpoint, region = f"http://127.0.0.1:{port}", "eu-central-1"
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name=region, aws_access_key_id="test",
                      aws_secret_access_key="test")
    s3.create_bucket(Bucket="hookmq-spill", CreateBucketConfiguration={"LocationConstraint": region})
    return {"SPILL_URL": "s3://hookmq-spill", "S3_ENDPOINT": endpoint, "S3_REGION": region,
            "S3_ACCESS_KEY_ID": "test", "S3_SECRET_ACCESS_KEY": "test"}


def watch() -> None:
    support.cargo_build(*PACKAGES)
    with contextlib.ExitStack() as stack:
        queues, environment = beside(stack)
        logs = []
        for package, base in FORWARDERS.items():
            environment |= {"BASE_PATH": base}
            logs.append(watch_one(stack, queues, package, environment))
            queues.settle()
        environment |= spill_store(stack)
        logs.append(watch_redrive(stack, environment))
        queues.check_logs(logs)


@contextlib.contextmanager
def watching(package: str, environment: dict, log: pathlib.Path):
    """Runs `cargo lambda watch` of one function, and yields its port."""
    port = support.free_port()
    # It accepts sample secrets like any local run that says so.
    variables = ENV | environment | {"PATH": ENV["PATH"], "ALLOW_SAMPLE_SECRETS": "1"}
    command = ["cargo-lambda", "lambda", "watch", "--package", package, "--invoke-address", "127.0.0.1",
               "--invoke-port", str(port), "--ignore-changes"]
    with support.process(command, variables, log) as child:
        support.wait_for(port, child, 120)
        yield port


def invoke(package: str, port: int, event: pathlib.Path) -> dict:
    command = ["cargo", "lambda", "invoke", package, "--invoke-address", "127.0.0.1", "--invoke-port", str(port),
               "--data-file", str(event)]
    # It waits for ever where the function's process has ended.
    done = subprocess.run(command, cwd=support.ROOT, env=ENV, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        fail(f"cargo lambda invoke {package}: {done.stderr}")
    return json.loads(done.stdout)


def watch_one(stack: contextlib.ExitStack, queues: Queues, package: str, environment: dict) -> pathlib.Path:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    log, event, count = folder / "log", folder / "event.json", 0
    with watching(package, environment, log) as port:
        for sample in samples(package):
            event.write_text(json.dumps(sample["event"]))
            queues.check(package, name_of(sample), sample, invoke(package, port, event))
            count += 1
        # As a function URL.
        over_http(queues, package, port, f"/lambda-url/{package}{environment['BASE_PATH']}/bearer")
    print(f"cargo lambda watch, invoke: {count} sample events and forged ones to {package}, 3 requests over HTTP",
          flush=True)
    return log


def watch_redrive(stack: contextlib.ExitStack, environment: dict) -> pathlib.Path:
    log = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
    with watching("redrive", environment, log) as port:
        report = invoke("redrive", port, SCHEDULE)
        if not isinstance(report, dict) or "errorType" in report:
            fail(f"redrive: {report}")
    print("cargo lambda watch, invoke: redrive with its schedule's event")
    return log


def main(steps: list[str]) -> None:
    unknown = [step for step in steps if step not in [*STEPS, "all"]]
    if unknown:
        fail(f"{unknown[0]} is not a step: {', '.join(STEPS)} or all")
    steps = STEPS if not steps or "all" in steps else steps
    for step, what in (("build", build), ("glibc", old_glibc), ("watch", watch)):
        if step in steps:
            print(f"-- {step}", flush=True)
            what()


if __name__ == "__main__":
    main(sys.argv[1:])
