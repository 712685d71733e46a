//! Tests of runs over a store and a queue in memory.

use std::sync::OnceLock;

use bytes::Bytes;

use super::*;
use crate::clock::{Clock, Random};
use crate::config::{Config, Reading, Samples};
use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::message::tests::delivery;
use crate::message::{Message, Recipe};
use crate::queue::told::{Said, ToldQueue};
use crate::queue::{Class, Queue, Reach, Receipt, SendError, Target, Until, Vendor};
use crate::shard::Shard;
use crate::spill::{Folder, History, Record, Spill};
use crate::store::Store;
use crate::store::memory::MemoryStore;

const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);

/// Returns the surroundings of a run: no variables, a clock that stands still, and no chance.
fn surroundings() -> Context {
    Context { env: Env::of::<&str, &str>([]), clock: Clock::fixed(NOW), random: Random::from_fn(|| 7) }
}

/// Spills delivery number `n` of the hook for TDMQ, with this body.
async fn keep(spill: &Spill, recipe: &Recipe<'_>, hook: &str, n: usize, body: Bytes) {
    let mut delivery = delivery(b"", None);
    delivery.content_mut().hook = hook.into();
    delivery.content_mut().id = format!("id-{n}");
    delivery.content_mut().body = body;
    let message = recipe.render(&delivery).unwrap();
    let record =
        Record::new(&Vendor::Tdmq.into(), &delivery, Some(message), History::other("always", "", NOW));
    let soon = Instant::now() + Duration::from_secs(60);
    spill.keep(Folder::Spill, &record, soon).await.unwrap();
}

/// Builds a redriver with `count` waiting deliveries, whose queue gives this answer to every message.
async fn waiting(count: usize, said: Said) -> (Redriver<ToldQueue>, MemoryStore) {
    waiting_for(count, move |_| said.clone()).await
}

/// Builds the same redriver with an answer per message; each delivery has a topic of its own, named like its
/// id.
async fn waiting_for(
    count: usize,
    said: impl FnMut(&Message) -> Said + Send + 'static,
) -> (Redriver<ToldQueue>, MemoryStore) {
    waiting_of(&["github"], count, said).await
}

/// Builds the same redriver with `count` deliveries of each of these hooks.
async fn waiting_of(
    hooks: &[&str],
    count: usize,
    said: impl FnMut(&Message) -> Said + Send + 'static,
) -> (Redriver<ToldQueue>, MemoryStore) {
    let context = surroundings();
    let memory = MemoryStore::new(context.clock.clone());
    let spill = Spill::new(Store::new(memory.clone()), &context);
    let file = "[hooks.github]\nsource = \"none\"\ntopic = \"a/b/{id}\"\n";
    let config = Config::parse("hooks", file, Reading::new(&context.env, Samples::Accepted));
    let target = Target::from(Vendor::Tdmq);
    let recipe = config.hook("github").unwrap().recipe(&target, "").unwrap();
    for (hook, n) in hooks.iter().flat_map(|hook| (0..count).map(move |n| (hook, n))) {
        keep(&spill, &recipe, hook, n, format!("[{n}]").into()).await;
    }
    let queue = ToldQueue::new(Vendor::Tdmq, 1 << 20, said);
    (Redriver::new(target, queue, spill, Arc::new(config), context), memory)
}

/// A queue that takes messages to small topics at once, and the others after this time, or never.
#[derive(Clone)]
struct Slow(Option<Duration>, ToldQueue);

impl Queue for Slow {
    fn vendor(&self) -> Vendor {
        self.1.vendor()
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        self.1.takes(message)
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        let until = until.into();
        match self.0 {
            _ if !message.topic.contains("large") => {}
            Some(time) => tokio::time::sleep(time).await,
            None => {
                sleep_until(until.deadline).await;
                return Err(SendError { attempts: 1, ..SendError::new(Class::Ambiguous, "it hangs") });
            }
        }
        self.1.send(message, until).await
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}
}

/// Builds a redriver with four large deliveries of one hook and a hundred small ones of another; the large ones
/// take this time to be sent, or hang.
async fn large_and_small(time: Option<Duration>) -> (Redriver<Slow>, ToldQueue) {
    let context = surroundings();
    let spill = Spill::new(Store::new(MemoryStore::new(context.clock.clone())), &context);
    let file = "[hooks.large]\nsource = \"none\"\ntopic = \"a/b/large\"\n\
                [hooks.small]\nsource = \"none\"\ntopic = \"a/b/small\"\n";
    let config = Config::parse("hooks", file, Reading::new(&context.env, Samples::Accepted));
    let target = Target::from(Vendor::Tdmq);
    for (hook, size, count) in [("large", 2 << 20, 4), ("small", 100, 100)] {
        let recipe = config.hook(hook).unwrap().recipe(&target, "").unwrap();
        for n in 0..count {
            keep(&spill, &recipe, hook, n, vec![b'x'; size].into()).await;
        }
    }
    let queue = ToldQueue::new(Vendor::Tdmq, 8 << 20, |_| Said::STORED);
    (Redriver::new(target, Slow(time, queue.clone()), spill, Arc::new(config), context), queue)
}

/// Large bodies whose sends hang hold most of the memory; small ones of another hook need little of it.
#[tokio::test(start_paused = true)]
async fn sends_that_hang_with_large_bodies_cost_other_hooks_nothing() {
    let (redriver, queue) = large_and_small(None).await;
    let (begun, at) = (Instant::now(), OnceLock::new());
    let observe = |_: &Summary, _| {
        if queue.messages().len() == 100 {
            at.get_or_init(|| begun.elapsed());
        }
    };
    let deadline = begun + Duration::from_secs(120);
    let summary = redriver.run_observed(&Options::default(), deadline, &observe).await.unwrap();
    assert_eq!(summary.sent, 100, "{summary:?}");
    assert!(at.get().is_some_and(|at| *at < Duration::from_secs(1)), "{at:?} {summary:?}");
}

/// A large delivery needs less room once it has been read, and the next one begins in what it gives back.
#[tokio::test(start_paused = true)]
async fn large_bodies_are_sent_side_by_side_where_they_fit() {
    let (redriver, _) = large_and_small(Some(Duration::from_secs(1))).await;
    let begun = Instant::now();
    let summary = redriver.run(&Options::default(), begun + Duration::from_secs(120)).await.unwrap();
    assert_eq!(summary.sent, 104, "{summary:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "two at a time: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_of_an_hour_does_not_wait_for_one_in_which_nothing_goes_through() {
    for (class, tried) in [
        (Class::Transient, true),
        (Class::Transient, false),
        (Class::Throttle, true),
        (Class::Config, true),
        (Class::Config, false),
    ] {
        let (redriver, memory) = waiting(200, Said::failed(class, tried)).await;
        let begun = Instant::now();
        let summary = redriver.run(&Options::default(), begun + Duration::from_secs(3600)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "{class:?} {tried}: {:?}", begun.elapsed());
        assert!(matches!(summary.stopped, Some(Stopped::Resting)), "{class:?} {tried}: {summary:?}");
        assert_eq!((summary.sent, summary.left(), memory.count("spill/")), (0, 200, 200));
        assert_eq!(summary.failed > 0, tried, "{summary:?}");
        assert_eq!(memory.count("retry/tdmq/github/"), summary.failed);
    }
}

/// The earliest next attempt is reported only if everything that is left waits for a time: deliveries held
/// back by a circuit are due at once.
#[tokio::test(start_paused = true)]
async fn what_was_held_back_waits_for_no_time() {
    for (are_held, is_told) in [([false, false], true), ([false, true], false), ([true, true], false)] {
        let mut answers = are_held.into_iter();
        let say = move |_: &Message| Said::failed(Class::Config, !answers.next().unwrap_or(true));
        let (redriver, _memory) = waiting_for(2, say).await;
        let summary =
            redriver.run(&Options::default(), Instant::now() + Duration::from_secs(3600)).await.unwrap();
        assert_eq!((summary.left(), summary.stopped.as_ref()), (2, None), "{are_held:?}: {summary:?}");
        assert_eq!(summary.next.is_some(), is_told, "{are_held:?}: {summary:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_id_is_found_among_those_that_wait_and_nothing_else_is_counted() {
    let (redriver, memory) = waiting(9, Said::failed(Class::Transient, true)).await;
    let soon = || Instant::now() + Duration::from_secs(600);
    redriver.run(&Options::default(), soon()).await.unwrap();
    let tried = memory.count("retry/tdmq/github/");
    assert!(tried > 0);
    let one = |id: &str| Options { id: Some(id.to_owned()), ..Options::default() };
    for n in 0..9 {
        let summary = redriver.run(&one(&format!("id-{n}")), soon()).await.unwrap();
        assert_eq!((summary.found, summary.waiting + summary.failed), (1, 1), "{n}: {summary:?}");
    }
    let summary = redriver.run(&one("nonsense"), soon()).await.unwrap();
    assert_eq!((summary.found, summary.waiting, summary.failed), (0, 0, 0), "{summary:?}");
}

/// Nine of ten deliveries are for topics whose circuits are open: the tenth is sent, and the nine cost no
/// rests.
#[tokio::test(start_paused = true)]
async fn a_bad_topic_leaves_the_others_of_its_hook_alone() {
    for class in [Class::Transient, Class::Throttle, Class::Config, Class::Quota] {
        let said = move |message: &Message| {
            if message.topic.ends_with('7') {
                return Said::STORED;
            }
            let mut said = Said::failed(class, false);
            if let Some(error) = &mut said.error {
                error.reach = Some(Reach::Topic);
            }
            said
        };
        let (redriver, memory) = waiting_for(600, said).await;
        let begun = Instant::now();
        let summary = redriver.run(&Options::default(), begun + Duration::from_secs(600)).await.unwrap();
        assert_eq!((summary.sent, memory.count("spill/")), (60, 540), "{class:?}: {summary:?}");
        assert_eq!((summary.failed, memory.count("retry/tdmq/github/")), (0, 0), "{class:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{class:?}: {:?}", begun.elapsed());
    }
}

/// A sent delivery that stays would be sent again by each run: a few copies show that the store deletes
/// nothing.
#[tokio::test(start_paused = true)]
async fn a_store_that_lets_nothing_go_is_not_sent_from() {
    use crate::store::memory::{Fault, FaultKind, Operation};
    let (redriver, memory) = waiting(200, Said::STORED).await;
    memory.set_faults(|operation, _| {
        let denied = || FaultKind::Fails(StoreError::Denied("read-only".to_owned()));
        let kind = if operation == Operation::Delete { denied() } else { FaultKind::None };
        Fault { kind, ..Fault::default() }
    });
    let summary =
        redriver.run(&Options::default(), Instant::now() + Duration::from_secs(3600)).await.unwrap();
    assert!(matches!(summary.stopped, Some(Stopped::Store(_))), "{summary:?}");
    assert_eq!((summary.sent, memory.count("spill/")), (0, 200));
    assert!(summary.store_errors < 20, "{summary:?}");
}

/// One hook's folder that cannot be listed, or hangs, stops no other; if no folder can be listed, the store
/// has failed.
#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_be_listed_stops_no_other() {
    use crate::store::memory::{Fault, FaultKind, Operation};
    let faults = [
        Fault::from(FaultKind::Fails(StoreError::Denied("the folder is not ours".to_owned()))),
        Fault::from(FaultKind::Fails(StoreError::Unreachable("broken off".to_owned()))),
        Fault::slow(Duration::from_secs(3600)),
    ];
    let ten: Vec<String> = (0..10).map(|n| format!("hook-{n}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    for fault in faults {
        // The number of broken folders of ten is also tried above the number of concurrent listings.
        for broken in [1, 3, 9, 10] {
            let (redriver, memory) = waiting_of(&ten, 5, |_| Said::STORED).await;
            let (bad, fault, told) = (
                ten.iter().map(|hook| format!("spill/tdmq/{hook}/")),
                fault.clone(),
                format!("{fault:?} {broken}"),
            );
            let bad: Vec<String> = bad.take(broken).collect();
            memory.set_faults(move |operation, name| {
                let is_bad = operation == Operation::List && bad.iter().any(|bad| bad == name);
                if is_bad { fault.clone() } else { Fault::default() }
            });
            let begun = Instant::now();
            let done = redriver.run(&Options::default(), begun + Duration::from_secs(3600)).await;
            assert!(begun.elapsed() < Duration::from_secs(65), "{told}: {:?}", begun.elapsed());
            if broken == 10 {
                assert!(matches!(done, Err(RedriveError::Store(_))), "{told}: {done:?}");
                continue;
            }
            let summary = done.unwrap();
            assert_eq!(
                (summary.sent, summary.stopped.as_ref()),
                ((10 - broken) * 5, None),
                "{told}: {summary:?}"
            );
            assert_eq!((summary.more, summary.store_errors), (true, broken), "{told}: {summary:?}");
            let named = summary.reasons.keys().filter(|why| why.starts_with("hook-")).count();
            assert_eq!(named, broken, "{told}: {summary:?}");
            assert_eq!(serde_json::to_value(&summary).unwrap()["unlisted"], broken, "{told}: {summary:?}");
        }
    }
}

/// A person at a keyboard learns of a store that is gone as soon as the patience is over.
#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_costs_no_more_than_the_patience() {
    use crate::store::memory::Fault;
    // The store dies before the first page, with it, or in the middle of the deliveries.
    for answered in [2, 3, 5, 20] {
        let (redriver, memory) = waiting(200, Said::STORED).await;
        let mut left = answered;
        memory.set_faults(move |_, _| {
            let is_silent = left == 0;
            left -= usize::from(!is_silent);
            Fault::slow(Duration::from_secs(if is_silent { 3600 } else { 0 }))
        });
        let options = Options { patience: Duration::from_secs(10), concurrency: 1, ..Options::default() };
        let begun = Instant::now();
        let done = redriver.run(&options, begun + Duration::from_secs(3600)).await;
        let took = begun.elapsed();
        let most = SILENCE * 10 + 16;
        assert!(took <= Duration::from_secs(most.into()), "{answered}: {took:?} {done:?}");
        let is_told = match &done {
            Ok(summary) => matches!(summary.stopped, Some(Stopped::Store(_))),
            Err(error) => matches!(error, RedriveError::Store(_)),
        };
        assert!(is_told, "{answered}: {done:?}");
    }
}

/// Returns the names of `count` hooks.
fn names_of(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("hook-{n:04}")).collect()
}

/// A room that other targets give back wakes a run that rests: the time that it has rested counts, and not
/// the number of times that it was woken.
#[tokio::test(start_paused = true)]
async fn what_wakes_a_rest_does_not_end_it() {
    let mut left = 7;
    let said = move |_: &Message| {
        let is_bad = left > 0;
        left -= i32::from(is_bad);
        if is_bad { Said::failed(Class::Config, true) } else { Said::STORED }
    };
    let (redriver, _) = waiting_for(30, said).await;
    let room = redriver.0.room.clone();
    let delivery = delivery(b"", None);
    let record = Record::new(&Vendor::Tdmq.into(), &delivery, None, History::other("always", "", NOW));
    let others = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(mut held) = room.try_take(1 << 20) {
                held.keep_for(&record);
            }
        }
    });
    let begun = Instant::now();
    let summary = redriver.run(&Options::default(), begun + Duration::from_secs(120)).await.unwrap();
    others.abort();
    assert_eq!((summary.sent, summary.stopped.as_ref()), (23, None), "{summary:?}");
}

/// Sends begin with the first page, and a run that does not reach all hooks leaves the rest to the next one.
#[tokio::test(start_paused = true)]
async fn more_hooks_than_a_run_can_list_are_sent_by_the_next_runs() {
    use crate::store::memory::{Fault, Operation};
    let names = names_of(400);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (redriver, memory) = waiting_of(&names, 1, |_| Said::STORED).await;
    memory.set_faults(|operation, _| {
        let is_list = operation == Operation::List;
        Fault::slow(if is_list { Duration::from_millis(300) } else { Duration::ZERO })
    });
    let (mut sent, options) = (0, Options { shard: Shard::parse("0/2").unwrap(), ..Options::default() });
    let mine = memory.names("spill/").iter().filter(|name| options.shard.takes(digest_of(name))).count();
    for run in 0..6 {
        let summary = redriver.run(&options, Instant::now() + Duration::from_secs(55)).await.unwrap();
        assert!(summary.sent > 0 || sent == mine, "{run}: {summary:?}");
        assert_eq!((summary.unlisted, summary.store_errors), (0, 0), "{run}: {summary:?}");
        sent += summary.sent;
        assert!(summary.more || sent == mine, "{run}: {summary:?}");
        assert!(!matches!(summary.stopped, Some(Stopped::Store(_))), "{run}: {summary:?}");
    }
    assert_eq!(sent, mine);
}

fn digest_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Hooks whose listings hang hold their places for a moment, and others are listed in the meantime.
#[tokio::test(start_paused = true)]
async fn listings_that_hang_stop_no_other_hook() {
    use crate::store::memory::{Fault, Operation};
    let names = names_of(60);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for hung in [vec![0, 9], (0..10).collect(), (5..25).collect()] {
        let (redriver, memory) = waiting_of(&names, 2, |_| Said::STORED).await;
        let bad: Vec<String> = hung.iter().map(|n| format!("spill/tdmq/hook-{n:04}/")).collect();
        memory.set_faults(move |operation, name| {
            let is_bad = operation == Operation::List && bad.iter().any(|bad| bad == name);
            Fault::slow(Duration::from_secs(if is_bad { 3600 } else { 0 }))
        });
        let deadline = Instant::now() + Duration::from_secs(55);
        let summary = redriver.run(&Options::default(), deadline).await.unwrap();
        assert!(!matches!(summary.stopped, Some(Stopped::Store(_))), "{hung:?}: {summary:?}");
        assert_eq!(memory.count("spill/"), hung.len() * 2, "{hung:?}: {summary:?}");
        assert_eq!((summary.unlisted, summary.more), (hung.len(), true), "{hung:?}: {summary:?}");
    }
}

/// The next run begins behind the hooks that took the whole time of one.
#[tokio::test(start_paused = true)]
async fn hooks_that_take_a_whole_run_do_not_take_the_next_one() {
    use crate::store::memory::{Fault, Operation};
    let names = names_of(120);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (redriver, memory) = waiting_of(&names, 2, |_| Said::STORED).await;
    memory.set_faults(move |operation, name| {
        let is_bad = ("spill/tdmq/hook-".."spill/tdmq/hook-0100/").contains(&name);
        let is_bad = is_bad && operation == Operation::List;
        Fault::slow(Duration::from_secs(if is_bad { 3600 } else { 0 }))
    });
    let run = async || redriver.run(&Options::default(), Instant::now() + Duration::from_secs(55)).await;
    let first = run().await;
    assert!(matches!(first, Err(RedriveError::Store(_))), "{first:?}");
    let second = run().await.unwrap();
    assert_eq!((second.sent, second.store_errors), (40, second.unlisted), "{second:?}");
}

/// The pages in hand are bounded over all hooks; hooks that fail give their place to others.
#[tokio::test(start_paused = true)]
async fn what_all_hooks_have_in_hand_is_bounded() {
    let names = names_of(240);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // The first hooks' deliveries fail.
    let said = |message: &Message| {
        let is_bad = message.topic.ends_with("bad");
        if is_bad { Said::failed(Class::Permission, true) } else { Said::STORED }
    };
    let (redriver, memory) = waiting_of(&names, 55, said).await;
    let bad = &names[..150];
    spoil(&redriver, &memory, bad, 55).await;
    let (all, good) = (240 * 55, 90 * 55);
    let most = std::sync::atomic::AtomicUsize::new(0);
    let observe = |summary: &Summary, _| {
        let begun = summary.sent + summary.failed + summary.dead + summary.repeated + summary.waiting;
        let held = summary.found.saturating_sub(begun);
        most.fetch_max(held, std::sync::atomic::Ordering::Relaxed);
    };
    let options = Options { rate: Some(100_000), ..Options::default() };
    let deadline = Instant::now() + Duration::from_secs(3600);
    let summary = redriver.run_observed(&options, deadline, &observe).await.unwrap();
    assert_eq!(summary.sent, good, "{summary:?}");
    let most = most.into_inner();
    assert!((1000..ROOM).contains(&most), "{most} of {all} were in hand");
    assert_eq!(summary.stopped, Some(Stopped::Resting), "{summary:?}");
    assert!(summary.more, "{summary:?}");
}

/// Replaces these hooks' deliveries by ones that the queue refuses.
async fn spoil(redriver: &Redriver<ToldQueue>, memory: &MemoryStore, hooks: &[&str], count: usize) {
    let file = "[hooks.github]\nsource = \"none\"\ntopic = \"a/b/bad\"\n";
    let context = surroundings();
    let config = Config::parse("hooks", file, Reading::new(&context.env, Samples::Accepted));
    let recipe = config.hook("github").unwrap().recipe(redriver.target(), "").unwrap();
    for hook in hooks {
        for name in memory.names(&format!("spill/tdmq/{hook}/")) {
            memory.remove(&name);
        }
        for n in 0..count {
            keep(&redriver.0.spill, &recipe, hook, n, format!("[{n}]").into()).await;
        }
    }
}

/// A place of an earlier release has no hook to begin with, and an earlier release reads a new one.
#[test]
fn places_are_read_by_other_releases() {
    let old: Cursor = serde_json::from_str(r#"{"hooks":{"h":"0f"}}"#).unwrap();
    assert_eq!((old.hooks.len(), old.first.as_deref()), (1, None));
    let new = Cursor { first: Some("g".to_owned()), ..old };
    let text = serde_json::to_string(&new).unwrap();
    assert_eq!(text, r#"{"hooks":{"h":"0f"},"first":"g"}"#);
    assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), new);
}

/// A state is history: what cannot be read strands nothing.
#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_strands_no_delivery() {
    use crate::store::memory::{Fault, FaultKind, Operation};
    let denied = || StoreError::Denied("not for this key".to_owned());
    for error in [StoreError::TooLarge, denied(), StoreError::Other("it is damaged".to_owned())] {
        let (redriver, memory) = waiting(3, Said::STORED).await;
        for name in memory.names("spill/") {
            memory.insert(&name.replacen("spill", "retry", 1), "{}".into());
        }
        let fault = error.clone();
        memory.set_faults(move |operation, name| {
            let is_bad = operation == Operation::Get && name.starts_with("retry/tdmq/github/");
            if is_bad { FaultKind::Fails(fault.clone()).into() } else { Fault::default() }
        });
        let deadline = Instant::now() + Duration::from_secs(600);
        let summary = redriver.run(&Options::default(), deadline).await.unwrap();
        assert_eq!((summary.sent, memory.count("spill/")), (3, 0), "{error:?}: {summary:?}");
    }
}

/// A run that is told to stop while nothing has been listed has not done its work.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_before_it_lists_has_seen_nothing() {
    use crate::store::memory::{Fault, Operation};
    for hung in [Operation::Folders, Operation::List] {
        let (redriver, memory) = waiting(3, Said::STORED).await;
        memory.set_faults(move |operation, _| {
            Fault::slow(Duration::from_secs(if operation == hung { 3600 } else { 0 }))
        });
        let (announce, end) = watch::channel(None);
        let run = Stopping::new(end)
            .to(async { redriver.run(&Options::default(), Instant::now() + Duration::from_secs(600)).await });
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            announce.send_replace(Some(Instant::now() + Duration::from_secs(5)));
        };
        let (done, ()) = tokio::join!(run, stop);
        let summary = done.unwrap();
        assert!(summary.has_seen_nothing() && summary.more, "{hung:?}: {summary:?}");
    }
}
