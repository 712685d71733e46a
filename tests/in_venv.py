#!/usr/bin/env python3
"""Makes the virtual environment under `target/` and runs the Python checks in it.

    python3 tests/in_venv.py                  all of them
    python3 tests/in_venv.py e2e_processes    one of them
    python3 tests/in_venv.py --python         none, and prints where its Python is
"""
import os
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HOME = TARGET / "venv"
CHECKS = [
    "sdk_conformance", "differential", "e2e_processes", "s3_moto", "s3_versitygw", "template_test", "deployed",
    "deploy_test", "manifests", "networks",
]


def make() -> pathlib.Path:
    """The environment as the requirements ask for it; gives its Python."""
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
        subprocess.run([python, ROOT / "tests" / f"{check}.py"], check=True, cwd=ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
