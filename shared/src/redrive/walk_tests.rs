//! Tests of walks over stores in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::store::memory::{self, MemoryStore};

const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn digest(n: u32) -> String {
    // The multiplication spreads the digests over all first digits.
    format!("{:08x}{n:056x}", n.wrapping_mul(2_654_435_761))
}

async fn store_of(count: u32) -> (Store, MemoryStore) {
    let memory = MemoryStore::new(Clock::fixed(NOW));
    let store = Store::new(memory.clone());
    for n in 0..count {
        put(&store, &format!("spill/tdmq/h/{}", digest(n))).await;
    }
    (store, memory)
}

async fn put(store: &Store, name: &str) {
    store.put(name, "x".into(), soon()).await.unwrap();
}

/// Returns the deliveries of a walk, and the place where it would go on after `pages` pages.
async fn through(
    store: &Store,
    mut walk: Walk,
    limit: usize,
    pages: usize,
) -> (Vec<Waiting>, Option<String>) {
    let mut all = Vec::new();
    for _ in 0..pages {
        all.extend(walk.turn(store, limit, soon()).await.unwrap().waiting);
        if walk.is_over() {
            break;
        }
    }
    (all, Some(walk).filter(|walk| !walk.is_over()).and_then(|walk| walk.place()))
}

fn walk(options: &Options, cursor: Option<&str>) -> Walk {
    Walk::new("tdmq", "h", options, cursor)
}

fn names(all: &[Waiting]) -> BTreeSet<&str> {
    all.iter().map(|waiting| waiting.entry.name.as_str()).collect()
}

#[tokio::test]
async fn every_delivery_is_met_once_from_wherever_a_walk_begins() {
    let (store, _) = store_of(100).await;
    let options = Options::default();
    for cursor in [None, Some(digest(3)), Some(digest(50)), Some("zzz".to_owned()), Some("0".to_owned())] {
        for limit in [1, 7, 100, 1000] {
            let (all, cursor) = through(&store, walk(&options, cursor.as_deref()), limit, 1000).await;
            assert_eq!((names(&all).len(), cursor), (100, None), "{limit}");
            assert_eq!(all.len(), 100, "with pages of {limit}");
        }
    }
}

#[tokio::test]
async fn a_run_that_ends_early_is_gone_on_with() {
    let (store, _) = store_of(100).await;
    let options = Options::default();
    let (mut cursor, mut met) = (None, BTreeSet::new());
    for _ in 0..12 {
        let (all, next) = through(&store, walk(&options, cursor.as_deref()), 10, 2).await;
        // The deliveries on the last page of a run were not handled.
        met.extend(all.iter().take(10).map(|waiting| waiting.entry.name.clone()));
        cursor = next;
    }
    assert_eq!(met.len(), 100);
}

/// The shards cover the whole in every order of listing, and wherever each shard's last run ended.
#[tokio::test]
async fn shards_are_disjoint_and_together_the_whole() {
    let (store, memory) = store_of(200).await;
    let cursors =
        [None, Some(digest(77)), Some("0".to_owned()), Some("8".to_owned()), Some("zzz".to_owned())];
    for order in [memory::Order::Names, memory::Order::Own] {
        memory.set_order(order);
        for (of, limit) in [1, 2, 4, 8].into_iter().flat_map(|of| [1, 7, 1000].map(|limit| (of, limit))) {
            for cursor in &cursors {
                let mut met = Vec::new();
                for index in 0..of {
                    let shard = Shard::parse(&format!("{index}/{of}")).unwrap();
                    let options = Options { shard, ..Options::default() };
                    let (all, _) = through(&store, walk(&options, cursor.as_deref()), limit, 1000).await;
                    let names = names(&all);
                    assert!(
                        order == memory::Order::Own || names.len() == all.len(),
                        "{shard} {limit} {cursor:?}: a store in the order of names tells each once"
                    );
                    met.extend(names.into_iter().map(str::to_owned));
                }
                let distinct = met.iter().collect::<BTreeSet<_>>().len();
                assert_eq!((distinct, met.len()), (200, 200), "{order:?} {of} {limit} {cursor:?}");
            }
        }
    }
}

/// A shard costs a listing for each of its digits, and the whole costs one.
#[tokio::test]
async fn a_walk_costs_a_listing_for_each_digit_of_its_shard() {
    use crate::store::memory::Operation;
    let (store, memory) = store_of(200).await;
    for (of, digits) in [(1, 1), (2, 8), (4, 4), (8, 2)] {
        for index in 0..of {
            let shard = Shard::parse(&format!("{index}/{of}")).unwrap();
            let before = memory.calls(Operation::List);
            through(&store, walk(&Options { shard, ..Options::default() }, None), 1000, 1000).await;
            let lists = memory.calls(Operation::List) - before;
            assert_eq!(lists, 2 * digits, "{shard}: of the deliveries, and of their states");
        }
    }
}

#[tokio::test]
async fn states_meet_their_deliveries_and_those_without_one_go() {
    let (store, memory) = store_of(100).await;
    let time = NOW.unix_millis() + 60_000;
    for n in 0..100 {
        if n % 3 == 0 {
            put(&store, &format!("retry/tdmq/h/{}.{time}.1", digest(n))).await;
        }
        if n % 9 == 0 {
            put(&store, &format!("retry/tdmq/h/{}.{}.2", digest(n), time + 1)).await;
        }
        if n % 10 == 1 {
            put(&store, &format!("retry/tdmq/h/{}", digest(n))).await;
        }
    }
    for n in 1000..1020 {
        put(&store, &format!("retry/tdmq/h/{}.{time}.1", digest(n))).await;
    }
    put(&store, "retry/tdmq/cursor.0-1").await;
    let options = Options::default();
    for limit in [1000, 7] {
        let (all, _) = through(&store, walk(&options, None), limit, 1000).await;
        for waiting in &all {
            let n = (0..100).find(|n| waiting.entry.name.ends_with(&digest(*n))).unwrap();
            let newest = (n % 3 == 0).then(|| time + i64::from(n % 9 == 0));
            assert_eq!(waiting.next().map(Timestamp::unix_millis), newest, "{n}");
            let is_due = match newest {
                Some(_) => Some(false),
                None if n % 10 == 1 => None,
                None => Some(true),
            };
            assert_eq!(waiting.is_due(NOW), is_due, "{n}");
        }
        assert_eq!(all.len(), 100);
        let page = store.list("retry/", None, 1000, soon()).await.unwrap();
        assert_eq!(page.entries.len(), 34 + 12 + 10 + 1, "what has no delivery is gone, the rest is not");
    }
    // A store with an order of its own: nothing is concluded from missing names.
    memory.set_order(memory::Order::Own);
    put(&store, &format!("retry/tdmq/h/{}.{time}.1", digest(2000))).await;
    let (all, _) = through(&store, walk(&options, None), 7, 1000).await;
    assert_eq!(names(&all).len(), 100);
    let page = store.list("retry/", None, 1000, soon()).await.unwrap();
    assert_eq!(page.entries.len(), 58);
}

#[tokio::test]
async fn a_state_written_meanwhile_is_no_orphan() {
    let (store, _) = store_of(30).await;
    let options = Options::default();
    let mut walk = walk(&options, None);
    while !walk.is_over() {
        for waiting in walk.turn(&store, 4, soon()).await.unwrap().waiting {
            // An attempt fails while the walk goes on.
            let state = waiting.entry.name.replacen("spill", "retry", 1);
            put(&store, &format!("{state}.{}.1", NOW.unix_millis() + 60_000)).await;
        }
    }
    let page = store.list("retry/", None, 1000, soon()).await.unwrap();
    assert_eq!(page.entries.len(), 30);
}

/// An empty page that is not the end says nothing about names.
#[tokio::test]
async fn an_empty_page_concludes_nothing() {
    let (store, memory) = store_of(100).await;
    let time = NOW.unix_millis() + 60_000;
    for n in 0..100 {
        put(&store, &format!("retry/tdmq/h/{}.{time}.1", digest(n))).await;
    }
    memory.set_order(memory::Order::Gaps);
    for cursor in [None, Some(digest(50))] {
        for limit in [7, 1000] {
            let options = Options::default();
            let (all, _) = through(&store, walk(&options, cursor.as_deref()), limit, 1000).await;
            let with_states = all.iter().filter(|waiting| waiting.is_due(NOW) == Some(false)).count();
            assert_eq!((names(&all).len(), with_states), (100, 100), "{cursor:?} {limit}");
            assert_eq!(memory.count("retry/"), 100, "{cursor:?} {limit}: no state is an orphan");
        }
    }
}

/// A walk that waits for its turn remembers no states, and finds them again.
#[tokio::test]
async fn a_walk_that_rests_loses_no_state() {
    let (store, memory) = store_of(100).await;
    let time = NOW.unix_millis() + 60_000;
    for n in 0..100 {
        put(&store, &format!("retry/tdmq/h/{}.{time}.1", digest(n))).await;
    }
    for cursor in [None, Some(digest(50))] {
        let mut walk = walk(&Options::default(), cursor.as_deref());
        let mut all = Vec::new();
        while !walk.is_over() {
            all.extend(walk.turn(&store, 10, soon()).await.unwrap().waiting);
            walk.rest();
            assert_eq!(walk.remembered(), 0);
        }
        let with_states = all.iter().filter(|waiting| waiting.is_due(NOW) == Some(false)).count();
        assert_eq!((names(&all).len(), with_states), (100, 100), "{cursor:?}");
        assert_eq!(memory.count("retry/"), 100);
    }
}
