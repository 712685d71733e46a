//! The senders' hooks: what they have in common with real ones, each with a trait of its own.

use std::path::Path;
use std::sync::Arc;

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::queue::Vendor;
use hookmq_shared::source::Source;

use super::Spilling;
use super::rng::Rng;

/// What bodies look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    /// UTF-8, no JSON.
    Text,
    Binary,
    /// More than the vendor takes in one message.
    Large,
    /// JSON, and every other one lacks a field that the message needs.
    Unfit,
}

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The id and the time are signed.
    Standard,
    /// The id is not signed.
    Github,
    /// A table of its own, without an id.
    Own,
}

/// A hook, and how its sender behaves.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) scheme: Scheme,
    pub(super) shape: Shape,
    /// Deliveries of a thousand.
    pub(super) share: u64,
    /// Whether its sender sends again what was not acknowledged.
    pub(super) retries: bool,
    /// Whether repeats are known, and so not sent again.
    pub(super) dedupe: bool,
    /// Whether several bodies come under one id.
    pub(super) batches: bool,
    /// Further keys of the hook, and those that need a store.
    keys: &'static str,
    with_store: &'static str,
}

const PLAIN: Hook = Hook {
    name: "",
    scheme: Scheme::Standard,
    shape: Shape::Json,
    share: 0,
    retries: true,
    dedupe: false,
    batches: false,
    keys: "",
    with_store: "",
};

pub(super) const HOOKS: &[Hook] = &[
    Hook { name: "orders", share: 270, ..PLAIN },
    Hook { name: "code", share: 180, scheme: Scheme::Github, shape: Shape::Text, retries: false, ..PLAIN },
    Hook { name: "once", share: 180, dedupe: true, with_store: "dedupe = \"1h\"", ..PLAIN },
    Hook { name: "first", share: 80, with_store: "spill = \"always\"", ..PLAIN },
    Hook { name: "blobs", share: 100, scheme: Scheme::Github, shape: Shape::Binary, ..PLAIN },
    Hook { name: "batch", share: 100, batches: true, ..PLAIN },
    Hook {
        name: "plain",
        share: 66,
        scheme: Scheme::Own,
        shape: Shape::Text,
        retries: false,
        keys: "format = \"raw\"",
        ..PLAIN
    },
    Hook {
        name: "unfit",
        share: 20,
        scheme: Scheme::Github,
        shape: Shape::Unfit,
        keys: "key = \"{json:order.id}\"",
        ..PLAIN
    },
    Hook { name: "media", share: 4, scheme: Scheme::Github, shape: Shape::Large, ..PLAIN },
];

impl Hook {
    /// Its topic at the vendor, as messages name it.
    pub(super) fn topic(&self, vendor: Vendor) -> String {
        match vendor {
            Vendor::Tdmq => format!("pulsar-torture/webhooks/{}", self.name),
            Vendor::Rocketmq => format!("webhooks_{}", self.name),
        }
    }

    /// Its secret: another one with each rotation.
    pub(super) fn secret(&self, seed: u64, generation: u64) -> String {
        let name = self.name.bytes().fold(0, |sum: u64, byte| sum * 31 + u64::from(byte));
        let hex = Rng::of(seed ^ name, generation).hex(24);
        match self.scheme {
            // Hex digits are base64 too.
            Scheme::Standard => format!("whsec_{hex}"),
            Scheme::Github | Scheme::Own => hex,
        }
    }

    fn toml(&self, vendor: Vendor, secrets: &str, rest: &str) -> String {
        let Self { name, keys, .. } = self;
        let source = match self.scheme {
            Scheme::Standard => "source = \"standard-webhooks\"",
            Scheme::Github => "source = \"github\"",
            Scheme::Own => {
                "verify = { kind = \"hmac\", hash = \"sha256\", signed = [\"{body}\"], \
                 signature = { from = \"header:X-Signature\", encoding = \"hex\" } }"
            }
        };
        let topic = self.topic(vendor);
        format!("[hooks.{name}]\n{source}\nsecrets = [{secrets}]\ntopic = \"{topic}\"\n{keys}\n{rest}\n\n")
    }
}

/// The functions' configuration: secrets in files of `secrets`, `NAME.new` and `NAME.old`.
pub(super) fn file(vendor: Vendor, secrets: &Path, spilling: Spilling, deadline: &str) -> String {
    let hook = |hook: &Hook| {
        let path = |kind| format!("\"file:{}\"", secrets.join(format!("{}.{kind}", hook.name)).display());
        let with_store = match spilling {
            Spilling::OnFailure => hook.with_store,
            Spilling::Always if hook.dedupe => "spill = \"always\"\ndedupe = \"1h\"",
            Spilling::Always => "spill = \"always\"",
            Spilling::Never => "",
        };
        let rest = format!("deadline = \"{deadline}\"\n{with_store}");
        hook.toml(vendor, &format!("{}, {}", path("new"), path("old")), &rest)
    };
    HOOKS.iter().map(hook).collect()
}

/// What signs each hook's requests in a generation of secrets.
pub(super) fn signers(vendor: Vendor, seed: u64, generation: u64) -> Vec<Arc<Source>> {
    let secret = |hook: &Hook| format!("\"plain:{}\"", hook.secret(seed, generation));
    let text: String = HOOKS.iter().map(|hook| hook.toml(vendor, &secret(hook), "")).collect();
    let env = Env::of([("", "")]);
    let config = Config::parse("hooks", &text, Reading::new(&env, Samples::Refused));
    // A test holds that each of them is sound.
    HOOKS.iter().filter_map(|hook| config.hook(hook.name)?.source.current()).collect()
}

#[cfg(test)]
mod tests {
    use hookmq_shared::config::Severity;

    use super::*;

    #[test]
    fn every_hook_is_sound_in_every_mode() {
        let folder = std::env::temp_dir().join(format!("hookmq-torture-hooks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for hook in HOOKS {
            for (kind, generation) in [("new", 1), ("old", 0)] {
                let path = folder.join(format!("{}.{kind}", hook.name));
                std::fs::write(path, hook.secret(7, generation)).unwrap();
            }
        }
        let url = format!("file://{}", folder.display());
        for vendor in [Vendor::Tdmq, Vendor::Rocketmq] {
            for spilling in [Spilling::OnFailure, Spilling::Always, Spilling::Never] {
                let store = if spilling == Spilling::Never { "" } else { &url };
                let env = Env::of([("SPILL_URL", store)]);
                let text = file(vendor, &folder, spilling, "2s");
                let config = Config::parse("hooks", &text, Reading::new(&env, Samples::Refused));
                let errors = config.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error);
                assert_eq!(errors.count(), 0, "{:?}", config.mistakes);
                assert_eq!(config.hooks().count(), HOOKS.len());
            }
            assert_eq!(signers(vendor, 7, 0).len(), HOOKS.len());
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_shares_are_of_a_thousand() {
        assert_eq!(HOOKS.iter().map(|hook| hook.share).sum::<u64>(), 1000);
    }
}
