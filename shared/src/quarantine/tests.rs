//! Tests of `quarantine`.

use futures_util::future::join_all;

use super::*;
use crate::clock::{Clock, Random};
use crate::env::Env;
use crate::store::memory::{Fault, MemoryStore};

fn request(number: usize) -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query: String::new(),
        headers: Headers::new(),
        body: number.to_string().into(),
        request_id: String::new(),
        received: Instant::now(),
        source_ip: None,
        deadline: None,
    }
}

/// Only few requests wait for a store that hangs, and each for a short time, so that forged requests
/// cannot fill the host.
#[tokio::test(start_paused = true)]
async fn few_wait_for_a_store_that_hangs_and_not_for_long() {
    let key = ("QUARANTINE_KEY", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
    let (clock, random) = (Clock::system(), Random::system());
    let context = Context { env: Env::of([key]), clock: clock.clone(), random };
    let memory = MemoryStore::new(clock);
    let quarantine = Quarantine::new(Store::new(memory.clone()), &context).unwrap();
    let keep = |number: usize, patience: Duration| {
        let (quarantine, hook) = (quarantine.clone(), format!("h{}", number % 5));
        async move {
            let began = Instant::now();
            let (now, deadline) = (Timestamp::from_unix(1_800_000_000), began + patience);
            quarantine.keep(Vendor::Tdmq, &hook, request(number), now, deadline).await;
            began.elapsed()
        }
    };
    memory.set_faults(|_, _| Fault::slow(Duration::from_secs(3600)));
    let took = join_all((0..100).map(|number| keep(number, Duration::from_secs(60)))).await;
    assert_eq!(took.iter().filter(|took| !took.is_zero()).count(), 16);
    assert!(took.iter().all(|took| *took <= Duration::from_secs(2)), "{took:?}");
    assert_eq!(quarantine.missing(false), None, "the first of them was told at once");
    tokio::time::advance(TOLD).await;
    assert_eq!((quarantine.missing(false), quarantine.missing(true)), (Some(83), None));
    let soon = Duration::from_millis(300);
    assert!(keep(100, soon).await <= soon + Duration::from_millis(1), "the deadline holds");
    memory.clear_faults();
    keep(101, soon).await;
    assert_eq!(memory.count("quarantine/"), 1, "it is kept again at once");
}
