//! Tests of the opening, the closing and the probes of circuits, with times that each test sets.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn way(topic: &str) -> Way {
    let endpoint = Endpoint::parse("https://a.example", false).unwrap();
    Way { key: [1; 32], topic: topic.into(), endpoint }
}

fn failure(class: Class) -> Failure {
    Failure::new(class, "why")
}

fn dead() -> Failure {
    Failure { unreachable: true, ..failure(Class::Transient) }
}

/// Outages with a clock that the test moves.
struct Play {
    outages: Outages,
    now: Instant,
}

impl Play {
    fn new() -> Self {
        Self { outages: Outages::default(), now: Instant::now() }
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Makes an attempt that ends at once, and returns true if it was admitted.
    fn attempt(&mut self, topic: &str, met: Option<&Failure>) -> bool {
        let way = way(topic);
        let Ok(leave) = self.outages.admit(&way, Effort::Brief, self.now) else { return false };
        match met {
            Some(failure) => drop(self.outages.failed(&way, leave, failure, (self.now, self.now))),
            None => drop(self.outages.sound(&way, true, self.now)),
        }
        true
    }

    /// Makes `count` attempts, a millisecond apart, and returns the number of those admitted.
    fn begun(&mut self, topic: &str, count: usize, met: &Failure) -> usize {
        (0..count).filter(|_| self.pass(MILLI).attempt(topic, Some(met))).count()
    }

    fn reach(&mut self, topic: &str) -> Option<Reach> {
        self.outages.open_on(&way(topic))
    }
}

fn kinds() -> [Failure; 5] {
    let timed_out = Failure { timed_out: true, maybe_stored: true, ..failure(Class::Ambiguous) };
    [failure(Class::Transient), failure(Class::Throttle), failure(Class::Ambiguous), timed_out, dead()]
}

#[tokio::test(start_paused = true)]
async fn three_in_a_row_open_the_topic_and_no_other() {
    for met in kinds() {
        let mut play = Play::new();
        assert_eq!(play.begun("t", 50, &met), 3, "{met:?}");
        let reach = if met.unreachable { Reach::Endpoint } else { Reach::Topic };
        assert_eq!(play.reach("t"), Some(reach));
        assert_eq!(play.attempt("other", None), !met.unreachable, "{met:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_in_between_begins_anew() {
    for met in kinds() {
        let mut play = Play::new();
        for _ in 0..20 {
            play.pass(CALM).begun("t", 2, &met);
            assert!(play.pass(CALM).attempt("t", None), "{met:?}");
        }
        assert_eq!(play.reach("t"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_of_before_a_success_prove_nothing() {
    let mut play = Play::new();
    let (t, met, begun) = (way("t"), failure(Class::Transient), play.now);
    play.pass(MILLI);
    play.outages.sound(&t, true, play.now);
    for _ in 0..200 {
        play.pass(MILLI);
        play.outages.failed(&t, None, &met, (begun, play.now));
    }
    assert_eq!(play.reach("t"), None);
    assert_eq!(play.begun("t", 10, &met), 3);
}

#[tokio::test(start_paused = true)]
async fn what_no_topic_explains_is_wider() {
    // Topics in the order of their failures, and true if the circuit of all is open in the end.
    for (topics, wide) in [
        ("abc", true),
        ("aabb", true),
        ("aaabb", true),
        ("aab", false),
        ("aaab", false),
        ("aaaaaaaab", false),
    ] {
        for met in [failure(Class::Transient), failure(Class::Throttle)] {
            let mut play = Play::new();
            for topic in topics.chars() {
                play.pass(MILLI).attempt(&topic.to_string(), Some(&met));
            }
            let reach = if met.class == Class::Throttle { Reach::Key } else { Reach::Endpoint };
            assert_eq!(play.reach("new"), wide.then_some(reach), "{topics} {met:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sound_topic_keeps_the_others_trouble_to_them() {
    let mut play = Play::new();
    let met = failure(Class::Transient);
    for _ in 0..1000 {
        play.pass(20 * MILLI).attempt("bad", Some(&met));
        play.attempt("worse", Some(&met));
        assert!(play.attempt("sound", None));
    }
    assert_eq!((play.reach("bad"), play.reach("sound")), (Some(Reach::Topic), None));
}

#[tokio::test(start_paused = true)]
async fn probes_are_one_at_a_time_and_further_apart_each_time() {
    let mut play = Play::new();
    let met = failure(Class::Transient);
    play.begun("t", 3, &met);
    let (begun, mut probes) = (play.now, Vec::new());
    while play.now < begun + Duration::from_secs(12) {
        if play.pass(10 * MILLI).attempt("t", Some(&met)) {
            probes.push((play.now - begun).as_millis());
        }
    }
    assert_eq!(probes, [200, 600, 1400, 3000, 5000, 7000, 9000, 11000]);
    // A probe under way holds back the others, for a few seconds only.
    play.pass(MAX_WAIT);
    let probe = play.outages.admit(&way("t"), Effort::Brief, play.now).unwrap();
    assert!(probe.is_some());
    assert!(!play.pass(HOLD.saturating_sub(MILLI)).attempt("t", None));
    assert!(play.pass(MILLI).attempt("t", Some(&met)));
    // A failed earlier probe does not push the next probe back.
    play.pass(MAX_WAIT);
    play.outages.failed(&way("t"), probe, &met, (play.now - HOLD, play.now));
    assert!(play.attempt("t", None));
    assert_eq!(play.reach("t"), None);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_given_up_makes_room() {
    let mut play = Play::new();
    play.begun("t", 3, &failure(Class::Transient));
    play.pass(MAX_WAIT);
    let probe = play.outages.admit(&way("t"), Effort::Brief, play.now).unwrap();
    assert!(!play.attempt("t", None));
    play.outages.leave(&way("t"), probe);
    assert!(play.attempt("t", None));
}

#[tokio::test(start_paused = true)]
async fn the_topic_whose_probe_failed_leaves_the_next_one_to_others() {
    let mut play = Play::new();
    let met = failure(Class::Transient);
    for topic in ["a", "b", "a", "b"] {
        play.pass(MILLI).attempt(topic, Some(&met));
    }
    assert_eq!(play.reach("c"), Some(Reach::Endpoint));
    // Two topics are bad and are used much more often; a third one is served nevertheless.
    let mut since = Duration::ZERO;
    while play.reach("c").is_some() {
        for topic in ["a", "b"] {
            play.attempt(topic, Some(&met));
        }
        play.pass(100 * MILLI).attempt("c", None);
        since += 100 * MILLI;
        assert!(since < Duration::from_secs(3));
    }
    let (mut sent, mut tried) = (0, 0);
    for _ in 0..100 {
        tried += usize::from(play.pass(100 * MILLI).attempt("a", Some(&met)));
        sent += usize::from(play.attempt("c", None));
    }
    assert_eq!(sent, 100);
    assert!(tried < 15, "{tried}");
}

#[tokio::test(start_paused = true)]
async fn what_all_shared_is_over_for_all_at_once() {
    let mut play = Play::new();
    let met = failure(Class::Transient);
    for topic in ["a", "b", "c"].repeat(40) {
        play.pass(200 * MILLI).attempt(topic, Some(&met));
    }
    play.pass(Duration::from_secs(4));
    assert!(play.attempt("a", None));
    assert!(play.attempt("b", None) && play.attempt("c", None));
}

#[tokio::test(start_paused = true)]
async fn throttling_between_successes_lowers_the_rate_and_opens_nothing() {
    let mut play = Play::new();
    let met = failure(Class::Throttle);
    let (mut sent, mut asked) = (0, 0);
    for n in 0..800 {
        let met = (n % 40 >= 20).then_some(&met);
        let is_begun = play.pass(5 * MILLI).attempt("t", met);
        asked += usize::from(is_begun);
        sent += usize::from(is_begun && met.is_none());
        assert_eq!(play.reach("t"), None, "{n}");
    }
    // A limit exists after a second, at about the rate that was taken.
    assert!(asked < 600 && sent > 150, "{sent} of {asked}");
    assert!(play.attempt("other", None), "another topic has its own rate");
    // No message is taken any more.
    play.pass(CALM);
    assert!(play.begun("t", 1000, &met) <= 7);
    assert_eq!(play.reach("t"), Some(Reach::Topic));
}

#[tokio::test(start_paused = true)]
async fn a_vendors_wait_is_kept_for_some_seconds() {
    let mut play = Play::new();
    let met = Failure { retry_after: Some(Duration::from_secs(3600)), ..failure(Class::Throttle) };
    play.begun("t", 3, &met);
    assert!(!play.pass(MAX_ASKED.saturating_sub(MILLI)).attempt("t", None));
    assert!(play.pass(MILLI).attempt("t", None));
}

#[tokio::test(start_paused = true)]
async fn an_effort_heeds_what_it_has_to() {
    for (met, whole) in [(failure(Class::Transient), true), (dead(), false)] {
        let mut play = Play::new();
        play.begun("t", 3, &met);
        let mut admits = |effort| play.outages.admit(&way("t"), effort, play.now).is_ok();
        assert!(!admits(Effort::Brief) && !admits(Effort::Patient));
        assert_eq!(admits(Effort::Whole), whole, "there is no store: as long as the endpoint answers");
        assert!(admits(Effort::Last));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_remembered_than_fits() {
    let mut play = Play::new();
    play.begun("kept", 3, &failure(Class::Transient));
    for n in 0..3 * MOST {
        play.pass(MILLI);
        play.outages.sound(&way(&n.to_string()), true, play.now);
    }
    assert_eq!(play.outages.topics.0.len(), MOST);
    assert_eq!(play.reach("kept"), Some(Reach::Topic), "what is open is forgotten last");
}

/// Event of a run: time passes, an attempt begins, or an attempt under way ends.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Begin(u8),
    End(u8, u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (1..1500_u64).prop_map(Event::Pass),
        (0..3_u8).prop_map(Event::Begin),
        (any::<u8>(), 0..6_u8).prop_map(|(which, met)| Event::End(which, met)),
    ];
    prop::collection::vec(event, 1..200)
}

proptest! {
    /// A circuit is open only after three failures that began after the last success of all its topics, a
    /// success closes it, and probes do not overlap within the hold time, in any order of events.
    #[test]
    fn what_is_open_has_a_reason(events in events()) {
        let mut outages = Outages::default();
        let mut now = Instant::now();
        // The last member is true for a probe of its topic's circuit that is open now.
        let mut under_way: Vec<(Way, Leave, Instant, bool)> = Vec::new();
        let mut successes: HashMap<String, Instant> = HashMap::new();
        let mut failures: Vec<(String, Instant)> = Vec::new();
        let mut last_probe: HashMap<String, Instant> = HashMap::new();
        for event in events {
            match event {
                Event::Pass(millis) => now += MILLI * u32::try_from(millis).unwrap(),
                Event::Begin(topic) => {
                    let way = way(&topic.to_string());
                    let was_out = outages.open_on(&way);
                    let Ok(leave) = outages.admit(&way, Effort::Brief, now) else { continue };
                    prop_assert_eq!(leave.is_some(), was_out.is_some());
                    if was_out == Some(Reach::Topic) {
                        let earlier = last_probe.insert(way.topic.clone(), now);
                        let is_alone = under_way.iter().all(|(other, _, begun, probes)| {
                            other.topic != way.topic || !probes || now >= *begun + HOLD
                        });
                        prop_assert!(is_alone || earlier.is_none());
                    }
                    under_way.push((way, leave, now, was_out == Some(Reach::Topic)));
                }
                Event::End(which, met) => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let (way, leave, begun, _) = under_way.remove(usize::from(which) % under_way.len());
                    if met == 5 {
                        outages.sound(&way, true, now);
                        successes.insert(way.topic.clone(), now);
                        // What probed the closed circuit is not a probe of the next one.
                        for (other, _, _, probes) in &mut under_way {
                            *probes &= other.topic != way.topic;
                        }
                        prop_assert_eq!(outages.open_on(&way), None);
                    } else {
                        outages.failed(&way, leave, &kinds()[usize::from(met)], (begun, now));
                        failures.push((way.topic.clone(), begun));
                    }
                    outages.leave(&way, leave);
                }
            }
            for topic in ["0", "1", "2"] {
                let counted = |of: &dyn Fn(&str) -> bool| {
                    let since = successes.iter().filter(|(name, _)| of(name)).map(|(_, at)| *at).max();
                    let counts = |(name, at): &&(String, Instant)| of(name) && since.is_none_or(|since| *at >= since);
                    failures.iter().filter(counts).count()
                };
                match outages.open_on(&way(topic)) {
                    None => {}
                    Some(Reach::Topic) => prop_assert!(counted(&|name| name == topic) >= 3),
                    Some(Reach::Key | Reach::Endpoint) => prop_assert!(counted(&|_| true) >= 3),
                }
            }
        }
        // After any run, all topics are served again within seconds if traffic comes.
        for step in 0..60 {
            now += Duration::from_millis(100);
            for topic in ["0", "1", "2"] {
                let way = way(topic);
                if outages.admit(&way, Effort::Brief, now).is_ok() {
                    outages.sound(&way, true, now);
                } else {
                    prop_assert!(step < 50, "{topic} is not back");
                }
            }
        }
    }
}
