"""Check of the SAM template, as CloudFormation gets it with each set of parameters that changes its shape:
what is made, who may do what, that no secret is in it, and that functions and documents know its names."""
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import tomllib

from cfnlint.helpers import REGIONS
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from cfnlint.schema import ResourceNotFoundError
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.yamlhelper import yaml_parse

from tests import support
from tests.deploy import alarms, cloudformation, limits
from tests.deploy.cloudformation import Stack

BIN = pathlib.Path(sys.executable).parent
ENV = {
    **os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
}
LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:1"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alarms"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"

DEPLOYED = {"ExtensionLayerArn": LAYER, "TencentcloudRegion": "eu-frankfurt", "RocketmqInstanceId": "an-instance"}
CANARY = {"Deployment": "Canary10Percent5Minutes", "Revision": "7"}
URLS = {"Endpoint": "function-url"}
DOMAIN = {"DomainName": "hooks.example.com", "CertificateArn": CERTIFICATE}
VPC = {"SubnetIds": "subnet-0123abcd,subnet-4567cdef", "SecurityGroupIds": "sg-0123abcd"}
OLD_BUCKET = {"ExistingSpillBucket": "an-old-bucket-1a2b3c"}
# What is off, each with the value that switches it on: any of them goes with any other.
SWITCHES = [
    {"DataKmsKeyArn": KEY}, VPC, OLD_BUCKET, {"PermissionsBoundaryArn": BOUNDARY}, {"Tracing": "on"},
    {"Quarantine": "on"}, {"SecretKmsKeyArn": KEY}, {"AlarmTopicArn": TOPIC}, {"ApiMetricsDetail": "on"},
    {"RedriveShards": "2"}, {"RedriveShards": "8"}, {"RedriveMinutes": "20"}, {"ReservedConcurrency": "5"},
    {"RocketmqInstanceId": ""}, {"RocketmqAuth": "password", "IamAuthUrl": "https://iam.example/v3",
                                 "IamUsername": "u", "IamUserDomainName": "d"},
]
CASES = {
    "local": {},
    "http-api": DEPLOYED,
    "tdmq only": DEPLOYED | {"RocketmqInstanceId": ""},
    "function-url": DEPLOYED | URLS,
    "domain": DEPLOYED | DOMAIN,
    "domain and zone": DEPLOYED | DOMAIN | {"HostedZoneId": "Z1"},
    "domain only": DEPLOYED | DOMAIN | {"DefaultEndpoint": "closed"},
    "at once": DEPLOYED | {"Deployment": "AllAtOnce"},
    "canary": DEPLOYED | CANARY,
    "canary with urls": DEPLOYED | CANARY | URLS,
    "everything else": DEPLOYED | {
        "SecretName": "team/hookmq", "SecretKmsKeyArn": KEY, "Quarantine": "on", "ReservedConcurrency": "20",
        "RocketmqAuth": "password", "IamAuthUrl": "https://iam.example/v3", "IamUsername": "u",
        "IamUserDomainName": "d", "AlarmTopicArn": TOPIC, "RedriveMinutes": "5", "Architecture": "x86_64",
        "LogRetentionDays": "90", "ThrottlingRate": "7", "ThrottlingBurst": "9", "LogLevel": "WARN",
        "RedriveShards": "4", "Tracing": "on", "ApiMetricsDetail": "on", "DataKmsKeyArn": KEY,
        "PermissionsBoundaryArn": BOUNDARY, **VPC, **OLD_BUCKET, **CANARY,
    },
    "two shards": DEPLOYED | {"RedriveShards": "2"},
    "eight shards": DEPLOYED | {"RedriveShards": "8", "RedriveMinutes": "60"},
}
PATHS = {"Tdmq": "tdmq", "Rocketmq": "rocketmq"}
FUNCTIONS = {f"{name}Function" for name in (*PATHS, "Redrive")}
SECRET = re.compile(r"SECRET\b|SECRET_|KEY|TOKEN|PASSWORD|_AK$|_SK$")


def check_functions(stack: Stack) -> None:
    values, functions = stack.values, stack.of_type("AWS::Lambda::Function")
    assert set(functions) == FUNCTIONS, set(functions)
    for name, function in functions.items():
        layers = [values["ExtensionLayerArn"]] if values["ExtensionLayerArn"] else []
        assert function["Layers"] == layers, (name, function["Layers"])
        assert function["Runtime"] == "provided.al2023" and function["Architectures"] == [values["Architecture"]]
        assert function["TracingConfig"] == {"Mode": "Active" if values["Tracing"] == "on" else "PassThrough"}, name
        network = {kind: values[kind].split(",") for kind in VPC} if values["SubnetIds"] else None
        assert function.get("VpcConfig") == network, name
        assert function["Environment"]["Variables"]["SPILL_URL"] == f"s3://{spill_bucket(stack)}", name
        logging = function["LoggingConfig"]
        assert logging["LogFormat"] == "JSON" and logging["ApplicationLogLevel"] == values["LogLevel"], name
        group = stack.properties(logging["LogGroup"].strip("<>"))
        assert group["LogGroupName"].startswith("/aws/lambda/hookmq-"), name
        reserved = None if values["ReservedConcurrency"] == "0" else values["ReservedConcurrency"]
        reserved = values["RedriveShards"] if name == "RedriveFunction" else reserved
        assert function.get("ReservedConcurrentExecutions") == reserved, name
    groups = stack.of_type("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == values["LogRetentionDays"] for group in groups.values())
    assert {group.get("KmsKeyId", "") for group in groups.values()} == {values["DataKmsKeyArn"]}


def spill_bucket(stack: Stack) -> str:
    return stack.values["ExistingSpillBucket"] or "<SpillBucket>"


def spill_arn(stack: Stack) -> str:
    old = stack.values["ExistingSpillBucket"]
    return f"arn:aws:s3:::{old}" if old else "<SpillBucket.Arn>"


def check_schedules(stack: Stack) -> None:
    """Checks that each shard has one schedule of its own, and that together they run the whole."""
    minutes, shards = int(stack.values["RedriveMinutes"]), int(stack.values["RedriveShards"])
    schedules = stack.of_type("AWS::Scheduler::Schedule")
    assert len(schedules) == shards, set(schedules)
    for index in range(shards):
        schedule = schedules[f"RedriveSchedule{index}"]
        assert schedule["ScheduleExpression"] == ("rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)")
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"} and "State" not in schedule
        target = schedule["Target"]
        assert target["Arn"] == "<RedriveFunction.Arn>" and target["RoleArn"] == "<RedriveScheduleRole.Arn>"
        assert json.loads(target["Input"]) == {"shard": f"{index}/{shards}"}, target
        # The next run is the repetition.
        assert target["RetryPolicy"] == {"MaximumRetryAttempts": 0}
        assert target["DeadLetterConfig"] == {"Arn": "<RedriveDeadLetters.Arn>"}, "what nobody took says why"
    function = stack.properties("RedriveFunction")
    assert int(function["ReservedConcurrentExecutions"]) == shards, "a run of each shard at a time"
    assert function["Timeout"] < 60, "a run ends before the next of its shard"
    once = stack.properties("RedriveFunctionEventInvokeConfig")
    assert once["MaximumRetryAttempts"] == 0 and once["MaximumEventAgeInSeconds"] == 60
    queues = stack.of_type("AWS::SQS::Queue")
    assert set(queues) == {"RedriveDeadLetters"} and queues["RedriveDeadLetters"]["SqsManagedSseEnabled"] is True


def check_secrets(stack: Stack) -> None:
    """Checks that the environment has references only, and only those that vendors and route need."""
    values = stack.values
    needed = {"GITHUB_SECRET"}
    needed |= {"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"} if values["TencentcloudRegion"] else set()
    if values["RocketmqInstanceId"]:
        is_key = values["RocketmqAuth"] == "ak-sk"
        needed |= {"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"} if is_key else {"OS_PASSWORD"}
    needed |= {"QUARANTINE_KEY"} if values["Quarantine"] == "on" else set()
    seen = set()
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        for variable, value in function["Environment"]["Variables"].items():
            if SECRET.search(variable):
                want = f"secretsmanager:{values['SecretName']}#{variable}" if variable in needed else ""
                assert value == want, (name, variable, value)
                seen.add(variable)
        kept = [function["Environment"]["Variables"][f"{of}_TTL"] for of in ("SECRETS_MANAGER", "SSM_PARAMETER_STORE")]
        assert kept == ["60", "60"], "a minute, and four of the function: docs/aws.md gives the sum"
    assert needed <= seen, needed - seen
    tdmq, rocketmq, redrive = (stack.properties(f"{name}Function")["Environment"]["Variables"]
                               for name in ("Tdmq", "Rocketmq", "Redrive"))
    own = {"BASE_PATH", "QUARANTINE_URL", "QUARANTINE_KEY"}
    both = {k: v for k, v in (tdmq | rocketmq).items() if k not in own}
    assert redrive == both, "the redriver sends as the forwarders do"
    assert tdmq.keys() == rocketmq.keys(), "any function serves a hook with targets"
    password = values["RocketmqAuth"] == "password" and values["RocketmqInstanceId"]
    assert (rocketmq["OS_AUTH_URL"] == values["IamAuthUrl"]) if password else not rocketmq["OS_AUTH_URL"]


def check_parameters(template: dict) -> None:
    """Checks that no parameter is a secret, and that every parameter has a default."""
    for name, parameter in template["Parameters"].items():
        is_secret = re.search("Secret|Key|Password|Token|Credential", name)
        names = ("SecretName", "SecretKmsKeyArn", "DataKmsKeyArn")
        assert not is_secret or name in names, f"{name}: keep it in the secret"
        assert not parameter.get("NoEcho"), f"{name}: keep it in the secret"
        assert "Default" in parameter, f"{name}: sam build and sam local need a default"
        default, listed = str(parameter["Default"]), parameter.get("AllowedValues")
        assert listed or parameter["Type"] in ("String", "Number"), f"{name}: nothing checks a {parameter['Type']}"
        if listed:
            assert default in map(str, listed), name
        elif parameter["Type"] == "Number":
            assert parameter["MinValue"] <= float(default) <= parameter["MaxValue"], f"{name}: give it a range"
        else:
            pattern = re.compile(parameter.get("AllowedPattern", "(?s:.*)"))
            assert pattern.fullmatch(default), name
            wrong = [text for text in (" ", "a\nb", " a", "a ", "\t") if pattern.fullmatch(text)]
            assert not wrong and parameter["ConstraintDescription"], f"{name}: {wrong} would be deployed"
            if name.endswith("Arn"):
                arn = re.compile(parameter["AllowedPattern"].strip("()?"))
                assert parameter["AllowedPattern"].startswith("(arn:[a-z-]+:"), f"{name}: any partition, any ARN"
                assert not pattern.fullmatch("a-name") and not arn.fullmatch("arn:aws:s3:::a-bucket"), name
    # A range has 1.5 too, of which a text makes another: `rate(1.5 minutes)`, a share of `0/1.5`.
    texts = re.findall(r"\$\{(\w+)\}", cloudformation.text())
    ranges = {name for name, one in template["Parameters"].items() if one["Type"] == "Number"
              and "AllowedValues" not in one}
    assert not ranges & set(texts), f"{ranges & set(texts)}: list the whole numbers that may stand in a text"
    assert "resolve:" not in json.dumps(template), "a dynamic reference lands readable in the environment"


def statements(stack: Stack, role: dict) -> set:
    """Returns what a role may, one action on one resource each, beside AWS's managed policies that it has."""
    documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
    granted = set()
    for arn in role.get("ManagedPolicyArns", []):
        if arn.startswith("<"):
            documents.append(stack.properties(arn.strip("<>"))["PolicyDocument"])
        else:
            granted.add((arn, "", ""))
    as_list = lambda value: value if isinstance(value, list) else [value]
    for statement in (statement for document in documents for statement in document["Statement"]):
        assert statement["Effect"] == "Allow" and statement.keys() <= {"Effect", "Action", "Resource", "Condition"}
        condition = json.dumps(statement.get("Condition", {}), sort_keys=True)
        granted |= {(action, resource, condition) for action in as_list(statement["Action"])
                    for resource in as_list(statement["Resource"])}
    return granted


def check_roles(stack: Stack) -> None:
    values = stack.values
    plain = lambda action, resource, **condition: (action, resource, json.dumps(condition, sort_keys=True))
    secret = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{values['SecretName']}-??????"
    common = {
        plain("secretsmanager:GetSecretValue", secret),
    }
    # X-Ray and network interfaces have no resources.
    if values["Tracing"] == "on":
        common |= {plain("xray:PutTraceSegments", "*"), plain("xray:PutTelemetryRecords", "*")}
    if values["SubnetIds"]:
        common |= {plain(f"ec2:{action}", "*") for action in (
            "CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets", "DeleteNetworkInterface",
            "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")}
    if values["DataKmsKeyArn"]:
        via = {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}
        common |= {plain(f"kms:{action}", values["DataKmsKeyArn"], StringEquals=via)
                   for action in ("GenerateDataKey", "Decrypt")}
    if values["SecretKmsKeyArn"]:
        via = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}
        common.add(plain("kms:Decrypt", values["SecretKmsKeyArn"], StringEquals=via))
    forwarder = common | {
        plain("s3:PutObject", f"{spill_arn(stack)}/*"),
        plain("s3:GetObject", f"{spill_arn(stack)}/sent/*"),
        plain("s3:ListBucket", spill_arn(stack), StringLike={"s3:prefix": "sent/*"}),
    }
    if values["Quarantine"] == "on":
        forwarder.add(plain("s3:PutObject", "<QuarantineBucket.Arn>/*"))
    logs = lambda name: {plain(f"logs:{action}", f"<{name}Logs.Arn>") for action in ("CreateLogStream", "PutLogEvents")}
    expected = {
        "TdmqRole": ("lambda.amazonaws.com", forwarder | logs("Tdmq")),
        "RocketmqRole": ("lambda.amazonaws.com", forwarder | logs("Rocketmq")),
        "RedriveRole": ("lambda.amazonaws.com", common | logs("Redrive") | {
            plain("s3:ListBucket", spill_arn(stack)),
            *(plain(f"s3:{action}", f"{spill_arn(stack)}/*") for action in ("GetObject", "PutObject", "DeleteObject")),
        }),
        "RedriveScheduleRole": ("scheduler.amazonaws.com", {
            plain("lambda:InvokeFunction", "<RedriveFunction.Arn>"),
            plain("sqs:SendMessage", "<RedriveDeadLetters.Arn>"),
        }),
    }
    managed = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"
    expected["DeploymentRole"] = ("codedeploy.amazonaws.com", {(managed, "", "")})
    roles = stack.of_type("AWS::IAM::Role")
    assert set(roles) == set(expected), set(roles) ^ set(expected)
    for name, role in roles.items():
        service, granted = expected[name]
        trust, = role["AssumeRolePolicyDocument"]["Statement"]
        # Schedules of other accounts, too, come as this service.
        source = {"StringEquals": {"aws:SourceAccount": "123456789012"}} if name == "RedriveScheduleRole" else None
        assert trust.get("Condition") == source, name
        assert trust["Effect"] == "Allow" and trust["Principal"] in ({"Service": service}, {"Service": [service]})
        assert role.get("PermissionsBoundary", "") == values["PermissionsBoundaryArn"], name
        found = statements(stack, role)
        assert found == granted, (name, found ^ granted)
        wild = {s for s in found if "*" in s[0] or (s[1] == "*" and not s[0].startswith(("xray:Put", "ec2:")))}
        assert not wild, (name, wild)
    own = [policy["PolicyDocument"] for policy in stack.of_type("AWS::IAM::ManagedPolicy").values()]
    own += [policy["PolicyDocument"] for name in expected if name in ("TdmqRole", "RocketmqRole", "RedriveRole")
            for policy in roles[name]["Policies"]]
    for document in own:
        text = re.sub(r"<(\w+)\.Arn>", lambda found: f"arn:aws:s3:::{found[1].lower()}", json.dumps(document))
        IAMPolicyDocumentValidator(text).validate()
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        assert function["Role"] == f"<{name.removesuffix('Function')}Role.Arn>", name


# What a request of the S3 client is to IAM, by its method and by what it asks: an object, or the bucket.
S3_ACTIONS = {
    ("PUT", "name"): "s3:PutObject", ("GET", "name"): "s3:GetObject", ("HEAD", "name"): "s3:GetObject",
    ("DELETE", "name"): "s3:DeleteObject", ("GET", '""'): "s3:ListBucket",
}


def called(code: str) -> set:
    """Returns the actions of S3 that the client's code calls for."""
    requests = re.findall(r"Request::of\(Method::(\w+), (\w+|\"\")\)", code)
    requests += re.findall(r"Request \{ method: Method::(\w+), (name)", code)
    methods = set(re.findall(r"Method::([A-Z]+)", code))
    assert methods == {method for method, _ in requests}, f"a request of another form: {methods}"
    return {S3_ACTIONS[request] for request in requests}


def check_actions(stack: Stack) -> None:
    """Checks that the roles allow what the code calls, of S3 and of the secrets extension, and nothing besides."""
    granted = {name: {action for action, *_ in statements(stack, role)}
               for name, role in stack.of_type("AWS::IAM::Role").items()}
    of_s3 = lambda name: {action for action in granted[name] if action.startswith("s3:")}
    used = called((support.ROOT / "shared/src/store/s3/mod.rs").read_text())
    assert of_s3("RedriveRole") == used, of_s3("RedriveRole") ^ used
    for name in PATHS:
        # A forwarder sends what it accepts, or leaves it to the redriver.
        assert of_s3(f"{name}Role") == used - {"s3:DeleteObject"}, name
    asked = set(re.findall(r'"/(\w+(?:/\w+)*)/get\?', (support.ROOT / "shared/src/vault/remote.rs").read_text()))
    assert asked == {"secretsmanager", "systemsmanager/parameters"}, f"{asked}: is it in the roles?"
    page = (support.ROOT / "docs/aws.md").read_text()
    for name in ("TdmqRole", "RocketmqRole", "RedriveRole"):
        assert "secretsmanager:GetSecretValue" in granted[name], name
        # No parameter is named in the template, and the page says what to add for one.
        assert "ssm:GetParameter" not in granted[name] and "`ssm:GetParameter`" in page, name


def check_entry(stack: Stack) -> None:
    """Checks that requests come by the API or by the functions' addresses, and reach what is deployed."""
    values = stack.values
    is_api, is_direct = values["Endpoint"] == "http-api", values["Deployment"] == "Direct"
    apis, urls = stack.of_type("AWS::ApiGatewayV2::Api"), stack.of_type("AWS::Lambda::Url")
    assert (len(apis), len(urls)) == ((1, 0) if is_api else (0, 2)), (set(apis), set(urls))
    permissions = list(stack.of_type("AWS::Lambda::Permission").values())
    host = lambda name: f"{name.lower()}functionurl.lambda-url.eu-central-1.on.aws"
    for name, path in PATHS.items():
        function = stack.properties(f"{name}Function")
        assert function["Environment"]["Variables"]["BASE_PATH"] == (f"/{path}" if is_api else ""), name
        target = f"<{name}Function>" if is_direct else f"<{name}FunctionAliaslive>"
        # Of both, always: who calls one while the stack changes to the other would be refused.
        both = (f"<{name}Function>", f"<{name}FunctionAliaslive>")
        allowed = {one: [p for p in permissions if p["FunctionName"] == one] for one in both}
        if is_api:
            source = f"arn:aws:execute-api:eu-central-1:123456789012:<HttpApi>/*/*/{path}/*"
            assert allowed == {one: [{"Action": "lambda:InvokeFunction", "FunctionName": one,
                                      "Principal": "apigateway.amazonaws.com", "SourceArn": source}]
                               for one in both}, allowed
            paths = stack.properties("HttpApi")["Body"]["paths"]
            method = paths[f"/{path}/{{hook+}}"]["x-amazon-apigateway-any-method"]
            integration = method["x-amazon-apigateway-integration"]
            arn = f"<{name}Function.Arn>" + ("" if is_direct else ":live")
            assert integration["uri"].endswith(f":lambda:path/2015-03-31/functions/{arn}/invocations")
            assert integration["payloadFormatVersion"] == "2.0"
            assert integration["timeoutInMillis"] == 30000 > function["Timeout"] * 1000, "the function answers"
            base = f"{values['DomainName'] or '<HttpApi>.execute-api.eu-central-1.amazonaws.com'}/{path}"
        else:
            # Both actions, or AWS refuses the request.
            for one in both:
                assert sorted(allowed[one], key=str) == sorted([
                    {"Action": "lambda:InvokeFunctionUrl", "FunctionName": one, "Principal": "*",
                     "FunctionUrlAuthType": "NONE"},
                    {"Action": "lambda:InvokeFunction", "FunctionName": one, "Principal": "*",
                     "InvokedViaFunctionUrl": True},
                ], key=str), allowed
            url = urls[f"{name}FunctionUrl"]
            assert url == {"TargetFunctionArn": f"<{name}Function.Arn>" if is_direct else target, "AuthType": "NONE"}
            base = host(name)
        assert stack.outputs[f"{name}Url"] == f"https://{base}"
        assert stack.outputs[f"{name}GithubUrl"] == f"https://{base}/github"
    assert len(permissions) == (4 if is_api else 8)

    if is_api:
        body = stack.properties("HttpApi")["Body"]
        assert len(body["paths"]) == 2
        closed = {"disableExecuteApiEndpoint": True} if values["DefaultEndpoint"] == "closed" else None
        assert body.get("x-amazon-apigateway-endpoint-configuration") == closed, "a second way in, or none"
        stage = stack.properties("HttpApiApiGatewayDefaultStage")
        assert stage["ApiId"] == "<HttpApi>" and stage["AutoDeploy"] is True
        settings = stage["DefaultRouteSettings"]
        throttle = {"ThrottlingRateLimit": values["ThrottlingRate"], "ThrottlingBurstLimit": values["ThrottlingBurst"]}
        detail = {"DetailedMetricsEnabled": values["ApiMetricsDetail"] == "on"}
        assert settings == throttle | detail, settings
        # A bucket for each route, so that a flood of one is not a flood of the other.
        assert stage["RouteSettings"] == {f"ANY {path}": throttle | detail for path in body["paths"]}
        log = stage["AccessLogSettings"]
        assert log["DestinationArn"] == "<HttpApiLogs.Arn>"
        fields = json.loads(log["Format"])
        assert {"requestId", "status", "integrationError"} <= set(fields)
        assert "query" not in log["Format"].lower(), "some senders put a token there"

    domains, records = stack.of_type("AWS::ApiGatewayV2::DomainName"), stack.of_type("AWS::Route53::RecordSet")
    assert len(domains) == bool(values["DomainName"]) and len(records) == bool(values["HostedZoneId"])
    for domain in domains.values():
        configuration, = domain["DomainNameConfigurations"]
        assert domain["DomainName"] == values["DomainName"]
        assert configuration == {"CertificateArn": CERTIFICATE, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
        mapping, = stack.of_type("AWS::ApiGatewayV2::ApiMapping").values()
        stage = "<HttpApiApiGatewayDefaultStage>"
        assert mapping == {"ApiId": "<HttpApi>", "DomainName": "<ApiDomain>", "Stage": stage}
        assert stack.outputs["DomainTarget"] == "<ApiDomain.RegionalDomainName>"
    for record in records.values():
        assert record["HostedZoneId"] == values["HostedZoneId"] and record["Type"] == "A"


def check_deployment(stack: Stack) -> None:
    """Checks that CodeDeploy deploys only on request, and rolls back on the function's and stack's alarms."""
    values = stack.values
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup")
    for name in PATHS:
        alias = stack.resources[f"{name}FunctionAliaslive"]
        version, = (p for logical, p in stack.of_type("AWS::Lambda::Version").items() if logical.startswith(name))
        # Else a parameter that changes would make no version: SAM's name of it does not depend on values.
        assert version["Description"] == f"revision {values['Revision']}", version
        assert f"(revision {values['Revision']})" in stack.properties(f"{name}Function")["Description"]
        if values["Deployment"] == "Direct":
            assert "UpdatePolicy" not in alias and not groups
            continue
        group = groups[f"{name}FunctionDeploymentGroup"]
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["DeploymentGroupName"] == f"<{name}FunctionDeploymentGroup>"
        assert group["DeploymentConfigName"] == f"CodeDeployDefault.Lambda{values['Deployment']}"
        assert group["AlarmConfiguration"]["Enabled"]
        ringing = {alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]}
        own = f"{name}DeploymentErrorsAlarm"
        assert ringing == {f"<{own}>", "<DeploymentUnavailableAlarm>", "<DeploymentNotReadyAlarm>"}, ringing
        # Of the new version alone: the old one has the other requests.
        version, = (one for one in stack.of_type("AWS::Lambda::Version") if one.startswith(f"{name}FunctionVersion"))
        dimensions = {one["Name"]: one["Value"] for one in stack.properties(own)["Dimensions"]}
        assert dimensions == {"FunctionName": f"<{name}Function>", "Resource": f"<{name}Function>:live",
                              "ExecutedVersion": f"<{version}.Version>"}, dimensions
        for alarm in ringing:
            one = stack.properties(alarm.strip("<>"))
            assert one["Period"] == 60 and one["DatapointsToAlarm"] == 1, f"{alarm} is late for a shift of minutes"
            assert "AlarmActions" not in one, f"{alarm} is for CodeDeploy, not for people"
        assert group["ServiceRoleArn"] == "<DeploymentRole.Arn>", "SAM's own role has no boundary"
        back = group["AutoRollbackConfiguration"]
        assert back["Enabled"] and {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(back["Events"])
    for name in stack.of_type("AWS::Lambda::Version"):
        policies = {stack.resources[name].get(kind) for kind in ("DeletionPolicy", "UpdateReplacePolicy")}
        assert policies == {"Retain"}, f"{name}: requests in the middle of a shift are its own"
    redrive = [name for name in stack.resources if name.startswith("RedriveFunctionAlias")]
    assert not redrive, "the schedule calls the redriver itself"


def check_buckets(stack: Stack) -> None:
    """Checks that acknowledged deliveries outlive the stack, encrypted and unseen, and do not expire."""
    buckets = {name: r for name, r in stack.resources.items() if r["Type"] == "AWS::S3::Bucket"}
    is_kept, old = stack.values["Quarantine"] == "on", stack.values["ExistingSpillBucket"]
    assert set(buckets) == ({"QuarantineBucket"} if is_kept else set()) | (set() if old else {"SpillBucket"})
    key = stack.values["DataKmsKeyArn"]
    for name, bucket in buckets.items():
        properties = bucket["Properties"]
        public = properties["PublicAccessBlockConfiguration"]
        assert len(public) == 4 and all(public.values()), name
        encryption, = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        by_key = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
                  "BucketKeyEnabled": True}
        by_s3 = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        assert encryption == (by_key if key else by_s3), name
        # A bucket that stays keeps what closes it, and one that a failed deployment made does not stay.
        for resource in (bucket, stack.resources[f"{name}Policy"]):
            kept = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
            assert kept == ("RetainExceptOnCreate", "Retain"), (name, kept)
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}], name
        statement, = stack.properties(f"{name}Policy")["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny" and statement["Principal"] == "*" and statement["Action"] == "s3:*"
        assert statement["Resource"] == [f"<{name}.Arn>", f"<{name}.Arn>/*"], name
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, name
    assert stack.outputs["SpillBucketName"] == spill_bucket(stack)
    for name in PATHS:
        url = stack.properties(f"{name}Function")["Environment"]["Variables"]["QUARANTINE_URL"]
        assert url == ("s3://<QuarantineBucket>" if is_kept else ""), url
    if is_kept:
        rules = buckets["QuarantineBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        assert [rule.get("ExpirationInDays") for rule in rules] == [14]
    if old:
        return
    spill = buckets["SpillBucket"]
    assert spill["Properties"]["VersioningConfiguration"]["Status"] == "Enabled"
    for rule in spill["Properties"]["LifecycleConfiguration"]["Rules"]:
        expires = "ExpirationInDays" in rule
        is_passing = rule.get("Prefix") in ("claims/", "sent/", "probe/")
        assert not expires or is_passing, f"{rule['Id']} expires what was acknowledged"
    probe, = (rule for rule in spill["Properties"]["LifecycleConfiguration"]["Rules"] if rule.get("Prefix") == "probe/")
    assert probe["ExpirationInDays"] == probe["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1, probe


def check_physical_names(values: dict, kind_of_stack: type = Stack) -> None:
    """Checks that two stacks in one account and region share no name, and that all others are generated."""
    stacks = [kind_of_stack(values, {"AWS::StackName": name}) for name in ("hookmq", "staging")]
    # The domain is the operator's, a mapping is its, and a permission names what it is for.
    given = {"AWS::ApiGatewayV2::DomainName", "AWS::Route53::RecordSet"}
    for name, resource in stacks[0].resources.items():
        kind, other = resource["Type"], stacks[1].resources[name]["Properties"]
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", kind).schema
        identifiers = {one.removeprefix("/properties/") for one in schema["primaryIdentifier"]}
        names = identifiers | {one for one in resource["Properties"] if re.fullmatch(r"\w*Name", one)}
        for one in names & set(resource["Properties"]):
            value = resource["Properties"][one]
            # What refers to a generated resource, or is a part of one, is as generated as that is.
            parts = [value, *(resource["Properties"].get(of, "") for of in ("FunctionName", "ApiId", "LogGroupName"))]
            is_own = kind in given or any("<" in str(part) for part in parts)
            is_own |= one in ("MetricName", "DeploymentConfigName")
            assert is_own or value != other[one], f"{name}: a second stack has the {one} {value} too"


def written_metrics() -> set:
    """Returns the metrics that the functions write, as their document lists them."""
    source = (support.ROOT / "shared/src/metrics/emf.rs").read_text()
    document = (support.ROOT / "docs/configuration.md").read_text()
    table = document.split("\n### CloudWatch\n")[1].split("| --- |", 1)[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    unknown = {name for name in documented if f'"{name}"' not in source}
    assert documented and not unknown, f"nobody writes {unknown}"
    return documented


AWS_METRICS = {
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "Invocations", "AsyncEventsDropped"},
    "AWS/SQS": {"NumberOfMessagesSent"},
    "AWS/ApiGateway": {"Count", "4xx", "5xx", "Latency"},
}


# What requests that nobody verified are counted in (shared/tests/system/metrics.rs): each has an alarm of its own,
# which says so. A 5xx of the API is among them, since a function answers 503 where a key that a message names is not
# there.
STRANGERS = {"Rejected": "RejectedAlarm", "Unverified": "UnverifiedAlarm"}
# What a flood of them can bring about: genuine deliveries suffer by it, so it rings, and no version is to blame.
FLOODS = {"Throttles", "Duration", "IntegrationErrors", "GatewayThrottled"}
# What may stop a deployment: verified work, missing hooks, and a version that crashes.
ROLLED_BACK_BY = {"Unavailable", "NotReady", "Errors"}


def filtered_metrics(stack: Stack) -> set:
    """Returns the metrics of the stack's namespace that log groups are searched for."""
    found = set()
    for name, one in stack.of_type("AWS::Logs::MetricFilter").items():
        assert one["LogGroupName"] == "<HttpApiLogs>", name
        fields = set(re.findall(r"\$\.(\w+)", one["FilterPattern"]))
        stage, = stack.of_type("AWS::ApiGatewayV2::Stage").values()
        written = set(json.loads(stage["AccessLogSettings"]["Format"]))
        assert fields and fields <= written, f"{name}: the access log has no {fields - written}"
        transformation, = one["MetricTransformations"]
        assert transformation["MetricNamespace"] == "hookmq", name
        found.add(transformation["MetricName"])
    return found


def check_strangers(stack: Stack) -> None:
    """Checks that strangers can cause neither a rollback nor an outage's alarm, but ring one of their own."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        is_strangers = alarm["MetricName"] in (*STRANGERS, "5xx", "4xx", "Deliveries")
        assert is_strangers == (name in STRANGERS.values()), f"{name}: strangers ring it"
        assert is_strangers == alarm["AlarmDescription"].startswith("Strangers"), name
        # Nobody but the schedule calls the redriver.
        is_flood = alarm["MetricName"] in FLOODS and not name.startswith("Redrive")
        assert is_flood == ("flood of strangers" in alarm["AlarmDescription"]), f"{name}: it says not what a flood does"
    for group in stack.of_type("AWS::CodeDeploy::DeploymentGroup").values():
        ringing = {alarm["Name"].strip("<>") for alarm in group["AlarmConfiguration"]["Alarms"]}
        by = {stack.properties(name)["MetricName"] for name in ringing}
        assert by and by <= ROLLED_BACK_BY, f"strangers roll a deployment back: {by - ROLLED_BACK_BY}"


def check_alarms(stack: Stack, written: set) -> None:
    check_strangers(stack)
    is_api = stack.values["Endpoint"] == "http-api"
    metrics = AWS_METRICS | {"hookmq": written | filtered_metrics(stack)}
    found = set()
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        assert alarm["MetricName"] in metrics[alarm["Namespace"]], f"{name}: nobody writes {alarm['MetricName']}"
        is_absence = re.fullmatch(r"RedriveMissing\dAlarm|RedriveInvocationsAlarm", name)
        assert alarm["TreatMissingData"] == ("breaching" if is_absence else "notBreaching"), name
        assert alarm["AlarmDescription"], name
        assert alarms.is_allowed(alarm), f"{name}: CloudWatch refuses its periods"
        assert ("Statistic" in alarm) != ("ExtendedStatistic" in alarm), name
        is_for_people = "Deployment" not in name
        topic = [stack.values["AlarmTopicArn"]] if stack.values["AlarmTopicArn"] and is_for_people else None
        assert alarm.get("AlarmActions") == alarm.get("OKActions") == topic, name
        dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions", [])}
        own = "Shard" if name.startswith("RedriveMissing") else None
        needed = {"hookmq": own, "AWS/Lambda": "FunctionName", "AWS/ApiGateway": "ApiId",
                  "AWS/SQS": "QueueName"}[alarm["Namespace"]]
        versions = {"Resource", "ExecutedVersion"} if "DeploymentErrors" in name else set()
        assert set(dimensions) == ({needed} if needed else set()) | versions, name
        if versions:
            continue
        found.add((alarm["MetricName"], *dimensions.values()))
        if alarm["MetricName"] == "Duration":
            assert int(alarm["Threshold"]) < stack.properties("TdmqFunction")["Timeout"] * 1000, name
    needed = {(name,) for name in ("SpillOldestAgeSeconds", "Dead", "SetupFailures", "Rejected", "Unavailable",
                                   "Unverified", "NotReady", "StoreProbeFailures", "RedriveErrors", "Spilled",
                                   "SpillDepth")}
    forwarders = [f"<{name}Function>" for name in PATHS]
    needed |= {(metric, function) for metric in ("Errors", "Throttles", "Duration") for function in forwarders}
    needed |= {(metric, "<RedriveFunction>")
               for metric in ("Errors", "Throttles", "Invocations", "AsyncEventsDropped")}
    needed |= {("NumberOfMessagesSent", "<RedriveDeadLetters.QueueName>")}
    shards = int(stack.values["RedriveShards"])
    needed |= {("RedriveErrors", f"{index}/{shards}") for index in range(shards)}
    needed |= ({("IntegrationErrors",), ("GatewayThrottled",)} if is_api else set())
    assert found == needed, found ^ needed


def check_dashboard(stack: Stack, written: set) -> None:
    dashboard = stack.properties("Dashboard")
    assert dashboard["DashboardName"] == "hookmq-eu-central-1" and stack.outputs["DashboardName"] == "<Dashboard>"
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    shown, cells = set(), set()
    for widget in widgets:
        assert widget["properties"]["region"] == "eu-central-1" and widget["properties"]["title"]
        area = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"])
                for y in range(widget["y"], widget["y"] + widget["height"])}
        assert not area & cells and max(area)[0] < 24, widget["properties"]["title"]
        cells |= area
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                expression = metric[0]["expression"]
                namespace, by, name = re.search(r'\{"(.+?)",([\w,]+)\} MetricName="(\w+)"', expression).groups()
                # A shard's depth has a series of its own, so that no part is taken for the whole.
                parts = "Target" if stack.values["RedriveShards"] == "1" else "Target,Shard"
                assert by in ({parts} if name == "SpillDepth" else {"Hook,Outcome", "Hook,Secret"}), expression
                assert name != "SpillDepth" or expression.startswith("SUM(SEARCH("), expression
            else:
                namespace, name, *dimensions = metric
                values = [one for one in dimensions if isinstance(one, str)][1::2]
                assert all(value.strip("<>") in stack.resources for value in values), metric
            known = AWS_METRICS | {"hookmq": written | filtered_metrics(stack)}
            assert name in known[namespace], f"nobody writes {namespace} {name}"
            shown.add((namespace, name))
    assert written <= {name for namespace, name in shown if namespace == "hookmq"}, written
    has_api = any(namespace == "AWS/ApiGateway" for namespace, _ in shown)
    assert has_api == (stack.values["Endpoint"] == "http-api")
    query, = (widget["properties"]["query"] for widget in widgets if widget["type"] == "log")
    line = (support.ROOT / "shared/src/telemetry/mod.rs").read_text()
    fields = re.search(r"fields @timestamp, ([\w, ]+) \|", query)[1].split(", ")
    assert all(re.search(rf"\b{field}\b", line) for field in fields), fields
    for group in re.findall(r"SOURCE '(.*?)'", query):
        assert group.strip("<>") in stack.of_type("AWS::Logs::LogGroup"), group


def check_breaks() -> None:
    """Breaks the template, each time in a way that would be deployed and fail in silence."""
    def broken(values: dict, change) -> Stack:
        stack = Stack(DEPLOYED | values)
        change(stack)
        return stack

    def put(name: str, **properties):
        return lambda stack: stack.properties(name).update(properties)

    def without(name: str):
        return lambda stack: stack.resources.pop(name)

    def one_for_all(stack: Stack) -> None:
        for index in range(4):
            stack.properties(f"RedriveMissing{index}Alarm")["Dimensions"] = []

    def never(stack: Stack) -> None:
        # The parameter says by how many it rings.
        alarm = stack.properties("SpilledAlarm")
        assert alarm["Threshold"] == stack.values["AlarmSpilled"]
        alarms.check_days(stack)

    four = {"RedriveShards": "4"}
    written = written_metrics()
    shape = lambda stack: check_alarms(stack, written)
    # As it was: two periods of five minutes for every interval, and no data is good.
    before = {"Period": "300", "EvaluationPeriods": "2"}
    cases = [
        ("a shard that nobody runs", four, without("RedriveSchedule3"), check_schedules),
        ("the same shard twice", four, lambda stack: stack.properties("RedriveSchedule3")["Target"].update(
            Input='{"shard":"2/4"}'), check_schedules),
        ("a share of another number", four, lambda stack: stack.properties("RedriveSchedule0")["Target"].update(
            Input='{"shard":"0/2"}'), check_schedules),
        ("room for one", four, put("RedriveFunction", ReservedConcurrentExecutions=1), check_schedules),
        ("runs that overlap", {}, put("RedriveFunction", Timeout=70), check_schedules),
        ("errors each half hour", {"RedriveMinutes": "30"}, put("RedriveAlarm", DatapointsToAlarm=None, **before),
         alarms.check),
        ("crashes each hour", {"RedriveMinutes": "60"}, put("RedriveFunctionAlarm", DatapointsToAlarm=None, **before),
         alarms.check),
        ("an old delivery each half hour", {"RedriveMinutes": "30"},
         put("SpillAgeAlarm", Period="300", EvaluationPeriods="1"), alarms.check),
        ("silence that is good", {}, put("RedriveMissing0Alarm", TreatMissingData="notBreaching"), alarms.check),
        ("no invocations that are good", {}, put("RedriveInvocationsAlarm", TreatMissingData="missing"), alarms.check),
        ("silence each hour, after five minutes", {"RedriveMinutes": "60"},
         put("RedriveMissing0Alarm", Period="300", EvaluationPeriods="1"), alarms.check),
        ("a minute's silence", {}, put("RedriveMissing0Alarm", EvaluationPeriods="1"), alarms.check),
        ("a minute without invocations", {}, put("RedriveInvocationsAlarm", EvaluationPeriods="1"), alarms.check),
        ("one error", {"RedriveMinutes": "5"}, put("RedriveAlarm", DatapointsToAlarm=1), alarms.check),
        ("one alarm for all shards", four, one_for_all, alarms.check),
        ("a shard without an alarm", four, without("RedriveMissing2Alarm"), shape),
        ("an alarm on a shard that is not there", four, lambda stack: stack.properties("RedriveMissing2Alarm").update(
            Dimensions=[{"Name": "Shard", "Value": "2/8"}]), shape),
        ("strangers in an outage's alarm", {}, put("UnavailableAlarm", MetricName="Unverified"), shape),
        ("strangers' alarm that is none", {}, without("UnverifiedAlarm"), shape),
        ("any 5xx of the API", {}, put("ApiErrorsAlarm", MetricName="5xx", Namespace="AWS/ApiGateway",
                                       Dimensions=[{"Name": "ApiId", "Value": "<HttpApi>"}]), shape),
        ("a field that the access log has not", {}, put("IntegrationErrors", FilterPattern='{ $.none = "x" }'), shape),
        ("more than a day", {"RedriveMinutes": "60"}, put("RedriveAlarm", Period="1500"), shape),
        ("dropped runs each half hour", {"RedriveMinutes": "30"}, put("RedriveDroppedAlarm", DatapointsToAlarm=None,
                                                                      **before), alarms.check),
        ("invocations that nobody takes, each hour", {"RedriveMinutes": "60"},
         put("RedriveUndeliveredAlarm", DatapointsToAlarm=None, **before), alarms.check),
        ("a backlog each half hour", {"RedriveMinutes": "30"},
         put("SpillDepthAlarm", Period="300", EvaluationPeriods="1"), alarms.check),
        ("spilled deliveries of which nobody hears", {}, without("SpilledAlarm"), shape),
        ("an alarm that never rings", {}, put("SpilledAlarm", Threshold="1000000"), never),
        ("an alarm of one minute, whose data come later", {}, put("TdmqErrorsAlarm", EvaluationPeriods=1),
         alarms.check_days),
        ("an alarm that waits for a second fault", {}, put("UnavailableAlarm", EvaluationPeriods=2), alarms.check_days),
        ("slow ones as an average", {}, put("TdmqDurationAlarm", ExtendedStatistic="p50"), alarms.check_days),
        ("one slow one of many", {}, put("TdmqDurationAlarm", ExtendedStatistic="p100"), alarms.check_days),
        ("a hundred forgeries that one is enough for", {}, put("RejectedAlarm", ComparisonOperator="LessThanThreshold"),
         alarms.check_days),
        ("no data as a fault", {}, put("DeadAlarm", TreatMissingData="breaching"), alarms.check_days),
        ("people's alarm for a shift", CANARY, lambda stack: stack.properties("TdmqFunctionDeploymentGroup")[
            "AlarmConfiguration"]["Alarms"].append({"Name": "<UnavailableAlarm>"}), check_deployment),
        ("the old version's errors", CANARY, lambda stack: stack.properties("TdmqDeploymentErrorsAlarm")[
            "Dimensions"].pop(), check_deployment),
        ("a shift's alarm of five minutes", CANARY, put("DeploymentNotReadyAlarm", Period=300), check_deployment),
        ("no permission of the alias", {}, without("TdmqApiAliasPermission"), check_entry),
        ("no permission of the function", CANARY, without("RocketmqApiPermission"), check_entry),
        ("no permission of the alias's address", URLS, without("TdmqUrlAliasInvokePermission"), check_entry),
        ("one bucket of requests for all", {}, lambda stack: stack.properties("HttpApiApiGatewayDefaultStage")[
            "RouteSettings"].popitem(), check_entry),
        ("a default address that stays open", DOMAIN | {"DefaultEndpoint": "closed"}, lambda stack: stack.properties(
            "HttpApi")["Body"].pop("x-amazon-apigateway-endpoint-configuration"), check_entry),
        ("a 429 that nobody counts", {}, without("GatewayThrottled"), shape),
        ("a bucket that outlives its policy", {}, lambda stack: stack.resources["SpillBucketPolicy"].pop(
            "DeletionPolicy"), check_buckets),
        ("a bucket of each failed deployment", {}, lambda stack: stack.resources["SpillBucket"].update(
            DeletionPolicy="Retain"), check_buckets),
        ("a quarantine that cannot be deleted", {"Quarantine": "on"}, lambda stack: stack.resources[
            "QuarantineBucket"].update(DeletionPolicy="Delete"), check_buckets),
        ("a role without its boundary", {"PermissionsBoundaryArn": BOUNDARY}, lambda stack: stack.properties(
            "DeploymentRole").pop("PermissionsBoundary"), check_roles),
        ("a right that no code uses", {}, lambda stack: stack.properties("RedriveRole")["Policies"][0][
            "PolicyDocument"]["Statement"].append({"Effect": "Allow", "Action": "s3:PutObjectTagging",
                                                   "Resource": "<SpillBucket.Arn>/*"}), check_actions),
        ("a log group without the key", {"DataKmsKeyArn": KEY}, lambda stack: stack.properties("RedriveLogs").pop(
            "KmsKeyId"), check_functions),
        ("a function outside of the VPC", VPC, lambda stack: stack.properties("RedriveFunction").pop("VpcConfig"),
         check_functions),
        ("a version that a new Revision deletes", {}, lambda stack: [stack.resources[name].pop("UpdateReplacePolicy")
                                                                     for name in stack.of_type("AWS::Lambda::Version")],
         check_deployment),
    ]
    variables = lambda **more: lambda stack: stack.properties("TdmqFunction")["Environment"]["Variables"].update(more)
    cases += [
        ("a function that outlasts the API", {}, put("TdmqFunction", Timeout=30), limits.check_stack),
        ("a variable that Lambda keeps for itself", {}, variables(AWS_REGION="eu-central-1"), limits.check_stack),
        ("a variable of one letter", {}, variables(A="1"), limits.check_stack),
        ("variables that Lambda does not take", {}, variables(HOOKS="x" * 4000), limits.check_stack),
        ("an API that waits longer than it may", {}, lambda stack: [
            stack.properties(name).update(json.loads(json.dumps(stack.properties(name)).replace(
                '"timeoutInMillis": 30000', '"timeoutInMillis": 31000')))
            for name in stack.of_type("AWS::ApiGatewayV2::Api")],
         limits.check_stack),
    ]
    for name, values, change, check in cases:
        stack = broken(values, change)
        check(Stack(DEPLOYED | values))
        try:
            check(stack)
        except (AssertionError, KeyError):
            continue
        raise AssertionError(f"{name}: nothing noticed")
    print(f"template.yaml: {len(cases)} ways to break it, all noticed")


def check_breaks_of_names() -> None:
    """Gives resources fixed names, and parameters no bounds, each of which must be noticed."""
    def named(stack: Stack) -> None:
        stack.properties("RedriveSchedule0")["Name"] = "RedriveFunctionSchedule"

    class Named(Stack):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            named(self)

    def noticed(check, *arguments) -> bool:
        try:
            check(*arguments)
        except (AssertionError, KeyError):
            return True
        return False

    code = (support.ROOT / "shared/src/store/s3/mod.rs").read_text()
    assert noticed(called, code + "Request::of(Method::POST, name)"), "a call that no role allows"
    assert noticed(check_physical_names, DEPLOYED, Named), "a schedule that a second stack has too"
    for name, change in (("ThrottlingRate", lambda one: one.pop("MinValue")),
                         ("AlarmTopicArn", lambda one: one.pop("AllowedPattern")),
                         ("SourceUri", lambda one: one.update(AllowedPattern="(?s:.*)")),
                         ("RedriveMinutes", lambda one: (one.pop("AllowedValues"), one.update(MinValue=1, MaxValue=60))),
                         ("SubnetIds", lambda one: one.update(Type="CommaDelimitedList"))):
        template = cloudformation.source()
        change(template["Parameters"][name])
        assert noticed(check_parameters, template), f"{name}: nothing noticed"


def check_rules() -> None:
    """Checks that parameters that cannot work are refused before anything is made."""
    told = lambda values: Stack(values).broken_rules()
    assert told(DEPLOYED) == []
    assert told(CASES["domain"]) == []
    no_layer, = told({})
    assert no_layer.startswith("ExtensionLayerArn is empty")
    assert told(CASES["domain"] | URLS) == ["DomainName needs Endpoint http-api"]
    assert told(CASES["domain"] | {"CertificateArn": ""}) == ["DomainName needs CertificateArn"]
    alone, = told(DEPLOYED | {"DefaultEndpoint": "closed"})
    assert alone.startswith("DefaultEndpoint closed needs DomainName")
    password, = told(DEPLOYED | {"RocketmqAuth": "password", "IamUsername": "u"})
    assert password.startswith("RocketmqAuth password needs")
    for half in VPC:
        assert told(DEPLOYED | {half: VPC[half]}) == ["SubnetIds and SecurityGroupIds need each other"]
    assert all(told(values) == [] for values in CASES.values() if values), "a case that would be refused"


def lint(template: dict, region: str = "eu-central-1") -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "template.json"
        file.write_text(json.dumps(template))
        # W7001: the mapping was for SAM, which has used it. The template says why the others.
        ignored = ["W7001", *cloudformation.source()["Metadata"]["cfn-lint"]["config"]["ignore_checks"]]
        command = [BIN / "cfn-lint", "--regions", region, "--ignore-checks", *ignored, "--", file]
        subprocess.run(command, env=ENV, check=True)


def check_regions() -> None:
    """Checks the template in each region that cfn-lint knows, with function URLs where there are any.

    Regions that have the same schemas of all types of the template are one to cfn-lint, and one of them is asked.
    """
    canary = {"Deployment": CANARY["Deployment"]}
    whole = cloudformation.translated(canary)
    api = cloudformation.translated(canary, yaml_parse(cloudformation.without_urls()))
    kinds = {resource["Type"] for resource in whole["Resources"].values()}
    assert kinds - {resource["Type"] for resource in api["Resources"].values()} == {"AWS::Lambda::Url"}
    alike: dict[tuple, list[str]] = {}
    for region in REGIONS:
        found = []
        for kind in sorted(kinds):
            try:
                schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
                found.append((kind, hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()))
            except ResourceNotFoundError:
                continue
        alike.setdefault(tuple(found), []).append(region)
    named = set()
    for schemas, regions in alike.items():
        missing = kinds - {kind for kind, _ in schemas}
        assert missing <= {"AWS::Lambda::Url"}, f"{regions} have no {missing}, and docs/aws.md does not say so"
        lint(api if missing else whole, regions[0])
        named |= set(regions) if missing else set()
    page = (support.ROOT / "docs/aws.md").read_text()
    listed, = re.findall(r"no type of resource for function URLs\s+in\s+(.*?)\.\s", page, re.S)
    assert set(re.findall(r"`([\w-]+)`", listed)) == named, f"docs/aws.md has other regions than {sorted(named)}"
    command = re.search(r"sed '(/# function-url.*?)' template\.yaml", page)[1]
    made = subprocess.check_output(["sed", command, support.ROOT / "template.yaml"], text=True)
    assert made == cloudformation.without_urls(), "docs/aws.md makes another template"
    assert "function-url" not in yaml_parse(made)["Parameters"]["Endpoint"]["AllowedValues"]
    print(f"template.yaml: {len(REGIONS)} regions, {len(named)} of them without function URLs")


def check_translation() -> None:
    """Checks that SAM's macro looks at one parameter alone, so that one translation serves all sets."""
    for name, values in CASES.items():
        assert cloudformation.translated(values) == Stack(values).template, f"{name}: SAM looks at more than Deployment"


def check_route_of_a_hook() -> None:
    """Checks that the route of one hook, as docs/aws.md has it, is a route with a limit of its own."""
    page = (support.ROOT / "docs/aws.md").read_text()
    path, settings = (yaml_parse(re.search(rf"```yaml\n( *{start}.*?)```", page, re.S)[1])
                      for start in ("/tdmq/github:", "ANY /tdmq/github:"))
    template = cloudformation.source()
    api = template["Resources"]["HttpApi"]["Properties"]
    assert path["/tdmq/github"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"] == (
        api["DefinitionBody"]["paths"]["/tdmq/{hook+}"]["x-amazon-apigateway-any-method"]
        ["x-amazon-apigateway-integration"]), "the route calls what the others call"
    api["DefinitionBody"]["paths"] |= path
    api["RouteSettings"] |= settings
    made = cloudformation.translated({}, template)
    stage, = (one for one in made["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Stage")
    assert "ANY /tdmq/github" in stage["Properties"]["RouteSettings"]
    lint(made)


def check_local() -> None:
    """Checks what `sam build` and `sam local` see, without AWS and without the layer."""
    file = str(support.ROOT / "template.yaml")
    for overrides in ({}, DEPLOYED):
        stacks, _ = SamLocalStackProvider.get_stacks(file, parameter_overrides=overrides)
        functions = {function.name: function for function in SamFunctionProvider(stacks).get_all()}
        assert set(functions) == FUNCTIONS
        for name, function in functions.items():
            assert function.layers == [], f"{name}: sam local would load {function.layers}"
            assert function.metadata["BuildMethod"] == "rust-cargolambda"
            variables = function.environment["Variables"]
            assert all(isinstance(value, str) for value in variables.values()), variables
            assert variables["GITHUB_SECRET"] == "secretsmanager:hookmq#GITHUB_SECRET"
        for name, path in PATHS.items():
            assert functions[f"{name}Function"].environment["Variables"]["BASE_PATH"] == f"/{path}"
        routes = {(route.path, route.function_name) for route in ApiProvider(stacks).api.routes
                  if "POST" in route.methods and route.payload_format_version == "2.0"}
        assert routes == {(f"/{path}/{{hook+}}", f"{name}Function") for name, path in PATHS.items()}, routes


def check_application(template: dict) -> None:
    """Checks that what the Serverless Application Repository is told is true."""
    told = template["Metadata"]["AWS::ServerlessRepo::Application"]
    package = tomllib.loads((support.ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    assert told["SemanticVersion"] == package["version"] and told["SpdxLicenseId"] == package["license"]
    assert all((support.ROOT / told[key]).is_file() for key in ("LicenseUrl", "ReadmeUrl"))


def check_names(template: dict) -> None:
    """Checks that names that stand in several places are the same in all of them."""
    functions = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    parts = [template["Globals"]["Function"], *functions]
    variables = {name for part in parts for name in part.get("Environment", {}).get("Variables", {})}
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

    # The page on AWS tells of every parameter and output, and names no other.
    page = (support.ROOT / "docs/aws.md").read_text()
    for kind in ("Parameters", "Outputs"):
        missing = {name for name in template[kind] if f"`{name}`" not in page and f"{name}=" not in page}
        assert not missing, f"docs/aws.md does not tell of the {kind.lower()} {missing}"
    counted = re.search(r"the alarm: (\d+) with one shard \((\d+) with function URLs\)", page).groups()
    alarmed = [len(Stack(CASES[name]).of_type("AWS::CloudWatch::Alarm")) for name in ("http-api", "function-url")]
    assert [int(number) for number in counted] == alarmed, f"docs/aws.md counts {counted} alarms, not {alarmed}"
    unnamed = [name for name in Stack(CASES["canary"]).of_type("AWS::CloudWatch::Alarm")
               if f"`{re.sub('Rocketmq', 'Tdmq', name)}`" not in page and f"`{name}`" not in page]
    assert not unnamed, f"docs/aws.md does not tell of the alarms {unnamed}"
    secret_names = {name for name in variables if SECRET.search(name)}
    example = json.loads(re.search(r"```json\n(\{.*?\n\})\n```", page, re.S)[1])
    assert set(example) == secret_names, set(example) ^ secret_names


def check_all(stack: Stack, written: set) -> None:
    check_functions(stack)
    check_schedules(stack)
    check_secrets(stack)
    check_roles(stack)
    check_actions(stack)
    check_entry(stack)
    check_deployment(stack)
    check_buckets(stack)
    check_alarms(stack, written)
    check_dashboard(stack, written)
    limits.check_stack(stack)


def check_combinations(written: set) -> None:
    """Checks each switch beside each other, with both entries and with and without CodeDeploy."""
    count = 0
    for left, right in itertools.combinations(SWITCHES, 2):
        for entry in ({}, URLS):
            for deployment in ({}, CANARY):
                check_all(Stack(DEPLOYED | entry | deployment | left | right), written)
                count += 1
    drawn = random.Random(15)
    for _ in range(60):
        values = DEPLOYED | drawn.choice([{}, URLS, DOMAIN]) | drawn.choice([{}, CANARY])
        for switch in drawn.sample(SWITCHES, drawn.randint(3, len(SWITCHES))):
            values |= switch
        check_all(Stack(values), written)
        count += 1
    print(f"template.yaml: {count} combinations of what can be switched")


def main() -> None:
    template, written = cloudformation.source(), written_metrics()
    subprocess.run([BIN / "sam", "validate", "--lint"], cwd=support.ROOT, env=ENV, check=True)
    check_parameters(template)
    check_application(template)
    check_names(template)
    check_rules()
    check_local()
    check_translation()
    check_regions()
    check_route_of_a_hook()
    for name, values in CASES.items():
        stack = Stack(values)
        check_all(stack, written)
        check_physical_names(values)
        alarms.check(stack)
        print(f"template.yaml, {name}: {len(stack.resources)} resources")
    for name in ("canary", "everything else"):
        alarms.check_days(Stack(CASES[name]))
    print("template.yaml: each alarm rings soon after what it is for, and at nothing else for days")
    check_combinations(written)
    check_breaks()
    check_breaks_of_names()
    intervals = range(1, 61)
    assert template["Parameters"]["RedriveMinutes"]["AllowedValues"] == [*intervals]
    for interval in intervals:
        stack = Stack(DEPLOYED | {"RedriveMinutes": str(interval), "RedriveShards": "12488421"[interval % 8]})
        check_alarms(stack, written)
        alarms.check(stack)
    print(f"template.yaml: the redriver's alarms with each of {len(intervals)} intervals")


if __name__ == "__main__":
    main()
