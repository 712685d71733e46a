#!/usr/bin/env python3
"""The SAM template: valid, and what the functions and documents lean on is in it."""
import os
import pathlib
import subprocess
import sys

from samcli.yamlhelper import yaml_parse

import support

SAM = pathlib.Path(sys.executable).parent / "sam"
ENV = {
    **os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
}


def main() -> None:
    subprocess.run([SAM, "validate", "--lint"], cwd=support.ROOT, env=ENV, check=True)
    template = yaml_parse((support.ROOT / "template.yaml").read_text())
    functions = {name: resource for name, resource in template["Resources"].items()
                 if resource["Type"] == "AWS::Serverless::Function"}
    assert set(functions) == {"TdmqFunction", "RocketmqFunction"}, set(functions)
    for name, base_path in (("TdmqFunction", "/tdmq"), ("RocketmqFunction", "/rocketmq")):
        function = functions[name]
        assert function["Metadata"]["BuildMethod"] == "rust-cargolambda", name
        assert function["Properties"]["Environment"]["Variables"]["BASE_PATH"] == base_path, name
        paths = {event["Properties"]["Path"] for event in function["Properties"]["Events"].values()}
        assert paths == {base_path + "/{hook+}"}, (name, paths)
    for name, parameter in template["Parameters"].items():
        is_secret = any(word in name for word in ("Key", "Secret", "Token", "Password"))
        assert not is_secret or parameter.get("NoEcho"), f"{name} shows a secret"
    print(f"template.yaml: valid, {len(functions)} functions, {len(template['Resources'])} resources")


if __name__ == "__main__":
    main()
