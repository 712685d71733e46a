"""Check of the arm64 builds under qemu, as Lambda runs them: SAM's emulator of the runtime, and every sample.
See `scripts/arm64`.

    arm64.py FOLDER-OF-BUILDS QEMU SYSROOT
"""
import contextlib
import json
import pathlib
import struct
import sys
import tempfile

from tests import support
from tests.platforms.cargo_lambda import LAMBDA_GLIBC, beside, needed_glibc, spill_store
from tests.platforms.processes import Rie
from tests.platforms.trials import FORWARDERS, SCHEDULE, fail, name_of, samples

AARCH64 = 183


def unpacked(folder: pathlib.Path, package: str, into: pathlib.Path) -> pathlib.Path:
    """Unpacks the binary of a build and checks it."""
    path = folder / package / "bootstrap.zip"
    bootstrap = support.unpacked(path, into)
    binary = bootstrap.read_bytes()
    machine, needed = struct.unpack_from("<H", binary, 18)[0], needed_glibc(binary)
    if machine != AARCH64 or needed > LAMBDA_GLIBC:
        fail(f"{path}: machine {machine}, glibc {needed}")
    print(f"{package:<9} {path.stat().st_size:>9,} bytes zipped, {len(binary):>9,} unzipped, arm64, "
          f"glibc {'.'.join(map(str, needed))}", flush=True)
    return bootstrap


def main(builds: pathlib.Path, qemu: pathlib.Path, sysroot: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        queues, environment = beside(stack)
        environment |= spill_store(stack) | {"ALLOW_SAMPLE_SECRETS": "1"}
        log = folder / "log"
        for package in [*FORWARDERS, "redrive"]:
            bootstrap = unpacked(builds, package, folder / package)
            wrapper = folder / f"{package}.sh"
            wrapper.write_text(f'#!/bin/sh\nexec "{qemu}" -L "{sysroot}" "{bootstrap}"\n')
            wrapper.chmod(0o755)
            variables = environment | {"BASE_PATH": FORWARDERS.get(package, "")}
            with contextlib.ExitStack() as one:
                running, count = Rie(package, variables, log, one, wrapper), 0
                if package not in FORWARDERS:
                    report = running.invoke(SCHEDULE.read_bytes())
                    if "errorType" in report:
                        fail(f"{package}: {report}")
                    continue
                for sample in samples(package):
                    answer = running.invoke(json.dumps(sample["event"]).encode())
                    queues.check(package, name_of(sample), sample, answer)
                    count += 1
                print(f"{package}: {count} sample events and forged ones", flush=True)
        queues.settle()
        queues.check_logs([log])


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
