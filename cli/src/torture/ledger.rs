//! What was sent and answered, and what is in the queue: a compact line for each delivery.

use std::collections::{HashMap, HashSet};

use hookmq_shared::clock::Clock;
use sha2::{Digest as _, Sha256};

use super::deliveries::Delivery;

/// Milliseconds since the run began.
pub(super) type Moment = u64;

/// The run's clock, by which what several processes did is compared.
#[derive(Clone)]
pub(super) struct Watch {
    clock: Clock,
    began: i64,
}

impl Watch {
    pub(super) fn start() -> Self {
        let clock = Clock::system();
        let began = clock.now().unix_millis();
        Self { clock, began }
    }

    pub(super) fn now(&self) -> Moment {
        self.at(self.clock.now().unix_millis())
    }

    /// The moment of a Unix time in milliseconds.
    pub(super) fn at(&self, unix_millis: i64) -> Moment {
        unix_millis.saturating_sub(self.began).try_into().unwrap_or(0)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Tells hook, id and body together from all others.
pub(super) type Key = [u8; 16];

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 2xx, with the message's id in the queue (a digest of it).
    Queued(Key),
    /// 2xx without: somebody else has it, or has had it before.
    Kept,
    /// Another status.
    Refused(u16),
    /// No answer, or none that the sender waited for.
    None,
}

/// One request of a sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) outcome: Outcome,
}

/// A message in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) at: Moment,
    pub(super) message_id: Key,
    /// Whether a fault may have kept its receipt from the function.
    pub(super) is_hidden: bool,
}

/// All that is known of a delivery.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) place: usize,
    pub(super) is_forged: bool,
    pub(super) attempts: Vec<Attempt>,
    pub(super) stored: Vec<Stored>,
    /// Whether it lies in `dead/` at the end, with equal bytes.
    pub(super) is_dead: bool,
}

impl Line {
    /// Enters a message of it. Most have one, as most have one attempt: room for more would be most of a
    /// long run's memory.
    pub(super) fn enter(&mut self, stored: Stored) {
        self.stored.reserve_exact(1);
        self.stored.push(stored);
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.attempts.iter().any(|a| matches!(a.outcome, Outcome::Queued(_) | Outcome::Kept))
    }
}

/// The ledger.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) lines: Vec<Line>,
    /// Of genuine deliveries, and of requests that must be refused.
    known: HashMap<Key, usize>,
    /// Hooks and ids without their bodies.
    ids: HashSet<Key>,
    /// Messages with an id that was sent, and another body; examples.
    pub(super) altered: Vec<String>,
    /// Messages with an id that was never sent; examples.
    pub(super) unknown: Vec<String>,
    /// Messages that refer to a body that is not there, or not for long enough; examples.
    pub(super) claims: Vec<String>,
    /// Objects of the store that are no deliveries.
    pub(super) corrupt: Vec<String>,
}

impl Ledger {
    /// Notes a delivery before it is sent first; `body` is that of the request.
    pub(super) fn open(&mut self, delivery: &Delivery, body: &[u8]) -> usize {
        let place = self.lines.len();
        let hook = delivery.hook.name;
        self.known.insert(key(&[hook.as_bytes(), delivery.id.as_bytes(), body]), place);
        self.ids.insert(key(&[hook.as_bytes(), delivery.id.as_bytes()]));
        self.lines.push(Line {
            number: delivery.number,
            place: delivery.place,
            is_forged: delivery.forgery.is_some(),
            attempts: Vec::new(),
            stored: Vec::new(),
            is_dead: false,
        });
        place
    }

    pub(super) fn note(&mut self, line: usize, attempt: Attempt) {
        if let Some(line) = self.lines.get_mut(line) {
            line.attempts.reserve_exact(1);
            line.attempts.push(attempt);
        }
    }

    /// The line of what was found somewhere, with that hook, id and body.
    pub(super) fn find(&mut self, hook: &str, id: &str, body: &[u8]) -> Option<&mut Line> {
        let line = self.known.get(&key(&[hook.as_bytes(), id.as_bytes(), body]))?;
        self.lines.get_mut(*line)
    }

    /// Notes what was found and is no delivery's.
    pub(super) fn stray(&mut self, hook: &str, id: &str) {
        let is_known = self.ids.contains(&key(&[hook.as_bytes(), id.as_bytes()]));
        let list = if is_known { &mut self.altered } else { &mut self.unknown };
        list.push(format!("{hook} {id}"));
    }
}

/// A digest that tells `ab`, `c` from `a`, `bc`.
pub(super) fn key(parts: &[&[u8]]) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&digest.finalize()[..16]);
    key
}
