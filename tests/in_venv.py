"""Runner of the Python checks in a virtual environment under `target/`, which it makes.

    python3 -m tests.in_venv                        all of them
    python3 -m tests.in_venv platforms.processes    one of them
    python3 -m tests.in_venv --python               none, and prints where its Python is
"""
import pathlib
import subprocess
import sys
import venv

from tests.support import ROOT, TARGET

HOME = TARGET / "venv"
CHECKS = [
    "differential.sdk_conformance", "differential.libraries", "platforms.processes", "platforms.senders",
    "differential.s3_moto", "differential.s3_versitygw", "deploy.template", "platforms.deployed", "deploy.packages",
    "deploy.manifests", "deploy.tofu", "networks.namespaces", "brokers.routes", "brokers.kits",
]


def make() -> pathlib.Path:
    """Makes the environment as the requirements ask for it, and returns its Python."""
    python = HOME / "bin" / "python"
    requirements = ROOT / "tests" / "requirements.txt"
    stamp = HOME / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        venv.create(HOME, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_bytes(requirements.read_bytes())
    return python


def main() -> int:
    python = make()
    if sys.argv[1:] == ["--python"]:
        print(python)
        return 0
    for check in sys.argv[1:] or CHECKS:
        print(f"-- {check}", flush=True)
        subprocess.run([python, "-m", f"tests.{check}"], check=True, cwd=ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
