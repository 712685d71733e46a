"""Test of senders that nobody here wrote, configured exactly as docs/senders.md says, before the real host.

    python3 -m tests.in_venv platforms.senders

Alertmanager and docker-registry are Debian's (`.ci/install`), versitygw is built with Go, Apprise is from PyPI. Those
that are missing are named and left out, at most one of the four unless senders are chosen by name. Of each sender:

- what it posts is verified, has the event and the id that the page says, and different events are told apart;
- with a wrong token it is refused, and nothing is forwarded;
- where the sender repeats what was answered 503, the repetition arrives, once.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse

import apprise
import boto3
import yaml
from botocore.config import Config

from tests import support
from tests.differential import s3_versitygw

DOCUMENT = (support.ROOT / "docs" / "senders.md").read_text()
ADDRESS = "https://hooks.example.com"
SECRETS = {
    "ALERTS_TOKEN": "token-of-the-alerts-0123456789",
    "REGISTRY_TOKEN": "token-of-the-registry-0123456789",
    "OBJECTS_LOGIN": "versitygw:password-of-the-objects-0123456789",
    "NOTES_LOGIN": "apprise:password-of-the-notes-0123456789",
}
WRONG = "wrong"
# Starts of the envelopes' types, of which the preset has the first.
PREFIXES = ["io.prometheus.alertmanager", *re.findall(r'^type_prefix += "(.*)"$', DOCUMENT, re.M)]
# Time in which a sender must have sent, in seconds. Alertmanager waits a second for a group, and a sender that was
# answered 503 some seconds more.
PATIENCE = 40


def blocks(language: str) -> list[tuple[str, str]]:
    """Returns the blocks of the page in this language: the words behind it, and the text."""
    found = re.findall(rf"^```{language}(?: (\S+))?\n(.*?)^```$", DOCUMENT, re.M | re.S)
    assert found, language
    return found


def block(language: str, name: str) -> str:
    return dict(blocks(language))[name]


class Host:
    """The function as an HTTP server, with the hooks of the page, before the emulator."""

    def __init__(self, stack: contextlib.ExitStack, folder: pathlib.Path):
        self.vendor, self.port = stack.enter_context(support.emulator()), support.free_port()
        self.log = folder / "log"
        hooks = "\n".join(text for _, text in blocks("toml"))
        env = support.forwarder_env(self.vendor, HOOKS=hooks, LISTEN=f"127.0.0.1:{self.port}", **SECRETS)
        child = stack.enter_context(support.process([support.binary("tdmq")], env, self.log))
        support.wait_for(self.port, child)

    def here(self, text: str, is_right: bool = True) -> str:
        """Puts this host and its secrets, or wrong ones, in the place of the page's."""
        assert ADDRESS in text or "hooks.example.com" in text, text
        for name, value in SECRETS.items():
            user = value.partition(":")[0] + ":" if ":" in value else ""
            text = text.replace(name, value if is_right else user + WRONG)
        text = text.replace("https://", "http://").replace("s://", "://")
        return text.replace("hooks.example.com", f"127.0.0.1:{self.port}")

    def messages(self, hook: str) -> list[dict]:
        """Returns the envelopes of this hook's messages."""
        envelopes = [json.loads(message["text"]) | {"topic": message["topic"]}
                     for message in support.messages(self.vendor)]
        return [envelope for envelope in envelopes if envelope["source"].endswith(f"/{hook}")]

    def lines(self, hook: str) -> list[dict]:
        """Returns the log lines of this hook's requests. A request's line may come after its answer."""
        lines = [json.loads(line) for line in support.whole_lines(self.log) if line.startswith("{")]
        return [line for line in lines if line.get("hook") == hook and "outcome" in line]

    def refused(self, hook: str) -> int:
        return sum(line["outcome"] == "rejected" for line in self.lines(hook))

    @contextlib.contextmanager
    def outage(self, hook: str):
        """Lets the queue refuse everything until a delivery of this hook was answered 503."""
        fault = json.dumps([{"fault": {"raw": {"status": 502, "body": "<html>"}}, "times": 0}]).encode()
        assert support.request(self.vendor, "PUT", "/_/faults", fault)[0] < 300
        yield
        self.until(f"{hook}: a 503", lambda: [line["status"] for line in self.lines(hook)][:1] == [503])
        assert support.request(self.vendor, "DELETE", "/_/faults")[0] < 300

    def until(self, what: str, holds) -> None:
        """Waits until this holds, and fails with the last lines of the log if it never does."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"{what}: never\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def expect(self, hook: str, events: list[str]) -> list[dict]:
        """Waits for messages of these events, in any order, and returns all of the hook."""
        told = lambda: sorted(self.event(message) for message in self.messages(hook))
        self.until(f"{hook}: {events}", lambda: len(told()) >= len(events))
        assert told() == sorted(events), self.messages(hook)
        return self.messages(hook)

    @staticmethod
    def event(message: dict) -> str:
        """Returns the event, which follows the prefix in the type."""
        prefix = next(prefix for prefix in PREFIXES if message["type"].startswith(prefix + "."))
        return message["type"].removeprefix(prefix + ".")


def distinct(messages: list[dict]) -> None:
    ids = [message["id"] for message in messages]
    assert len(set(ids)) == len(ids), ids


def alertmanager(host: Host, folder: pathlib.Path) -> str:
    """Checks that a firing and a resolved alert arrive, and that an alert is sent again after a 503."""
    config = yaml.safe_load(host.here(block("yaml", "alertmanager.yml")))
    wrong = yaml.safe_load(host.here(block("yaml", "alertmanager.yml"), is_right=False))
    wrong["receivers"][0]["name"] = WRONG
    config["receivers"] += wrong["receivers"]
    # The page has the defaults, which wait for half a minute and five.
    route = config["route"] | {"group_wait": "1s", "group_interval": "1s"}
    config["route"] = route | {"routes": [
        {"receiver": WRONG, "matchers": ['alertname="Forged"']}, {"receiver": route["receiver"], "matchers": []},
    ]}
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    port = support.free_port()
    command = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={folder}/alerts",
               f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    env = {"PATH": os.environ["PATH"]}

    def alert(name: str, ends_in: int) -> None:
        at = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        alerts = [{"labels": {"alertname": name}, "startsAt": at(-60), "endsAt": at(ends_in)}]
        status, _, told = support.request(port, "POST", "/api/v2/alerts", json.dumps(alerts).encode(),
                                          {"Content-Type": "application/json"})
        assert status == 200, told

    with support.process(command, env, folder / "alertmanager.log") as child:
        support.wait_for(port, child)
        with host.outage("alerts"):
            alert("Down", 3600)
        firing = host.expect("alerts", ["firing"])[0]
        assert firing["topic"].endswith("/alerts-firing") and firing["type"] == "io.prometheus.alertmanager.firing"
        assert [a["labels"]["alertname"] for a in firing["data"]["alerts"]] == ["Down"], firing
        alert("Down", -1)
        distinct(host.expect("alerts", ["firing", "resolved"]))
        alert("Forged", 3600)
        host.until("a wrong token", lambda: host.refused("alerts") > 0)
        assert len(host.messages("alerts")) == 2
    return "firing after a 503, resolved, a wrong token"


def registry(host: Host, folder: pathlib.Path) -> str:
    """Checks that a push, a pull and a deletion arrive, each under the registry's id."""
    def start(stack: contextlib.ExitStack, is_right: bool) -> int:
        port = support.free_port()
        file = folder / f"registry-{port}.yml"
        own = {"version": 0.1, "http": {"addr": f"127.0.0.1:{port}"},
               "storage": {"filesystem": {"rootdirectory": f"{folder}/registry-{port}"}, "delete": {"enabled": True}}}
        file.write_text(yaml.safe_dump(own | yaml.safe_load(host.here(block("yaml", "registry.yml"), is_right))))
        child = stack.enter_context(support.process(
            ["docker-registry", "serve", file], {"PATH": os.environ["PATH"]}, folder / "registry.log"))
        support.wait_for(port, child)
        return port

    def call(port: int, method: str, path: str, body: bytes | None = None, kind: str = "application/octet-stream"):
        status, headers, told = support.request(port, method, path, body, {"Content-Type": kind, "Accept": kind})
        assert status < 300, (method, path, status, told)
        return headers

    def push(port: int) -> tuple[str, str]:
        """Pushes an image of one layer, as a client does."""
        def layer(content: bytes) -> dict:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            place = urllib.parse.urlsplit(call(port, "POST", "/v2/team/app/blobs/uploads/", b"")["Location"])
            call(port, "PUT", f"{place.path}?{place.query}&digest={urllib.parse.quote(digest)}", content)
            return {"size": len(content), "digest": digest}

        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": kind,
            "config": layer(b"{}") | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [layer(b"layer") | {"mediaType": "application/vnd.oci.image.layer.v1.tar"}],
        }).encode()
        headers = call(port, "PUT", "/v2/team/app/manifests/1.0", manifest, kind)
        return headers["Docker-Content-Digest"], kind

    with contextlib.ExitStack() as stack:
        port = start(stack, True)
        with host.outage("registry"):
            digest, kind = push(port)
        # Two blobs and the manifest.
        pushed = host.expect("registry", ["push"] * 3)
        call(port, "GET", "/v2/team/app/manifests/1.0", kind=kind)
        host.expect("registry", ["push"] * 3 + ["pull"])
        call(port, "DELETE", f"/v2/team/app/manifests/{digest}")
        # The manifest and its tag.
        found = host.expect("registry", ["push"] * 3 + ["pull"] + ["delete"] * 2)
        distinct(found)
        for message in found:
            event = message["data"]["events"][0]
            assert (message["id"], message["subject"]) == (event["id"], "team/app"), message
            assert message["topic"].endswith(f"/images-{event['action']}"), message["topic"]
        manifest = [m for m in pushed if m["data"]["events"][0]["target"].get("tag") == "1.0"]
        assert len(manifest) == 1, pushed
    with contextlib.ExitStack() as stack:
        push(start(stack, False))
        host.until("a wrong token", lambda: host.refused("registry") > 0)
    assert len(host.messages("registry")) == 6
    return "a push after a 503, a pull, a deletion, a wrong token"


def objects(host: Host, folder: pathlib.Path) -> str:
    """Checks that objects that are created and removed arrive, and that the test event does not."""
    server = s3_versitygw.program()
    access, secret, region = s3_versitygw.ACCESS_KEY, s3_versitygw.SECRET_KEY, s3_versitygw.REGION

    @contextlib.contextmanager
    def started(is_right: bool):
        # In `target/`: a temporary file system may have no extended attributes.
        with tempfile.TemporaryDirectory(dir=support.TARGET) as place:
            root, metadata, port = pathlib.Path(place) / "root", pathlib.Path(place) / "meta", support.free_port()
            root.mkdir()
            metadata.mkdir()
            name, _, value = host.here(block("sh", "versitygw"), is_right).strip().partition("=")
            env = {"PATH": os.environ["PATH"], "HOME": place, "ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret,
                   name: value}
            command = [server, "--port", f"127.0.0.1:{port}", "--region", region, "--quiet", "posix",
                       "--sidecar", metadata, root]
            with support.process(command, env, folder / "versitygw.log") as child:
                support.wait_for(port, child)
                s3 = boto3.client(
                    "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name=region, aws_access_key_id=access,
                    aws_secret_access_key=secret, config=Config(s3={"addressing_style": "path"}),
                )
                s3.create_bucket(Bucket="hooks", CreateBucketConfiguration={"LocationConstraint": region})
                yield s3

    with started(True) as s3:
        s3.put_object(Bucket="hooks", Key="a/b.txt", Body=b"content")
        host.expect("objects", ["s3:ObjectCreated:Put"])
        s3.delete_object(Bucket="hooks", Key="a/b.txt")
        found = host.expect("objects", ["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"])
        distinct(found)
        for message in found:
            thing = message["data"]["Records"][0]["s3"]["object"]
            assert (message["id"], message["subject"], thing["key"]) == (thing["sequencer"], "a/b.txt", "a/b.txt"), message
    # The test event at the start.
    dropped = lambda: [line for line in host.lines("objects") if line["outcome"] not in ("accepted", "rejected")]
    host.until("the test event", dropped)
    assert [line["status"] for line in dropped()] == [200], host.lines("objects")
    with started(False) as s3:
        # The test event has the wrong password too.
        host.until("a wrong password", lambda: host.refused("objects") > 0)
        before = host.refused("objects")
        s3.put_object(Bucket="hooks", Key="c", Body=b"content")
        host.until("a wrong password", lambda: host.refused("objects") > before)
    assert len(host.messages("objects")) == 2
    return "an object created and removed, the test event, a wrong password"


def script(host: Host, folder: pathlib.Path) -> str:
    """Checks that notes arrive as JSON, as a form and, with an attachment, in several parts."""
    attachment = folder / "attachment.bin"
    attachment.write_bytes(bytes(range(256)))
    urls = host.here(block("sh", "apprise")).split()
    kinds = []
    for number, (url, files) in enumerate([(urls[0], None), (urls[1], None), (urls[1], str(attachment))]):
        sender = apprise.Apprise()
        assert sender.add(url), "Apprise does not take the address"
        event = ["info", "warning", "failure"][number]
        assert sender.notify(title="größe", body=f"note {number}", notify_type=event, attach=files), event
        found = host.expect("notes", ["info", "warning", "failure"][:number + 1])
        kinds.append(next(m["datacontenttype"] for m in found if Host.event(m) == event).partition(";")[0])
    distinct(host.messages("notes"))
    assert kinds == ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"], kinds
    for url in host.here(block("sh", "apprise"), is_right=False).split():
        sender = apprise.Apprise()
        sender.add(url)
        before = host.refused("notes")
        assert not sender.notify(body="forged"), "Apprise takes a 401 for a success"
        host.until("a wrong password", lambda: host.refused("notes") > before)
        assert host.refused("notes") == before + 1
    assert len(host.messages("notes")) == 3
    return "JSON, a form, several parts, a wrong password"


SENDERS = {
    "Alertmanager": (alertmanager, lambda: shutil.which("prometheus-alertmanager")),
    "docker-registry": (registry, lambda: shutil.which("docker-registry")),
    "versitygw": (objects, s3_versitygw.program),
    "Apprise": (script, lambda: True),
}


def main() -> None:
    tomllib.loads("\n".join(text for _, text in blocks("toml")))
    support.cargo_build("hookmq-emulator", "tdmq")
    chosen = sys.argv[1:] or SENDERS
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senders-")))
        host = Host(stack, folder)
        missing = [name for name in chosen if not SENDERS[name][1]()]
        for name in missing:
            print(f"skipped: {name} is not installed here")
        assert len(missing) <= 1, f"too few senders are installed here, without {' and '.join(missing)}"
        for name in (name for name in chosen if name not in missing):
            check, _ = SENDERS[name]
            begun = time.monotonic()
            print(f"{name}: {check(host, folder)} ({time.monotonic() - begun:.0f} s)", flush=True)
        log = host.log.read_text()
        for secret in SECRETS.values():
            assert secret.rpartition(":")[2] not in log, "a secret is in the log"
        assert "panicked" not in log


if __name__ == "__main__":
    main()
