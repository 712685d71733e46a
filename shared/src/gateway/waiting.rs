//! Memory for bodies that wait for their verification. A key or secret that cannot be had at once is waited
//! for, and anybody can forge requests that need one. The bytes of their bodies are bounded here, so that they
//! leave most of the host's room to requests that need nothing from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::env::Env;
use crate::reader::parse_size;

/// Name of the variable with the host's bound on the bytes of all bodies.
pub(crate) const BODY_BYTES: &str = "MAX_IN_FLIGHT_BYTES";

/// Default of [`BODY_BYTES`].
pub(crate) const DEFAULT_BODY_BYTES: usize = 64 << 20;

/// Parses the value of [`BODY_BYTES`]; `None` unless it is a size above zero.
pub(crate) fn body_bytes(text: &str) -> Option<usize> {
    parse_size(text).filter(|bytes| *bytes > 0)
}

/// Room for waiting bodies: a quarter of the host's, of which one hook gets half. A body always fits if
/// nothing else waits.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    most: usize,
    /// Hook and size of each waiting body.
    bodies: Mutex<Vec<(String, usize)>>,
}

/// Room that one body has, given back when it is dropped.
pub(super) struct WaitingBody {
    room: Arc<WaitingRoom>,
    hook: String,
    bytes: usize,
}

impl WaitingRoom {
    pub(super) fn from_env(env: &Env) -> Arc<Self> {
        // The host reports an unreadable value.
        let host = env.get(BODY_BYTES).and_then(|text| body_bytes(&text));
        Self::of(host.unwrap_or(DEFAULT_BODY_BYTES) / 4)
    }

    fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, bodies: Mutex::default() })
    }

    /// Takes room for a body of this hook, if there is room now.
    pub(super) fn take(self: &Arc<Self>, hook: &str, bytes: usize) -> Option<WaitingBody> {
        let mut bodies = self.bodies();
        let (mut all, mut own) = (0_usize, 0_usize);
        for (of, size) in bodies.iter() {
            all += size;
            own += if of == hook { *size } else { 0 };
        }
        let fits = |held: usize, most| held == 0 || held.saturating_add(bytes) <= most;
        if !(fits(all, self.most) && fits(own, self.most / 2)) {
            return None;
        }
        bodies.push((hook.to_owned(), bytes));
        drop(bodies);
        Some(WaitingBody { room: Arc::clone(self), hook: hook.to_owned(), bytes })
    }

    fn bodies(&self) -> MutexGuard<'_, Vec<(String, usize)>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingBody {
    fn drop(&mut self) {
        let mut bodies = self.room.bodies();
        let is_this = |(hook, bytes): &(String, usize)| *bytes == self.bytes && *hook == self.hook;
        if let Some(at) = bodies.iter().position(is_this) {
            bodies.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_body_always_fits_and_a_hook_has_half() {
        let room = WaitingRoom::of(16);
        let huge = room.take("a", 100);
        assert!(huge.is_some() && room.take("b", 1).is_none());
        drop(huge);
        let first = room.take("a", 6);
        assert!(first.is_some() && room.take("a", 3).is_none() && room.take("a", 2).is_some());
        let other = room.take("b", 10);
        assert!(other.is_some() && room.take("c", 1).is_none());
        drop((first, other));
        assert!(room.bodies().is_empty() && room.take("c", 16).is_some());
    }

    #[test]
    fn the_room_follows_the_hosts() {
        let most = |value| WaitingRoom::from_env(&Env::of([(BODY_BYTES, value)])).most;
        assert_eq!((most("8MiB"), most("x"), most("0")), (2 << 20, 16 << 20, 16 << 20));
    }
}
