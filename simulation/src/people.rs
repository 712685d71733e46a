//! The people of the simulation: senders, forgers, and the operator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::http::{Request, Response};
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::redrive::{Options, reverify};
use hookmq_shared::service::Service as _;
use hookmq_shared::source::{Source, Tamper};
use tokio::time::{Instant, sleep, timeout};

use crate::hooks::{
    Content, FIRST_OF_TWO, HOOKS, SECOND_OF_TWO, Scheme, Shape, TARGETS, hook, name, signers,
};
use crate::ledger::{Entry, Paths};
use crate::processes::{FORWARDERS, Fleet, gateway, redrivers, run};
use crate::world::{HOUR, MINUTE, SECOND, World, short};

/// Waits of senders between their tries, in seconds; three days in all.
const WAITS: [u64; 10] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000, 3600];

/// Time limit of a sender for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sources that senders sign with, by generation of secrets; built when they are first needed.
pub(crate) struct Pens {
    seed: u64,
    known: Mutex<Vec<Vec<Arc<Source>>>>,
    /// Sources with secrets that are never configured.
    foreign: Vec<Arc<Source>>,
}

impl Pens {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, known: Mutex::default(), foreign: signers(seed, 1 << 20) })
    }

    fn pen(&self, generation: u64, place: usize) -> Option<Arc<Source>> {
        let mut pens = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(generation).ok()?;
        while pens.len() <= at {
            let next = signers(self.seed, pens.len() as u64);
            pens.push(next);
        }
        pens.get(at)?.get(place).cloned()
    }

    fn foreign(&self, place: usize) -> Option<Arc<Source>> {
        self.foreign.get(place).cloned()
    }
}

/// Sends deliveries at random intervals until the planned hours are over.
pub(crate) async fn generate(world: Arc<World>, fleet: Arc<Fleet>, pens: Arc<Pens>) {
    let gap = 24 * HOUR / world.plan.per_day.max(1);
    let end = world.plan.hours * HOUR;
    while world.now() < end {
        let pause = world.state().rng.range(0, 2 * gap);
        sleep(Duration::from_millis(pause)).await;
        let place = {
            let mut state = world.state();
            let place = state.rng.below(HOOKS);
            // Most large deliveries are replaced, because they are rare in reality.
            let is_large = matches!(hook(place).shape, Shape::Large | Shape::Middle);
            if is_large && state.rng.happens(700) { 0 } else { place }
        };
        send(&world, &fleet, &pens, place);
    }
}

/// Starts the senders of one delivery of the hook, or of two that belong together.
pub(crate) fn send(world: &Arc<World>, fleet: &Arc<Fleet>, pens: &Arc<Pens>, place: usize) {
    let is_removed = world.state().version.is_removed && hook(place).is_removed;
    if is_removed {
        return;
    }
    let traits = hook(place);
    if traits.is_paired() && world.state().ledger.entries.len() % 2 == 1 {
        begin(world, fleet, pens, 0);
    }
    if traits.is_shared {
        begin(world, fleet, pens, FIRST_OF_TWO);
        begin(world, fleet, pens, SECOND_OF_TWO);
        return;
    }
    begin(world, fleet, pens, place);
    if traits.twins {
        begin(world, fleet, pens, place);
    }
}

fn begin(world: &Arc<World>, fleet: &Arc<Fleet>, pens: &Arc<Pens>, place: usize) {
    let mut state = world.state();
    let Ok(number) = u32::try_from(state.ledger.entries.len()) else { return };
    let is_forged = state.rng.happens(40) && !hook(place).is_paired();
    let entry = Entry { place: u8::try_from(place).unwrap_or_default(), is_forged, ..Entry::default() };
    state.ledger.entries.push(entry);
    state.open_senders += 1;
    drop(state);
    let (world, fleet, pens) = (Arc::clone(world), Arc::clone(fleet), Arc::clone(pens));
    tokio::spawn(async move {
        Sender { world: &world, fleet: &fleet, pens: &pens, number, place, is_forged }.send().await;
        world.state().open_senders -= 1;
    });
}

/// The sender of one delivery.
struct Sender<'w> {
    world: &'w Arc<World>,
    fleet: &'w Arc<Fleet>,
    pens: &'w Arc<Pens>,
    number: u32,
    place: usize,
    is_forged: bool,
}

impl Sender<'_> {
    async fn send(&self) {
        let Self { world, number, place, .. } = *self;
        let content = Content::of(world.plan.seed, number, place);
        if !self.is_forged {
            let count = if hook(place).is_renamed { 2 } else { 1 };
            for is_renamed in [false, true].into_iter().take(count) {
                let digest = content.digest(&name(place, is_renamed));
                world.state().ledger.by_digest.insert(short(&digest), number);
            }
        }
        let mut repeats = 0;
        for wait in WAITS {
            let is_acked = self.ask(&content).await;
            let Some(pause) = self.pause(is_acked, wait, &mut repeats) else { return };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Returns the milliseconds until the next request; `None` if the sender is done.
    fn pause(&self, is_acked: bool, wait: u64, repeats: &mut u32) -> Option<u64> {
        let traits = hook(self.place);
        let mut state = self.world.state();
        if !is_acked {
            return (traits.retries && !self.is_forged).then(|| state.rng.range(wait * 800, wait * 1200));
        }
        if self.is_forged || !traits.repeats || *repeats == 2 || !state.rng.happens(300) {
            return None;
        }
        *repeats += 1;
        Some(state.rng.range(SECOND, 10 * MINUTE))
    }

    /// Sends one request; returns true if it was acknowledged.
    async fn ask(&self, content: &Content) -> bool {
        let Self { world, fleet, number, .. } = *self;
        let Some(request) = self.request(content) else { return false };
        self.announce(content);
        let (slot, patience) = {
            let mut state = world.state();
            let impatient = state.rng.happens(5);
            let patience = if impatient { Duration::from_millis(state.rng.range(1, 60)) } else { PATIENCE };
            (state.rng.below(FORWARDERS), patience)
        };
        let Some(forwarder) = fleet.forwarder(slot) else { return false };
        let answer = tokio::select! {
            biased;
            () = forwarder.process.died() => None,
            answer = timeout(patience, forwarder.gateway.call(request)) => answer.ok(),
        };
        let now = world.now();
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        world.tell(number, || format!("process {} answers {status}", forwarder.process.id));
        world.state().log(b'a', u64::from(number), now ^ u64::from(status) << 48);
        let Some(answer) = answer else {
            let mut state = world.state();
            state.meet("window 4: no answer");
            return false;
        };
        match self.judge(content, &answer) {
            Ok(is_acked) => is_acked,
            Err(broken) => {
                world.broke(broken);
                false
            }
        }
    }

    fn request(&self, content: &Content) -> Option<Request> {
        let Self { world, pens, place, is_forged, .. } = *self;
        let (generation, draw) = {
            let mut state = world.state();
            (state.generation, state.rng.below(8))
        };
        let scheme = hook(place).scheme;
        let tamper = match (scheme, draw) {
            _ if !is_forged => None,
            (Scheme::Standard | Scheme::Github, 0 | 1) => Some(Tamper::Body),
            (Scheme::Standard | Scheme::Github, 2 | 3) => Some(Tamper::Signature),
            _ => None,
        };
        // A foreign secret was never configured, or is so old that no process has it any more.
        let is_foreign = is_forged && tamper.is_none();
        let generation = if is_foreign && draw == 4 && generation > 2 { generation - 3 } else { generation };
        let is_old = generation < world.state().generation;
        let pen = if is_foreign && !is_old { pens.foreign(place) } else { pens.pen(generation, place) };
        content.request(&*pen?, tamper, world.timestamp(), &world.random())
    }

    /// Allows one more copy for a further request, unless a mark tells that the delivery was sent.
    fn announce(&self, content: &Content) {
        let Self { world, number, place, .. } = *self;
        let traits = hook(place);
        let now = world.now();
        let mut state = world.state();
        let is_calm = state.last_store_trouble < now && state.last_jump < now;
        let Some(entry) = state.ledger.entry(number) else { return };
        entry.requests = entry.requests.saturating_add(1);
        let (requests, is_acked) = (entry.requests, entry.is_acked);
        if requests == 1 || self.is_forged {
            return;
        }
        let hook_name = name(place, false);
        let digest = (traits.dedupe && content.own_id.is_some()).then(|| content.digest(&hook_name));
        for (at, lane) in traits.lanes.iter().enumerate() {
            let mark = digest.as_ref().and_then(|digest| {
                world.store.object(&format!("sent/{}/{hook_name}/{digest}", TARGETS[*lane]))
            });
            let age = mark.map(|mark| world.timestamp().unix_millis() - mark.modified.unix_millis());
            let is_known = age.is_some_and(|age| age < 23 * 3_600_000) && is_calm;
            let Some(entry) = state.ledger.entry(number) else { return };
            let slot = entry.lane(at);
            if !is_known {
                slot.excuses = slot.excuses.saturating_add(1);
                let was_kept = slot.spilled > 0 && slot.copies == 0;
                state.meet(match (is_acked, was_kept) {
                    (true, _) => "window 5: sent again after an ack",
                    (false, true) => "window 9: waits, and is sent again",
                    (false, false) => "window 3: the sender tries again",
                });
            }
        }
    }

    fn judge(&self, content: &Content, answer: &Response) -> Result<bool, String> {
        let Self { world, number, place, is_forged, .. } = *self;
        let Response { status, headers, .. } = answer;
        let traits = hook(place);
        let now = world.now();
        let mut state = world.state();
        if is_forged {
            if (200..300).contains(status) {
                return Err(format!("forged: request {number} was acknowledged"));
            }
            state.meet("forged request refused");
            return Ok(false);
        }
        if !(200..300).contains(status) {
            state.meet(&format!("answer {status}"));
            let was_wrong = state.wrong_secret.get(&place).is_some_and(|until| *until >= now);
            let is_allowed = match status {
                503 => true,
                401 => was_wrong || state.last_jump.saturating_add(MINUTE) >= now,
                404 => state.version.is_removed && traits.is_removed,
                413 => traits.rejects,
                422 => traits.is_never_spilled && content.is_hopeless,
                _ => false,
            };
            return if is_allowed {
                Ok(false)
            } else {
                Err(format!("a wrong answer: {status} to {number} of hook {place}"))
            };
        }
        for (_, text) in headers.iter().filter(|(name, _)| *name == "x-hookmq-message-id") {
            let id = text.split_once('=').map_or(text.as_str(), |(_, id)| id);
            if id.split(':').next().and_then(|id| id.parse().ok()) != Some(number) {
                return Err(format!("a false receipt: {text} for {number}"));
            }
        }
        let entry = *state.ledger.entry(number).ok_or("no entry")?;
        for (at, lane) in traits.lanes.iter().enumerate() {
            if entry.lanes[at.min(1)].copies > 0 {
                continue;
            }
            let paths = World::paths(content, TARGETS[*lane]);
            if !world.has("spill", &paths) && !world.has("dead", &paths) {
                return Err(format!(
                    "lost: {number} of hook {place} was acknowledged, and neither queue nor store has it ({})",
                    TARGETS[*lane]
                ));
            }
            state.ledger.open.insert((number, u8::try_from(at).unwrap_or_default()), paths);
        }
        if let Some(entry) = state.ledger.entry(number) {
            entry.is_acked = true;
        }
        Ok(true)
    }
}

impl World {
    /// Returns the possible names of the delivery's object, below the folder, under each name of its hook.
    pub(crate) fn paths(content: &Content, target: &str) -> Paths {
        let count = if hook(content.place).is_renamed { 2 } else { 1 };
        let path = |is_renamed: bool| {
            let hook = name(content.place, is_renamed);
            format!("{target}/{hook}/{}", content.digest(&hook))
        };
        [false, true].into_iter().take(count).map(path).collect()
    }

    /// Returns true if the folder has the object under one of its names.
    pub(crate) fn has(&self, folder: &str, paths: &Paths) -> bool {
        paths.iter().any(|path| self.store.object(&format!("{folder}/{path}")).is_some())
    }
}

/// Lets an operator visit at regular intervals, until the planned hours are over.
pub(crate) async fn operate(world: Arc<World>, every: u64) {
    let end = world.plan.hours * HOUR;
    while world.now() + every < end {
        sleep(Duration::from_millis(every)).await;
        // A send before its time (`now`) would hide a wait that never ends, so it is not made each time.
        let is_hurried = world.state().rng.happens(400);
        visit(&world, is_hurried).await;
    }
}

/// Acts as an operator: sends the deliveries in `dead/` and those that wait, and verifies quarantined
/// requests again.
pub(crate) async fn visit(world: &Arc<World>, is_hurried: bool) {
    let process = world.process(true);
    let version = Arc::clone(&world.state().version);
    let redrivers = redrivers(world, &version, &process);
    let plain = Options::default();
    for options in [
        Options { dead: true, ..plain.clone() },
        Options { render: true, ..plain.clone() },
        Options { now: true, ..plain.clone() },
    ] {
        if options.now && !is_hurried {
            continue;
        }
        // The run starts together with that of the first shard's redriver, as an operator's run may.
        sleep(Duration::from_millis(MINUTE - world.now() % MINUTE)).await;
        world.overlap(true);
        run(world, &process, &redrivers, &options).await;
        world.overlap(false);
    }
    let process = world.process(false);
    let gateway = gateway(world, &version, &process);
    let Ok(quarantine) = Quarantine::new(world.store_of(&process), &world.context(&process)) else { return };
    let deadline = Instant::now() + Duration::from_secs(600);
    if let Ok(done) = reverify(&gateway, &quarantine, &plain, deadline).await
        && done.accepted > 0
    {
        world.state().meet("quarantine verified again");
    }
}
