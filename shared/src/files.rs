//! Files, on threads that may block: few, and each kind of file has its own, so that a disk that hangs keeps
//! nobody else waiting. Names are looked up elsewhere ([`names`](crate::queue)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// Threads for one kind of file.
pub(crate) struct Files {
    places: Semaphore,
    own: Option<OwnThreads>,
    /// What is being read by itself, each with the one turn that there is for it.
    alone: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>>,
}

/// A runtime that has threads for what blocks and runs nothing else; `None` where the system gives none.
type OwnThreads = OnceLock<Option<Runtime>>;

/// The stores' objects: disks gain nothing from more writers at a time, and each has memory of its own.
pub(crate) static OBJECTS: Files = Files::of(32);

/// Listings of the stores' folders. The allocator keeps some of what a thread has freed for that thread, and the
/// names of a large folder take megabytes while they are read: few threads read all folders, and more than one, since
/// a folder may hang.
pub(crate) static LISTINGS: Files = Files::of_own_threads();

/// Threads for [`LISTINGS`].
const LISTERS: usize = 4;

/// Secrets: one that hangs keeps a thread, and no configuration has so many that hang.
pub(crate) static SECRETS: Files = Files::of(64);

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
        Self::with(threads, None)
    }

    const fn of_own_threads() -> Self {
        Self::with(LISTERS, Some(OnceLock::new()))
    }

    const fn with(threads: usize, own: Option<OwnThreads>) -> Self {
        Self { places: Semaphore::const_new(threads), own, alone: Mutex::new(BTreeMap::new()) }
    }

    /// Runs what blocks. A job that is not over in time goes on, and keeps its thread; one that has none by
    /// then is not begun.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        self.begin(deadline, job, None).await
    }

    /// As [`run`](Self::run), one job of that path at a time: one that hangs keeps one thread, however often it is
    /// asked for.
    pub(crate) async fn run_alone<T: Send + 'static>(
        &'static self,
        path: &Path,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let turn =
            timeout_at(deadline, self.turn(path).acquire_owned()).await.map_err(|_| Undone::TimedOut)?;
        let turn = turn.map_err(|error| Undone::Broken(error.to_string()))?;
        self.begin(deadline, job, Some(turn)).await
    }

    fn turn(&self, path: &Path) -> Arc<Semaphore> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has the turn, or waits for it, keeps it there.
        alone.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = alone.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Semaphore::new(1));
        alone.insert(path.to_owned(), Arc::downgrade(&turn));
        turn
    }

    async fn begin<T: Send + 'static>(
        &'static self,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<T, Undone> {
        let (told, done) = oneshot::channel();
        self.wait(deadline, Box::new(move || drop(told.send(job()))), turn).await?;
        done.await.map_err(|error| Undone::Broken(error.to_string()))
    }

    /// Of one type for all, since each type would bring the runtime's code for a task of its own.
    async fn wait(
        &'static self,
        deadline: Instant,
        job: Box<dyn FnOnce() + Send>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Undone> {
        if Instant::now() >= deadline {
            return Err(Undone::TimedOut); // Whether it would have been quick is not left to luck.
        }
        let place = timeout_at(deadline, self.places.acquire()).await.map_err(|_| Undone::TimedOut)?;
        let place = place.map_err(|error| Undone::Broken(error.to_string()))?;
        let own = self.own.as_ref().and_then(|own| own.get_or_init(own_threads).as_ref());
        let clock = Handle::current();
        let job = spawn_blocking(move || {
            let job = move || {
                let _clock = clock.enter();
                job();
            };
            // This thread waits for one of those: to the caller's clock it is what blocks.
            let done = if let Some(own) = own {
                own.handle().block_on(own.spawn_blocking(job))
            } else {
                job();
                Ok(())
            };
            drop((place, turn));
            done
        });
        let done = timeout_at(deadline, job).await.map_err(|_| Undone::TimedOut)?;
        done.flatten().map_err(|error| Undone::Broken(error.to_string()))
    }
}

fn own_threads() -> Option<Runtime> {
    Builder::new_current_thread().max_blocking_threads(LISTERS).build().ok()
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

    /// What hangs is asked for again and again, and keeps one thread: the others are for the others.
    #[tokio::test]
    async fn what_hangs_keeps_one_thread() {
        static TWO: Files = Files::of(2);
        let ((end, hold), bad, good) = (mpsc::channel::<()>(), Path::new("/bad"), Path::new("/good"));
        let hangs =
            TWO.run_alone(bad, Instant::now() + Duration::from_millis(50), move || hold.recv().is_ok());
        assert!(matches!(hangs.await, Err(Undone::TimedOut)));
        let far = Instant::now() + Duration::from_secs(600);
        for _ in 0..5 {
            let again = TWO.run_alone(bad, Instant::now() + Duration::from_millis(10), || true);
            assert!(matches!(again.await, Err(Undone::TimedOut)));
            assert!(matches!(TWO.run_alone(good, far, || 1).await, Ok(1)));
        }
        // Who still waits when it ends has its turn, and nothing is kept of any.
        let (next, ()) = futures_util::join!(TWO.run_alone(bad, far, || 2), async { drop(end) });
        assert!(matches!(next, Ok(2)));
        let kept = || {
            drop(TWO.turn(good));
            TWO.alone.lock().unwrap().len()
        };
        // A thread that has given its turn to the next one may still have it in hand.
        while kept() > 1 && Instant::now() < far {
            tokio::task::yield_now().await;
        }
        assert_eq!(kept(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn four_threads_list_all_folders_by_the_callers_clock() {
        let far = Instant::now() + Duration::from_secs(600);
        let id = || (std::thread::current().id(), Instant::now());
        let spread = join_all((0..20).map(|_| OBJECTS.run(far, id))).await;
        let spread: Vec<_> = spread.into_iter().map(|done| done.unwrap().0).collect();
        let listed = join_all((0..200).map(|_| LISTINGS.run(far, id))).await;
        let listed: Vec<_> = listed.into_iter().map(Result::unwrap).collect();
        assert!(listed.iter().all(|(id, at)| !spread.contains(id) && *at == Instant::now()));
        let threads: std::collections::HashSet<_> = listed.into_iter().map(|(id, _)| id).collect();
        assert!(threads.len() <= 4, "{threads:?}");
    }
}
