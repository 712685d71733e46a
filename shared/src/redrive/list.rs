//! Whole listings.

use tokio::time::Instant;

use crate::store::{Entry, Store, StoreError};

/// Everything whose name begins with `prefix`: oldest first is not an order that stores know.
pub(super) async fn all(store: &Store, prefix: &str, deadline: Instant) -> Result<Vec<Entry>, StoreError> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_deref(), deadline).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(entries),
        }
    }
}

/// The first segments of the names under `prefix`, with one listing for each.
pub(super) async fn folders(
    store: &Store,
    prefix: &str,
    deadline: Instant,
) -> Result<Vec<String>, StoreError> {
    let (mut folders, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_deref(), deadline).await?;
        let first = page.entries.first().and_then(|entry| entry.name.strip_prefix(prefix));
        if let Some((folder, _)) = first.and_then(|rest| rest.split_once('/')) {
            folders.push(folder.to_owned());
            // The character that follows the slash: behind everything in that folder.
            after = Some(format!("{prefix}{folder}0"));
        } else {
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(folders),
            }
        }
    }
}

/// In the order in which they were written.
pub(super) fn oldest_first(entries: &mut [Entry]) {
    entries.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
}
