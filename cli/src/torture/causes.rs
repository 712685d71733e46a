//! Causes of duplicates: finds by evidence which window of docs/delivery-semantics.md explains each of them.

use super::ledger::{Attempt, Line, Moment, Outcome, Stored};
use super::world::{Span, Troubles};

/// An allowed cause of a duplicate, in the order in which the causes are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Windows 1 to 3: a fault kept the receipt of an earlier message from the function.
    Ambiguous,
    /// Windows 4 to 6 and 9: the sender sent the delivery again. With `dedupe`, only a request without an
    /// answer counts, because the mark may then be missing too.
    Sender,
    /// Windows 4 and 7: a process was killed between the two messages.
    Kill,
    /// Window 1: a process was frozen between the two messages.
    Freeze,
    /// Window 7: the store failed between the two messages, so that a sent delivery was not marked or not
    /// deleted.
    Store,
    /// The lifecycle deleted the mark of a hook with `dedupe` between the two messages.
    Lifecycle,
    /// Windows 8 and 9: the delivery was in the store, and two processes sent it at the same time.
    AtOnce,
    /// Window 1: the receipt of the earlier message came too late, on a busy machine.
    Late,
}

impl Cause {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous attempt",
            Self::Sender => "sender's retry",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Store => "store",
            Self::Lifecycle => "lifecycle",
            Self::AtOnce => "two at once",
            Self::Late => "late receipt",
        }
    }
}

/// Tolerance when times of several processes are compared, in milliseconds.
const BLUR: Moment = 100;

/// Upper bound on how long a send that began before a mark or a deletion may take to end, in milliseconds.
const IN_HAND: Moment = 20_000;

/// Lower bound on the time that a function waits for a receipt, in milliseconds.
const PATIENCE: Moment = 600;

/// Finds the cause of each message after the first; `None` if no allowed cause explains it. `dedupe` is that
/// of the hook.
pub(super) fn causes(line: &Line, dedupe: bool, troubles: &Troubles) -> Vec<Option<Cause>> {
    let mut stored = line.stored.clone();
    stored.sort_by_key(|stored| stored.at);
    let mut by_sender = 0;
    let mut causes = Vec::new();
    for (number, this) in stored.iter().enumerate().skip(1) {
        let earlier = stored.get(..number).unwrap_or_default();
        let cause = cause(line, dedupe, troubles, earlier, this, by_sender);
        by_sender += usize::from(cause == Some(Cause::Sender));
        causes.push(cause);
    }
    causes
}

fn cause(
    line: &Line,
    dedupe: bool,
    troubles: &Troubles,
    earlier: &[Stored],
    this: &Stored,
    by_sender: usize,
) -> Option<Cause> {
    let before = earlier.last()?;
    let (from, to) = (before.at, this.at);
    let overlaps =
        |spans: &[Span]| spans.iter().any(|span| span.0 <= to && span.1.saturating_add(BLUR) >= from);
    // With `dedupe`, count the requests without an answer; else all requests but the first.
    let again = |attempt: &&Attempt| attempt.from <= to && (!dedupe || attempt.outcome == Outcome::None);
    let requests = line.attempts.iter().filter(again).count().saturating_sub(usize::from(!dedupe));
    let is_old = troubles.life.is_some_and(|life| to - from + BLUR >= life);
    let outcomes = || line.attempts.iter().map(|attempt| attempt.outcome);
    let was_in_store = outcomes().any(|outcome| !matches!(outcome, Outcome::Queued(_)));
    let was_received = outcomes().any(|outcome| outcome == Outcome::Queued(before.message_id));
    if earlier.iter().any(|stored| stored.is_hidden) {
        Some(Cause::Ambiguous)
    } else if requests > by_sender {
        Some(Cause::Sender)
    } else if overlaps(&troubles.kills) {
        Some(Cause::Kill)
    } else if overlaps(&troubles.freezes) {
        Some(Cause::Freeze)
    } else if overlaps(&troubles.store) {
        Some(Cause::Store)
    } else if dedupe && (overlaps(&troubles.expiries) || is_old) {
        Some(Cause::Lifecycle)
    } else if was_in_store && to - from < IN_HAND {
        Some(Cause::AtOnce)
    } else if (to - from >= PATIENCE || overlaps(&troubles.busy)) && !(dedupe && was_received) {
        Some(Cause::Late)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(attempts: &[(Moment, Outcome)], stored: &[(Moment, bool)]) -> Line {
        let attempt =
            |(from, outcome): &(Moment, Outcome)| Attempt { from: *from, to: from + 50, outcome: *outcome };
        let message =
            |(at, is_hidden): &(Moment, bool)| Stored { at: *at, message_id: [0; 16], is_hidden: *is_hidden };
        Line {
            number: 0,
            place: 0,
            is_forged: false,
            attempts: attempts.iter().map(attempt).collect(),
            stored: stored.iter().map(message).collect(),
            is_dead: false,
        }
    }

    #[test]
    fn a_duplicate_needs_a_cause() {
        let queued = Outcome::Queued([0; 16]);
        let (plain, known) = (false, true);
        let quiet = Troubles::default();
        let killed = Troubles { kills: vec![(1000, 1000)], ..Troubles::default() };
        let of = |line: &Line, dedupe, troubles| causes(line, dedupe, troubles);

        let twice = line(&[(0, queued)], &[(10, false), (20, false)]);
        assert_eq!(of(&twice, plain, &quiet), [None]);
        assert_eq!(of(&twice, plain, &killed), [None], "a kill afterwards explains nothing");
        let hidden = line(&[(0, queued)], &[(20, false), (10, true)]);
        assert_eq!(of(&hidden, plain, &quiet), [Some(Cause::Ambiguous)]);
        let later = line(&[(0, queued)], &[(10, false), (5000, false)]);
        assert_eq!(of(&later, plain, &killed), [Some(Cause::Kill)]);
        assert_eq!(of(&later, plain, &quiet), [Some(Cause::Late)]);
        assert_eq!(of(&later, known, &quiet), [None]);

        let again = line(&[(0, Outcome::None), (100, queued)], &[(10, false), (110, false), (120, false)]);
        assert_eq!(of(&again, plain, &quiet)[0], Some(Cause::Sender));
        let repeated = line(&[(0, queued), (100, queued)], &[(10, false), (110, false)]);
        assert_eq!(of(&repeated, plain, &quiet), [Some(Cause::Sender)]);
        assert_eq!(of(&repeated, known, &quiet), [None], "the mark was there");
        let unanswered = line(&[(0, Outcome::None), (100, queued)], &[(10, false), (110, false)]);
        assert_eq!(of(&unanswered, known, &quiet), [Some(Cause::Sender)]);

        let spilled = line(&[(0, Outcome::Kept)], &[(10_000, false), (10_010, false)]);
        assert_eq!(of(&spilled, plain, &quiet), [Some(Cause::AtOnce)]);
        let thrice = line(&[(0, Outcome::Kept)], &[(0, false), (50_000, false)]);
        let broken = Troubles { store: vec![(20_000, 30_000)], ..Troubles::default() };
        assert_eq!(of(&thrice, known, &broken), [Some(Cause::Store)]);
        let busy = Troubles { busy: vec![(12, 18)], ..Troubles::default() };
        assert_eq!(of(&twice, plain, &busy), [Some(Cause::Late)], "the vendor was late itself");
        assert_eq!(of(&repeated, known, &busy), [None], "the mark was there");
        let expired = Troubles { expiries: vec![(100, 105)], ..Troubles::default() };
        assert_eq!(of(&repeated, known, &expired), [Some(Cause::Lifecycle)]);
        assert_eq!(of(&twice, plain, &expired), [None], "it has no mark");
    }
}
