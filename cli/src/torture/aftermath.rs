//! The time after the faults: senders and a redriver send everything that still waits.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::redrive::{Options, RedriveJob};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::conductor::redrive;
use super::harvest::objects;
use super::sender::Sender;
use super::world::{World, environment};
use super::{Fallible, Spilling, lifecycle};

/// Number of redriver runs without progress after which the rest is given up.
const VAIN: u32 = 3;

/// Time limit for one run over `dead/`.
const RUN: Duration = Duration::from_secs(50);

/// Ends the faults and starts fresh processes, because a circuit may stay open for five minutes. A run
/// without faults kills no process.
pub(super) async fn calm(world: &Arc<World>) -> Fallible<()> {
    world.conductor.lock().await.end(world).await?;
    world.is_calm.store(true, Ordering::Relaxed);
    if world.asked.faults.is_none() {
        return Ok(());
    }
    world.is_stopped.store(true, Ordering::Relaxed);
    world.stop_redrivers()?;
    if world.asked.faults.has("lifecycle") {
        lifecycle::expire_everything(world)?;
    }
    for number in 0..world.forwarders.len() {
        world.restart_forwarder(number, None)?;
    }
    for forwarder in &world.forwarders {
        forwarder.is_up().await?;
    }
    Ok(())
}

/// Lets the senders send unsettled deliveries again until each has an answer; returns the numbers of those
/// that never had one.
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

/// Lets a redriver send everything that waits, and then the deliveries in `dead/`.
pub(super) async fn drain(world: &World) -> Fallible<()> {
    if world.asked.spilling == Spilling::Never {
        return Ok(());
    }
    let redriver = match world.redrivers.first() {
        Some(first) if world.asked.faults.is_none() => first,
        _ => {
            world.last_redriver.restart()?;
            world.last_redriver.is_up().await?;
            &world.last_redriver
        }
    };
    let waiting = || objects(&world.site.store(), "spill").len();
    let (mut left, mut vain) = (waiting(), 0);
    // One more run follows when the store is empty, because it deletes the states of deliveries that are
    // gone.
    loop {
        let done = redrive(redriver).await;
        world.harvest();
        let now = waiting();
        match done {
            Ok(()) if left == 0 => break,
            Ok(()) => eprintln!("  {left} waited, {now} left"),
            Err(error) => eprintln!("  {error}"),
        }
        vain = if now < left { 0 } else { vain + 1 };
        if vain == VAIN {
            break;
        }
        left = now;
    }
    redriver.kill();
    raise_the_dead(world).await
}

/// Sends the deliveries in `dead/` as `hookmq redrive --dead` does.
async fn raise_the_dead(world: &World) -> Fallible<()> {
    let env = Env::of(environment(&world.asked, &world.site, &world.emulator, 0));
    let config = Config::load(Reading::new(&env, Samples::Refused));
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    let job = RedriveJob::new(config, &context)?;
    let options = Options { dead: true, now: true, rate: Some(1000), ..Options::default() };
    let dead = || objects(&world.site.store(), "dead").len();
    let (mut left, mut vain) = (dead(), 0);
    // Deliveries stay if no message can be made of them.
    while vain < VAIN {
        drop(job.run(&options, Instant::now() + RUN).await);
        world.harvest();
        let now = dead();
        vain = if now < left { 0 } else { vain + 1 };
        left = now;
    }
    Ok(())
}
