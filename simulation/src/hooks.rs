//! The hooks of the deployment, the deliveries of their senders, and the versions of `hooks.toml`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use hookmq_shared::clock::{Random, Timestamp};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::quarantine;
use hookmq_shared::source::{Draft, Source, Tamper};
use hookmq_shared::spill;
use sha2::{Digest as _, Sha256};

use crate::rng::Rng;

/// Names of the targets; other modules refer to a target by its index.
pub(crate) const TARGETS: [&str; 3] = ["tdmq", "rocketmq", "eu"];

/// Number of hooks in the deployment.
pub(crate) const HOOKS: usize = 50;

/// Number of deliveries that share an id in a batch.
const BATCH: u32 = 4;

/// Kind of body that a hook's deliveries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Json,
    /// UTF-8 text that is not JSON.
    Text,
    Binary,
    /// More bytes than a message takes.
    Large,
    /// More bytes than the vendor takes, but fewer than the program's limit.
    Middle,
    /// JSON; one body in four lacks a field that the message needs.
    Unfit,
    /// JSON; one body in eight makes a message that the vendor never takes.
    Poison,
}

/// Signature scheme of a hook's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Standard Webhooks: the id and the time are signed.
    Standard,
    /// GitHub: the id is not signed.
    Github,
    /// A `verify` table of the hook's own, without an id.
    Own,
    /// GitLab's secret token, which covers no part of the request.
    Token,
}

/// A hook, and the behaviour of its sender.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a trait of its own")]
pub(crate) struct Hook {
    pub(crate) scheme: Scheme,
    pub(crate) shape: Shape,
    /// Indices of the hook's targets.
    pub(crate) lanes: &'static [usize],
    /// True if the sender sends unacknowledged deliveries again.
    pub(crate) retries: bool,
    /// True if the sender sends acknowledged deliveries again.
    pub(crate) repeats: bool,
    pub(crate) dedupe: bool,
    /// True if several bodies share one id.
    pub(crate) batches: bool,
    /// True if every other request has no id.
    pub(crate) anonymous: bool,
    /// True if two events share one body.
    pub(crate) twins: bool,
    /// True if the sender's events are configured for two neighbouring hooks.
    pub(crate) is_shared: bool,
    pub(crate) by_event: bool,
    pub(crate) is_never_spilled: bool,
    pub(crate) rejects: bool,
    pub(crate) is_renamed: bool,
    pub(crate) is_removed: bool,
    keys: &'static str,
}

const PLAIN: Hook = Hook {
    scheme: Scheme::Standard,
    shape: Shape::Json,
    lanes: &[0],
    retries: true,
    repeats: false,
    dedupe: false,
    batches: false,
    anonymous: false,
    twins: false,
    is_shared: false,
    by_event: false,
    is_never_spilled: false,
    rejects: false,
    is_renamed: false,
    is_removed: false,
    keys: "",
};

/// Index of the first of the two hooks that are configured for one sender's events.
pub(crate) const FIRST_OF_TWO: usize = 47;
pub(crate) const SECOND_OF_TWO: usize = FIRST_OF_TWO + 1;

impl Hook {
    /// Returns true if deliveries come in pairs, of which the first has an even number.
    pub(crate) const fn is_paired(&self) -> bool {
        self.twins || self.is_shared
    }
}

/// Returns the hook at this index.
pub(crate) fn hook(place: usize) -> Hook {
    let always = "spill = \"always\"";
    let dedupe = Hook { dedupe: true, keys: "dedupe = \"24h\"", ..PLAIN };
    match place {
        22 => Hook { is_renamed: true, ..PLAIN },
        23 => Hook { is_removed: true, lanes: &[1], ..PLAIN },
        FIRST_OF_TWO | SECOND_OF_TWO => Hook { is_shared: true, ..PLAIN },
        _ => match place % 25 {
            1 => Hook { scheme: Scheme::Github, shape: Shape::Text, retries: false, ..PLAIN },
            2 => dedupe,
            3 => Hook { keys: always, ..PLAIN },
            4 => Hook { scheme: Scheme::Github, shape: Shape::Binary, lanes: &[1], ..PLAIN },
            5 => Hook { batches: true, ..PLAIN },
            6 => Hook {
                scheme: Scheme::Own,
                shape: Shape::Text,
                lanes: &[1],
                retries: false,
                keys: "format = \"raw\"",
                ..PLAIN
            },
            7 => Hook {
                scheme: Scheme::Github,
                shape: Shape::Unfit,
                keys: "key = \"{json:order.id}\"",
                ..PLAIN
            },
            8 => Hook { shape: Shape::Large, ..PLAIN },
            9 => Hook {
                scheme: Scheme::Github,
                shape: Shape::Middle,
                lanes: &[1],
                rejects: true,
                keys: "oversize = \"reject\"",
                ..PLAIN
            },
            10 => Hook { lanes: &[0, 1], ..PLAIN },
            11 => Hook { lanes: &[2], ..PLAIN },
            12 => Hook { scheme: Scheme::Github, anonymous: true, lanes: &[2], ..dedupe },
            13 => Hook { scheme: Scheme::Own, twins: true, lanes: &[1], ..PLAIN },
            14 => Hook { repeats: true, ..dedupe },
            15 => Hook { scheme: Scheme::Github, repeats: true, lanes: &[1], ..PLAIN },
            16 => Hook {
                shape: Shape::Unfit,
                is_never_spilled: true,
                keys: "spill = \"never\"\nkey = \"{json:order.id}\"",
                ..PLAIN
            },
            17 => Hook { scheme: Scheme::Github, by_event: true, ..PLAIN },
            18 => Hook { retries: false, lanes: &[2], keys: "quarantine = true", ..PLAIN },
            19 => Hook { scheme: Scheme::Token, lanes: &[1], ..PLAIN },
            20 => Hook { shape: Shape::Middle, lanes: &[2], ..PLAIN },
            21 => Hook { shape: Shape::Large, lanes: &[1], keys: always, ..PLAIN },
            24 => Hook { scheme: Scheme::Github, shape: Shape::Poison, ..PLAIN },
            _ => PLAIN,
        },
    }
}

/// Returns the hook's name; `is_renamed` selects the new name of a renamed hook.
pub(crate) fn name(place: usize, is_renamed: bool) -> String {
    let suffix = if is_renamed && hook(place).is_renamed { "-new" } else { "" };
    format!("h{place:02}{suffix}")
}

/// A version of `hooks.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// Generation of the newest secrets; the generation before it is configured as well.
    pub(crate) generation: u64,
    /// Indices of the hooks with a mistyped topic.
    pub(crate) typos: BTreeSet<usize>,
    /// Index of the hook with a wrong secret.
    pub(crate) wrong_secret: Option<usize>,
    pub(crate) is_renamed: bool,
    pub(crate) is_removed: bool,
}

/// Derives the hook's secret of a generation.
fn secret(seed: u64, place: usize, generation: u64) -> String {
    let mut rng = Rng::of(seed ^ 0x005e_c2e7, generation * 64 + place as u64);
    let hex = format!("{:016x}{:016x}{:016x}", rng.next(), rng.next(), rng.next());
    // Hex digits are valid base64 too.
    if hook(place).scheme == Scheme::Standard { format!("whsec_{hex}") } else { hex }
}

fn toml(place: usize, name: &str, secrets: &str, is_mistyped: bool) -> String {
    let hook = hook(place);
    let source = match hook.scheme {
        Scheme::Standard => "source = \"standard-webhooks\"",
        Scheme::Github => "source = \"github\"",
        Scheme::Token => "source = \"gitlab-secret-token\"",
        Scheme::Own => {
            "verify = { kind = \"hmac\", hash = \"sha256\", signed = [\"{body}\"], event = \"header:X-Event\", \
             signature = { from = \"header:X-Signature\", encoding = \"hex\" } }"
        }
    };
    let folder = if is_mistyped { "hoks" } else { "hooks" };
    let event = if hook.by_event { "-{event}" } else { "" };
    let topic = |lane: &usize| match lane {
        1 => format!("rocketmq = \"{folder}_h{place:02}{event}\""),
        lane => format!("{} = \"pulsar-sim/{folder}/h{place:02}{event}\"", TARGETS[*lane]),
    };
    let topics: Vec<String> = hook.lanes.iter().map(topic).collect();
    let targets: Vec<String> = hook.lanes.iter().map(|lane| format!("\"{}\"", TARGETS[*lane])).collect();
    format!(
        "[hooks.{name}]\npath = \"/h{place:02}\"\n{source}\nsecrets = [{secrets}]\ndeadline = \"3s\"\n\
         targets = [{}]\ntopic = {{ {} }}\n{}\n\n",
        targets.join(", "),
        topics.join(", "),
        hook.keys
    )
}

impl Version {
    /// Writes the version as TOML.
    fn text(&self, seed: u64) -> String {
        let mut text = "[targets.eu]\nvendor = \"tdmq\"\nregion = \"eu-frankfurt\"\n\n".to_owned();
        for place in (0..HOOKS).filter(|place| !(self.is_removed && hook(*place).is_removed)) {
            let generations = [self.generation, self.generation.saturating_sub(1)];
            let wrong = u64::from(self.wrong_secret == Some(place)) << 32;
            let secrets = generations.map(|one| format!("\"plain:{}\"", secret(seed, place, one + wrong)));
            let count = if self.generation == 0 { 1 } else { 2 };
            let name = name(place, self.is_renamed);
            text.push_str(&toml(place, &name, &secrets[..count].join(", "), self.typos.contains(&place)));
        }
        text
    }

    /// Parses the version's TOML into a configuration.
    pub(crate) fn config(&self, seed: u64, env: &Env) -> Config {
        Config::parse("hooks.toml", &self.text(seed), Reading::new(env, Samples::Refused))
    }
}

/// Builds the sources that sign the hooks' requests with a generation of secrets.
pub(crate) fn signers(seed: u64, generation: u64) -> Vec<Arc<Source>> {
    let mut text = "[targets.eu]\nvendor = \"tdmq\"\nregion = \"eu-frankfurt\"\n\n".to_owned();
    for place in 0..HOOKS {
        let secret = format!("\"plain:{}\"", secret(seed, place, generation));
        text.push_str(&toml(place, &name(place, false), &secret, false));
    }
    let env = Env::of([(spill::VARIABLE, "file:///x"), (quarantine::VARIABLE, "file:///x")]);
    let config = Config::parse("hooks.toml", &text, Reading::new(&env, Samples::Refused));
    let source = |place: usize| config.hook(&name(place, false))?.source.current();
    // A test checks that each hook is valid.
    (0..HOOKS).filter_map(source).collect()
}

/// Content of a delivery, which follows from the seed, the number and the hook.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) place: usize,
    pub(crate) body: Vec<u8>,
    media_type: &'static str,
    pub(crate) event: String,
    /// Id that the provider gives; `None` without one.
    pub(crate) own_id: Option<String>,
    /// True if no message can be made of the delivery, or none that the vendor takes.
    pub(crate) is_hopeless: bool,
}

impl Content {
    pub(crate) fn of(seed: u64, number: u32, place: usize) -> Self {
        let hook = hook(place);
        let marked = if hook.is_paired() { number & !1 } else { number };
        let mut rng = Rng::of(seed ^ 0xb0d7, u64::from(marked));
        let is_other = number % 2 == 1;
        let is_poison = hook.shape == Shape::Poison && rng.happens(125);
        let is_unfit = hook.shape == Shape::Unfit && number % 4 == 1;
        let length = rng.below(200)
            + match hook.shape {
                Shape::Large => 4200,
                // With the envelope, the body has more than 3072 and fewer than 4096 bytes.
                Shape::Middle if number.is_multiple_of(2) => 2700,
                _ => 0,
            };
        let odd = rng.pick(&["1.0", "1e400", "\"\\u00e9\\/\"", "{\"a\":1,\"a\":2}", "[ ]", "\"\u{1F600}\""]);
        let mut filling = String::with_capacity(length + 16);
        while filling.len() < length {
            // Writing to a `String` never fails.
            let _ = write!(filling, "{:016x}", rng.next());
        }
        let rest = match (is_poison, hook.shape) {
            (true, _) => "\"poison\":true,",
            (_, Shape::Unfit) if !is_unfit => "\"order\":{\"id\":7},",
            _ => "",
        };
        let json = format!(
            " {{\"type\":\"made\", \"n\":{marked},{rest}\"odd\":{odd},\n\"filling\":\"{filling}\"}} \n"
        );
        let (content_type, body) = match hook.shape {
            Shape::Text => ("text/plain", format!("\"n\":{marked}, \u{e9}\r\n\"{filling}\t").into_bytes()),
            Shape::Binary => ("application/octet-stream", {
                let mut bytes = format!("\"n\":{marked},{filling}").into_bytes();
                bytes.extend([0, 0xff, 0xfe, b'\n']);
                bytes
            }),
            _ => ("application/json", json.into_bytes()),
        };
        let event = match hook.scheme {
            Scheme::Standard if matches!(hook.shape, Shape::Text | Shape::Binary) => String::new(),
            Scheme::Standard => "made".to_owned(),
            Scheme::Own if hook.twins && is_other => "b".to_owned(),
            Scheme::Own => "a".to_owned(),
            _ if hook.by_event => format!("e{}", number % 3),
            _ => "push".to_owned(),
        };
        let is_nameless = hook.scheme == Scheme::Own || (hook.anonymous && is_other);
        let own_id = match hook.batches {
            _ if is_nameless => None,
            true => Some(format!("batch-{}", number / BATCH)),
            false => Some(format!("id-{marked}")),
        };
        let is_hopeless = is_poison || is_unfit;
        Self { place, body, media_type: content_type, event, own_id, is_hopeless }
    }

    /// Computes the id that messages must have under this name of the hook.
    pub(crate) fn id(&self, hook: &str) -> String {
        self.own_id.clone().unwrap_or_else(|| {
            let absent = u64::MAX.to_be_bytes();
            let mut hash = Sha256::new();
            for part in [Some(hook.as_bytes()), Some(self.event.as_bytes()), None, Some(&*self.body)] {
                match part {
                    Some(part) => {
                        hash.update((part.len() as u64).to_be_bytes());
                        hash.update(part);
                    }
                    None => hash.update(absent),
                }
            }
            format!("sha256-{}", hex(&hash.finalize()))
        })
    }

    /// Computes the last segment of the object names under this name of the hook.
    pub(crate) fn digest(&self, hook: &str) -> String {
        let id = self.id(hook);
        let mut hash = Sha256::new();
        for part in [hook.as_bytes(), id.as_bytes(), &self.body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }

    /// Builds a request with this content, signed at the time `now`.
    pub(crate) fn request(
        &self,
        source: &Source,
        tamper: Option<Tamper>,
        now: Timestamp,
        random: &Random,
    ) -> Option<Request> {
        let hook = hook(self.place);
        let mut headers = Headers::new();
        headers.push("content-type", self.media_type);
        if hook.scheme == Scheme::Own {
            headers.push("x-event", self.event.clone());
        }
        let draft = Draft {
            path: format!("/h{:02}", self.place),
            headers,
            body: Some(self.body.clone().into()),
            event: (hook.scheme == Scheme::Github).then(|| self.event.clone()),
            id: self.own_id.clone(),
            tamper,
            ..Draft::default()
        };
        let mut request = source.sign(draft, 0, now, random).ok()?;
        if self.own_id.is_none() && hook.scheme == Scheme::Github {
            request.headers = request
                .headers
                .iter()
                .filter(|(name, _)| *name != "x-github-delivery")
                .map(|(name, value)| (name, value.to_vec()))
                .collect();
        }
        Some(request)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Extracts the delivery's number from a body.
pub(crate) fn number_in(body: &[u8]) -> Option<u32> {
    let mark = b"\"n\":";
    let at = body.windows(mark.len()).position(|part| part == mark)? + mark.len();
    let digits: Vec<u8> = body.get(at..)?.iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_is_sound_in_every_version() {
        let env = Env::of([(spill::VARIABLE, "file:///x"), (quarantine::VARIABLE, "file:///x")]);
        let config =
            Version { typos: BTreeSet::from([1, 6]), generation: 1, ..Version::default() }.config(1, &env);
        assert!(!config.has_errors(), "{:?}", config.mistakes);
        assert_eq!(config.hooks().count(), HOOKS);
        assert_eq!(signers(1, 0).len(), HOOKS);
    }
}
