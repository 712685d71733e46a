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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Random};
    use crate::context::Context;
    use crate::env::Env;
    use crate::store::memory::{MemoryStore, Operation};

    #[tokio::test]
    async fn a_quarantine_is_listed_page_by_page() {
        let key = ("QUARANTINE_KEY", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
        let (clock, random) = (Clock::system(), Random::system());
        let context = Context { env: Env::of([key]), clock: clock.clone(), random };
        let memory = MemoryStore::new(clock);
        for n in 0..MAX_PAGE + 5 {
            memory.insert(&format!("quarantine/tdmq/h/{n:08}"), "x".into());
        }
        let quarantine = Quarantine::new(Store::new(memory.clone()), &context).unwrap();
        let options = Options::default();
        let mut pages = QuarantinePages::new(Vendor::Tdmq, &quarantine, &options);
        let soon = || Instant::now() + Duration::from_secs(60);
        assert_eq!(pages.next(soon()).await.unwrap().map(|page| page.len()), Some(MAX_PAGE));
        assert_eq!((memory.calls(Operation::List), pages.is_over()), (1, false), "no more than is shown");
        assert_eq!(pages.next(soon()).await.unwrap().map(|page| page.len()), Some(5));
        assert!(pages.is_over() && pages.next(soon()).await.unwrap().is_none());
    }

    /// One bad object is counted, and stops neither the others nor the next run.
    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_or_deleted_stops_no_other() {
        use crate::config::{Config, Reading, Samples};
        use crate::gateway::Stores;
        use crate::metrics::Metrics;
        use crate::queue::told::{Said, ToldQueue};
        use crate::store::memory::{Fault, FaultKind};

        let env = Env::of([("QUARANTINE_KEY", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=")]);
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let hooks = "[hooks.h]\nsource = \"none\"\ntopic = \"a/b/c\"\n";
        let damaged = || StoreError::Corrupt("its bytes are not what they were".to_owned());
        let locked = || StoreError::Denied("the object is locked".to_owned());
        let silent = || StoreError::Unreachable("nobody is there".to_owned());
        // Each case has the failing operation, the error, the number of bad objects of five, and the expected
        // counts (accepted, failed, unreadable) or `None` for an error.
        for (operation, error, count, counted) in [
            (Operation::Get, damaged(), 1, Some((4, 0, 1))),
            (Operation::Get, StoreError::TooLarge, 5, Some((0, 0, 5))),
            (Operation::Get, silent(), 1, None),
            (Operation::Get, locked(), 1, Some((4, 0, 1))),
            (Operation::Get, locked(), 3, None),
            (Operation::Delete, locked(), 1, Some((4, 1, 0))),
            (Operation::Delete, damaged(), 2, Some((3, 2, 0))),
            (Operation::Delete, locked(), 5, None),
        ] {
            let config = Config::parse("hooks", hooks, Reading::new(&context.env, Samples::Accepted));
            let memory = MemoryStore::new(context.clock.clone());
            let quarantine = Quarantine::new(Store::new(memory.clone()), &context).unwrap();
            let soon = || Instant::now() + Duration::from_secs(60);
            for n in 0..5 {
                let request = crate::http::Request {
                    method: "POST".into(),
                    path: "/h".into(),
                    raw_query: String::new(),
                    headers: [("content-type", "application/json")].into_iter().collect(),
                    body: format!("[{n}]").into(),
                    request_id: "r".into(),
                    received: Instant::now(),
                    source_ip: None,
                    deadline: None,
                };
                quarantine.keep(Vendor::Tdmq, "h", request, context.clock.now(), soon()).await;
            }
            let bad: Vec<String> = memory.names("quarantine/").into_iter().take(count).collect();
            assert_eq!((bad.len(), memory.count("quarantine/")), (count, 5));
            let (fails, text) = (error.clone(), format!("{operation:?} {error} {count}"));
            memory.set_faults(move |called, name| {
                let is_bad = called == operation && bad.iter().any(|bad| bad == name);
                let kind = if is_bad { FaultKind::Fails(fails.clone()) } else { FaultKind::None };
                Fault { kind, ..Fault::default() }
            });
            let queue = ToldQueue::new(Vendor::Tdmq, 1 << 20, |_| Said::STORED);
            let queues = vec![(Vendor::Tdmq.into(), queue)];
            let gateway = Gateway::assemble(
                config,
                Vendor::Tdmq,
                queues,
                Stores::default(),
                context.clone(),
                Metrics::off(),
            );
            let done = reverify(&gateway, &quarantine, &Options::default(), soon()).await;
            let seen = done.as_ref().ok().map(|done| (done.accepted, done.failed, done.unreadable));
            assert_eq!(seen, counted, "{text}: {done:?}");
            match counted {
                Some((accepted, ..)) => assert_eq!(memory.count("quarantine/"), 5 - accepted, "{text}"),
                None => assert_eq!(done, Err(error), "{text}"),
            }
        }
    }
}
