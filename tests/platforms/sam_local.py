"""Check of the functions under the SAM CLI, in containers, beside the emulator. See `scripts/sam-local`.

Function containers, the vendors' emulator and an S3 (moto) are on one internal network; SAM and this script
are outside. What is asked is always the same: was each request answered as it must be, is each accepted one
in its queue byte for byte, and nothing else; and are the functions' logs free of secrets?
"""
import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import boto3
import botocore.config
from samcli.yamlhelper import yaml_dump, yaml_parse

from tests import support
from tests.platforms import containers
from tests.platforms.trials import BEARER, FORWARDERS, SCHEDULE, Queues, carries, fail, hooks, name_of, samples

STEPS = ["build", "validate", "invoke", "api", "lambda", "concurrent"]
FUNCTIONS = {"TdmqFunction": "tdmq", "RocketmqFunction": "rocketmq"}
REDRIVER = "RedriveFunction"
HERE = support.TARGET / "sam"
# Beside `.aws-sam`, which may hold somebody's build for another architecture.
BUILD = HERE / "build"
LOGS = HERE / "logs"
NETWORK = "hookmq-local"
VENDOR_PORT, S3_PORT = 8000, 9000
SPILL = "hookmq-spill"
# At once, where a function takes several.
AT_ONCE = 4

ENV = {
    **os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1",
    # Of no account; and SAM asks AWS for nothing, which takes seconds where AWS cannot be reached.
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}
# `cargo lambda`, from the same place as SAM.
ENV["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{ENV['PATH']}"
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
    ENV.pop(name, None)

def sam(*arguments) -> list[str]:
    return [sys.executable, "-m", "samcli", *map(str, arguments)]


def parameters() -> list[str]:
    return ["--parameter-overrides", f"Architecture={containers.ARCH}"]


def run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=support.ROOT, env=ENV, check=False)
    if done.returncode:
        fail(f"sam {' '.join(command[3:5])} failed")


def build() -> None:
    run(sam("build", "--build-dir", BUILD, *parameters()))


def validate() -> None:
    run(sam("validate", "--lint"))


class House:
    """Services beside the functions, and what the functions are given."""

    def __init__(self, stack: contextlib.ExitStack):
        HERE.mkdir(parents=True, exist_ok=True)
        LOGS.mkdir(exist_ok=True)
        for log in LOGS.iterdir():
            log.unlink()
        client, docker_env = stack.enter_context(containers.daemon(HERE))
        self.env = ENV | docker_env
        stack.enter_context(containers.images(client))
        stack.enter_context(containers.network(client, NETWORK))

        support.cargo_build("hookmq-emulator", "hookmq-cli")
        emulator = support.binary("hookmq-emulator")
        beside = lambda *what, log: stack.enter_context(containers.container(client, NETWORK, *what, log=LOGS / log))
        vendor = beside([emulator], [emulator], {"LISTEN": f"0.0.0.0:{VENDOR_PORT}"}, log="emulator.log")
        moto = [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", S3_PORT]
        s3 = beside(moto, python_files(), {"PYTHONDONTWRITEBYTECODE": "1"}, log="s3.log")
        self.queues = Queues(vendor, VENDOR_PORT)
        self.s3 = boto3.client("s3", endpoint_url=f"http://{s3}:{S3_PORT}", region_name="eu-central-1",
                               aws_access_key_id="test", aws_secret_access_key="test",
                               config=botocore.config.Config(s3={"addressing_style": "path"}))
        answers(lambda: self.queues.control("GET", "/_/messages"))
        answers(lambda: self.s3.create_bucket(
            Bucket=SPILL, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}))

        variables = {name: value for name, value in support.forwarder_env(0, HOOKS=hooks()).items()
                     if name not in ("PATH", "CONFORMANCE_TOKEN")}
        endpoint = f"http://{vendor}:{VENDOR_PORT}"
        self.variables = variables | {
            "TDMQ_ENDPOINT": endpoint, "ROCKETMQ_ENDPOINT": endpoint,
            "S3_ENDPOINT": f"http://{s3}:{S3_PORT}", "SPILL_URL": f"s3://{SPILL}",
            # The network is the one between two containers of this machine.
            "ALLOW_HTTP_ENDPOINTS": "1",
        }
        self.template = self.derive("local", {})

    def derive(self, name: str, more: dict) -> pathlib.Path:
        """Writes the built template for `sam local`, which passes on only variables that are named there."""
        built = BUILD / "template.yaml"
        if not built.exists():
            fail("there is no build: run the step `build` first")
        template = yaml_parse(built.read_text())
        for function in functions(template).values():
            # The extension's layer is AWS's; secrets are given in clear here.
            function["Properties"].pop("Layers", None)
            named = function["Properties"].setdefault("Environment", {}).setdefault("Variables", {})
            named |= {variable: "" for variable in self.variables if variable not in named}
            function["Properties"] |= more
        path = BUILD / f"{name}.yaml"
        path.write_text(yaml_dump(template))
        values = {function: self.variables for function in functions(template)}
        path.with_suffix(".json").write_text(json.dumps(values))
        return path

    def local(self, command: str, *arguments, template: pathlib.Path | None = None) -> list[str]:
        template = template or self.template
        return sam("local", command, *arguments, "--template", template, "--env-vars", template.with_suffix(".json"),
                   "--docker-network", NETWORK, "--skip-pull-image", *parameters())


def python_files() -> list:
    """Returns the files that the interpreter of this script needs in a container."""
    wanted = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc/ld.so.cache"]
    present = [pathlib.Path(path) for path in dict.fromkeys(wanted) if pathlib.Path(path).exists()]
    return [path for path in present if not any(parent in present for parent in path.parents)]


def answers(call) -> None:
    """Waits until the call does not raise, and fails after a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            return call()
        except Exception as error:  # noqa: BLE001: whatever keeps it from answering
            if time.monotonic() > end:
                fail(f"a container beside the functions does not answer: {error}")
            time.sleep(0.1)


def functions(template: dict) -> dict:
    return {name: resource for name, resource in template["Resources"].items()
            if resource["Type"] == "AWS::Serverless::Function"}


def in_pairs(what, names: list) -> list:
    """Works on two functions at a time: SAM takes up to a second for an invocation, for any function."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(what, names))


def invoke_one(house: House, function: str, event: str, log: pathlib.Path) -> dict:
    """Runs `sam local invoke`, in a container of its own."""
    with log.open("ab") as out:
        command = house.local("invoke", function, "--event", "-")
        done = subprocess.run(command, cwd=support.ROOT, env=house.env, input=event.encode(), stdout=subprocess.PIPE,
                              stderr=out, check=False)
    if done.returncode or not done.stdout.strip():
        fail(f"sam local invoke {function} ended with {done.returncode}: see {log}")
    return json.loads(done.stdout)


def invoke(house: House) -> None:
    """Invokes every function with every sample, each signed just before."""

    def all_of(function: str) -> int:
        log = LOGS / f"invoke-{function}.log"
        if function == REDRIVER:
            report = invoke_one(house, function, SCHEDULE.read_text(), log)
            if "errorType" in report:
                fail(f"{function}: {report}")
            return 1
        count = 0
        for sample in samples(FUNCTIONS[function]):
            # The forged ones are for the next steps, where they take no container of their own.
            if not sample["forged"]:
                answer = invoke_one(house, function, json.dumps(sample["event"]), log)
                house.queues.check(FUNCTIONS[function], name_of(sample), sample, answer)
                count += 1
        return count

    for function, count in zip([*FUNCTIONS, REDRIVER], in_pairs(all_of, [*FUNCTIONS, REDRIVER])):
        print(f"sam local invoke {function}: {count} sample events", flush=True)


@contextlib.contextmanager
def serving(house: House, command: str, log: str, template: pathlib.Path | None = None):
    """Runs `sam local start-…` with its containers up, and yields its port."""
    port = support.free_port()
    arguments = house.local(command, "--port", port, "--warm-containers", "EAGER", template=template)
    with support.process(arguments, house.env, LOGS / log) as child:
        support.wait_for(port, child, 120)
        yield port


def api(house: House) -> None:
    """Checks the HTTP API."""
    with serving(house, "start-api", "start-api.log") as port:

        def ask(method: str, path: str, body: bytes, headers: dict) -> dict:
            status, answer_headers, answer = support.request(port, method, path, body, headers)
            return {"statusCode": status, "headers": answer_headers, "body": answer.decode(errors="replace")}

        def all_of(vendor: str) -> int:
            base, count = FORWARDERS[vendor], 0
            for sample in samples(vendor):
                event = sample["event"]
                # One forged request is enough: the step `lambda` sends them all.
                if "http" not in event["requestContext"] or (sample["forged"] and sample["hook"] != "github"):
                    continue
                # Its own Host is what SAM needs.
                headers = {name: value for name, value in event["headers"].items() if name != "host"}
                target = event["rawPath"] + (f"?{event['rawQueryString']}" if event["rawQueryString"] else "")
                answer = ask(event["requestContext"]["http"]["method"], target, event["body"].encode(), headers)
                house.queues.check(vendor, f"{name_of(sample)} over HTTP", sample, answer)
                count += 1
            refused = [
                ("an unknown hook", 404, "POST", f"{base}/nothing", b"{}", BEARER),
                ("a wrong method", 405, "DELETE", f"{base}/bearer", b"", BEARER),
                # The API's own answer, to a path that is not its own; and SAM's, to what is not UTF-8, which
                # AWS would hand over as base64, as the step `lambda` does.
                ("a path beside the API", 403, "POST", "/other", b"{}", BEARER),
                ("bytes through SAM", 502, "POST", f"{base}/none", b"\xff", {"content-type": "application/x-bytes"}),
            ]
            for what, status, *request in refused:
                house.queues.check(vendor, what, {"status": status, "stored": False}, ask(*request))
            return count + len(refused)

        count = sum(in_pairs(all_of, [*FORWARDERS]))
        house.queues.settle()
    print(f"sam local start-api: {count} requests over HTTP", flush=True)


class Lambda:
    """Client of `sam local start-lambda`, as the AWS SDK calls it."""

    def __init__(self, port: int):
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120,
                                        max_pool_connections=AT_ONCE)
        self.client = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-central-1",
                                   aws_access_key_id="test", aws_secret_access_key="test", config=config)

    def invoke(self, function: str, event) -> dict:
        answer = self.client.invoke(FunctionName=function, Payload=json.dumps(event))
        payload = answer["Payload"].read()
        # A time-out is SAM's 200 with a text.
        with contextlib.suppress(ValueError):
            value = json.loads(payload)
            if "FunctionError" not in answer and isinstance(value, dict) and "errorType" not in value:
                return value
        fail(f"{function} failed: {payload.decode(errors='replace')}")


def binary(base: str, body: bytes) -> dict:
    """Returns an event with bytes that are not text, as a gateway hands them over."""
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": f"{base}/none", "rawQueryString": "",
        "headers": {"content-type": "application/octet-stream"}, "isBase64Encoded": True,
        "body": base64.b64encode(body).decode(),
        "requestContext": {"http": {"method": "POST", "path": f"{base}/none", "sourceIp": "203.0.113.9"},
                           "stage": "$default", "requestId": "JKJaXmPLvHcESHA=", "timeEpoch": 0},
    }


def bearer(base: str, hook: str, body: str) -> dict:
    event = binary(base, body.encode())
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"{base}/{hook}"
    return event | {"headers": BEARER}


def start_lambda(house: House) -> None:
    """Invokes by the AWS SDK: every sample and its forged twin, bytes, and the way by the spill store."""
    with serving(house, "start-lambda", "start-lambda.log") as port:
        local, anything = Lambda(port), bytes(range(256))

        def all_of(function: str) -> int:
            vendor, count = FUNCTIONS[function], 1
            for sample in samples(vendor):
                house.queues.check(vendor, name_of(sample), sample, local.invoke(function, sample["event"]))
                count += 1
            answer = local.invoke(function, binary(FORWARDERS[vendor], anything))
            message_id = answer["headers"].get("x-hookmq-message-id")
            found = house.queues.messages(vendor).get(message_id)
            if not found or json.loads(found["text"]).get("data_base64") != base64.b64encode(anything).decode():
                fail(f"bytes to {function} are not in the queue as they came")
            house.queues.count(message_id)
            return count

        count = sum(in_pairs(all_of, [*FUNCTIONS]))
        house.queues.settle()

        # The queues are down: what is acknowledged is in the store, and then the redriver sends it.
        down = {"fault": {"raw": {"status": 502, "body": "<html>"}}, "times": 0}
        house.queues.control("PUT", "/_/faults", [down])
        waiting = {}
        for function, vendor in FUNCTIONS.items():
            waiting[vendor] = json.dumps({"waits": vendor})
            answer = local.invoke(function, bearer(FORWARDERS[vendor], "slow-queue", waiting[vendor]))
            if answer["statusCode"] != 200 or "x-hookmq-message-id" in answer["headers"]:
                fail(f"{function} with its queue down: {answer}")
        house.queues.control("DELETE", "/_/faults")
        house.queues.settle()
        kept = house.s3.list_objects_v2(Bucket=SPILL, Prefix="spill/").get("KeyCount")
        if kept != 2:
            fail(f"two deliveries were spilled, and {kept} are in the store")
        local.invoke(REDRIVER, json.loads(SCHEDULE.read_text()))
        for vendor, data in waiting.items():
            if not any(carries(message["text"], data) for message in house.queues.messages(vendor).values()):
                fail(f"what was spilled for {vendor} is not in its queue after {REDRIVER}")
        house.queues.stored = 2
        house.queues.settle()
        left = house.s3.list_objects_v2(Bucket=SPILL, Prefix="spill/").get("KeyCount")
        if left:
            fail(f"{left} spilled deliveries are in the store after they were sent")
    print(f"sam local start-lambda: {count} invocations by boto3, 2 deliveries spilled and redriven", flush=True)


def concurrent_calls(house: House) -> None:
    """Checks Lambda Managed Instances, where one environment serves several invocations at once.

    The queue answers none until all of them wait for it, so they can succeed only together.
    """
    provider = {"Arn": "arn:aws:lambda:eu-central-1:123456789012:capacity-provider:local",
                "PerExecutionEnvironmentMaxConcurrency": AT_ONCE}
    template = house.derive("concurrent", {"CapacityProviderConfig": provider})
    rounds = 3
    with serving(house, "start-lambda", "concurrent.log", template) as port:
        local = Lambda(port)
        for function, vendor in FUNCTIONS.items():
            for turn in range(rounds):
                house.queues.control("PUT", "/_/faults", [{"fault": {"gather": AT_ONCE}, "times": AT_ONCE}])
                bodies = [json.dumps({"turn": turn, "call": call}) for call in range(AT_ONCE)]
                ask = lambda body: local.invoke(function, bearer(FORWARDERS[vendor], "bearer", body))
                with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                    given = list(pool.map(ask, bodies))
                for body, answer in zip(bodies, given):
                    expected = {"status": 200, "stored": True, "data": body}
                    house.queues.check(vendor, f"{AT_ONCE} calls at once", expected, answer)
                sends = house.queues.control("GET", "/_/requests")["requests"]
                if sum("gather" in send["faults"] for send in sends) != AT_ONCE:
                    fail(f"{AT_ONCE} sends were to wait for each other")
                house.queues.control("DELETE", "/_/requests")
                house.queues.control("DELETE", "/_/faults")
    house.queues.settle()
    print(f"Managed Instances: {rounds} times {AT_ONCE} invocations of each function answered together", flush=True)


def up(house: House) -> None:
    """Keeps the services beside the functions up, for commands of somebody's own."""
    command = house.local("invoke", "TdmqFunction", "--event", "events/github-http-api.json")
    if "DOCKER_HOST" in house.env:
        print(f"export DOCKER_HOST={house.env['DOCKER_HOST']}")
    print(shlex.join(command))
    print(f"curl http://{house.queues.host}:{house.queues.port}/_/messages")
    print("Ctrl-C to stop", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


IN_CONTAINERS = {"invoke": invoke, "api": api, "lambda": start_lambda, "concurrent": concurrent_calls, "up": up}


def main(steps: list[str]) -> None:
    unknown = [step for step in steps if step not in [*STEPS, "all", "up"]]
    if unknown:
        fail(f"{unknown[0]} is not a step: {', '.join(STEPS)}, all or up")
    # Ended from outside, it stops what it started all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    steps = STEPS if not steps or "all" in steps else steps
    for step, what in (("build", build), ("validate", validate)):
        if step in steps:
            print(f"-- {step}", flush=True)
            what()
    if not set(steps) & set(IN_CONTAINERS):
        return
    with contextlib.ExitStack() as stack:
        house = House(stack)
        for step, what in IN_CONTAINERS.items():
            if step in steps:
                print(f"-- {step}", flush=True)
                what(house)
                if step == "up":
                    return
                house.queues.settle()
        # SAM reads a container's log no further once it has the answer, and some lines twice.
        house.queues.check_logs(sorted(LOGS.iterdir()), whole=False)


if __name__ == "__main__":
    main(sys.argv[1:])
