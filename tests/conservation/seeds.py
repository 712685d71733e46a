"""The conservation experiment over more seeds, plans, vendors and modes than `cargo test` has.

    python3 -m tests.conservation.seeds            two seeds for each, as `cargo xtask ci conservation`
    python3 -m tests.conservation.seeds 10 50      every run with each of the seeds 10 to 50, as its `--long`
"""
import concurrent.futures
import subprocess
import sys

from tests import support

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


# A run mostly waits for what it has broken to be whole again.
AT_A_TIME = 4


def run(arguments: list[str]) -> bool:
    """Runs one experiment and returns True if every promise held."""
    done = subprocess.run([support.binary("hookmq"), "torture", *arguments], capture_output=True, text=True)
    summary = [line for line in done.stdout.splitlines() if line.startswith(("acknowledged", "BROKEN"))]
    held = done.returncode == 0
    told = "" if held else f"\n{done.stdout}\n{done.stderr}"
    print(f"{'ok  ' if held else 'FAIL'} {' '.join(arguments)}\n     {summary[:1]}{told}", flush=True)
    return held


def main() -> int:
    support.cargo_build("hookmq-cli", "tdmq", "rocketmq", "redrive")
    seeds = range(int(sys.argv[1]), int(sys.argv[2]) + 1) if len(sys.argv) == 3 else None
    runs = [
        ["--deliveries", "600", "--seed", str(seed), "--vendor", vendor, "--faults", plan, "--spill", mode]
        for number, (vendor, plan, mode) in enumerate(RUNS)
        for seed in seeds or [101 + number, 201 + number]
    ]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        return 0 if all(list(pool.map(run, runs))) else 1


if __name__ == "__main__":
    sys.exit(main())
