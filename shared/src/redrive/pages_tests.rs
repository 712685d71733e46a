//! Tests of `pages`.

use std::time::Duration;

use super::*;
use crate::clock::{Clock, Random};
use crate::config::{Config, Reading, Samples};
use crate::context::Context;
use crate::env::Env;
use crate::spill::Spill;
use crate::store::Store;
use crate::store::memory::{Fault, FaultKind, MemoryStore, Operation};

#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_be_listed_hides_no_other() {
    let (env, clock, random) = (Env::of::<&str, &str>([]), Clock::system(), Random::system());
    let context = Context { env, clock: clock.clone(), random };
    let faults = [
        Fault::from(FaultKind::Fails(StoreError::Other("it cannot be read".to_owned()))),
        Fault::slow(Duration::from_secs(3600)),
    ];
    // The fault hits one hook of three, all of them, or the whole store, which fell silent after it was
    // asked for the hooks.
    for (fault, bad) in faults
        .into_iter()
        .flat_map(|fault| ["spill/tdmq/b/", "spill/tdmq/", ""].map(|bad| (fault.clone(), bad)))
    {
        let memory = MemoryStore::new(clock.clone());
        for hook in ["a", "b", "c"] {
            memory.insert(&format!("spill/tdmq/{hook}/00"), "{".into());
        }
        let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
        let spill = Spill::new(Store::new(memory.clone()), &context);
        let job = RedriveJob::on(spill, config, &context).unwrap();
        let told = format!("{fault:?} {bad}");
        memory.set_faults(move |operation, name| {
            let is_bad = operation == Operation::List && name.starts_with(bad);
            if is_bad { fault.clone() } else { Fault::default() }
        });
        let options = Options { patience: Duration::from_secs(10), ..Options::default() };
        let deadline = Instant::now() + Duration::from_secs(3600);
        let begun = Instant::now();
        let mut pages = job.pages(&options, false, deadline).await.unwrap();
        let mut met = Vec::new();
        let end = loop {
            match pages.next(deadline).await {
                Ok(Some(page)) => met.extend(page.into_iter().map(|sight| sight.hook)),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let hooks: Vec<&str> = pages.unlisted().iter().map(|unlisted| unlisted.hook.as_str()).collect();
        let took = begun.elapsed();
        match bad {
            "spill/tdmq/b/" => {
                assert_eq!((end, met, hooks), (true, vec!["a".into(), "c".into()], vec!["b"]));
            }
            _ => assert_eq!((end, met), (false, Vec::<String>::new()), "{told}"),
        }
        assert!(!bad.is_empty() || took <= Duration::from_secs(12), "{told}: {took:?}");
    }
}

/// A state is history: one that cannot be read hides no delivery, and only a silent store ends the listing.
#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_hides_no_delivery() {
    use crate::message::tests::delivery;
    use crate::queue::Vendor;
    use crate::spill::Folder;
    let (env, clock, random) = (Env::of::<&str, &str>([]), Clock::system(), Random::system());
    let context = Context { env, clock: clock.clone(), random };
    let damaged = StoreError::Other("it is damaged".to_owned());
    for (error, is_read) in [(StoreError::TooLarge, true), (damaged, true), (StoreError::TimedOut, false)] {
        let memory = MemoryStore::new(clock.clone());
        let spill = Spill::new(Store::new(memory.clone()), &context);
        let deadline = Instant::now() + Duration::from_secs(3600);
        for n in 0..3 {
            let mut delivery = delivery(b"", None);
            delivery.content_mut().id = format!("id-{n}");
            let failure = History::other("always", "", clock.now());
            let record = Record::new(&Vendor::Tdmq.into(), &delivery, None, failure);
            spill.keep(Folder::Spill, &record, deadline).await.unwrap();
        }
        for name in memory.names("spill/").iter().take(1) {
            memory.insert(&name.replacen("spill", "retry", 1), "{}".into());
        }
        let fault = error.clone();
        memory.set_faults(move |operation, name| {
            let is_bad = operation == Operation::Get && name.starts_with("retry/");
            if is_bad { FaultKind::Fails(fault.clone()).into() } else { Fault::default() }
        });
        let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
        let job = RedriveJob::on(spill, config, &context).unwrap();
        let options = Options::default();
        let mut pages = job.pages(&options, true, deadline).await.unwrap();
        let page = pages.next(deadline).await;
        assert_eq!(page.is_ok(), is_read, "{error:?}: {page:?}");
        if let Ok(page) = page {
            let are_read = page.unwrap().iter().all(|sight| matches!(sight.found, Found::Delivery(_)));
            assert!(are_read, "{error:?}");
        }
    }
}
