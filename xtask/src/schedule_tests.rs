//! Tests of the schedule: every order in which a few steps can end, and many orders of the real table.

use super::{Schedule, State};
use crate::step::{BUILD, Lane, MEASURE, Step, WAIT};
use crate::steps::STEPS;

/// Steps with both lanes, dependencies across the lanes, and measurements in a row.
const FEW: &[Step] = &[
    Step { name: "install", ..WAIT },
    Step { name: "compile", ..BUILD },
    Step { name: "download", after: &["install"], ..WAIT },
    Step { name: "measure", after: &["compile"], ..MEASURE },
    Step { name: "measure-more", after: &["install"], ..MEASURE },
    Step { name: "link", after: &["download"], ..BUILD },
    Step { name: "container", after: &["link", "install"], ..WAIT },
    Step { name: "wait", ..WAIT },
    Step { name: "pack", after: &["wait"], ..BUILD },
    Step { name: "ask", after: &["install"], ..WAIT },
    Step { name: "fuzz", ..BUILD },
    Step { name: "send", after: &["ask"], ..WAIT },
];

/// Starts what can start and checks every rule against the steps that run then.
fn start(schedule: &mut Schedule<'_>) {
    let before = schedule.states().to_vec();
    let started = schedule.start();
    assert_eq!(schedule.start(), [0; 0], "a step starts although nothing has ended");
    let running: Vec<&Step> = schedule.running().collect();
    assert!(running.len() < 2 || running.iter().all(|step| !step.alone), "a measurement is not alone");
    for lane in [Lane::Build, Lane::Wait] {
        assert!(running.iter().filter(|step| step.lane == lane).count() < 2, "two steps run in one lane");
    }
    for index in started {
        assert!(!before.contains(&State::Failed), "a step starts after a failure");
        for (other, state) in schedule.steps.iter().zip(schedule.states()) {
            let is_before = schedule.steps[index].after.contains(&other.name);
            assert!(!is_before || *state == State::Passed, "{} does not wait", schedule.steps[index].name);
        }
        if schedule.steps[index].lane == Lane::Build {
            let mut earlier = schedule.steps[..index].iter().zip(schedule.states());
            let is_in_order = earlier.all(|(step, state)| step.lane == Lane::Wait || *state == State::Passed);
            assert!(is_in_order, "the build lane leaves its order");
        }
    }
}

/// Returns the positions of the steps that run.
fn running(schedule: &Schedule<'_>) -> Vec<usize> {
    (0..schedule.states().len()).filter(|&index| schedule.states()[index] == State::Running).collect()
}

/// Plays every order in which steps can end, each with success and, if `may_fail`, with failure; returns the
/// number of orders.
fn play(schedule: &Schedule<'_>, may_fail: bool) -> usize {
    let mut schedule = schedule.clone();
    start(&mut schedule);
    let running = running(&schedule);
    if running.is_empty() {
        let is_whole = schedule.states().iter().all(|state| *state == State::Passed);
        assert!(is_whole || schedule.states().contains(&State::Failed), "a step never starts");
        return 1;
    }
    let ends = running.iter().flat_map(|&index| [(index, true), (index, false)]);
    let ends = ends.filter(|(_, has_passed)| *has_passed || may_fail);
    ends.map(|(index, has_passed)| {
        let mut next = schedule.clone();
        next.end(index, has_passed);
        play(&next, may_fail)
    })
    .sum()
}

#[test]
fn every_order_keeps_the_rules_and_comes_to_its_end() {
    let steps: Vec<&Step> = FEW.iter().collect();
    // Many orders are what makes this a proof.
    assert!(play(&Schedule::new(&steps), false) > 50);
    assert!(play(&Schedule::new(&steps), true) > 300);
}

#[test]
fn the_real_table_keeps_the_rules_in_many_orders() {
    let steps: Vec<&Step> = STEPS.iter().collect();
    let mut random = 1_u64;
    for _ in 0..500 {
        let mut schedule = Schedule::new(&steps);
        loop {
            start(&mut schedule);
            let running = running(&schedule);
            // Knuth's generator, whose high bits are the random ones.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let Some(&index) = running.get((random >> 33) as usize % running.len().max(1)) else { break };
            schedule.end(index, true);
        }
        assert!(schedule.states().iter().all(|state| *state == State::Passed), "a step never starts");
    }
}

#[test]
fn a_failure_lets_the_other_lane_end_and_starts_nothing() {
    let steps: Vec<&Step> = FEW.iter().collect();
    let mut schedule = Schedule::new(&steps);
    assert_eq!(schedule.start(), [1, 0]);
    schedule.end(1, false);
    assert_eq!(schedule.start(), [0; 0]);
    assert!(schedule.is_running());
    schedule.end(0, true);
    assert_eq!(schedule.start(), [0; 0]);
    assert!(!schedule.is_running());
}

#[test]
fn a_measurement_that_is_ready_is_not_overtaken() {
    let steps: Vec<&Step> = FEW.iter().collect();
    let mut schedule = Schedule::new(&steps);
    schedule.start();
    schedule.end(1, true);
    assert_eq!(schedule.start(), [0; 0], "a measurement waits for the other lane");
    schedule.end(0, true);
    assert_eq!(schedule.start(), [3], "the measurement goes before the download");
    schedule.end(3, true);
    assert_eq!(schedule.start(), [4], "the next measurement follows at once");
    schedule.end(4, true);
    assert_eq!(schedule.start(), [2], "the waiting lane goes on");
}

#[test]
fn the_waiting_lane_passes_over_a_step_that_is_not_ready() {
    let steps = [&FEW[1], &FEW[3], &FEW[6], &FEW[7]];
    let mut table: Vec<Step> = steps.iter().map(|step| (*step).clone()).collect();
    table[2].after = &["compile"];
    let steps: Vec<&Step> = table.iter().collect();
    assert_eq!(Schedule::new(&steps).start(), [0, 3]);
}

#[test]
fn a_step_does_not_wait_for_one_that_was_not_asked_for() {
    let steps = [&FEW[6]];
    assert_eq!(Schedule::new(&steps).start(), [0]);
}
