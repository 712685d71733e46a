"""Check of each function's release build: under 2.2 MB zipped, free of the crates that cost cold start, of
the library's features for people and senders, and of the safeguards that can be pulled, which only proofs may
have.

Run after `scripts/cargo-lambda build`: what is looked at is what is uploaded, packed by `scripts/pack_tightly.py` as a
release's zips are.
"""
import json
import os
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
FUNCTIONS = ["tdmq", "rocketmq", "redrive"]
MAX_ZIP = 2_200_000
MAX_CRATES = 120

# A second crypto stack, a second HTTP stack, regular expressions, the system's certificate store:
# each was measured to cost binary size or start-up time that a forwarder does not need to pay.
BANNED = {
    "aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "rustls-native-certs",
    "rustls-platform-verifier", "h2", "regex", "regex-automata", "reqwest",
    # They sign, which a function never does: only the library's feature `sender` links them.
    "rsa", "p256",
}

# Only a build with `--cfg sabotage` reads this variable and knows these names (shared/src/sabotage.rs);
# scripts/release looks for the same in every binary that it builds, those of the image among them.
SABOTAGE = [b"SABOTAGE", b"claim-renewed", b"answer-after-write"]

# Words of presets that people alone read, of the feature `catalog`.
CATALOG = [b"docs.github.com: Validating webhook deliveries", b"octocat/hello-world"]


def linked(package: str) -> tuple[set[str], list[str]]:
    """Returns the names and versions of all crates linked into the package, and the library's features."""
    out = subprocess.run(
        ["cargo", "tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}|{f}"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    lines = [line.removesuffix(" (*)").split("|") for line in out.splitlines() if line.strip()]
    crates = {" ".join(crate.split()[:2]) for crate, _ in lines}
    features = {feature for crate, on in lines if crate.startswith("hookmq-shared ") for feature in on.split(",")}
    return crates, sorted(features - {""})


def main() -> int:
    failures = []
    for function in FUNCTIONS:
        crates, features = linked(function)
        path = TARGET / "lambda" / function / "bootstrap.zip"
        with zipfile.ZipFile(path) as archive:
            shipped = archive.read("bootstrap")
        size = path.stat().st_size
        for name in SABOTAGE + CATALOG:
            if name in shipped:
                failures.append(f"{function}: a build in which {name.decode()} stands must not be shipped")
        banned = sorted(BANNED & {crate.split()[0] for crate in crates})
        print(json.dumps({"function": function, "zip_bytes": size, "crates": len(crates), "banned": banned}))
        if size > MAX_ZIP:
            failures.append(f"{function}: {size} bytes zipped, over {MAX_ZIP}")
        if len(crates) > MAX_CRATES:
            failures.append(f"{function}: {len(crates)} crates, over {MAX_CRATES}")
        if features:
            failures.append(f"{function}: turns on {', '.join(features)} of the library, which no function needs")
        if banned:
            failures.append(f"{function}: banned crates {', '.join(banned)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
