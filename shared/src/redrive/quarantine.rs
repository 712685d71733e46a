//! Quarantined requests, verified again with today's secrets and as of their receipt: after a secret
//! was configured wrong, what its sender was refused is not lost.

use serde::Serialize;
use tokio::time::Instant;

use super::{Options, list};
use crate::gateway::{Gateway, Readmission};
use crate::quarantine::Quarantine;
use crate::queue::{Queue, Vendor};
use crate::spill::Folder;
use crate::store::{Entry, StoreError};

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reverified {
    /// Requests in quarantine when it began.
    pub found: usize,
    /// Authentic by today's secrets: accepted, and deleted.
    pub accepted: usize,
    /// Still not authentic.
    pub rejected: usize,
    /// Not decided, or not stored; tried again by the next run.
    pub failed: usize,
    /// Gone, or sealed with another key.
    pub unreadable: usize,
}

/// What lies in quarantine of the functions of a vendor, oldest first.
pub async fn list_quarantined(
    vendor: Vendor,
    quarantine: &Quarantine,
    options: &Options,
    deadline: Instant,
) -> Result<Vec<Entry>, StoreError> {
    let prefix = Folder::Quarantine.prefix(vendor.as_str(), options.hook.as_deref());
    let mut entries = list::all(quarantine.store(), &prefix, options, deadline).await?;
    entries.retain(|entry| options.since.is_none_or(|since| entry.modified >= since));
    list::oldest_first(&mut entries);
    Ok(entries)
}

/// Verifies each again and forwards those that pass, as if they had just come in.
pub async fn reverify<Q: Queue>(
    gateway: &Gateway<Q>,
    quarantine: &Quarantine,
    options: &Options,
    deadline: Instant,
) -> Result<Reverified, StoreError> {
    reverify_observed(gateway, quarantine, options, deadline, &|_| ()).await
}

/// As [`reverify`], and `observe` is told what has been done whenever that is more.
pub async fn reverify_observed<Q: Queue>(
    gateway: &Gateway<Q>,
    quarantine: &Quarantine,
    options: &Options,
    deadline: Instant,
    observe: &(dyn Fn(&Reverified) + Sync),
) -> Result<Reverified, StoreError> {
    let entries = list_quarantined(gateway.vendor(), quarantine, options, deadline).await?;
    let mut done = Reverified { found: entries.len(), ..Reverified::default() };
    for entry in entries {
        observe(&done);
        let soon = options.soon(deadline);
        let Some(refused) = quarantine.open(&entry.name, soon).await? else {
            done.unreadable += 1;
            continue;
        };
        match gateway.readmit(refused, soon).await {
            Readmission::Accepted => {
                quarantine.store().delete(&entry.name, options.soon(deadline)).await?;
                done.accepted += 1;
            }
            Readmission::Rejected => done.rejected += 1,
            Readmission::Unavailable => done.failed += 1,
        }
    }
    Ok(done)
}
