//! Whether the store answers at all, before anything is begun that may take long: this is the command
//! that one types in an outage.

use std::fmt;
use std::time::Duration;

use hookmq_shared::redrive::probe;
use hookmq_shared::spill::Folder;
use hookmq_shared::store::{Store, StoreError};
use tokio::time::{Instant, sleep};

/// How long somebody waits for a store's first answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// It is said that there is none yet.
    notice: Duration,
    /// It is given up.
    all: Duration,
}

impl Patience {
    /// All of it; a fifth of it without a word.
    pub(super) fn of(all: Duration) -> Self {
        Self { notice: all / 5, all }
    }
}

/// What is wrong with the store.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It does not answer.
    Silent(String, StoreError),
    /// It answers, and does not do what it is asked to.
    Refused(String, StoreError),
}

impl Trouble {
    pub(super) fn of(store: &Store, error: StoreError) -> Self {
        let place = store.place();
        if error.is_silence() || error.is_retryable() {
            Self::Silent(place, error)
        } else {
            Self::Refused(place, error)
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(place, error) => {
                write!(f, "{place} does not answer: {error}\n{}", what_to_check(place))
            }
            Self::Refused(place, error) => write!(f, "{place}: {error}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// What somebody looks at whose store does not answer.
pub(super) fn what_to_check(place: &str) -> &'static str {
    if place.starts_with("file:") {
        "check that the folder's file system is mounted, and that it answers"
    } else {
        "check S3_ENDPOINT and S3_REGION, the network (DNS, firewall, HTTPS_PROXY), the store itself, \
         and the credentials"
    }
}

/// Waits for the store's first answer.
pub(super) async fn ask(
    store: &Store,
    folder: Folder,
    patience: Patience,
    say: &dyn Fn(&str),
) -> Result<(), Trouble> {
    let Patience { notice, all } = patience;
    let asked = probe(store, folder, Instant::now() + all);
    tokio::pin!(asked);
    let answer = tokio::select! {
        answer = &mut asked => answer,
        () = sleep(notice) => {
            // Most are whole seconds.
            let left = (all.saturating_sub(notice).as_secs_f64() * 10.0).ceil() / 10.0;
            say(&format!("{} does not answer yet: trying again for {left} s", store.place()));
            asked.await
        }
    };
    answer.map_err(|error| Trouble::of(store, error))
}
