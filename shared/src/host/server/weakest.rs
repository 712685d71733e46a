//! Ranking of connections: the order in which they give way without room for more, and the end of their time.
//! It decides from facts alone, without a look at a clock or a socket.
//!
//! The connection with the lowest rate goes first, then the one that has been idle longest. Among idle
//! connections, the ones that brought nothing of use go first: the sender of a genuine request sends another,
//! and may write it just when its connection is closed. So senders' idle connections go last of all, unless
//! they have half of the room: then new connections need it more. A request that is being served never goes.
//! A connection younger than a second goes only when no older one is left: a genuine request has arrived by
//! then. Among the young ones, those that have brought least go first; one that has brought nothing yet counts
//! as a small request. A connection that was opened, or began to bring a request, in the last tenth of a second
//! goes after the other young ones, because its bytes may not have been read yet. But if the connection's peer holds
//! more than its share, it goes before useful or young connections of other peers. Among equals, too, the
//! connections of such a peer go first; behind a balancer there is only one peer, and the share has no
//! effect.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Age below which a connection is given the chance to bring its request.
const GRACE: Duration = Duration::from_secs(1);

/// Age after which a connection without any bytes is unlikely to bring some: a genuine sender writes as soon
/// as it is connected.
const GRACE_OF_NOTHING: Duration = Duration::from_millis(500);

/// Age below which a connection's first bytes, or the next request's, may not have been read yet.
const JUST_NOW: Duration = Duration::from_millis(100);

/// Logarithm of the bytes that a connection which has brought none yet counts for: those of a small request. A
/// sender that was held up between connecting and writing goes after one that has written a few bytes, which
/// costs a stranger nothing.
const EXPECTED: u64 = 11;

/// Rate in bytes per second above which a sender is not slow: idle connections give way before it.
const BRISK: u64 = 64 * 1024;

/// Divisor for the least share of a peer: a balancer has many connections, and is one peer.
const LEAST_SHARE: usize = 8;

/// Activity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Open connection on which no byte has arrived yet.
    New,
    /// Arrival of a request's head.
    Head,
    /// Arrival of a request's body.
    Body,
    /// Service of a request that has arrived.
    Service,
    /// Pause after an answered request, without a further byte.
    Idle,
    /// Wait after an answer for a sender that sends bytes to be thrown away, or does not take its answer.
    Linger,
}

/// Counter of arrived bytes, in all and in the last seconds: a flow that came fast and then stalls is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Earliest time at which the first byte could have arrived.
    pub(super) since: Instant,
    /// Number of bytes that arrived since `since`.
    pub(super) bytes: u64,
    /// Start of the current window; `before` is the start of the previous one, and `in_window` and
    /// `in_before` are their bytes.
    window: Instant,
    before: Instant,
    in_window: u64,
    in_before: u64,
}

/// Length of a window: bytes count as recent for one to two windows.
const WINDOW: Duration = Duration::from_secs(1);

impl Flow {
    /// Starts a flow without any bytes at `now`.
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0, window: now, before: now, in_window: 0, in_before: 0 }
    }

    /// Counts `bytes` more at `now`.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.before, self.in_before) = (self.window, self.in_window);
            (self.window, self.in_window) = (now, 0);
        }
        self.in_window += bytes;
    }

    /// Returns the time since the flow began.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns bytes per second, over the whole time or the last windows, whichever is less; 0 for a stalled
    /// flow.
    fn rate(&self, now: Instant) -> u64 {
        let over = |bytes: u64, time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
            bytes.saturating_mul(1000) / millis
        };
        let recent = over(self.in_before + self.in_window, now.saturating_duration_since(self.before));
        let has_stalled = now.saturating_duration_since(self.window) >= 2 * WINDOW;
        if has_stalled { 0 } else { recent.min(over(self.bytes, self.age(now))) }
    }
}

/// Facts about a connection that determine its rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Address of the peer.
    pub(super) peer: IpAddr,
    /// Current activity of the connection.
    pub(super) state: State,
    /// Bytes of the arriving request; for an idle connection, the start of its idleness.
    pub(super) flow: Flow,
    /// Bytes held for the connection's body, or for its arriving head.
    pub(super) held: usize,
    /// True if a request of the connection was answered with an ack.
    pub(super) is_proven: bool,
}

/// Place in the order of giving way: the lowest rank goes first.
pub(super) type Rank = (u8, u8, u64, u64);

/// Returns the part of `room` that a peer may hold before its connections go before similar ones of other
/// peers.
pub(super) fn share(room: usize, peers: usize) -> usize {
    (room / peers.max(1)).max(room / LEAST_SHARE)
}

impl Facts {
    /// Returns true if the connection waits for the next request of a genuine sender.
    pub(super) fn is_kept(&self) -> bool {
        self.is_proven && self.state == State::Idle
    }

    /// Ranks the connection for when connections run out; `None` if it does not give way. `is_over`: the peer
    /// holds more than its share. `are_many`: the connections of [`is_kept`](Self::is_kept) have more than
    /// half of the room.
    pub(super) fn rank(&self, now: Instant, is_over: bool, are_many: bool) -> Option<Rank> {
        let (age, rate) = (self.flow.age(now), self.flow.rate(now));
        let younger = u64::MAX - u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        // A peer that opens one connection after the other must not push out connections that others have
        // just opened, regardless of the requests that it has begun. A logarithm is less than a hundred.
        let young =
            |tier: u8, measure| if is_over { (2, u64::from(tier) * 100 + measure) } else { (tier, measure) };
        let (tier, measure) = match self.state {
            State::Service => return None,
            State::New if age >= GRACE_OF_NOTHING => (0, 0),
            State::New => young(if age < JUST_NOW { 9 } else { 8 }, EXPECTED),
            State::Idle if self.is_proven && !is_over && !are_many => (10, 0),
            State::Idle if age < GRACE => young(if self.is_proven { 7 } else { 5 }, 0),
            State::Idle => (if self.is_proven { 3 } else { 1 }, 0),
            // A connection that has brought more is nearer to its end: a flood of beginnings does not push it
            // out.
            _ if age < GRACE => {
                young(if age < JUST_NOW { 9 } else { 8 }, u64::from(self.flow.bytes.max(1).ilog2()))
            }
            _ if rate < BRISK => (0, rate),
            _ => (4, rate),
        };
        Some((tier, u8::from(!is_over), measure, younger))
    }

    /// Ranks the connection for when bytes of bodies run out; `None` if it has none. Among connections that
    /// have just begun, the one that holds most goes first: a small request is never in the way of others.
    pub(super) fn rank_of_bytes(&self, now: Instant, is_over: bool) -> Option<Rank> {
        if self.state != State::Body || self.held == 0 {
            return None;
        }
        let held = u64::MAX - self.held as u64;
        let (age, rate) = (self.flow.age(now), self.flow.rate(now));
        Some(match () {
            () if age < GRACE => (2, u8::from(!is_over), held, 0),
            () if rate < BRISK => (0, u8::from(!is_over), rate, held),
            () => (1, u8::from(!is_over), rate, held),
        })
    }
}

/// Time limits of a connection's states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Time-out between two requests and before the first.
    pub(super) idle: Duration,
    /// Time-out of a whole head.
    pub(super) head: Duration,
    /// Time-out of a whole request's arrival.
    pub(super) body: Duration,
    /// Time for a sender to take its answer and to finish sending.
    pub(super) linger: Duration,
    /// First part of a request's time, without a minimum rate.
    pub(super) unhurried: Duration,
    /// Minimum rate after `unhurried`, in bytes per second.
    pub(super) least: u64,
}

impl Facts {
    /// Returns true if the time of the connection's state is over, or its request comes too slowly.
    pub(super) fn is_overdue(&self, now: Instant, times: &Times) -> bool {
        let age = self.flow.age(now);
        let is_slow = || {
            let hurried = age.saturating_sub(times.unhurried);
            self.flow.bytes < times.least.saturating_mul(hurried.as_secs())
        };
        match self.state {
            State::Service => false,
            State::New | State::Idle => age >= times.idle,
            State::Head => age >= times.head || is_slow(),
            State::Body => age >= times.body || is_slow(),
            State::Linger => age >= times.linger,
        }
    }
}

#[cfg(test)]
#[path = "weakest_tests.rs"]
mod tests;
