//! The ledger of a run: a compact line for each delivery with its requests, answers and stored messages.

use std::collections::{HashMap, HashSet};

use hookmq_shared::clock::Clock;
use sha2::{Digest as _, Sha256};

use super::deliveries::Delivery;

/// A moment in milliseconds since the start of the run.
pub(super) type Moment = u64;

/// The run's clock, which dates the events of all processes.
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

    /// Converts a Unix time in milliseconds into a moment of the run; an earlier time becomes 0.
    pub(super) fn at(&self, unix_millis: i64) -> Moment {
        unix_millis.saturating_sub(self.began).try_into().unwrap_or(0)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// A digest that identifies the hook, the id and the body of a delivery.
pub(super) type Key = [u8; 16];

/// Result of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A 2xx answer with the id of the message in the queue, kept as a digest.
    Queued(Key),
    /// A 2xx answer without a message id: the store has the delivery, or it is a known repeat.
    Kept,
    /// An answer with any other status.
    Refused(u16),
    /// The request got no answer within the sender's time limit.
    None,
}

/// One request of a sender, with its start, its end and its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) outcome: Outcome,
}

/// A message that the queue has stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) at: Moment,
    pub(super) message_id: Key,
    /// True if a fault may have kept the receipt from the function.
    pub(super) is_hidden: bool,
}

/// Everything that is known of one delivery.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) place: usize,
    pub(super) is_forged: bool,
    pub(super) attempts: Vec<Attempt>,
    pub(super) stored: Vec<Stored>,
    /// True if the delivery, with equal bytes, is in `dead/` at the end.
    pub(super) is_dead: bool,
}

impl Line {
    /// Adds a stored message and reserves no more room than that. Most deliveries have one message and one
    /// attempt, and spare capacity would be most of a long run's memory.
    pub(super) fn enter(&mut self, stored: Stored) {
        self.stored.reserve_exact(1);
        self.stored.push(stored);
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.attempts.iter().any(|a| matches!(a.outcome, Outcome::Queued(_) | Outcome::Kept))
    }
}

/// The record of everything that the senders sent and that the queue stored.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) lines: Vec<Line>,
    /// Line numbers by the digest of hook, id and body, for genuine deliveries and forged requests.
    known: HashMap<Key, usize>,
    /// Digests of the hook and the id of each delivery, without the body.
    ids: HashSet<Key>,
    /// Messages with a known id but another body; for the report.
    pub(super) altered: Vec<String>,
    /// Messages with an id that was never sent; for the report.
    pub(super) unknown: Vec<String>,
    /// Messages whose referenced body is missing, or will be deleted too early; for the report.
    pub(super) claims: Vec<String>,
    /// Objects in the store that cannot be read as deliveries.
    pub(super) corrupt: Vec<String>,
}

impl Ledger {
    /// Adds a line for a delivery before its first request and returns the line's number; `body` is the
    /// request's body.
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

    /// Finds the line with this hook, id and body.
    pub(super) fn find(&mut self, hook: &str, id: &str, body: &[u8]) -> Option<&mut Line> {
        let line = self.known.get(&key(&[hook.as_bytes(), id.as_bytes(), body]))?;
        self.lines.get_mut(*line)
    }

    /// Notes a message or object that belongs to no delivery: `altered` if hook and id are known, else
    /// `unknown`.
    pub(super) fn stray(&mut self, hook: &str, id: &str) {
        let is_known = self.ids.contains(&key(&[hook.as_bytes(), id.as_bytes()]));
        let list = if is_known { &mut self.altered } else { &mut self.unknown };
        list.push(format!("{hook} {id}"));
    }
}

/// Computes a digest that depends on the boundaries of the parts: `ab`, `c` differs from `a`, `bc`.
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
