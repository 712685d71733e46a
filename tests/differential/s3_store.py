"""Shared part of the checks of S3-compatible servers: the table of promises, and deliveries through one.

A server is an endpoint with a bucket that is there already.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile

from tests import support

# Deliveries that are spilled and redriven through each server.
DELIVERIES = 60

HOOKS = """
[hooks.spilled]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
topic = { tdmq = "pulsar-demo/webhooks/spilled", rocketmq = "webhooks_spilled" }
spill = "always"
deadline = "20s"
"""


@dataclasses.dataclass
class Server:
    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str
    token: str | None = None

    def env(self, prefix: str) -> dict:
        """Returns the variables that the store reads."""
        env = {
            "SPILL_URL": f"s3://{self.bucket}/{prefix}", "S3_ENDPOINT": self.endpoint, "S3_REGION": self.region,
            "S3_ACCESS_KEY_ID": self.access_key, "S3_SECRET_ACCESS_KEY": self.secret_key,
            "S3_FORCE_PATH_STYLE": "1",
        }
        return env | ({"S3_SESSION_TOKEN": self.token} if self.token else {})


def cargo_test(server: Server, prefix: str, module: str, test: str, *arguments: str) -> None:
    """Runs a test of the client's own, with nothing else of ours in its environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
    env |= server.env(prefix)
    env["STORE_CONFORMANCE_URL"] = env["SPILL_URL"]
    command = ["cargo", "test", "--quiet", "-p", "hookmq-shared", "--test", "store", "--", *arguments,
               "--exact", f"{module}::{test}"]
    done = subprocess.run(command, cwd=support.ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    assert "1 passed" in done.stdout, done.stdout


def check_promises(server: Server) -> None:
    """Checks the table of promises that every store is held to."""
    cargo_test(server, "promises/P_1", "conformance", "a_store_of_somebody_elses")
    print("every promise of a store is kept")


def check_deliveries(server: Server) -> None:
    """Checks that deliveries are acknowledged once this server has them, and reach the queue from it."""
    support.cargo_build("hookmq-emulator", "hookmq-cli", "tdmq")
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(support.emulator())
        env = support.forwarder_env(queue, HOOKS=HOOKS, **server.env("deliveries"))
        log = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        port = support.free_port()
        function = [support.binary("tdmq")]
        child = stack.enter_context(support.process(function, env | {"LISTEN": f"127.0.0.1:{port}"}, log))
        support.wait_for(port, child)
        headers = {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": "application/json"}
        for number in range(DELIVERIES):
            body = json.dumps({"number": number}).encode()
            status, _, answer = support.request(port, "POST", "/spilled", body, headers)
            assert status == 200, (number, status, answer, log.read_text())
        assert support.messages(queue) == [], "they wait in the store"
        redrive = [support.binary("hookmq"), "redrive", "--vendor", "tdmq"]
        done = subprocess.run(redrive, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        numbers = sorted(number_of(message) for message in support.messages(queue))
        assert numbers == list(range(DELIVERIES)), numbers
        left = subprocess.run([*redrive, "--list"], env=env, stdout=subprocess.PIPE, text=True, check=True)
        assert left.stdout == "0 deliveries\n", left.stdout
    print(f"{DELIVERIES} deliveries were spilled, acknowledged and redriven")


def number_of(message: dict) -> int:
    return json.loads(message["text"])["data"]["number"]
