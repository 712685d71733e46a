"""Proof that the conservation experiment can fail: with one safeguard pulled, `hookmq torture` says so.

One build with `--cfg sabotage` has every safeguard of `shared/src/sabotage.rs`, and a variable of the environment
pulls one. With none pulled, the experiment must hold; with each of these, it must not, and must name
the promise that is broken. What is shipped is another build, which scripts/check_release.py looks at.
"""
import os
import pathlib
import re
import subprocess
import sys

from tests import support

HOME = support.TARGET / "proofs"
BINARIES = HOME / "proof"

# safeguard, arguments of the experiment, the promise that breaks
TRIALS = [
    ("answer-after-write", ["--faults", "kills", "--spill", "always"], "lost"),
    ("store-failure-is-failure", ["--faults", "store", "--spill", "always"], "lost"),
    ("delete-after-receipt", ["--faults", "kill-redriver,transient,throttle", "--spill", "always"], "lost"),
    ("mark-after-receipt", ["--faults", "all"], "lost"),
    ("name-of-all", ["--faults", "all"], "lost"),
    ("receipt-names-message", ["--faults", "lying"], "lost"),
    ("receipt-names-message", ["--faults", "lying", "--spill", "never"], "lost"),
    ("verification", ["--faults", "none"], "forged"),
    ("message-as-stored", ["--faults", "transient"], "altered"),
    ("delete", ["--faults", "none"], "left in spill"),
    ("send-once", ["--faults", "throttle"], "duplicates that are not allowed"),
    ("claim-renewed", ["--faults", "days", "--deliveries", "2000"], "missing claims"),
    ("render-anew", ["--faults", "repair"], "left in spill"),
    ("dead-before-delete", ["--faults", "permanent", "--spill", "always"], "lost"),
]
# What no process can show, and who does: each is pulled in .ci/proofs.
ELSEWHERE = {
    "claim-replaced": "a redriver that runs each second lets no claim grow old: the model and the simulation",
    "dedupe-by-providers-id": "the senders of the experiment all give ids: the model and the simulation",
    "id-of-all": "its bodies are all different: the model and the simulation",
    "failure-stops-its-cause": "what is stopped too long is sent later: the model and the simulation",
    "held-is-no-failure": "what waits too long is sent later: the model and the simulation",
    "wait-is-clamped": "it would take more than an hour: the model and the simulation",
    "cursor-passes-handled": "a later run goes round and sends it: the simulation",
}
DELIVERIES = ["--deliveries", "500"]


def check_all() -> None:
    """Checks that each safeguard is tried here, or is named with the test that tries it elsewhere."""
    source = (support.ROOT / "shared/src/sabotage.rs").read_text()
    every = set(re.findall(r'Self::\w+ => "([a-z-]+)"', source))
    tried = {safeguard for safeguard, _, _ in TRIALS}
    assert every == tried | set(ELSEWHERE) and not tried & set(ELSEWHERE), every ^ (tried | set(ELSEWHERE))


def build() -> None:
    packages = [argument for name in ("hookmq-cli", "tdmq", "redrive") for argument in ("-p", name)]
    env = {**os.environ, "RUSTFLAGS": "--cfg sabotage"}
    subprocess.run(["cargo", "build", "--quiet", "--profile", "proof", "--target-dir", HOME, *packages],
                   cwd=support.ROOT, env=env, check=True)


def wrapped(name: str, safeguard: str | None) -> pathlib.Path:
    """Writes a script that sets the variable, which the experiment does not hand on to its processes."""
    script = BINARIES / f"{name}.sh"
    script.write_text(f"#!/bin/sh\nSABOTAGE={safeguard or ''} exec {BINARIES / name}\n")
    script.chmod(0o755)
    return script


def torture(arguments: list, safeguard: str | None) -> subprocess.CompletedProcess:
    count = [] if "--deliveries" in arguments else DELIVERIES
    command = [BINARIES / "hookmq", "torture", "--seed", "1", *count, *arguments,
               "--forwarder", wrapped("tdmq", safeguard), "--redriver", wrapped("redrive", safeguard)]
    return subprocess.run(command, capture_output=True, text=True)


def main() -> int:
    check_all()
    build()
    wanted = set(sys.argv[1:])
    failures = 0
    for safeguard, arguments, promise in [(None, ["--faults", "all"], None), *TRIALS]:
        if wanted and safeguard not in wanted:
            continue
        done = torture(arguments, safeguard)
        broken = [line for line in done.stdout.splitlines() if line.startswith("BROKEN: ")]
        if safeguard is None:
            is_right = done.returncode == 0
        else:
            is_right = done.returncode == 1 and any(line.startswith(f"BROKEN: {promise} ") for line in broken)
        outcome = "; ".join(broken) or done.stdout[-5:].strip() or done.stderr.strip()
        print(f"{'ok  ' if is_right else 'FAIL'} {safeguard or 'nothing pulled'} ({' '.join(arguments)}): {outcome}", flush=True)
        failures += not is_right
        if not is_right:
            print(done.stdout, done.stderr, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
