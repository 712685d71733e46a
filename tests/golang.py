"""Go for the checks that build a program with it: this machine's, or a newer one from Go's module proxy.

`.ci/install` installs Debian's, which may be of any age (1.19 in Debian 12): each Go downloads a newer toolchain as it
downloads a module, and verifies it by the checksum database. `GOTOOLCHAIN=auto` would do the same only from Go 1.21 on.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

from tests import support

# The version that OpenTofu's go.mod asks for; versitygw and the stand-in for the providers ask for less.
VERSION = "1.26.6"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def number(text: str) -> tuple[int, ...]:
    """Returns a version as numbers, of `go version go1.19.8 linux/amd64` as of `1.26.6`."""
    return tuple(map(int, re.search(r"\d+(\.\d+)+", text)[0].split(".")))


def program() -> tuple[pathlib.Path, dict[str, str]]:
    """Returns a Go that is new enough and the environment for it, and ends the check where there is none."""
    found = shutil.which("go")
    if not found:
        sys.exit("go is missing: .ci/install installs it, as root on Debian (apt-get install golang-go)")
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}

    def told(*arguments: str) -> str:
        return subprocess.run([found, *arguments], cwd=support.TARGET, env=env, check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    support.TARGET.mkdir(parents=True, exist_ok=True)
    if number(told("version")) >= number(VERSION):
        return pathlib.Path(found), env
    name = f"golang.org/toolchain@v0.0.1-go{VERSION}.linux-{MACHINES[platform.machine()]}"
    home = pathlib.Path(json.loads(told("mod", "download", "-json", name))["Dir"])
    # A module's files are not executable, and the go command makes these so where it changes to a toolchain itself.
    for path in [*(home / "bin").iterdir(), *(home / "pkg" / "tool").rglob("*")]:
        path.chmod(0o755)
    env.pop("GOROOT", None)
    return home / "bin" / "go", env
