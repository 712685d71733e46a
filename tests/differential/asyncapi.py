"""Check of `hookmq check --asyncapi` with AsyncAPI's own parser, and of real messages against the document.

    python3 -m tests.in_venv differential.asyncapi

1. The parser finds no error in the document of a hooks file with every kind of topic, format and target, and it does
   find one in a document that is broken on purpose.
2. The functions send deliveries of each hook; each message is on a channel of the document, and its text and properties
   satisfy the schemas there. A message of another hook or with another content type does not.
"""
import contextlib
import copy
import json
import os
import re
import subprocess

import jsonschema

from tests import support
from tests.differential import libraries

HOOKS = """
[hooks.push]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
topic = { tdmq = "pulsar-demo/webhooks/push", rocketmq = "webhooks_push" }

[hooks.erp]
topic = { tdmq = "pulsar-demo/webhooks/erp-{event}-{json:order.region}", rocketmq = "erp_{event}_{json:order.region}" }
secrets = ["env:CONFORMANCE_TOKEN"]
events = ["created", "paid"]
key = "{json:order.id}"
tag = "{event}"
targets = ["tdmq", "rocketmq"]
[hooks.erp.verify]
kind = "token"
from = "header:X-Token"
event = "json:event"

[hooks.bare]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
format = "raw"
topic = { tdmq = "pulsar-demo/webhooks/bare", rocketmq = "webhooks_bare" }
"""
DELIVERIES = [
    ("push", {"Authorization": f"Bearer {support.TOKEN}"}, {"a": "größe"}),
    ("erp", {"X-Token": support.TOKEN}, {"event": "created", "order": {"id": 7, "region": "eu"}}),
    ("erp", {"X-Token": support.TOKEN}, {"event": "paid", "order": {"id": 8, "region": "us"}}),
    ("bare", {"Authorization": f"Bearer {support.TOKEN}"}, {"b": 1}),
]


def document() -> dict:
    env = {"PATH": os.environ["PATH"], "HOOKS": HOOKS, "CONFORMANCE_TOKEN": support.TOKEN}
    command = [support.binary("hookmq"), "check", "--asyncapi"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    without = subprocess.run(command, env=env | {"CONFORMANCE_TOKEN": ""}, capture_output=True, text=True)
    assert (without.returncode, without.stdout) == (2, "") and "CONFORMANCE_TOKEN" in without.stderr, without
    return json.loads(done.stdout)


def parsed(modules, text: dict) -> dict:
    script = support.ROOT / "tests" / "differential" / "asyncapi.mjs"
    done = subprocess.run(["node", script, modules], input=json.dumps(text), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def sent() -> list[dict]:
    """Returns the messages that both functions made of the deliveries."""
    with contextlib.ExitStack() as stack:
        vendor = stack.enter_context(support.emulator())
        for function in ("tdmq", "rocketmq"):
            port = support.free_port()
            env = support.forwarder_env(vendor, HOOKS=HOOKS, LISTEN=f"127.0.0.1:{port}")
            support.wait_for(port, stack.enter_context(support.process([support.binary(function)], env)))
            for hook, headers, body in DELIVERIES:
                # The hook with targets goes to both queues, whichever function receives it.
                if hook == "erp" and function == "rocketmq":
                    continue
                headers = {"Content-Type": "application/json", **headers}
                status, _, told = support.request(port, "POST", f"/{hook}", json.dumps(body).encode(), headers)
                assert status == 200, (hook, status, told)
        return support.messages(vendor)


def channel_of(channels: list[dict], message: dict) -> dict:
    topic = message["topic"]
    spelled = lambda channel: re.sub(r"\\\{[A-Za-z0-9_-]+\\\}", "[A-Za-z0-9_-]{1,64}", re.escape(channel["address"]))
    found = [channel for channel in channels if re.fullmatch(spelled(channel), topic)]
    assert len(found) == 1, (topic, [channel["address"] for channel in channels])
    return found[0]


def fits(schemas: dict, message: dict) -> bool:
    """Returns true if text and properties are as the document says."""
    holds = lambda schema, value: schema is None or jsonschema.Draft7Validator(schema).is_valid(value)
    text = json.loads(message["text"])
    properties = message["properties"] if message["vendor"] == "rocketmq" else {}
    is_typed = schemas["contentType"] == properties.get("CE_contenttype", schemas["contentType"])
    return holds(schemas["payload"], text) and holds(schemas["headers"], properties) and (
        is_typed or schemas["contentType"] is None)


def check_messages(channels: list[dict]) -> int:
    messages = sent()
    assert len(messages) == 8, messages
    used = set()
    for message in messages:
        channel = channel_of(channels, message)
        used.add(channel["id"])
        [schemas] = channel["messages"]
        assert fits(schemas, message), (channel["id"], message)
        if schemas["payload"]:
            other = copy.deepcopy(message)
            other["text"] = message["text"].replace("/hooks/", "/hooks/x")
            assert not fits(schemas, other), channel["id"]
        if schemas["headers"]:
            other = copy.deepcopy(message)
            other["properties"]["CE_source"] = "/hooks/other"
            assert not fits(schemas, other), channel["id"]
    assert used == {channel["id"] for channel in channels}, used
    return len(messages)


def main() -> None:
    support.cargo_build("hookmq-cli", "hookmq-emulator", "tdmq", "rocketmq")
    modules = libraries.modules()
    assert modules, "npm is missing: .ci/install installs it"
    text = document()
    told = parsed(modules, text)
    assert not told["errors"], told["errors"]
    for break_it in (
        lambda text: text["channels"]["push-tdmq"].update(address=7),
        lambda text: text["operations"]["push-tdmq"].update(action="publish"),
        lambda text: text["components"]["schemas"]["envelope"].update(type="thing"),
    ):
        broken = copy.deepcopy(text)
        break_it(broken)
        assert parsed(modules, broken)["errors"], "the parser takes anything"
    erp = next(channel for channel in told["channels"] if channel["id"] == "erp-tdmq")
    assert sorted(erp["parameters"]) == ["event", "json_order_region"], erp
    count = check_messages(told["channels"])
    print(f"AsyncAPI's parser takes the document of {len(told['channels'])} channels, and {count} messages satisfy it")


if __name__ == "__main__":
    main()
