//! Files, on threads that may block: few, and each kind of file has its own, so that a disk that hangs keeps
//! nobody else waiting. Names are looked up elsewhere ([`names`](crate::queue)).

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Threads for one kind of file.
pub(crate) struct Files(Semaphore);

/// The stores' objects: disks gain nothing from more writers at a time, and each has memory of its own.
pub(crate) static OBJECTS: Files = Files(Semaphore::const_new(32));

/// Secrets.
pub(crate) static SECRETS: Files = Files(Semaphore::const_new(4));

/// Why a job was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    /// There was no time for it, or it may still be done.
    TimedOut,
    /// It broke off.
    Broken(String),
}

impl Files {
    /// Runs what blocks. A job that is not over in time goes on, and keeps its thread; one that has none by
    /// then is not begun.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        if Instant::now() >= deadline {
            return Err(Undone::TimedOut); // Whether it would have been quick is not left to luck.
        }
        let place = timeout_at(deadline, self.0.acquire()).await.map_err(|_| Undone::TimedOut)?;
        let place = place.map_err(|error| Undone::Broken(error.to_string()))?;
        let job = tokio::task::spawn_blocking(move || {
            let done = job();
            drop(place);
            done
        });
        let done = timeout_at(deadline, job).await.map_err(|_| Undone::TimedOut)?;
        done.map_err(|error| Undone::Broken(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_holds_few_threads() {
        static FEW: Files = Files(Semaphore::const_new(3));
        static OTHERS: Files = Files(Semaphore::const_new(1));
        let (begun, (end, hold)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel::<()>());
        let hold = Arc::new(std::sync::Mutex::new(hold));
        let soon = Instant::now() + Duration::from_millis(300);
        let hangs = (0..50).map(|_| {
            let (begun, hold) = (Arc::clone(&begun), Arc::clone(&hold));
            FEW.run(soon, move || {
                begun.fetch_add(1, Ordering::Relaxed);
                let _ = hold.lock().unwrap().recv();
            })
        });
        assert!(join_all(hangs).await.iter().all(|done| matches!(done, Err(Undone::TimedOut))));
        assert_eq!(begun.load(Ordering::Relaxed), 3);
        let far = Instant::now() + Duration::from_secs(600);
        assert!(matches!(OTHERS.run(far, || 1).await, Ok(1)));
        drop(end);
        assert!(matches!(FEW.run(far, || 2).await, Ok(2)));
    }
}
