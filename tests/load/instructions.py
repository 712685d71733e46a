"""Instructions to verify a 4 KiB body, by kind of verifier: a table for `docs/performance.md`.

    python3 -m tests.load.instructions             valgrind counts those of 11 verifications and of 1
    python3 -m tests.load.instructions --linear    those of heads and texts of 1, 10 and 100 kB

The second fails where ten times the bytes cost nearer a hundred times the instructions than ten: a buffer that
grows, or the rest of a head that is over the limit, costs a byte a little more, and nothing may cost its square.
"""
import json
import re
import subprocess
import sys

from tests.support import ROOT

TIMES = 10
SIZES = (1_000, 10_000, 100_000)
STEEP = 30
# Of fewer instructions most are not the bytes'.
LEAST = 10_000


def build(bench: str) -> str:
    """Builds the benchmark and returns its program."""
    command = ["cargo", "bench", "-p", "hookmq-shared", "--bench", bench, "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [message.get("executable") for message in map(json.loads, out.splitlines())]
    return next(program for program in built if program)


def instructions(program: str, *arguments: str) -> int:
    """Counts the instructions of the whole program, start included."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    run = subprocess.run([*command, program, *arguments], capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not counted:
        sys.exit(run.stderr)
    return int(counted[1])


def names(program: str) -> list[str]:
    """Returns the names that the program can be asked for."""
    return subprocess.run([program, "list"], check=True, capture_output=True, text=True).stdout.splitlines()


def verification() -> None:
    """Prints a row for each kind of verifier."""
    program = build("verify")
    print("| kind | preset | instructions |\n| --- | --- | ---: |")
    for line in names(program):
        kind, preset = line.split("\t")
        more, once = (instructions(program, "repeat", preset, str(times)) for times in (TIMES + 1, 1))
        print(f"| {kind} | {preset} | {round((more - once) / TIMES):,} |", flush=True)


def linear() -> None:
    """Prints a row for each shape whose size strangers choose, and ends the script if one is not linear."""
    program = build("linear")
    print("| shape | 1 kB | 10 kB | 100 kB |\n| --- | ---: | ---: | ---: |")
    steep = []
    for shape in names(program):
        none, *counted = (instructions(program, shape, str(size)) for size in (0, *SIZES))
        costs = [count - none for count in counted]
        print(f"| {shape} | " + " | ".join(f"{cost:,}" for cost in costs) + " |", flush=True)
        steep += [shape for less, more in zip(costs, costs[1:]) if more > STEEP * max(less, LEAST)]
    if steep:
        sys.exit(f"not linear: {', '.join(steep)}")


def main() -> None:
    linear() if sys.argv[1:] == ["--linear"] else verification()


if __name__ == "__main__":
    main()
