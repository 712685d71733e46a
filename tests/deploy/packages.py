"""Check and run of what `deploy/` holds for Tencent SCF and FunctionGraph.

1. Terraform and serverless.yml: parsed, and every resource's arguments against the oldest version of its provider
   that the module accepts and the newest that was read (`schema.json`); every variable of the environment against
   docs/configuration.md and the names that a platform reserves; no secret with a default or in the open; each right
   that the code needs in its role, and no other.
2. The packages: built twice, equal byte for byte, with the modes that the platforms ask for.
3. Each package unzipped and run: against servers that follow the platforms' runtime interfaces, with each
   sample event, or as the web server that it is there; the vendors' emulator behind, with temporary keys.
   Every delivery is stored, and nothing of a key is in a log, an answer or a message.
"""
import base64
import contextlib
import hashlib
import http.server
import json
import logging
import os
import pathlib
import queue
import re
import stat
import subprocess
import sys
import tempfile
import threading
import zipfile

import hcl2
import yaml
from moto.server import ThreadedMotoServer

from tests import support
from tests.deploy import limits, schemas

DEPLOY = support.ROOT / "deploy"
MODULES = {
    "tencent-scf": "tencentcloud",
    "functiongraph/otc": "opentelekomcloud",
    "functiongraph/huawei": "huaweicloud",
}
# What belongs to Terraform and to no provider.
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic"}
FORWARDERS = ("tdmq", "rocketmq")

# Of the platforms' roles. Whatever of them turns up where it must not is found by these words.
TENCENT_KEY = ("AKIDtemporaryOfTheRole", "keyTemporaryOfTheRole", "tokenTemporaryOfTheRole")
HUAWEI_KEY = ("AKTEMPORARYOFTHEAGENCY", "skTemporaryOfTheAgency", "tokenTemporaryOfTheAgency")
IAM_TOKEN = "iamTokenOfTheAgency"
SPOOFED = "spoofedByAClient"
SECRETS = (*TENCENT_KEY[1:], *HUAWEI_KEY[1:], IAM_TOKEN, SPOOFED)


# 1. Terraform and serverless.yml

def unquoted(name: str) -> str:
    return name.strip('"')


def content(body: dict, members: dict) -> dict[str, list]:
    """Returns a block's arguments by name, without what belongs to Terraform, and the bodies of its blocks."""
    found = {}
    for name, value in body.items():
        if name.startswith("__") or name in META - set(members):
            continue
        is_block = isinstance(members.get(name), dict)
        bodies = [inner for inner in (value or []) if isinstance(inner, dict)] if is_block else []
        found[name] = [content(inner, members[name]["members"]) for inner in bodies]
    for part in body.get("dynamic", []):
        for name, made in part.items():
            if not name.startswith("__"):
                name, inner = unquoted(name), members.get(unquoted(name))
                bodies = made["content"] if isinstance(inner, dict) else []
                found[name] = found.get(name, []) + [content(body, inner["members"]) for body in bodies]
    return found


def check_module(folder: str, provider: str, schema: dict) -> int:
    versions = {version: schemas.types(schema, version) for version in schemas.VERSIONS}
    texts = {path: path.read_text() for path in sorted((DEPLOY / folder).glob("*.tf"))}
    parsed = [hcl2.loads(text) for text in texts.values()]
    # Comments and descriptions name things, too.
    code = re.sub(r'^\s*#.*$|description = ".*"$', "", "\n".join(texts.values()), flags=re.M)
    count = 0
    for module in parsed:
        for kind in ("resource", "data"):
            for part in module.get(kind, []):
                for type_, named in part.items():
                    for name, body in named.items():
                        count += 1
                        type_ = unquoted(type_)
                        if type_ == "terraform_data":  # Terraform's own.
                            continue
                        for version, types in versions.items():
                            members = types[type_ if kind == "resource" else f"data.{type_}"]
                            where = f"{folder}: {type_}.{unquoted(name)} of {schema[version]}"
                            found = schemas.problems(where, content(body, members), members)
                            assert not found, found
    # References: to what is declared, and to arguments and attributes that are there.
    declared = set(re.findall(r'^(?:resource|data) "(\w+)" "(\w+)"', code, re.M))
    for data, type_, name, attribute in re.findall(
            rf"(\bdata\.)?\b({provider}_\w+)\.(\w+)(?:\[[^]]*\])?(?:\.(\w+))?", code):
        assert (type_, name) in declared, f"{folder}: there is no {type_}.{name}"
        for version, types in versions.items():
            assert attribute in {*types[data + type_], ""}, f"{folder}: {type_} of {schema[version]} has no {attribute}"
    variables = {unquoted(name): body for module in parsed for part in module.get("variable", [])
                 for name, body in part.items()}
    assert set(re.findall(r"\bvar\.(\w+)", code)) == set(variables), folder
    values = {name for module in parsed for part in module.get("locals", []) for name in part
              if not name.startswith("__")}
    assert set(re.findall(r"\blocal\.(\w+)", code)) == values, folder
    for name, body in variables.items():
        is_secret = re.search("secret|password|token|key", name)
        assert not is_secret or body.get("sensitive") is True and body.get("default", {}) == {}, f"{folder}: {name}"
    # FunctionGraph shows `user_data` to whoever may see the function.
    for shown in re.findall(r"^ *user_data *=(.*)$", code, re.M):
        assert "secret" not in shown, f"{folder}: secrets in the open: {shown}"
    source, version = re.search(r'source\s*= "(.*)"\s*version = ">= (.*)"', code).groups()
    assert (source, version) == (schema["source"], schema["minimum"]), f"{folder}: {source} {version}"
    return count


def check_schema_breaks(schema: dict) -> None:
    """Breaks a block, each time so that a provider would refuse it."""
    newest, minimum = (schemas.types(schema["huaweicloud"], version) for version in ("newest", "minimum"))
    function = {name: [] for name in ("name", "runtime", "timeout", "memory_size", "app", "handler")}
    bucket = {"bucket": [], "kms_data_encryption": []}
    assert not schemas.problems("sound", function, minimum["huaweicloud_fgs_function"])
    assert not schemas.problems("sound", bucket, newest["huaweicloud_obs_bucket"])
    rule = {"lifecycle_rule": [{"name": [], "enabled": [], "expiration": [{}]}]}
    for name, body, members in (
        ("of no version", function | {"function_type": []}, newest["huaweicloud_fgs_function"]),
        ("of the newest version alone", bucket, minimum["huaweicloud_obs_bucket"]),
        ("that nobody may write", function | {"urn": []}, newest["huaweicloud_fgs_function"]),
        ("that is missing", {"timeout": []}, newest["huaweicloud_fgs_function"]),
        ("that is missing in a block", {"bucket": [], **rule}, newest["huaweicloud_obs_bucket"]),
        ("that another one excludes", function | {"package": []}, newest["huaweicloud_fgs_function"]),
        ("that needs another one", function | {"vpc_id": []}, newest["huaweicloud_fgs_function"]),
        ("of which there must be one", {"name": []}, newest["huaweicloud_identity_agency"]),
    ):
        assert schemas.problems("broken", body, members), f"an argument {name}: nothing noticed"
    assert not schemas.VERSIONS[2:] and newest != minimum
    for folder, name in (("tencent-scf", "SCF_TRUST_HEADERS"), ("functiongraph/otc", "RUNTIME_CPU")):
        try:
            check_names(DEPLOY / folder / "main.tf", {name})
        except AssertionError:
            continue
        raise AssertionError(f"{name}: nothing noticed")


def check_names(path: pathlib.Path, names: set[str]) -> None:
    """Checks that a platform takes the names of the variables that are set here."""
    folder = next(folder for folder in limits.PLATFORMS if path.is_relative_to(DEPLOY / folder))
    limits.check_names(path, limits.PLATFORMS[folder], names)


# The text by which each cloud's timer names the shard, the name that tells timers apart, and how many may run.
SHARDS = {
    "tencent-scf": ("custom_argument", "trigger_name", "reserved_concurrency_mem", "128 * var.redrive_shards"),
    "functiongraph/otc": ("user_event", "name", "max_instance_num", "tostring(var.redrive_shards)"),
    "functiongraph/huawei": ("user_event", "name", "max_instance_num", "tostring(var.redrive_shards)"),
}
SHARD = re.compile(r"(\d)/([1248])")


def check_texts(where: str, texts: list[str]) -> None:
    """Checks that these triggers name each shard once, and together the whole."""
    assert all(SHARD.fullmatch(text) for text in texts), f"{where}: {texts}"
    assert texts == [f"{index}/{len(texts)}" for index in range(len(texts))], f"{where}: {texts}"


def check_shards(folder: str, text: str) -> None:
    """Checks that each shard has a timer and room to run, with no more memory than was measured."""
    argument, name, limit, room = SHARDS[folder]
    # FunctionGraph's triggers have their data in a resource beside them.
    found = lambda kind, label: "".join(
        re.findall(rf'^resource "(?:{kind}|terraform_data)" "{label}" {{\n(.*?)^}}', text, re.M | re.S))
    labels = ((r"\w+_trigger\w*", "timer"), (r"\w+_function(?:_v2)?", "redrive"))
    blocks = {kind: found(kind, label) for kind, label in labels}
    value = lambda block, key: re.search(rf"^ *{key} *= (.*)$", block, re.M)[1]
    timer, function = blocks.values()
    counts = re.findall(r"^ *count *= (.*)$", timer, re.M)
    assert counts and set(counts) == {"var.spill ? var.redrive_shards : 0"}, folder
    for shards in (1, 2, 4, 8):
        put = lambda index: lambda text: (text.strip('"').replace("${count.index}", str(index))
                                          .replace("${var.redrive_shards}", str(shards)))
        of_each = [[put(index)(value(timer, key)) for index in range(shards)] for key in (argument, name)]
        check_texts(folder, of_each[0])
        assert len(set(of_each[1])) == shards, f"{folder}: timers of one name"
    assert value(text, limit) == room or value(function, limit) == room, f"{folder}: {limit}"
    assert re.search(r"^ *mem(?:ory)?_size *= 128$", function, re.M), f"{folder}: more memory than the redriver needs"
    assert int(value(function, "timeout")) < 60, f"{folder}: a run ends before the next of its shard"
    variables = (DEPLOY / folder / "variables.tf").read_text()
    (variable,) = re.findall(r'^variable "redrive_shards" {\n(.*?)^}', variables, re.M | re.S)
    assert "contains([1, 2, 4, 8], var.redrive_shards)" in variable and value(variable, "default") == "1", folder


# Rights by what the code asks a store for, in COS's and in OBS's words. S3's HEAD is a read for OBS.
COS = {"PUT": "name/cos:PutObject", "GET": "name/cos:GetObject", "HEAD": "name/cos:HeadObject",
       "DELETE": "name/cos:DeleteObject", "LIST": "name/cos:GetBucket"}
OBS = {"PUT": "obs:object:PutObject", "GET": "obs:object:GetObject", "HEAD": "obs:object:GetObject",
       "DELETE": "obs:object:DeleteObject", "LIST": "obs:bucket:ListBucket"}
# Of both functions: what they ask the store for (a forwarder reads marks alone), and where.
STORE = {
    "forwarder": [({"PUT"}, "/*"), ({"GET", "HEAD"}, "/sent/*"), ({"LIST"}, "")],
    "redrive": [({"PUT", "GET", "HEAD", "DELETE"}, "/*"), ({"LIST"}, "")],
}
# What OTC's provider calls the least that an encrypted bucket needs (its documents of opentelekomcloud_obs_bucket).
KEY = {"kms:cmk:list", "kms:cmk:get", "kms:cmk:generate", "kms:dek:create", "kms:cmk:crypto", "kms:dek:crypto"}
RIGHT = re.compile(r'"((?:name/cos|obs|kms|tdmq):[\w:]+)"')


def check_rights(folder: str, text: str) -> None:
    """Checks that each role has the rights that the code needs in it, and no other."""
    words = COS if folder == "tencent-scf" else OBS
    kind = r"\w+_cam_policy" if folder == "tencent-scf" else r"\w+_identity_role\w*"
    roles = dict(re.findall(rf'^resource "{kind}" "(\w+)" {{\n(.*?)^}}', text, re.M | re.S))
    for name, asked in STORE.items():
        needed = {words[call] for calls, _ in asked for call in calls}
        given = set(RIGHT.findall(roles[name]))
        assert given == needed, f"{folder}: {name}: {given ^ needed}"
        for calls, where in asked:
            for right in {words[call] for call in calls}:
                (resource,) = re.findall(rf'"{right}"[^\]]*\][^"]*"([^"]*)"', roles[name])
                end = where or ("/*" if folder == "tencent-scf" else "{local.bucket}")
                is_narrow = resource.endswith(end) and resource.endswith("/sent/*") == (end == "/sent/*")
                assert is_narrow, f"{folder}: {name}: {right} on {resource}"
    if folder == "tencent-scf":
        assert re.findall(r'action *= \["(tdmq:\w+)"\]', text) == ["tdmq:SendMessages"], folder
        assert len(re.findall(r"concat\(local\.send,", text)) == 2, f"{folder}: a function that cannot send"
    if folder == "functiongraph/otc":
        assert set(RIGHT.findall(roles["key"])) == KEY, f"{folder}: {set(RIGHT.findall(roles['key'])) ^ KEY}"
        layers = {name: re.search(r'display_layer *= ([\w".]+)', block)[1] for name, block in roles.items()}
        # "create two custom policies with the scope being set to global services and region-specific projects": IAM's
        # API reference on a policy with OBS operations. KMS is a service of a region.
        assert layers == {"forwarder": "each.value", "redrive": "each.value", "key": '"project"'}, layers
        for name in STORE:
            assert re.search(r"^  for_each *= local\.layers$", roles[name], re.M), f"{folder}: {name}: one level"
        assert 'toset(var.spill ? ["domain", "project"] : [])' in text, f"{folder}: one level"
        for block in re.findall(r'^resource "opentelekomcloud_identity_\w+" "\w+" {\n(.*?)^}', text, re.M | re.S):
            is_of_domain = re.search(r"^  provider *= opentelekomcloud\.domain$", block, re.M)
            assert is_of_domain, f"{folder}: a project's provider"


def check_right_breaks() -> None:
    """Takes rights away, and adds some, each time so that a function cannot work or can do too much."""
    for folder in MODULES:
        text = (DEPLOY / folder / "main.tf").read_text()
        check_rights(folder, text)
        words = COS if folder == "tencent-scf" else OBS
        changes = {right: (f'"{right}"', '"obs:bucket:HeadBucket"') for right in set(words.values())}
        changes["marks of all"] = ("/sent/*", "/*")
        if folder == "functiongraph/otc":
            changes |= {right: (f'"{right}"', '"kms:cmk:list"') for right in KEY - {"kms:cmk:list"}}
            changes["a project's roles"] = ('["domain", "project"]', '["project"]')
            changes["a project's provider"] = ("= opentelekomcloud.domain", "= opentelekomcloud")
        for name, (old, new) in changes.items():
            assert old in text, f"{folder}: {name}"
            try:
                check_rights(folder, text.replace(old, new))
            except (AssertionError, ValueError):
                continue
            raise AssertionError(f"{folder}: {name}: nothing noticed")
    # A call of the store that is new needs a right that is new.
    store = (support.ROOT / "shared/src/store/s3/mod.rs").read_text()
    calls = {*re.findall(r"\bMethod::([A-Z]+)\b", store), "LIST"}
    assert calls == set(COS) == set(OBS) == set().union(*(each for each, _ in STORE["redrive"])), "a call without a right"
    client = (support.ROOT / "shared/src/queue/tdmq/client.rs").read_text()
    assert re.findall(r'"x-tc-action", "(\w+)"', client) == ["SendMessages"], "a call without a right"


def check_triggers(folder: str, text: str) -> None:
    """Checks that no plan shows a difference that the platform made, and that each change reaches the platform."""
    triggers = dict(re.findall(r'^resource "\w+_trigger\w*" "(\w+)" {\n(.*?)^}', text, re.M | re.S))
    assert len(triggers) == 2, folder
    for name, block in triggers.items():
        if folder != "tencent-scf":
            # FunctionGraph completes the event data, and updates none of a gateway's.
            assert re.search(r"ignore_changes *= \[event_data\]", block), f"{folder}: {name} differs in each plan"
            assert re.search(rf"replace_triggered_by *= \[terraform_data\.{name}\b", block), f"{folder}: {name} stays"
    if folder == "tencent-scf":
        function = re.search(r'^resource "tencentcloud_scf_function" "forwarder" {\n(.*?)^}', text, re.M | re.S)[1]
        assert re.search(r'^ *name *= .*var\.kind', function, re.M), f"{folder}: SCF changes no function's kind"


def check_bucket(folder: str, text: str) -> None:
    """Checks that acknowledged deliveries are encrypted where they lie."""
    bucket = re.search(r'^resource "\w+_bucket" "spill" {\n(.*?)^}', text, re.M | re.S)[1]
    encrypted = {
        "tencent-scf": r'^ *encryption_algorithm *= "AES256"$',
        # Without the algorithm it is a key of KMS, which neither agency may use.
        "functiongraph/huawei": r'^ *encryption *= true$(.|\n)*^ *sse_algorithm *= "AES256"$',
        "functiongraph/otc": r'"server_side_encryption" {',
    }
    assert re.search(encrypted[folder], bucket, re.M), f"{folder}: the bucket is not encrypted"
    assert re.search(r"^ *versioning(_enable)? *= true$", bucket, re.M) and "prevent_destroy = true" in bucket, folder
    # Whoever spills may write the probe too.
    writes = re.findall(r'PutObject[^\n]*\n?[^\n]*?[rR]esource *= *\[?"([^"\]]*)"', text)
    assert len(writes) == 2 and all(resource.endswith("/*") for resource in writes), f"{folder}: {writes}"
    # The probe is written at each start: a day of it is enough, and nothing else that is kept goes so soon.
    rules = re.findall(r"^  lifecycle_rules? {\n(.*?)^  }", bucket, re.M | re.S)
    (probe,) = (rule for rule in rules if '"probe/"' in rule)
    assert re.findall(r"^ +(?:non_current_)?days *= (\d+)$", probe, re.M) == ["1", "1"], f"{folder}: {probe}"
    if folder == "functiongraph/otc":
        variables = (DEPLOY / folder / "variables.tf").read_text()
        (variable,) = re.findall(r'^variable "kms_id" {\n(.*?)^}', variables, re.M | re.S)
        is_asked = re.search(r"precondition {\n +condition += var\.kms_id != null\n", bucket)
        assert "default     = null" in variable and is_asked, f"{folder}: unencrypted, and nobody decided it"


# Of the log's line for a run (shared/src/redrive/job.rs): what alarms on a log search for.
RUN = "redrive_run_${count.index}_of_${var.redrive_shards}"
FAILED, STUCK = "redrive_failed", "redrive_stuck"
# Of the spill store's probe (shared/src/spill/probe.rs), and the outcome of a request that was not verified.
PROBED, STRANGERS = "store_probe_failed", "rejected"
# The variable of each module that names who is told.
TOLD = {"tencent-scf": "cls_notices", "functiongraph/otc": "alarm_topic", "functiongraph/huawei": "alarm_topic"}


def check_alarms(folder: str, text: str) -> None:
    """Checks that an alarm rings for each silent shard, and for a redriver that fails or is not invoked."""
    found = re.findall(r'^resource "(\w+)" "(\w+)" {\n(.*?)^}', text, re.M | re.S)
    value = lambda block, key: (re.findall(rf"^ *{key} *= (.*)$", block, re.M) or [""])[0].strip('"')
    searches = {}
    for kind, name, block in found:
        if "_cls_alarm" in kind:
            word, sql = value(block, "query").split(" | ")
            operator, number = re.fullmatch(r"\$1\.runs (<|>=) (\d+)", value(block, "condition")).groups()
            assert sql == "select count(*) as runs", f"{folder}: {name}"
            minutes = -int(value(block, "start_time_offset"))
            assert value(block, "alarm_notice_ids") == "var.cls_notices", f"{folder}: {name} tells nobody"
            often = value(block, "time")
        elif "_lts_keywords_alarm_rule" in kind:
            word, operator, number = (value(block, key) for key in ("keywords?", "condition", "number"))
            assert value(block, "search_time_range_unit") == "minute", f"{folder}: {name}"
            minutes = int(value(block, "search_time_range"))
            assert '"notification_rule" {' in block, f"{folder}: {name} tells nobody"
            assert re.search(r'send_notifications *= var\.alarm_topic != ""', block), f"{folder}: {name} tells nobody"
            often = value(block, "fixed_rate")
        else:
            continue
        assert int(often) <= 5, f"{folder}: {name} looks every {often} minutes only"
        searches[word] = (operator, int(number), minutes, value(block, "count"))
    operator, number, minutes, count = searches[RUN]
    # Three intervals, and a quarter of an hour at least.
    assert (operator, number) == ("<", 1) and minutes >= 15, f"{folder}: silence does not ring"
    # Never without a shard's own where there are redrivers at all, but for CLS, which refuses one that tells nobody.
    assert re.fullmatch(r"(var\.spill|local\.alarms) \? var\.redrive_shards : 0", count), f"{folder}: {count}"
    assert ("local.alarms" in count) == (folder == "tencent-scf"), folder
    operator, number, minutes, _ = searches[FAILED]
    assert operator == ">=" and 1 <= number <= minutes, f"{folder}: a redriver that fails does not ring"
    operator, number, minutes, _ = searches[STUCK]
    assert (operator, number) == (">=", 1), f"{folder}: a delivery that waits does not ring"
    operator, number, minutes, _ = searches[PROBED]
    assert (operator, number) == (">=", 1) and minutes >= 15, f"{folder}: a store that takes nothing does not ring"
    # Also where there is no redriver, and under its own name: no alarm of an outage counts what anybody can send.
    operator, number, _, count = searches[STRANGERS]
    assert operator == ">=" and number >= 100 and "spill" not in count and "local" not in count, f"{folder}: {count}"
    for kind, name, block in found:
        is_strangers = any(value(block, key).split(" | ")[0] == STRANGERS for key in ("query", "keywords?"))
        says = "Strangers" in value(block, "message_template") + value(block, "description")
        assert is_strangers == says == name.startswith("strangers"), f"{folder}: {name}"
    variables = (DEPLOY / folder / "variables.tf").read_text()
    (told,) = re.findall(rf'^variable "{TOLD[folder]}" {{\n(.*?)^}}', variables, re.M | re.S)
    assert value(told, "default") in ("", "[]"), f"{folder}: nobody has to be told"
    if folder == "tencent-scf":
        return
    metrics = {}
    for kind, name, block in found:
        if "_ces_alarmrule" not in kind:
            continue
        assert value(block, "namespace") == "SYS.FunctionGraph", f"{folder}: {name}"
        own = r'name *= "package-functionname"\n *value *= "default-\${\w+\.redrive\[0\]\.name}"'
        assert re.search(own, block), f"{folder}: {name} looks at another function"
        assert block.count("for_each = var.alarm_topic ==") == 2, f"{folder}: {name} tells nobody"
        seconds = int(value(block, "period")) * int(re.findall(r"^ +count *= (\d)$", block, re.M)[0])
        metrics[value(block, "metric_name")] = (value(block, "comparison_operator"), seconds)
    assert metrics.keys() == {"count", "failcount"}, f"{folder}: {metrics}"
    assert metrics["count"] == ("<", 900) and metrics["failcount"] == (">=", 900), f"{folder}: {metrics}"


def check_alarm_breaks() -> None:
    """Breaks the alarms, each time so that somebody who waits would not be told."""
    for folder in MODULES:
        text = (DEPLOY / folder / "alarms.tf").read_text()
        blocks = re.findall(r'^resource "\w+" "\w+" {\n.*?^}\n', text, re.M | re.S)
        changes = {f"without {block.split(chr(34))[3]}": (block, "") for block in blocks}
        changes |= {
            "one alarm for all shards": ("redrive_run_${count.index}_of", "redrive_run_0_of"),
            "an alarm for one shard": ("? var.redrive_shards :", "? 1 :"),
            "five minutes": ('search_time_range      = 15' if folder != "tencent-scf" else "start_time_offset = -15",
                             'search_time_range      = 5' if folder != "tencent-scf" else "start_time_offset = -5"),
        }
        check_alarms(folder, text)
        for name, (old, new) in changes.items():
            assert old in text, f"{folder}: {name}"
            try:
                check_alarms(folder, text.replace(old, new))
            except (AssertionError, KeyError, AttributeError, ValueError):
                continue
            raise AssertionError(f"{folder}: {name}: nothing noticed")


# The component's inputs and triggers: https://cloud.tencent.com/document/product/1154/39271
INPUTS = {
    "name", "namespace", "role", "enableRoleAuth", "src", "handler", "runtime", "region", "description",
    "memorySize", "timeout", "initTimeout", "environment", "publicAccess", "vpcConfig", "cfs", "deadLetter",
    "layers", "cls", "eip", "asyncRunEnable", "tags", "events",
}
TRIGGERS = {
    "http": {"netConfig", "qualifier"},
    "timer": {"name", "qualifier", "cronExpression", "enable", "argument"},
}


def check_serverless(path: pathlib.Path) -> None:
    document = yaml.safe_load(path.read_text())
    inputs = document["inputs"]
    assert document["component"] == "scf" and not set(inputs) - INPUTS, set(inputs) - INPUTS
    assert {"name", "src", "runtime", "role"} <= set(inputs) and inputs["runtime"] == "CustomRuntime"
    for event in inputs["events"]:
        for kind, trigger in event.items():
            assert not set(trigger["parameters"]) - TRIGGERS[kind], (path, kind)
    for name, value in inputs["environment"]["variables"].items():
        assert not re.search("SECRET|KEY|TOKEN", name) or value.startswith("${env:"), f"{path}: {name} in the open"
    timers = [event["timer"]["parameters"] for event in inputs["events"] if "timer" in event]
    if path.is_relative_to(DEPLOY / "tencent-scf" / "redrive"):
        shards = path.parent.name if path.parent.name.isdigit() else "1"
        check_texts(str(path), [timer["argument"] for timer in timers])
        assert len(timers) == int(shards) == len({timer["name"] for timer in timers}), path
        assert all(timer["enable"] is True for timer in timers) and inputs["memorySize"] == 128, path
        # The same function, whatever their number.
        one = yaml.safe_load((DEPLOY / "tencent-scf" / "redrive" / "serverless.yml").read_text())
        same = {key: value for key, value in inputs.items() if key not in ("events", "src")}
        assert same == {key: one["inputs"][key] for key in same} and document["name"] == one["name"], path
    source = (path.parent / inputs["src"].replace("${env:FUNCTION}", "tdmq")).resolve()
    assert source.parent == support.ROOT / "target" / "deploy", source


def check_descriptions() -> None:
    schema = schemas.load()
    count = sum(check_module(folder, provider, schema[provider]) for folder, provider in MODULES.items())
    manifests = sorted((DEPLOY / "tencent-scf").rglob("serverless.yml"))
    for path in manifests:
        check_serverless(path)
    assert len(manifests) == 5, manifests
    for folder in MODULES:
        text = (DEPLOY / folder / "main.tf").read_text()
        check_shards(folder, text)
        check_bucket(folder, text)
        check_triggers(folder, text)
        limits.check_module(folder, text, (DEPLOY / folder / "variables.tf").read_text())
    limits.check_pages()
    limits.check_breaks()
    check_alarm_breaks()
    check_right_breaks()
    check_schema_breaks(schema)
    job = (support.ROOT / "shared/src/redrive/job.rs").read_text()
    probe = (support.ROOT / "shared/src/spill/probe.rs").read_text()
    outcome = (support.ROOT / "shared/src/outcome.rs").read_text()
    assert f'result = "{PROBED}"' in probe and f'=> "{STRANGERS}"' in outcome, "alarms search for what nobody logs"
    assert f'"{FAILED}"' in job and '"redrive_run_{}_of_{}"' in job, "alarms search for what nobody logs"
    for platform in (Scf, FunctionGraph):
        event = json.loads((platform.events / "timer.json").read_text())
        check_texts(str(platform.events), [event.get("Message", event.get("user_event"))])
    # Every variable that is set is one that is documented, or a hook's.
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (support.ROOT / "docs/configuration.md").read_text()))
    hooks = set(re.findall(r'"env:(\w+)"', (support.ROOT / "hooks.toml").read_text()))
    for path in [*DEPLOY.rglob("*.tf"), *manifests]:
        assignment = r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+) *=" if path.suffix == ".tf" else r"^ +([A-Z][A-Z0-9_]+):"
        set_here = set(re.findall(assignment, path.read_text(), re.M))
        assert not set_here - documented - hooks, f"{path}: {set_here - documented - hooks}"
        check_names(path, set_here)
    print(f"{count} resources and {len(manifests)} manifests as their providers have them, the oldest and the newest")


# 2. The packages

# The beginning of a package's digest, in the name of its copy.
DIGEST = re.compile(r"-[0-9a-f]{16}$")


def package(out: pathlib.Path) -> dict[str, pathlib.Path]:
    # cargo-lambda and zig are in this environment.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([DEPLOY / "package", "--out", out], check=True, env={**os.environ, "PATH": path})
    found = {zipped.stem: zipped for zipped in out.glob("*.zip")}
    packages = {name: path for name, path in found.items() if not DIGEST.search(name)}
    copies = {name: path for name, path in found.items() if DIGEST.search(name)}
    named = {f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}": path.read_bytes()
             for name, path in packages.items()}
    assert {name: path.read_bytes() for name, path in copies.items()} == named, "a package without its digest"
    return packages


def check_packages(home: pathlib.Path) -> dict[str, pathlib.Path]:
    """Builds and checks the packages, and returns the folders that the zips were unzipped into."""
    first, second = package(home / "first"), package(home / "second")
    web = {f"{kind}-{name}" for kind in ("scf-web", "functiongraph-http") for name in FORWARDERS}
    assert set(first) == {*(f"event-{name}" for name in (*FORWARDERS, "redrive")), *web}, set(first)
    folders = {}
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), f"{name} differs from build to build"
        folders[name] = home / name
        with zipfile.ZipFile(path) as zipped:
            modes = {entry.filename: entry.external_attr >> 16 for entry in zipped.infolist()}
            started = "scf_bootstrap" if name.startswith("scf-web") else "bootstrap"
            expected = {started, "hooks.toml", *(["hookmq"] if name in web else [])}
            assert set(modes) == expected and all(stat.S_ISREG(mode) for mode in modes.values()), modes
            for file, mode in modes.items():
                assert stat.S_IMODE(mode) == (0o644 if file == "hooks.toml" else 0o755), (name, file, oct(mode))
                zipped.extract(file, folders[name])
                (folders[name] / file).chmod(stat.S_IMODE(mode))
            if name in web:
                script = zipped.read(started)
                assert script.startswith(b"#!/bin/") and b"\r" not in script
                address = b"0.0.0.0:9000" if name.startswith("scf-web") else b"127.0.0.1:8000"
                assert address in script, name
    return folders


# 3. The packages, run

class Runtime(http.server.ThreadingHTTPServer):
    """Runtime interface of a platform, which hands out one event after the other and takes the answers."""

    daemon_threads = True

    def __init__(self, next_: str, answers: dict[str, str], ready: str | None):
        super().__init__(("127.0.0.1", 0), RuntimeHandler)
        self.next, self.answers, self.ready = next_, answers, ready
        self.is_ready = ready is None
        self.events, self.answered = queue.Queue(), queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def invoke(self, event: dict, headers: dict, kind: str = "response") -> dict:
        """Returns the function's answer to an event. An error fails the test, unless `kind` asks for one."""
        self.events.put((json.dumps(event).encode(), headers))
        path, body = self.answered.get(timeout=60)
        found = next((kind for kind, form in self.answers.items() if re.fullmatch(form, path)), None)
        assert self.is_ready and found == kind, (path, body)
        return json.loads(body)


class RuntimeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, body: bytes = b"", headers: dict | None = None):
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        assert self.path == self.server.next, self.path
        self.reply(*self.server.events.get())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == self.server.ready:
            self.server.is_ready = True
        else:
            self.server.answered.put((self.path, body))
        self.reply()


class Scf:
    """Runtime interface of SCF: https://www.tencentcloud.com/document/product/583/38129."""

    events = DEPLOY / "tencent-scf" / "events"
    text = "Message"

    def __init__(self):
        answers = {kind: f"/runtime/invocation/{kind}" for kind in ("response", "error")}
        self.runtime = Runtime("/runtime/invocation/next", answers, "/runtime/init/ready")

    def env(self) -> dict:
        id_, key, token = TENCENT_KEY
        return {
            "SCF_RUNTIME_API": "127.0.0.1", "SCF_RUNTIME_API_PORT": str(self.runtime.server_port),
            "TENCENTCLOUD_SECRETID": id_, "TENCENTCLOUD_SECRETKEY": key, "TENCENTCLOUD_SESSIONTOKEN": token,
        }

    def invoke(self, event: dict, kind: str = "response") -> dict:
        headers = {"request_id": "c6af9ac6-7b61-41e6-9a41-93e8deadbeef", "memory_limit_in_mb": "128",
                   "time_limit_in_ms": "30000"}
        return self.runtime.invoke(event, headers, kind)


class FunctionGraph:
    """Runtime interface of FunctionGraph: https://docs.otc.t-systems.com/function-graph/umn/."""

    events = DEPLOY / "functiongraph" / "events"
    text = "user_event"

    def __init__(self):
        answers = {kind: f"/v1/runtime/invocation/{kind}/[0-9a-f-]+" for kind in ("response", "error")}
        self.runtime = Runtime("/v1/runtime/invocation/request", answers, None)

    def env(self) -> dict:
        return {"RUNTIME_API_ADDR": f"127.0.0.1:{self.runtime.server_port}", "RUNTIME_TIMEOUT": "30"}

    def invoke(self, event: dict, kind: str = "response") -> dict:
        access_key, secret_key, token = HUAWEI_KEY
        return self.runtime.invoke(event, {
            "X-Cff-Request-Id": "a31d3d70-4152-4142-92fa-8b2cade9b453", "X-CFF-Invoke-Type": "Sync",
            "X-CFF-Access-Key": access_key, "X-CFF-Secret-Key": secret_key, "X-CFF-Security-Token": token,
            "X-CFF-Auth-Token": IAM_TOKEN,
        }, kind)


@contextlib.contextmanager
def vendors():
    """Starts the emulator, which takes the roles' temporary keys and no others, and yields its port."""
    tencent = zip(("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"), TENCENT_KEY)
    huawei = zip(("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"), HUAWEI_KEY)
    with support.emulator(**dict([*tencent, *huawei])) as port:
        yield port


def environment(vendor_port: int, **more: str) -> dict:
    """Returns what a deployment sets: where the queues are and the hook's secret, without a key."""
    endpoint = f"http://127.0.0.1:{vendor_port}"
    return {
        "PATH": os.environ["PATH"], "ALLOW_SAMPLE_SECRETS": "1",
        "GITHUB_SECRET": "hookmq-sample-github-secret",
        "TDMQ_REGION": "ap-guangzhou", "TDMQ_ENDPOINT": endpoint,
        "ROCKETMQ_ENDPOINT": endpoint, "ROCKETMQ_INSTANCE_ID": support.INSTANCE_ID,
        "HUAWEICLOUD_SDK_PROJECT_ID": support.PROJECT_ID,
        **more,
    }


class Record:
    """Everything that was logged, answered and stored."""

    def __init__(self, home: pathlib.Path):
        self.log = home / "log"
        self.shown = []

    def check(self) -> None:
        log = self.log.read_text(errors="replace")
        assert '"outcome":"accepted"' in log and "panicked" not in log
        text = (log + "".join(self.shown)).lower()
        for secret in SECRETS:
            assert secret.lower() not in text, f"{secret} was written"
        assert "x-cff-" not in text.replace("x-cff-…", "") and "x-scf-" not in text, "a platform's field was kept"


def hook_events(platform) -> list[dict]:
    events = [json.loads(path.read_text()) for path in sorted(platform.events.glob("*.json"))]
    return [event for event in events if "httpMethod" in event]


def timer(platform) -> dict:
    return json.loads((platform.events / "timer.json").read_text())


def run_events(platform, function: str, folders: dict, record: Record, s3: dict) -> int:
    """Sends each sample event, then one that the queue does not take, and runs the redriver that sends it."""
    count = 0
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(vendors())
        env = environment(port, **platform.env(), **s3)
        bootstrap = folders[f"event-{function}"] / "bootstrap"
        child = stack.enter_context(support.process([bootstrap], env, record.log))
        for event in hook_events(platform):
            answer = platform.invoke(event)
            record.shown.append(json.dumps(answer))
            count += 1
            assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is False, answer
            assert json.loads(answer["body"])["status"] == "accepted" and answer["headers"]["x-hookmq-message-id"]
            assert len(support.messages(port)) == count
        # The queue is down: the delivery is spilled and acknowledged.
        down = json.dumps([{"fault": {"raw": {"status": 502, "body": ""}}, "times": 0, "vendor": function}])
        support.request(port, "PUT", "/_/faults", down.encode())
        answer = platform.invoke(hook_events(platform)[0])
        record.shown.append(json.dumps(answer))
        assert answer["statusCode"] == 200 and "x-hookmq-message-id" not in answer["headers"], answer
        assert len(support.messages(port)) == count and child.poll() is None
        support.request(port, "DELETE", "/_/faults")
        redriver = type(platform)()
        env = environment(port, **redriver.env(), **s3)
        stack.enter_context(support.process([folders["event-redrive"] / "bootstrap"], env, record.log))
        # A text that names no shard runs nothing, least of all the whole.
        for wrong in ("8/8", "all", '{"shard":"1/3"}'):
            told = redriver.invoke(timer(redriver) | {redriver.text: wrong}, "error")
            record.shown.append(json.dumps(told))
            assert told["errorType"] == "Redrive.NoShard" and "name a shard" in told["errorMessage"], told
            assert len(support.messages(port)) == count, wrong
        report = redriver.invoke(timer(redriver))
        record.shown.append(json.dumps(report))
        assert report[function]["done"]["sent"] == 1, report
        stored = support.messages(port)
        assert len(stored) == count + 1
        body = hook_events(platform)[0]["body"]
        body = base64.b64decode(body) if hook_events(platform)[0].get("isBase64Encoded") else body
        for message in stored:
            assert json.loads(message["text"])["data"] == json.loads(body), message
            record.shown.append(json.dumps(message))
    return count + 1


def own_port(port: int) -> int:
    """Returns the platform's port, or a free one if the platform's is taken."""
    with contextlib.suppress(OSError), support.socket.socket() as probe:
        probe.bind(("0.0.0.0", port))
        return port
    return support.free_port()


WEB = {
    # Package, port, what tells it to believe the platform's fields (the variable that the modules set, and the older
    # one), and those fields.
    "scf-web": (9000, "0.0.0.0", {"TRUST_PLATFORM_HEADERS": "scf", "SCF_TRUST_HEADERS": "1"}, dict(
        zip(("X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token"), TENCENT_KEY))),
    "functiongraph-http": (8000, "127.0.0.1", {"TRUST_PLATFORM_HEADERS": "functiongraph", "FGS_TRUST_HEADERS": "1"}, {
        **dict(zip(("X-CFF-Security-Access-Key", "X-CFF-Security-Secret-Key", "X-CFF-Security-Token"), HUAWEI_KEY)),
        "X-CFF-Auth-Token": IAM_TOKEN}),
}


def run_web(kind: str, function: str, folders: dict, record: Record) -> int:
    """Sends the platform's keys and a client's to functions that trust such fields, and to others."""
    port, host, switches, keys = WEB[kind]
    event = json.loads((DEPLOY / "tencent-scf/events/function-url.json").read_text())
    spoofed = {name: SPOOFED for name in keys}
    count = 0
    for switch, value in (*switches.items(), (None, "")):
        with contextlib.ExitStack() as stack:
            vendor_port = stack.enter_context(vendors())
            env = environment(vendor_port, **({switch: value} if switch else {}))
            at = own_port(port)
            if at != port:
                env["LISTEN"] = f"{host}:{at}"
            start = "scf_bootstrap" if kind == "scf-web" else "bootstrap"
            # As a platform may start it: from elsewhere, by its whole path.
            child = stack.enter_context(support.process([folders[f"{kind}-{function}"] / start], env, record.log))
            support.wait_for(at, child)
            assert support.request(at, "GET", "/_/health")[0] == 200
            # What is not believed is not a key: the function has none, and stores nothing.
            for fields, expected in ((spoofed, 503), (keys, 200 if switch else 503)):
                headers = {**{name: value for name, value in event["headers"].items() if name != "host"}, **fields}
                status, answered, body = support.request(at, "POST", "/github", event["body"].encode(), headers)
                record.shown.append(f"{answered} {body.decode()}")
                assert status == expected, (kind, function, switch, status, body)
            stored = support.messages(vendor_port)
            assert len(stored) == (1 if switch else 0), stored
            for message in stored:
                assert json.loads(message["text"])["data"] == json.loads(event["body"]), message
                record.shown.append(json.dumps(message))
                count += 1
    return count


def run_own(kind: str, function: str, folders: dict, record: Record) -> int:
    """Sends to the other vendor's queue with keys that a person set, which nothing in a request replaces."""
    _, host, switches, keys = WEB[kind]
    event = json.loads((DEPLOY / "tencent-scf/events/function-url.json").read_text())
    own = {"tdmq": zip(("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"), TENCENT_KEY),
           "rocketmq": zip(("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"), HUAWEI_KEY)}
    with contextlib.ExitStack() as stack:
        vendor_port, at = stack.enter_context(vendors()), support.free_port()
        env = environment(vendor_port, **switches, **{"LISTEN": f"{host}:{at}"}, **dict(own[function]))
        start = "scf_bootstrap" if kind == "scf-web" else "bootstrap"
        child = stack.enter_context(support.process([folders[f"{kind}-{function}"] / start], env, record.log))
        support.wait_for(at, child)
        headers = {**event["headers"], **{name: SPOOFED for name in keys}}
        status, answered, body = support.request(at, "POST", "/github", event["body"].encode(), headers)
        record.shown.append(f"{answered} {body.decode()} {support.messages(vendor_port)}")
        assert status == 200 and len(support.messages(vendor_port)) == 1, (kind, function, status, body)
    return 1


@contextlib.contextmanager
def buckets():
    """Starts an object store of its own for each run, and yields what makes a function's variables for it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        for bucket in ("scf", "functiongraph"):
            status, _, body = support.request(port, "PUT", f"/{bucket}", b"")
            assert status == 200, body
        yield lambda bucket, function: {
            "SPILL_URL": f"s3://{bucket}/{function}", "S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "S3_ACCESS_KEY_ID": "AKIDEXAMPLE", "S3_SECRET_ACCESS_KEY": "example",
        }
    finally:
        server.stop()


def main() -> None:
    check_descriptions()
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)
        folders = check_packages(home)
        support.cargo_build("hookmq-emulator")
        record = Record(home)
        with buckets() as s3:
            # The platform's keys are of its own vendor; of the other, a person sets them.
            count = run_events(Scf(), "tdmq", folders, record, s3("scf", "tdmq"))
            count += run_events(FunctionGraph(), "rocketmq", folders, record, s3("functiongraph", "rocketmq"))
        for kind, function in (("scf-web", "tdmq"), ("functiongraph-http", "rocketmq")):
            count += run_web(kind, function, folders, record)
        for kind, function in (("scf-web", "rocketmq"), ("functiongraph-http", "tdmq")):
            count += run_own(kind, function, folders, record)
        record.check()
    print(f"{len(folders)} packages; {count} deliveries on two clouds, and no key in a log, an answer or a message")


if __name__ == "__main__":
    main()
