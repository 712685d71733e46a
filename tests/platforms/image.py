"""Check of the image, built and run in Docker as a platform would: read-only, without rights, told to stop.

    python3 -m tests.platforms.image [--image FILE]      FILE: what deploy/container/build wrote

Needs Docker; as root it starts a daemon of its own where none answers. Nothing is pulled. The Dockerfile's
first stage compiles in a public image that no registry gives here, so a stand-in takes its place.
"""
import argparse
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

from tests import support

TAG = "hookmq-test:image"
BUILT = "hookmq-test:dockerfile"
SECRETS = {"github": "0123456789abcdef-first", "tencentcloud-secret-id": support.SECRET_ID,
           "tencentcloud-secret-key": support.SECRET_KEY, "ak": support.ACCESS_KEY, "sk": support.SECRET_ACCESS_KEY}
BODY = b'{"ref":"refs/heads/main"}'
NAME = "vendor.hookmq.test"


def docker(*command: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *map(str, command)], text=True, capture_output=True)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(map(str, command))}: {done.stderr.strip()}")
    return (done.stdout + done.stderr if not check else done.stdout).strip()


@contextlib.contextmanager
def unmounted(folder: pathlib.Path):
    """Unmounts the network namespace that the daemon leaves, with which its folder cannot be removed."""
    try:
        yield
    finally:
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if (place := line.split()[1]).startswith(f"{folder}/"):
                subprocess.run(["umount", place], check=False)


@contextlib.contextmanager
def daemon(scratch: pathlib.Path):
    """Uses Docker's daemon that answers, or starts one of ours for as long as it is needed."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        yield
        return
    at = f"unix://{scratch}/docker.sock"
    command = ["dockerd", "--data-root", scratch / "data", "--exec-root", scratch / "exec", "--pidfile",
               scratch / "pid", "-H", at, "--storage-driver=vfs", "--iptables=false", "--bridge=none"]
    with unmounted(scratch), support.process(command, dict(os.environ), scratch / "dockerd.log") as child:
        os.environ["DOCKER_HOST"] = at
        end = time.monotonic() + 60
        while subprocess.run(["docker", "info"], capture_output=True).returncode:
            assert child.poll() is None and time.monotonic() < end, (scratch / "dockerd.log").read_text()[-2000:]
            time.sleep(0.2)
        try:
            yield
        finally:
            del os.environ["DOCKER_HOST"]


@contextlib.contextmanager
def name_server(address: str):
    """Serves one name, at 127.0.0.1, and says of every other that there is none."""
    known = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        server.settimeout(0.2)
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                try:
                    query, peer = server.recvfrom(512)
                except TimeoutError:
                    continue
                question = query[12:query.index(b"\0", 12) + 5]
                is_known = question.lower().startswith(known)
                has_answer = is_known and question[-4:-2] == b"\0\1"  # A
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x7f\0\0\1" if has_answer else b""
                code = 0x80 if is_known else 0x83  # NXDOMAIN
                header = query[:2] + bytes([0x81, code, 0, 1, 0, has_answer, 0, 0, 0, 0])
                server.sendto(header + question + answer, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def write_files(scratch: pathlib.Path, resolver: str) -> None:
    (scratch / "secrets").mkdir()
    (scratch / "config").mkdir()
    for name, value in SECRETS.items():
        (scratch / "secrets" / name).write_text(value)
    (scratch / "config" / "hooks.toml").write_text("""
[hooks.github]
source = "github"
secrets = ["file:/etc/hookmq/secrets/github"]
topic = { tdmq = "pulsar-demo/webhooks/github", rocketmq = "webhooks_github" }
""")
    (scratch / "resolv.conf").write_text(f"nameserver {resolver}\noptions attempts:1 timeout:2\n")


def arguments(scratch: pathlib.Path, port: int, vendor: str) -> list[str]:
    """Returns everything of a run but the image, as tight as deploy/container's manifests."""
    variables = {
        "PORT": port, "HOOKS_FILE": "/etc/hookmq/config/hooks.toml", "TDMQ_ENDPOINT": vendor,
        "ROCKETMQ_ENDPOINT": vendor, "ALLOW_HTTP_ENDPOINTS": "1", "TENCENTCLOUD_REGION": "ap-guangzhou",
        "TENCENTCLOUD_SECRET_ID": "file:/etc/hookmq/secrets/tencentcloud-secret-id",
        "TENCENTCLOUD_SECRET_KEY": "file:/etc/hookmq/secrets/tencentcloud-secret-key",
        "HUAWEICLOUD_SDK_AK": "file:/etc/hookmq/secrets/ak", "HUAWEICLOUD_SDK_SK": "file:/etc/hookmq/secrets/sk",
        "HUAWEICLOUD_SDK_PROJECT_ID": support.PROJECT_ID, "ROCKETMQ_INSTANCE_ID": support.INSTANCE_ID,
    }
    return ["--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            f"--volume={scratch}/config:/etc/hookmq/config:ro", f"--volume={scratch}/secrets:/etc/hookmq/secrets:ro",
            f"--volume={scratch}/resolv.conf:/etc/resolv.conf:ro",
            *(f"--env={name}={value}" for name, value in variables.items())]


@contextlib.contextmanager
def container(*command: str):
    """Starts a container that is gone with the block, and yields its id."""
    made = docker("run", "--detach", *command)
    try:
        yield made
    finally:
        docker("rm", "--force", made)


def until(told: str, check, seconds: float = 30):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if found := check():
                return found
        assert time.monotonic() < end, told
        time.sleep(0.05)


def deliver(port: int, secret: str, delivery: str) -> int:
    signature = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": delivery,
               "X-Hub-Signature-256": f"sha256={signature}"}
    return support.request(port, "POST", "/github", BODY, headers)[0]


def check_process(made: str) -> None:
    """Checks what the kernel says of the container's process."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", made)
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65532"] * 4 and status["Gid"].split() == ["65532"] * 4, status["Uid"]
    assert int(status["CapEff"], 16) == 0 == int(status["CapBnd"], 16) and status["NoNewPrivs"] == "1", status
    mounts = [line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    (root,) = (mount for mount in mounts if mount[4] == "/")
    assert "ro" in root[5].split(","), root


def serves(scratch: pathlib.Path, emulator: int, vendor: str) -> None:
    port = support.free_port()
    stored = lambda: [json.loads(message["text"])["id"] for message in support.messages(emulator)]  # noqa: E731
    with container(*arguments(scratch, port, vendor), TAG) as made:
        until("ready", lambda: support.request(port, "GET", "/_/ready")[0] == 200)
        assert support.request(port, "GET", "/_/health")[0] == 200
        assert support.request(port, "GET", "/")[0] == 200
        docker("exec", made, "/hookmq", "health")
        docker("exec", made, "/hookmq", "health", "--ready")
        check_process(made)
        assert deliver(port, SECRETS["github"], "first") == 200, docker("logs", made, check=False)
        assert stored() == ["first"]
        # A rotation as Kubernetes does it: another file, no restart.
        (scratch / "secrets" / "next").write_text("fedcba9876543210-second")
        (scratch / "secrets" / "next").rename(scratch / "secrets" / "github")
        assert deliver(port, "fedcba9876543210-second", "second") == 200
        assert deliver(port, "0123456789abcdef-forged", "forged") == 401
        assert stored() == ["first", "second"]

        # SIGTERM while the vendor takes its time: no new connection, but the answer.
        plan = json.dumps([{"fault": {"latency_ms": 1500}, "vendor": "tdmq"}]).encode()
        assert support.request(emulator, "PUT", "/_/faults", plan)[0] in (200, 204)
        answers = []
        sender = threading.Thread(target=lambda: answers.append(deliver(port, "fedcba9876543210-second", "third")))
        sender.start()
        until("under way", lambda: "third" in stored())
        docker("kill", "--signal=TERM", made)
        until("closed", lambda: is_closed(port))
        sender.join()
        assert answers == [200] and stored() == ["first", "second", "third"], answers
        assert docker("wait", made) == "0"
        log = docker("logs", made, check=False)
        assert not any(secret in log for secret in SECRETS.values() if secret != support.SECRET_ID), log


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def others(scratch: pathlib.Path, emulator: int, vendor: str) -> None:
    """Checks the other programs, and a container without a network."""
    port = support.free_port()
    with container(*arguments(scratch, port, vendor), TAG, "/rocketmq"):
        until("ready", lambda: support.request(port, "GET", "/_/ready")[0] == 200)
    spill = scratch / "spill"
    spill.mkdir(mode=0o777)
    spill.chmod(0o777)
    port = support.free_port()
    kept = [f"--volume={spill}:/spill", "--env=SPILL_URL=file:///spill"]
    with container(*arguments(scratch, port, vendor), *kept, TAG, "/redrive"):
        until("ready", lambda: support.request(port, "GET", "/_/ready")[0] == 200)
        assert support.request(port, "POST", "/")[0] == 200
    before = support.messages(emulator)
    told = docker("run", "--rm", *arguments(scratch, 0, vendor), TAG, "/hookmq", "check", "--live")
    assert told.count("verdict      good") == 2 and "verdict      refused" not in told, told
    assert support.messages(emulator) == before
    with container("--network=none", "--read-only", TAG) as made:
        until("listening", lambda: '"listening"' in docker("logs", made, check=False))


def stand_in(scratch: pathlib.Path, binaries: pathlib.Path) -> None:
    """Imports an image under the name in the Dockerfile, with a `cargo` that only checks and copies."""
    root = scratch / "stand-in"
    (root / "bin").mkdir(parents=True)
    (root / "built").mkdir()
    (root / "tmp").mkdir(mode=0o1777)
    for program in ["sh", "mkdir", "cp", "test"]:
        source = pathlib.Path(shutil.which(program) or f"/usr/bin/{program}").resolve()
        shutil.copy2(source, root / "bin" / program)
        for line in subprocess.run(["ldd", source], text=True, capture_output=True).stdout.splitlines():
            if found := re.search(r"(/\S+) \(0x", line):
                library = root / found[1].lstrip("/")
                library.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(pathlib.Path(found[1]).resolve(), library)
    for name in ["tdmq", "rocketmq", "redrive", "hookmq"]:
        shutil.copy2(binaries / name, root / "built" / name)
    cargo = root / "bin" / "cargo"
    # Cargo ends where the manifest of a member is missing, whatever it is to build.
    members = tomllib.loads((support.ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    needed = " ".join(f"{member}/Cargo.toml" for member in members)
    cargo.write_text(f"""#!/bin/sh
set -eu
case "$*" in
"build --release --locked -p tdmq -p rocketmq -p redrive --features machine") built="tdmq rocketmq redrive" ;;
"build --release --locked -p hookmq-cli") built="hookmq" ;;
*) exit 1 ;;
esac
for file in Cargo.toml Cargo.lock hooks.toml events/github-http-api.json shared/build.rs cli/src/main.rs \\
    emulator/src/main.rs functions/tdmq/src/main.rs functions/rocketmq/src/main.rs functions/redrive/src/main.rs \\
    {needed}
do
    test -f "$file"
done
test ! -e docs -a ! -e .git
mkdir -p target/release
for program in $built; do cp "/built/$program" target/release/; done
""")
    cargo.chmod(0o755)
    wanted = re.search(r"^FROM (\S+) AS build$", (support.ROOT / "deploy/container/Dockerfile").read_text(), re.M)[1]
    rust = re.search(r"^ARG RUST=(\S+)$", (support.ROOT / "deploy/container/Dockerfile").read_text(), re.M)[1]
    name = wanted.replace("${RUST}", rust)
    archive = subprocess.run(["tar", "-C", str(root), "-c", "."], check=True, capture_output=True).stdout
    subprocess.run(["docker", "import", "-c", "ENV PATH=/bin", "-", name], input=archive, check=True,
                   stdout=subprocess.DEVNULL)


def dockerfile(scratch: pathlib.Path, binaries: pathlib.Path) -> None:
    """Checks that the Dockerfile makes what deploy/container/build makes."""
    stand_in(scratch, binaries)
    context = scratch / "context"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(support.ROOT), str(context)], check=True)
    for name in ["deploy/container/Dockerfile", ".dockerignore"]:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(support.ROOT / name, context / name)
    docker("build", "--network=none", "--pull=false", "-f", context / "deploy/container/Dockerfile", "-t", BUILT, context)
    one, other = (json.loads(docker("inspect", tag))[0]["Config"] for tag in (TAG, BUILT))
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for key in ["User", "ExposedPorts", "Env", "Cmd", "Entrypoint", "Healthcheck"]:
        values = [config.get(key) or None for config in (one, other)]
        if key == "Env":  # a builder adds a PATH
            values = [[variable for variable in value if variable != path] for value in values]
        assert values[0] == values[1], f"{key}: {values}"
    port = support.free_port()
    with container("--network=host", "--read-only", "--cap-drop=ALL", f"--env=PORT={port}", BUILT):
        until("health", lambda: support.request(port, "GET", "/_/health")[0] == 200)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", type=pathlib.Path)
    asked = parser.parse_args()
    image = asked.image or support.TARGET / "dist" / "test-image.tar"
    if not asked.image:
        command = [sys.executable, support.ROOT / "deploy" / "container" / "build", "--tag", TAG, "--out", image]
        # What is built is tried elsewhere: without its last optimization this takes half the time.
        quick = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
        subprocess.run(command, check=True, env=os.environ | quick)
        # Twice the same: the second time from the binaries that are there.
        first = hashlib.sha256(image.read_bytes()).hexdigest()
        subprocess.run([*command, "--binaries", next((support.TARGET / "dist").glob("static-*"))], check=True)
        assert hashlib.sha256(image.read_bytes()).hexdigest() == first
    support.cargo_build("hookmq-emulator")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        scratch = pathlib.Path(name)
        scratch.chmod(0o755)
        stack.enter_context(daemon(scratch))
        loaded = docker("load", "-i", image).rsplit(": ", 1)[1]
        docker("tag", loaded, TAG)
        unpacked = scratch / "unpacked"
        unpacked.mkdir()
        made = docker("create", TAG)
        archive = subprocess.run(["docker", "export", made], check=True, capture_output=True).stdout
        docker("rm", made)
        subprocess.run(["tar", "-x", "-C", str(unpacked)], input=archive, check=True)
        emulator = stack.enter_context(support.emulator())
        stack.enter_context(name_server("127.0.0.153"))
        write_files(scratch, "127.0.0.153")
        # By a name that only DNS knows: a static program has to look it up itself.
        serves(scratch, emulator, f"http://{NAME}:{emulator}")
        # By a name of /etc/hosts that DNS denies.
        others(scratch, emulator, f"http://localhost:{emulator}")
        dockerfile(scratch, unpacked)
    size = image.stat().st_size
    print(json.dumps({"image_bytes": size, "programs": ["tdmq", "rocketmq", "redrive", "hookmq"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
