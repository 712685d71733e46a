//! The harvest: reads the messages of the queue and the objects of `dead/` as a consumer does, and enters
//! them in the ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_emulator::{SeenRequest, StoredMessage};
use hookmq_shared::json;
use hookmq_shared::spill::Record;

use super::faults::hides_a_receipt;
use super::hooks::{Hook, Scheme};
use super::ledger::{Ledger, Moment, Stored, key};
use super::world::World;

/// Numbers of requests of the functions to the vendor: all of them, those that met a fault, and by fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    pub(super) requests: u64,
    pub(super) faulty: u64,
    pub(super) by_fault: BTreeMap<String, u64>,
}

impl Met {
    fn note(&mut self, request: &SeenRequest) {
        self.requests += 1;
        let faults: Vec<&String> = request.faults.iter().filter(|name| *name != "pass").collect();
        self.faulty += u64::from(!faults.is_empty());
        for fault in faults {
            *self.by_fault.entry(fault.clone()).or_default() += 1;
        }
    }
}

/// Upper bound on the age of a referenced body when its message is sent, in milliseconds. A message is sent
/// right after its body was written or rewritten, and one run over one delivery takes no longer than this. An
/// older body could be deleted before the message is.
pub(super) const FRESH: Moment = 40_000;

/// Time before the kill of all functions in which the vendor may have taken a send in flight, in
/// milliseconds.
const UNDER_WAY: Moment = 5_000;

/// Enters the messages and requests that the emulator handed over.
pub(super) fn enter(
    world: &World,
    (messages, requests): (Vec<StoredMessage>, Vec<SeenRequest>),
    ledger: &mut Ledger,
    met: &mut Met,
) {
    for request in &requests {
        met.note(request);
    }
    let stored = requests.iter().filter(|request| request.stored);
    for (message, request) in messages.iter().zip(stored) {
        let at = world.watch.at(i64::try_from(message.received_at_ms).unwrap_or(i64::MAX));
        let stored = Stored {
            at,
            message_id: key(&[message.message_id.as_bytes()]),
            is_hidden: request.faults.iter().any(|fault| hides_a_receipt(fault)),
        };
        match read(message, world, at) {
            Ok(Found { hook, id, body }) => match ledger.find(&hook, &id, &body) {
                Some(line) => line.enter(stored),
                None => ledger.stray(&hook, &id),
            },
            Err(Unread::Claim(_)) if is_under_way(world, at) => {}
            Err(Unread::Claim(why)) => {
                let expiries = &world.troubles().expiries;
                let last = expiries.iter().rev().find(|span| span.0 <= at);
                ledger.claims.push(format!(
                    "{} {}, stored {at} and read {}, what was old deleted {last:?}: {why}",
                    message.topic,
                    message.message_id,
                    world.watch.now()
                ));
            }
            Err(Unread::Event(why)) => {
                ledger.unknown.push(format!("{} {}: {why}", message.topic, message.message_id));
            }
        }
    }
}

struct Found {
    hook: String,
    id: String,
    body: Vec<u8>,
}

/// The reason that a message belongs to no delivery.
enum Unread {
    /// The message does not have the form that a function gives it.
    Event(&'static str),
    /// The referenced body is missing, or will be deleted before the message is.
    Claim(&'static str),
}

impl From<&'static str> for Unread {
    fn from(why: &'static str) -> Self {
        Self::Event(why)
    }
}

/// Returns true if a killed function sent the message: it was killed before it could learn of the receipt,
/// and then the lifecycle deleted old objects. No sender was told of the message, and the delivery is sent
/// again.
fn is_under_way(world: &World, at: Moment) -> bool {
    world.troubles().expiries.iter().any(|(from, to)| from.saturating_sub(UNDER_WAY) <= at && at <= *to)
}

/// Reads a message as a consumer does.
fn read(message: &StoredMessage, world: &World, at: Moment) -> Result<Found, Unread> {
    let hook = world.hook_of(&message.topic).ok_or("nobody's topic")?;
    let text = message.text.as_bytes();
    if hook.scheme == Scheme::Own {
        return Ok(Found { hook: hook.name.to_owned(), id: String::new(), body: text.to_owned() });
    }
    let field = |name| json::text(text, name).ok().flatten().map(std::borrow::Cow::into_owned);
    let id = field("id").ok_or("no event")?;
    if field("source") != Some(format!("/hooks/{}", hook.name)) {
        return Err("the event has another source than its topic".into());
    }
    if message.properties.get("CE_id").is_some_and(|property| *property != id) {
        return Err("the property CE_id is not the event's id".into());
    }
    let is_json = field("datacontenttype").is_some_and(|kind| kind == "application/json");
    let body = match (field("dataref"), field("data_base64")) {
        (Some(address), None) => referred(&address, world, at).map_err(Unread::Claim)?,
        (None, Some(data)) => STANDARD.decode(data).map_err(|_| "no base64")?,
        // White space around JSON data belongs to the body, but a JSON parser would drop it.
        (None, None) if is_json => verbatim(&message.text).ok_or("no data")?.as_bytes().to_owned(),
        (None, None) => field("data").ok_or("no data")?.into_bytes(),
        (Some(_), Some(_)) => return Err("two bodies".into()),
    };
    Ok(Found { hook: hook.name.to_owned(), id, body })
}

/// Returns the text of `data`, the last member of the envelope.
fn verbatim(envelope: &str) -> Option<&str> {
    // No string before `data` can contain this text, because its quotes would be escaped.
    let (_, data) = envelope.split_once("\",\"data\":")?;
    data.strip_suffix('}')
}

/// Reads a body from the store and checks that it was fresh when the message was sent.
fn referred(address: &str, world: &World, at: Moment) -> Result<Vec<u8>, &'static str> {
    let (_, name) = address.split_once("/store/").ok_or("no address in the store")?;
    let path = world.site.store().join(name);
    let body = std::fs::read(&path).map_err(|_| "what it refers to is not there")?;
    let written = path.metadata().and_then(|data| data.modified()).ok();
    let written = written.and_then(|at| i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok());
    let written = written.ok_or("what it refers to has no age")?;
    // The body may have been rewritten since.
    if world.watch.at(written).saturating_add(FRESH) < at {
        return Err("what it refers to was not written again");
    }
    Ok(body)
}

/// Lists the files in a part of the store and in its subfolders.
pub(super) fn objects(store: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let (mut folders, mut files) = (vec![store.join(part)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Enters the objects of `dead/`; returns the number of them that have a message and could have been sent.
pub(super) fn enter_dead(world: &World, ledger: &mut Ledger) -> usize {
    let mut sendable = 0;
    for path in objects(&world.site.store(), "dead") {
        let record = std::fs::read(&path).ok().and_then(|bytes| Record::parse(&bytes).ok());
        let Some(record) = record else {
            ledger.corrupt.push(path.display().to_string());
            continue;
        };
        sendable += usize::from(record.message.is_some());
        let delivery = &record.delivery;
        let is_own = |hook: &&Hook| hook.name == delivery.hook && hook.scheme == Scheme::Own;
        let id = if world.asked.hooks.iter().any(|hook| is_own(&hook)) { "" } else { &delivery.id };
        match ledger.find(&delivery.hook, id, &delivery.body) {
            Some(line) => line.is_dead = true,
            None => ledger.stray(&delivery.hook, id),
        }
    }
    sendable
}
