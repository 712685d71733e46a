//! Capacity of one server: concurrently served requests, and the bytes of bodies.
//!
//! A request takes its place when it has arrived completely. A request without a free place is refused at
//! once: a queue in front of the server's own would only make each delivery later than its sender waits.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Amounts of requests and bytes, in use or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    /// Requests that arrived completely and are not answered yet.
    pub(super) requests: usize,
    /// Bytes of bodies, arriving ones included.
    pub(super) bytes: usize,
}

/// Capacity of one server, as two semaphores.
#[derive(Debug)]
pub(super) struct Room {
    most: InFlight,
    requests: Semaphore,
    bytes: Semaphore,
}

/// Place of a served request, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'r>(#[expect(dead_code, reason = "held, not read")] SemaphorePermit<'r>);

/// Bytes of one body, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held<'r> {
    room: &'r Room,
    bytes: usize,
    permit: Option<SemaphorePermit<'r>>,
}

impl Room {
    /// Creates a room with the capacity `most`.
    pub(super) fn new(most: InFlight) -> Self {
        let most = InFlight {
            requests: most.requests.min(Semaphore::MAX_PERMITS),
            bytes: most.bytes.min(Semaphore::MAX_PERMITS),
        };
        Self { most, requests: Semaphore::new(most.requests), bytes: Semaphore::new(most.bytes) }
    }

    /// Takes a place for one more request, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        self.requests.try_acquire().ok().map(Place)
    }

    /// Returns a hold of zero bytes, for a body that has not begun to arrive.
    pub(super) const fn nothing(&self) -> Held<'_> {
        Held { room: self, bytes: 0, permit: None }
    }

    /// Returns the whole capacity.
    pub(super) const fn most(&self) -> InFlight {
        self.most
    }

    /// Returns the capacity in use.
    pub(super) fn held(&self) -> InFlight {
        InFlight {
            requests: self.most.requests.saturating_sub(self.requests.available_permits()),
            bytes: self.most.bytes.saturating_sub(self.bytes.available_permits()),
        }
    }
}

impl<'r> Held<'r> {
    /// Returns the number of held bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more bytes; returns false and takes none if fewer are free.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let Ok(n) = u32::try_from(bytes) else { return false };
        let Ok(more) = self.room.bytes.try_acquire_many(n) else { return false };
        self.add(more);
        true
    }

    /// Waits for that many free bytes and takes them; returns false if there cannot be so many.
    pub(super) async fn wait_for(&mut self, bytes: usize) -> bool {
        let Ok(n) = u32::try_from(bytes) else { return false };
        let Ok(more) = self.room.bytes.acquire_many(n).await else { return false };
        self.add(more);
        true
    }

    fn add(&mut self, more: SemaphorePermit<'r>) {
        self.bytes += more.num_permits();
        match &mut self.permit {
            Some(held) => held.merge(more),
            None => self.permit = Some(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_back_can_be_had_again() {
        let room = Room::new(InFlight { requests: 2, bytes: 10 });
        let (first, second) = (room.enter().unwrap(), room.enter());
        assert!(second.is_some() && room.enter().is_none());
        let (mut one, mut other) = (room.nothing(), room.nothing());
        assert!(one.take(4) && one.take(3) && !other.take(4) && other.take(3));
        assert_eq!((one.bytes(), other.bytes()), (7, 3));
        assert_eq!(room.held(), InFlight { requests: 2, bytes: 10 });
        drop(first);
        assert_eq!(room.held(), InFlight { requests: 1, bytes: 10 });
        let (waited, ()) = tokio::join!(other.wait_for(7), async { drop(one) });
        assert!(waited && !other.take(1) && other.take(0) && !other.take(usize::MAX));
        drop((other, second));
        assert_eq!(room.held(), InFlight::default());
    }
}
