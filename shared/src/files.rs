//! Files, on threads that may block: few, and each kind of file has its own, so that a disk that hangs keeps
//! nobody else waiting. Names are looked up elsewhere ([`names`](crate::queue)).

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// Threads for one kind of file.
pub(crate) struct Files {
    places: Semaphore,
    own: Option<OwnThread>,
}

/// A runtime that has a thread for what blocks and runs nothing else; `None` where the system gives none.
type OwnThread = OnceLock<Option<Runtime>>;

/// The stores' objects: disks gain nothing from more writers at a time, and each has memory of its own.
pub(crate) static OBJECTS: Files = Files::of(32);

/// Listings of the stores' folders. The allocator keeps some of what a thread has freed for that thread, and the
/// names of a folder of a million take tens of megabytes while they are read: one thread reads all folders.
pub(crate) static LISTINGS: Files = Files::of_own_thread();

/// Secrets.
pub(crate) static SECRETS: Files = Files::of(4);

/// Why a job was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    /// There was no time for it, or it may still be done.
    TimedOut,
    /// It broke off.
    Broken(String),
}

impl Files {
    const fn of(threads: usize) -> Self {
        Self { places: Semaphore::const_new(threads), own: None }
    }

    const fn of_own_thread() -> Self {
        Self { places: Semaphore::const_new(1), own: Some(OnceLock::new()) }
    }

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
        let place = timeout_at(deadline, self.places.acquire()).await.map_err(|_| Undone::TimedOut)?;
        let place = place.map_err(|error| Undone::Broken(error.to_string()))?;
        let own = self.own.as_ref().and_then(|own| own.get_or_init(of_one_thread).as_ref());
        let clock = Handle::current();
        let job = spawn_blocking(move || {
            let job = move || {
                let _clock = clock.enter();
                job()
            };
            let done = match own {
                // This thread waits for that one: to the caller's clock it is what blocks.
                Some(own) => own.handle().block_on(own.spawn_blocking(job)),
                None => Ok(job()),
            };
            drop(place);
            done
        });
        let done = timeout_at(deadline, job).await.map_err(|_| Undone::TimedOut)?;
        done.flatten().map_err(|error| Undone::Broken(error.to_string()))
    }
}

fn of_one_thread() -> Option<Runtime> {
    Builder::new_current_thread().max_blocking_threads(1).build().ok()
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
        static FEW: Files = Files::of(3);
        static OTHERS: Files = Files::of(1);
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

    #[tokio::test(start_paused = true)]
    async fn one_thread_lists_all_folders_by_the_callers_clock() {
        let far = Instant::now() + Duration::from_secs(600);
        let id = || (std::thread::current().id(), Instant::now());
        let spread = join_all((0..20).map(|_| OBJECTS.run(far, id))).await;
        assert!(spread.iter().all(Result::is_ok));
        let listed = join_all((0..20).map(|_| LISTINGS.run(far, id))).await;
        let [first, ..] = &listed[..] else { panic!() };
        let (thread, now) = first.as_ref().unwrap();
        assert!(listed.iter().all(|done| matches!(done, Ok((id, at)) if id == thread && at == now)));
        assert_eq!(*now, Instant::now());
    }
}
