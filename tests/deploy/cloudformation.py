"""SAM template as CloudFormation gets it: translated by SAM's translator, with the parameters' values."""
import copy
import functools
import logging
import math
import os
import re

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

from tests import support

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "hookmq",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()


class NoPolicies:
    """Stand-in for AWS's managed policies by name, for which the translator would ask IAM."""

    @staticmethod
    def load() -> dict:
        return {}


def text() -> str:
    return (support.ROOT / "template.yaml").read_text()


def without_urls() -> str:
    """Returns the template for a region without function URLs, made as docs/aws.md says."""
    return re.sub(r"(?m)^.*# function-url \{\n(?s:.*?)^.*# \}\n", "", text())


def source() -> dict:
    return yaml_parse(text())


def translated(values: dict, template: dict | None = None) -> dict:
    """Returns what SAM's macro makes of the template, with intrinsic functions still in it."""
    template = template or source()
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # As `sam package` leaves it.
            resource["Properties"]["CodeUri"] = "s3://a-bucket/" + resource["Properties"]["CodeUri"]
    os.environ["AWS_DEFAULT_REGION"] = PSEUDO["AWS::Region"]
    # It warns that a feature toggle of AWS's own is not there.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    return transform(template, values, NoPolicies())


@functools.cache
def _translated(deployment: str) -> dict:
    # The macro looks at one parameter, as check_translation of template.py shows.
    return translated({"Deployment": deployment} if deployment else {})


class Stack:
    """Stack with these parameters: the resources and outputs that exist, and what stands in them.

    An attribute of a resource is `<LogicalId.Attribute>`, its Ref `<LogicalId>`.
    """

    def __init__(self, values: dict, pseudo: dict | None = None):
        self.template = copy.deepcopy(_translated(values.get("Deployment", "")))
        self.pseudo = PSEUDO | (pseudo or {})
        parameters = self.template["Parameters"]
        assert not set(values) - set(parameters), f"no parameters: {set(values) - set(parameters)}"
        self.values = {name: str(values.get(name, one["Default"])) for name, one in parameters.items()}
        for name, value in self.values.items():
            one = parameters[name]
            assert value in map(str, one.get("AllowedValues", [value])), (name, value)
            assert re.fullmatch(one.get("AllowedPattern", "(?s:.*)"), value), (name, value)
            least, most = one.get("MinValue", -math.inf), one.get("MaxValue", math.inf)
            assert one["Type"] != "Number" or least <= float(value) <= most, (name, value)
        resources, outputs = self._present("Resources"), self._present("Outputs")
        # What may be referred to.
        self._there = set(resources)
        self.resources = {name: self.resolve(resource) for name, resource in resources.items()}
        self.outputs = {name: self.resolve(output)["Value"] for name, output in outputs.items()}

    def _present(self, section: str) -> dict:
        entries = self.template[section].items()
        return {name: entry for name, entry in entries if "Condition" not in entry or self.holds(entry["Condition"])}

    def holds(self, condition) -> bool:
        """Evaluates a condition, given by its name or as the function itself."""
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        (name, value), = condition.items()
        match name:
            case "Condition":
                return self.holds(value)
            case "Fn::Equals":
                left, right = (str(self.resolve(side)) for side in value)
                return left == right
            case "Fn::Not":
                return not self.holds(value[0])
            case "Fn::And":
                return all(self.holds(one) for one in value)
            case "Fn::Or":
                return any(self.holds(one) for one in value)
        raise AssertionError(f"{name} is not a condition")

    def broken_rules(self) -> list:
        """Returns what CloudFormation would say before it makes anything."""
        broken = []
        for rule in self.template["Rules"].values():
            if "RuleCondition" not in rule or self.holds(rule["RuleCondition"]):
                broken += [a["AssertDescription"] for a in rule["Assertions"] if not self.holds(a["Assert"])]
        return broken

    def resolve(self, value):
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self.resolve(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not NOTHING}

    def _call(self, name: str, argument):
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                logical_id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self._ref(logical_id, attribute)
            case "Fn::If":
                return self.resolve(argument[1] if self.holds(argument[0]) else argument[2])
            case "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                own = {key: self.resolve(one) for key, one in own.items()}
                def put(found):
                    key = found[1]
                    return str(own[key] if key in own else self._ref(*key.split(".", 1)))
                return re.sub(r"\$\{([^!}]+)\}", put, text)
            case "Fn::Join":
                return argument[0].join(self.resolve(argument[1]))
            case "Fn::Split":
                return self.resolve(argument[1]).split(argument[0])
            case "Fn::Select":
                return self.resolve(argument[1])[int(argument[0])]
        raise AssertionError(f"{name} is not known here")

    def _ref(self, name: str, attribute: str | None = None):
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.values and attribute is None:
            return self.values[name]
        assert name in self._there, f"{name} is not in this stack, and something refers to it"
        if attribute == "FunctionUrl":
            return f"https://{name.lower()}.lambda-url.eu-central-1.on.aws/"
        return f"<{name}.{attribute}>" if attribute else f"<{name}>"

    def of_type(self, kind: str) -> dict:
        """Returns the properties of the resources of a type, by logical id."""
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def properties(self, name: str) -> dict:
        return self.resources[name]["Properties"]
