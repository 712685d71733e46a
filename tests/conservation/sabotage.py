#!/usr/bin/env python3
"""The conservation experiment can fail: with one safeguard pulled, `hookmq torture` says so.

The sources are copied to `target/sabotage`, where each safeguard is replaced by what it is there to
prevent, behind a variable of the environment; the functions that are shipped know nothing of it. The
copy is built once. Without the variable, the experiment must hold; with each value of it, it must not,
and must name the promise that is broken. With `--dry`, only that each edit still finds its place.
"""
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import support

HOME = support.TARGET / "sabotage"
SOURCES, BINARIES = HOME / "sources", HOME / "bin"
FUNCTIONS = ["tdmq", "redrive"]

# file, what stands there exactly once, what takes its place
EDITS = [
    ("shared/src/lib.rs", "pub mod clock;\n", """pub mod clock;

/// Whether this safeguard is pulled.
pub(crate) fn sabotaged(safeguard: &str) -> bool {
    #[allow(clippy::disallowed_methods)]
    std::env::var("SABOTAGE").is_ok_and(|pulled| pulled == safeguard)
}
"""),
    # The sender is answered while the object is still being written.
    ("shared/src/spill/mod.rs", "        let name = folder.name(&record.target(), &record.delivery);\n", """\
        let name = folder.name(&record.target(), &record.delivery);
        if crate::sabotaged("answer-before-write") {
            let (spill, bytes) = (self.clone(), record.to_bytes());
            tokio::spawn(async move { drop(spill.create(&name, bytes, deadline).await) });
            return Ok(Kept(()));
        }
"""),
    # The delivery leaves the store before the queue has it.
    ("shared/src/redrive/mod.rs", "        let mut sent = queue.send(&message, until).await;\n", """\
        if crate::sabotaged("delete-before-receipt") {
            self.delete(entry, retry.as_deref(), deadline).await?;
        }
        let mut sent = queue.send(&message, until).await;
"""),
    # A delivery counts as sent before it is.
    ("shared/src/spill/mod.rs", "    /// Marks a delivery as sent; takes the receipt as proof.", """\
    pub(crate) async fn mark_early(&self, target: &Target, delivery: &Delivery, deadline: Instant) {
        let now = self.0.context.clock.now().rfc3339();
        drop(self.0.store.put(&Folder::Sent.name(target, delivery), now.into(), deadline).await);
    }

    /// Marks a delivery as sent; takes the receipt as proof."""),
    ("shared/src/forward.rs", "        times.rendered = Some(Instant::now());\n", """\
        times.rendered = Some(Instant::now());
        if let Some(spill) = self.spill.as_ref().filter(|_| keeping.dedupe.is_some())
            && crate::sabotaged("mark-before-receipt")
        {
            spill.mark_early(&self.target, delivery, deadline).await;
        }
"""),
    # An object is named by the id alone.
    ("shared/src/spill/name.rs", "let digest = digest(&[hook.as_bytes(), id.as_bytes(), body]);", """\
let body: &[u8] = if crate::sabotaged("id-alone") { b"" } else { body };
        let digest = digest(&[hook.as_bytes(), id.as_bytes(), body]);"""),
    # The status is taken for a receipt.
    ("shared/src/queue/tdmq/wire.rs", "    let has = |path| answer.has(path).map_err(|_| answer.foreign());\n", """\
    if crate::sabotaged("status-for-receipt") && answer.is_2xx() {
        let message_id = answer.id("Response.MessageId").unwrap_or_else(|| "unknown".to_owned());
        return Ok(Accepted { message_id, request_id });
    }
    let has = |path| answer.has(path).map_err(|_| answer.foreign());
"""),
    # A signature that does not match is as good as one that does.
    ("shared/src/source/kinds/mod.rs", "secret.map(Some).ok_or(Rejection::NoMatch)",
     "secret.or(crate::sabotaged(\"no-verification\").then_some(0)).map(Some).ok_or(Rejection::NoMatch)"),
    # What is sent later is tidied up first.
    ("shared/src/redrive/mod.rs", "        let Some(message) = self.message(&record) else {", """\
        let tidy = |mut message: Message| {
            message.text.retain(|c| c != '\\n' || !crate::sabotaged("tidy"));
            message
        };
        let Some(message) = self.message(&record).map(tidy) else {"""),
    # What was sent stays in the store.
    ("shared/src/redrive/mod.rs", "        store.delete(&entry.name, deadline).await?;\n", """\
        if !crate::sabotaged("never-delete") {
            store.delete(&entry.name, deadline).await?;
        }
"""),
    # Each message is sent twice.
    ("shared/src/forward.rs", "        self.queue.send(message, self.budget(deadline)).await\n", """\
        if crate::sabotaged("twice") {
            drop(self.queue.send(message, self.budget(deadline)).await);
        }
        self.queue.send(message, self.budget(deadline)).await
"""),
]

# safeguard, arguments of the experiment, the promise that breaks
TRIALS = [
    ("answer-before-write", ["--faults", "kills", "--spill", "always"], "lost"),
    ("delete-before-receipt", ["--faults", "kill-redriver,transient,throttle", "--spill", "always"], "lost"),
    ("mark-before-receipt", ["--faults", "all"], "lost"),
    ("id-alone", ["--faults", "all"], "lost"),
    ("status-for-receipt", ["--faults", "lying"], "lost"),
    ("status-for-receipt", ["--faults", "lying", "--spill", "never"], "lost"),
    ("no-verification", ["--faults", "none"], "forged"),
    ("tidy", ["--faults", "transient"], "altered"),
    ("never-delete", ["--faults", "none"], "left in spill"),
    ("twice", ["--faults", "throttle"], "duplicates that are not allowed"),
]
COMMON = ["--deliveries", "500", "--seed", "1"]


def copy_sources() -> None:
    """The tree as it is, edited. Files that stay the same keep their times, so that a second run is quick."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=support.ROOT, check=True, capture_output=True).stdout.decode()
    names = [name for name in listed.split("\0") if name and (support.ROOT / name).is_file()]
    contents = {name: (support.ROOT / name).read_bytes() for name in names}
    for name, before, after in EDITS:
        text = contents[name].decode()
        assert text.count(before) == 1, f"{name} has changed: where is the safeguard now?\n{before}"
        contents[name] = text.replace(before, after).encode()
    for name, content in contents.items():
        path = SOURCES / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def build() -> None:
    """In a target directory of its own: two copies of a workspace share the names of what they build."""
    target = HOME / "target"
    packages = [argument for name in FUNCTIONS for argument in ("-p", name)]
    subprocess.run(["cargo", "build", "--quiet", "--target-dir", target, *packages], cwd=SOURCES, check=True)
    BINARIES.mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        # One that a run before left behind may still be executed.
        (BINARIES / name).unlink(missing_ok=True)
        shutil.copy(target / "debug" / name, BINARIES / name)
    support.cargo_build("hookmq-cli", "tdmq", "rocketmq", "redrive")


def wrapped(name: str, safeguard: str | None) -> pathlib.Path:
    """The experiment gives its processes an environment of their own, so the variable comes from a script."""
    script = BINARIES / f"{name}.sh"
    script.write_text(f"#!/bin/sh\nSABOTAGE={safeguard or ''} exec {BINARIES / name}\n")
    script.chmod(0o755)
    return script


def torture(arguments: list, safeguard: str | None) -> subprocess.CompletedProcess:
    command = [support.binary("hookmq"), "torture", *COMMON, *arguments,
               "--forwarder", wrapped("tdmq", safeguard), "--redriver", wrapped("redrive", safeguard)]
    return subprocess.run(command, capture_output=True, text=True)


def main() -> int:
    copy_sources()
    if sys.argv[1:] == ["--dry"]:
        print(f"{len(EDITS)} edits find their place")
        return 0
    build()
    for name in FUNCTIONS:
        assert b"SABOTAGE" in (BINARIES / name).read_bytes(), f"{name} is not the edited one"
        assert b"SABOTAGE" not in support.binary(name).read_bytes(), f"{name} is not what is shipped"
    failures = 0
    for safeguard, arguments, promise in [(None, ["--faults", "all"], None), *TRIALS]:
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
