//! The processes: forwarders and redrivers start with empty memory, die at any call, and are replaced one by
//! one.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use hookmq_shared::config::Config;
use hookmq_shared::gateway::{Gateway, Stores};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::memory::MemoryQueue;
use hookmq_shared::queue::{Class, Target, Vendor};
use hookmq_shared::redrive::{Options, RedriveError, Redriver, Stopped, Summary};
use hookmq_shared::shard::Shard;
use hookmq_shared::spill::Spill;
use tokio::time::{Instant, sleep};

use crate::hooks::Version;
use crate::world::{MINUTE, Process, SECOND, World};

/// Number of forwarders.
pub(crate) const FORWARDERS: usize = 4;

/// Upper bound on the number of redrivers, each with a shard.
pub(crate) const REDRIVERS: usize = 8;

/// Time limit of a redriver's run; a run begins each minute.
const RUN: Duration = Duration::from_secs(55);

/// A forwarder that accepts requests.
#[derive(Clone)]
pub(crate) struct Forwarder {
    pub(crate) gateway: Gateway<MemoryQueue>,
    pub(crate) process: Arc<Process>,
}

/// The forwarders and redrivers of the deployment, by slot.
pub(crate) struct Fleet {
    forwarders: Mutex<Vec<Option<Forwarder>>>,
    redrivers: Mutex<Vec<Option<Arc<Process>>>>,
    /// The version that each process runs, forwarders first.
    adopted: Mutex<Vec<u64>>,
}

impl Fleet {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            forwarders: Mutex::new(vec![None; FORWARDERS]),
            redrivers: Mutex::new(vec![None; REDRIVERS]),
            adopted: Mutex::new(vec![0; FORWARDERS + REDRIVERS]),
        })
    }

    pub(crate) fn forwarder(&self, slot: usize) -> Option<Forwarder> {
        lock(&self.forwarders).get(slot).cloned().flatten()
    }

    /// Returns the process in this slot, forwarders first, if it is alive.
    pub(crate) fn any(&self, at: usize) -> Option<Arc<Process>> {
        match at.checked_sub(FORWARDERS) {
            None => self.forwarder(at).map(|forwarder| forwarder.process),
            Some(at) => lock(&self.redrivers).get(at).cloned().flatten(),
        }
    }

    /// Returns true if every process runs at least this version.
    pub(crate) fn is_at(&self, version: u64) -> bool {
        lock(&self.adopted).iter().all(|adopted| *adopted >= version)
    }

    fn adopt(&self, slot: usize, version: u64) {
        if let Some(adopted) = lock(&self.adopted).get_mut(slot) {
            *adopted = version;
        }
    }

    /// Starts every forwarder and redriver.
    pub(crate) fn start(self: &Arc<Self>, world: &Arc<World>) {
        for slot in 0..FORWARDERS {
            tokio::spawn(forwarder(Arc::clone(world), Arc::clone(self), slot));
        }
        for slot in 0..REDRIVERS {
            tokio::spawn(redriver(Arc::clone(world), Arc::clone(self), slot));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the gateway of a new process.
pub(crate) fn gateway(world: &Arc<World>, version: &Version, process: &Arc<Process>) -> Gateway<MemoryQueue> {
    let context = world.context(process);
    let config = version.config(world.plan.seed, &context.env);
    let queues = targets(&config).into_iter().enumerate();
    let queues = queues.filter_map(|(at, target)| Some((target, world.queue(at, process)?))).collect();
    let spill = Spill::new(world.store_of(process), &context);
    // The key has the required 32 bytes, so this does not fail.
    let quarantine = Quarantine::new(world.store_of(process), &context).ok();
    let stores = Stores { spill: Some(spill), quarantine, problems: Vec::new() };
    Gateway::assemble(config, Vendor::Tdmq, queues, stores, context, Metrics::off())
}

fn targets(config: &Config) -> Vec<Target> {
    let named = config.targets.iter().map(|named| named.target.clone());
    Vendor::ALL.into_iter().map(Target::from).chain(named).collect()
}

/// Builds a process's redrivers, one for each target.
pub(crate) fn redrivers(
    world: &Arc<World>,
    version: &Version,
    process: &Arc<Process>,
) -> Vec<Redriver<MemoryQueue>> {
    let context = world.context(process);
    let config = Arc::new(version.config(world.plan.seed, &context.env));
    let redriver = |(at, target): (usize, Target)| {
        let spill = Spill::new(world.store_of(process), &context);
        Some(Redriver::new(target, world.queue(at, process)?, spill, Arc::clone(&config), context.clone()))
    };
    targets(&config).into_iter().enumerate().filter_map(redriver).collect()
}

/// Runs the forwarder of one slot: starts it, and replaces it after a death or for a new version.
async fn forwarder(world: Arc<World>, fleet: Arc<Fleet>, slot: usize) {
    loop {
        let version = Arc::clone(&world.state().version);
        let process = world.process(false);
        let gateway = gateway(&world, &version, &process);
        if let Some(place) = lock(&fleet.forwarders).get_mut(slot) {
            *place = Some(Forwarder { gateway, process: Arc::clone(&process) });
        }
        fleet.adopt(slot, version.number);
        let is_dead = tokio::select! {
            biased;
            () = process.died() => true,
            () = wish(&world, version.number) => false,
        };
        // A replaced forwarder still finishes the requests that it has begun.
        if is_dead {
            if let Some(place) = lock(&fleet.forwarders).get_mut(slot) {
                *place = None;
            }
            let pause = world.state().rng.range(100, 30 * SECOND);
            sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Waits until a new version exists, and then up to five minutes for the turn of this process.
async fn wish(world: &World, version: u64) {
    world.wishes.passes(version).await;
    let pause = world.state().rng.range(0, 5 * MINUTE);
    sleep(Duration::from_millis(pause)).await;
}

/// Runs the redriver of one slot, if the number of shards needs it.
async fn redriver(world: Arc<World>, fleet: Arc<Fleet>, slot: usize) {
    loop {
        let (version, shards) = {
            let state = world.state();
            (Arc::clone(&state.version), state.shards)
        };
        fleet.adopt(FORWARDERS + slot, version.number);
        if slot >= shards {
            wish(&world, version.number).await;
            continue;
        }
        let process = world.process(true);
        if let Some(place) = lock(&fleet.redrivers).get_mut(slot) {
            *place = Some(Arc::clone(&process));
        }
        let is_dead = tokio::select! {
            biased;
            () = process.died() => true,
            () = serve(&world, &version, &process, (slot, shards)) => false,
        };
        if let Some(place) = lock(&fleet.redrivers).get_mut(slot) {
            *place = None;
        }
        if is_dead {
            let pause = world.state().rng.range(100, 2 * MINUTE);
            sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Makes a run each minute until a new version exists.
async fn serve(
    world: &Arc<World>,
    version: &Version,
    process: &Arc<Process>,
    (slot, shards): (usize, usize),
) {
    let redrivers = redrivers(world, version, process);
    // The slot is below the number of shards, which is 1, 2, 4 or 8.
    let shard = Shard::parse(&format!("{slot}/{shards}")).unwrap_or_default();
    let options = Options { shard, ..Options::default() };
    while world.wishes.value() <= version.number {
        let now = world.now();
        let off = world.state().redrivers_off.saturating_sub(now);
        if off > 0 {
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(off)) => {}
                () = world.wishes.passes(version.number) => return,
            }
            continue;
        }
        run(world, process, &redrivers, &options).await;
        let pause = MINUTE - (world.now() + slot as u64 * 7 * SECOND) % MINUTE;
        sleep(Duration::from_millis(pause)).await;
    }
    let pause = world.state().rng.range(0, 5 * MINUTE);
    sleep(Duration::from_millis(pause)).await;
}

/// Makes one run over all targets and checks its results.
pub(crate) async fn run(
    world: &Arc<World>,
    process: &Arc<Process>,
    redrivers: &[Redriver<MemoryQueue>],
    options: &Options,
) {
    process.began.store(world.now(), Ordering::Relaxed);
    let deadline = Instant::now() + RUN;
    let runs = redrivers.iter().map(|redriver| async {
        let before = before(world, redriver.target().name(), options);
        let target = redriver.target().name();
        let far = far(world, target, options);
        let done = redriver.run(options, deadline).await;
        let is_whole = after(world, target, options, before.as_ref(), done);
        if is_whole && process.offset.load(Ordering::Relaxed) == 0 {
            still_far(world, process, &far);
        }
    });
    join_all(runs.map(Box::pin)).await;
}

/// Returns the `retry/` objects with a time further away than any wait, which only a wrong clock has written.
fn far(world: &World, target: &str, options: &Options) -> Vec<String> {
    let (now, hour) = (world.timestamp().unix_millis(), 3_600_000);
    if world.state().last_jump == 0 || options.covers().is_none() {
        return Vec::new();
    }
    let time = |name: &str| name.rsplit('.').nth(1)?.parse::<i64>().ok();
    let mut names = world.store.names(&format!("retry/{target}/"));
    let is_ours = |name: &str| options.shard.takes(name.rsplit('/').next().unwrap_or_default());
    names.retain(|name| time(name).is_some_and(|time| time > now + hour + hour / 20) && is_ours(name));
    names
}

/// Breaks a promise if a whole run has left such objects without a try of their deliveries.
fn still_far(world: &World, process: &Process, far: &[String]) {
    for name in far.iter().filter(|name| world.store.object(name).is_some()) {
        let of = name.split('.').next().unwrap_or_default().replacen("retry/", "spill/", 1);
        let mut state = world.state();
        let Some((number, lane)) = state.ledger.named(&of) else { continue };
        let tried = state.ledger.entry(number).map_or(0, |entry| entry.lane(lane).tried);
        if tried < process.began() && world.store.object(&of).is_some() {
            state.broke(format!("a wait longer than any is waited for: {name}"));
            world.stop();
        }
    }
}

/// Returns the waiting deliveries of the shard, for a run that continues at a cursor.
fn before(world: &World, target: &str, options: &Options) -> Option<BTreeSet<String>> {
    let shard = options.covers()?;
    // The listing is expensive, so one run in four is checked.
    if !(world.now() / MINUTE).is_multiple_of(4) {
        return None;
    }
    let cursor = world.store.object(&format!("retry/{target}/cursor.{}-{}", shard.index(), shard.of()))?;
    let is_used = String::from_utf8_lossy(&cursor.bytes).contains(':');
    let names = world.store.names(&format!("spill/{target}/")).into_iter();
    let digest = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
    is_used.then(|| names.filter(|name| shard.takes(&digest(name))).collect())
}

/// Counts the result of a run and checks it; returns true if the run was whole and held nothing back.
fn after(
    world: &World,
    target: &str,
    options: &Options,
    before: Option<&BTreeSet<String>>,
    done: Result<Summary, RedriveError>,
) -> bool {
    let now = world.now();
    let mut state = world.state();
    let Ok(summary) = done else {
        state.meet("redriver store failed");
        return false;
    };
    let Summary { found, sent, repeated, dead, failed, store_errors, more, reasons, stopped, .. } = summary;
    for (what, count) in [
        ("redriver sent", sent),
        ("redriver repeated", repeated),
        ("redriver dead", dead),
        ("redriver failed", failed),
        ("redriver store failed", store_errors),
    ] {
        if count > 0 {
            state.meet(what);
        }
    }
    let is_held = reasons.keys().any(|reason| reason.contains("not tried again so soon after"));
    if is_held {
        state.meet("redriver held");
    }
    if reasons.keys().any(|reason| reason.contains("no message can be made")) {
        state.meet("redriver no message");
    }
    state.log(b'r', found as u64, sent as u64 | (failed as u64) << 32);
    if let Some(why) = &stopped {
        let is_shared = match why {
            Stopped::Class(class) => matches!(class, Class::Auth | Class::AuthRefresh | Class::ClockSkew),
            Stopped::NoTime | Stopped::Resting | Stopped::Store(_) => true,
        };
        if !is_shared {
            state.broke(format!("a failure stopped what does not share its cause: {target}, {why}"));
            world.stop();
        }
    }
    let is_whole = !more && stopped.is_none() && store_errors == 0 && state.last_store_trouble < now;
    if let Some(before) = before
        && is_whole
    {
        state.meet("second round");
        let shard = options.shard;
        let is_left = |name: &&String| {
            shard.takes(name.rsplit('/').next().unwrap_or_default()) && world.store.object(name).is_some()
        };
        let left = before.iter().filter(is_left).count();
        if left > found {
            state.broke(format!(
                "passed over: {left} were there all the time, and a whole run met {found} ({target})"
            ));
            world.stop();
        }
    }
    is_whole && !is_held
}
