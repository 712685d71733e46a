#!/usr/bin/env python3
"""Instructions to verify a 4 KiB body, by kind of verifier: a table for `docs/performance.md`.

valgrind counts those of 11 verifications and of 1; a tenth of the difference is one verification.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMES = 10


def build() -> str:
    """The benchmark's program."""
    command = ["cargo", "bench", "-p", "hookmq-shared", "--bench", "verify", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [message.get("executable") for message in map(json.loads, out.splitlines())]
    return next(program for program in built if program)


def instructions(program: str, preset: str, times: int) -> int:
    """Those of the whole program, start included."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    run = subprocess.run([*command, program, "repeat", preset, str(times)], capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not counted:
        sys.exit(run.stderr)
    return int(counted[1])


def main() -> None:
    program = build()
    kinds = subprocess.run([program, "list"], check=True, capture_output=True, text=True).stdout
    print("| kind | preset | instructions |\n| --- | --- | ---: |")
    for line in kinds.splitlines():
        kind, preset = line.split("\t")
        counted = instructions(program, preset, TIMES + 1) - instructions(program, preset, 1)
        print(f"| {kind} | {preset} | {round(counted / TIMES):,} |", flush=True)


if __name__ == "__main__":
    main()
