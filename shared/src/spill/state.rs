//! Times of next attempts, in the names of objects: a listing tells which deliveries are due.
//!
//! ```text
//! retry/{target}/{hook}/{digest}.{time}.{runs}   milliseconds since 1970, thirteen digits
//! retry/{target}/{hook}/{digest}                 form of the first releases: the time is inside
//! ```

use super::backoff::{Backoff, MOST};
use super::name::Folder;
use crate::clock::Timestamp;
use crate::sabotage::{Safeguard, is_pulled};

/// State of a waiting delivery, from the name of an object in `retry/`. Among several, the one with the
/// latest time counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// Time of the next attempt; `None` if only the object's content has it.
    pub next: Option<Timestamp>,
    /// Name of the object in `retry/`.
    pub name: String,
}

impl State {
    /// Builds the state of the delivery `name` in `spill/`; `None` if the name is not in that folder.
    pub(super) fn of(name: &str, backoff: &Backoff) -> Option<Self> {
        let name = Folder::Retry.beside(Folder::Spill, name)?;
        let (next, runs) = (backoff.next, backoff.runs);
        Some(Self { next: Some(next), name: format!("{name}.{:013}.{runs}", next.unix_millis().max(0)) })
    }

    /// Reads a state from an object's name.
    pub fn read(name: &str) -> Self {
        let time = name.rsplit('/').next().unwrap_or_default().split('.').nth(1);
        let next = time.and_then(|time| time.parse().ok()).map(Timestamp::from_unix_millis);
        Self { next, name: name.to_owned() }
    }

    /// Returns true if the delivery may be tried now; `None` if only the object's content has the time. A
    /// time further away than any wait comes from a wrong clock, and counts as due.
    pub fn is_due(&self, now: Timestamp) -> Option<bool> {
        self.next.map(|next| is_due(next, now))
    }
}

/// Returns true if a delivery whose next attempt is at `next` may be tried now, or if `next` is implausibly
/// far away.
pub(crate) fn is_due(next: Timestamp, now: Timestamp) -> bool {
    let wait = next.unix_millis().saturating_sub(now.unix_millis());
    let longest = i64::try_from(MOST.as_millis()).unwrap_or(i64::MAX);
    wait <= 0 || (wait > longest && !is_pulled(Safeguard::WaitIsClamped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Random;
    use crate::spill::History;

    #[test]
    fn the_name_says_when() {
        let now = Timestamp::from_unix(1_760_000_000);
        let random = Random::from_fn(|| 0);
        let backoff = Backoff::after(None, History::other("transient", "", now), None, &random);
        let state = State::of("spill/tdmq/h/00ff", &backoff).unwrap();
        assert_eq!(state.name, "retry/tdmq/h/00ff.1760000030000.1");
        assert_eq!(State::read(&state.name), state);
        assert_eq!((state.is_due(now), state.is_due(now.shifted(30_000))), (Some(false), Some(true)));
        assert_eq!(state.is_due(now.shifted(-4_000_000)), Some(true), "no wait is that long");
        assert_eq!(State::read("retry/tdmq/h/00ff").is_due(now), None);
        let later = State::read("retry/tdmq/h/00ff.1760000090000.2");
        assert!(later > state && state > State::read("retry/tdmq/h/00ff"));
        assert_eq!(State::of("dead/tdmq/h/00ff", &backoff), None);
    }
}
