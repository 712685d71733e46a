//! After the faults: what waits is sent, by its senders and by a redriver.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::redrive::{Job, Options};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::conductor::redrive;
use super::sender::Sender;
use super::world::{World, environment};
use super::{Fallible, Spilling};

/// Runs of the redriver that sent nothing after which it is given up.
const VAIN: u32 = 3;

/// For one run over `dead/`.
const RUN: Duration = Duration::from_secs(50);

/// Ends the faults, with fresh processes: a circuit that is open for five minutes would be.
pub(super) async fn calm(world: &Arc<World>) -> Fallible<()> {
    world.conductor.lock().await.end(world).await?;
    world.is_calm.store(true, Ordering::Relaxed);
    world.redrivers.iter().for_each(super::processes::Process::kill);
    for number in 0..world.forwarders.len() {
        world.restart_forwarder(number, None)?;
    }
    for forwarder in &world.forwarders {
        forwarder.is_up().await?;
    }
    Ok(())
}

/// Has the senders that send again do so until each has an answer; how many never had one.
pub(super) async fn settle(world: &Arc<World>, senders: usize) -> Fallible<Vec<u64>> {
    let left: VecDeque<(usize, u64)> = std::mem::take(&mut *world.unsettled()).into();
    let left = Arc::new(Mutex::new(left));
    let mut tasks = JoinSet::new();
    for number in 0..senders {
        let (world, left) = (Arc::clone(world), Arc::clone(&left));
        tasks.spawn(async move {
            let mut sender = Sender::new(world, number);
            let mut given_up = Vec::new();
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((line, number)) = next else { return Ok::<_, super::Failed>(given_up) };
                if !sender.send_again(line, number).await? {
                    given_up.push(number);
                }
            }
        });
    }
    let mut given_up = Vec::new();
    while let Some(done) = tasks.join_next().await {
        given_up.extend(done??);
    }
    Ok(given_up)
}

/// Has a redriver send everything that waits, and then what lies in `dead/`.
pub(super) async fn drain(world: &World) -> Fallible<()> {
    if world.asked.spilling == Spilling::Never {
        return Ok(());
    }
    let redriver = &world.last_redriver;
    redriver.restart()?;
    redriver.is_up().await?;
    let mut vain = 0;
    while vain < VAIN {
        let report = redrive(redriver).await;
        world.harvest();
        let (found, done) = match &report {
            Ok(report) => counts(report, world.asked.vendor.as_str()),
            Err(_) => (1, 0),
        };
        if found == 0 {
            break;
        }
        eprintln!("  redriven {done} of {found}");
        vain = if done == 0 { vain + 1 } else { 0 };
    }
    redriver.kill();
    raise_the_dead(world).await
}

/// As `hookmq redrive --dead` does.
async fn raise_the_dead(world: &World) -> Fallible<()> {
    let env = Env::of(environment(&world.asked, &world.site, &world.emulator, 0));
    let config = Config::load(Reading::new(&env, Samples::Refused));
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    let job = Job::new(config, &context)?;
    let options = Options { dead: true, now: true, rate: 1000, ..Options::default() };
    loop {
        let report = job.run(&options, Instant::now() + RUN).await;
        world.harvest();
        let (_, done) = counts(&serde_json::to_value(&report)?, world.asked.vendor.as_str());
        if done == 0 {
            return Ok(());
        }
    }
}

/// Deliveries that a run found, and those that it got rid of.
fn counts(report: &Value, vendor: &str) -> (u64, u64) {
    let of = |name: &str| report[vendor]["done"][name].as_u64().unwrap_or(0);
    (of("found"), of("sent") + of("repeated") + of("dead"))
}
