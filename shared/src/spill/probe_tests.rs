use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::metrics::Figures;
use crate::store::Store;
use crate::store::memory::{Fault, FaultKind, MemoryStore, Operation};

fn spill() -> (Spill, MemoryStore, Metrics) {
    spill_by(Clock::system())
}

fn spill_by(clock: Clock) -> (Spill, MemoryStore, Metrics) {
    let memory = MemoryStore::new(clock.clone());
    let spill = Spill::new(Store::new(memory.clone()), &Context { clock, ..Context::system() });
    (spill, memory, Metrics::counted([]))
}

/// Makes each write meet a fault.
fn faulty(memory: &MemoryStore, fault: Fault) {
    memory.set_faults(move |operation, _| match operation {
        Operation::Put => fault.clone(),
        _ => Fault::default(),
    });
}

fn slow(delay: Duration, kind: FaultKind) -> Fault {
    Fault { delay, kind }
}

/// Returns true for each kind of probe that was counted: successful, failed.
fn counted(metrics: &Metrics) -> [bool; 2] {
    let text = metrics.text(&Figures::default()).unwrap();
    ["worked", "failed"]
        .map(|result| text.contains(&format!("hookmq_store_probes_total{{result=\"{result}\"")))
}

/// Runs a delivery whose queue takes this long.
async fn deliver(trial: &Arc<Trial>, takes: Duration) {
    let _beside = trial.beside();
    sleep(takes).await;
}

const QUICK: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_object_of_one_name_is_written_over() {
    let (spill, memory, metrics) = spill();
    assert_eq!(spill.probed(), StoreProbe::Untried);
    spill.probe(&metrics).await;
    spill.probe(&metrics).await;
    assert_eq!((spill.probed(), memory.names("")), (StoreProbe::Worked, vec![PROBE.to_owned()]));
    assert_eq!((memory.calls(Operation::Put), memory.calls(Operation::PutNew)), (2, 0));
    assert_eq!(counted(&metrics), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_told_by_its_class_and_ends() {
    for (fault, class) in [
        (Fault::denied(), "denied"),
        (Fault::full(), "full"),
        (slow(Duration::ZERO, FaultKind::Fails(StoreError::Config("x".to_owned()))), "config"),
        (slow(Duration::from_secs(3600), FaultKind::None), "timed_out"),
    ] {
        let (spill, memory, metrics) = spill();
        faulty(&memory, fault);
        let begun = Instant::now();
        spill.probe(&metrics).await;
        assert_eq!(spill.probed(), StoreProbe::Failed(class));
        assert!(begun.elapsed() <= PATIENCE && counted(&metrics) == [false, true], "{class}");
        let text = metrics.text(&Figures::default()).unwrap();
        assert!(text.contains(&format!("class=\"{class}\"")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_tries_once_beside_its_second_delivery() {
    let (spill, memory, metrics) = spill();
    let trial = Trial::new(spill.clone(), metrics.clone());
    deliver(&trial, LONG).await;
    assert_eq!((memory.calls(Operation::Put), spill.probed()), (0, StoreProbe::Untried));
    for _ in 0..5 {
        deliver(&trial, LONG).await;
    }
    assert_eq!((memory.calls(Operation::Put), spill.probed()), (1, StoreProbe::Worked));
    assert_eq!(counted(&metrics), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn it_holds_no_answer_back() {
    let (spill, memory, metrics) = spill();
    faulty(&memory, slow(Duration::from_secs(3600), FaultKind::None));
    let trial = Trial::new(spill, metrics);
    for _ in 0..10 {
        let begun = Instant::now();
        deliver(&trial, QUICK).await;
        assert_eq!(begun.elapsed(), QUICK);
    }
}

/// After an answer the process may be frozen: a failure then says nothing, and the probe is repeated.
#[tokio::test(start_paused = true)]
async fn one_that_a_freeze_cut_counts_for_nothing() {
    let (spill, memory, metrics) = spill();
    let trial = Trial::new(spill.clone(), metrics.clone());
    let broken = FaultKind::Fails(StoreError::Unreachable("the connection was closed".to_owned()));
    faulty(&memory, slow(LONG, broken));
    deliver(&trial, QUICK).await;
    for tries in 1..=3 {
        deliver(&trial, QUICK).await;
        sleep(2 * LONG).await; // Frozen, and then it goes on.
        assert_eq!((memory.calls(Operation::Put), spill.probed()), (tries, StoreProbe::Untried));
    }
    assert_eq!(counted(&metrics), [false, false]);
    // A write that is confirmed late still counts as written.
    faulty(&memory, slow(LONG, FaultKind::None));
    deliver(&trial, QUICK).await;
    sleep(2 * LONG).await;
    assert_eq!((spill.probed(), counted(&metrics)), (StoreProbe::Worked, [true, false]));
}

/// An answer that names the error was not cut, regardless of when the delivery beside it ended.
#[tokio::test(start_paused = true)]
async fn an_answer_after_a_quick_delivery_is_told_once() {
    let config = StoreError::Config("no such bucket".to_owned());
    for (error, frozen, tries) in [
        (StoreError::Denied("x".to_owned()), 0, 1),
        (StoreError::Full("x".to_owned()), 0, 1),
        (StoreError::Throttled("x".to_owned()), 0, 1),
        (StoreError::Other("x".to_owned()), 0, 1),
        (config.clone(), 0, 1),
        // The answer waited for the process.
        (config, 600, 1),
        // The signature or the credentials may have expired by then; this is accepted once.
        (StoreError::Denied("x".to_owned()), 600, 2),
    ] {
        let wall = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&wall);
        let now = move || i64::try_from(seen.load(Ordering::SeqCst)).unwrap();
        let (spill, memory, metrics) =
            spill_by(Clock::from_fn(move || Timestamp::from_unix_millis(1000 * now())));
        let trial = Trial::new(spill.clone(), metrics.clone());
        let class = error.class();
        faulty(&memory, slow(LONG, FaultKind::Fails(error)));
        for _ in 0..5 {
            deliver(&trial, QUICK).await;
            wall.fetch_add(frozen, Ordering::SeqCst);
            sleep(2 * LONG).await;
        }
        assert_eq!(spill.probed(), StoreProbe::Failed(class));
        assert_eq!((memory.calls(Operation::Put), counted(&metrics)), (tries, [false, true]), "{class}");
    }
}

/// A freeze leaves a dead connection, a missing answer or half an answer.
#[tokio::test(start_paused = true)]
async fn what_a_freeze_leaves_is_tried_again() {
    for error in
        [StoreError::Unreachable("x".to_owned()), StoreError::TimedOut, StoreError::Corrupt("x".to_owned())]
    {
        let (spill, memory, metrics) = spill();
        let trial = Trial::new(spill.clone(), metrics.clone());
        faulty(&memory, slow(LONG, FaultKind::Fails(error)));
        for _ in 0..3 {
            deliver(&trial, QUICK).await;
            sleep(2 * LONG).await;
        }
        assert_eq!((memory.calls(Operation::Put), spill.probed()), (2, StoreProbe::Untried));
    }
}

/// A delivery that is too large says nothing about the store; the probe's answer still ends the trial.
#[tokio::test(start_paused = true)]
async fn an_answer_that_says_nothing_of_the_store_ends_the_trial_too() {
    let (spill, memory, metrics) = spill();
    let trial = Trial::new(spill, metrics);
    faulty(&memory, slow(QUICK, FaultKind::Fails(StoreError::TooLarge)));
    for _ in 0..5 {
        deliver(&trial, LONG).await;
    }
    assert_eq!(memory.calls(Operation::Put), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_while_a_delivery_is_under_way_failed() {
    let (spill, memory, metrics) = spill();
    let trial = Trial::new(spill.clone(), metrics.clone());
    faulty(&memory, slow(QUICK, FaultKind::Fails(StoreError::Denied("x".to_owned()))));
    // The end of one of several deliveries leaves the process awake.
    let (first, second) = (trial.beside(), trial.beside());
    drop(first);
    sleep(LONG).await;
    drop(second);
    assert_eq!((spill.probed(), counted(&metrics)), (StoreProbe::Failed("denied"), [false, true]));
    deliver(&trial, LONG).await;
    assert_eq!(memory.calls(Operation::Put), 1, "once a sandbox");
}

/// A delivery that had to be kept has already tried the store, successfully or not.
#[tokio::test(start_paused = true)]
async fn a_real_write_is_a_trial_too() {
    let (spill, _, metrics) = spill();
    let deadline = Instant::now() + LONG;
    spill.create("spill/tdmq/h/00", "x".into(), deadline).await.unwrap();
    assert_eq!(spill.probed(), StoreProbe::Worked);
    let trial = Trial::new(spill, metrics.clone());
    deliver(&trial, LONG).await;
    deliver(&trial, LONG).await;
    assert_eq!(counted(&metrics), [false, false]);
}
