"""Shared part of the Python checks: building binaries, starting processes, plain HTTP."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import socket
import subprocess
import time
import urllib.parse
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

# The emulator's published sample credentials (`hookmq_emulator::sample`).
SECRET_ID = "AKIDhookmqEmulatorSample000000000000"
SECRET_KEY = "hookmqEmulatorSampleSecretKey000"
ACCESS_KEY = "HOOKMQEMULATORSAMPLE"
SECRET_ACCESS_KEY = "hookmqEmulatorSampleSecretAccessKey00000"
PROJECT_ID = "0123456789abcdef0123456789abcdef"
INSTANCE_ID = "11111111-2222-3333-4444-555555555555"
TOKEN = "conformance-token-0123456789"

HOOKS = """
[hooks.conformance]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
topic = { tdmq = "pulsar-demo/webhooks/conformance", rocketmq = "webhooks_conformance" }
deadline = "10s"
"""


def cargo_build(*packages: str) -> None:
    """Builds debug binaries."""
    arguments = [argument for package in packages for argument in ("-p", package)]
    subprocess.run(["cargo", "build", "--quiet", *arguments], cwd=ROOT, check=True)


def binary(name: str) -> pathlib.Path:
    return TARGET / "debug" / name


def shipped(name: str) -> pathlib.Path:
    """Returns the path of a function's zip, which `scripts/cargo-lambda build` writes."""
    return TARGET / "lambda" / name / "bootstrap.zip"


def unpacked(path: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
    """Unpacks the program in the zip of a function."""
    with zipfile.ZipFile(path) as archive:
        bootstrap = pathlib.Path(archive.extract("bootstrap", into))
    bootstrap.chmod(0o755)
    return bootstrap


# Above the ports that Linux gives to connections: one of those could be taken by any connection of another
# test before a server listens on it, and a connection to it could even be connected to itself.
PORTS = range(61_000, 65_500)
given = set()


def free_port() -> int:
    """Returns a port that is free, and that this process has not been given before."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in given:
                given.add(port)
                return port
    raise AssertionError("there are no free ports")


@contextlib.contextmanager
def process(command: list, env: dict, log: pathlib.Path | None = None):
    """Starts a child that is ended with the block. Its environment is `env` and nothing else."""
    out = open(log, "ab") if log else subprocess.DEVNULL
    child = subprocess.Popen([str(c) for c in command], env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if log:
            out.close()


def wait_for(port: int, child: subprocess.Popen, seconds: float = 30) -> None:
    """Waits until something listens on the port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if child.poll() is not None:
            raise AssertionError(f"{child.args[0]} ended with {child.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port}")


def request(port: int, method: str, path: str, body: bytes | None = None, headers: dict | None = None,
            host: str = "127.0.0.1"):
    """Returns status, headers and body of one request."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def emulator(**more: str):
    """Starts the emulator as a process, with more in its environment, and yields its port."""
    port = free_port()
    env = {"LISTEN": f"127.0.0.1:{port}", "PATH": os.environ["PATH"], **more}
    with process([binary("hookmq-emulator")], env) as child:
        wait_for(port, child)
        yield port


def messages(port: int) -> list:
    return json.loads(request(port, "GET", "/_/messages")[2])


def forwarder_env(vendor_port: int, **more: str) -> dict:
    """Returns everything that both functions need to reach the emulator, or whatever listens there."""
    endpoint = f"http://127.0.0.1:{vendor_port}"
    return {
        "PATH": os.environ["PATH"],
        "HOOKS": HOOKS,
        # No balancer has to notice that it stops.
        "DRAIN_AFTER": "0",
        "CONFORMANCE_TOKEN": TOKEN,
        "TENCENTCLOUD_SECRET_ID": SECRET_ID,
        "TENCENTCLOUD_SECRET_KEY": SECRET_KEY,
        "TENCENTCLOUD_REGION": "ap-guangzhou",
        "TDMQ_ENDPOINT": endpoint,
        "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
        "HUAWEICLOUD_SDK_SK": SECRET_ACCESS_KEY,
        "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT_ID,
        "ROCKETMQ_ENDPOINT": endpoint,
        "ROCKETMQ_INSTANCE_ID": INSTANCE_ID,
        **more,
    }


def whole_lines(log: pathlib.Path) -> list[str]:
    """Returns the lines of a log that is still written to. What has no end yet is half a line."""
    text = log.read_text()
    return text.splitlines()[:text.count("\n")]


def authority(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc
