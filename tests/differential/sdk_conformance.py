"""Check of the vendors' own Python SDKs against the emulator, and of our requests against the SDKs' signers.

1. Each SDK sends to the emulator and is accepted; with a wrong key it is refused.
2. Each forwarder sends to a server that records the request; the SDK signs the same request again,
   and the two signatures must be equal.
"""
import copy
import http.server
import json
import threading

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from huaweicloudsdkrocketmq.v2 import (
    RocketMQClient, SendMessageForRocketMqRequest, SendMessageProperties, SendMessageReq,
)
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.tdmq.v20200217 import models, tdmq_client

from tests import support

TEXTS = ["hello", "", "é你好😀\u2028", "\"quotes\" \\ and \u0000\u001f control", "x" * 500_000]


def tencent(port: int, key: str) -> tdmq_client.TdmqClient:
    profile = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{port}")
    client_profile = ClientProfile(httpProfile=profile)
    return tdmq_client.TdmqClient(Credential(support.SECRET_ID, key), "ap-guangzhou", client_profile)


def huawei(port: int, key: str) -> RocketMQClient:
    credentials = BasicCredentials(support.ACCESS_KEY, key, support.PROJECT_ID)
    builder = RocketMQClient.new_builder().with_credentials(credentials)
    return builder.with_endpoint(f"http://127.0.0.1:{port}").build()


def tencent_send(client, topic: str, text: str) -> str:
    request = models.SendMessagesRequest()
    request.Topic, request.Payload = topic, text
    return client.SendMessages(request).MessageId


def huawei_send(client, topic: str, text: str) -> str:
    properties = [SendMessageProperties(name="KEYS", value="id-1")]
    body = SendMessageReq(topic=topic, body=text, property_list=properties)
    request = SendMessageForRocketMqRequest(instance_id=support.INSTANCE_ID, body=body)
    return client.send_message_for_rocket_mq(request).msg_id


def check_sdks_against_emulator() -> int:
    with support.emulator() as port:
        sent = []
        for text in TEXTS:
            sent.append(("tdmq", text, tencent_send(tencent(port, support.SECRET_KEY), "pulsar-demo/ns/t", text)))
            if text:  # RocketMQ refuses an empty body.
                key = support.SECRET_ACCESS_KEY
                sent.append(("rocketmq", text, huawei_send(huawei(port, key), "webhooks_t", text)))
        stored = {(m["vendor"], m["message_id"]): m["text"] for m in support.messages(port)}
        assert len(stored) == len(sent), (len(stored), len(sent))
        for vendor, text, message_id in sent:
            assert message_id and stored[vendor, message_id] == text, (vendor, message_id)
        try:
            tencent_send(tencent(port, "wrong" * 6), "pulsar-demo/ns/t", "x")
            raise AssertionError("the emulator took a wrong SecretKey")
        except TencentCloudSDKException as error:
            assert error.get_code() == "AuthFailure.SignatureFailure", error
        try:
            huawei_send(huawei(port, "wrong" * 8), "webhooks_t", "x")
            raise AssertionError("the emulator took a wrong SK")
        except ClientRequestException as error:
            assert error.status_code == 401, error
        assert len(support.messages(port)) == len(sent)
    return len(sent) + 2


class Recorder(http.server.BaseHTTPRequestHandler):
    """Server that keeps each request and answers as both vendors do."""

    protocol_version = "HTTP/1.1"
    seen: list = []

    def do_POST(self):  # noqa: N802 (the name is the library's)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Recorder.seen.append((self.path, dict(self.headers.items()), body))
        answer = {"Response": {"MessageId": "1:2:3", "RequestId": "r"}, "msg_id": "0" * 32}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def resign_tc3(headers: dict, body: bytes) -> str:
    """Returns the Authorization that Tencent's SDK makes for the same request."""
    class Request:
        uri, method, data = "/", "POST", body
        header = {name: headers[name.lower()] for name in ("Content-Type", "Host", "X-TC-Timestamp")}

    signed = headers["authorization"]
    scope = signed.split("Credential=")[1].split(",")[0]
    _, date, service, _ = scope.split("/")
    client = AbstractClient(Credential(support.SECRET_ID, support.SECRET_KEY), "ap-guangzhou")
    signature = client._get_tc3_signature({}, Request, date, service, support.SECRET_KEY)
    return (f"TC3-HMAC-SHA256 Credential={support.SECRET_ID}/{date}/tdmq/tc3_request, "
            f"SignedHeaders=content-type;host, Signature={signature}")


def resign_sdk_hmac(path: str, headers: dict, body: bytes) -> str:
    """Returns the Authorization that Huawei's SDK makes for the same request."""
    names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-sdk-date", "x-project-id", "content-type"} <= set(names), names
    request = SdkRequest(
        method="POST", schema="http", host=headers["host"], resource_path=path, query_params=[],
        header_params={name: headers[name] for name in names}, body=copy.copy(body),
    )
    credentials = BasicCredentials(support.ACCESS_KEY, support.SECRET_ACCESS_KEY, support.PROJECT_ID)
    return Signer(credentials).sign(request).header_params["Authorization"]


def check_our_requests() -> int:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    compared = 0
    try:
        for function in ("tdmq", "rocketmq"):
            port = support.free_port()
            tokens = {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "security/token+1="} if function == "rocketmq" else {}
            env = support.forwarder_env(server.server_port, LISTEN=f"127.0.0.1:{port}", **tokens)
            with support.process([support.binary(function)], env) as child:
                support.wait_for(port, child)
                for text in TEXTS:
                    before = len(Recorder.seen)
                    status, _, answer = support.request(
                        port, "POST", "/conformance", text.encode(),
                        {"Authorization": f"Bearer {support.TOKEN}", "Content-Type": "text/plain"})
                    assert status == 200, (function, status, answer)
                    assert len(Recorder.seen) == before + 1, "one attempt"
                    path, headers, body = Recorder.seen[-1]
                    headers = {name.lower(): value for name, value in headers.items()}
                    again = (resign_tc3(headers, body) if function == "tdmq"
                             else resign_sdk_hmac(path, headers, body))
                    assert headers["authorization"] == again, (function, headers["authorization"], again)
                    compared += 1
    finally:
        server.shutdown()
    return compared


def main() -> None:
    support.cargo_build("hookmq-emulator", "tdmq", "rocketmq")
    sent = check_sdks_against_emulator()
    print(f"SDKs against the emulator: {sent} requests as expected")
    compared = check_our_requests()
    print(f"our requests signed again by the SDKs: {compared} equal")


if __name__ == "__main__":
    main()
