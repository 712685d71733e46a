//! The shared state of a run: the time, the random numbers, the store, the ledger and the current faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::config::SOURCE_URI;
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::quarantine;
use hookmq_shared::queue::Class;
use hookmq_shared::spill;
use hookmq_shared::store::memory::{Expiry, MemoryStore};
use tokio::time::Instant;

use crate::Plan;
use crate::hooks::{HOOKS, TARGETS, Version};
use crate::ledger::Ledger;
use crate::observe::Counts;
use crate::rng::Rng;
use crate::signal::Signal;

/// Start of each run: 2026-03-01, in milliseconds since the Unix epoch.
const EPOCH: i64 = 1_772_323_200_000;

/// Lifetime of a claim in the bucket, in milliseconds: a little more than topics keep a message.
pub(crate) const CLAIMS_LIVE: u64 = 12 * HOUR;

pub(crate) const SECOND: u64 = 1000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// End of a fault with an unknown end.
pub(crate) const OPEN_END: u64 = u64::MAX;

/// Failure mode of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Refuses,
    /// Requests are not answered; true if messages are stored.
    Hangs(bool),
    /// Connections break; true if messages are stored.
    Cuts(bool),
    /// Answers are an error of this class; true if messages are stored all the same.
    Says(Class, bool),
    /// Answers are an error about a part that every request has.
    SaysOfAll,
    /// Answers are a 200 that is not the API's; true if messages are stored.
    Lies(bool),
    /// Answers take up to five seconds.
    Slow,
}

impl Mode {
    /// Returns true if messages are stored, although their senders do not learn of it.
    pub(crate) const fn stores(self) -> bool {
        matches!(self, Self::Hangs(true) | Self::Cuts(true) | Self::Says(_, true) | Self::Lies(true))
    }

    /// Returns the name of the mode in the report, counted when the mode takes effect.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refuses => "vendor refuses",
            Self::Hangs(_) => "vendor hangs",
            Self::Cuts(true) => "window 1: cut off after it was stored",
            Self::Cuts(false) => "vendor cuts",
            Self::Says(_, true) => "window 2: the vendor does not know",
            Self::Says(..) => "vendor says an error",
            Self::SaysOfAll => "vendor says an error of all",
            Self::Lies(_) => "vendor lies",
            Self::Slow => "vendor slow",
        }
    }
}

/// Failure mode of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreMode {
    Unreachable,
    Full,
    Denied,
    Slow,
    /// Calls take effect, but report an error.
    Lies,
    Late,
}

impl StoreMode {
    /// Returns the name of the mode in the list of required events, counted when a call meets the mode.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "store unreachable",
            Self::Full => "store full",
            Self::Denied => "store denied",
            Self::Slow => "store slow",
            Self::Lies => "store says no to what it did",
            Self::Late => "store late",
        }
    }
}

/// The mutable state of the world, behind one lock.
pub(crate) struct State {
    pub(crate) rng: Rng,
    hash: u64,
    pub(crate) ledger: Ledger,
    pub(crate) met: BTreeMap<String, u64>,
    pub(crate) broken: Vec<String>,
    pub(crate) version: Arc<Version>,
    /// Generation of the secrets that senders sign with.
    pub(crate) generation: u64,
    pub(crate) shards: usize,
    pub(crate) modes: [Option<(Mode, u64)>; TARGETS.len()],
    pub(crate) hook_modes: BTreeMap<usize, (Class, u64)>,
    pub(crate) keys: [u64; TARGETS.len()],
    pub(crate) store_mode: Option<(StoreMode, u64)>,
    /// Times up to which a trouble keeps deliveries waiting: by target, by hook, and anywhere.
    pub(crate) target_trouble: [u64; TARGETS.len()],
    pub(crate) hook_trouble: [u64; HOOKS],
    pub(crate) trouble: u64,
    pub(crate) last_kill: u64,
    pub(crate) last_store_trouble: u64,
    /// Number of redrivers whose shards overlap those of others.
    pub(crate) overlaps: u32,
    pub(crate) last_overlap: u64,
    pub(crate) last_jump: u64,
    pub(crate) wrong_secret: BTreeMap<usize, u64>,
    pub(crate) redrivers_off: u64,
    /// True if the hook that is removed one day has, or may have, deliveries that were kept with a mistyped
    /// topic.
    pub(crate) keeps_hook: bool,
    /// The same for the hook that is to be renamed.
    pub(crate) keeps_name: bool,
    /// Copies stored in one send without a readable answer, by process with target, and send.
    pub(crate) unread: BTreeMap<(u32, u64), u32>,
    /// Digests of removed deliveries in `spill/`, with the time of the removal.
    pub(crate) removed: BTreeMap<String, u64>,
    /// Digests of claims that were written at least once.
    pub(crate) claims: BTreeSet<u64>,
    pub(crate) open_senders: u64,
}

/// The world of one run: its plan, its store and its state.
pub(crate) struct World {
    pub(crate) plan: Plan,
    start: Instant,
    pub(crate) store: MemoryStore,
    state: Mutex<State>,
    processes: AtomicU32,
    over: Signal,
    pub(crate) counts: Counts,
    pub(crate) keys: [Arc<AtomicU64>; TARGETS.len()],
    /// Number of the newest version of `hooks.toml`, which processes should adopt.
    pub(crate) wishes: Signal,
    /// Lock that allows one release of a version at a time.
    pub(crate) releasing: tokio::sync::Mutex<()>,
}

/// A process, whose memory is lost when it dies.
pub(crate) struct Process {
    pub(crate) id: u32,
    /// Milliseconds by which the process's clock is ahead.
    pub(crate) offset: AtomicI64,
    /// Number of calls to the store and the queue after which the process dies; 0 for none.
    fuse: AtomicI64,
    dead: Signal,
    /// Start of the current run, in milliseconds since the world's start.
    pub(crate) began: AtomicU64,
    pub(crate) is_redriver: bool,
}

impl Process {
    /// Waits until the process is dead.
    pub(crate) async fn died(&self) {
        self.dead.passes(0).await;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.value() > 0
    }

    pub(crate) fn light(&self, calls: i64) {
        self.fuse.store(calls, Ordering::Relaxed);
    }
}

impl World {
    pub(crate) fn new(plan: Plan, counts: Counts) -> Arc<Self> {
        let start = Instant::now();
        let clock = Clock::from_fn(move || moment(start, 0));
        let store = MemoryStore::new(clock);
        let rule =
            |prefix: &str, age: u64| Expiry { prefix: prefix.to_owned(), age: Duration::from_millis(age) };
        store.set_rules(vec![
            rule("claims/", CLAIMS_LIVE),
            rule("sent/", 26 * HOUR),
            rule("quarantine/", 48 * HOUR),
        ]);
        store.set_versioning(Some(Duration::from_millis(HOUR)));
        let state = State {
            rng: Rng::of(plan.seed, 1),
            hash: plan.seed,
            ledger: Ledger::default(),
            met: BTreeMap::new(),
            broken: Vec::new(),
            version: Arc::default(),
            generation: 0,
            shards: 2,
            modes: [None; 3],
            hook_modes: BTreeMap::new(),
            keys: [1; 3],
            store_mode: None,
            target_trouble: [0; 3],
            hook_trouble: [0; HOOKS],
            trouble: 0,
            last_kill: 0,
            last_store_trouble: 0,
            overlaps: 0,
            last_overlap: 0,
            last_jump: 0,
            wrong_secret: BTreeMap::new(),
            redrivers_off: 0,
            keeps_hook: false,
            keeps_name: false,
            unread: BTreeMap::new(),
            removed: BTreeMap::new(),
            claims: BTreeSet::new(),
            open_senders: 0,
        };
        Arc::new(Self {
            plan,
            start,
            store,
            state: Mutex::new(state),
            processes: AtomicU32::new(1),
            over: Signal::default(),
            counts,
            keys: [(); 3].map(|()| Arc::new(AtomicU64::new(1))),
            wishes: Signal::default(),
            releasing: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the milliseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(OPEN_END)
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        moment(self.start, 0)
    }

    /// Prints a line of the story of a delivery, if the plan asks for that delivery.
    pub(crate) fn tell(&self, number: u32, line: impl FnOnce() -> String) {
        if self.plan.tells == Some(number) {
            let now = self.now();
            eprintln!("{:>9}.{:03} s: {}", now / 1000, now % 1000, line());
        }
    }

    /// Creates a process that starts now.
    pub(crate) fn process(&self, is_redriver: bool) -> Arc<Process> {
        Arc::new(Process {
            id: self.processes.fetch_add(1, Ordering::Relaxed),
            offset: AtomicI64::new(0),
            fuse: AtomicI64::new(0),
            dead: Signal::default(),
            began: AtomicU64::new(self.now()),
            is_redriver,
        })
    }

    pub(crate) fn context(self: &Arc<Self>, process: &Arc<Process>) -> Context {
        let env = Env::of([
            (spill::VARIABLE, "file:///store"),
            (quarantine::VARIABLE, "file:///store"),
            (quarantine::KEY, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            (SOURCE_URI, "https://sim.test"),
        ]);
        let (start, owner) = (self.start, Arc::clone(process));
        let clock = Clock::from_fn(move || moment(start, owner.offset.load(Ordering::Relaxed)));
        Context { env, clock, random: self.random() }
    }

    pub(crate) fn random(self: &Arc<Self>) -> Random {
        let world = Arc::downgrade(self);
        Random::from_fn(move || world.upgrade().map_or(0, |world| world.state().rng.next()))
    }

    /// Kills a process at once.
    pub(crate) fn kill(&self, process: &Process) {
        if process.dead.raise(1) == 0 {
            let now = self.now();
            let mut state = self.state();
            state.last_kill = now;
            let kind = if process.is_redriver { "kill of a redriver" } else { "kill of a forwarder" };
            state.meet(kind);
            state.log(b'k', u64::from(process.id), now);
        }
    }

    /// Notes that redrivers with overlapping shards begin or end.
    pub(crate) fn overlap(&self, begins: bool) {
        let now = self.now();
        let mut state = self.state();
        state.overlaps = if begins { state.overlaps + 1 } else { state.overlaps.saturating_sub(1) };
        state.last_overlap = now;
    }

    /// Counts a call and returns `Some` if the process dies at it, with true if the call still takes effect.
    pub(crate) fn crashes(&self, process: &Process) -> Option<bool> {
        if process.fuse.load(Ordering::Relaxed) <= 0 || process.fuse.fetch_sub(1, Ordering::Relaxed) != 1 {
            return None;
        }
        let after = self.state().rng.happens(500);
        self.kill(process);
        Some(after)
    }

    /// Records a broken promise and stops the run.
    pub(crate) fn broke(&self, what: String) {
        self.state().broke(what);
        self.stop();
    }

    pub(crate) fn stop(&self) {
        self.over.raise(1);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.value() > 0
    }

    /// Waits until a promise is broken or the run is over.
    pub(crate) async fn over(&self) {
        self.over.passes(0).await;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.state().hash
    }
}

impl State {
    /// Counts an event for the report, such as those of [`REQUIRED`](crate::REQUIRED).
    pub(crate) fn meet(&mut self, what: &str) {
        if let Some(count) = self.met.get_mut(what) {
            *count += 1;
        } else {
            self.met.insert(what.to_owned(), 1);
        }
    }

    /// Adds a line to the log, of which only the hash is kept.
    pub(crate) fn log(&mut self, kind: u8, a: u64, b: u64) {
        let mut rng = Rng::of(self.hash ^ u64::from(kind), a);
        self.hash = rng.next() ^ b.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(crate) fn broke(&mut self, what: String) {
        if self.broken.len() < 20 {
            self.broken.push(what);
        }
    }
}

fn moment(start: Instant, offset: i64) -> Timestamp {
    let elapsed = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(EPOCH + elapsed + offset)
}

/// Hashes a text to a number (FNV-1a).
pub(crate) fn mixed(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Parses the first sixteen hex digits of a digest.
pub(crate) fn short(digest: &str) -> u64 {
    u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or_default()
}

/// Numbers of deliveries by their shortened digest; never iterated, because its order is random.
pub(crate) type ByDigest = HashMap<u64, u32>;
