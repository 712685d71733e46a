//! The vendors, which store messages or fail in the current mode.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::message::Message;
use hookmq_shared::net::endpoint::Endpoint;
use hookmq_shared::queue::Class;
use hookmq_shared::queue::memory::{Broker, MemoryQueue, QueueLimits, Reply, Try, What};

use crate::codes::{Codes, ROCKETMQ, TDMQ};
use crate::hooks::{FIRST_OF_TWO, SECOND_OF_TWO, TARGETS};
use crate::ledger::Copy;
use crate::world::{MINUTE, Mode, Process, SECOND, State, World};

/// The program's limit for a message: 4096 bytes of these small messages.
const LIMITS: QueueLimits = QueueLimits { most: 128 << 10, scale: 32 };

/// The vendor's own limit for a message, in bytes.
const MOST: usize = 3072;

/// Upper bound on the difference between a request's time and the vendor's, in milliseconds.
const SKEW: i64 = 15 * 60 * 1000;

/// Upper bound on the delay of a receipt that is certain to arrive in time.
const IN_TIME: Duration = Duration::from_millis(40);

/// One target, from the view of one process.
struct Vendors {
    world: Arc<World>,
    process: Arc<Process>,
    target: usize,
}

fn codes(target: usize) -> &'static Codes {
    if target == 1 { &ROCKETMQ } else { &TDMQ }
}

impl World {
    /// Builds the process's client of the target.
    pub(crate) fn queue(self: &Arc<Self>, target: usize, process: &Arc<Process>) -> Option<MemoryQueue> {
        let endpoint = Endpoint::parse(&format!("https://{}.test", TARGETS[target]), false).ok()?;
        let broker = Vendors { world: Arc::clone(self), process: Arc::clone(process), target };
        let (key, context) = (Arc::clone(&self.keys[target]), self.context(process));
        Some(MemoryQueue::new(codes(target).vendor, endpoint, LIMITS, key, context, broker))
    }
}

impl Broker for Vendors {
    fn way(&self, attempt: &Try<'_>) -> Duration {
        let mut state = self.world.state();
        let now = self.world.now();
        if let Some((number, lane)) = lane_of(&state, self.target, attempt.message)
            && let Some(entry) = state.ledger.entry(number)
        {
            entry.lane(lane).tried = now;
            entry.lane(lane).is_mistyped = false;
        }
        Duration::from_millis(state.rng.range(1, 20))
    }

    fn take(&self, attempt: &Try<'_>) -> Reply {
        let crash = self.world.crashes(&self.process);
        let mut state = self.world.state();
        let state = &mut *state;
        if crash == Some(false) || self.process.is_dead() && crash.is_none() {
            return Reply { after: Duration::ZERO, what: What::Silence };
        }
        let mut after = Duration::from_millis(state.rng.range(1, 20));
        let what = self.answer(state, attempt, &mut after);
        let told = match &what {
            What::Answer(answer) => u64::from(answer.status),
            What::Refused => 1,
            What::Cut => 2,
            What::Silence => 3,
        };
        if let Some((number, _)) = lane_of(state, self.target, attempt.message) {
            let what = || {
                format!(
                    "process {} sends it to target {}: {what:?} after {after:?}, crash {crash:?}",
                    self.process.id, self.target
                )
            };
            self.world.tell(number, what);
        }
        state.log(b'q', crate::world::mixed(&attempt.message.id), self.world.now() ^ told << 48);
        if crash.is_some() {
            return Reply { after, what: What::Silence };
        }
        Reply { after, what }
    }
}

impl Vendors {
    fn answer(&self, state: &mut State, attempt: &Try<'_>, after: &mut Duration) -> What {
        let Self { world, target, .. } = self;
        let (now, moment) = (world.now(), world.timestamp());
        let mode = state.modes[*target].filter(|(_, until)| *until > now).map(|(mode, _)| mode);
        let codes = codes(*target);
        // A mode counts as met when a request meets it; modes that store the message are counted below.
        if let Some(mode) = mode.filter(|mode| !mode.stores()) {
            state.meet(mode.as_str());
        }
        match mode {
            Some(Mode::Refuses) => return What::Refused,
            Some(Mode::Hangs(false)) => return What::Silence,
            Some(Mode::Cuts(false)) => return What::Cut,
            Some(Mode::Lies(false)) => return What::Answer(codes.lie(&mut state.rng)),
            Some(Mode::Says(class, false)) => {
                return What::Answer(codes.error(class, moment, &mut state.rng));
            }
            Some(Mode::SaysOfAll) => return What::Answer((codes.everywhere)()),
            Some(Mode::Slow) => *after = Duration::from_millis(state.rng.range(10, 5000)),
            Some(Mode::Hangs(true) | Mode::Cuts(true) | Mode::Lies(true) | Mode::Says(_, true)) | None => {}
        }
        let mut says = |class| What::Answer(codes.error(class, moment, &mut state.rng));
        if attempt.key != state.keys[*target] {
            let answer = says(Class::Auth);
            state.meet("wrong key");
            return answer;
        }
        if (attempt.signed.unix_millis() - moment.unix_millis()).abs() > SKEW {
            let answer = says(Class::ClockSkew);
            state.meet("clock jump");
            return answer;
        }
        let message = attempt.message;
        let known = lane_of(state, *target, message);
        let mut says = |class| What::Answer(codes.error(class, moment, &mut state.rng));
        if message.topic.contains("hoks") {
            let answer = says(Class::Config);
            if let Some((number, lane)) = known
                && let Some(entry) = state.ledger.entry(number)
            {
                let slot = entry.lane(lane);
                (slot.was_mistyped, slot.is_mistyped) = (true, true);
            }
            return answer;
        }
        let place = place_of(message);
        if let Some((class, _)) =
            place.and_then(|place| state.hook_modes.get(&place)).filter(|mode| mode.1 > now)
        {
            let class = *class;
            state.meet("vendor refuses one hook");
            return What::Answer(codes.error(class, moment, &mut state.rng));
        }
        if message.text.contains("\"poison\":true") {
            return says(Class::Permanent);
        }
        if message.text.len() > MOST {
            return says(Class::TooLarge);
        }
        let copy = match world.consume(state, *target, message, (self.process.id, self.process.is_redriver)) {
            Ok(copy) => copy,
            Err(broken) => {
                state.broke(broken);
                world.stop();
                return What::Silence;
            }
        };
        let is_hidden = matches!(mode, Some(Mode::Hangs(_) | Mode::Cuts(_) | Mode::Lies(_) | Mode::Says(..)));
        if let Some(mode) = mode.filter(|mode| mode.stores()) {
            state.meet(mode.as_str());
        }
        let Copy { number, lane, count } = copy;
        if (is_hidden || *after > IN_TIME)
            && let Some(entry) = state.ledger.entry(number)
        {
            let slot = entry.lane(lane);
            slot.excuses = slot.excuses.saturating_add(1);
        }
        match mode {
            Some(Mode::Hangs(_)) => What::Silence,
            Some(Mode::Cuts(_)) => What::Cut,
            Some(Mode::Lies(_)) => {
                self.count_unread(state, attempt, number);
                What::Answer(codes.lie(&mut state.rng))
            }
            Some(Mode::Says(class, _)) => What::Answer(codes.error(class, moment, &mut state.rng)),
            _ => What::Answer((codes.stored)(&format!("{number}:{lane}:{count}"))),
        }
    }

    /// Counts the copies of one send whose answers cannot be read; more than two break a promise.
    fn count_unread(&self, state: &mut State, attempt: &Try<'_>, number: u32) {
        let key = (self.process.id << 2 | u32::try_from(self.target).unwrap_or_default(), attempt.send);
        let count = state.unread.entry(key).or_default();
        *count += 1;
        if *count > 2 {
            let told = format!("copies without end: {count} of {number} in one send, the answers unread");
            state.broke(told);
            self.world.stop();
        } else if *count == 2 {
            state.meet("two unread copies");
        }
        while state.unread.len() > 1000 {
            state.unread.pop_first();
        }
    }
}

/// Finds the delivery and the lane of a message from its id, topic and body, without any check.
fn lane_of(state: &State, target: usize, message: &Message) -> Option<(u32, usize)> {
    // Most ids contain the number, which is the fast path.
    let number = message.id.strip_prefix("id-").and_then(|id| id.parse().ok());
    let number = number.or_else(|| marked(message))?;
    let place = usize::from(state.ledger.entries.get(number as usize)?.place);
    let (number, place) = match place_of(message) {
        Some(SECOND_OF_TWO) if place == FIRST_OF_TWO => (number | 1, SECOND_OF_TWO),
        _ => (number, place),
    };
    let lane = crate::hooks::hook(place).lanes.iter().position(|lane| *lane == target)?;
    Some((number, lane))
}

/// Extracts the number from a text with its body in clear; both twins carry the number of the first.
fn marked(message: &Message) -> Option<u32> {
    let text = &message.text;
    let at = ["\"n\":", "\\\"n\\\":"].iter().find_map(|mark| Some(text.find(mark)? + mark.len()))?;
    let rest = text.get(at..)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let number: u32 = rest.get(..end)?.parse().ok()?;
    let is_second = text.contains(".b\",\"time\"");
    Some(if is_second { number | 1 } else { number })
}

/// Returns the index of the hook that the topic is named after.
fn place_of(message: &Message) -> Option<usize> {
    let topic = &message.topic;
    let at = topic.rfind("/h").or_else(|| topic.rfind("_h"))? + 2;
    topic.get(at..at + 2)?.parse().ok()
}

/// Draws a duration in milliseconds, most of them short.
pub(crate) fn span(state: &mut State, most: u64) -> u64 {
    let longest = match state.rng.below(10) {
        0 => most,
        1..=3 => most / 8,
        _ => most / 60,
    };
    state.rng.range(10 * SECOND, longest.max(MINUTE))
}

impl Process {
    pub(crate) fn began(&self) -> u64 {
        self.began.load(Ordering::Relaxed)
    }
}
