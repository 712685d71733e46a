//! Memory limit for the deliveries of a run, counted in bytes instead of deliveries.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::delivery::Content;
use crate::json;
use crate::message::{MAX_TEXT, Recipe};
use crate::spill::Record;

/// Upper bound on the memory of the deliveries in hand, in bytes, for all targets together. The shipped
/// function has 128 MB, of which the process itself, its connections and the pages in hand take some fifteen.
const BYTES: u64 = 56 << 20;

/// Size of a place in bytes: it covers the needs of a small delivery beyond its size.
const PLACE: u64 = 64 << 10;

/// Number of places that a small delivery takes.
const FEW: usize = 16;

/// Upper bound on the memory of a message while it is sent, in bytes: its text, the request, and an answer
/// that echoes it.
const MESSAGE: u64 = 28 << 20;

/// Room that the redrivers of one process share.
#[derive(Clone, Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    freed: watch::Sender<()>,
}

/// Part of the room that a delivery in hand holds until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    places: OwnedSemaphorePermit,
    freed: watch::Sender<()>,
}

impl Default for Room {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(places(BYTES) as usize)), freed: watch::Sender::default() }
    }
}

impl Room {
    /// Waits until there is room for an object of this size with any content; an object that needs more than
    /// the whole room gets all of it.
    pub(super) async fn take(&self, size: u64) -> Option<Held> {
        let taken = Arc::clone(&self.places).acquire_many_owned(places(need(size))).await;
        taken.ok().map(|places| self.held(places))
    }

    /// Takes the same room if it is free now and nobody waits for it.
    pub(super) fn try_take(&self, size: u64) -> Option<Held> {
        let taken = Arc::clone(&self.places).try_acquire_many_owned(places(need(size)));
        taken.ok().map(|places| self.held(places))
    }

    fn held(&self, places: OwnedSemaphorePermit) -> Held {
        Held { places, freed: self.freed.clone() }
    }

    /// Returns a receiver that changes when a delivery in hand gives back a part of its room.
    pub(super) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }
}

impl Held {
    /// Gives back the room that the record does not need, now that the content of its object is known. A
    /// small hold is kept as it is.
    pub(super) fn keep_for(&mut self, record: &Record) {
        if self.places.num_permits() > FEW {
            self.keep(footprint(record));
        }
    }

    fn keep(&mut self, bytes: usize) {
        let needed = places(u64::try_from(bytes).unwrap_or(u64::MAX)) as usize;
        let rest = self.places.num_permits().saturating_sub(needed);
        drop(self.places.split(rest));
        self.freed.send_replace(());
    }
}

/// Returns the memory in bytes that an object of this size may need with any content.
fn need(size: u64) -> u64 {
    // The object and the data parsed from it count twice the size. Three quarters of a record without a
    // message are body: if the body is control characters, its text has six times as many bytes, and the
    // request and its echo seven.
    size.saturating_mul(2).saturating_add(size.saturating_mul(16).min(MESSAGE))
}

/// Estimates the memory of a record in bytes until its delivery is sent or moved.
fn footprint(record: &Record) -> usize {
    let Content { body, original, .. } = &*record.delivery;
    let text = record.message.as_ref().map_or("", |message| &message.text);
    // The request and its echo hold the text as a JSON string.
    let stored = json::string_len(text).saturating_mul(2);
    // The message may be rendered again, with or without the encrypted body, but not above the limit of a
    // queue. Text that is escaped already grows to twice its size at most.
    let least = [true, false].map(|has_original| Recipe::least(&record.delivery, has_original));
    let anew = least.into_iter().find(|least| *least <= MAX_TEXT).unwrap_or_default().saturating_mul(5);
    let own = body.len() + original.as_ref().map_or(0, Bytes::len) + text.len();
    own.saturating_add(stored.max(anew))
}

fn places(bytes: u64) -> u32 {
    // The number of places is small.
    u32::try_from(bytes.clamp(1, BYTES).div_ceil(PLACE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn bytes_count_and_one_always_fits() {
        let room = Room::default();
        let mut huge = room.take(u64::MAX).await.unwrap();
        assert!(room.take(1).now_or_never().is_none());
        huge.keep(8 << 20);
        let small: Vec<_> = (0..32).map(|_| room.take(64 << 10).now_or_never()).collect();
        assert!(small.iter().all(Option::is_some), "what is not needed is for others");
        huge.keep(usize::MAX);
        assert!(room.take(1 << 20).now_or_never().is_none(), "and does not come back");
        drop((huge, small));
        assert!(room.take(u64::MAX).now_or_never().is_some());
    }
}
