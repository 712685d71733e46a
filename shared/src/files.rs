//! File operations on a few blocking threads. Each kind of file has its own threads, so that a disk that
//! hangs delays only its own kind. Names are resolved elsewhere ([`names`](crate::queue)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// Threads for one kind of file.
pub(crate) struct Files {
    places: Semaphore,
    own: Option<OwnThreads>,
    /// Paths with a job of [`run_alone`](Self::run_alone) in progress or waiting, each with its single
    /// permit.
    alone: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>>,
}

/// Runtime that only provides blocking threads; `None` if the system cannot start one.
type OwnThreads = OnceLock<Option<Runtime>>;

/// Threads for the objects of stores. More writers at a time do not speed up a disk, and each writer holds an
/// object in memory.
pub(crate) static OBJECTS: Files = Files::of(32);

/// Threads for listing the folders of stores. The allocator keeps some of the memory that a thread has freed
/// for that thread, and the names of a large folder take megabytes while they are read. So few threads read
/// all folders, but more than one, since a folder may hang.
pub(crate) static LISTINGS: Files = Files::of_own_threads();

/// Number of threads for [`LISTINGS`].
const LISTERS: usize = 4;

/// Time for which an idle thread of [`LISTINGS`] is kept: longer than any run. A folder of a million objects is
/// read every few minutes, and if each read had a new thread, the allocator would keep memory for each.
const KEEP_ALIVE: Duration = Duration::from_secs(24 * 60 * 60);

/// Threads for files with secrets. A file that hangs keeps a thread, and 64 are more than the hanging files
/// of any configuration.
pub(crate) static SECRETS: Files = Files::of(64);

/// Reason why a job did not finish.
#[derive(Debug)]
pub(crate) enum Undone {
    /// Passed deadline. The job may still run.
    TimedOut,
    /// Panic or cancellation of the job.
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

    /// Runs a blocking job. A job that is not finished by the deadline continues and keeps its thread. A job
    /// without a thread by the deadline does not start.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        self.begin(deadline, job, None).await
    }

    /// Runs a blocking job like [`run`](Self::run), but only one job per path at a time. A path that hangs
    /// keeps a single thread, however often it is requested.
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
        // A job that has or awaits the permit keeps its entry alive.
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

    /// Runs a boxed job. Boxing gives all jobs one type; each further type would add the runtime's code for a
    /// task.
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
            // This thread waits for a lister thread, so that a paused clock of a test sees the job as
            // blocking work.
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
    let mut threads = Builder::new_current_thread();
    threads.max_blocking_threads(LISTERS).thread_keep_alive(KEEP_ALIVE).build().ok()
}

/// Describes why a file cannot be read. The usual mistake is a relative path.
pub(crate) fn unreadable(kind: std::io::ErrorKind) -> String {
    match kind {
        #[cfg(feature = "catalog")]
        std::io::ErrorKind::NotFound => {
            "there is no such file; a relative path counts from the folder where the process starts"
                .to_owned()
        }
        kind => kind.to_string(),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
