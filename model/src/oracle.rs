//! The oracle: answers of the shipped code, computed once.

use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::carry::{Course, End, Facts, KeptFacts, StepOutcome, Terms};
use hookmq_shared::clock::{Random, Timestamp};
use hookmq_shared::delivery::Delivery;
use hookmq_shared::net::answer::Answer;
use hookmq_shared::queue::failure::Private;
use hookmq_shared::queue::{Class, Vendor, tdmq};
use hookmq_shared::redrive::Waiting;
use hookmq_shared::redrive::turns::{Came, Stops};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source, Tamper, Verdict};
use hookmq_shared::spill::{Backoff, Folder, State as RetryState};
use hookmq_shared::store::Entry;

use crate::setting::{Condition, Setting};
use crate::state::{From, Kept, THINGS, retry};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const HOUR: i64 = 60 * 60 * 1000;

/// Answers of the shipped code to every question of the model.
#[derive(Debug)]
pub struct Oracle {
    /// One class for each group of classes that the code treats alike.
    pub classes: Vec<Class>,
    /// Class of a success that names no message; `None` if the code takes it for a receipt.
    pub unread: Option<Class>,
    /// True if the code accepts a forged request as a delivery.
    pub admits_forgeries: bool,
    /// True if a retry has the same id and object name as the delivery that it repeats.
    pub is_one: bool,
    /// Object of each delivery, first without provider ids, then with them.
    names: [[u8; THINGS]; 2],
    /// Answers to [`Self::is_due`], by the bits of `retry/` objects and by whether the clock is ahead.
    due: [[bool; 2]; 16],
    /// Waits as bits, by whether the vendor asked for a day and by whether the clock is ahead.
    waits: [[u8; 2]; 2],
}

impl Oracle {
    /// Computes all answers from the shipped code.
    ///
    /// # Panics
    ///
    /// Panics if a sample cannot be signed. The model must then be changed.
    pub fn new() -> Self {
        let (named, nameless) = (deliveries(true), deliveries(false));
        let mut classes: Vec<Class> = Vec::new();
        for class in Class::ALL {
            if !classes.iter().any(|known| is_alike(*known, class)) {
                classes.push(class);
            }
        }
        Self {
            classes,
            unread: unread(),
            admits_forgeries: admits_forgeries(),
            is_one: named.is_one && nameless.is_one,
            names: [nameless.names, named.names],
            due: std::array::from_fn(|states| [is_due(states, 0), is_due(states, retry::AHEAD)]),
            waits: [false, true].map(|asks| [0, retry::AHEAD].map(|ahead| wait(asks, ahead))),
        }
    }

    /// Returns the number of the delivery under whose name the object is stored.
    pub fn name(&self, setting: &Setting, of: usize) -> usize {
        let names = self.names[usize::from(setting.named)];
        names.get(of).copied().unwrap_or_default().into()
    }

    /// Returns true if a delivery with these `retry/` objects may be tried.
    pub fn is_due(&self, states: u8, ahead: bool) -> bool {
        self.due[usize::from(states & 15)][usize::from(ahead)]
    }

    /// Returns the time of the next attempt, as a bit of [`retry`].
    pub const fn wait(&self, asks: bool, ahead: bool) -> u8 {
        self.waits[asks as usize][ahead as usize]
    }

    /// Computes the course of a delivery with the rules of the real driver.
    pub fn course(setting: &Setting, hook: Condition, from: From, kept: Option<&Kept>) -> Course {
        let has_hook = hook != Condition::Gone;
        let stored = kept.map(|kept| KeptFacts {
            folder: if from == From::Dead { Folder::Dead } else { Folder::Spill },
            message: kept.message.map(|made| made.form),
            errorclass: kept.cause.as_str(),
            render: false,
        });
        Course::new(Terms::of(&Facts {
            stored,
            keeping: has_hook.then(|| setting.keeping()),
            has_recipe: has_hook,
            has_store: true,
            id_from_provider: setting.named,
        }))
    }

    /// Returns true if this end stops the whole run, because the failure affects every delivery of the
    /// target.
    pub fn is_over(end: End, class: Option<Class>) -> bool {
        matches!(Came::of(end, class, None, None), Came::Not { stops: Stops::Target, .. })
    }
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns true if every decision about a class is the same for both classes.
fn is_alike(one: Class, other: Class) -> bool {
    let of = |class: Class| {
        let stops = [true, false].map(|tried| Stops::of(class, tried, None));
        (class.rest(), class.is_corrected_in_hooks(), stops, ends(class))
    };
    of(one) == of(other)
}

/// Returns the step after a failure of this class, for every origin and form.
fn ends(class: Class) -> Vec<hookmq_shared::carry::Step> {
    use hookmq_shared::carry::{Form, Origin, Sent, Step};
    use hookmq_shared::config::Mode;
    let senders = [Mode::OnFailure, Mode::Always, Mode::Never].map(|spill| Origin::Sender { spill });
    let mut steps = Vec::new();
    for origin in senders.into_iter().chain([Origin::Spill, Origin::Dead]) {
        for may_refer in [true, false] {
            for form in [Form::Whole, Form::Referring] {
                let stored = (!matches!(origin, Origin::Sender { .. })).then_some(form);
                let terms =
                    Terms { origin, stored, has_hook: true, render_first: false, dedupe: false, may_refer };
                let mut course = Course::new(terms);
                // Up to and including the first send.
                for _ in 0..8 {
                    course = course.after(match course.step() {
                        Step::Send(_) => break,
                        Step::Spill => StepOutcome::Done(false),
                        Step::Render => {
                            StepOutcome::Rendered(hookmq_shared::carry::Rendered::Made { as_stored: false })
                        }
                        _ => StepOutcome::Done(true),
                    });
                }
                for tried in [true, false] {
                    steps.push(course.after(StepOutcome::Sent(Sent::Failed { class, tried })).step());
                }
            }
        }
    }
    steps
}

fn is_due(states: usize, ahead: i64) -> bool {
    let name = "spill/tdmq/h/00";
    let state = |(bit, hours): (u8, i64)| {
        let at = NOW.shifted(hours * HOUR).unix_millis();
        (states & usize::from(bit) != 0).then(|| RetryState::read(&format!("retry/tdmq/h/00.{at:013}.1")))
    };
    let waiting = Waiting {
        entry: Entry { name: name.to_owned(), size: 1, modified: NOW },
        states: retry::ALL.into_iter().filter_map(state).collect(),
    };
    waiting.is_due(NOW.shifted(ahead * HOUR)) != Some(false)
}

/// Computes the longest wait of the real back-off, rounded up to the hours that the model distinguishes. The
/// model does not know the number of the run, so one bit covers all runs.
fn wait(asks: bool, ahead: i64) -> u8 {
    let asked = asks.then_some(Duration::from_secs(24 * 60 * 60));
    let draws = [0, u64::MAX / 2, u64::MAX - 1];
    let waits = (1..20).flat_map(|runs| {
        draws.map(|bits| Backoff::wait(runs, asked, &Random::from_fn(move || bits)).as_secs_f64())
    });
    let longest = waits.fold(0.0, f64::max);
    let is_day = longest > 60.0 * 60.0;
    match (is_day, ahead) {
        (true, _) => retry::DAY,
        (false, 0) => retry::HOUR,
        (false, _) => retry::FAR,
    }
}

fn unread() -> Option<Class> {
    let body = Bytes::from_static(b"{\"Response\":{\"RequestId\":\"r\"}}");
    let answer = Answer { status: 200, body, ..Answer::default() };
    tdmq::wire::read(&answer, &Private::default()).err().map(|failure| failure.class)
}

struct Identities {
    names: [u8; THINGS],
    is_one: bool,
}

/// Builds deliveries of hooks `a` and `b`. Those of `b` share their id if the provider gives one, as in a
/// batch, and else their body.
fn deliveries(named: bool) -> Identities {
    let source = source(if named { "github" } else { "buildkite" });
    let make = |hook: &str, id: &str, event: &str, body: &str, at: Timestamp| {
        let draft = Draft {
            body: Some(body.to_owned().into()),
            event: Some(event.to_owned()),
            id: named.then(|| id.to_owned()),
            ..Draft::default()
        };
        sign(&source, hook, draft, at)
    };
    let second = if named { ("push", "{\"n\":2}") } else { ("pull", "{\"n\":1}") };
    let all = |at| {
        [
            make("a", "a-1", "push", "{\"n\":1}", at),
            make("b", "b-1", "push", "{\"n\":1}", at),
            make("b", "b-1", second.0, second.1, at),
        ]
    };
    let target = Vendor::Tdmq.into();
    let name = |delivery: &Delivery| Folder::Spill.name(&target, delivery);
    let (first, again) = (all(NOW), all(NOW.shifted(HOUR)));
    let is_one = first.iter().zip(&again).all(|(one, two)| one.id == two.id && name(one) == name(two));
    let objects = first.each_ref().map(name);
    let place = |of: &String| objects.iter().position(|object| object == of).unwrap_or_default();
    // There are only three positions, so each fits in a byte.
    Identities { names: objects.each_ref().map(|of| u8::try_from(place(of)).unwrap_or_default()), is_one }
}

fn admits_forgeries() -> bool {
    let source = source("github");
    let draft = Draft { tamper: Some(Tamper::Signature), ..Draft::default() };
    let random = Random::from_fn(|| 7);
    let Ok(request) = source.sign(draft, 0, NOW, &random) else { return true };
    matches!(source.check("a", request, NOW), Verdict::Verified(_))
}

fn source(preset: &str) -> Source {
    let secrets = vec![Secret::new("a secret that the model signs with")];
    let settings = Settings { secrets, ..Settings::default() };
    Source::preset(preset, settings).unwrap_or_else(|errors| panic!("{preset}: {errors:?}"))
}

fn sign(source: &Source, hook: &str, draft: Draft, at: Timestamp) -> Delivery {
    let random = Random::from_fn(|| 7);
    let request = source.sign(draft, 0, at, &random).unwrap_or_else(|error| panic!("{error}"));
    match source.check(hook, request, at) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}
