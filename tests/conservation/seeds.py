#!/usr/bin/env python3
"""The conservation experiment over more seeds, plans, vendors and modes than `cargo test` has.

    python3 tests/conservation/seeds.py            what CI runs
    python3 tests/conservation/seeds.py 10 50      every run with each of the seeds 10 to 50
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import support

# vendor, plan, mode
RUNS = [
    ("tdmq", "all", "on-failure"),
    ("rocketmq", "all", "on-failure"),
    ("tdmq", "all", "always"),
    ("rocketmq", "all", "never"),
    ("tdmq", "vendor", "on-failure"),
    ("rocketmq", "kills", "on-failure"),
    ("tdmq", "store", "always"),
    ("tdmq", "days", "on-failure"),
    ("rocketmq", "days", "always"),
    ("tdmq", "none", "on-failure"),
    ("rocketmq", "none", "always"),
]


def main() -> int:
    support.cargo_build("hookmq-cli", "tdmq", "rocketmq", "redrive")
    seeds = range(int(sys.argv[1]), int(sys.argv[2]) + 1) if len(sys.argv) == 3 else None
    failures = 0
    for number, (vendor, plan, mode) in enumerate(RUNS):
        for seed in seeds or [101 + number, 201 + number]:
            arguments = ["--deliveries", "600", "--seed", str(seed), "--vendor", vendor, "--faults", plan, "--spill", mode]
            done = subprocess.run([support.binary("hookmq"), "torture", *arguments], capture_output=True, text=True)
            summary = [line for line in done.stdout.splitlines() if line.startswith(("acknowledged", "BROKEN"))]
            print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {' '.join(arguments)}\n     {summary[:1]}", flush=True)
            if done.returncode != 0:
                failures += 1
                print(done.stdout, done.stderr, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
