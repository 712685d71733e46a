//! The verdict on a run: which promises held, and which were broken.

use std::collections::BTreeMap;
use std::fmt;

use super::Spilling;
use super::causes::{Cause, causes};
use super::harvest;
use super::hooks::Shape;
use super::ledger::{Attempt, Key, Ledger, Line, Moment, Outcome};
use super::processes::Process;
use super::world::{Span, Troubles, World};

/// Upper bound on the examples for each broken promise.
const EXAMPLES: usize = 3;

/// Time before and after a delivery in which a disturbance is reported with it, in milliseconds.
const AROUND: Moment = 2000;

/// A promise, and how often and by what it was broken.
struct Promise {
    name: &'static str,
    broken: usize,
    examples: Vec<String>,
}

/// Result of a run: the numbers of deliveries, the duplicates by cause, and the promises.
pub(super) struct Verdict {
    genuine: usize,
    forged: usize,
    acknowledged: usize,
    in_queue: usize,
    dead: usize,
    not_acknowledged: usize,
    by_answer: BTreeMap<String, usize>,
    /// The longest time from a request to its answer, in milliseconds.
    latest: Moment,
    duplicates: BTreeMap<Cause, usize>,
    promises: Vec<Promise>,
}

impl Verdict {
    pub(super) fn holds(&self) -> bool {
        self.promises.iter().all(|promise| promise.broken == 0)
    }

    /// Judges a finished run; `given_up` are the deliveries whose senders never had an answer.
    pub(super) fn of(world: &World, given_up: &[u64]) -> Self {
        let store = world.site.store();
        let mut ledger = world.ledger();
        let sendable = harvest::enter_dead(world, &mut ledger);
        let waiting = ["spill", "retry"].map(|part| harvest::objects(&store, part));
        let ended: Vec<_> =
            world.forwarders.iter().chain(&world.redrivers).flat_map(Process::ended).collect();
        let failures = world.troubles().failures.clone();

        let mut verdict = Self::count(world, &ledger);
        let listed = |list: &[String]| list.iter().take(EXAMPLES).cloned().collect();
        let waiting: Vec<_> = waiting.iter().flatten().map(|path| path.display().to_string()).collect();
        verdict.promise("altered", ledger.altered.len(), listed(&ledger.altered));
        verdict.promise("unknown ids", ledger.unknown.len(), listed(&ledger.unknown));
        verdict.promise("missing claims", ledger.claims.len(), listed(&ledger.claims));
        verdict.promise("left in spill", waiting.len(), listed(&waiting));
        verdict.promise("left in dead", sendable, Vec::new());
        verdict.promise("broken objects", ledger.corrupt.len(), listed(&ledger.corrupt));
        let given_up: Vec<_> = given_up.iter().map(ToString::to_string).collect();
        verdict.promise("given up", given_up.len(), listed(&given_up));
        verdict.promise("crashes", ended.len(), listed(&ended));
        verdict.promise("failures of the experiment", failures.len(), listed(&failures));
        verdict
    }

    fn promise(&mut self, name: &'static str, broken: usize, examples: Vec<String>) {
        self.promises.push(Promise { name, broken, examples });
    }

    fn count(world: &World, ledger: &Ledger) -> Self {
        let mut verdict = Self {
            genuine: 0,
            forged: 0,
            acknowledged: 0,
            in_queue: 0,
            dead: 0,
            not_acknowledged: 0,
            by_answer: BTreeMap::new(),
            latest: 0,
            duplicates: BTreeMap::new(),
            promises: Vec::new(),
        };
        let troubles = world.troubles();
        let mut broken: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for line in &ledger.lines {
            let hook = &world.asked.hooks[line.place];
            let mut breaks = |promise| {
                let examples = broken.entry(promise).or_default();
                examples.push(if examples.len() < EXAMPLES {
                    evidence(hook.name, line, &troubles)
                } else {
                    String::new()
                });
            };
            verdict.note_answers(line);
            if line.is_forged {
                verdict.forged += 1;
                if line.is_acknowledged() || !line.stored.is_empty() || line.is_dead {
                    breaks(FORGED);
                }
                continue;
            }
            verdict.genuine += 1;
            verdict.acknowledged += usize::from(line.is_acknowledged());
            match (line.is_acknowledged(), line.stored.is_empty(), line.is_dead) {
                (true, false, _) => verdict.in_queue += 1,
                (true, true, true) => verdict.dead += 1,
                (true, true, false) => breaks(LOST),
                (false, ..) => verdict.not_acknowledged += 1,
            }
            if line.attempts.iter().any(|attempt| !has_receipt(line, attempt.outcome)) {
                breaks(RECEIPTS);
            }
            if !line.attempts.iter().all(|attempt| may_be(world, hook.shape, attempt.outcome)) {
                breaks(ANSWERS);
            }
            for cause in causes(line, world.knows_repeats(hook), &troubles) {
                match cause.filter(|_| !world.asked.faults.is_none()) {
                    Some(cause) => *verdict.duplicates.entry(cause).or_default() += 1,
                    None => breaks(DUPLICATES),
                }
            }
        }
        for promise in [LOST, FORGED, RECEIPTS, ANSWERS, DUPLICATES] {
            let examples = broken.remove(promise).unwrap_or_default();
            verdict.promise(promise, examples.len(), examples.into_iter().take(EXAMPLES).collect());
        }
        verdict
    }

    fn note_answers(&mut self, line: &Line) {
        let who = if line.is_forged { "forged" } else { "genuine" };
        for attempt in &line.attempts {
            let answer = match attempt.outcome {
                Outcome::Queued(_) => "2xx with a receipt".to_owned(),
                Outcome::Kept => "2xx without".to_owned(),
                Outcome::Refused(status) => status.to_string(),
                Outcome::None => "none".to_owned(),
            };
            if attempt.outcome != Outcome::None {
                self.latest = self.latest.max(attempt.to.saturating_sub(attempt.from));
            }
            *self.by_answer.entry(format!("{who} {answer}")).or_default() += 1;
        }
    }
}

const LOST: &str = "lost";
const FORGED: &str = "forged";
const RECEIPTS: &str = "false receipts";
const ANSWERS: &str = "wrong answers";
const DUPLICATES: &str = "duplicates that are not allowed";

/// Describes a delivery and the disturbances around it; moments are milliseconds since the start of the run.
fn evidence(hook: &str, line: &Line, troubles: &Troubles) -> String {
    let mut told = vec![format!("{hook} {}", line.number)];
    for Attempt { from, to, outcome } in &line.attempts {
        let outcome = match outcome {
            Outcome::Queued(_) => "queued".to_owned(),
            other => format!("{other:?}"),
        };
        told.push(format!("asked {from}-{to} {outcome}"));
    }
    for stored in &line.stored {
        told.push(format!("stored {}{}", stored.at, if stored.is_hidden { " in secret" } else { "" }));
    }
    if line.is_dead {
        told.push("in dead/".to_owned());
    }
    let moments = || {
        let asked = line.attempts.iter().flat_map(|attempt| [attempt.from, attempt.to]);
        asked.chain(line.stored.iter().map(|stored| stored.at))
    };
    let (from, to) = (moments().min().unwrap_or_default(), moments().max().unwrap_or_default());
    let kinds =
        [("killed", &troubles.kills), ("frozen", &troubles.freezes), ("store broken", &troubles.store)];
    for (what, spans) in kinds.into_iter().chain([("expired", &troubles.expiries)]) {
        let near =
            |span: &&Span| span.0 <= to.saturating_add(AROUND) && span.1.saturating_add(AROUND) >= from;
        for span in spans.iter().filter(near) {
            told.push(format!("{what} {}-{}", span.0, span.1));
        }
    }
    told.join(", ")
}

/// Returns true if the queue has the message that the answer names, or the answer names none.
fn has_receipt(line: &Line, outcome: Outcome) -> bool {
    let is_there = |id: Key| line.stored.iter().any(|stored| stored.message_id == id);
    match outcome {
        Outcome::Queued(id) => is_there(id),
        _ => true,
    }
}

/// Returns true if this answer to a genuine delivery is allowed under the run's settings.
fn may_be(world: &World, shape: Shape, outcome: Outcome) -> bool {
    let (faults, is_off) = (&world.asked.faults, world.asked.spilling == Spilling::Never);
    match outcome {
        Outcome::Queued(_) => true,
        Outcome::Kept => !is_off,
        Outcome::Refused(413) => {
            faults.has("too-large") || faults.has("lifecycle") || (shape == Shape::Large && is_off)
        }
        Outcome::Refused(422) => shape == Shape::Unfit && is_off,
        Outcome::Refused(status) => status == 503 && !faults.is_none(),
        Outcome::None => !faults.is_none(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { genuine, forged, acknowledged, in_queue, dead, not_acknowledged, .. } = self;
        writeln!(f, "sent       {genuine} genuine deliveries, {forged} forged")?;
        let answers: Vec<_> =
            self.by_answer.iter().map(|(answer, count)| format!("{answer} {count}")).collect();
        writeln!(f, "answers    {}; the latest after {} ms", answers.join(", "), self.latest)?;
        writeln!(f, "not acknowledged {not_acknowledged}")?;
        write!(f, "acknowledged {acknowledged} | in queue {in_queue} | dead, kept {dead}")?;
        for Promise { name, broken, .. } in self.promises.iter().filter(|p| p.name != DUPLICATES) {
            write!(f, " | {name} {broken}")?;
        }
        let allowed: usize = self.duplicates.values().sum();
        let not_allowed = self.promises.iter().find(|p| p.name == DUPLICATES).map_or(0, |p| p.broken);
        write!(f, " | duplicates {} (allowed {allowed}", allowed + not_allowed)?;
        for (number, (cause, count)) in self.duplicates.iter().enumerate() {
            write!(f, "{} {} {count}", if number == 0 { ":" } else { "," }, cause.as_str())?;
        }
        writeln!(f, ")")?;
        for Promise { name, broken, examples } in self.promises.iter().filter(|promise| promise.broken > 0) {
            writeln!(f, "BROKEN: {name} {broken}, such as\n  {}", examples.join("\n  "))?;
        }
        write!(f, "{}", if self.holds() { "HELD" } else { "BROKEN" })
    }
}
