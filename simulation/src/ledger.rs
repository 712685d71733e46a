//! The ledger: every sent delivery, the promises about it, and the messages that arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hookmq_shared::message::Message;
use serde::Deserialize;

use crate::hooks::{Content, SECOND_OF_TWO, TARGETS, hook, name, number_in};
use crate::world::{ByDigest, CLAIMS_LIVE, MINUTE, SECOND, State, World, short};

/// Upper bound on the age of a claim when a message refers to it, in milliseconds.
const AT_ONCE: u64 = 2 * MINUTE;

/// Upper bound on how long an operation in progress may outlast another one, in milliseconds.
const IN_HAND: u64 = 60 * SECOND;

/// Name for windows 1 to 6 and 9: an attempt whose answer was lost, or another request of the sender. Each
/// repeat is counted where its cause happens.
const EXCUSED: &str = "a repeat that was announced";

/// Possible names of a delivery's object, below the folder.
pub(crate) type Paths = Arc<[String]>;

/// All deliveries by number, and those that wait.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    pub(crate) by_digest: ByDigest,
    /// Acknowledged deliveries that are not in the queue yet, by number and lane.
    pub(crate) open: BTreeMap<(u32, u8), Paths>,
    /// Acknowledged deliveries in `dead/`, by number and lane; most of them stay there.
    pub(crate) buried: BTreeMap<(u32, u8), Paths>,
}

/// Record of a delivery.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) place: u8,
    pub(crate) is_forged: bool,
    pub(crate) is_acked: bool,
    /// Number of requests that the sender has made.
    pub(crate) requests: u16,
    pub(crate) lanes: [Lane; 2],
}

/// Record of a delivery on its way to one target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    pub(crate) copies: u8,
    /// Number of further copies that have an explanation.
    pub(crate) excuses: u8,
    pub(crate) last: u64,
    /// The process that sent the last copy; true if that is a redriver.
    pub(crate) by: (u32, bool),
    /// Time of the last write to `spill/`.
    pub(crate) spilled: u64,
    /// Start of the last attempt to send the delivery.
    pub(crate) tried: u64,
    /// True if any attempt met a missing topic; `is_mistyped` is true if the last one did.
    pub(crate) was_mistyped: bool,
    pub(crate) is_mistyped: bool,
}

/// A copy of a message that arrived in the queue.
pub(crate) struct Copy {
    pub(crate) number: u32,
    pub(crate) lane: usize,
    pub(crate) count: u8,
}

#[derive(Deserialize)]
struct Envelope<'e> {
    id: String,
    source: String,
    r#type: String,
    data_base64: Option<String>,
    dataref: Option<String>,
    #[serde(borrow)]
    data: Option<&'e serde_json::value::RawValue>,
}

/// Content of a message, according to the message itself.
struct Carried {
    id: String,
    hook: Option<String>,
    is_second: bool,
    body: Vec<u8>,
}

impl Ledger {
    pub(crate) fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)
    }

    /// Finds the delivery and the lane that an object's name belongs to.
    pub(crate) fn named(&self, object: &str) -> Option<(u32, usize)> {
        let target = object.split('/').nth(1)?;
        let target = TARGETS.iter().position(|known| *known == target)?;
        let digest = object.rsplit('/').next()?;
        let number = *self.by_digest.get(&short(digest))?;
        let place = usize::from(self.entries.get(number as usize)?.place);
        let lane = hook(place).lanes.iter().position(|lane| *lane == target)?;
        Some((number, lane))
    }
}

impl Entry {
    pub(crate) fn lane(&mut self, lane: usize) -> &mut Lane {
        &mut self.lanes[lane.min(1)]
    }
}

impl World {
    /// Consumes a message that the vendor stores: checks its content and counts the copy.
    pub(crate) fn consume(
        &self,
        state: &mut State,
        target: usize,
        message: &Message,
        by: (u32, bool),
    ) -> Result<Copy, String> {
        let carried = self.carried(message)?;
        let marked = number_in(&carried.body).ok_or("altered: the body holds no number")?;
        let entries = &state.ledger.entries;
        let place = entries.get(marked as usize).ok_or("a body that nobody sent")?.place;
        let traits = hook(usize::from(place));
        let is_for_second = traits.is_shared && carried.hook == Some(name(SECOND_OF_TWO, false));
        let is_second = traits.twins && carried.is_second || is_for_second;
        let number = if is_second { marked | 1 } else { marked };
        let entry = *entries.get(number as usize).ok_or("a body that nobody sent")?;
        let place = entry.place;
        if entry.is_forged {
            return Err(format!("forged: request {number} is in the queue"));
        }
        let content = Content::of(self.plan.seed, number, usize::from(place));
        if content.body != carried.body {
            return Err(format!("altered: the body of {number}"));
        }
        let names = [false, true].map(|is_renamed| name(usize::from(place), is_renamed));
        let known = names.iter().find(|name| carried.hook.as_ref().is_none_or(|hook| hook == *name));
        let known = known.ok_or_else(|| format!("altered: {number} of hook {:?}", carried.hook))?;
        if carried.id != content.id(known) || message.id != carried.id {
            return Err(format!("unknown id: {number} has {}", carried.id));
        }
        let lane = traits.lanes.iter().position(|lane| *lane == target);
        let lane = lane.ok_or_else(|| format!("{number} is in the queue of another target"))?;
        if content.is_hopeless && message.text.contains("poison") {
            return Err(format!("{number} was taken although nobody takes it"));
        }
        let now = self.now();
        let excuse = excuse(state, &entry, lane, by, now);
        if let Err(()) = excuse {
            let Lane { copies, last, .. } = entry.lanes[lane.min(1)];
            return Err(format!(
                "a repeat without a cause: copy {} of {number} (hook {place}, target {target}) {} s after the last",
                copies + 1,
                now.saturating_sub(last) / SECOND
            ));
        }
        if let Ok(Some(window)) = excuse {
            state.meet(window);
        }
        let entry = state.ledger.entry(number).ok_or("no entry")?;
        let slot = entry.lane(lane);
        if excuse == Ok(Some(EXCUSED)) {
            slot.excuses -= 1;
        }
        slot.copies = slot.copies.saturating_add(1);
        (slot.last, slot.by) = (now, by);
        let (count, was_mistyped) = (slot.copies, slot.was_mistyped);
        let is_first = count == 1;
        if was_mistyped && is_first {
            state.meet("rendered again");
        }
        let other = state.ledger.entry(number ^ 1).map(|other| other.lane(lane).copies);
        if traits.is_shared && is_first && other > Some(0) {
            state.meet("window 10: one event for two hooks");
        }
        let key = (number, u8::try_from(lane).unwrap_or_default());
        state.ledger.open.remove(&key);
        state.ledger.buried.remove(&key);
        Ok(Copy { number, lane, count })
    }

    fn carried(&self, message: &Message) -> Result<Carried, String> {
        if !message.text.starts_with("{\"specversion\":\"1.0\"") {
            let body = message.text.clone().into_bytes();
            return Ok(Carried { id: message.id.clone(), hook: None, is_second: false, body });
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(&message.text).map_err(|error| format!("altered: no envelope: {error}"))?;
        let body = if let Some(address) = &envelope.dataref {
            let name = address.strip_prefix("memory://store/").ok_or("a claim is elsewhere")?;
            let claim =
                self.store.object(name).ok_or_else(|| format!("lost: the claim {name} is not there"))?;
            let age = self.timestamp().unix_millis() - claim.modified.unix_millis();
            if u64::try_from(age).unwrap_or_default() > AT_ONCE {
                return Err(format!(
                    "lost: the claim {name} will not live as long as its message: it is {} min old, of {}",
                    age / 60_000,
                    CLAIMS_LIVE / MINUTE
                ));
            }
            claim.bytes.to_vec()
        } else if let Some(text) = &envelope.data_base64 {
            BASE64_STANDARD.decode(text).map_err(|_| "altered: no base64".to_owned())?
        } else {
            let data = envelope.data.ok_or("altered: there is no data")?.get();
            if data.starts_with('"') {
                let text: String = serde_json::from_str(data).map_err(|_| "altered: no text".to_owned())?;
                text.into_bytes()
            } else {
                // White space around the data belongs to the body.
                let at = message.text.find(",\"data\":").ok_or("altered: there is no data")? + 8;
                let end = message.text.len() - 1;
                message.text.get(at..end).ok_or("altered: cut off")?.as_bytes().to_vec()
            }
        };
        let hook = envelope.source.rsplit('/').next().map(str::to_owned);
        Ok(Carried {
            id: envelope.id,
            hook,
            is_second: envelope.r#type.rsplit('.').next() == Some("b"),
            body,
        })
    }
}

/// Finds the window through which one more copy may come; `Err` if none explains the copy.
fn excuse(
    state: &State,
    entry: &Entry,
    lane: usize,
    by: (u32, bool),
    now: u64,
) -> Result<Option<&'static str>, ()> {
    let Lane { copies, excuses, last, by: before, .. } = entry.lanes[lane.min(1)];
    if copies == 0 {
        return Ok(None);
    }
    let overlaps = |end: u64, slack: u64| end.saturating_add(slack) >= last;
    let is_other_redriver = before.1 && by.1 && before.0 != by.0;
    let is_overlap = (state.overlaps > 0 || overlaps(state.last_overlap, IN_HAND))
        && now.saturating_sub(last) <= 3 * IN_HAND;
    if is_other_redriver && is_overlap {
        return Ok(Some("window 8: two redrivers"));
    }
    if before.1 && before.0 != by.0 && overlaps(state.last_kill, 0) {
        return Ok(Some("window 7: killed between receipt and deletion"));
    }
    if excuses > 0 {
        return Ok(Some(EXCUSED));
    }
    if overlaps(state.last_kill, 0) {
        return Ok(Some("window 4: killed before the answer"));
    }
    if overlaps(state.last_store_trouble, 0) {
        return Ok(Some("window 7: the deletion failed"));
    }
    if is_overlap {
        return Ok(Some("window 9: sender and redriver"));
    }
    Err(())
}
