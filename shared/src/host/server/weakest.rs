//! Which connection gives way when there is no more room, and which has had its time: decided from facts,
//! without looking at a clock or a socket.
//!
//! What has brought least for its age goes first, then what has been idle longest; of idle ones those that have
//! brought nothing that was of use: whoever sent a genuine request sends another, and may write it just when the
//! connection is closed. So these go last of all, but where they have half of the room: then new ones need it more.
//! A request that is being served never goes. What is younger than a second goes only when nothing older is left:
//! a genuine request has arrived by then; and what was opened or began to arrive in the last tenth of a second after
//! the rest of it, since nobody has had the time to read it. But where its peer holds more than its share, it goes before anything that is of use or
//! young of others. Among equals, too, such a peer's go first; behind a balancer there is one peer, and the share
//! binds nobody.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Whatever is younger is given the chance to arrive.
const GRACE: Duration = Duration::from_secs(1);

/// A genuine sender writes as soon as it is connected: where nothing has come after this, nothing is likely to.
const GRACE_OF_NOTHING: Duration = Duration::from_millis(500);

/// What is younger has hardly been read: a sender's first bytes, or its next ones, are on the way.
const JUST_NOW: Duration = Duration::from_millis(100);

/// A sender that brings more bytes a second than this is not slow: idle connections go before it.
const BRISK: u64 = 64 * 1024;

/// A peer's share is never less than this part of the room: a balancer has many connections, and is one peer.
const LEAST_SHARE: usize = 8;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has come since it was opened.
    New,
    /// A request's head is arriving.
    Head,
    /// A request's body is arriving.
    Body,
    /// A request is being served.
    Service,
    /// It has been served, and nothing more has come.
    Idle,
    /// It has been answered, and brings what nobody reads any more, or does not take its answer.
    Linger,
}

/// Bytes that came, in all and lately: what came fast and then stalls is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// When the first could have come.
    pub(super) since: Instant,
    /// How many came.
    pub(super) bytes: u64,
    /// When the window that is being filled began; the one before it, and its bytes.
    window: Instant,
    before: Instant,
    in_window: u64,
    in_before: u64,
}

/// Bytes are counted as recent for one to two of these.
const WINDOW: Duration = Duration::from_secs(1);

impl Flow {
    /// Nothing has come yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0, window: now, before: now, in_window: 0, in_before: 0 }
    }

    /// So many bytes came.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.before, self.in_before) = (self.window, self.in_window);
            (self.window, self.in_window) = (now, 0);
        }
        self.in_window += bytes;
    }

    /// How long it has lasted.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Bytes a second, over the whole time or lately, whichever is less.
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

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Who is at the other end.
    pub(super) peer: IpAddr,
    /// What it does.
    pub(super) state: State,
    /// What it has brought of what is arriving; of an idle connection, since when it is idle.
    pub(super) flow: Flow,
    /// Bytes of a body that are held for it.
    pub(super) held: usize,
    /// A request of it was answered with an ack.
    pub(super) is_proven: bool,
}

/// The place in the order of giving way: the least goes first.
pub(super) type Rank = (u8, u8, u64, u64);

/// What a peer may hold of `room` before its connections go before others' like them.
pub(super) fn share(room: usize, peers: usize) -> usize {
    (room / peers.max(1)).max(room / LEAST_SHARE)
}

impl Facts {
    /// Whether it waits for the next request of a sender that is genuine.
    pub(super) fn is_kept(&self) -> bool {
        self.is_proven && self.state == State::Idle
    }

    /// Where it stands when connections run out; `None` if it does not give way. `is_over`: its peer holds
    /// more than its share. `are_many`: those that are kept have more than half of the room.
    pub(super) fn rank(&self, now: Instant, is_over: bool, are_many: bool) -> Option<Rank> {
        let (age, rate) = (self.flow.age(now), self.flow.rate(now));
        let younger = u64::MAX - u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        // A peer that opens one after the other must not push out what others have just opened, whatever it
        // has begun on its own. A logarithm is less than a hundred.
        let young =
            |tier: u8, measure| if is_over { (2, u64::from(tier) * 100 + measure) } else { (tier, measure) };
        let (tier, measure) = match self.state {
            State::Service => return None,
            State::New if age >= GRACE_OF_NOTHING => (0, 0),
            State::New => young(if age < JUST_NOW { 9 } else { 6 }, 0),
            State::Idle if self.is_proven && !is_over && !are_many => (10, 0),
            State::Idle if age < GRACE => young(if self.is_proven { 7 } else { 5 }, 0),
            State::Idle => (if self.is_proven { 3 } else { 1 }, 0),
            // What has brought more is nearer to its end: a flood of beginnings does not push it out.
            _ if age < GRACE => {
                young(if age < JUST_NOW { 9 } else { 8 }, u64::from(self.flow.bytes.max(1).ilog2()))
            }
            _ if rate < BRISK => (0, rate),
            _ => (4, rate),
        };
        Some((tier, u8::from(!is_over), measure, younger))
    }

    /// Where it stands when bytes of bodies run out. Of those that have just begun, the one that holds most
    /// goes first: a small request is never in the way of others.
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

/// How long each may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two requests, and before the first.
    pub(super) idle: Duration,
    /// For a whole head.
    pub(super) head: Duration,
    /// For a whole request.
    pub(super) body: Duration,
    /// For a sender to take its answer and to end what it still sends.
    pub(super) linger: Duration,
    /// The first part of a request's time, in which no rate is asked for.
    pub(super) unhurried: Duration,
    /// Bytes a second, after that.
    pub(super) least: u64,
}

impl Facts {
    /// Whether its time is over.
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
