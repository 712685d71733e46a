//! A run: from the listings to the last delivery under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::cursor::Cursor;
use super::turns::{Came, Stops, Turn, Turns};
use super::walk::{Waiting, Walk, due};
use super::{Done, Inner, Options, RedriveError, Redriver, Summary};
use crate::carry::{Pace, RESERVE};
use crate::clock::Timestamp;
use crate::env::Lent;
use crate::queue::{Queue, Vendor};
use crate::store::{MAX_PAGE, StoreError};

/// One delivery gets this at most, the store's calls included, which try again until then.
const ONE: Duration = Duration::from_secs(30);

/// Deliveries on the pages in hand of all hooks together, about.
const IN_HAND: usize = 2000;

/// The smallest page.
const MIN_PAGE: usize = 50;

/// First pages that are asked for at a time.
const LISTINGS: usize = 8;

/// How often a run writes down where it is.
const EVERY: Duration = Duration::from_secs(10);

/// A delivery under way.
struct InHand {
    hook: usize,
    modified: Timestamp,
    name: String,
}

/// A run under way.
struct Run<'a, Q> {
    redriver: &'a Redriver<Q>,
    options: &'a Options,
    deadline: Instant,
    walks: Vec<Walk>,
    /// Entries a page.
    limit: usize,
    turns: Turns,
    pace: Arc<Pace>,
    tasks: JoinSet<Done>,
    /// What each task has in hand.
    in_hand: HashMap<Id, InHand>,
    summary: Summary,
    oldest: Option<Timestamp>,
    next: Option<Timestamp>,
    cursor: Cursor,
    written: Instant,
}

impl<Q: Queue> Redriver<Q> {
    /// Sends what is due until everything is sent or `deadline` is near.
    pub async fn run(&self, options: &Options, deadline: Instant) -> Result<Summary, RedriveError> {
        if !options.takes(self.target()) {
            return Ok(Summary::default());
        }
        let hooks = self.hooks(options, deadline).await?;
        let Inner { carrier, spill, .. } = &*self.0;
        let is_all = options.covers().is_some();
        let cursor = if is_all && !hooks.is_empty() {
            Cursor::read(spill.store(), carrier.target.name(), options.shard, deadline).await
        } else {
            Cursor::default()
        };
        let walk = |hook: &String| {
            let cursor = cursor.hooks.get(hook).map(String::as_str);
            Walk::new(carrier.target.name(), hook, options, cursor)
        };
        let walks: Vec<Walk> = hooks.iter().map(walk).collect();
        let mut run = Run {
            redriver: self,
            options,
            deadline,
            limit: (IN_HAND / walks.len().max(1)).clamp(MIN_PAGE, MAX_PAGE),
            turns: Turns::new(walks.len(), options.concurrency),
            pace: Arc::new(Pace::new(options.pace(carrier.target.vendor()))),
            walks,
            tasks: JoinSet::new(),
            in_hand: HashMap::new(),
            summary: Summary::default(),
            oldest: None,
            next: None,
            cursor,
            written: Instant::now(),
        };
        run.first_pages().await?;
        // A vendor that is not used needs no credentials.
        if run.summary.found > 0
            && let Some(problem) = carrier.queue.problems().into_iter().next()
        {
            return Err(problem.into());
        }
        run.work().await;
        if is_all {
            run.write_cursor().await;
        }
        Ok(run.end())
    }
}

impl<Q: Queue> Run<'_, Q> {
    /// Each hook's first page, several at a time; a store that cannot be listed ends the run here.
    async fn first_pages(&mut self) -> Result<(), StoreError> {
        let (limit, deadline) = (self.limit, self.deadline);
        let store = self.redriver.0.spill.store();
        let mut leaves = Vec::new();
        for walks in self.walks.chunks_mut(LISTINGS) {
            leaves.extend(join_all(walks.iter_mut().map(|walk| walk.turn(store, limit, deadline))).await);
        }
        for (hook, leaf) in leaves.into_iter().enumerate() {
            self.take(hook, leaf?);
        }
        Ok(())
    }

    /// Goes on with the hook's next page.
    async fn turn_page(&mut self, hook: usize) {
        let store = self.redriver.0.spill.store();
        let Some(walk) = self.walks.get_mut(hook) else { return };
        match walk.turn(store, self.limit, self.deadline).await {
            Ok(leaf) => self.take(hook, leaf),
            Err(error) => {
                tracing::error!(hook = walk.hook, %error, "cannot go on listing");
                self.summary.store_errors += 1;
                self.summary.more = true;
                self.summary.blame(&walk.hook, &error);
                self.turns.exhausted(hook);
            }
        }
    }

    /// Takes a page in hand: what is not due is counted, and left alone.
    fn take(&mut self, hook: usize, leaf: super::walk::Leaf) {
        let now = self.redriver.0.context.clock.now();
        self.summary.found += leaf.waiting.len();
        let (ready, early) = due(leaf, now, self.options.now || self.options.dead);
        for waiting in early {
            self.wait(waiting.entry.modified, waiting.next());
        }
        if let Some(walk) = self.walks.get_mut(hook) {
            walk.ready.extend(ready);
            if walk.ready.is_empty() && walk.is_over() {
                self.turns.exhausted(hook);
            }
        }
    }

    async fn work(&mut self) {
        loop {
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.note(ended);
            }
            let now = Instant::now();
            let turn = if self.summary.stopped.is_some() { Turn::Nothing } else { self.turns.next(now) };
            let is_late = self.deadline.saturating_duration_since(now) < RESERVE * 2;
            match turn {
                Turn::Over(class) => self.stop(class.as_str()),
                Turn::Of(_) | Turn::Rest(_) if is_late => self.stop("no time left"),
                Turn::Rest(until) if until + RESERVE * 2 > self.deadline && self.tasks.is_empty() => {
                    self.stop("what is left rests for longer than this run");
                }
                Turn::Rest(until) => {
                    // In order, so that equal runs go equally.
                    tokio::select! {
                        biased;
                        () = sleep_until(until) => {}
                        Some(ended) = self.tasks.join_next_with_id() => self.note(ended),
                    }
                }
                Turn::Of(hook) => self.serve(hook).await,
                Turn::Nothing => match self.tasks.join_next_with_id().await {
                    Some(ended) => self.note(ended),
                    None => return,
                },
            }
        }
    }

    /// Begins the hook's next delivery, or goes on with its next page.
    async fn serve(&mut self, hook: usize) {
        let Some(walk) = self.walks.get_mut(hook) else { return };
        let Some(waiting) = walk.ready.pop_front() else {
            if walk.is_over() {
                self.turns.exhausted(hook);
            } else {
                self.turn_page(hook).await;
                self.write_cursor_at_times().await;
            }
            return;
        };
        // A store that lists in an order of its own may tell of a delivery twice.
        if self.in_hand.values().any(|other| other.name == waiting.entry.name) {
            self.summary.found -= 1;
            return;
        }
        let Some(room) = self.redriver.0.room.take(waiting.entry.size).await else { return };
        self.turns.begun(hook);
        let (redriver, options) = (self.redriver.clone(), self.options.clone());
        let pace = Arc::clone(&self.pace);
        let deadline = self.deadline.min(Instant::now() + ONE);
        let (modified, name) = (waiting.entry.modified, waiting.entry.name.clone());
        let task = self.tasks.spawn(Lent::in_hand().to(async move {
            let Waiting { entry, states } = waiting;
            let done = redriver.one(&entry, &states, &options, &pace, deadline).await;
            drop(room);
            done
        }));
        self.in_hand.insert(task.id(), InHand { hook, modified, name });
    }

    fn stop(&mut self, why: &str) {
        self.summary.stopped = Some(why.to_owned());
    }

    fn note(&mut self, ended: Result<(Id, Done), tokio::task::JoinError>) {
        let (id, done) = match ended {
            Ok(ended) => ended,
            // A panic: the delivery is where it was.
            Err(error) => {
                (error.id(), Done::Store(StoreError::Other("the work on it was cut off".to_owned())))
            }
        };
        let Some(InHand { hook, modified: at, .. }) = self.in_hand.remove(&id) else { return };
        let came = came(&done);
        let class = match &done {
            Done::Failed(error, _) | Done::Held(error) => Some(error.class),
            _ => None,
        };
        self.turns.ended(hook, came, class, Instant::now());
        let name = self.walks.get(hook).map_or_else(String::new, |walk| walk.hook.clone());
        match done {
            Done::Sent => self.summary.sent += 1,
            Done::Repeated | Done::Gone => self.summary.repeated += 1,
            Done::Dead => self.summary.dead += 1,
            Done::Passed => self.summary.found -= 1,
            Done::Failed(error, next) => {
                self.summary.failed += 1;
                self.summary.blame(&name, &error);
                self.left(at);
                self.next_at(next);
            }
            Done::Held(error) => {
                self.summary.blame(&name, &error);
                self.wait(at, None);
            }
            Done::Early(next) => self.wait(at, Some(next)),
            Done::NoMessage => {
                self.summary.blame(&name, &"no message can be made of it with today's hooks.toml");
                self.wait(at, None);
            }
            Done::Corrupt => {
                self.summary.corrupt += 1;
                self.left(at);
            }
            Done::Store(error) => {
                self.summary.store_errors += 1;
                self.summary.blame(&name, &error);
                self.left(at);
            }
        }
    }

    /// A delivery is left that was not tried.
    fn wait(&mut self, at: Timestamp, next: Option<Timestamp>) {
        self.summary.waiting += 1;
        self.left(at);
        self.next_at(next);
    }

    fn left(&mut self, at: Timestamp) {
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }

    fn next_at(&mut self, next: Option<Timestamp>) {
        self.next = [self.next, next].into_iter().flatten().min();
    }

    async fn write_cursor_at_times(&mut self) {
        if self.options.covers().is_some() && self.written.elapsed() >= EVERY {
            self.write_cursor().await;
        }
    }

    /// Writes down where the hooks are. A failure costs the next run its place.
    async fn write_cursor(&mut self) {
        self.written = Instant::now();
        let place = |walk: &Walk| Some((walk.hook.clone(), walk.cursor()?));
        let cursor = Cursor { hooks: self.walks.iter().filter_map(place).collect() };
        if cursor == self.cursor {
            return;
        }
        let Inner { carrier, spill, .. } = &*self.redriver.0;
        let target = carrier.target.name();
        match cursor.write(spill.store(), target, self.options.shard, self.deadline).await {
            Ok(()) => self.cursor = cursor,
            Err(error) => tracing::warn!(to = target, %error, "cannot write down where the run ended"),
        }
    }

    fn end(mut self) -> Summary {
        for walk in std::mem::take(&mut self.walks) {
            self.summary.more |= !walk.is_over();
            for waiting in walk.ready {
                self.wait(waiting.entry.modified, waiting.next());
            }
        }
        let now = self.redriver.0.context.clock.now().unix();
        self.summary.oldest_age_s = self.oldest.map(|at| u64::try_from(now - at.unix()).unwrap_or(0));
        let is_all_early = self.summary.stopped.is_none() && !self.summary.more;
        self.summary.next = self.next.filter(|_| is_all_early).map(Timestamp::rfc3339);
        self.summary
    }
}

fn came(done: &Done) -> Came {
    match done {
        Done::Sent | Done::Repeated | Done::Dead => Came::Through,
        Done::Failed(error, _) => Came::Not { stops: Stops::of(error.class, true), asked: error.retry_after },
        Done::Held(error) => Came::Not { stops: Stops::of(error.class, false), asked: error.retry_after },
        Done::Early(_) | Done::NoMessage | Done::Passed | Done::Gone | Done::Corrupt | Done::Store(_) => {
            Came::Nothing
        }
    }
}

impl Vendor {
    /// Messages a second that a redriver sends by default: what the vendor takes of an account, or, where
    /// it does not say, what its smallest instance does.
    pub(super) const fn sends_a_second(self) -> u32 {
        match self {
            Self::Tdmq => 1000,
            Self::Rocketmq => 200,
        }
    }
}
