//! `hookmq torture`: proves that every acknowledged delivery is in the queue, despite any fault.
//!
//! Senders keep a ledger of the answers. The functions run as real processes, which are killed and started
//! again. The emulator is the vendor, the store is a folder, and both fail by a plan that is drawn from a
//! seed. Afterwards the ledger is compared with the queue.
//!
//! ```text
//! plan ─► conductor ─┬─► emulator's faults, kills, store, keys, secrets
//! seed ─► senders ───┴─► forwarders ─► emulator ─► harvest ─► ledger ─► verdict
//!            └──────────────── what was answered ─────────────┘
//! ```

mod aftermath;
mod causes;
mod conductor;
mod connection;
mod deliveries;
mod faults;
mod harvest;
mod hooks;
mod ledger;
mod lifecycle;
mod plan;
mod processes;
mod rng;
mod sender;
mod site;
mod verdict;
mod world;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::host::server::stop_signal;
use hookmq_shared::queue::Vendor;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{Exit, complain};
use plan::Faults;
use sender::Sender;
use verdict::Verdict;
use world::{Asked, World};

type Failed = Box<dyn Error + Send + Sync>;
type Fallible<T> = Result<T, Failed>;

/// Number of forwarder processes.
const FORWARDERS: usize = 2;
/// Number of redriver processes.
const REDRIVERS: usize = 2;

/// Interval between two harvests and checks of the processes; `TICKS` of them make one line of progress.
const TICK: Duration = Duration::from_millis(200);
const TICKS: u64 = 25;

/// Interval between two checks for delays of this process.
const BEAT: Duration = Duration::from_millis(50);

/// The choice of deliveries that go to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Spilling {
    /// Deliveries that the queue did not take
    OnFailure,
    /// All deliveries, before they go to the queue
    Always,
    /// None: the functions have no store
    Never,
}

impl Spilling {
    const fn as_str(self) -> &'static str {
        match self {
            Self::OnFailure => "on-failure",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Deliveries, including forged ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    deliveries: u64,
    /// The faults: none, vendor, kills, store, days, all, or a list of faults
    #[arg(long, value_name = "PLAN", value_parser = Faults::parse, default_value = "all")]
    faults: Faults,
    /// Mean number of deliveries from one fault to the next
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=100_000))]
    every: u64,
    /// Hooks, each with a topic of its own
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u64).range(9..=hooks::MOST as u64))]
    hooks: u64,
    /// Seed of the deliveries and the plan
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Deliveries that go to the store
    #[arg(long, value_enum, default_value = "on-failure")]
    spill: Spilling,
    /// The queue's vendor
    #[arg(long, value_parser = crate::vendors(), default_value = Vendor::ALL[0].as_str())]
    vendor: Vendor,
    /// Concurrent senders
    #[arg(long, value_name = "K", default_value_t = 24)]
    concurrency: usize,
    /// Keep everything in this folder, which must be new: configuration, plan, store, logs and messages
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The forwarder's binary; default: `tdmq` or `rocketmq` beside this one
    #[arg(long, value_name = "PATH")]
    forwarder: Option<PathBuf>,
    /// The redriver's binary; default: `redrive` beside this one
    #[arg(long, value_name = "PATH")]
    redriver: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Exit {
    let senders = args.concurrency.max(1);
    let asked = match asked(args) {
        Ok(asked) => asked,
        Err(error) => {
            complain(error);
            return Exit::Configuration;
        }
    };
    match torture(asked, senders).await {
        Ok(true) => Exit::Good,
        Ok(false) => Exit::Bad,
        Err(error) => {
            complain(error);
            Exit::Bad
        }
    }
}

/// Checks the arguments and finds the functions' binaries.
fn asked(args: Args) -> Result<Asked, String> {
    let vendor = args.vendor;
    let beside = |name: &str| {
        let exe = std::env::current_exe().map_err(|e| format!("cannot find my own folder: {e}"))?;
        Ok::<_, String>(exe.with_file_name(name).with_extension(std::env::consts::EXE_EXTENSION))
    };
    let find = |given: Option<PathBuf>, package: &str| {
        let path = given.map_or_else(|| beside(package), Ok)?;
        let missing = || {
            let release =
                if path.components().any(|c| c.as_os_str() == "release") { " --release" } else { "" };
            format!("{} is not there: cargo build{release} -p {package}", path.display())
        };
        if path.is_file() { Ok(path) } else { Err(missing()) }
    };
    let folder = || std::env::temp_dir().join(format!("hookmq-torture-{}", std::process::id()));
    Ok(Asked {
        deliveries: args.deliveries,
        every: args.every,
        hooks: hooks::hooks(usize::try_from(args.hooks).unwrap_or_default()),
        faults: args.faults,
        seed: args.seed,
        spilling: args.spill,
        vendor,
        forwarder: find(args.forwarder, vendor.as_str())?,
        redriver: find(args.redriver, "redrive")?,
        keep: args.keep.is_some(),
        folder: args.keep.unwrap_or_else(folder),
    })
}

/// Runs the experiment and prints the verdict; returns true if every promise held.
async fn torture(asked: Asked, senders: usize) -> Fallible<bool> {
    let stop = stop_signal()?;
    let began = Instant::now();
    let world = Arc::new(World::build(asked).await?);
    let delays = tokio::spawn(look_for_delays(Arc::clone(&world)));
    let verdict = tokio::select! {
        verdict = experiment(&world, senders) => verdict,
        // The processes must not outlive this command.
        _ = stop => Err("interrupted".into()),
    };
    delays.abort();
    let took = began.elapsed().as_secs();
    if let Ok(verdict) = &verdict {
        crate::say!("{}{verdict}", heading(&world, took));
    }
    let holds = verdict.as_ref().is_ok_and(Verdict::holds);
    end(&world, holds);
    verdict.map(|verdict| verdict.holds())
}

/// Notes when this process was late, because the vendor's emulator then was late too.
async fn look_for_delays(world: Arc<World>) {
    loop {
        let from = world.watch.now();
        sleep(BEAT).await;
        let to = world.watch.now();
        if u128::from(to - from) > 3 * BEAT.as_millis() {
            world.troubles().busy.push((from, to));
        }
    }
}

async fn experiment(world: &Arc<World>, senders: usize) -> Fallible<Verdict> {
    for process in world.forwarders.iter().chain(&world.redrivers) {
        process.restart()?;
    }
    for process in world.forwarders.iter().chain(&world.redrivers) {
        process.is_up().await?;
    }
    let mut tasks = JoinSet::new();
    for number in 0..senders {
        tasks.spawn(Sender::new(Arc::clone(world), number).run());
    }
    watch(world, tasks).await?;
    eprintln!("  faults end");
    aftermath::calm(world).await?;
    let given_up = aftermath::settle(world, senders).await?;
    aftermath::drain(world).await?;
    world.forwarders.iter().for_each(processes::Process::kill);
    world.harvest();
    Ok(Verdict::of(world, &given_up))
}

/// Harvests, restarts ended processes and prints the progress until the senders are done.
async fn watch(world: &World, mut senders: JoinSet<Fallible<()>>) -> Fallible<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticked: u64 = 0;
    loop {
        tokio::select! {
            done = senders.join_next() => match done {
                Some(done) => done??,
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                world.harvest();
                if ticked.is_multiple_of(TICKS) && world.asked.faults.has("lifecycle") {
                    lifecycle::expire_old(world)?;
                }
                for process in world.forwarders.iter().chain(&world.redrivers) {
                    process.look_after()?;
                }
                ticked += 1;
                if ticked.is_multiple_of(TICKS) {
                    let sent = world.next.load(Ordering::Relaxed).min(world.asked.deliveries);
                    let faults: u64 = world.troubles().counts.values().sum();
                    eprintln!("  {sent} of {} deliveries, {faults} faults", world.asked.deliveries);
                }
            }
        }
    }
}

fn heading(world: &World, took: u64) -> String {
    let Asked { seed, vendor, spilling, deliveries, .. } = &world.asked;
    let (troubles, met) = (world.troubles(), world.met().clone());
    let total: u64 = troubles.counts.values().sum();
    let counts: Vec<_> = troubles.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let by_fault: Vec<_> = met.by_fault.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!(
        "seed {seed}, {}, spill {}: {deliveries} deliveries in {took} s\n\
         faults     {total}: {}\n\
         vendor     {} requests, {} of them met a fault: {}\n",
        vendor.as_str(),
        spilling.as_str(),
        counts.join(", "),
        met.requests,
        met.faulty,
        by_fault.join(", "),
    )
}

/// Kills the processes and removes the folder, unless `--keep` or a broken promise asks for it.
fn end(world: &World, holds: bool) {
    let folder: &Path = &world.site.folder;
    for process in world.forwarders.iter().chain(&world.redrivers).chain([&world.last_redriver]) {
        process.kill();
    }
    if world.asked.keep || !holds {
        eprintln!("  see {}", folder.display());
    } else if let Err(error) = std::fs::remove_dir_all(folder) {
        complain(format_args!("{}: {error}", folder.display()));
    }
}
