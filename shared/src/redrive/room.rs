//! Memory for the deliveries of a run: bytes are counted, not deliveries.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of stored objects that are in hand at a time, of all targets together. One of them takes some
/// three times its size at most while it is sent: the object, the delivery in it, and the request.
const BYTES: u32 = 16 << 20;

/// One place: with it a small delivery's own needs are counted, which its size does not tell.
const PLACE: u32 = 16 << 10;

/// Room that the redrivers of one process share.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(places(u64::from(BYTES)) as usize)))
    }
}

impl Room {
    /// Waits until there is room for an object of this size; one that is larger than all the room has it
    /// alone.
    pub(super) async fn take(&self, size: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_many_owned(places(size)).await.ok()
    }
}

fn places(size: u64) -> u32 {
    let size = u32::try_from(size).unwrap_or(u32::MAX).clamp(1, BYTES);
    size.div_ceil(PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_count_and_one_always_fits() {
        let room = Room::default();
        let huge = room.take(u64::MAX).await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(room.take(1)).is_none());
        drop(huge);
        let half = room.take(8 << 20).await;
        let small: Vec<_> =
            (0..64).map(|_| futures_util::FutureExt::now_or_never(room.take(128 << 10))).collect();
        assert!(small.iter().all(Option::is_some) && half.is_some());
        assert!(futures_util::FutureExt::now_or_never(room.take(1)).is_none());
    }
}
