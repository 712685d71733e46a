//! The table of all steps of the continuous integration.

use crate::step::{BUILD, INSTALL, Long, MEASURE, Step, WAIT};

/// Command with release builds that are compiled in half the time, because most of the optimization is left out:
/// for steps that show what such a build does, and not how fast or how small it is.
macro_rules! quick {
    ($command:literal) => {
        concat!(
            "CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 ",
            $command
        )
    };
}

/// All steps. Within a lane they run in this order, and every step stands below those that it waits for.
///
/// The measurements follow the builds that they measure at once, so that the waiting lane cannot start
/// a long step just before them. `size` reads the builds of `lambda`, and `deploy` packages those of `glibc`:
/// both use the same profile as the step before, so that nothing is compiled twice.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: INSTALL,
        shows: "everything that a later step needs is installed before anything is measured",
        budget: 240,
        short: &[".ci/install"],
        ..WAIT
    },
    Step {
        name: "fmt",
        shows: "the code is formatted, docstrings follow the rules, the fuzz crate's lock file is current",
        budget: 15,
        // Fuzzing comes last and would find out late that its lock file is behind.
        short: &[
            "cargo fmt --check",
            "cargo fmt --check --manifest-path fuzz/Cargo.toml",
            "cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null",
            "python3 scripts/check_prose.py",
        ],
        ..BUILD
    },
    Step {
        name: "vectors",
        shows: "the vectors are those that their generator writes",
        budget: 5,
        short: &["python3 -m tests.vectors.generate --check"],
        ..BUILD
    },
    Step {
        name: "lints",
        shows: "Clippy finds nothing in the workspace, nor in the functions as they are built",
        budget: 150,
        // Beside the command line the library has all its features; what a function alone leaves unused shows
        // only without it.
        short: &[
            "cargo clippy --workspace --all-targets -- -D warnings",
            "cargo clippy -p tdmq -p rocketmq -p redrive -- -D warnings",
        ],
        ..BUILD
    },
    Step {
        name: "docs",
        shows: "the documentation builds and its links lead somewhere",
        budget: 60,
        short: &["RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps"],
        ..BUILD
    },
    Step {
        name: "conservation",
        shows: "no delivery is lost under any plan of faults, for every vendor and mode",
        budget: 240,
        short: &["python3 -m tests.conservation.seeds"],
        long: Some(Long {
            adds: "seeds 10 to 50 instead of two, and the safeguards pulled one by one",
            budget: 6000,
            commands: &[
                "python3 -m tests.conservation.seeds 10 50",
                "python3 -m tests.conservation.sabotage",
            ],
        }),
        ..WAIT
    },
    Step {
        name: "proofs",
        shows: "model and simulation lose nothing, and miss each safeguard that is pulled",
        budget: 300,
        short: &[".ci/proofs"],
        long: Some(Long {
            adds: "the whole model, every history replayed, and a simulation of 10^6 deliveries",
            budget: 1200,
            // The flags and the folder of `.ci/proofs`, so that the program is compiled once.
            commands: &[
                ".ci/proofs",
                "target/proofs/proof/examples/explore",
                "RUSTFLAGS='--cfg sabotage' CARGO_TARGET_DIR=target/proofs \
                 cargo test --profile proof -p hookmq-model --test drift -- --ignored --nocapture",
                "target/proofs/proof/simulation --seed 1 --days 21",
            ],
        }),
        ..BUILD
    },
    Step {
        name: "lambda",
        shows: "the functions build for Lambda and answer every sample under cargo-lambda",
        budget: 330,
        after: &[INSTALL],
        short: &["scripts/cargo-lambda build watch"],
        ..BUILD
    },
    Step {
        name: "backlog",
        shows: "a backlog is drained completely, with few calls for each delivery and in little memory",
        budget: 90,
        after: &["lambda"],
        short: &["python3 -m tests.load.backlog --ci"],
        long: Some(Long {
            adds: "10^5 deliveries in both stores, and every shape of body",
            budget: 1800,
            commands: &["python3 -m tests.load.backlog", "python3 -m tests.load.backlog --memory --no-build"],
        }),
        ..MEASURE
    },
    Step {
        name: "memory",
        shows: "a forwarder stays within its memory with ten of the largest bodies, and with a megabyte for a gigabyte",
        budget: 40,
        after: &["lambda"],
        short: &["python3 -m tests.load.memory --ci"],
        long: Some(Long {
            adds: "every shape of body",
            budget: 300,
            commands: &["python3 -m tests.load.memory"],
        }),
        ..MEASURE
    },
    Step {
        name: "proxies",
        shows: "strangers, bursts, limits and restarts behind nginx, HAProxy and Caddy lose nothing",
        budget: 90,
        after: &[INSTALL],
        short: &["python3 -m tests.networks.proxies --ci"],
        long: Some(Long {
            adds: "ten restarts for each proxy and signal, and longer attacks",
            budget: 900,
            commands: &["python3 -m tests.networks.proxies"],
        }),
        ..MEASURE
    },
    Step {
        name: "siege",
        shows: "hostile connections by the thousand cost no genuine delivery",
        budget: 45,
        after: &["lambda"],
        short: &["python3 -m tests.load.siege --ci"],
        long: Some(Long {
            adds: "10,000 connections for 30 minutes, beside 200 deliveries a second",
            budget: 2100,
            commands: &["python3 -m tests.load.siege --minutes 30 --release --any-time"],
        }),
        ..MEASURE
    },
    Step {
        name: "size",
        shows: "the release builds are small, link only the crates that they may, and execute few instructions",
        budget: 120,
        after: &[INSTALL, "lambda"],
        short: &["python3 scripts/check_release.py", "python3 -m tests.load.delivery_instructions --ci"],
        ..BUILD
    },
    Step {
        name: "glibc",
        shows: "the functions build for glibc 2.17 and run as HTTP servers",
        budget: 180,
        after: &[INSTALL],
        // What a build needs of the C library does not depend on the optimization.
        short: &[quick!("scripts/cargo-lambda glibc")],
        long: Some(Long {
            adds: "the optimization of the build",
            budget: 300,
            commands: &["scripts/cargo-lambda glibc"],
        }),
        ..BUILD
    },
    Step {
        name: "sdk-conformance",
        shows: "the vendors' SDKs and the emulator agree, and so do the SDKs' signatures and ours",
        budget: 30,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv differential.sdk_conformance"],
        ..WAIT
    },
    Step {
        name: "differential",
        shows: "the providers' libraries and hookmq differ only where a rule says why, and AsyncAPI's parser agrees",
        budget: 60,
        after: &[INSTALL],
        short: &[
            "python3 -m tests.in_venv differential.libraries",
            "python3 -m tests.in_venv differential.asyncapi",
        ],
        ..WAIT
    },
    Step {
        name: "processes",
        shows: "the functions answer each fault rightly, on Lambda's runtime interface and as HTTP servers",
        budget: 45,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv platforms.processes"],
        ..WAIT
    },
    Step {
        name: "senders",
        shows: "senders that others wrote, set up as docs/senders.md says, are verified, named and told apart",
        budget: 120,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv platforms.senders"],
        ..WAIT
    },
    Step {
        name: "brokers",
        shows: "real brokers take every sample by RocketMQ's own protocol, Apache's client reads them, and a kill loses none",
        budget: 240,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv brokers.routes"],
        long: Some(Long {
            adds: "every consumer kit against the brokers that it reads",
            budget: 900,
            commands: &["python3 -m tests.in_venv brokers.routes", "python3 -m tests.in_venv brokers.kits"],
        }),
        ..WAIT
    },
    Step {
        name: "s3-moto",
        shows: "the S3 client keeps its promises on moto, and botocore signs as it does",
        budget: 60,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv differential.s3_moto"],
        ..WAIT
    },
    Step {
        name: "s3-versitygw",
        shows: "the S3 client keeps its promises on versitygw",
        budget: 60,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv differential.s3_versitygw"],
        ..WAIT
    },
    Step {
        name: "template",
        shows: "the SAM template makes what it must, with every set of parameters",
        budget: 105,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv deploy.template"],
        ..WAIT
    },
    Step {
        name: "deployed",
        shows: "the functions run with the environment that the template gives them",
        budget: 20,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv platforms.deployed"],
        ..WAIT
    },
    Step {
        name: "manifests",
        shows: "the container manifests are valid, tight and true to the code",
        budget: 5,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv deploy.manifests"],
        ..WAIT
    },
    Step {
        name: "tofu",
        shows: "OpenTofu plans and applies the Terraform modules with the arguments of their providers' versions",
        // Of which the build of OpenTofu is most: four minutes of a processor, once.
        budget: 300,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv deploy.tofu"],
        ..WAIT
    },
    Step {
        name: "networks",
        shows: "silent name servers, lost packets, slow proxies and broken TLS lose nothing",
        budget: 75,
        after: &[INSTALL],
        short: &["python3 -m tests.in_venv networks.namespaces"],
        ..WAIT
    },
    Step {
        name: "release-dry",
        shows: "a release has licences, crates, sources, SBOMs and notices in order",
        budget: 150,
        after: &[INSTALL],
        short: &["scripts/release --dry --target x86_64-unknown-linux-gnu.2.17"],
        long: Some(Long {
            adds: "the release built twice and compared byte by byte",
            budget: 1800,
            commands: &[
                "scripts/release --dry --target x86_64-unknown-linux-gnu.2.17",
                "scripts/release --check --target x86_64-unknown-linux-gnu.2.17",
            ],
        }),
        ..WAIT
    },
    Step {
        name: "sam",
        shows: "the functions answer every sample under the SAM CLI in containers",
        budget: 360,
        after: &[INSTALL, "lambda"],
        short: &["scripts/sam-local"],
        ..WAIT
    },
    Step {
        name: "deploy",
        shows: "the packages for SCF and FunctionGraph are reproducible, and deliver",
        budget: 60,
        after: &[INSTALL, "glibc"],
        short: &[quick!("python3 -m tests.in_venv deploy.packages")],
        long: Some(Long {
            adds: "the optimization of the build",
            budget: 60,
            commands: &["python3 -m tests.in_venv deploy.packages"],
        }),
        ..WAIT
    },
    Step {
        name: "image",
        shows: "the image builds without a registry and runs in Docker as a platform runs it",
        budget: 240,
        after: &[INSTALL],
        short: &[quick!("python3 -m tests.platforms.image")],
        long: Some(Long {
            adds: "the optimization of the build",
            budget: 300,
            commands: &["python3 -m tests.platforms.image"],
        }),
        ..WAIT
    },
    Step {
        name: "fuzz",
        shows: "no parser panics, overflows, hangs or disagrees with another parser",
        budget: 360,
        short: &[".ci/fuzz total 240"],
        long: Some(Long {
            adds: "five minutes for each target instead of four for all of them",
            budget: 2100,
            commands: &[".ci/fuzz 300"],
        }),
        ..BUILD
    },
];

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
