//! Complete listings of a folder, and checks of a store's response.

use std::cmp::Ordering;

use tokio::time::Instant;

use super::Options;
use crate::sort::sort_by;
use crate::spill::Folder;
use crate::store::{Entry, MAX_PAGE, Store, StoreError};

/// Prefix of no object's name in a folder: a listing of it is short regardless of the store's content.
const NOTHING: &str = "-.-";

/// Asks the store two cheap questions before any long work: that the folder has a place, and that a short
/// listing is answered by `deadline`.
pub async fn probe(store: &Store, folder: Folder, deadline: Instant) -> Result<(), StoreError> {
    store.find(folder.as_str(), deadline).await?;
    store.list(&format!("{}/{NOTHING}", folder.as_str()), None, 1, deadline).await.map(drop)
}

/// Returns true if the store does not answer a small question either. One folder's silence is not enough: it
/// may be slow.
pub(super) async fn is_gone(store: &Store, options: &Options, deadline: Instant) -> bool {
    let soon = deadline.min(Instant::now() + options.patience / 5);
    probe(store, options.folder(), soon).await.is_err()
}

/// Lists all objects whose names begin with `prefix`; a store cannot list the oldest first.
pub(super) async fn all(
    store: &Store,
    prefix: &str,
    options: &Options,
    deadline: Instant,
) -> Result<Vec<Entry>, StoreError> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_deref(), MAX_PAGE, options.soon(deadline)).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(entries),
        }
    }
}

/// Sorts entries in the order in which they were written.
pub(super) fn oldest_first(entries: &mut [Entry]) {
    sort_by(entries, &|a, b| older(a, b));
}

/// Compares two entries by the time of their write, then by name.
pub(super) fn older(one: &Entry, other: &Entry) -> Ordering {
    (one.modified, &one.name).cmp(&(other.modified, &other.name))
}
