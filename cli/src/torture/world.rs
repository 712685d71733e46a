//! The state of a run, shared by all its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use hookmq_emulator::Emulator;
use hookmq_shared::config::HOOKS_FILE;
use hookmq_shared::host::REDRIVE_EVERY;
use hookmq_shared::queue::Vendor;
use hookmq_shared::source::Source;
use hookmq_shared::spill;
use hookmq_shared::telemetry::LOG_LEVEL;

use super::conductor::Conductor;
use super::harvest::{self, Met};
use super::hooks::{self, Hook};
use super::ledger::{Ledger, Moment, Watch};
use super::plan::{self, Action, Faults};
use super::processes::{Process, free_ports};
use super::site::Site;
use super::{FORWARDERS, Fallible, REDRIVERS, Spilling, lifecycle};

/// Generations of webhook secrets at the start: one that is never configured, two that no longer are, and the
/// two that are.
const GENERATIONS: u64 = 5;

/// The parameters of a run.
pub(super) struct Asked {
    pub(super) deliveries: u64,
    /// Mean number of deliveries from one fault to the next.
    pub(super) every: u64,
    pub(super) hooks: &'static [Hook],
    pub(super) faults: Faults,
    pub(super) seed: u64,
    pub(super) spilling: Spilling,
    pub(super) vendor: Vendor,
    pub(super) forwarder: PathBuf,
    pub(super) redriver: PathBuf,
    pub(super) folder: PathBuf,
    /// True if the folder stays after the run, with logs.
    pub(super) keep: bool,
}

impl Asked {
    /// Returns the hooks' `deadline` for an answer: short with vendor faults, so that a stalling vendor does
    /// not hold the run up, else long, so that a busy machine causes no time-outs.
    pub(super) fn deadline(&self) -> &'static str {
        if self.faults.has_vendor_faults() { "1500ms" } else { "20s" }
    }

    /// Returns default parameters for tests.
    #[cfg(test)]
    pub(super) fn of(seed: u64, faults: &str) -> Self {
        Self {
            deliveries: 0,
            every: 20,
            hooks: hooks::hooks(0),
            faults: Faults::parse(faults).unwrap(),
            seed,
            spilling: Spilling::OnFailure,
            vendor: Vendor::Tdmq,
            forwarder: PathBuf::new(),
            redriver: PathBuf::new(),
            folder: PathBuf::new(),
            keep: false,
        }
    }
}

/// A period in which something was broken.
pub(super) type Span = (Moment, Moment);

/// The disturbances of a run, with their times.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Number of times that each fault was applied, by the name of the fault.
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) kills: Vec<Span>,
    pub(super) freezes: Vec<Span>,
    pub(super) store: Vec<Span>,
    /// Periods in which the experiment itself was late, and with it the vendor's emulator, which is a part of
    /// it.
    pub(super) busy: Vec<Span>,
    /// Periods in which the lifecycle deleted everything, from the stop of all functions to the end of the
    /// deletion.
    pub(super) expiries: Vec<Span>,
    /// Lifetime of a `dedupe` mark, if a lifecycle deletes old objects.
    pub(super) life: Option<Moment>,
    /// Numbers of the forwarders with a full disk, and the moment since when it is full.
    pub(super) full: BTreeMap<usize, Moment>,
    /// Errors of the experiment itself.
    pub(super) failures: Vec<String>,
}

pub(super) struct World {
    pub(super) asked: Asked,
    pub(super) site: Site,
    pub(super) emulator: Emulator,
    pub(super) forwarders: Vec<Process>,
    pub(super) redrivers: Vec<Process>,
    /// The redriver that sends the remaining deliveries after the faults.
    pub(super) last_redriver: Process,
    pub(super) watch: Watch,
    pub(super) signers: RwLock<Vec<Vec<Arc<Source>>>>,
    pub(super) next: AtomicU64,
    pub(super) conductor: tokio::sync::Mutex<Conductor>,
    /// True while no redriver may run.
    pub(super) is_stopped: AtomicBool,
    /// True once the faults are over.
    pub(super) is_calm: AtomicBool,
    stage: Mutex<()>,
    ledger: Mutex<Ledger>,
    met: Mutex<Met>,
    troubles: Mutex<Troubles>,
    unsettled: Mutex<Vec<(usize, u64)>>,
}

impl World {
    /// Prepares the folder and the plan and starts the emulator, but no process of a function yet.
    pub(super) async fn build(asked: Asked) -> Fallible<Self> {
        let Asked { seed, vendor, spilling, hooks, .. } = asked;
        let steps = plan::draw(&asked);
        let uses_key = |action: &Action| matches!(action, Action::RotateKey);
        // One key for the start, one for each change, and one for the time after the faults.
        let keys = steps.iter().filter(|step| uses_key(&step.action)).count() + 2;
        let site = Site::build(&asked, keys)?;
        let text: Vec<String> = steps.iter().map(ToString::to_string).collect();
        std::fs::write(site.path("plan.txt"), text.join("\n"))?;
        site.write_hooks(&asked, &BTreeSet::new())?;
        site.write_secrets(GENERATIONS - 1)?;
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), site.emulator()).await?;

        let ports = free_ports(FORWARDERS + REDRIVERS + 1)?;
        let process = |name: String, binary: &PathBuf, number: usize, every: &str, port: u16| {
            let mut env = environment(&asked, &site, &emulator, number);
            env.push((REDRIVE_EVERY.to_owned(), every.to_owned()));
            let log = site.log(&name);
            Process::new(name, binary.clone(), env, log, port)
        };
        let (mut forwarders, mut redrivers) = (Vec::new(), Vec::new());
        for (number, port) in (0..FORWARDERS).zip(&ports) {
            forwarders.push(process(format!("forwarder-{number}"), &asked.forwarder, number, "1", *port));
        }
        let count = match (spilling, asked.faults.has("two-redrivers")) {
            (Spilling::Never, _) => 0,
            (_, true) => REDRIVERS,
            (_, false) => 1,
        };
        for (number, port) in (0..count).zip(ports.iter().skip(FORWARDERS)) {
            redrivers.push(process(format!("redriver-{number}"), &asked.redriver, number, "1", *port));
        }
        let life = asked.faults.has("lifecycle").then_some(lifecycle::LIFE);
        let port = ports.last().copied().unwrap_or_default();
        let last_redriver = process("redriver-last".to_owned(), &asked.redriver, 0, "86400", port);
        Ok(Self {
            signers: RwLock::new((0..GENERATIONS).map(|g| hooks::signers(hooks, vendor, seed, g)).collect()),
            conductor: Conductor::new(steps).into(),
            watch: Watch::start(),
            next: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            is_calm: AtomicBool::new(false),
            stage: Mutex::default(),
            ledger: Mutex::default(),
            met: Mutex::default(),
            troubles: Mutex::new(Troubles { life, ..Troubles::default() }),
            unsettled: Mutex::default(),
            asked,
            site,
            emulator,
            forwarders,
            redrivers,
            last_redriver,
        })
    }

    /// Locks the right to stop and start processes outside of the conductor's own steps, so that no process
    /// starts again in the middle of a step that needs all of them stopped.
    pub(super) fn stage(&self) -> MutexGuard<'_, ()> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the messages and requests that the emulator received since the last call.
    pub(super) fn harvest(&self) {
        // Locked before the emulator is emptied: with the lock held, every message taken is entered.
        let mut ledger = self.ledger();
        let taken = self.emulator.take();
        if let Err(error) = self.site.keep_messages(&taken.0) {
            self.troubles().failures.push(format!("messages are not kept: {error}"));
        }
        harvest::enter(self, taken, &mut ledger, &mut self.met());
    }

    /// Returns the hook with this topic.
    pub(super) fn hook_of(&self, topic: &str) -> Option<&'static Hook> {
        self.asked.hooks.iter().find(|hook| hook.topic(self.asked.vendor) == topic)
    }

    /// Returns true if sent deliveries of the hook are marked, so that repeats are recognized.
    pub(super) fn knows_repeats(&self, hook: &Hook) -> bool {
        hook.dedupe && self.asked.spilling != Spilling::Never
    }

    /// Returns the forwarder with this number, modulo the number of forwarders.
    pub(super) fn forwarder(&self, number: usize) -> &Process {
        &self.forwarders[number % self.forwarders.len()]
    }

    pub(super) fn signers(&self) -> RwLockReadGuard<'_, Vec<Vec<Arc<Source>>>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the list of deliveries whose senders will send them again, as line numbers and delivery numbers.
    pub(super) fn unsettled(&self) -> MutexGuard<'_, Vec<(usize, u64)>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the environment of a function's process. Every second process logs in, where a vendor's API has a
/// login, instead of using a key; keys are in files, because the run replaces them.
pub(super) fn environment(
    asked: &Asked,
    site: &Site,
    emulator: &Emulator,
    number: usize,
) -> Vec<(String, String)> {
    let file = |name: &str| format!("file:{}", site.path(name).display());
    let mut env = vec![
        (HOOKS_FILE, site.path("hooks.toml").display().to_string()),
        (LOG_LEVEL, if asked.keep { "info" } else { "error" }.to_owned()),
    ];
    for service in hookmq_emulator::Vendor::ALL {
        let spec = service.spec();
        let login = spec.login.filter(|_| !number.is_multiple_of(2)).map(|login| login(&emulator.url()));
        let [id, key] = spec.key.unwrap_or_default();
        for (name, value) in (spec.environment)(&emulator.url()) {
            let kept = [(id, "keys/id"), (key, "keys/key")].into_iter().find(|(of, _)| *of == name);
            match kept {
                None => env.push((name, value)),
                Some((_, at)) if login.is_none() => env.push((name, file(at))),
                Some(_) => {}
            }
        }
        env.extend(login.into_iter().flatten());
    }
    if asked.spilling != Spilling::Never {
        env.push((spill::VARIABLE, format!("file://{}", site.path("store").display())));
    }
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
