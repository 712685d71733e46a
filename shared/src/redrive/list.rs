//! Whole listings.

use std::cmp::Ordering;

use tokio::time::Instant;

use super::Options;
use crate::spill::Folder;
use crate::store::{Entry, MAX_PAGE, Store, StoreError};

/// What no object's name has behind that of its folder: whatever the store holds, the listing is short.
const NOTHING: &str = "-.-";

/// Asks the store what costs it nothing: whether there is a place for what lies in the folder, and whether it
/// answers by `deadline`, before anything is begun that may take long.
pub async fn probe(store: &Store, folder: Folder, deadline: Instant) -> Result<(), StoreError> {
    store.find(folder.as_str(), deadline).await?;
    store.list(&format!("{}/{NOTHING}", folder.as_str()), None, 1, deadline).await.map(drop)
}

/// Whether a store that did not answer for one folder does not answer a small question either: a folder may be slow.
pub(super) async fn is_gone(store: &Store, options: &Options, deadline: Instant) -> bool {
    let soon = deadline.min(Instant::now() + options.patience / 5);
    probe(store, options.folder(), soon).await.is_err()
}

/// Everything whose name begins with `prefix`: oldest first is not an order that stores know.
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

/// In the order in which they were written.
pub(super) fn oldest_first(entries: &mut [Entry]) {
    entries.sort_by(older);
}

/// Which of two was written first.
pub(super) fn older(one: &Entry, other: &Entry) -> Ordering {
    (one.modified, &one.name).cmp(&(other.modified, &other.name))
}
