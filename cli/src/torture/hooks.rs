//! The hooks of the senders: typical hooks, each with one special trait.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::queue::Vendor;
use hookmq_shared::source::Source;

use super::Spilling;
use super::rng::Rng;
use super::world::Asked;

/// Kind of body that a hook's deliveries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    /// UTF-8 text that is not JSON.
    Text,
    Binary,
    /// More bytes than the vendor takes in one message.
    Large,
    /// JSON of which every second body lacks a field that the message needs.
    Unfit,
}

/// Signature scheme of a hook's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Standard Webhooks: the id and the time are signed.
    Standard,
    /// GitHub: the id is not signed.
    Github,
    /// A `verify` table of the hook's own, without an id.
    Own,
}

/// A hook, and the behaviour of its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) scheme: Scheme,
    pub(super) shape: Shape,
    /// Share of the deliveries, in thousandths.
    pub(super) share: u64,
    /// True if the sender sends unacknowledged deliveries again.
    pub(super) retries: bool,
    /// True if the hook recognizes repeats and does not send them again.
    pub(super) dedupe: bool,
    /// True if several bodies share one id.
    pub(super) batches: bool,
    /// Further keys of the hook's table; `with_store` holds the keys that need a store.
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

const HOOKS: &[Hook] = &[
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

/// Upper bound on the number of hooks.
pub(super) const MOST: usize = 64;

/// Weight of each additional hook; the weights of the basic hooks add up to a thousand.
const FURTHER: u64 = 20;

/// Returns at least the basic hooks, and up to `count` (at most [`MOST`]) with the additional ones, each with
/// a topic of its own. Additional hooks vary in scheme, body and use of the store.
pub(super) fn hooks(count: usize) -> &'static [Hook] {
    let further = (HOOKS.len()..count.min(MOST)).map(|number| {
        let (scheme, shape, keys) = match number % 4 {
            0 => (Scheme::Github, Shape::Binary, ""),
            1 => (Scheme::Own, Shape::Text, "format = \"raw\""),
            _ => (Scheme::Standard, Shape::Json, ""),
        };
        let dedupe = number % 8 == 6;
        let with_store = match number % 8 {
            6 => "dedupe = \"1h\"",
            3 => "spill = \"always\"",
            _ => "",
        };
        let name = String::leak(format!("shop-{number:02}"));
        Hook {
            name,
            scheme,
            shape,
            share: FURTHER,
            retries: number % 3 > 0,
            dedupe,
            keys,
            with_store,
            ..PLAIN
        }
    });
    let all: Vec<Hook> = HOOKS.iter().copied().chain(further).collect();
    // A run's hooks live as long as the process.
    all.leak()
}

impl Hook {
    /// Returns the topic at the vendor, as messages name it.
    pub(super) fn topic(&self, vendor: Vendor) -> String {
        (vendor.spec().example_topic)(self.name)
    }

    /// Derives the secret of this generation; each rotation has another one.
    pub(super) fn secret(&self, seed: u64, generation: u64) -> String {
        let name = self.name.bytes().fold(0, |sum: u64, byte| sum * 31 + u64::from(byte));
        let hex = Rng::of(seed ^ name, generation).hex(24);
        match self.scheme {
            // Hex digits are valid base64 too.
            Scheme::Standard => format!("whsec_{hex}"),
            Scheme::Github | Scheme::Own => hex,
        }
    }

    /// Returns a mistyped topic, which does not exist at the vendor.
    fn mistyped(&self, vendor: Vendor) -> String {
        self.topic(vendor).replace("webhooks", "webhoks")
    }

    fn toml(&self, topic: &str, secrets: &str, rest: &str) -> String {
        let Self { name, keys, .. } = self;
        let source = match self.scheme {
            Scheme::Standard => "source = \"standard-webhooks\"",
            Scheme::Github => "source = \"github\"",
            Scheme::Own => {
                "verify = { kind = \"hmac\", hash = \"sha256\", signed = [\"{body}\"], \
                 signature = { from = \"header:X-Signature\", encoding = \"hex\" } }"
            }
        };
        format!("[hooks.{name}]\n{source}\nsecrets = [{secrets}]\ntopic = \"{topic}\"\n{keys}\n{rest}\n\n")
    }
}

/// Builds the functions' configuration. The secrets are in the files `NAME.new` and `NAME.old` of the folder
/// `secrets`; the topics of the hooks at the indices in `mistyped` are wrong.
pub(super) fn file(asked: &Asked, secrets: &Path, mistyped: &BTreeSet<usize>) -> String {
    let Asked { vendor, spilling, .. } = *asked;
    let hook = |(place, hook): (usize, &Hook)| {
        let path = |kind| format!("\"file:{}\"", secrets.join(format!("{}.{kind}", hook.name)).display());
        let with_store = match spilling {
            Spilling::OnFailure => hook.with_store,
            Spilling::Always if hook.dedupe => "spill = \"always\"\ndedupe = \"1h\"",
            Spilling::Always => "spill = \"always\"",
            Spilling::Never => "",
        };
        let rest = format!("deadline = \"{}\"\n{with_store}", asked.deadline());
        let topic = if mistyped.contains(&place) { hook.mistyped(vendor) } else { hook.topic(vendor) };
        hook.toml(&topic, &format!("{}, {}", path("new"), path("old")), &rest)
    };
    asked.hooks.iter().enumerate().map(hook).collect()
}

/// Builds the sources that sign each hook's requests with this generation of secrets.
pub(super) fn signers(hooks: &[Hook], vendor: Vendor, seed: u64, generation: u64) -> Vec<Arc<Source>> {
    let secret = |hook: &Hook| format!("\"plain:{}\"", hook.secret(seed, generation));
    let text: String = hooks.iter().map(|hook| hook.toml(&hook.topic(vendor), &secret(hook), "")).collect();
    let env = Env::of([("", "")]);
    let config = Config::parse("hooks", &text, Reading::new(&env, Samples::Refused));
    // A test checks that each hook is valid.
    hooks.iter().filter_map(|hook| config.hook(hook.name)?.source.current()).collect()
}

#[cfg(test)]
mod tests {
    use hookmq_shared::config::Severity;

    use super::*;

    #[test]
    fn every_hook_is_sound_in_every_mode() {
        let folder = std::env::temp_dir().join(format!("hookmq-torture-hooks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let hooks = hooks(MOST);
        for hook in hooks {
            for (kind, generation) in [("new", 1), ("old", 0)] {
                let path = folder.join(format!("{}.{kind}", hook.name));
                std::fs::write(path, hook.secret(7, generation)).unwrap();
            }
        }
        let url = format!("file://{}", folder.display());
        for vendor in Vendor::ALL {
            for spilling in [Spilling::OnFailure, Spilling::Always, Spilling::Never] {
                let store = if spilling == Spilling::Never { "" } else { &url };
                let env = Env::of([("SPILL_URL", store)]);
                let asked = Asked { hooks, spilling, vendor, ..Asked::of(7, "none") };
                let text = file(&asked, &folder, &BTreeSet::from([0, MOST - 1]));
                assert_eq!(text.matches("webhoks").count(), 2);
                let config = Config::parse("hooks", &text, Reading::new(&env, Samples::Refused));
                let errors = config.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error);
                assert_eq!(errors.count(), 0, "{:?}", config.mistakes);
                assert_eq!(config.hooks().count(), MOST);
            }
            assert_eq!(signers(hooks, vendor, 7, 0).len(), MOST);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_shares_are_of_a_thousand() {
        assert_eq!(HOOKS.iter().map(|hook| hook.share).sum::<u64>(), 1000);
    }
}
