//! Tests of `quarantine`.

use std::time::Duration;

use super::*;
use crate::clock::{Clock, Random, Timestamp};
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
    let context =
        Context { env, clock: Clock::fixed(Timestamp::from_unix(1_760_000_000)), random: Random::system() };
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
