//! Tries of one send, until the message is stored, or until the failure's class or the deadline ends them.
//!
//! | Class | Tried again |
//! |---|---|
//! | `too_large`, `permanent`, `config`, `permission`, `quota` | never |
//! | `auth` | once, if the credentials have changed meanwhile |
//! | `auth_refresh`, `clock_skew` | once, signed afresh |
//! | `throttle`, `transient`, `ambiguous` | until the deadline |
//! | `ambiguous` where an answer came that cannot be read | once; then it is `config` |
//!
//! In a function with a store ([`Effort::Brief`]), another attempt begins only soon after the first, and
//! never after a time-out, after throttling, or while a circuit is open: the store's write costs less than
//! any wait.
//!
//! An attempt that could not connect is followed by one at the next endpoint, if the environment has several.
//!
//! Waiting times are drawn from the whole of a doubling range ("full jitter"), so that functions that failed
//! together do not retry together.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::breaker::{Breaker, Fingerprint, Permit, UNREAD, Way, unreadable};
use super::outage::Leave;
use super::{Class, Effort, Open, Receipt, SendError, StoredProof, Until};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::net::endpoint::{Endpoint, Endpoints};
use crate::queue::failure::{Accepted, Failure};
use crate::reader::{parse_duration, parse_size};

/// Upper bound on the time of an attempt, even if more time is left: a vendor that has not answered by then
/// answers the next attempt sooner.
const MAX_ATTEMPT: Duration = Duration::from_secs(10);

/// Lower bound on the time of an attempt, if as much time is left.
const MIN_SHARE: Duration = Duration::from_secs(1);

/// Upper bound on the random wait of a message that the store has not taken either: queue and store may be
/// back any moment.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Shortest time for an attempt: with less time left, it could not end, so it is not begun.
const MIN_ATTEMPT: Duration = Duration::from_millis(100);

/// First range of waiting times.
const BASE: Duration = Duration::from_millis(100);

/// First range of waiting times after throttling: both vendors count by the second.
const THROTTLE_BASE: Duration = Duration::from_secs(1);

/// Upper bound on the range of waiting times.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Default of `QUEUE_ATTEMPTS`. `WITHIN` is the default of `QUEUE_RETRY_WITHIN`, the time after the first
/// attempt in which the last one begins, and `MAX_WITHIN` the upper bound on it.
const ATTEMPTS: u32 = 2;
const WITHIN: Duration = Duration::from_millis(1500);
const MAX_WITHIN: Duration = Duration::from_secs(60);

/// Size in bytes below which no vendor refuses a request as too large, least of all a message that only
/// refers to its body. Such a refusal comes from a limit that is set wrong.
const NEVER_TOO_LARGE: usize = 64 << 10;

/// Upper bound on the clock's offset in milliseconds: a vendor's time further away is not plausible.
const MAX_OFFSET: i64 = 24 * 60 * 60 * 1000;

/// Rule for further attempts after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// End of the attempts: another one would fail in the same way.
    Never,
    /// One further attempt, if the environment now has other credentials.
    IfCredentialsChanged,
    /// One further attempt, with a new signature.
    Once,
    /// Further attempts as long as there is time.
    UntilDeadline,
}

impl Class {
    /// Returns the rule for further attempts after this class (the table of classes in
    /// `docs/delivery-semantics.md`).
    pub const fn retry(self) -> Retry {
        match self {
            Self::TooLarge | Self::Permanent | Self::Config | Self::Permission | Self::Quota => Retry::Never,
            Self::Auth => Retry::IfCredentialsChanged,
            Self::AuthRefresh | Self::ClockSkew => Retry::Once,
            Self::Throttle | Self::Transient | Self::Ambiguous => Retry::UntilDeadline,
        }
    }
}

/// Parameters of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Wall time by the vendor's clock, to sign with.
    pub now: Timestamp,
    /// Time limit of the attempt, signing and serialising included.
    pub deadline: Instant,
    /// True if the attempt opens a connection of its own.
    pub fresh: bool,
}

/// Circuits that a vendor's configuration belongs to.
pub(super) trait Identity {
    /// Returns the endpoint in use.
    fn endpoint(&self) -> &Endpoint;
    /// Returns all endpoints, to go on to the next one.
    fn endpoints(&mut self) -> &mut Endpoints;
    /// Returns the fingerprint of the credentials: it differs if they differ.
    fn key(&self) -> Fingerprint;
}

/// Message on its way to one vendor.
pub(super) trait Outgoing {
    /// Endpoint, credentials and the other settings of the environment.
    type SendConfig: Identity + Send + Sync + 'static;

    /// Reads the environment as it is now; `refused` is true if the vendor did not take the last credentials.
    fn config(
        &self,
        refused: bool,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::SendConfig, EnvProblem>> + Send;

    /// Returns the size of the message in the request, in bytes.
    fn size(&self) -> usize;

    /// Signs the request and sends it once.
    fn attempt(
        &self,
        config: &Self::SendConfig,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Accepted, Failure>> + Send;
}

/// Message on its way to any vendor, so that the attempts of all vendors are one piece of code in a binary.
trait Parcel: Sync {
    fn address(
        &self,
        refused: bool,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Box<dyn Addressed + '_>, EnvProblem>>;

    fn size(&self) -> usize;
}

/// The same with the settings that the environment has now.
trait Addressed: Send + Sync {
    fn settings(&self) -> &dyn Identity;

    fn settings_mut(&mut self) -> &mut dyn Identity;

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Result<Accepted, Failure>>;
}

impl<M: Outgoing + Sync> Parcel for M {
    fn address(
        &self,
        refused: bool,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Box<dyn Addressed + '_>, EnvProblem>> {
        Box::pin(async move {
            let settings = self.config(refused, deadline).await?;
            Ok(Box::new((self, settings)) as Box<dyn Addressed + '_>)
        })
    }

    fn size(&self) -> usize {
        Outgoing::size(self)
    }
}

impl<M: Outgoing + Sync> Addressed for (&M, M::SendConfig) {
    fn settings(&self) -> &dyn Identity {
        &self.1
    }

    fn settings_mut(&mut self) -> &mut dyn Identity {
        &mut self.1
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Result<Accepted, Failure>> {
        Box::pin(self.0.attempt(&self.1, attempt))
    }
}

/// State that all sends of one client share: circuits, limits and the clock's offset.
pub(super) struct Courier {
    context: Context,
    breaker: Breaker,
    brief: Result<Brief, EnvProblem>,
    /// Offset of the vendor's clock in milliseconds, positive if it is ahead of ours.
    offset: AtomicI64,
}

/// Limits of the attempts in a function with a store.
#[derive(Clone, Copy, Debug)]
struct Brief {
    attempts: u32,
    within: Duration,
}

impl Brief {
    /// Reads `QUEUE_ATTEMPTS` and `QUEUE_RETRY_WITHIN`.
    fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        let count = |text: &str| text.parse().ok().filter(|attempts| (1..=10).contains(attempts));
        let is_no_count = "is not a number from 1 to 10";
        let attempts = EnvProblem::or_value(env, "QUEUE_ATTEMPTS", ATTEMPTS, count, is_no_count)?;
        let range = Duration::from_millis(1)..=MAX_WITHIN;
        let time = |text: &str| parse_duration(text).filter(|within| range.contains(within));
        let is_no_time = "is not a time from 1ms to 60s, such as 1500ms";
        let within = EnvProblem::or_value(env, "QUEUE_RETRY_WITHIN", WITHIN, time, is_no_time)?;
        Ok(Self { attempts, within })
    }
}

/// Tries of one send so far.
struct Tries {
    brief: Brief,
    until: Until,
    begun: Instant,
    attempts: u32,
    /// Number of attempts whose answers could not be read.
    unread: u32,
    maybe_stored: bool,
    /// Classes of the failures so far.
    met: Vec<Class>,
    /// True if no attempt follows the next one.
    is_last: bool,
}

impl Tries {
    fn new(brief: Brief, until: Until) -> Self {
        let begun = Instant::now();
        Self {
            brief,
            until,
            begun,
            attempts: 0,
            unread: 0,
            maybe_stored: false,
            met: Vec::new(),
            is_last: false,
        }
    }
}

impl Courier {
    pub(super) fn new(context: Context) -> Self {
        let brief = Brief::from_env(&context.env);
        Self { context, breaker: Breaker::default(), brief, offset: AtomicI64::new(0) }
    }

    /// Returns the problem with the environment, if there is one: each send then fails without an attempt.
    pub(super) fn problem(&self) -> Option<&EnvProblem> {
        self.brief.as_ref().err()
    }

    /// Returns the number of open circuits.
    pub(super) fn open(&self) -> Open {
        self.breaker.open()
    }

    /// Sends `message` to `topic`, with the attempts and waits that the module's documentation describes.
    pub(super) fn send<'m, M: Outgoing + Sync>(
        &'m self,
        message: &'m M,
        topic: &'m str,
        until: Until,
    ) -> impl Future<Output = Result<Receipt, SendError>> + Send + 'm {
        self.send_parcel(message, topic, until)
    }

    async fn send_parcel(
        &self,
        message: &dyn Parcel,
        topic: &str,
        until: Until,
    ) -> Result<Receipt, SendError> {
        let Until { deadline, effort } = until;
        let brief = self.brief.clone()?;
        let mut config = message.address(false, deadline).await?;
        let mut way = way(config.settings(), topic);
        let admitted = self.admit(&mut way, config.settings_mut().endpoints(), effort);
        let mut so_far = Tries::new(brief, until);
        let mut permits = vec![admitted.map_err(|failure| self.failed(&way, failure, &so_far))?];
        let leave = permits.first().and_then(Permit::leave);
        let mut last: Option<Failure> = None;
        loop {
            let Some(attempt_deadline) = attempt_deadline(deadline) else {
                let none = || Failure::new(Class::Transient, "no time left before the deadline");
                return Err(self.failed(&way, last.unwrap_or_else(none), &so_far));
            };
            so_far.attempts += 1;
            let attempt = Attempt {
                now: self.context.clock.now().shifted(self.offset.load(Ordering::Relaxed)),
                deadline: attempt_deadline,
                // The cause of the last failure may have broken the other idle connections too.
                fresh: last.is_some_and(|f| matches!(f.class, Class::Transient | Class::Ambiguous)),
            };
            let attempted = Instant::now();
            let failure = match config.attempt(attempt).await {
                Ok(accepted) => return Ok(self.received(&way, accepted, &so_far)),
                Err(failure) => bounded(failure, message.size()),
            };
            let failure = self.learn(&way, failure, &mut so_far, (leave, attempted));
            let refused = matches!(failure.class, Class::Auth | Class::AuthRefresh);
            let mut next = message.address(refused, deadline).await.ok();
            let has_other_key = next.as_ref().map(|next| next.settings().key() != config.settings().key());
            let onward =
                next.as_mut().and_then(|next| onward(&way, &failure, next.settings_mut().endpoints()));
            let wait = self.wait((&way, onward.as_ref()), &failure, &mut so_far, has_other_key);
            let Some((next, wait)) = next.zip(wait) else {
                return Err(self.failed(&way, failure, &so_far));
            };
            if has_other_key == Some(true) {
                let admitted = self.breaker.admit_key(next.settings().key());
                permits.push(admitted.map_err(|f| self.failed(&way, f, &so_far))?);
            }
            config = next;
            way = self::way(config.settings(), topic);
            sleep(wait).await;
            // Another send may have learned meanwhile that the key is locked, or found another lasting error.
            if let Some(failure) = self.breaker.opened(&way) {
                return Err(self.failed(&way, failure, &so_far));
            }
            if effort == Effort::Brief && self.breaker.is_out(&way) {
                return Err(self.failed(&way, failure, &so_far));
            }
            last = Some(failure);
        }
    }

    // What follows an attempt is the same for each vendor, and its code stands in a binary once.

    /// Admits a send at the first of its endpoints that is not known to be out of reach.
    fn admit(&self, way: &mut Way, endpoints: &mut Endpoints, effort: Effort) -> Result<Permit<'_>, Failure> {
        let mut others = endpoints.others();
        loop {
            match self.breaker.admit(way, effort) {
                Err(failure) if failure.unreachable && others > 0 => {
                    others -= 1;
                    endpoints.turn();
                    way.endpoint = endpoints.current.clone();
                }
                admitted => return admitted,
            }
        }
    }

    fn received(&self, way: &Way, accepted: Accepted, so_far: &Tries) -> Receipt {
        self.breaker.close(way);
        let Accepted { message_id, request_id, is_uncopied } = accepted;
        Receipt { message_id, request_id, is_uncopied, attempts: so_far.attempts, _stored: StoredProof(()) }
    }

    /// Counts the failure of an attempt, and returns it as the failures before it let it appear.
    fn learn(
        &self,
        way: &Way,
        mut failure: Failure,
        so_far: &mut Tries,
        (leave, attempted): (Leave, Instant),
    ) -> Failure {
        so_far.maybe_stored |= failure.maybe_stored;
        so_far.unread += u32::from(failure.unread);
        if let Some(unreadable) = self.breaker.reached(way, &failure) {
            failure = unreadable;
        } else if failure.unread && so_far.unread >= UNREAD {
            // Other sends got readable answers meanwhile, but each further attempt is a further copy.
            failure = unreadable(&failure);
        }
        self.breaker.attempted(way, leave, attempted, &failure);
        self.learn_offset(&failure);
        failure
    }

    /// Returns the wait before the next attempt, or `None` if the failure ends the send. `onward` is the way to
    /// another endpoint, if that attempt goes there. `has_other_key` tells if the environment now has other
    /// credentials; `None` if it cannot be read.
    fn wait(
        &self,
        (way, onward): (&Way, Option<&Way>),
        failure: &Failure,
        so_far: &mut Tries,
        has_other_key: Option<bool>,
    ) -> Option<Duration> {
        let Until { deadline, effort } = so_far.until;
        let first = !so_far.met.contains(&failure.class);
        let (asked, mut range) = waits(failure, so_far.attempts);
        let end = match effort {
            Effort::Brief
                if self.is_enough(so_far.brief, onward.unwrap_or(way), failure, so_far.attempts) =>
            {
                None
            }
            // The time that an endpoint was out of reach is not the next one's.
            Effort::Brief if onward.is_none() => Some(deadline.min(so_far.begun + so_far.brief.within)),
            Effort::Brief | Effort::Whole | Effort::Last | Effort::Patient => {
                deadline.checked_sub(MIN_ATTEMPT)
            }
        };
        let remaining = end.and_then(|end| end.checked_duration_since(Instant::now()));
        let room = remaining.and_then(|left| left.checked_sub(asked)).filter(|_| !so_far.is_last);
        let again = |has_other_key: &bool| match failure.class.retry() {
            _ if failure.is_last => false,
            Retry::Never => false,
            Retry::IfCredentialsChanged => first && *has_other_key,
            Retry::Once => first,
            Retry::UntilDeadline => true,
        };
        let Some(room) = has_other_key.filter(again).and(room) else {
            // A failure that a new signature may cure counts only after the new signature has failed too.
            if !first || failure.class.retry() != Retry::Once {
                self.breaker.failed(way, failure);
            }
            return None;
        };
        so_far.met.push(failure.class);
        // A range that passes the deadline is cut to the time that is left, for one more attempt.
        if effort == Effort::Last {
            range = range.min(LAST_WAIT);
        } else {
            so_far.is_last = range > room;
        }
        Some(asked + self.context.random.up_to(range.min(room)))
    }

    /// Returns true if the message goes to the store instead of another attempt.
    fn is_enough(&self, brief: Brief, way: &Way, failure: &Failure, attempts: u32) -> bool {
        attempts >= brief.attempts
            || failure.timed_out
            || failure.class == Class::Throttle
            || self.breaker.is_out(way)
    }

    /// Builds the error of a send over `way`.
    fn failed(&self, way: &Way, failure: Failure, so_far: &Tries) -> SendError {
        let failure = Box::new(Failure { maybe_stored: so_far.maybe_stored, ..failure });
        SendError { failure, attempts: so_far.attempts, reach: self.breaker.reach(way) }
    }

    /// Adopts the vendor's clock for later signatures, if the failure names a plausible time.
    fn learn_offset(&self, failure: &Failure) {
        if let (Class::ClockSkew, Some(theirs)) = (failure.class, failure.server_time) {
            let offset = theirs.unix_millis().saturating_sub(self.context.clock.now().unix_millis());
            if offset.abs() <= MAX_OFFSET {
                self.offset.store(offset, Ordering::Relaxed);
            }
        }
    }
}

/// Returns the deadline of the next attempt: two thirds of the time left, so that an attempt on a connection
/// that went silent leaves time for another one. `None` if there is no time for an attempt.
fn attempt_deadline(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let remaining = deadline.saturating_duration_since(now);
    let share = (remaining * 2 / 3).clamp(MIN_SHARE, MAX_ATTEMPT);
    (remaining >= MIN_ATTEMPT).then(|| now + share.min(remaining))
}

/// Returns the shortest wait after the failure of attempt number `attempts`, and the range of the random wait
/// that is added.
fn waits(failure: &Failure, attempts: u32) -> (Duration, Duration) {
    let base = match failure.class {
        Class::Throttle => THROTTLE_BASE,
        Class::Transient | Class::Ambiguous => BASE,
        _ => return (Duration::ZERO, Duration::ZERO),
    };
    let range = base.saturating_mul(1 << (attempts - 1).min(16)).min(MAX_WAIT);
    (failure.retry_after.unwrap_or_default(), range)
}

/// Reads the upper bound on a message in bytes: `most`, or a lower one that `variable` sets, but no lower
/// than [`NEVER_TOO_LARGE`].
pub(super) fn limit(env: &Env, variable: &'static str, most: usize) -> Result<usize, EnvProblem> {
    let size = |text: &str| parse_size(text).filter(|limit| (NEVER_TOO_LARGE..=most).contains(limit));
    EnvProblem::or_value(env, variable, most, size, format!("is not a size from 64KiB to {}MiB", most >> 20))
}

/// Turns from an endpoint that could not be reached to the next one, and returns the way to it.
fn onward(way: &Way, failure: &Failure, endpoints: &mut Endpoints) -> Option<Way> {
    endpoints.turn_to(&way.endpoint);
    if !failure.unreachable || endpoints.others() == 0 {
        return None;
    }
    endpoints.turn();
    Some(Way { endpoint: endpoints.current.clone(), ..way.clone() })
}

fn way(config: &dyn Identity, topic: &str) -> Way {
    Way { key: config.key(), topic: topic.to_owned(), endpoint: config.endpoint().clone() }
}

/// Checks a "too large" failure of a request with a message of `size` bytes: below the plausible sizes it
/// becomes [`Class::Config`].
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
