//! The conductor: carries out the plan step by step while the deliveries are sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookmq_emulator::Fault;
use hookmq_shared::http::{Headers, Request};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::connection::Connection;
use super::plan::{Action, Step};
use super::processes::Process;
use super::world::World;
use super::{Fallible, hooks, lifecycle};

/// Delay until senders use a new secret. A running function looks for a new secret when a request does not
/// match, at most once in 30 seconds, so a sender that changes later than that is never refused.
const NEW_SECRET: Duration = Duration::from_secs(33);

/// Time limit for one run of a redriver, which ends by itself after 50 seconds.
const RUN: Duration = Duration::from_secs(70);

pub(super) struct Conductor {
    steps: VecDeque<Step>,
    /// Number of the vendor's key that is in use.
    key: usize,
    /// Faults of the vendor: `passing` faults end by themselves. `outages` of single topics, by the index of
    /// the hook, and a `down` vendor stay until they are removed.
    passing: Vec<Fault>,
    outages: BTreeMap<usize, Fault>,
    down: Option<Fault>,
    /// Indices of the hooks whose topic is mistyped.
    mistyped: BTreeSet<usize>,
    /// Tasks that run a little later than their step.
    later: JoinSet<()>,
    /// Runs that redrivers were told to make, and delayed changes of the senders' secret.
    runs: JoinSet<()>,
    /// The latest delayed change of the senders' secret.
    change: Option<AbortHandle>,
}

impl Conductor {
    pub(super) fn new(steps: VecDeque<Step>) -> Self {
        Self {
            steps,
            key: 0,
            passing: Vec::new(),
            outages: BTreeMap::new(),
            down: None,
            mistyped: BTreeSet::new(),
            later: JoinSet::new(),
            runs: JoinSet::new(),
            change: None,
        }
    }

    /// Performs all steps that come before the delivery with this number.
    pub(super) fn reach(&mut self, number: u64, world: &Arc<World>) -> Fallible<()> {
        while self.steps.front().is_some_and(|step| step.at <= number)
            && let Some(step) = self.steps.pop_front()
        {
            let fault = step.action.fault();
            if self.perform(step.action, world)?
                && let Some(fault) = fault
            {
                *world.troubles().counts.entry(fault).or_default() += 1;
            }
        }
        while self.later.try_join_next().is_some() {}
        while self.runs.try_join_next().is_some() {}
        Ok(())
    }

    /// Performs one action; returns true unless it was skipped.
    fn perform(&mut self, action: Action, world: &Arc<World>) -> Fallible<bool> {
        let site = &world.site;
        match action {
            Action::Vendor(_, faults) => {
                self.passing = faults;
                self.set_faults(world);
            }
            Action::KillForwarder(number, after) => {
                self.later(world, after, move |world| world.restart_forwarder(number, None));
            }
            Action::KillRedriver(number, after) => self.later(world, after, move |world| {
                let Some(redriver) = world.redrivers.get(number % world.redrivers.len().max(1)) else {
                    return Ok(());
                };
                if world.is_stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                world.note_kill(|| redriver.restart())
            }),
            Action::Freeze(number, time) => {
                let world = Arc::clone(world);
                self.later.spawn(async move {
                    let from = world.watch.now();
                    let frozen = world.forwarder(number).freeze(Duration::from_millis(time)).await;
                    world.troubles().freezes.push((from, world.watch.now()));
                    world.note_failure(frozen);
                });
            }
            Action::StoreFails => {
                site.break_store()?;
                world.troubles().store.push((world.watch.now(), u64::MAX));
            }
            Action::StoreWorks => Self::mend_store(world)?,
            Action::StoreFull(number, blocks) => world.restart_forwarder(number, Some(blocks))?,
            Action::RotateSecrets { live } => return Ok(self.rotate_secrets(live, world)?),
            Action::RotateKey => self.rotate_key(world)?,
            Action::WrongKey => site.use_wrong_key(self.key)?,
            Action::Outage(place, fault) => {
                self.outages.insert(place, fault);
                self.set_faults(world);
            }
            Action::OutageOver(place) => {
                self.outages.remove(&place);
                self.set_faults(world);
            }
            Action::Backlog(fault) => {
                self.down = Some(fault);
                self.set_faults(world);
                world.is_stopped.store(true, Ordering::Relaxed);
                world.stop_redrivers()?;
            }
            Action::BacklogOver => {
                self.down = None;
                self.set_faults(world);
                world.is_stopped.store(false, Ordering::Relaxed);
                world.start_redrivers()?;
            }
            Action::Expire => lifecycle::expire_everything(world)?,
            Action::Mistype(place) => {
                self.mistyped.insert(place);
                world.configure(&self.mistyped)?;
            }
            Action::Correct(place) => {
                self.mistyped.remove(&place);
                world.configure(&self.mistyped)?;
            }
            Action::Redrive => {
                for number in 0..world.redrivers.len() {
                    let world = Arc::clone(world);
                    // The redriver may be killed meanwhile, or be busy.
                    self.runs.spawn(async move { drop(redrive(&world.redrivers[number]).await) });
                }
            }
        }
        Ok(true)
    }

    fn later(
        &mut self,
        world: &Arc<World>,
        millis: u64,
        action: impl FnOnce(&World) -> io::Result<()> + Send + 'static,
    ) {
        let world = Arc::clone(world);
        self.later.spawn(async move {
            sleep(Duration::from_millis(millis)).await;
            let stage = world.stage();
            let done = action(&world);
            drop(stage);
            world.note_failure(done);
        });
    }

    /// Sets the emulator's faults. The first matching fault applies, so the lasting faults come first.
    fn set_faults(&self, world: &World) {
        let staying = self.down.iter().chain(self.outages.values());
        world.emulator.set_faults(staying.chain(&self.passing).cloned().collect());
    }

    fn mend_store(world: &World) -> io::Result<()> {
        world.site.mend_store()?;
        let now = world.watch.now();
        world.troubles().store.iter_mut().for_each(|span| span.1 = span.1.min(now));
        Ok(())
    }

    fn rotate_key(&mut self, world: &World) -> io::Result<()> {
        self.key += 1;
        world.site.use_key(self.key)
    }

    /// Gives the functions the next generation of secrets, and the senders after them; returns true if it
    /// did. A live rotation is skipped while the last change is pending, because running processes may not
    /// have found the last generation yet.
    fn rotate_secrets(&mut self, live: bool, world: &Arc<World>) -> io::Result<bool> {
        let is_changing = self.change.as_ref().is_some_and(|change| !change.is_finished());
        if live && is_changing {
            return Ok(false);
        }
        let next = world.signers().len() as u64;
        world.site.write_secrets(next)?;
        if live {
            let world = Arc::clone(world);
            self.change = Some(self.runs.spawn(async move {
                sleep(NEW_SECRET).await;
                world.change_secrets(next);
            }));
            return Ok(true);
        }
        if let Some(change) = self.change.take() {
            change.abort();
        }
        for number in 0..world.forwarders.len() {
            world.restart_forwarder(number, None)?;
        }
        world.change_secrets(next);
        Ok(true)
    }

    /// Ends all faults, after the delayed actions have run.
    pub(super) async fn end(&mut self, world: &World) -> Fallible<()> {
        self.steps.clear();
        while self.later.join_next().await.is_some() {}
        self.runs.shutdown().await;
        world.emulator.set_faults(Vec::new());
        Self::mend_store(world)?;
        self.rotate_key(world)?;
        // New processes follow, which read the corrected file.
        world.site.write_hooks(&world.asked, &BTreeSet::new())?;
        Ok(())
    }
}

impl World {
    /// Kills a forwarder and starts it again; with `blocks`, on a full disk.
    pub(super) fn restart_forwarder(&self, number: usize, blocks: Option<u64>) -> io::Result<()> {
        let number = number % self.forwarders.len();
        let forwarder = &self.forwarders[number];
        self.note_kill(|| match blocks {
            Some(blocks) => forwarder.restart_with_full_disk(blocks),
            None => forwarder.restart(),
        })?;
        let now = self.watch.now();
        let mut troubles = self.troubles();
        if let Some(since) = troubles.full.remove(&number) {
            troubles.store.push((since, now));
        }
        if blocks.is_some() {
            troubles.full.insert(number, now);
        }
        Ok(())
    }

    /// Kills every redriver and notes the time.
    pub(super) fn stop_redrivers(&self) -> io::Result<()> {
        self.note_kill(|| {
            self.redrivers.iter().for_each(Process::kill);
            Ok(())
        })
    }

    /// Starts every redriver, unless redrivers are stopped for a backlog.
    pub(super) fn start_redrivers(&self) -> io::Result<()> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.redrivers.iter().try_for_each(Process::restart)
    }

    /// Writes a configuration with these mistyped hooks and restarts all functions, which read it at their
    /// start.
    fn configure(&self, mistyped: &BTreeSet<usize>) -> io::Result<()> {
        self.site.write_hooks(&self.asked, mistyped)?;
        for number in 0..self.forwarders.len() {
            self.restart_forwarder(number, None)?;
        }
        self.stop_redrivers()?;
        self.start_redrivers()
    }

    /// Adds the signers of a generation, which senders use from then on.
    fn change_secrets(&self, generation: u64) {
        let signers = hooks::signers(self.asked.hooks, self.asked.vendor, self.asked.seed, generation);
        self.signers.write().unwrap_or_else(PoisonError::into_inner).push(signers);
    }

    pub(super) fn note_kill(&self, kill: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let from = self.watch.now();
        kill()?;
        self.troubles().kills.push((from, self.watch.now()));
        Ok(())
    }

    fn note_failure(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.troubles().failures.push(error.to_string());
        }
    }
}

/// Tells a redriver to send everything that waits, including deliveries that are not due yet.
pub(super) async fn redrive(redriver: &Process) -> Fallible<()> {
    let request = Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        raw_query: "now=1".to_owned(),
        headers: Headers::new(),
        body: Bytes::new(),
        request_id: String::new(),
        received: Instant::now(),
        source_ip: None,
        deadline: None,
    };
    let answer = async { Connection::open(redriver.address).await?.exchange(request).await };
    let answer = timeout(RUN, answer).await??;
    if answer.status != 200 {
        return Err(format!("{} answered {}", redriver.name, answer.status).into());
    }
    Ok(())
}
