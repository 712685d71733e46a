"""Check of the built functions as real processes, against the emulator, with each fault.

Each function runs twice: under AWS's Lambda runtime interface emulator (it ships in `aws-sam-cli`), and
as the plain HTTP server that it is outside a cloud runtime. One table of cases serves both.
"""
import base64
import contextlib
import json
import pathlib
import platform
import tempfile

import samcli
from prometheus_client.parser import text_string_to_metric_families

from tests import support

ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
RIE = pathlib.Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{ARCH}"

# Every case has a topic of its own, so that a topic's circuit stays with its case.
HOOKS = """
[hooks.case]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
topic = { tdmq = "pulsar-demo/webhooks/{header:X-Topic}", rocketmq = "{header:X-Topic}" }
deadline = "10s"

[hooks.short]
source = "bearer"
secrets = ["env:CONFORMANCE_TOKEN"]
topic = { tdmq = "pulsar-demo/webhooks/{header:X-Topic}", rocketmq = "{header:X-Topic}" }
deadline = "1500ms"

[hooks.broken]
source = "no-such-preset"
topic = "x"
"""

BOTH, TDMQ, ROCKETMQ = ("tdmq", "rocketmq"), ("tdmq",), ("rocketmq",)


def error(code: str, status: int | None = None, **more) -> dict:
    return {"error": {"code": code, **({"status": status} if status else {}), **more}}


# name, functions, faults, answers allowed, attempts, messages stored (None: see the case's own check)
CASES = [
    ("sound", BOTH, [], {200}, 1, 1),
    ("throttle", BOTH, ["throttle"], {200}, 2, 1),
    ("slow", BOTH, [{"latency_ms": 300}], {200}, 1, 1),
    ("reset", BOTH, ["reset"], {200}, 2, 1),
    ("close", BOTH, ["close"], {200}, 2, 1),
    ("redirect", BOTH, [{"redirect": "https://example.com/"}], {200}, 2, 1),
    ("html-502", BOTH, [{"raw": {"status": 502, "body": "<html>"}}], {200}, 2, 1),
    ("html-200", BOTH, [{"raw": {"status": 200, "body": "<html>"}}], {200}, 2, 1),
    ("empty-200", BOTH, [{"raw": {"status": 200, "body": ""}}], {200}, 2, 1),
    ("no-id", BOTH, ["no_id"], {200}, 2, 1),
    ("stored-reset", BOTH, ["stored_reset"], {200}, 2, 2),
    ("truncate", BOTH, ["truncate"], {200}, 2, 2),
    ("slow-body", BOTH, [{"slow_body_ms": 300}], {200}, 1, 1),
    ("internal-error", TDMQ, [error("InternalError")], {200}, 2, 1),
    ("send-timeout", TDMQ, [error("FailedOperation.SendMessageTimeoutError", stored=True)], {200}, 2, 2),
    ("error-msg", TDMQ, [{"error_msg": "send failed"}], {200}, 2, 1),
    ("rate-sub-code", TDMQ, [error("RequestLimitExceeded.UinLimitExceeded")], {200}, 2, 1),
    ("no-topic", TDMQ, [error("InvalidParameterValue.TopicNotFound")], {503}, 1, 0),
    ("permanent", TDMQ, [error("InternalError.IllegalMessage")], {503}, 1, 0),
    ("too-large-there", TDMQ, [error("FailedOperation.MaxMessageSizeError")], {503}, 1, 0),
    ("quota", TDMQ, [error("LimitExceeded")], {503}, 1, 0),
    ("permission", TDMQ, [error("UnauthorizedOperation")], {503}, 1, 0),
    ("internal-error", ROCKETMQ, [error("DMS.00500000", 500)], {200}, 2, 1),
    ("flow-control-404", ROCKETMQ, [error("DMS.10240407", 404)], {200}, 2, 1),
    ("busy-400", ROCKETMQ, [error("DMS.00400017", 400)], {200}, 2, 1),
    ("error-in-200", ROCKETMQ, [error("DMS.00400876", 200)], {503}, 1, 0),
    ("no-topic", ROCKETMQ, [error("DMS.00400876", 400)], {503}, 1, 0),
    ("permanent", ROCKETMQ, [error("DMS.10540012", 400)], {503}, 1, 0),
    ("too-large-there", ROCKETMQ, [error("DMS.10540011", 400)], {503}, 1, 0),
    ("backend-timeout", ROCKETMQ, [error("APIG.0203", 504, stored=True)], {200}, 2, 2),
    ("permission", ROCKETMQ, [error("DMS.00403003", 403)], {503}, 1, 0),
]


class Rie:
    """Function under the Lambda runtime interface emulator, with events as API Gateway sends them."""

    name = "lambda"

    def __init__(self, function: str, env: dict, log: pathlib.Path, stack: contextlib.ExitStack, program=None):
        self.port, runtime_port = support.free_port(), support.free_port()
        env = {**env, "AWS_LAMBDA_FUNCTION_TIMEOUT": "20", "AWS_LAMBDA_FUNCTION_NAME": function,
               "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_FUNCTION_VERSION": "1"}
        command = [RIE, "--log-level", "error",
                   "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}",
                   "--runtime-api-address", f"127.0.0.1:{runtime_port}", program or support.binary(function)]
        child = stack.enter_context(support.process(command, env, log))
        support.wait_for(self.port, child)

    def invoke(self, event: bytes):
        path = "/2015-03-31/functions/function/invocations"
        status, _, body = support.request(self.port, "POST", path, event)
        assert status == 200, (status, body)
        return json.loads(body)

    def post(self, path: str, body: bytes, headers: dict):
        answer = self.invoke(json.dumps(http_api(path, body, headers)).encode())
        return answer["statusCode"], answer["headers"], answer["body"]


class Http:
    """Function as the HTTP server that it is outside a cloud runtime."""

    name = "http"

    def __init__(self, function: str, env: dict, log: pathlib.Path, stack: contextlib.ExitStack):
        self.port = support.free_port()
        env = {**env, "LISTEN": f"127.0.0.1:{self.port}"}
        child = stack.enter_context(support.process([support.binary(function)], env, log))
        support.wait_for(self.port, child)

    def post(self, path: str, body: bytes, headers: dict):
        status, answer_headers, answer = support.request(self.port, "POST", path, body, headers)
        return status, {name.lower(): value for name, value in answer_headers.items()}, answer.decode()


def http_api(path: str, body: bytes, headers: dict, stage: str = "$default") -> dict:
    """Returns an event of API Gateway's HTTP API, payload 2.0. A named stage stands in front of the path."""
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "203.0.113.9"},
                           "stage": stage, "requestId": "JKJaXmPLvHcESHA=", "timeEpoch": 0},
        "body": base64.b64encode(body).decode(), "isBase64Encoded": True,
    }


def rest_api(path: str, body: bytes, headers: dict) -> dict:
    """Returns an event of API Gateway's REST API, payload 1.0, behind a stage."""
    return {
        "resource": "/{proxy+}", "path": path, "httpMethod": "POST",
        "headers": headers, "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None, "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "path": f"/prod{path}", "httpMethod": "POST",
                           "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "identity": {}},
        "body": body.decode(), "isBase64Encoded": False,
    }


def alb(path: str, body: bytes, headers: dict, multi: bool) -> dict:
    """Returns an event of an Application Load Balancer's target group."""
    fields = ({"multiValueHeaders": {name.lower(): [value] for name, value in headers.items()}} if multi
              else {"headers": {name.lower(): value for name, value in headers.items()}})
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:0:targetgroup/t/0"}},
        "httpMethod": "POST", "path": path, **fields, "body": body.decode(), "isBase64Encoded": False,
        ("multiValueQueryStringParameters" if multi else "queryStringParameters"): {},
    }


class Check:
    """Check of one function on one host, with its emulator."""

    def __init__(self, function: str, host, vendor_port: int):
        self.function, self.host, self.vendor_port, self.count = function, host, vendor_port, 0
        self.answers = []

    def control(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = support.request(self.vendor_port, method, path, data)
        assert status < 300, (path, status, answer)
        return json.loads(answer) if answer.strip() else None

    def deliver(self, name: str, faults: list, hook: str = "case"):
        """Sends one delivery, and returns the answer, the attempts and the stored messages of its topic."""
        self.count += 1
        topic = f"{name}-{self.count}"
        self.control("DELETE", "/_/faults")
        plan = [fault if isinstance(fault, dict) and "fault" in fault else {"fault": fault} for fault in faults]
        self.control("PUT", "/_/faults", [{**fault, "vendor": self.function} for fault in plan])
        text = json.dumps({"case": topic}).encode()
        headers = {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": "application/json",
                   "X-Topic": topic}
        status, answer_headers, body = self.host.post(f"/{hook}", text, headers)
        self.answers.append(json.dumps(answer_headers) + body)
        mine = [r for r in self.control("GET", "/_/requests")["requests"] if (r["topic"] or "").endswith(topic)]
        stored = [m for m in support.messages(self.vendor_port) if m["topic"].endswith(topic)]
        for message in stored:
            assert json.loads(message["text"])["data"] == {"case": topic}, message
        ids = {json.loads(message["text"])["id"] for message in stored}
        assert len(ids) <= 1, f"{topic}: a duplicate under another id: {ids}"
        if status == 200:
            assert stored and answer_headers["x-hookmq-message-id"], (topic, answer_headers)
            assert json.loads(body)["id"] in ids
        elif status == 503:
            assert answer_headers["retry-after"], answer_headers
            assert json.loads(body)["type"] == "urn:hookmq:problem:unavailable", body
        return status, mine, stored

    def table(self) -> None:
        for name, functions, faults, answers, attempts, stored_count in CASES:
            if self.function not in functions:
                continue
            status, seen, stored = self.deliver(name, faults)
            got = (status in answers, len(seen), len(stored))
            assert got == (True, attempts, stored_count), (self.function, self.host.name, name, status, seen)

    def the_rest(self) -> None:
        # A vendor that stored and never answers: 2xx or 503, never a lost message.
        for fault in ("stored_no_answer", "hang"):
            status, seen, stored = self.deliver(fault.replace("_", "-"), [fault], hook="short")
            assert status in (200, 503) and seen, (fault, status)
            assert fault == "hang" or stored, fault
        # A vendor that stays down: tried until the deadline, then 503.
        bad_gateway = {"raw": {"status": 502, "body": "<html>"}}
        status, seen, stored = self.deliver("down", [{"fault": bad_gateway, "times": 0}], hook="short")
        assert (status, stored) == (503, []) and len(seen) > 1, (status, len(seen))
        # The vendor's clock is an hour off: learned once, then used.
        status, seen, _ = self.deliver("clock", [{"fault": {"clock_offset_s": 3600}, "times": 0}])
        assert (status, len(seen)) == (200, 2), (status, seen)
        status, seen, _ = self.deliver("clock-again", [{"fault": {"clock_offset_s": 3600}, "times": 0}])
        assert (status, len(seen)) == (200, 1), (status, seen)
        self.control("DELETE", "/_/faults")
        # Forged, broken and unknown.
        forged = {"Authorization": "Bearer forged", "Content-Type": "application/json", "X-Topic": "forged"}
        assert self.host.post("/case", b"{}", forged)[0] == 401
        good = {**forged, "Authorization": f"Bearer {support.TOKEN}"}
        assert self.host.post("/broken", b"{}", good)[0] == 503
        assert self.host.post("/nothing", b"{}", good)[0] == 404
        assert self.host.post("/case", b"{}", {**good, "X-Topic": "a/b"})[0] == 422
        assert not [m for m in support.messages(self.vendor_port) if "forged" in m["topic"]]

    def auth_is_not_hammered(self) -> None:
        """Checks that a refused key is tried once. It runs last, since the key is not used afterwards."""
        code = "AuthFailure.SignatureFailure" if self.function == "tdmq" else "APIG.0301"
        fault = error(code, None if self.function == "tdmq" else 401, message="verify aksk signature fail")
        attempts = 0
        for _ in range(4):
            status, seen, _ = self.deliver("auth", [{"fault": fault, "times": 0}])
            assert status == 503, status
            attempts += len(seen)
        assert attempts == 1, f"{attempts} attempts with a refused key"


def check_triggers(rie: Rie, vendor_port: int) -> int:
    """Checks that every trigger's event is answered in its own form, that what is not a request is a function
    error or, if nothing is lost with it, a harmless answer, and that what cannot be read is a 400."""
    headers = {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": "application/json", "X-Topic": "triggers"}
    body = "{\"trigger\":\"é\"}".encode()
    before = len(support.messages(vendor_port))
    for event, form in [
        (http_api("/case", body, headers), {"cookies"}),
        (rest_api("/case", body, headers), {"multiValueHeaders"}),
        (http_api("/prod/case", body, headers, stage="prod"), {"cookies"}),
        (alb("/case", body, headers, multi=False), {"statusDescription", "headers"}),
        (alb("/case", body, headers, multi=True), {"statusDescription", "multiValueHeaders"}),
    ]:
        answer = rie.invoke(json.dumps(event).encode())
        assert answer["statusCode"] == 200 and form <= answer.keys(), answer
        assert answer["isBase64Encoded"] is False
    assert len(support.messages(vendor_port)) == before + 5
    wrong_base64 = {**http_api("/case", body, headers), "body": "not base64!"}
    assert rie.invoke(json.dumps(wrong_base64).encode())["statusCode"] == 400
    assert rie.invoke(b'{"version":"2.0"')["statusCode"] == 400
    for other in (b'{"Records":[]}', b'{"version":"2.0","headers":7}'):
        answer = rie.invoke(other)
        assert "errorType" in answer and "statusCode" not in answer, (other, answer)
    for ping in (b"null", b'{"warmer":true}'):
        assert rie.invoke(ping)["statusCode"] == 200, ping
    assert rie.invoke(json.dumps(http_api("/case", body, headers)).encode())["statusCode"] == 200
    return 12


def check_scrape(http: Http, deliveries: int) -> None:
    """Checks what Prometheus' own parser makes of the metrics."""
    status, headers, text = support.request(http.port, "GET", "/_/metrics")
    assert status == 200 and "version=0.0.4" in headers["content-type"], (status, headers)
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert families["hookmq_ack_seconds"].type == "histogram"
    ended = families["hookmq_deliveries"]
    assert ended.type == "counter" and all(family.documentation for family in families.values())
    hooks = {sample.labels["hook"] for sample in ended.samples}
    assert hooks == {"case", "short", "broken", "-"}, hooks
    # Beside them: a forged one, a broken hook's, an unknown path's, one that cannot become a message.
    counted = sum(sample.value for sample in ended.samples)
    assert counted == deliveries + 4, (counted, deliveries)
    accepted = sum(s.value for s in ended.samples if s.labels["outcome"] == "accepted")
    acks = sum(s.value for s in families["hookmq_ack_seconds"].samples if s.name.endswith("_count"))
    assert accepted == acks > 0, (accepted, acks)


def check_embedded(text: str) -> int:
    """Checks the lines from which CloudWatch makes metrics, one a request, and returns their number."""
    lines = [json.loads(line) for line in text.splitlines() if '"_aws"' in line]
    for line in lines:
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "hookmq" and directive["Dimensions"]
            assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names), line
            assert all(isinstance(line[metric["Name"]], (int, float)) for metric in directive["Metrics"]), line
        assert line["Hook"] in {"case", "short", "broken", "-"}, line
    return len(lines)


def main() -> None:
    support.cargo_build("hookmq-emulator", "tdmq", "rocketmq")
    log = pathlib.Path(tempfile.mkdtemp()) / "log"
    on_lambda = 0
    for function in BOTH:
        for host in (Rie, Http):
            with contextlib.ExitStack() as stack:
                vendor_port = stack.enter_context(support.emulator())
                env = support.forwarder_env(vendor_port, HOOKS=HOOKS)
                running = host(function, env, log, stack)
                check = Check(function, running, vendor_port)
                check.table()
                check.the_rest()
                triggers = check_triggers(running, vendor_port) if host is Rie else 0
                check.auth_is_not_hammered()
                if host is Http:
                    check_scrape(running, check.count)
                else:
                    # Four more are in `the_rest`; four of the triggers' events are not requests; the broken
                    # hook is counted at the start.
                    on_lambda += check.count + 4 + triggers - 4 + 1
                with log.open("a") as record:
                    record.write("".join(check.answers) + json.dumps(support.messages(vendor_port)))
                print(f"{function} on {running.name}: {check.count} deliveries, {triggers} trigger events")
    # Everything that the functions wrote: log lines, answers, messages.
    text = log.read_text(errors="replace")
    for secret in (support.TOKEN, support.SECRET_KEY, support.SECRET_ACCESS_KEY, "Bearer forged"):
        assert secret not in text, f"{secret} was written"
    assert '"outcome":"accepted"' in text and "panicked" not in text
    embedded = check_embedded(text)
    assert embedded == on_lambda, (embedded, on_lambda)
    print(f"{len(text.splitlines())} lines of logs, answers and messages without a secret or a panic")
    log.unlink()


if __name__ == "__main__":
    main()
