//! How much one server holds at a time: requests in flight, and the bytes of their bodies.
//!
//! What does not fit is refused at once: a queue in front of the server's own would only make each
//! delivery later than its sender waits.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// Requests that were begun and not answered.
    pub(crate) requests: usize,
    /// Bytes reserved for their bodies.
    pub(crate) bytes: usize,
}

/// The room of one server.
#[derive(Debug)]
pub(super) struct Room {
    most: InFlight,
    requests: Semaphore,
    bytes: Semaphore,
}

/// One request's part, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'r> {
    room: &'r Room,
    _request: SemaphorePermit<'r>,
    bytes: Option<SemaphorePermit<'r>>,
}

impl Room {
    /// Room for this much.
    pub(super) fn new(most: InFlight) -> Self {
        let most = InFlight {
            requests: most.requests.min(Semaphore::MAX_PERMITS),
            bytes: most.bytes.min(Semaphore::MAX_PERMITS),
        };
        Self { most, requests: Semaphore::new(most.requests), bytes: Semaphore::new(most.bytes) }
    }

    /// A place for one more request, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        let request = self.requests.try_acquire().ok()?;
        Some(Place { room: self, _request: request, bytes: None })
    }

    /// What is held now.
    pub(super) fn held(&self) -> InFlight {
        InFlight {
            requests: self.most.requests.saturating_sub(self.requests.available_permits()),
            bytes: self.most.bytes.saturating_sub(self.bytes.available_permits()),
        }
    }
}

impl Place<'_> {
    /// Reserves more bytes for the request's body; whether there was room for them.
    pub(super) fn reserve(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = self.room.bytes.try_acquire_many(bytes) else { return false };
        match &mut self.bytes {
            Some(held) => held.merge(more),
            None => self.bytes = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_had_again() {
        let room = Room::new(InFlight { requests: 2, bytes: 10 });
        let mut first = room.enter().unwrap();
        let mut second = room.enter().unwrap();
        assert!(room.enter().is_none());
        assert!(first.reserve(4) && first.reserve(3) && !second.reserve(4) && second.reserve(3));
        assert_eq!(room.held(), InFlight { requests: 2, bytes: 10 });
        drop(first);
        assert_eq!(room.held(), InFlight { requests: 1, bytes: 3 });
        assert!(second.reserve(7) && !second.reserve(1) && second.reserve(0));
        assert!(room.enter().is_some_and(|mut third| !third.reserve(usize::MAX)));
        drop(second);
        assert_eq!(room.held(), InFlight::default());
    }
}
