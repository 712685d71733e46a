//! The folder of a run: configuration, secrets, keys, store and logs.
//!
//! ```text
//! hooks.toml             as the functions read it
//! secrets/HOOK.new .old  secrets that verify requests, two generations
//! keys/id keys/key       the key for the vendor; functions read it with each attempt
//! store                  a link: to `good`, or to `broken`, which is a file instead of a folder
//! good/                  the store itself
//! logs/                  with --keep
//! messages.jsonl         with --keep: the texts of the queue's messages, a JSON string a line
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use hookmq_emulator::{Config as EmulatorConfig, KeyPair, StoredMessage, Topics};
use serde_json::Value;

use super::Fallible;
use super::hooks::{self, Hook};
use super::rng::Rng;
use super::world::Asked;

pub(super) struct Site {
    pub(super) folder: PathBuf,
    seed: u64,
    hooks: &'static [Hook],
    topics: Vec<String>,
    keys: Vec<KeyPair>,
    /// True if logs and messages are kept (`--keep`).
    has_logs: bool,
}

impl Site {
    /// Creates the folder, which must be new or empty, with `keys` key pairs that the vendor knows.
    pub(super) fn build(asked: &Asked, keys: usize) -> Fallible<Self> {
        let Asked { folder, seed, hooks, vendor, keep: has_logs, .. } = asked;
        let (seed, hooks, has_logs) = (*seed, *hooks, *has_logs);
        fs::create_dir_all(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            return Err(format!("{} is not empty", folder.display()).into());
        }
        for part in ["secrets", "keys", "good", "logs"] {
            fs::create_dir(folder.join(part))?;
        }
        fs::write(folder.join("broken"), "no folder")?;
        let folder = folder.canonicalize()?;
        let key =
            |number| (format!("AKIDhookmqTorture{number:06}"), Rng::of(seed, u64::MAX - number).hex(16));
        let topics = hooks.iter().map(|hook| hook.topic(*vendor)).collect();
        let keys = (0..keys as u64).map(key).collect();
        let site = Self { folder, seed, hooks, topics, keys, has_logs };
        site.mend_store()?;
        site.use_key(0)?;
        Ok(site)
    }

    pub(super) fn path(&self, part: &str) -> PathBuf {
        self.folder.join(part)
    }

    /// Returns the real folder of the store, even while the functions see a broken one.
    pub(super) fn store(&self) -> PathBuf {
        self.path("good")
    }

    /// Returns the log file of a process; `None` without `--keep`.
    pub(super) fn log(&self, name: &str) -> Option<PathBuf> {
        self.has_logs.then(|| self.path("logs").join(format!("{name}.log")))
    }

    /// Keeps the texts of messages; does nothing without `--keep`.
    pub(super) fn keep_messages(&self, messages: &[StoredMessage]) -> io::Result<()> {
        if !self.has_logs {
            return Ok(());
        }
        let path = self.path("messages.jsonl");
        let mut file = BufWriter::new(fs::OpenOptions::new().create(true).append(true).open(path)?);
        for message in messages {
            writeln!(file, "{}", Value::from(message.text.as_str()))?;
        }
        file.flush()
    }

    /// Writes the hooks file, in which the hooks at the indices in `mistyped` have a topic that does not
    /// exist.
    pub(super) fn write_hooks(&self, asked: &Asked, mistyped: &BTreeSet<usize>) -> io::Result<()> {
        replace(&self.path("hooks.toml"), &hooks::file(asked, &self.path("secrets"), mistyped))
    }

    /// Writes this generation of webhook secrets and the one before it.
    pub(super) fn write_secrets(&self, generation: u64) -> io::Result<()> {
        for hook in self.hooks {
            for (kind, generation) in [("new", generation), ("old", generation - 1)] {
                let path = self.path("secrets").join(format!("{}.{kind}", hook.name));
                replace(&path, &hook.secret(self.seed, generation))?;
            }
        }
        Ok(())
    }

    /// Returns the emulator's configuration, with the run's keys and topics.
    pub(super) fn emulator(&self) -> EmulatorConfig {
        EmulatorConfig::restricted(&self.keys, &Topics::only(self.topics.iter().cloned()))
    }

    /// Makes the functions use the key with this number.
    pub(super) fn use_key(&self, number: usize) -> io::Result<()> {
        let Some((id, secret)) = self.keys.get(number) else {
            return Err(io::Error::other("the plan has more keys than the vendor"));
        };
        self.write_key(id, secret)
    }

    /// Makes the functions use the key with a wrong secret, which the vendor refuses.
    pub(super) fn use_wrong_key(&self, number: usize) -> io::Result<()> {
        self.keys.get(number).map_or(Ok(()), |(id, _)| self.write_key(id, "not-the-secret-of-this-key"))
    }

    /// Writes the key pair, the secret first. A process that reads in between gets the old id with a wrong
    /// secret, and locks (at DMS) a key that is no longer used.
    fn write_key(&self, id: &str, secret: &str) -> io::Result<()> {
        replace(&self.path("keys/key"), secret)?;
        replace(&self.path("keys/id"), id)
    }

    /// Breaks the store: from then on, every read and write fails.
    pub(super) fn break_store(&self) -> io::Result<()> {
        self.point_store("broken")
    }

    pub(super) fn mend_store(&self) -> io::Result<()> {
        self.point_store("good")
    }

    /// Switches the link atomically, so that no process sees a missing store and makes a new one.
    fn point_store(&self, to: &str) -> io::Result<()> {
        let next = self.path("store.next");
        link(Path::new(to), &next)?;
        fs::rename(next, self.path("store"))
    }
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "the experiment needs a Unix system"))
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, text)?;
    fs::rename(next, path)
}
