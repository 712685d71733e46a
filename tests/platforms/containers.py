"""Containers for the local runs: a Docker daemon, images made of this machine's files, one internal network.

No registry is needed: a container gets this machine's C library, and what runs in it is mounted. So this is
for Linux, where containers can run the machine's own binaries.
"""
import contextlib
import io
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile
import tempfile
import time

import docker
import samcli

from tests.platforms.trials import fail

ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
RIE = pathlib.Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{ARCH}"

# What SAM runs a function of `provided.al2023` in, and what it would build that from.
REPOSITORY = "public.ecr.aws/lambda/provided"
BASE_TAG, RUN_TAG = f"al2023-{ARCH}", f"al2023-rapid-{ARCH}"
OWN_IMAGE = "hookmq-local:host"
BRIDGE = "hookmq0"
# On everything that is made here, so that only that is taken away again.
LABEL = "hookmq.local"

LIBRARIES = [
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libgcc_s.so.1",
    "libnss_files.so.2", "libnss_dns.so.2",
]


@contextlib.contextmanager
def daemon(scratch: pathlib.Path):
    """Yields a client of the Docker daemon that runs here, or of one of our own, which ends with the block,
    and what its other clients must have in their environment."""
    try:
        client = docker.from_env()
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        reason = error
    else:
        yield client, {}
        return
    if os.environ.get("DOCKER_HOST"):
        fail(f"DOCKER_HOST does not answer: {reason}")
    if not shutil.which("dockerd"):
        fail("no Docker daemon answers and dockerd is not installed (Debian: apt-get install docker.io)")
    if os.geteuid() != 0:
        fail("no Docker daemon answers: start it, or run this as root, which starts one for itself")
    with own_daemon(scratch) as host:
        yield docker.DockerClient(base_url=host), {"DOCKER_HOST": host}


@contextlib.contextmanager
def own_daemon(scratch: pathlib.Path):
    """Starts a daemon with its own data, socket and containerd."""
    # A socket's path must be short.
    run = pathlib.Path(tempfile.mkdtemp(prefix="hookmq-docker-"))
    data, host = scratch / "docker", f"unix://{run}/docker.sock"
    bridged = own_bridge()
    # vfs works on every file system; nothing is to lead out of here.
    command = [
        "dockerd", "--host", host, "--data-root", data, "--exec-root", run / "exec", "--pidfile", run / "pid",
        "--storage-driver=vfs", "--ip-masq=false", "--ip6tables=false", *(["--bridge", BRIDGE] if bridged else []),
    ]
    log = scratch / "dockerd.log"
    try:
        # Where the firewall may not be touched (in some containers) it does not start with it.
        child = start(command, host, log) or start([*command, "--iptables=false"], host, log)
        if not child:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            fail(f"dockerd does not start (all of it in {log}):\n{tail}")
        print("no Docker daemon answered: started one", flush=True)
        try:
            yield host
        finally:
            stop(child)
    finally:
        if bridged:
            subprocess.run(["ip", "link", "delete", BRIDGE], check=False)
        for path in (data, run):
            unmount(path)
            shutil.rmtree(path, ignore_errors=True)


def own_bridge() -> bool:
    """Makes the bridge, or returns False where it cannot. One daemon takes docker0 from another: with
    `--bridge=none` it deletes it."""
    if not shutil.which("ip"):
        return False
    subprocess.run(["ip", "link", "delete", BRIDGE], stderr=subprocess.DEVNULL, check=False)
    return subprocess.run(["ip", "link", "add", "name", BRIDGE, "type", "bridge"], check=False).returncode == 0


def start(command: list, host: str, log: pathlib.Path) -> subprocess.Popen | None:
    """Starts the daemon and returns it once it answers, or None if it does not."""
    with log.open("wb") as out:
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT)
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if answers(host):
            return child
        time.sleep(0.2)
    stop(child)
    return None


def stop(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def unmount(folder: pathlib.Path) -> None:
    """Unmounts everything that the daemon left mounted in the folder."""
    mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if pathlib.Path(mount).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", mount], check=False)


def answers(host: str) -> bool:
    try:
        return docker.DockerClient(base_url=host).ping()
    except (docker.errors.DockerException, OSError):
        return False


def has_image(client, name: str) -> bool:
    try:
        client.images.get(name)
        return True
    except docker.errors.ImageNotFound:
        return False


def library(name: str) -> pathlib.Path | None:
    folders = [f"/lib/{platform.machine()}-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    return next((path for folder in folders if (path := pathlib.Path(folder) / name).exists()), None)


def loader() -> pathlib.Path:
    """Returns the dynamic linker, whose path stands in every binary."""
    names = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
    path = pathlib.Path(names.get(ARCH, "/none"))
    if not path.exists():
        fail(f"containers are made of this machine's C library, and there is no glibc for {platform.machine()}")
    return path


def filesystem() -> bytes:
    """Returns a tar of what a function's container needs: the C library, SAM's runtime emulator, folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        made = set()

        def add(name: str, content: bytes | None, mode: int) -> None:
            # Docker lets nobody but root into a folder that is not named.
            for folder in reversed(pathlib.PurePath(name).parents[:-1]):
                if str(folder) not in made:
                    add(str(folder), None, 0o755)
            made.add(name)
            entry = tarfile.TarInfo(name)
            entry.mode, entry.type = mode, tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            tar.addfile(entry, io.BytesIO(content or b""))

        for folder in ["opt", "proc", "sys", "dev", "var/task", "var/runtime"]:
            add(folder, None, 0o755)
        add("tmp", None, 0o1777)
        # Whom SAM's emulator runs a function that takes several invocations at once as.
        add("etc/passwd", b"sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n", 0o644)
        add("etc/group", b"sbx_user1051:x:990:\n", 0o644)
        add("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)
        add("var/rapid/aws-lambda-rie", RIE.read_bytes(), 0o755)
        # Where this machine's loader looks for them.
        for path in [loader(), *filter(None, map(library, LIBRARIES))]:
            add(str(path).lstrip("/"), path.read_bytes(), 0o755)
    return out.getvalue()


def own_image(client, repository: str, tag: str) -> None:
    settings = ["WORKDIR /var/task", f"LABEL {LABEL}=1",
                "ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime TZ=:UTC"]
    client.api.import_image_from_data(filesystem(), repository=repository, tag=tag, changes=settings)


@contextlib.contextmanager
def images(client):
    """Provides SAM's image for functions, or ours where no registry can be reached, and ours for the rest."""
    made = [OWN_IMAGE]
    own_image(client, *OWN_IMAGE.split(":"))
    try:
        if not has_image(client, f"{REPOSITORY}:{RUN_TAG}") and not has_image(client, f"{REPOSITORY}:{BASE_TAG}"):
            try:
                client.images.pull(REPOSITORY, BASE_TAG)
            except docker.errors.APIError:
                print(f"{REPOSITORY}:{BASE_TAG} cannot be pulled: functions run in an image of this machine's files",
                      flush=True)
                own_image(client, REPOSITORY, RUN_TAG)
                made.append(f"{REPOSITORY}:{RUN_TAG}")
        yield
    finally:
        # Nobody else's SAM is to find them.
        for name in made:
            client.images.remove(name, force=True)


@contextlib.contextmanager
def network(client, name: str):
    """Makes a network that leads nowhere else."""
    for stale in client.networks.list(names=[f"^{name}$"]):
        remove(stale)
    made = client.networks.create(name, driver="bridge", internal=True, labels={LABEL: "1"})
    try:
        yield made
    finally:
        remove(made)


def remove(made) -> None:
    """Removes a network with the containers in it, which SAM leaves behind where it is killed."""
    made.reload()
    for left in made.containers:
        left.remove(force=True)
    made.remove()


@contextlib.contextmanager
def container(client, network_name: str, command: list, mounts: list, env: dict, log: pathlib.Path):
    """Runs a process of this machine in a container on the network, and yields its address there."""
    volumes = {str(path): {"bind": str(path), "mode": "ro"} for path in mounts}
    running = client.containers.run(
        OWN_IMAGE, entrypoint=[str(part) for part in command], command=[], environment=env, volumes=volumes,
        network=network_name, detach=True, labels={LABEL: "1"}, read_only=True, tmpfs={"/tmp": ""},
    )
    try:
        running.reload()
        address = running.attrs["NetworkSettings"]["Networks"][network_name]["IPAddress"]
        if not address:
            fail(f"{command[0]} does not run in its container:\n{running.logs().decode(errors='replace')}")
        yield address
    finally:
        log.write_bytes(running.logs())
        running.remove(force=True)
