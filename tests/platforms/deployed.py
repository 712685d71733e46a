"""Check of the functions as the template deploys them: with the environment that CloudFormation would give
them, under AWS's Lambda runtime interface emulator, beside a server with the interface of the Parameters and
Secrets extension.

Nothing of the environment is a secret, and the sample hooks.toml is the one that is built in.
"""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import tempfile
import threading
import urllib.parse

from tests import support
from tests.deploy.cloudformation import Stack
from tests.platforms.processes import Rie

SESSION = "a-session-token/of+the=function"
LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:1"
PASSWORD = "hookmq-emulator-sample-password"
HOOK_SECRET = "a-secret-of-this-deployment-0123456789"
SECRETS = {
    "GITHUB_SECRET": HOOK_SECRET,
    "TENCENTCLOUD_SECRET_ID": support.SECRET_ID,
    "TENCENTCLOUD_SECRET_KEY": support.SECRET_KEY,
    "HUAWEICLOUD_SDK_AK": support.ACCESS_KEY,
    "HUAWEICLOUD_SDK_SK": support.SECRET_ACCESS_KEY,
    "OS_PASSWORD": PASSWORD,
}
# What anybody who reads the function's configuration must not find.
HIDDEN = [HOOK_SECRET, support.SECRET_ID, support.SECRET_KEY, support.ACCESS_KEY, support.SECRET_ACCESS_KEY, PASSWORD]


@contextlib.contextmanager
def extension(secrets: dict):
    """Serves the secret `hookmq` to who shows the function's token, and yields its port and the requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            url = urllib.parse.urlsplit(self.path)
            named = urllib.parse.parse_qs(url.query).get("secretId")
            if self.headers.get("X-Aws-Parameters-Secrets-Token") != SESSION:
                status, body = 401, b"no token"
            elif url.path != "/secretsmanager/get" or named != ["hookmq"]:
                status, body = 400, b"no such secret"
            else:
                status, body = 200, json.dumps({"Name": "hookmq", "SecretString": json.dumps(secrets)}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


def environment(function: str, parameters: dict, extension_port: int) -> dict:
    """Returns the function's variables, and those that Lambda and the extension add. The spill store is left
    out: there is no S3 here."""
    variables = Stack(parameters).properties(function)["Environment"]["Variables"]
    shown = json.dumps(variables)
    assert not [secret for secret in HIDDEN if secret in shown], "the environment has a secret"
    return {
        **variables, "SPILL_URL": "", "PATH": os.environ["PATH"],
        "AWS_SESSION_TOKEN": SESSION, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(extension_port),
        "AWS_REGION": "eu-central-1", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO",
    }


def github(rie: Rie, path: str, secret: str) -> int:
    body = b'{"zen":"Keep it logically awesome."}'
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push",
               "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
               "X-Hub-Signature-256": f"sha256={signature}"}
    return rie.post(path, body, headers)[0]


def check(name: str, function: str, path: str, parameters: dict, log: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        vendor_port = stack.enter_context(support.emulator())
        port, asked = stack.enter_context(extension(SECRETS))
        endpoint = f"http://127.0.0.1:{vendor_port}"
        parameters = {
            "ExtensionLayerArn": LAYER, "TencentcloudRegion": "ap-guangzhou", "TdmqEndpoint": endpoint,
            "RocketmqInstanceId": support.INSTANCE_ID, "RocketmqEndpoint": endpoint,
            "HuaweicloudProjectId": support.PROJECT_ID, **parameters,
        }
        parameters = {key: value.replace("ENDPOINT", endpoint) for key, value in parameters.items()}
        binary = function.removesuffix("Function").lower()
        rie = Rie(binary, environment(function, parameters, port), log, stack)
        assert github(rie, path, HOOK_SECRET) == 200, f"{name}: {log.read_text()}"
        stored = support.messages(vendor_port)
        assert len(stored) == 1 and json.loads(stored[0]["text"])["data"]["zen"], stored
        assert set(asked) == {"/secretsmanager/get?secretId=hookmq"}, asked
        count = len(asked)
        assert github(rie, path, HOOK_SECRET) == 200 and len(asked) == count, "read once, not once a request"
        # Neither the text of the reference nor an empty one is a secret.
        for forged in ("forged-0123456789", "secretsmanager:hookmq#GITHUB_SECRET", ""):
            assert github(rie, path, forged) == 401, forged
        assert len(support.messages(vendor_port)) == 2
    print(f"{name}: the secret was read {count} times, and nothing of it is in the environment")


def main() -> None:
    support.cargo_build("hookmq-emulator", "tdmq", "rocketmq")
    log = pathlib.Path(tempfile.mkdtemp()) / "log"
    password = {"RocketmqAuth": "password", "IamAuthUrl": "ENDPOINT/v3", "IamUsername": "hookmq",
                "IamUserDomainName": "OTC00000000001000000000"}
    check("TDMQ by the HTTP API", "TdmqFunction", "/tdmq/github", {}, log)
    check("TDMQ by a function URL", "TdmqFunction", "/github", {"Endpoint": "function-url"}, log)
    check("RocketMQ with an access key", "RocketmqFunction", "/rocketmq/github", {}, log)
    check("RocketMQ with a user of IAM", "RocketmqFunction", "/rocketmq/github", password, log)
    text = log.read_text()
    assert '"outcome":"accepted"' in text and "panicked" not in text
    assert not [secret for secret in HIDDEN if secret in text], "a secret was written"


if __name__ == "__main__":
    main()
