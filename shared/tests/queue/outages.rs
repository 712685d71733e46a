//! Tests of the cost of a queue's outage for a forwarder with a store: low, for every kind of outage.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hookmq_shared::queue::memory::What;
use hookmq_shared::store::StoreError;
use hookmq_shared::store::memory::FaultKind;
use tokio::time::Instant;

use crate::kit::outage::{ANSWER, Asked, House, Kind, WRITE, error, median, pause, stored};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the times of the attempts for each message.
fn attempts(asked: &[Asked]) -> BTreeMap<&str, Vec<Instant>> {
    let mut by_id: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for one in asked {
        by_id.entry(&one.id).or_default().push(one.at);
    }
    by_id
}

#[tokio::test(start_paused = true)]
async fn a_message_is_begun_twice_at_most_and_a_time_out_once() {
    for kind in Kind::ALL {
        for count in [1, 200] {
            let house = House::new(&[], "");
            house.vendor(move |_| kind.met());
            let answers = house.burst("a", count).await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{kind:?}: {answers:?}");
            assert_eq!(house.store.count("spill/"), count, "{kind:?}");
            let asked = house.asked();
            let most = if kind.is_time_out() || kind.is_throttling() { 1 } else { 2 };
            for (id, begun) in attempts(&asked) {
                assert!(begun.len() <= most, "{kind:?}, {count}: {} attempts of {id}", begun.len());
                if let [first, second] = *begun {
                    assert!(second - first <= Duration::from_millis(1500), "{kind:?}: {:?}", second - first);
                }
            }
            // The third failure opens the circuit, so the second attempts of the other messages are not made.
            assert!(asked.len() <= count.max(2) + 2, "{kind:?}, {count}: {} attempts", asked.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn once_its_circuit_is_open_an_outage_costs_the_stores_write() {
    for kind in Kind::ALL {
        // High rates are slow to simulate, so only one kind of each group has one.
        let rates: &[u32] = if Kind::FEW.contains(&kind) { &[10, 200] } else { &[10] };
        for &rate in rates {
            let house = House::new(&[], "");
            house.stream("a", rate, SECOND).await;
            house.asked();
            house.vendor(move |_| kind.met());
            // Attempts of 6.3 s may be in progress until the circuit opens.
            let opening = house.stream("a", rate, 8 * SECOND).await;
            house.asked();
            let time = if rate > 10 { 3 * SECOND } else { 20 * SECOND };
            let answers = house.stream("a", rate, time).await;
            assert!(answers.iter().chain(&opening).all(|answer| answer.status == 200), "{kind:?}");
            let median = median(&answers);
            assert!(median <= WRITE + Duration::from_millis(50), "{kind:?}, {rate}/s: {median:?}");
            // Only one probe is made at a time.
            let asked = house.asked();
            assert!(asked.len() <= 25, "{kind:?}, {rate}/s: {} attempts in 20 s", asked.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sending_is_back_within_five_seconds() {
    for kind in Kind::ALL {
        for rate in [1, 10, 50] {
            let house = House::new(&[], "");
            house.vendor(move |_| kind.met());
            house.burst("a", 4).await;
            let outage = if rate > 10 { 7 * SECOND } else { 13 * SECOND };
            house.stream("a", rate, outage).await;
            house.vendor(|_| stored());
            // A probe may still hang in the outage, and no delivery waits for it.
            house.stream_on("a", rate, 5 * SECOND).await;
            let spilled = house.store.count("spill/");
            let answers = house.stream("a", rate, 3 * SECOND).await;
            let begun = Instant::now() - 3 * SECOND;
            let late = house.spilled_since(begun);
            assert_eq!(late, 0, "{kind:?}, {rate}/s: after {spilled}");
            assert!(median(&answers) <= ANSWER, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rare_delivery_may_be_the_probe_and_costs_one_attempt() {
    for kind in Kind::ALL {
        let house = House::new(&[], "");
        house.vendor(move |_| kind.met());
        house.burst("a", 4).await;
        pause(10 * SECOND).await;
        house.asked();
        for _ in 0..10 {
            house.deliver("a").await;
            let asked = house.asked();
            assert!(asked.len() <= 1, "{kind:?}: {asked:?}");
            pause(7 * SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_topic_costs_a_sound_one_nothing() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_unreachable()) {
        let house = House::new(&[], "");
        house.vendor(move |topic| if topic.ends_with("/a") { kind.met() } else { stored() });
        let (bad, sound) =
            tokio::join!(house.stream("a", 20, 15 * SECOND), house.stream("b", 10, 15 * SECOND));
        assert!(bad.iter().chain(&sound).all(|answer| answer.status == 200));
        let asked = house.asked();
        let of_sound = asked.iter().filter(|one| one.topic.ends_with("/b"));
        assert_eq!(of_sound.clone().filter(|one| one.is_stored).count(), sound.len(), "{kind:?}");
        assert_eq!(of_sound.count(), sound.len(), "{kind:?}: each is sent once");
        assert!(sound.iter().all(|answer| answer.took <= ANSWER), "{kind:?}");
        let late = bad.len() / 2;
        assert!(median(&bad[late..]) <= WRITE + Duration::from_millis(50), "{kind:?}");
    }
}

/// An outage of the endpoint opens the circuit of all topics, even of a topic that was never tried.
#[tokio::test(start_paused = true)]
async fn what_all_topics_meet_is_the_endpoints() {
    for kind in Kind::ALL {
        let house = House::new(&[], "");
        house.vendor(move |_| kind.met());
        tokio::join!(house.stream("a", 10, 15 * SECOND), house.stream("b", 10, 15 * SECOND));
        house.asked();
        let answers = house.stream("c", 20, 10 * SECOND).await;
        assert!(median(&answers) <= WRITE + Duration::from_millis(50), "{kind:?}");
        let asked = house.asked().len();
        assert!(asked <= 20, "{kind:?}: {asked}");
        house.vendor(|_| stored());
        house.stream("c", 20, 5 * SECOND).await;
        let spilled = house.store.count("spill/");
        for hook in ["a", "b", "c"] {
            house.stream(hook, 10, SECOND).await;
        }
        assert_eq!(house.store.count("spill/"), spilled, "{kind:?}: all are back");
    }
}

/// Builds a vendor that takes `limit` messages in each second of its clock.
fn by_the_second(limit: usize) -> impl FnMut(&str) -> (Duration, What) + Send + 'static {
    let begun = Instant::now();
    let mut taken: (u64, usize) = (0, 0);
    move |_| {
        let second = begun.elapsed().as_secs();
        taken = if taken.0 == second { (second, taken.1 + 1) } else { (second, 1) };
        if taken.1 <= limit { stored() } else { error("RequestLimitExceeded") }
    }
}

/// Builds a vendor that takes `limit` messages in any period of a second; with `counts_refused`, refused ones
/// count too.
fn over_a_second(
    limit: usize,
    counts_refused: bool,
) -> impl FnMut(&str) -> (Duration, What) + Send + 'static {
    let mut taken: VecDeque<Instant> = VecDeque::new();
    move |_| {
        let now = Instant::now();
        while taken.front().is_some_and(|at| now - *at >= SECOND) {
            taken.pop_front();
        }
        let fits = taken.len() < limit;
        if fits || (counts_refused && taken.len() < 3 * limit) {
            taken.push_back(now);
        }
        if fits { stored() } else { error("RequestLimitExceeded") }
    }
}

#[tokio::test(start_paused = true)]
async fn at_twice_the_vendors_limit_the_queue_gets_most_of_it() {
    for limit in [5_u32, 20, 100] {
        // A low limit that counts refused messages too gives little to learn from, and takes long to
        // simulate.
        for shape in 0..if limit == 20 { 3 } else { 2 } {
            let house = House::new(&[], "");
            let most = limit as usize;
            match shape {
                0 => house.vendor(by_the_second(most)),
                1 => house.vendor(over_a_second(most, false)),
                _ => house.vendor(over_a_second(most, true)),
            }
            let (rate, seconds) = (2 * limit, if limit > 20 { 12 } else { 30 });
            let answers = house.stream("a", rate, seconds * SECOND).await;
            assert!(answers.iter().all(|answer| answer.status == 200));
            let asked = house.asked();
            let taken = asked.iter().filter(|one| one.is_stored).count();
            let could = limit as usize * seconds as usize;
            assert!(taken * 100 >= could * 80, "{limit}/s, {shape}: {taken} of {could}");
            assert!(asked.len() <= answers.len(), "{limit}/s, {shape}: asked no more often than in calm");
            assert!(median(&answers) <= Duration::from_millis(50), "{limit}/s, {shape}");
            // After the limit is gone, every delivery is sent.
            house.vendor(|_| stored());
            house.stream("a", rate, 5 * SECOND).await;
            let spilled = house.store.count("spill/");
            house.stream("a", rate, 5 * SECOND).await;
            assert_eq!(house.store.count("spill/"), spilled, "{limit}/s, {shape}: free again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_store_does_not_take_it_either_both_are_tried_to_the_deadline() {
    let down = || StoreError::Unreachable("down".to_owned());
    for kind in [Kind::InternalError, Kind::Refused, Kind::BadGateway, Kind::Resets, Kind::Throttled] {
        // The queue works again after 4 s.
        let house = House::new(&[], "");
        let begun = Instant::now();
        house.vendor(move |_| if begun.elapsed() < 4 * SECOND { kind.met() } else { stored() });
        house.store.set_faults(move |_, _| FaultKind::Fails(down()).into());
        let answers = house.burst("a", 20).await;
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(accepted, 20, "{kind:?}: the queue");
        // The store works again after 4 s.
        let house = House::new(&[], "");
        let begun = Instant::now();
        house.vendor(move |_| kind.met());
        house.store.set_faults(move |_, _| {
            if begun.elapsed() < 4 * SECOND {
                FaultKind::Fails(down()).into()
            } else {
                FaultKind::None.into()
            }
        });
        let answers = house.burst("a", 20).await;
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(accepted, 20, "{kind:?}: the store");
        // Neither the queue nor the store works again.
        let house = House::new(&[], "");
        house.vendor(move |_| kind.met());
        house.store.set_faults(move |_, _| FaultKind::Fails(down()).into());
        let answers = house.burst("a", 20).await;
        assert!(answers.iter().all(|answer| answer.status == 503), "{kind:?}");
        assert!(answers.iter().all(|answer| answer.took <= 10 * SECOND), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_store_the_deadline_is_used() {
    for kind in [Kind::InternalError, Kind::BadGateway, Kind::Throttled, Kind::Resets] {
        let house = House::new(&[], "spill = \"never\"");
        let begun = Instant::now();
        house.vendor(move |_| if begun.elapsed() < 4 * SECOND { kind.met() } else { stored() });
        let answers = house.burst("a", 20).await;
        // The last of the waits may end before the recovery.
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(accepted > 15, "{kind:?}: {answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_numbers_are_settable() {
    let house = House::new(&[("QUEUE_ATTEMPTS", "1")], "");
    house.vendor(|_| error("InternalError"));
    house.deliver("a").await;
    assert_eq!(house.asked().len(), 1);

    let house = House::new(&[("QUEUE_ATTEMPTS", "2"), ("QUEUE_RETRY_WITHIN", "1ms")], "");
    house.vendor(|_| error("InternalError"));
    house.deliver("a").await;
    assert_eq!(house.asked().len(), 1, "no time is left for the second");
}
