//! Tests of `turns`.

use super::*;

const FAILED: Came = Came::Not { stops: Stops::Hook, asked: None };

/// Plays `rounds` turns, each of which ends at once with the outcome `came` for its hook.
fn play(turns: &mut Turns, rounds: usize, now: Instant, came: impl Fn(usize) -> Came) -> Vec<usize> {
    let mut played = Vec::new();
    for _ in 0..rounds {
        let Turn::Of(hook) = turns.next(now) else { break };
        turns.begun(hook);
        turns.ended(hook, came(hook), Some(Class::Config), now);
        played.push(hook);
    }
    played
}

#[tokio::test(start_paused = true)]
async fn hooks_take_turns_and_a_failing_one_costs_the_others_nothing() {
    let (mut turns, now) = (Turns::new(3, 8), Instant::now());
    assert_eq!(play(&mut turns, 6, now, |_| Came::Through), [0, 1, 2, 0, 1, 2]);
    let came = |hook| if hook == 1 { FAILED } else { Came::Through };
    let played = play(&mut turns, 100, now, came);
    assert_eq!(played.iter().filter(|hook| **hook == 1).count(), ENOUGH as usize);
    // The hook is asked again after its rest, once.
    let played = play(&mut turns, 10, now + REST, came);
    assert_eq!(played.iter().filter(|hook| **hook == 1).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_sends_hang_leaves_room() {
    let (mut turns, now) = (Turns::new(2, 16), Instant::now());
    // Hook 0 never comes back; hook 1 is sent at once.
    let mut sent = 0;
    for _ in 0..200 {
        match turns.next(now) {
            Turn::Of(0) => turns.begun(0),
            Turn::Of(hook) => {
                turns.begun(hook);
                turns.ended(hook, Came::Through, None, now);
                sent += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(sent >= 198, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_without_room_is_passed_over_but_not_for_ever() {
    let (mut turns, now) = (Turns::new(2, 16), Instant::now());
    turns.begun(0);
    // What hangs is its own: the other one goes on, however long it takes.
    assert_eq!(turns.next(now), Turn::Of(0));
    for seconds in [0, 100] {
        let now = now + Duration::from_secs(seconds);
        assert!(turns.passes_over(0, now));
        assert_eq!(play(&mut turns, 1, now, |_| Came::Through), [1]);
        assert_eq!(turns.next(now), Turn::Of(0), "what ended may have made room");
    }
    // What hangs is the other's: it waits for as long as a send takes, and then the room is its own.
    let (mut turns, late) = (Turns::new(2, 16), now + PASSED_OVER);
    turns.begun(1);
    assert!(turns.passes_over(0, now));
    assert_eq!(turns.next(now), Turn::Of(1));
    assert!(turns.passes_over(1, now));
    assert_eq!(turns.next(now), Turn::Nothing, "nothing to do but to wait for an end");
    turns.ended(1, Came::Through, None, late);
    assert!(turns.passes_over(1, late), "the other one may go");
    assert!(!turns.passes_over(0, late));
    // Another target has the room, and nothing else is to be done.
    let mut turns = Turns::new(1, 8);
    assert!(!turns.passes_over(0, now));
}

#[tokio::test(start_paused = true)]
async fn what_all_share_stops_all() {
    let (mut turns, now) = (Turns::new(2, 8), Instant::now());
    let asked = Some(Duration::from_secs(5));
    turns.begun(0);
    turns.ended(0, Came::Not { stops: Stops::TargetForAWhile, asked }, Some(Class::Throttle), now);
    assert_eq!(turns.next(now), Turn::Rest(now + Duration::from_secs(5)));
    assert_eq!(turns.next(now + Duration::from_secs(5)), Turn::Of(0));
    turns.ended(0, Came::Not { stops: Stops::Target, asked: None }, Some(Class::Auth), now);
    assert_eq!(turns.next(now + Duration::from_secs(60)), Turn::Over(Class::Auth));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_known() {
    let (mut turns, now) = (Turns::new(2, 1), Instant::now());
    assert_eq!(turns.next(now), Turn::Of(0));
    turns.begun(0);
    assert_eq!(turns.next(now), Turn::Nothing, "one at a time");
    turns.ended(0, Came::Nothing, None, now);
    turns.exhausted(1);
    assert_eq!(turns.next(now), Turn::Of(0));
    turns.exhausted(0);
    assert!(turns.is_done());
    assert_eq!(turns.next(now), Turn::Nothing);
    assert_eq!(Turns::new(0, 8).next(now), Turn::Nothing);
}

/// Many messages in `dead/` that every vendor refuses may lie in front of one that was buried by mistake.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_one_message_stops_no_other() {
    for class in [Class::Permanent, Class::TooLarge] {
        let (mut turns, now) = (Turns::new(1, 8), Instant::now());
        let came = Came::of(End::Failed, Some(class), None, None);
        assert_eq!(play(&mut turns, 100, now, |_| came).len(), 100, "{class:?}");
    }
    let (mut turns, now) = (Turns::new(1, 8), Instant::now());
    let came = Came::of(End::Failed, Some(Class::Config), None, None);
    assert_eq!(play(&mut turns, 100, now, |_| came).len(), ENOUGH as usize);
}

/// The topic's circuit is the reason for the stop: deliveries behind it, for other topics, have their
/// turn.
#[tokio::test(start_paused = true)]
async fn what_a_topic_shares_stops_no_other_topic_of_its_hook() {
    for (class, tried) in [(Class::Config, false), (Class::Transient, false), (Class::Transient, true)] {
        let end = if tried { End::Failed } else { End::Held };
        let of = |reach| Came::of(end, Some(class), reach, None);
        let (mut turns, mut now) = (Turns::new(1, 8), Instant::now());
        let mut played = 0;
        // A thousand deliveries of the bad topic come first.
        while played < 1000 {
            played += play(&mut turns, 1000 - played, now, |_| of(Some(Reach::Topic))).len();
            now += REST;
        }
        assert!(turns.next(now) == Turn::Of(0) && now.elapsed().is_zero());
        let took = 1000 / HELD_ENOUGH;
        assert!(now - Instant::now() <= REST * (took + 1), "{class:?}: {:?}", now - Instant::now());
        assert_eq!(play(&mut turns, 50, now, |_| Came::Through).len(), 50);
        // A failure that all topics share rests the target.
        for reach in [Reach::Key, Reach::Endpoint] {
            let mut turns = Turns::new(2, 8);
            assert_eq!(play(&mut turns, 9, now, |_| of(Some(reach))).len(), 1, "{class:?}");
        }
    }
}

/// One hook's throttling does not show that all share it: in that case a circuit of the key opens.
#[tokio::test(start_paused = true)]
async fn a_throttled_hook_does_not_stop_a_sound_one() {
    let (mut turns, now) = (Turns::new(2, 8), Instant::now());
    let asked = Some(Duration::from_secs(5));
    let throttled = |reach| Came::of(End::Failed, Some(Class::Throttle), reach, asked);
    let came = |hook| if hook == 0 { throttled(None) } else { Came::Through };
    let played = play(&mut turns, 100, now, came);
    assert_eq!(played.iter().filter(|hook| **hook == 0).count(), 1, "it rests for as long as it is asked to");
    assert_eq!(played.len(), 100, "{played:?}");
    let played = play(&mut turns, 100, now + Duration::from_secs(4), came);
    assert!(!played.contains(&0), "{played:?}");
    let played = play(&mut turns, 100, now + Duration::from_secs(5), came);
    assert_eq!(played.iter().filter(|hook| **hook == 0).count(), 1);
    // The cause of the hold is unknown, or shared by all.
    let held = Came::of(End::Held, Some(Class::Throttle), None, asked);
    for came in [held, throttled(Some(Reach::Key)), throttled(Some(Reach::Endpoint))] {
        let mut turns = Turns::new(2, 8);
        assert_eq!(play(&mut turns, 9, now, |_| came).len(), 1, "{came:?}");
        assert_eq!(turns.next(now), Turn::Rest(now + Duration::from_secs(5)), "{came:?}");
    }
}
