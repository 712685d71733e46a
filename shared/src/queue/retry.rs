//! One send: attempts until one is stored, or until the class of the last failure or the deadline
//! says that there is nothing more to try.
//!
//! | Class | Tried again |
//! |---|---|
//! | `too_large`, `permanent`, `config`, `permission`, `quota` | never |
//! | `auth` | once, if the credentials have changed meanwhile |
//! | `auth_refresh`, `clock_skew` | once, signed afresh |
//! | `throttle`, `transient`, `ambiguous` | until the deadline |
//! | `ambiguous` where an answer came that cannot be read | once; then it is `config` |
//!
//! Where there is a store ([`Effort::Brief`]) an attempt more is begun only soon after the first, and never after a
//! time-out, throttling, or where a circuit is open: the store's write costs less than any wait.
//!
//! Waiting times are drawn from the whole of a doubling range ("full jitter"), so that functions
//! which failed together do not come back together.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::breaker::{Breaker, Fingerprint, Permit, UNREAD, Way, unreadable};
use super::{Class, Effort, Open, Receipt, SendError, Stored, Until};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::{Accepted, Failure};
use crate::reader::{parse_duration, parse_size};

/// An attempt gets at most this, even if there is more time: a vendor that did not answer by then
/// answers the next attempt sooner.
const MAX_ATTEMPT: Duration = Duration::from_secs(10);

/// An attempt gets at least this, if there is as much.
const MIN_SHARE: Duration = Duration::from_secs(1);

/// The longest wait for what nobody else takes: queue and store may be back any moment.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// With less time than this an attempt cannot end, so it is not begun.
const MIN_ATTEMPT: Duration = Duration::from_millis(100);

/// First range of waiting times.
const BASE: Duration = Duration::from_millis(100);

/// First range after being throttled: both vendors count by the second.
const THROTTLE_BASE: Duration = Duration::from_secs(1);

/// Last range.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Attempts for one message where there is a store, and when the last one begins, counted from the first.
const ATTEMPTS: u32 = 2;
const WITHIN: Duration = Duration::from_millis(1500);
const MAX_WITHIN: Duration = Duration::from_secs(60);

/// A smaller request is too large for nobody, a message that refers to its body least of all: whoever
/// says so has a limit that somebody set wrong.
const NEVER_TOO_LARGE: usize = 64 << 10;

/// A vendor's time further away than this is no clock that runs wrong, it is no clock.
const MAX_OFFSET: i64 = 24 * 60 * 60 * 1000;

/// Whether a failure is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same would come out.
    Never,
    /// Once, if the environment now has other credentials.
    IfCredentialsChanged,
    /// Once, signed afresh.
    Once,
    /// For as long as there is time.
    UntilDeadline,
}

impl Class {
    /// Whether a failure of this class is worth another attempt (contract 2.5).
    pub const fn retry(self) -> Retry {
        match self {
            Self::TooLarge | Self::Permanent | Self::Config | Self::Permission | Self::Quota => Retry::Never,
            Self::Auth => Retry::IfCredentialsChanged,
            Self::AuthRefresh | Self::ClockSkew => Retry::Once,
            Self::Throttle | Self::Transient | Self::Ambiguous => Retry::UntilDeadline,
        }
    }
}

/// What one attempt is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Wall time by the vendor's clock, to sign with.
    pub now: Timestamp,
    /// When to give up: signing and serialising are part of it.
    pub deadline: Instant,
    /// Whether to open a connection of its own.
    pub fresh: bool,
}

/// The circuits that a vendor's configuration belongs to.
pub(super) trait Identity {
    fn endpoint(&self) -> &Endpoint;
    /// Another one for other credentials.
    fn key(&self) -> Fingerprint;
}

/// One message on its way to one vendor.
pub(super) trait Outgoing {
    /// Endpoint, credentials and whatever else the environment says.
    type Config: Identity + Send + Sync;

    /// Reads the environment as it is now; `refused` if the vendor did not take the last credentials.
    fn config(
        &self,
        refused: bool,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Config, EnvProblem>> + Send;

    /// Bytes of the message in the request.
    fn size(&self) -> usize;

    /// Signs and sends once.
    fn attempt(
        &self,
        config: &Self::Config,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Accepted, Failure>> + Send;
}

/// What sends of one client share.
pub(super) struct Courier {
    context: Context,
    breaker: Breaker,
    brief: Result<Brief, EnvProblem>,
    /// Milliseconds that the vendor's clock is ahead of ours.
    offset: AtomicI64,
}

/// What is tried for a message that there is a store for.
#[derive(Clone, Copy, Debug)]
struct Brief {
    attempts: u32,
    within: Duration,
}

impl Brief {
    /// `QUEUE_ATTEMPTS` and `QUEUE_RETRY_WITHIN`.
    fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        let count = |text: &str| text.parse().ok().filter(|attempts| (1..=10).contains(attempts));
        let is_no_count = "is no number from 1 to 10";
        let attempts = EnvProblem::or_value(env, "QUEUE_ATTEMPTS", ATTEMPTS, count, is_no_count)?;
        let range = Duration::from_millis(1)..=MAX_WITHIN;
        let time = |text: &str| parse_duration(text).filter(|within| range.contains(within));
        let is_no_time = "is no time from 1ms to 60s, such as 1500ms";
        let within = EnvProblem::or_value(env, "QUEUE_RETRY_WITHIN", WITHIN, time, is_no_time)?;
        Ok(Self { attempts, within })
    }
}

impl Courier {
    pub(super) fn new(context: Context) -> Self {
        let brief = Brief::from_env(&context.env);
        Self { context, breaker: Breaker::default(), brief, offset: AtomicI64::new(0) }
    }

    /// What is wrong with the environment: nothing is sent then.
    pub(super) fn problem(&self) -> Option<&EnvProblem> {
        self.brief.as_ref().err()
    }

    /// How many circuits are open.
    pub(super) fn open(&self) -> Open {
        self.breaker.open()
    }

    /// Sends `message` to `topic`; see the module's documentation.
    pub(super) async fn send<M: Outgoing + Sync>(
        &self,
        message: &M,
        topic: &str,
        until: Until,
    ) -> Result<Receipt, SendError> {
        let Until { deadline, effort } = until;
        let brief = self.brief.clone()?;
        let mut config = message.config(false, deadline).await?;
        let mut way = way(&config, topic);
        let admitted = self.breaker.admit(&way, effort);
        let mut permits = vec![admitted.map_err(|failure| self.failed(&way, failure, 0, false))?];
        let leave = permits.first().and_then(Permit::leave);
        let begun = Instant::now();
        let (mut attempts, mut unread, mut maybe_stored) = (0, 0, false);
        let (mut met, mut is_last) = (Vec::new(), false);
        let mut last: Option<Failure> = None;
        loop {
            let Some(attempt_deadline) = attempt_deadline(deadline) else {
                let none = || Failure::new(Class::Transient, "no time left before the deadline");
                return Err(self.failed(&way, last.unwrap_or_else(none), attempts, maybe_stored));
            };
            attempts += 1;
            let attempt = Attempt {
                now: self.context.clock.now().shifted(self.offset.load(Ordering::Relaxed)),
                deadline: attempt_deadline,
                // Whatever broke the last attempt may have broken the other idle connections too.
                fresh: last.is_some_and(|f| matches!(f.class, Class::Transient | Class::Ambiguous)),
            };
            let attempted = Instant::now();
            let mut failure = match message.attempt(&config, attempt).await {
                Ok(Accepted { message_id, request_id }) => {
                    self.breaker.close(&way);
                    return Ok(Receipt { message_id, request_id, attempts, _stored: Stored(()) });
                }
                Err(failure) => bounded(failure, message.size()),
            };
            maybe_stored |= failure.maybe_stored;
            unread += u32::from(failure.unread);
            if let Some(unreadable) = self.breaker.reached(&way, &failure) {
                failure = unreadable;
            } else if failure.unread && unread >= UNREAD {
                // What others were told meanwhile was readable, and each further attempt is a further copy.
                failure = unreadable(&failure);
            }
            self.breaker.attempted(&way, leave, attempted, &failure);
            self.learn_offset(&failure);

            let refused = matches!(failure.class, Class::Auth | Class::AuthRefresh);
            let next = message.config(refused, deadline).await;
            let first = !met.contains(&failure.class);
            let (asked, mut range) = waits(&failure, attempts);
            let end = match effort {
                Effort::Brief if self.is_enough(brief, &way, &failure, attempts) => None,
                Effort::Brief => Some(deadline.min(begun + brief.within)),
                Effort::Whole | Effort::Last | Effort::Patient => deadline.checked_sub(MIN_ATTEMPT),
            };
            let remaining = end.and_then(|end| end.checked_duration_since(Instant::now()));
            let room = remaining.and_then(|left| left.checked_sub(asked)).filter(|_| !is_last);
            let again = |next: &M::Config| match failure.class.retry() {
                Retry::Never => false,
                Retry::IfCredentialsChanged => first && next.key() != config.key(),
                Retry::Once => first,
                Retry::UntilDeadline => true,
            };
            let Some((next, room)) = next.ok().filter(again).zip(room) else {
                // What another signature may cure proves nothing until that one has failed too.
                if !first || failure.class.retry() != Retry::Once {
                    self.breaker.failed(&way, &failure);
                }
                return Err(self.failed(&way, failure, attempts, maybe_stored));
            };
            if next.key() != config.key() {
                let admitted = self.breaker.admit_key(next.key());
                permits.push(admitted.map_err(|f| self.failed(&way, f, attempts, maybe_stored))?);
            }
            config = next;
            way = self::way(&config, topic);
            met.push(failure.class);
            // A range that passes the deadline is cut to what is left of it, for one attempt more.
            if effort == Effort::Last {
                range = range.min(LAST_WAIT);
            } else {
                is_last = range > room;
            }
            sleep(asked + self.context.random.up_to(range.min(room))).await;
            // Another send may have learned meanwhile that the key is locked, or what else is wrong.
            if let Some(failure) = self.breaker.opened(&way) {
                return Err(self.failed(&way, failure, attempts, maybe_stored));
            }
            if effort == Effort::Brief && self.breaker.is_out(&way) {
                return Err(self.failed(&way, failure, attempts, maybe_stored));
            }
            last = Some(failure);
        }
    }

    /// Whether the store takes the message rather than another attempt.
    fn is_enough(&self, brief: Brief, way: &Way, failure: &Failure, attempts: u32) -> bool {
        attempts >= brief.attempts
            || failure.timed_out
            || failure.class == Class::Throttle
            || self.breaker.is_out(way)
    }

    /// What a send over `way` ends with.
    fn failed(&self, way: &Way, failure: Failure, attempts: u32, maybe_stored: bool) -> SendError {
        SendError { reach: self.breaker.reach(way), ..error(failure, attempts, maybe_stored) }
    }

    /// Takes the vendor's clock for the process's signatures, if it says so and is plausible.
    fn learn_offset(&self, failure: &Failure) {
        if let (Class::ClockSkew, Some(theirs)) = (failure.class, failure.server_time) {
            let offset = theirs.unix_millis().saturating_sub(self.context.clock.now().unix_millis());
            if offset.abs() <= MAX_OFFSET {
                self.offset.store(offset, Ordering::Relaxed);
            }
        }
    }
}

/// Two thirds of what remains, so that an attempt on a connection that went silent leaves time for
/// another one.
fn attempt_deadline(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let remaining = deadline.saturating_duration_since(now);
    let share = (remaining * 2 / 3).clamp(MIN_SHARE, MAX_ATTEMPT);
    (remaining >= MIN_ATTEMPT).then(|| now + share.min(remaining))
}

/// How long to wait at least after the failure of attempt number `attempts`, and the range of what is
/// added to it.
fn waits(failure: &Failure, attempts: u32) -> (Duration, Duration) {
    let base = match failure.class {
        Class::Throttle => THROTTLE_BASE,
        Class::Transient | Class::Ambiguous => BASE,
        _ => return (Duration::ZERO, Duration::ZERO),
    };
    let range = base.saturating_mul(1 << (attempts - 1).min(16)).min(MAX_WAIT);
    (failure.retry_after.unwrap_or_default(), range)
}

/// Most bytes of a message: `most`, or fewer where `variable` says so. What is never too large stays so.
pub(super) fn limit(env: &Env, variable: &'static str, most: usize) -> Result<usize, EnvProblem> {
    let size = |text: &str| parse_size(text).filter(|limit| (NEVER_TOO_LARGE..=most).contains(limit));
    EnvProblem::or_value(env, variable, most, size, format!("is no size from 64KiB to {}MiB", most >> 20))
}

fn way<C: Identity>(config: &C, topic: &str) -> Way {
    Way { key: config.key(), topic: topic.to_owned(), endpoint: config.endpoint().clone() }
}

/// The failure of a request with a message of `size` bytes, which "too large" is believed of only if it
/// can be the message's.
fn bounded(failure: Failure, size: usize) -> Failure {
    if failure.class != Class::TooLarge || size >= NEVER_TOO_LARGE {
        return failure;
    }
    let detail = format!(
        "{size} bytes are refused as too large, so a limit of the vendor's or of a proxy is set too low: {}",
        failure.detail
    );
    Failure { class: Class::Config, detail, ..failure }
}

fn error(failure: Failure, attempts: u32, maybe_stored: bool) -> SendError {
    let Failure { class, code, detail, request_id, retry_after, .. } = failure;
    SendError { class, code, detail, request_id, retry_after, attempts, maybe_stored, reach: None }
}

/// A failure before any attempt.
impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        error(failure, 0, false)
    }
}

impl From<EnvProblem> for SendError {
    fn from(problem: EnvProblem) -> Self {
        Failure::new(Class::Config, problem.to_string()).into()
    }
}
