//! Tests of the store in memory: its faults, its lifecycle and its versions, which simulations rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Timestamp};
use hookmq_shared::store::memory::{Expiry, Fault, FaultKind, MemoryStore, Operation};
use hookmq_shared::store::{Store, StoreError, Written};
use tokio::time::{Instant, timeout};

const HOUR: i64 = 3600;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Creates a store with a clock that tests set in seconds.
fn store() -> (MemoryStore, Store, Arc<AtomicI64>) {
    let seconds = Arc::new(AtomicI64::new(1_700_000_000));
    let now = Arc::clone(&seconds);
    let memory = MemoryStore::new(Clock::from_fn(move || Timestamp::from_unix(now.load(Ordering::Relaxed))));
    (memory.clone(), Store::new(memory), seconds)
}

/// Sets the same fault for every call of one kind.
fn always(memory: &MemoryStore, at: Operation, fault: impl Into<Fault>) {
    let fault = fault.into();
    memory.set_faults(move |operation, _| if operation == at { fault.clone() } else { Fault::default() });
}

#[tokio::test(start_paused = true)]
async fn a_fault_comes_before_or_after_the_effect() {
    let (memory, store, _) = store();
    always(&memory, Operation::PutNew, Fault::full());
    assert!(matches!(store.put_new("a", bytes("x"), soon()).await, Err(StoreError::Full(_))));
    assert_eq!(memory.object("a"), None);
    always(&memory, Operation::PutNew, FaultKind::Lies(StoreError::TimedOut));
    assert_eq!(store.put_new("a", bytes("x"), soon()).await, Err(StoreError::TimedOut));
    assert_eq!(memory.object("a").unwrap().bytes, "x");
    memory.clear_faults();
    assert_eq!(store.put_new("a", bytes("y"), soon()).await, Ok(Written::Existed));

    always(&memory, Operation::Delete, Fault::denied());
    assert!(matches!(store.delete("a", soon()).await, Err(StoreError::Denied(_))));
    assert_eq!(memory.count(""), 1);
    let before = memory.calls(Operation::Get);
    assert_eq!(store.get("a", soon()).await, Ok(Some(bytes("x"))), "another kind of call is well");
    assert_eq!((memory.calls(Operation::Get) - before, memory.calls(Operation::PutNew)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_where_its_caller_dies() {
    let (memory, store, _) = store();
    for (kind, is_there) in [(FaultKind::Hangs, false), (FaultKind::HangsAfter, true)] {
        always(&memory, Operation::Put, kind);
        let put = timeout(Duration::from_secs(1_000_000), store.put("a", bytes("x"), soon())).await;
        assert!(put.is_err(), "not even at its deadline");
        assert_eq!(memory.object("a").is_some(), is_there);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_ends_at_the_deadline_without_effect() {
    let (memory, store, _) = store();
    always(&memory, Operation::Put, Fault::slow(Duration::from_secs(3)));
    let begun = Instant::now();
    assert_eq!(store.put("a", bytes("x"), soon()).await, Ok(()));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let late = store.put("b", bytes("x"), Instant::now() + Duration::from_secs(2)).await;
    assert_eq!((late, begun.elapsed()), (Err(StoreError::TimedOut), Duration::from_secs(5)));
    assert_eq!(memory.names(""), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_comes_when_nobody_waits_for_it() {
    let (memory, store, seconds) = store();
    always(&memory, Operation::PutNew, FaultKind::Late(Duration::from_secs(60)));
    assert_eq!(store.put_new("a", bytes("late"), soon()).await, Err(StoreError::TimedOut));
    memory.clear_faults();
    assert_eq!(store.get("a", soon()).await, Ok(None));
    seconds.fetch_add(60, Ordering::Relaxed);
    assert_eq!(store.get("a", soon()).await, Ok(Some(bytes("late"))));

    // A late write keeps its condition; a late deletion removes the object that exists then.
    always(&memory, Operation::PutNew, FaultKind::Late(Duration::from_secs(60)));
    drop(store.put_new("b", bytes("late"), soon()).await);
    memory.clear_faults();
    assert_eq!(store.put_new("b", bytes("first"), soon()).await, Ok(Written::Created));
    always(&memory, Operation::Delete, FaultKind::Late(Duration::from_secs(120)));
    assert_eq!(store.delete("b", soon()).await, Err(StoreError::TimedOut));
    seconds.fetch_add(60, Ordering::Relaxed);
    assert_eq!(memory.object("b").unwrap().bytes, "first");
    seconds.fetch_add(60, Ordering::Relaxed);
    assert_eq!(memory.object("b"), None);
}

#[tokio::test]
async fn rules_delete_what_is_old_and_versions_keep_it_for_a_while() {
    let (memory, store, seconds) = store();
    let day = Duration::from_secs(24 * 3600);
    memory.set_versioning(Some(7 * day));
    memory.set_rules(vec![
        Expiry { prefix: "claims/".to_owned(), age: 30 * day },
        Expiry { prefix: "sent/".to_owned(), age: 8 * day },
    ]);
    for name in ["claims/a", "claims/b", "sent/a", "spill/a"] {
        store.put_new(name, bytes(name), soon()).await.unwrap();
    }
    seconds.fetch_add(8 * 24 * HOUR, Ordering::Relaxed);
    assert_eq!(memory.names(""), ["claims/a", "claims/b", "spill/a"]);
    assert_eq!(memory.versions("sent/a")[0].bytes, "sent/a");
    // A rewritten object starts a new lifetime.
    store.put("claims/b", bytes("renewed"), soon()).await.unwrap();
    seconds.fetch_add(22 * 24 * HOUR, Ordering::Relaxed);
    assert_eq!(memory.names(""), ["claims/b", "spill/a"]);
    assert_eq!(memory.versions("claims/a").len(), 1);
    assert_eq!(
        (memory.versions("sent/a").len(), memory.versions("claims/b").len()),
        (0, 0),
        "a week is over"
    );
    // A clock that goes back restores no object, and new rules apply to existing objects.
    seconds.fetch_sub(365 * 24 * HOUR, Ordering::Relaxed);
    assert_eq!(store.get("claims/a", soon()).await, Ok(None));
    seconds.fetch_add(365 * 24 * HOUR, Ordering::Relaxed);
    memory.set_rules(vec![Expiry { prefix: String::new(), age: day }]);
    assert_eq!(memory.count(""), 0);
}
