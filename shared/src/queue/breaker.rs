//! Circuits: what is known to fail is not tried again for a while.
//!
//! A circuit is as narrow as its cause: one key, one topic, one endpoint. While it is open, sends end
//! at once with the failure that opened it. When its time is over, one send is the probe; the others
//! go on ending at once until the probe tells. DMS locks a key for five minutes after five failed
//! signatures in a row, so a wrong key must not be tried with every delivery.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Class;
use super::answer::Failure;
use super::endpoint::Endpoint;

/// A little over the time for which DMS locks a key.
const AUTH_OPEN: Duration = Duration::from_secs(310);

/// For what somebody corrects by hand: soon enough that the correction is noticed.
const SHORT_OPEN: Duration = Duration::from_secs(30);

/// Failed connections in a row that open an endpoint's circuit.
const UNREACHABLE: u32 = 3;

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
    Endpoint(Endpoint),
}

struct State {
    until: Instant,
    probing: bool,
    /// Failed connections in a row, for an endpoint.
    unreachable: u32,
    why: Failure,
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

    /// The failure that opened `key`'s circuit after the send was admitted.
    pub(super) fn opened(&self, key: Fingerprint) -> Option<Failure> {
        let now = Instant::now();
        self.states().get(&Circuit::Key(key)).filter(|state| state.until > now).map(|s| s.refusal(now))
    }

    /// A message was stored: all of `circuits` work.
    pub(super) fn close(&self, circuits: &[Circuit]) {
        let mut states = self.states();
        for circuit in circuits {
            states.remove(circuit);
        }
    }

    /// Whether an attempt reached `endpoint`, which decides over its circuit.
    pub(super) fn reached(&self, endpoint: &Endpoint, failure: &Failure) {
        let circuit = Circuit::Endpoint(endpoint.clone());
        let mut states = self.states();
        if !failure.unreachable {
            states.remove(&circuit);
            return;
        }
        let now = Instant::now();
        let state = states.entry(circuit).or_insert_with(|| State::new(now, failure));
        state.unreachable += 1;
        if state.is_broken() {
            state.until = now + ENDPOINT_OPEN;
        }
    }

    /// A send over `key` and `topic` ended with `failure`, which opens a circuit if it is of a kind
    /// that the next send would meet again.
    pub(super) fn failed(&self, key: Fingerprint, topic: &str, failure: &Failure) {
        let (circuit, open) = match failure.class {
            // A clock that cannot be corrected fails signatures like a wrong key does.
            Class::Auth | Class::ClockSkew => (Circuit::Key(key), AUTH_OPEN),
            Class::AuthRefresh => (Circuit::Key(key), SHORT_OPEN),
            Class::Config | Class::Permission => (Circuit::Topic(topic.to_owned()), SHORT_OPEN),
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
        Self { until, probing: false, unreachable: 0, why: why.clone() }
    }

    /// Why nothing is sent over it now.
    fn refusal(&self, now: Instant) -> Failure {
        let wait = self.until.saturating_duration_since(now);
        Failure {
            detail: format!("not tried again for {} s after: {}", wait.as_secs(), self.why.detail),
            retry_after: Some(wait),
            maybe_stored: false,
            ..self.why.clone()
        }
    }

    /// Not so after a connection or two that could not be made.
    fn is_broken(&self) -> bool {
        self.unreachable == 0 || self.unreachable >= UNREACHABLE
    }
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

    fn failure(class: Class) -> Failure {
        Failure { maybe_stored: true, ..Failure::new(class, "why") }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_left_alone_and_then_probed_once() {
        let breaker = Breaker::default();
        let key = [Circuit::Key([1; 32]), Circuit::Topic("t".into())];
        breaker.failed([1; 32], "t", &failure(Class::Auth));
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
        breaker.failed([1; 32], "t", &failure(Class::Auth));
        drop(probe);
        assert!(breaker.admit(&key).is_err(), "a failed probe opens the circuit again");

        advance(AUTH_OPEN).await;
        let probe = breaker.admit(&key).ok().unwrap();
        breaker.close(&key);
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
            (Quota, false, false),
            (ClockSkew, true, false),
            (Throttle, false, false),
            (Transient, false, false),
            (Ambiguous, false, false),
        ] {
            let breaker = Breaker::default();
            breaker.failed([1; 32], "t", &failure(class));
            assert_eq!(breaker.admit(&[Circuit::Key([1; 32])]).is_err(), key, "{class:?}");
            assert_eq!(breaker.admit(&[Circuit::Topic("t".into())]).is_err(), topic, "{class:?}");
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
        let unreachable = |times| (0..times).for_each(|_| breaker.reached(&endpoint, &dead));
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
}
