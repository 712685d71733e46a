//! Circuit breaker: a way to a queue that is known to fail is not tried again for a while.
//!
//! A circuit is as narrow as its cause: one key, one topic, one API, one endpoint. An answer that also holds
//! for later messages (a key is refused, a topic does not exist) opens its circuit at once and for a time.
//! While the circuit is open, sends end at once with the failure that opened it. When its time is over, one
//! send is the probe; the others still end at once until the probe has ended. DMS locks a key for five
//! minutes after five failed signatures in a row, so a wrong key must not be tried with every delivery. An
//! outage is recognized from several attempts together: [`Outages`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::outage::{Change, Leave, MOST, Outages};
use super::{Class, Effort, Open, Reach};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::{Failure, Lock, Scope};

/// Open time of a key's circuit: a little over the time for which DMS locks a key.
const AUTH_OPEN: Duration = Duration::from_secs(310);

/// Open time for a cause that a person corrects, or that passes once a change is known everywhere: short, so
/// that the correction is noticed soon.
const SHORT_OPEN: Duration = Duration::from_secs(30);

/// Number of successful answers in a row without a message id that opens an API's circuit. Each of them may
/// be a copy of a message, and the second one confirms that the answers stay unreadable.
pub(super) const UNREAD: u32 = 2;

/// Time for which an unused circuit is remembered after its open time.
const FORGET: Duration = Duration::from_secs(600);

/// Digest of credentials, which only serves to tell one set from another.
pub(super) type Fingerprint = [u8; 32];

/// Part of a way that one answer can report as broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Circuit {
    Key(Fingerprint),
    Topic(String),
    /// API of an endpoint: the answer would be the same for every message.
    Api(Endpoint),
}

/// Key, topic and endpoint of a send: each of them may be broken for the next send, too.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub key: Fingerprint,
    pub topic: String,
    pub endpoint: Endpoint,
}

impl Way {
    /// Returns the circuits that an answer can open.
    fn told(&self) -> [Circuit; 3] {
        [Circuit::Api(self.endpoint.clone()), Circuit::Key(self.key), Circuit::Topic(self.topic.clone())]
    }
}

struct State {
    until: Instant,
    probing: bool,
    /// Number of unreadable answers in a row; `None` if a single answer opened the circuit.
    unread: Option<u32>,
    /// Number of times in a row that the circuit was opened.
    times: u32,
    why: Failure,
}

#[derive(Default)]
struct States {
    told: HashMap<Circuit, State>,
    outages: Outages,
}

/// Circuits of one client.
#[derive(Default)]
pub(super) struct Breaker(Mutex<States>);

/// Permission to send. It is also the probe of each circuit whose time is over.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    probed: Vec<Circuit>,
    probe: Option<(Way, Leave)>,
}

impl Permit<'_> {
    /// Returns the number of the outage's probe that the send's attempts are; `None` if they are not a probe.
    pub(super) fn leave(&self) -> Leave {
        self.probe.as_ref().and_then(|(_, leave)| *leave)
    }
}

impl Breaker {
    /// Admits a send over `way`, or returns the failure that opened one of its circuits.
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

    /// Admits a send that goes on with another key, or returns the failure that opened that key's circuit.
    pub(super) fn admit_key(&self, key: Fingerprint) -> Result<Permit<'_>, Failure> {
        let probed = self.states().admit(&[Circuit::Key(key)], Instant::now())?;
        Ok(Permit { breaker: self, probed, probe: None })
    }

    /// Returns the failure with which an answer opened a circuit of `way` after the send was admitted.
    pub(super) fn opened(&self, way: &Way) -> Option<Failure> {
        let now = Instant::now();
        let states = self.states();
        let told = way.told();
        let mut known = told.iter().filter_map(|circuit| states.told.get(circuit));
        known.find(|state| state.is_open(now)).map(|state| state.refusal(now))
    }

    /// Returns true if an outage has opened a circuit of `way`.
    pub(super) fn is_out(&self, way: &Way) -> bool {
        self.states().outages.open_on(way).is_some()
    }

    /// Returns the reach of the widest open circuit of `way`.
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

    /// Closes all circuits of `way`, because a message was stored over it.
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

    /// Records whether the answer to an attempt over `way` was readable. From the second unreadable answer in
    /// a row on, returns the failure to report instead of `failure`.
    pub(super) fn reached(&self, way: &Way, failure: &Failure) -> Option<Failure> {
        if failure.unreachable {
            return None;
        }
        let mut states = self.states();
        let circuit = Circuit::Api(way.endpoint.clone());
        if !failure.unread {
            // An error code of the API proves that its answers are readable again; an answer from a proxy
            // proves nothing.
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

    /// Records that an attempt over `way`, begun at `begun`, has failed, and opens the circuit of an outage
    /// if due.
    pub(super) fn attempted(&self, way: &Way, leave: Leave, begun: Instant, failure: &Failure) {
        let now = Instant::now();
        let mut states = self.states();
        let changes = match failure.class {
            Class::Throttle | Class::Transient | Class::Ambiguous => {
                states.outages.failed(way, leave, failure, (begun, now))
            }
            // A vendor that refuses one message is reachable.
            Class::Permanent | Class::TooLarge => states.outages.sound(way, false, now),
            _ => {
                states.outages.leave(way, leave);
                Vec::new()
            }
        };
        drop(states);
        tell(way, &changes);
    }

    /// Records that a send over `way` ended with `failure`, and opens a circuit if the next send would meet
    /// the same failure.
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
        // Topics and keys come and go; circuits that no send asks for any more are dropped here.
        states.told.retain(|_, state| now < state.until + FORGET);
        states.make_room();
        let known = states.told.get(&circuit).filter(|state| state.is_broken());
        let is_new = known.is_none();
        // Sends that were under way together count as one refusal.
        let times = known.map_or(1, |state| state.times.saturating_add(u32::from(state.until <= now)));
        let until = now + open_for(failure, times);
        states.told.insert(circuit, State { until, times, ..State::new(now, failure) });
        drop(states);
        if is_new {
            tell(way, &[Change::Opened(reach, failure.clone())]);
        }
    }

    /// Returns the number of open circuits, those of outages included.
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
    /// Admits a send over all of `circuits`, and returns the circuits that it probes.
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

    /// Forgets the topic whose probe is due first if there are too many circuits: a sender may choose the
    /// topics, and a forgotten one costs one more failure.
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

/// Returns the open time of a circuit whose failure has opened it `times` times in a row.
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

    /// Builds the failure of a send that this circuit refuses now.
    fn refusal(&self, now: Instant) -> Failure {
        refusal(&self.why, self.until.saturating_duration_since(now))
    }

    /// Returns true if the circuit may refuse sends: one unreadable answer alone does not open it.
    fn is_broken(&self) -> bool {
        self.unread.is_none_or(|unread| unread >= UNREAD)
    }

    fn is_open(&self, now: Instant) -> bool {
        self.is_broken() && self.until > now
    }
}

/// Builds the failure of a send that is refused for `wait`, because `why` has opened a circuit.
pub(super) fn refusal(why: &Failure, wait: Duration) -> Failure {
    Failure {
        // The text leaves the time out, which is a field: a stored text is read later.
        detail: format!("not tried again so soon after: {}", why.detail),
        retry_after: Some(wait),
        maybe_stored: false,
        ..why.clone()
    }
}

/// Builds the failure for successful answers that stay unreadable: an operator has to look at the proxy on
/// the way, and each further attempt would be a further copy.
pub(super) fn unreadable(failure: &Failure) -> Failure {
    let detail = format!("messages may be stored, but the answers cannot be read: {}", failure.detail);
    Failure { class: Class::Config, detail, scope: Scope::Api, ..failure.clone() }
}

/// Logs each change of a circuit, on a line of its own.
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

/// End of a probe, with any outcome: it makes room for the next one.
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
