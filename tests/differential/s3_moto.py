"""Check of the object store's S3 client against moto, an S3 of its own, and of its signatures with botocore.

1. Buckets of every kind are made with boto3: plain, versioned, encrypted, with locked objects. The
   client's ignored tests run on them; boto3 then looks at what it left.
2. The table of promises that every store is held to, and deliveries that are spilled and redriven.
3. moto checks no signatures. Each request that it got is signed again by botocore, and the two
   signatures must be equal.
"""
import datetime
import hashlib
import threading
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.differential import s3_store

REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+1="
PREFIX = "pre/Fix_1"
NAME = "spill/tdmq/github/00ff"
KINDS = ["plain", "versioned", "encrypted", "locked", "dotted.name"]


class Recorder:
    """Proxy before moto, which keeps what was signed of each request."""

    def __init__(self, app):
        self.app, self.seen = app, []

    def __call__(self, environ, start_response):
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items() if name.startswith("HTTP_")
        }
        if headers.get("user-agent", "").startswith("hookmq-"):
            self.seen.append((environ["REQUEST_METHOD"], environ["RAW_URI"], headers))
        return self.app(environ, start_response)


class Quiet(MotoRequestHandler):
    def log_request(self, *_):
        pass


def make_bucket(s3, kind: str) -> str:
    bucket = f"hookmq-{kind}"
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=kind == "locked",
    )
    if kind == "versioned":
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if kind == "encrypted":
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return bucket


def run_client(endpoint: str, bucket: str, test: str) -> None:
    s3_store.cargo_test(server_of(endpoint, bucket), PREFIX, "s3_real", test, "--ignored")


def server_of(endpoint: str, bucket: str) -> s3_store.Server:
    return s3_store.Server(endpoint, bucket, REGION, ACCESS_KEY, SECRET_KEY, TOKEN)


def check_bucket(s3, bucket: str, kind: str) -> None:
    every_byte = (bytes(range(256)) * 11719)[:3_000_000]
    want = {f"{PREFIX}/{NAME}": b"one", f"{PREFIX}/claims/b": b"", f"{PREFIX}/dead/big": every_byte}
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert sorted(keys) == sorted(want), (bucket, keys)
    for key, body in want.items():
        found = s3.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == body, (bucket, key)
        if kind == "encrypted":
            assert found["ServerSideEncryption"] == "aws:kms", found
    if kind in ("versioned", "locked"):
        versions = s3.list_object_versions(Bucket=bucket, Prefix=f"{PREFIX}/{NAME}")["Versions"]
        assert len(versions) == 1, "an object that was there was written again"


def sign_again(method: str, uri: str, headers: dict) -> str:
    """Returns the Authorization that botocore makes for the same request."""
    names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"} <= set(names), names
    assert method != "PUT" or "content-md5" in names, names
    path, _, query = uri.partition("?")
    url = f"http://{headers['host']}{urllib.parse.unquote(path)}"
    request = AWSRequest(
        method=method, url=url, headers={name: headers[name] for name in names if name != "host"},
        params=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, TOKEN), "s3", REGION)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    scope = signer.scope(request)
    return f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={';'.join(names)},Signature={signature}"


def check_signatures(seen: list) -> int:
    for method, uri, headers in seen:
        again = sign_again(method, uri, headers)
        assert headers["authorization"] == again, (method, uri, headers["authorization"], again)
        at = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        assert abs(now - at) < datetime.timedelta(minutes=15), at
        if method != "PUT":
            assert headers["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest(), uri
    return len(seen)


def main() -> None:
    recorder = Recorder(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, recorder, True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY, config=Config(s3={"addressing_style": "path"}),
        )
        for kind in KINDS:
            bucket = make_bucket(s3, kind)
            run_client(endpoint, bucket, "against_a_real_store")
            check_bucket(s3, bucket, kind)
            print(f"{bucket}: every call as it should be")
        run_client(endpoint, f"hookmq-{KINDS[0]}", "listings_of_a_real_store")
        s3_store.check_promises(server_of(endpoint, f"hookmq-{KINDS[0]}"))
        s3_store.check_deliveries(server_of(endpoint, f"hookmq-{KINDS[0]}"))
        assert len(recorder.seen) > 2000, "a page has 1000"
        methods = {method for method, _, _ in recorder.seen}
        assert methods == {"PUT", "GET", "HEAD", "DELETE"}, methods
        print(f"requests signed again by botocore: {check_signatures(recorder.seen)} equal")
    finally:
        server.shutdown()


if __name__ == "__main__":
    main()
