//! Second verification of quarantined requests, with the current secrets and as of their receipt: requests
//! that were refused because of a wrong secret are not lost.

use serde::Serialize;
use tokio::time::Instant;

use super::run::SILENCE;
use super::{Options, list};
use crate::gateway::{Gateway, Readmission};
use crate::quarantine::Quarantine;
use crate::queue::{Queue, Vendor};
use crate::spill::Folder;
use crate::store::{Entry, Foreign, MAX_PAGE, Store, StoreError};

/// Counts of a second verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reverified {
    /// Requests that the run found in quarantine.
    pub found: usize,
    /// Requests that are authentic by the current secrets: accepted, and deleted.
    pub accepted: usize,
    /// Requests that are still not authentic.
    pub rejected: usize,
    /// Requests that were not decided, not stored, or accepted and not deleted; the next run tries them
    /// again.
    pub failed: usize,
    /// Objects that are gone, damaged, or sealed with another key.
    pub unreadable: usize,
    /// Foreign entries among the objects.
    pub foreign: usize,
}

/// Iteration over the quarantined requests of a vendor's functions: a million requests take the memory of one
/// page.
#[derive(Debug)]
pub struct QuarantinePages<'a> {
    store: &'a Store,
    options: &'a Options,
    prefix: String,
    /// Token of the next page; `None` at the beginning and at the end.
    next: Option<String>,
    is_over: bool,
    foreign: Foreign,
}

impl<'a> QuarantinePages<'a> {
    /// Begins at the beginning of the quarantine.
    pub fn new(vendor: Vendor, quarantine: &'a Quarantine, options: &'a Options) -> Self {
        let prefix = Folder::Quarantine.prefix(vendor.as_str(), options.hook.as_deref());
        Self {
            store: quarantine.store(),
            options,
            prefix,
            next: None,
            is_over: false,
            foreign: Foreign::default(),
        }
    }

    /// Returns the next page, oldest first. It may be empty; `None` at the end.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let soon = self.options.soon(deadline);
        let page = self.store.list(&self.prefix, self.next.as_deref(), MAX_PAGE, soon).await?;
        self.is_over = page.next.is_none();
        self.next = page.next;
        self.foreign.join(page.foreign);
        let mut entries = page.entries;
        entries.retain(|entry| self.options.since.is_none_or(|since| entry.modified >= since));
        list::oldest_first(&mut entries);
        Ok(Some(entries))
    }

    /// Returns true if everything has been listed.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the foreign entries found so far.
    pub const fn foreign(&self) -> &Foreign {
        &self.foreign
    }
}

/// Verifies each quarantined request again and forwards the authentic ones, as if they had just come in.
pub async fn reverify<Q: Queue>(
    gateway: &Gateway<Q>,
    quarantine: &Quarantine,
    options: &Options,
    deadline: Instant,
) -> Result<Reverified, StoreError> {
    reverify_observed(gateway, quarantine, options, deadline, &|_, _| ()).await
}

/// Verifies like [`reverify`], and reports progress: `observe` gets the counts so far, and true once
/// everything has been listed.
pub async fn reverify_observed<Q: Queue>(
    gateway: &Gateway<Q>,
    quarantine: &Quarantine,
    options: &Options,
    deadline: Instant,
    observe: &(dyn Fn(&Reverified, bool) + Sync),
) -> Result<Reverified, StoreError> {
    let mut pages = QuarantinePages::new(gateway.vendor(), quarantine, options);
    // Counts in a row: denied reads, and accepted requests that could not be deleted.
    let (mut done, mut denied, mut undeleted) = (Reverified::default(), 0, 0);
    while let Some(entries) = pages.next(deadline).await? {
        done.found += entries.len();
        for entry in entries {
            observe(&done, pages.is_over());
            let refused = match quarantine.open(&entry.name, options.soon(deadline)).await {
                Ok(refused) => {
                    denied = 0;
                    refused
                }
                Err(error) if error.may_be_of_one() => {
                    tracing::error!(object = entry.name, %error, "reverify");
                    denied = if error.is_of_one() { 0 } else { denied + 1 };
                    if denied >= SILENCE {
                        return Err(error);
                    }
                    None
                }
                Err(error) => return Err(error),
            };
            let Some(refused) = refused else {
                done.unreadable += 1;
                continue;
            };
            match gateway.readmit(refused, options.whole(deadline)).await {
                Readmission::Accepted => {
                    match quarantine.store().delete(&entry.name, options.soon(deadline)).await {
                        Ok(()) => (done.accepted, undeleted) = (done.accepted + 1, 0),
                        Err(error) => {
                            tracing::error!(object = entry.name, %error, "accepted, and not deleted");
                            (done.failed, undeleted) = (done.failed + 1, undeleted + 1);
                            // Each run would send this request again, and all requests behind it.
                            if undeleted >= SILENCE {
                                return Err(error);
                            }
                        }
                    }
                }
                Readmission::Rejected => done.rejected += 1,
                Readmission::Unavailable => done.failed += 1,
            }
        }
    }
    done.foreign = pages.foreign().count;
    Ok(done)
}

#[cfg(test)]
#[path = "quarantine_tests.rs"]
mod tests;
