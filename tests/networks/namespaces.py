"""Networks as they are, played in namespaces of their own: name servers that are silent or half silent, an
address that swallows everything, a slow proxy, TLS that no repetition mends.

    python3 -m tests.in_venv networks.namespaces
    python3 -m tests.networks.namespaces [--binaries DIR] [CASE …]

It needs root, `unshare` and `ip`; where it may not make a namespace, it says so and ends well.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from tests import support

STORED = b'{"Response":{"RequestId":"r","MessageId":"1:2:3:0"}}'
HOLE = "10.9.9.9"
NAME = "vendor.test"

HOOKS = """
[hooks.any]
source = "none"
topic = { tdmq = "pulsar-demo/webhooks/any", rocketmq = "webhooks_any" }
deadline = "%s"
"""


# -- The network.

def sh(*words: str) -> None:
    subprocess.run(words, check=True)


def mount(text: str, place: str) -> None:
    """Puts a file of this namespace in the place of the machine's."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    if not os.path.exists(place):
        pathlib.Path(place).touch()
    sh("mount", "--bind", file.name, place)


def loopback() -> None:
    sh("mount", "--make-rprivate", "/")
    sh("ip", "link", "set", "lo", "up")


def hole() -> None:
    """Adds an address that takes everything and says nothing."""
    sh("ip", "link", "add", "va", "type", "veth", "peer", "name", "vb")
    sh("ip", "addr", "add", "10.9.9.1/24", "dev", "va")
    sh("ip", "link", "set", "va", "up")
    sh("ip", "link", "set", "vb", "up")
    sh("ip", "neigh", "add", HOLE, "lladdr", "02:00:00:00:00:09", "dev", "va", "nud", "permanent")


def name_server(answers) -> None:
    """Answers a question for (name, type) with the address that `answers` gives, or not at all."""
    mount("nameserver 127.0.0.1\n", "/etc/resolv.conf")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve() -> None:
        while True:
            question, peer = server.recvfrom(512)
            end = question.index(b"\0", 12) + 5
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind = struct.unpack(">H", question[end - 4:end - 2])[0]
            address = answers(".".join(labels), kind)
            if address is None:
                continue
            head, body = question[:2] + b"\x81\x80\0\1", question[12:end]
            if address:
                record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + socket.inet_aton(address)
                server.sendto(head + b"\0\1\0\0\0\0" + body + record, peer)
            else:
                server.sendto(head + b"\0\0\0\0\0\0" + body, peer)

    threading.Thread(target=serve, daemon=True).start()


# -- What is at its ends.

def http_server(answer: bytes = STORED, tls: ssl.SSLContext | None = None, headers: dict | None = None):
    """Starts a server that answers every request so, and returns its port and a count by method."""
    seen = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            # The probe of the store is not a delivery.
            seen[self.command] += "/probe/" not in self.path
            self.send_response(200)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_GET = reply

        def log_message(self, *_) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 512

        def handle_error(self, *_) -> None:
            seen["error"] += 1

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], seen


def certificate(folder: pathlib.Path, names: list) -> tuple:
    """Makes a certificate that is its own root, and returns the files of its key and of itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "network")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), False)
    made = made.sign(key, hashes.SHA256())
    paths = folder / "key.pem", folder / "certificate.pem"
    paths[0].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    paths[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return paths


def tls_server(folder: pathlib.Path, names: list) -> tuple:
    key, cert = certificate(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def slow_proxy(seconds: float, port: int) -> int:
    """Starts a proxy that takes its time over CONNECT and leads to this port whatever it is asked for."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def serve(near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            time.sleep(seconds)
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(far, near), daemon=True).start()
            pump(near, far)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Forwarder:
    """Process of a forwarder, with its log in `folder`."""

    def __init__(self, folder: pathlib.Path, child: subprocess.Popen, port: int) -> None:
        self.folder, self.child, self.port = folder, child, port

    def deliver(self, body: str = "x", hook: str = "any") -> tuple:
        """Sends a delivery and returns the status and the time it took."""
        begun = time.monotonic()
        status = support.request(self.port, "POST", f"/{hook}", body.encode())[0]
        return status, time.monotonic() - begun

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.child.pid}/task"))

    def stored(self) -> int:
        return sum(path.is_file() for path in (self.folder / "store").glob("spill/**/*"))

    def line(self, *words: str) -> str:
        """Returns the first line of the log with one of these words, which may come after an answer."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            lines = support.whole_lines(self.folder / "log")
            for line in lines:
                if any(word in line for word in words):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {' or '.join(words)}: {lines[-10:]}")


@contextlib.contextmanager
def forwarder(binaries: pathlib.Path, deadline: str, **more: str):
    with tempfile.TemporaryDirectory() as name:
        folder, port = pathlib.Path(name), support.free_port()
        env = {
            "HOOKS": more.pop("HOOKS", None) or HOOKS % deadline, "LISTEN": f"127.0.0.1:{port}", "ALLOW_HTTP_ENDPOINTS": "1",
            "TDMQ_REGION": "ap-guangzhou", "TENCENTCLOUD_SECRET_ID": "AKIDexample",
            "TENCENTCLOUD_SECRET_KEY": "example",
            **{name: value.replace("FOLDER", str(folder)) for name, value in more.items()},
        }
        with support.process([binaries / "tdmq"], env, folder / "log") as child:
            support.wait_for(port, child)
            yield Forwarder(folder, child, port)


def burst(to: Forwarder, number: int) -> collections.Counter:
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return collections.Counter(status for status, _ in pool.map(to.deliver, map(str, range(number))))


def expect(is_so: bool, *found) -> None:
    if not is_so:
        raise AssertionError(" ".join(map(str, found)))


# -- The cases.

def silent_name_server(binaries: pathlib.Path) -> str:
    """Checks that all deliveries are spilled where more await a silent name server than threads exist."""
    loopback()
    hole()
    mount(f"nameserver {HOLE}\n", "/etc/resolv.conf")
    with forwarder(binaries, "10s", TDMQ_ENDPOINT=f"http://{NAME}:7602", SPILL_URL="file://FOLDER/store") as tdmq:
        answers = burst(tdmq, 250)
        expect(answers == {200: 250} and tdmq.stored() == 250, answers, tdmq.stored())
        expect(tdmq.threads() < 64, tdmq.threads(), "threads")
        return f"250 of 250 stored with {tdmq.threads()} threads"


def silent_for_the_queue(binaries: pathlib.Path) -> str:
    """Checks that all deliveries reach a bucket whose name is answered while the queue's is not."""
    loopback()
    store, seen = http_server(b"", headers={"ETag": '"x"'})
    name_server(lambda name, kind: {1: "127.0.0.1"}.get(kind, "") if name.startswith("store.") else None)
    more = {"SPILL_URL": "s3://hooks", "S3_ENDPOINT": f"http://store.test:{store}", "S3_FORCE_PATH_STYLE": "1",
            "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "b", "S3_REGION": "us-east-1"}
    with forwarder(binaries, "10s", TDMQ_ENDPOINT=f"http://{NAME}:7602", **more) as tdmq:
        answers = burst(tdmq, 250)
        expect(answers == {200: 250} and seen["PUT"] >= 250, answers, seen)
        expect(tdmq.threads() < 64, tdmq.threads(), "threads")
        return f"250 of 250 stored with {tdmq.threads()} threads"


def silent_for_many_targets(binaries: pathlib.Path) -> str:
    """Checks that all deliveries are stored where more targets have silent names than there are threads, and
    the bucket's name is looked up only then."""
    loopback()
    store, seen = http_server(b"", headers={"ETag": '"x"'})
    is_begun = threading.Event()
    # The probe at the start learns nothing.
    bucket = lambda kind: "127.0.0.1" if kind == 1 and is_begun.is_set() else ""
    name_server(lambda name, kind: bucket(kind) if name.startswith("store.") else None)
    more = {"SPILL_URL": "s3://hooks", "S3_ENDPOINT": f"http://store.test:{store}", "S3_FORCE_PATH_STYLE": "1",
            "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "b", "S3_REGION": "us-east-1"}
    numbers = range(40)
    more["HOOKS"] = "".join(
        f'[targets.t{n}]\nvendor = "tdmq"\nregion = "ap-guangzhou"\nendpoint = "http://t{n}.test:7602"\n'
        f'[hooks.h{n}]\nsource = "none"\ndeadline = "10s"\ntargets = ["t{n}"]\ntopic = "a/b/c"\n' for n in numbers)
    with forwarder(binaries, "", **more) as tdmq, concurrent.futures.ThreadPoolExecutor(len(numbers)) as pool:
        time.sleep(2)
        is_begun.set()
        answers = collections.Counter(pool.map(lambda n: tdmq.deliver("x", f"h{n}")[0], numbers))
        expect(answers == {200: len(numbers)} and seen["PUT"] >= len(numbers), answers, seen)
        expect(tdmq.threads() < 80, tdmq.threads(), "threads")
        return f"{len(numbers)} of {len(numbers)} stored with {tdmq.threads()} threads"


def half_a_name_server(binaries: pathlib.Path) -> str:
    """Checks that a look-up goes on where only A is answered, and its answer serves the next delivery."""
    loopback()
    vendor, _ = http_server()
    name_server(lambda _, kind: "127.0.0.1" if kind == 1 else None)
    with forwarder(binaries, "4s", TDMQ_ENDPOINT=f"http://{NAME}:{vendor}") as tdmq:
        begun, answers = time.monotonic(), []
        while time.monotonic() - begun < 25 and answers[-2:] != [200, 200]:
            answers.append(tdmq.deliver()[0])
            time.sleep(0.2)
        expect(answers[-2:] == [200, 200], collections.Counter(answers))
        return f"taken after {time.monotonic() - begun:.0f} s, and from then on"


def swallowing_address(binaries: pathlib.Path) -> str:
    """Checks that deliveries arrive where the first addresses neither take nor refuse a connection."""
    loopback()
    hole()
    vendor, _ = http_server()
    store, seen = http_server(b"", headers={"ETag": '"x"'})
    addresses = f"{HOLE} NAME\n10.9.9.8 NAME\n127.0.0.1 NAME\n"
    sh("ip", "neigh", "add", "10.9.9.8", "lladdr", "02:00:00:00:00:08", "dev", "va", "nud", "permanent")
    mount(addresses.replace("NAME", NAME) + addresses.replace("NAME", "store.test"), "/etc/hosts")
    mount("precedence ::ffff:10.9.9.0/120 100\nprecedence ::ffff:0:0/96 10\n", "/etc/gai.conf")
    more = {"SPILL_URL": "s3://hooks", "S3_ENDPOINT": f"http://store.test:{store}", "S3_FORCE_PATH_STYLE": "1",
            "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "b", "S3_REGION": "us-east-1"}
    # One address after the other would take this deadline.
    with forwarder(binaries, "4s", TDMQ_ENDPOINT=f"http://{NAME}:{vendor}") as tdmq:
        status, queued = tdmq.deliver()
        expect(status == 200, status, queued)
    with forwarder(binaries, "10s", TDMQ_ENDPOINT="http://127.0.0.1:1", **more) as tdmq:
        status, _ = tdmq.deliver()
        expect(status == 200 and seen["PUT"] == 1, status, seen)
    return f"{queued:.1f} s"


def slow_connect(binaries: pathlib.Path) -> str:
    """Checks that a delivery gets through a proxy that answers CONNECT after 3.5 s."""
    from cryptography import x509
    loopback()
    with tempfile.TemporaryDirectory() as folder:
        name = "tdmq.tencentcloudapi.com"
        tls, cert = tls_server(pathlib.Path(folder), [x509.DNSName(name)])
        vendor, seen = http_server(tls=tls)
        proxy = slow_proxy(3.5, vendor)
        more = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy}", "TLS_CA_FILE": str(cert)}
        with forwarder(binaries, "20s", **more) as tdmq:
            status, took = tdmq.deliver()
            expect(status == 200 and seen["POST"] == 1, status, took, seen)
            expect(tdmq.deliver()[0] == 200, "again")
        # Where an attempt waits for less, the connection is made all the same.
        with forwarder(binaries, "20s", **more, CONNECT_TIMEOUT="1s") as tdmq:
            status, took = tdmq.deliver()
            expect(status == 200, status, took)
        return f"{took:.1f} s"


def unmendable_tls(binaries: pathlib.Path) -> str:
    """Checks that broken TLS, a fault of the configuration, is tried once and reported with its remedy."""
    from cryptography import x509
    loopback()
    here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tls, cert = tls_server(folder, here)
        plain, _ = http_server()
        old, _ = tls_server(folder, here)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("AES128-GCM-SHA256")
        nameless_folder = folder / "nameless"
        nameless_folder.mkdir()
        nameless, nameless_cert = tls_server(nameless_folder, [])
        for port, ca, words in [
            (http_server(tls=old)[0], cert, "ECDHE"),
            (http_server(tls=nameless)[0], nameless_cert, "subject alternative name"),
            (http_server(tls=tls)[0], "", "TLS_CA_FILE"),
            (plain, "", "http://"),
        ]:
            with forwarder(binaries, "5s", TDMQ_ENDPOINT=f"https://127.0.0.1:{port}", TLS_CA_FILE=str(ca)) as tdmq:
                status, took = tdmq.deliver()
                line = tdmq.line('"outcome":')
                expect(status == 503 and '"config"' in line and '"attempts":1,' in line, status, took, line)
                expect(words in line and f"https://127.0.0.1:{port}" in line, line)
    return "each tried once"


CASES = {case.__name__: case for case in [
    silent_name_server, silent_for_the_queue, silent_for_many_targets, half_a_name_server, swallowing_address,
    slow_connect, unmendable_tls,
]}


def play(case: str, binaries: pathlib.Path) -> tuple:
    command = ["unshare", "-n", "-m", sys.executable, "-m", "tests.networks.namespaces", "--inside",
               "--binaries", binaries, case]
    begun = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = (run.stdout.strip().splitlines() or ["nothing"])[-1]
    print(f"{'ok  ' if run.returncode == 0 else 'FAIL'} {case} ({time.monotonic() - begun:.0f} s): {said}", flush=True)
    return run.returncode


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binaries", type=pathlib.Path, help="where tdmq is; by default it is built")
    arguments.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("cases", nargs="*", choices=[[], *CASES])
    given = arguments.parse_args()
    if given.inside:
        print(CASES[given.cases[0]](given.binaries))
        return 0
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(program):
            sys.exit(f"{program} is missing: .ci/install installs it, as root on Debian (apt-get install {package})")
    namespace = ["unshare", "-n", "-m", "mount", "--make-rprivate", "/"]
    if subprocess.run(namespace, stderr=subprocess.DEVNULL).returncode:
        # No package gives the rights that root has; in CI it is a mistake of the workflow not to have them.
        if os.environ.get("CI"):
            sys.exit("no network namespace can be made here: run this step as root")
        print("skipped: no network namespace can be made here, which needs root")
        return 0
    if not given.binaries:
        support.cargo_build("tdmq")
    binaries = (given.binaries or support.binary("tdmq").parent).absolute()
    # They wait most of the time.
    with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
        failed = list(pool.map(lambda case: play(case, binaries), given.cases or CASES))
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
