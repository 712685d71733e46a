//! Circuits: what is known to fail is not tried again for a while.
//!
//! A circuit is as narrow as its cause: one key, one topic, one API, one endpoint. While it is open, sends end
//! at once with the failure that opened it. When its time is over, one send is the probe; the others
//! go on ending at once until the probe tells. DMS locks a key for five minutes after five failed
//! signatures in a row, so a wrong key must not be tried with every delivery.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Class;
use super::answer::{Failure, Scope};
use super::endpoint::Endpoint;

/// A little over the time for which DMS locks a key.
const AUTH_OPEN: Duration = Duration::from_secs(310);

/// For what somebody corrects by hand: soon enough that the correction is noticed.
const SHORT_OPEN: Duration = Duration::from_secs(30);

/// Failed connections in a row that open an endpoint's circuit.
const UNREACHABLE: u32 = 3;

/// Answers of success in a row that name no message, until an API's circuit opens: each may be a copy of
/// a message, the second confirms that it is a habit.
pub(super) const UNREAD: u32 = 2;

/// Long enough to spare a dead endpoint, short enough for one that restarts.
const ENDPOINT_OPEN: Duration = Duration::from_secs(5);

/// How long a circuit that nobody used again is remembered.
const FORGET: Duration = Duration::from_secs(600);

/// A digest of credentials: tells one set from another and nothing more.
pub(super) type Fingerprint = [u8; 32];

/// What can be broken on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Circuit {
    Key(Fingerprint),
    Topic(String),
    /// What the endpoint says, to whatever message.
    Api(Endpoint),
    /// That it can be reached.
    Endpoint(Endpoint),
}

/// What a send goes over: all that may be broken for the next one, too.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub key: Fingerprint,
    pub topic: String,
    pub endpoint: Endpoint,
}

impl Way {
    /// All of its circuits.
    pub(super) fn circuits(&self) -> [Circuit; 4] {
        let [key, topic, api] = self.told();
        [key, topic, api, Circuit::Endpoint(self.endpoint.clone())]
    }

    /// Those that an answer opens.
    pub(super) fn told(&self) -> [Circuit; 3] {
        [Circuit::Key(self.key), Circuit::Topic(self.topic.clone()), Circuit::Api(self.endpoint.clone())]
    }
}

struct State {
    until: Instant,
    probing: bool,
    /// What opens the circuit once there are enough in a row; `None` where one was enough.
    count: Option<Count>,
    why: Failure,
}

/// Failures that prove nothing one by one.
#[derive(Clone, Copy)]
struct Count {
    seen: u32,
    enough: u32,
}

/// The circuits of one client.
#[derive(Default)]
pub(super) struct Breaker(Mutex<HashMap<Circuit, State>>);

/// Leave to send; the probe of each circuit whose time is over.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    probed: Vec<Circuit>,
}

impl Breaker {
    /// Leave to send over all of `circuits`, or the failure that opened one of them.
    pub(super) fn admit(&self, circuits: &[Circuit]) -> Result<Permit<'_>, Failure> {
        let now = Instant::now();
        let mut states = self.states();
        let known = || circuits.iter().filter(|c| states.get(c).is_some_and(State::is_broken));
        for state in known().filter_map(|c| states.get(c)) {
            if state.until > now || state.probing {
                return Err(state.refusal(now));
            }
        }
        let probed: Vec<Circuit> = known().cloned().collect();
        for circuit in &probed {
            if let Some(state) = states.get_mut(circuit) {
                state.probing = true;
            }
        }
        Ok(Permit { breaker: self, probed })
    }

    /// The failure that opened one of `circuits` after the send was admitted.
    pub(super) fn opened(&self, circuits: &[Circuit]) -> Option<Failure> {
        let now = Instant::now();
        let states = self.states();
        let open = |state: &&State| state.is_broken() && state.until > now;
        circuits.iter().filter_map(|c| states.get(c)).find(open).map(|state| state.refusal(now))
    }

    /// A message was stored: all of `way` works.
    pub(super) fn close(&self, way: &Way) {
        let mut states = self.states();
        for circuit in way.circuits() {
            states.remove(&circuit);
        }
    }

    /// What an attempt over `endpoint` met, which decides over the endpoint's circuits: whether it was
    /// reached, and whether its answers can be read. If they cannot, for the second time in a row, what
    /// to tell instead of `failure`.
    pub(super) fn reached(&self, endpoint: &Endpoint, failure: &Failure) -> Option<Failure> {
        let mut states = self.states();
        let circuit = Circuit::Endpoint(endpoint.clone());
        if failure.unreachable {
            count(&mut states, circuit, UNREACHABLE, ENDPOINT_OPEN, failure);
            return None;
        }
        states.remove(&circuit);
        let circuit = Circuit::Api(endpoint.clone());
        if failure.unread {
            let unreadable = unreadable(failure);
            return count(&mut states, circuit, UNREAD, SHORT_OPEN, &unreadable).then_some(unreadable);
        }
        // The API's own words can be read again; what anybody else says of it proves nothing.
        if failure.code.is_some() && states.get(&circuit).is_some_and(|state| state.count.is_some()) {
            states.remove(&circuit);
        }
        None
    }

    /// A send over `way` ended with `failure`, which opens a circuit if it is of a kind that the next
    /// send would meet again.
    pub(super) fn failed(&self, way: &Way, failure: &Failure) {
        let [key, topic, api] = way.told();
        let (circuit, open) = match failure.class {
            // A clock that cannot be corrected fails signatures like a wrong key does.
            Class::Auth | Class::ClockSkew => (key, AUTH_OPEN),
            Class::AuthRefresh => (key, SHORT_OPEN),
            Class::Config | Class::Permission | Class::Quota if failure.scope == Scope::Api => {
                (api, SHORT_OPEN)
            }
            Class::Config | Class::Permission | Class::Quota => (topic, SHORT_OPEN),
            _ => return,
        };
        let now = Instant::now();
        let mut states = self.states();
        // Topics and keys come and go; what nobody asks for any more is dropped here.
        states.retain(|_, state| now < state.until + FORGET);
        states.insert(circuit, State { until: now + open, ..State::new(now, failure) });
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Circuit, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(until: Instant, why: &Failure) -> Self {
        Self { until, probing: false, count: None, why: why.clone() }
    }

    /// Why nothing is sent over it now.
    fn refusal(&self, now: Instant) -> Failure {
        let wait = self.until.saturating_duration_since(now);
        Failure {
            // Without the time, which is a field: what is written down of it is read later.
            detail: format!("not tried again so soon after: {}", self.why.detail),
            retry_after: Some(wait),
            maybe_stored: false,
            ..self.why.clone()
        }
    }

    /// Not so after a connection or two that could not be made, or one answer that could not be read.
    fn is_broken(&self) -> bool {
        self.count.is_none_or(|count| count.seen >= count.enough)
    }
}

/// Counts one more failure in a row towards `circuit`, which opens with enough of them. Whether it did.
fn count(
    states: &mut HashMap<Circuit, State>,
    circuit: Circuit,
    enough: u32,
    open: Duration,
    failure: &Failure,
) -> bool {
    let now = Instant::now();
    let state = states
        .entry(circuit)
        .or_insert_with(|| State { count: Some(Count { seen: 0, enough }), ..State::new(now, failure) });
    if let Some(count) = &mut state.count {
        count.seen = count.seen.saturating_add(1);
    }
    let is_broken = state.is_broken();
    if is_broken {
        state.until = now + open;
        state.why = failure.clone();
    }
    is_broken
}

/// What it is when answers of success cannot be read time after time: something stands between that a
/// person has to look at, and each further attempt would be a further copy.
pub(super) fn unreadable(failure: &Failure) -> Failure {
    let detail = format!("messages may be stored, but the answers cannot be read: {}", failure.detail);
    Failure { class: Class::Config, detail, scope: Scope::Api, ..failure.clone() }
}

/// A probe that ended, however it ended, makes room for the next one.
impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut states = self.breaker.states();
        for circuit in &self.probed {
            if let Some(state) = states.get_mut(circuit) {
                state.probing = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn way(topic: &str) -> Way {
        let endpoint = Endpoint::parse("https://a.example", false).unwrap();
        Way { key: [1; 32], topic: topic.into(), endpoint }
    }

    fn failure(class: Class) -> Failure {
        Failure { maybe_stored: true, ..Failure::new(class, "why") }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_left_alone_and_then_probed_once() {
        let breaker = Breaker::default();
        let key = [Circuit::Key([1; 32]), Circuit::Topic("t".into())];
        breaker.failed(&way("t"), &failure(Class::Auth));
        advance(Duration::from_secs(300)).await;
        let refused = breaker.admit(&key).err().unwrap();
        assert_eq!((refused.class, refused.maybe_stored), (Class::Auth, false));
        assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
        assert!(breaker.admit(&[Circuit::Key([2; 32]), Circuit::Topic("t".into())]).is_ok());

        advance(Duration::from_secs(10)).await;
        let probe = breaker.admit(&key).ok().unwrap();
        assert!(breaker.admit(&key).is_err(), "one probe at a time");
        drop(probe);
        let probe = breaker.admit(&key).ok().unwrap();
        breaker.failed(&way("t"), &failure(Class::Auth));
        drop(probe);
        assert!(breaker.admit(&key).is_err(), "a failed probe opens the circuit again");

        advance(AUTH_OPEN).await;
        let probe = breaker.admit(&key).ok().unwrap();
        breaker.close(&way("t"));
        drop(probe);
        assert!(breaker.admit(&key).is_ok() && breaker.admit(&key).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_will_fail_again_opens_a_circuit() {
        use Class::{
            Ambiguous, AuthRefresh, ClockSkew, Config, Permanent, Permission, Quota, Throttle, TooLarge,
            Transient,
        };
        for (class, key, topic) in [
            (AuthRefresh, true, false),
            (Config, false, true),
            (Permission, false, true),
            (Permanent, false, false),
            (TooLarge, false, false),
            (Quota, false, true),
            (ClockSkew, true, false),
            (Throttle, false, false),
            (Transient, false, false),
            (Ambiguous, false, false),
        ] {
            let breaker = Breaker::default();
            breaker.failed(&way("t"), &failure(class));
            assert_eq!(breaker.admit(&[Circuit::Key([1; 32])]).is_err(), key, "{class:?}");
            assert_eq!(breaker.admit(&[Circuit::Topic("t".into())]).is_err(), topic, "{class:?}");
            assert!(breaker.admit(&way("other").told()[1..]).is_ok(), "{class:?}: one topic's is no other's");
            advance(if class == ClockSkew { AUTH_OPEN } else { SHORT_OPEN }).await;
            assert!(breaker.admit(&[Circuit::Key([1; 32]), Circuit::Topic("t".into())]).is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_endpoint_is_spared_for_seconds() {
        let breaker = Breaker::default();
        let endpoint = Endpoint::parse("https://a.example", false).unwrap();
        let circuit = [Circuit::Endpoint(endpoint.clone())];
        let dead = Failure { unreachable: true, ..failure(Class::Transient) };
        let unreachable = |times| {
            for _ in 0..times {
                assert_eq!(breaker.reached(&endpoint, &dead), None);
            }
        };
        unreachable(2);
        breaker.reached(&endpoint, &failure(Class::Ambiguous));
        unreachable(2);
        assert!(breaker.admit(&circuit).is_ok(), "only failures in a row count");
        unreachable(1);
        assert!(breaker.admit(&circuit).is_err());
        advance(ENDPOINT_OPEN).await;
        let probe = breaker.admit(&circuit).ok().unwrap();
        unreachable(1);
        drop(probe);
        assert!(breaker.admit(&circuit).is_err(), "one failed probe is enough");
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_the_same_for_all_topics_stops_all_of_them() {
        for class in [Class::Config, Class::Permission, Class::Quota] {
            let breaker = Breaker::default();
            breaker.failed(&way("t"), &Failure { scope: Scope::Api, ..failure(class) });
            assert!(breaker.admit(&way("other").circuits()).is_err(), "{class:?}");
            // What another send meets meanwhile does not close it.
            let code = Some("InternalError".to_owned());
            breaker.reached(&way("t").endpoint, &Failure { code, ..failure(Class::Transient) });
            assert!(breaker.opened(&way("other").told()).is_some(), "{class:?}");
            advance(SHORT_OPEN).await;
            assert!(breaker.admit(&way("other").circuits()).is_ok(), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_cannot_be_read_count_in_a_row() {
        let breaker = Breaker::default();
        let Way { endpoint, .. } = way("t");
        let unread = Failure { unread: true, ..failure(Class::Ambiguous) };
        let cut = failure(Class::Ambiguous);
        let readable = Failure { code: Some("X".to_owned()), ..failure(Class::Transient) };
        assert_eq!(breaker.reached(&endpoint, &unread), None);
        breaker.reached(&endpoint, &readable);
        assert_eq!(breaker.reached(&endpoint, &unread), None, "not in a row");
        breaker.reached(&endpoint, &cut);
        assert!(breaker.admit(&way("t").circuits()).is_ok());
        let told = breaker.reached(&endpoint, &unread).unwrap();
        assert_eq!((told.class, told.scope, told.maybe_stored), (Class::Config, Scope::Api, true));
        let refused = breaker.admit(&way("other").circuits()).err().unwrap();
        assert_eq!((refused.class, refused.maybe_stored), (Class::Config, false));
        advance(SHORT_OPEN).await;
        let probe = breaker.admit(&way("t").circuits()).ok().unwrap();
        assert!(breaker.reached(&endpoint, &unread).is_some(), "one failed probe is enough");
        drop(probe);
        assert!(breaker.admit(&way("t").circuits()).is_err());
        breaker.close(&way("t"));
        assert!(breaker.admit(&way("t").circuits()).is_ok());
    }
}
