//! Circuits: what is known to fail is not tried again for a while.
//!
//! A circuit is as narrow as its cause: one key, one topic, one API, one endpoint. What an answer says of all
//! that comes after it (a key is refused, a topic does not exist) opens its circuit at once and for a time; while
//! it is open, sends end at once with the failure that opened it. When its time is over, one send is the probe;
//! the others go on ending at once until the probe tells. DMS locks a key for five minutes after five failed
//! signatures in a row, so a wrong key must not be tried with every delivery. What is an outage, attempts tell
//! together: [`Outages`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::outage::{Change, Leave, MOST, Outages};
use super::{Class, Effort, Open, Reach};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::{Failure, Lock, Scope};

/// A little over the time for which DMS locks a key.
const AUTH_OPEN: Duration = Duration::from_secs(310);

/// For what somebody corrects by hand, or what passes once it is known everywhere: soon enough that it is noticed.
const SHORT_OPEN: Duration = Duration::from_secs(30);

/// Answers of success in a row that name no message, until an API's circuit opens: each may be a copy of
/// a message, the second confirms that it is a habit.
pub(super) const UNREAD: u32 = 2;

/// How long a circuit that nobody used again is remembered.
const FORGET: Duration = Duration::from_secs(600);

/// A digest of credentials: tells one set from another and nothing more.
pub(super) type Fingerprint = [u8; 32];

/// What an answer can say is broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Circuit {
    Key(Fingerprint),
    Topic(String),
    /// What the endpoint says, to whatever message.
    Api(Endpoint),
}

/// What a send goes over: all that may be broken for the next one, too.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub key: Fingerprint,
    pub topic: String,
    pub endpoint: Endpoint,
}

impl Way {
    /// What an answer can say is broken.
    fn told(&self) -> [Circuit; 3] {
        [Circuit::Api(self.endpoint.clone()), Circuit::Key(self.key), Circuit::Topic(self.topic.clone())]
    }
}

struct State {
    until: Instant,
    probing: bool,
    /// Answers in a row that could not be read; `None` where one answer was enough.
    unread: Option<u32>,
    /// How often in a row it was opened.
    times: u32,
    why: Failure,
}

#[derive(Default)]
struct States {
    told: HashMap<Circuit, State>,
    outages: Outages,
}

/// The circuits of one client.
#[derive(Default)]
pub(super) struct Breaker(Mutex<States>);

/// Leave to send; the probe of each circuit whose time is over.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    probed: Vec<Circuit>,
    probe: Option<(Way, Leave)>,
}

impl Permit<'_> {
    /// Which probe of an outage its attempts are.
    pub(super) fn leave(&self) -> Leave {
        self.probe.as_ref().and_then(|(_, leave)| *leave)
    }
}

impl Breaker {
    /// Leave to send over `way`, or the failure that opened one of its circuits.
    pub(super) fn admit(&self, way: &Way, effort: Effort) -> Result<Permit<'_>, Failure> {
        let now = Instant::now();
        let mut states = self.states();
        let probed = states.admit(&way.told(), now)?;
        let leave = match states.outages.admit(way, effort, now) {
            Ok(leave) => leave,
            Err(failure) => {
                states.release(&probed);
                return Err(failure);
            }
        };
        let probe = leave.is_some().then(|| (way.clone(), leave));
        Ok(Permit { breaker: self, probed, probe })
    }

    /// Leave to go on with another key.
    pub(super) fn admit_key(&self, key: Fingerprint) -> Result<Permit<'_>, Failure> {
        let probed = self.states().admit(&[Circuit::Key(key)], Instant::now())?;
        Ok(Permit { breaker: self, probed, probe: None })
    }

    /// The failure with which an answer opened one of the circuits of `way` after the send was admitted.
    pub(super) fn opened(&self, way: &Way) -> Option<Failure> {
        let now = Instant::now();
        let states = self.states();
        let told = way.told();
        let mut known = told.iter().filter_map(|circuit| states.told.get(circuit));
        known.find(|state| state.is_open(now)).map(|state| state.refusal(now))
    }

    /// Whether there is an outage on `way`.
    pub(super) fn is_out(&self, way: &Way) -> bool {
        self.states().outages.open_on(way).is_some()
    }

    /// The widest circuit of `way` that is open.
    pub(super) fn reach(&self, way: &Way) -> Option<Reach> {
        let now = Instant::now();
        let mut states = self.states();
        let holds = |state: &State| state.is_open(now) || (state.is_broken() && state.probing);
        let told = way.told();
        let told =
            told.iter().find(|circuit| states.told.get(circuit).is_some_and(holds)).map(Circuit::reach);
        let outage = states.outages.open_on(way);
        told.into_iter().chain(outage).max()
    }

    /// A message was stored: all of `way` works.
    pub(super) fn close(&self, way: &Way) {
        let now = Instant::now();
        let mut states = self.states();
        let mut changes = states.outages.sound(way, true, now);
        let told = if states.told.is_empty() { Vec::new() } else { way.told().into() };
        for circuit in told {
            if states.told.remove(&circuit).is_some_and(|state| state.is_broken()) {
                changes.push(Change::Closed(circuit.reach()));
            }
        }
        drop(states);
        tell(way, &changes);
    }

    /// Whether what an attempt over `way` met can be read. If it cannot, for the second time in a row, what
    /// to tell instead of `failure`.
    pub(super) fn reached(&self, way: &Way, failure: &Failure) -> Option<Failure> {
        if failure.unreachable {
            return None;
        }
        let mut states = self.states();
        let circuit = Circuit::Api(way.endpoint.clone());
        if !failure.unread {
            // The API's own words can be read again; what anybody else says of it proves nothing.
            if failure.code.is_some() && states.told.get(&circuit).is_some_and(|state| state.unread.is_some())
            {
                states.told.remove(&circuit);
            }
            return None;
        }
        let now = Instant::now();
        let new = || State { unread: Some(0), ..State::new(now, failure) };
        let state = states.told.entry(circuit).or_insert_with(new);
        if let Some(unread) = &mut state.unread {
            *unread = unread.saturating_add(1);
        }
        if !state.is_broken() {
            return None;
        }
        let unreadable = unreadable(failure);
        let is_new = state.unread == Some(UNREAD);
        (state.until, state.why) = (now + SHORT_OPEN, unreadable.clone());
        drop(states);
        if is_new {
            tell(way, &[Change::Opened(Reach::Endpoint, unreadable.clone())]);
        }
        Some(unreadable)
    }

    /// An attempt over `way` has failed, which was begun at `begun`: what that says of an outage.
    pub(super) fn attempted(&self, way: &Way, leave: Leave, begun: Instant, failure: &Failure) {
        let now = Instant::now();
        let mut states = self.states();
        let changes = match failure.class {
            Class::Throttle | Class::Transient | Class::Ambiguous => {
                states.outages.failed(way, leave, failure, (begun, now))
            }
            // Who refuses a message is there.
            Class::Permanent | Class::TooLarge => states.outages.sound(way, false, now),
            _ => {
                states.outages.leave(way, leave);
                Vec::new()
            }
        };
        drop(states);
        tell(way, &changes);
    }

    /// A send over `way` ended with `failure`, which opens a circuit if it is of a kind that the next
    /// send would meet again.
    pub(super) fn failed(&self, way: &Way, failure: &Failure) {
        let [api, key, topic] = way.told();
        let circuit = match failure.class {
            // A clock that cannot be corrected fails signatures like a wrong key does.
            Class::Auth | Class::ClockSkew | Class::AuthRefresh => key,
            Class::Config | Class::Permission | Class::Quota if failure.scope == Scope::Api => api,
            Class::Config | Class::Permission | Class::Quota => topic,
            _ => return,
        };
        let reach = circuit.reach();
        let now = Instant::now();
        let mut states = self.states();
        // Topics and keys come and go; what nobody asks for any more is dropped here.
        states.told.retain(|_, state| now < state.until + FORGET);
        states.make_room();
        let known = states.told.get(&circuit).filter(|state| state.is_broken());
        let is_new = known.is_none();
        // Those that failed together were refused once.
        let times = known.map_or(1, |state| state.times.saturating_add(u32::from(state.until <= now)));
        let until = now + open_for(failure, times);
        states.told.insert(circuit, State { until, times, ..State::new(now, failure) });
        drop(states);
        if is_new {
            tell(way, &[Change::Opened(reach, failure.clone())]);
        }
    }

    /// How many circuits are open.
    pub(super) fn open(&self) -> Open {
        let now = Instant::now();
        let states = self.states();
        let mut open = states.outages.open(now);
        for (circuit, state) in &states.told {
            if state.is_broken() && now < state.until + FORGET {
                match circuit.reach() {
                    Reach::Topic => open.topic += 1,
                    Reach::Key => open.key += 1,
                    Reach::Endpoint => open.endpoint += 1,
                }
            }
        }
        open
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    /// Leave to send over all of `circuits`: those whose probe it is.
    fn admit(&mut self, circuits: &[Circuit], now: Instant) -> Result<Vec<Circuit>, Failure> {
        let known = || circuits.iter().filter(|c| self.told.get(c).is_some_and(State::is_broken));
        for state in known().filter_map(|c| self.told.get(c)) {
            if state.until > now || state.probing {
                return Err(state.refusal(now));
            }
        }
        let probed: Vec<Circuit> = known().cloned().collect();
        for circuit in &probed {
            if let Some(state) = self.told.get_mut(circuit) {
                state.probing = true;
            }
        }
        Ok(probed)
    }

    /// Forgets the topic that would be tried next of all, if there are too many circuits: a sender may name topics,
    /// and it costs one failure more.
    fn make_room(&mut self) {
        if self.told.len() < MOST {
            return;
        }
        let topics = self.told.iter().filter(|(circuit, _)| matches!(circuit, Circuit::Topic(_)));
        let first = topics.min_by_key(|(_, state)| state.until).map(|(circuit, _)| circuit.clone());
        if let Some(first) = first {
            self.told.remove(&first);
        }
    }

    fn release(&mut self, probed: &[Circuit]) {
        for circuit in probed {
            if let Some(state) = self.told.get_mut(circuit) {
                state.probing = false;
            }
        }
    }
}

/// For how long a failure opens its circuit that has done so `times` times in a row.
const fn open_for(failure: &Failure, times: u32) -> Duration {
    match (failure.class, failure.lock) {
        (Class::Auth | Class::ClockSkew, Lock::Key) => AUTH_OPEN,
        (Class::Auth | Class::ClockSkew, Lock::User) if times > 1 => AUTH_OPEN,
        _ => SHORT_OPEN,
    }
}

impl Circuit {
    const fn reach(&self) -> Reach {
        match self {
            Self::Key(_) => Reach::Key,
            Self::Topic(_) => Reach::Topic,
            Self::Api(_) => Reach::Endpoint,
        }
    }
}

impl State {
    fn new(until: Instant, why: &Failure) -> Self {
        Self { until, probing: false, unread: None, times: 0, why: why.clone() }
    }

    /// Why nothing is sent over it now.
    fn refusal(&self, now: Instant) -> Failure {
        refusal(&self.why, self.until.saturating_duration_since(now))
    }

    /// Not so after one answer that could not be read.
    fn is_broken(&self) -> bool {
        self.unread.is_none_or(|unread| unread >= UNREAD)
    }

    fn is_open(&self, now: Instant) -> bool {
        self.is_broken() && self.until > now
    }
}

/// Why nothing is sent for `wait`, where `why` has opened a circuit.
pub(super) fn refusal(why: &Failure, wait: Duration) -> Failure {
    Failure {
        // Without the time, which is a field: what is written down of it is read later.
        detail: format!("not tried again so soon after: {}", why.detail),
        retry_after: Some(wait),
        maybe_stored: false,
        ..why.clone()
    }
}

/// What it is when answers of success cannot be read time after time: something stands between that a
/// person has to look at, and each further attempt would be a further copy.
pub(super) fn unreadable(failure: &Failure) -> Failure {
    let detail = format!("messages may be stored, but the answers cannot be read: {}", failure.detail);
    Failure { class: Class::Config, detail, scope: Scope::Api, ..failure.clone() }
}

/// A line of the log for each.
fn tell(way: &Way, changes: &[Change]) {
    let host = way.endpoint.host();
    for change in changes {
        let topic = |reach: &Reach| (*reach == Reach::Topic).then_some(way.topic.as_str());
        match change {
            Change::Opened(reach, why) => {
                let (class, code) = (why.class.as_str(), why.code.as_deref());
                let (circuit, topic, reason) = (reach.as_str(), topic(reach), &why.detail);
                tracing::warn!(circuit, topic, host, class, code, reason, "circuit opened");
            }
            Change::Closed(reach) => {
                tracing::info!(circuit = reach.as_str(), topic = topic(reach), host, "circuit closed");
            }
            Change::Slowed(rate) => {
                tracing::warn!(topic = way.topic, host, rate, "the queue asks for fewer messages");
            }
        }
    }
}

/// A probe that ended, however it ended, makes room for the next one.
impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probed.is_empty() && self.probe.is_none() {
            return;
        }
        let mut states = self.breaker.states();
        states.release(&self.probed);
        if let Some((way, leave)) = &self.probe {
            states.outages.leave(way, *leave);
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
