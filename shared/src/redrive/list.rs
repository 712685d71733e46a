//! Whole listings.

use std::cmp::Ordering;

use tokio::time::Instant;

use super::Options;
use crate::store::{Entry, MAX_PAGE, Store, StoreError};

/// A name that no object begins with: whatever the store holds, its listing is short.
const NOTHING: &str = "spill/-.-";

/// Asks the store one question that costs it nothing: whether it answers by `deadline`, before anything
/// is begun that may take long.
pub async fn probe(store: &Store, deadline: Instant) -> Result<(), StoreError> {
    store.list(NOTHING, None, 1, deadline).await.map(drop)
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
