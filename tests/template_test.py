#!/usr/bin/env python3
"""The SAM template is valid, and the names that it shares with functions and documents are theirs."""
import os
import pathlib
import re
import subprocess
import sys

from samcli.yamlhelper import yaml_parse

import support

SAM = pathlib.Path(sys.executable).parent / "sam"
ENV = {
    **os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
}


def functions(template: dict) -> dict:
    resources = template["Resources"].items()
    return {name: function["Properties"] | {"Metadata": function["Metadata"]} for name, function in resources
            if function["Type"] == "AWS::Serverless::Function"}


def check_template(template: dict) -> None:
    subprocess.run([SAM, "validate", "--lint"], cwd=support.ROOT, env=ENV, check=True)
    base_paths = {"TdmqFunction": "/tdmq", "RocketmqFunction": "/rocketmq"}
    assert set(functions(template)) == {*base_paths, "RedriveFunction"}, set(functions(template))
    for name, function in functions(template).items():
        assert function["Metadata"]["BuildMethod"] == "rust-cargolambda", name
        if name not in base_paths:
            continue
        assert function["Environment"]["Variables"]["BASE_PATH"] == base_paths[name], name
        paths = {event["Properties"]["Path"] for event in function["Events"].values()}
        assert paths == {base_paths[name] + "/{hook+}"}, (name, paths)
    for name, parameter in template["Parameters"].items():
        is_secret = any(word in name for word in ("Key", "Secret", "Token", "Password"))
        assert not is_secret or parameter.get("NoEcho"), f"{name} shows a secret"


def check_stores(template: dict) -> None:
    """What was acknowledged outlives the stack, encrypted and unseen, and nothing expires it."""
    resources = template["Resources"]
    buckets = {name: r for name, r in resources.items() if r["Type"] == "AWS::S3::Bucket"}
    assert set(buckets) == {"SpillBucket", "QuarantineBucket"}, set(buckets)
    for name, bucket in buckets.items():
        properties = bucket["Properties"]
        assert all(properties["PublicAccessBlockConfiguration"].values()), name
        assert properties["BucketEncryption"], name
        policy = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        assert any(s["Effect"] == "Deny" and "aws:SecureTransport" in str(s) for s in policy), name
    spill = buckets["SpillBucket"]
    assert spill["DeletionPolicy"] == spill["UpdateReplacePolicy"] == "Retain"
    assert spill["Properties"]["VersioningConfiguration"]["Status"] == "Enabled"
    for rule in spill["Properties"]["LifecycleConfiguration"]["Rules"]:
        expires = "ExpirationInDays" in rule
        assert not expires or rule["Prefix"] in ("claims/", "sent/"), f"{rule['Id']} expires what was acknowledged"
    quarantine = buckets["QuarantineBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule.get("ExpirationInDays") for rule in quarantine] == [14]

    redrive = functions(template)["RedriveFunction"]
    assert redrive["ReservedConcurrentExecutions"] == 1 and redrive["Events"]["Schedule"]["Type"] == "ScheduleV2"
    actions = lambda name: {a for p in functions(template)[name]["Policies"] for s in p["Statement"]
                            for t in (s.get("Fn::If", [None, s])[1],) for a in
                            ([t["Action"]] if isinstance(t["Action"], str) else t["Action"])}
    assert actions("RedriveFunction") == {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    for name in ("TdmqFunction", "RocketmqFunction"):
        assert "s3:DeleteObject" not in actions(name), f"{name} may delete what it spilled"

    alarms = {name: r["Properties"]["MetricName"] for name, r in resources.items()
              if r["Type"] == "AWS::CloudWatch::Alarm"}
    needed = {"SpillOldestAgeSeconds", "Dead", "SetupFailures", "Rejected", "Unavailable"}
    assert needed <= set(alarms.values()), needed - set(alarms.values())
    written = (support.ROOT / "shared/src/metrics/emf.rs").read_text()
    unknown = {metric for metric in alarms.values() if metric != "Errors" and f'"{metric}"' not in written}
    assert not unknown, f"nobody writes {unknown}"


def check_names(template: dict) -> None:
    """Names that stand in several places are the same in all of them."""
    parts = [template["Globals"]["Function"], *functions(template).values()]
    variables = {name for part in parts for name in part["Environment"]["Variables"]}
    hooks = (support.ROOT / "hooks.toml").read_text()
    secrets = set(re.findall(r'^secrets\b.*"env:(\w+)"', hooks, re.M))
    assert secrets and secrets <= variables, f"the template does not set {secrets - variables}"

    # Presets are listed in a page of their own, which is generated.
    pages = ("docs/configuration.md", "docs/sources.md")
    document = "".join((support.ROOT / page).read_text() for page in pages)
    documented = set(re.findall(r"`([\w-]+)`", document))
    presets = {path.stem for path in (support.ROOT / "shared/src/source/presets").glob("*.toml")}
    clients = "".join(path.read_text() for path in (support.ROOT / "shared/src/queue").rglob("*.rs"))
    read = set(re.findall(r'"((?:TENCENTCLOUD|TDMQ|HUAWEICLOUD|OTC|OS|ROCKETMQ|TLS|S3)_[A-Z_]+)"', clients))
    missing = (variables - secrets | presets | read) - documented
    assert presets and read and not missing, f"{pages} do not tell of {missing}"


def main() -> None:
    template = yaml_parse((support.ROOT / "template.yaml").read_text())
    check_template(template)
    check_stores(template)
    check_names(template)
    print(f"template.yaml: valid, {len(functions(template))} functions, {len(template['Resources'])} resources")


if __name__ == "__main__":
    main()
