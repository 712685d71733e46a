//! Exploration of every possible course, to its end.

use super::*;
use crate::config::Mode;

fn all_terms() -> Vec<Terms> {
    let modes = [Mode::OnFailure, Mode::Always, Mode::Never];
    let senders = modes.map(|spill| Origin::Sender { spill });
    let mut all = Vec::new();
    for origin in senders.into_iter().chain([Origin::Spill, Origin::Dead]) {
        for stored in [None, Some(Form::Whole), Some(Form::Referring)] {
            for bits in 0..16 {
                let is = |bit: u8| bits >> bit & 1 == 1;
                let (has_hook, may_refer) = (is(0), is(1));
                let is_sender = matches!(origin, Origin::Sender { .. });
                // A sender's delivery has today's hook and nothing stored; a reference needs a hook.
                if (is_sender && (stored.is_some() || !has_hook)) || (may_refer && !has_hook) {
                    continue;
                }
                let terms = Terms { origin, stored, has_hook, render_first: is(2), dedupe: is(3), may_refer };
                all.push(terms);
            }
        }
    }
    all
}

fn outcomes(step: Step) -> Vec<StepOutcome> {
    match step {
        Step::LookUp => vec![StepOutcome::Found(true), StepOutcome::Found(false)],
        Step::Render => [
            Rendered::Made { as_stored: true },
            Rendered::Made { as_stored: false },
            Rendered::TooLarge,
            Rendered::Failed,
        ]
        .map(StepOutcome::Rendered)
        .into(),
        Step::Send(_) => {
            let failed = |class| [true, false].map(|tried| StepOutcome::Sent(Sent::Failed { class, tried }));
            Class::ALL.into_iter().flat_map(failed).chain([StepOutcome::Sent(Sent::Stored)]).collect()
        }
        _ => vec![StepOutcome::Done(true), StepOutcome::Done(false)],
    }
}

/// Explores every continuation of a course; `way` holds the steps before it and their outcomes.
fn explore(terms: Terms, course: Course, way: &mut Vec<(Step, StepOutcome)>, ends: &mut Vec<End>) {
    assert!(way.len() < 20, "{terms:?} does not end: {way:?}");
    let came = |step: fn(Step) -> bool, outcome: StepOutcome| {
        way.iter().any(|(taken, came)| step(*taken) && *came == outcome)
    };
    let is_stored = came(|step| matches!(step, Step::Send(_)), StepOutcome::Sent(Sent::Stored));
    let is_marked = came(|step| step == Step::LookUp, StepOutcome::Found(true));
    let is_buried = came(|step| step == Step::Bury, StepOutcome::Done(true));
    let is_spilled = came(|step| step == Step::Spill, StepOutcome::Done(true));
    let is_deleted = came(|step| step == Step::Delete, StepOutcome::Done(true));
    let is_sender = matches!(terms.origin, Origin::Sender { .. });
    match course.step() {
        Step::Delete => assert!(is_stored || is_marked || is_buried, "{terms:?} {way:?}"),
        Step::Send(Form::Referring) => {
            let referred = (Step::Refer, StepOutcome::Done(true));
            // With `spill = "always"`, a failed write may come between the two steps.
            let last = way.iter().rev().find(|(step, _)| *step != Step::Spill);
            assert_eq!(last, Some(&referred), "{terms:?} {way:?}");
        }
        Step::Mark => assert!(is_stored && terms.dedupe, "{terms:?} {way:?}"),
        Step::LookUp => assert!(terms.dedupe, "{terms:?}"),
        Step::Postpone => assert!(terms.origin == Origin::Spill && !is_stored, "{terms:?} {way:?}"),
        Step::Spill => assert!(is_sender, "{terms:?} {way:?}"),
        Step::End(end) => {
            let is_proven = match end {
                End::Queued => is_stored && (is_sender || is_deleted),
                End::Repeated => is_marked && (is_sender || is_deleted),
                End::Spilled { .. } => is_spilled && is_sender,
                End::Dead { .. } => is_buried && (is_sender || is_deleted),
                End::Refused | End::Unrenderable => is_sender && !is_stored,
                End::Failed | End::Held | End::NoMessage => !is_sender && !is_deleted && !is_stored,
                End::StoreFailed => !is_sender && !is_deleted,
            };
            assert!(is_proven, "{terms:?} ends as {end:?} after {way:?}");
            ends.push(end);
            return;
        }
        _ => {}
    }
    for outcome in outcomes(course.step()) {
        way.push((course.step(), outcome));
        explore(terms, course.after(outcome), way, ends);
        way.pop();
    }
}

#[test]
fn every_course_ends_with_what_it_claims() {
    let mut ends = Vec::new();
    for terms in all_terms() {
        explore(terms, Course::new(terms), &mut Vec::new(), &mut ends);
    }
    for end in [
        End::Queued,
        End::Repeated,
        End::Spilled { tried: true },
        End::Spilled { tried: false },
        End::Dead { unrenderable: true },
        End::Dead { unrenderable: false },
        End::Refused,
        End::Unrenderable,
        End::Failed,
        End::Held,
        End::NoMessage,
        End::StoreFailed,
    ] {
        assert!(ends.contains(&end), "{end:?} is never reached");
    }
    assert!(ends.len() > 10_000, "{}", ends.len());
}

#[test]
fn what_is_corrected_in_the_hooks_file_is_made_anew_before_it_is_given_up() {
    let terms = Terms {
        origin: Origin::Spill,
        stored: Some(Form::Whole),
        has_hook: true,
        render_first: false,
        dedupe: false,
        may_refer: false,
    };
    for class in Class::ALL {
        let failed = |tried| StepOutcome::Sent(Sent::Failed { class, tried });
        for tried in [true, false] {
            let course = Course::new(terms).after(failed(tried));
            assert_eq!(course.step() == Step::Render, class.is_corrected_in_hooks(), "{class:?} {tried}");
            let gone = Course::new(Terms { has_hook: false, ..terms }).after(failed(tried));
            assert_ne!(gone.step(), Step::Render);
        }
    }
    // A message that differs from the stored one is sent; an equal one is not sent twice.
    let course =
        Course::new(terms).after(StepOutcome::Sent(Sent::Failed { class: Class::Config, tried: true }));
    let rendered = |as_stored| course.after(StepOutcome::Rendered(Rendered::Made { as_stored })).step();
    assert_eq!(rendered(false), Step::Send(Form::Whole));
    assert_eq!(rendered(true), Step::Postpone);
}

#[test]
fn an_outcome_of_another_step_accepts_and_deletes_nothing() {
    for terms in all_terms() {
        let course = Course::new(terms);
        let foreign = match course.step() {
            Step::Send(_) => StepOutcome::Found(true),
            _ => StepOutcome::Sent(Sent::Stored),
        };
        let step = course.after(foreign).step();
        assert!(matches!(step, Step::End(End::Refused | End::StoreFailed | End::NoMessage)), "{step:?}");
    }
}
