"""Check of the object store's S3 client against versitygw, a server that does not come from a test library.

It is built with Go, once, into `target/`.
"""
import os
import pathlib
import subprocess
import tempfile

import boto3
from botocore.config import Config

from tests import golang, support
from tests.differential import s3_store

# A version that was tried; a newer one is a change like any other.
VERSION = "v1.8.0"
MODULE = "github.com/versity/versitygw/cmd/versitygw"
REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def program() -> pathlib.Path:
    """Returns the server's binary, built if need be."""
    home = support.TARGET / f"versitygw-{VERSION}"
    binary = home / "versitygw"
    if binary.exists():
        return binary
    go, env = golang.program()
    env |= {"GOBIN": str(home.absolute())}
    subprocess.run([go, "install", f"{MODULE}@{VERSION}"], env=env, check=True)
    return binary


def main() -> None:
    server = program()
    # In `target/`: a temporary file system may have no extended attributes.
    with tempfile.TemporaryDirectory(dir=support.TARGET) as place:
        root, metadata = pathlib.Path(place) / "root", pathlib.Path(place) / "metadata"
        root.mkdir()
        metadata.mkdir()
        port = support.free_port()
        env = {"PATH": os.environ["PATH"], "HOME": place, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        command = [server, "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet", "--keep-alive",
                   "posix", "--sidecar", metadata, root]
        log = pathlib.Path(place) / "log"
        with support.process(command, env, log) as child:
            support.wait_for(port, child)
            endpoint = f"http://127.0.0.1:{port}"
            s3 = boto3.client(
                "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=SECRET_KEY, config=Config(s3={"addressing_style": "path"}),
            )
            s3.create_bucket(Bucket="hooks", CreateBucketConfiguration={"LocationConstraint": REGION})
            tried = s3_store.Server(endpoint, "hooks", REGION, ACCESS_KEY, SECRET_KEY)
            s3_store.check_promises(tried)
            s3_store.cargo_test(tried, "listings", "s3_real", "listings_of_a_real_store", "--ignored")
            s3_store.check_deliveries(tried)


if __name__ == "__main__":
    main()
