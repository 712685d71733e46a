//! A first call to the store, before anything that may take long: this is the command that one types in an
//! outage.

use std::fmt;
use std::time::Duration;

use hookmq_shared::redrive::probe;
use hookmq_shared::spill::Folder;
use hookmq_shared::store::{Store, StoreError};
use tokio::time::{Instant, sleep};

/// Time limits for a store's first answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Time after which a notice says that the store has not answered yet.
    notice: Duration,
    /// Time after which the command gives up.
    all: Duration,
}

impl Patience {
    /// Splits the whole time: a fifth of it passes without a notice.
    pub(super) fn of(all: Duration) -> Self {
        Self { notice: all / 5, all }
    }
}

/// Location of a store, and what to check if it does not answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    pub(super) advice: &'static str,
}

impl Place {
    pub(super) fn of(store: &Store) -> Self {
        let advice = if store.connects() {
            "check S3_ENDPOINT and S3_REGION, the network (DNS, firewall, HTTPS_PROXY), the store itself, \
             and the credentials"
        } else {
            "check that the folder's file system is mounted, and that it answers"
        };
        Self { name: store.place(), advice }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An error of the store, by whether the store answers.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store does not answer.
    Silent(Place, StoreError),
    /// The store answers, but refuses the call.
    Refused(Place, StoreError),
}

impl Trouble {
    pub(super) fn of(store: &Store, error: StoreError) -> Self {
        let place = Place::of(store);
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
                write!(f, "{place} does not answer: {error}\n{}", place.advice)
            }
            Self::Refused(place, error) => write!(f, "{place}: {error}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// Waits for the store's first answer, and says so if it is slow.
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
            // Rounded up to tenths; most values are whole seconds.
            let left = (all.saturating_sub(notice).as_secs_f64() * 10.0).ceil() / 10.0;
            say(&format!("{} does not answer yet: trying again for {left} s", store.place()));
            asked.await
        }
    };
    answer.map_err(|error| Trouble::of(store, error))
}
