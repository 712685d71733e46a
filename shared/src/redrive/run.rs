//! Run of one target, from the listings to the last delivery in progress.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::backlog::Backlog;
use super::cursor::Cursor;
use super::list::is_gone;
use super::turns::{Came, Turn, Turns};
use super::walk::{Leaf, Waiting, Walk, due};
use super::{Done, Inner, Options, RedriveError, Redriver, Stopped, Summary};
use crate::carry::{End, Pace, RESERVE};
use crate::clock::Timestamp;
use crate::env::{EnvProblem, Lent};
use crate::queue::{Queue, SendError};
use crate::stopping::Stopping;
use crate::store::{MAX_PAGE, StoreError};

/// Time without a successful delivery after which a waiting run ends: the next run tries again.
const MAX_RESTED: Duration = Duration::from_secs(20);

/// Number of deliveries and pages in a row without an answer or a deletion, after which the store is not used
/// further.
pub(super) const SILENCE: u32 = 3;

/// Number of deliveries on the pages of all hooks together that a page's size is computed from; each hook has
/// the page in hand and the next.
const IN_HAND: usize = 2000;

/// Upper bound on the deliveries and the states of all hooks together that a run has in hand. Each takes some
/// 250 bytes. The hooks whose pages find no room wait for the others' pages to be sent.
const ROOM: usize = 6000;

/// Lower bound on the size of a page, in deliveries.
const MIN_PAGE: usize = 50;

/// Upper bound on concurrent listings that are answered in time.
const LISTINGS: usize = 8;

/// Upper bound on concurrent listings, with those that take longer.
const MAX_LISTINGS: usize = 32;

/// Time after which a listing leaves its place to another one, while it goes on: it may hang.
const PROMPT: Duration = Duration::from_secs(5);

/// Interval at which a run writes its cursor.
const EVERY: Duration = Duration::from_secs(10);

/// State of a run in progress.
struct Run<'a, Q> {
    redriver: &'a Redriver<Q>,
    options: &'a Options,
    deadline: Instant,
    backlogs: Vec<Backlog>,
    /// Number of entries per page.
    limit: usize,
    turns: Turns,
    pace: Arc<Pace>,
    tasks: JoinSet<Ended>,
    /// Hooks of the tasks, for tasks that end by a panic; a delivery's task also has its object's time and
    /// name.
    owners: HashMap<Id, (usize, Option<(Timestamp, String)>)>,
    /// Change of the room that deliveries in hand have given back.
    freed: watch::Receiver<()>,
    /// Hooks whose next page is to be listed, the one that has waited longest first.
    asking: VecDeque<usize>,
    /// Hooks with a listing in progress, and the time at which it began.
    listing: HashMap<usize, Instant>,
    /// True if a page was listed.
    is_answered: bool,
    /// Last failure of a listing.
    failure: Option<StoreError>,
    /// Problem with the credentials, which are looked at once the first delivery has been found.
    problem: Option<EnvProblem>,
    is_equipped: bool,
    /// Number of deliveries whose hooks have left their room to others.
    gave_way: usize,
    summary: Summary,
    oldest: Option<Timestamp>,
    next: Option<Timestamp>,
    /// True if a delivery is left that does not wait for a time.
    has_untimed: bool,
    cursor: Cursor,
    written: Instant,
    /// Number of deliveries and pages in a row that the store did not answer for.
    silent: u32,
    /// Time spent resting without any task since the last successful delivery.
    rested: Duration,
    observe: &'a (dyn Fn(&Summary, bool) + Sync),
}

/// Result of a task.
enum Ended {
    Delivery(usize, Timestamp, Done),
    Page(usize, Box<Walk>, Result<Leaf, StoreError>),
}

impl<Q: Queue> Redriver<Q> {
    /// Sends the due deliveries until everything is sent or `deadline` is near.
    pub async fn run(&self, options: &Options, deadline: Instant) -> Result<Summary, RedriveError> {
        self.run_observed(options, deadline, &|_, _| ()).await
    }

    /// Sends like [`run`](Self::run), and reports progress: `observe` gets the summary so far, and true once
    /// everything has been listed.
    pub async fn run_observed(
        &self,
        options: &Options,
        deadline: Instant,
        observe: &(dyn Fn(&Summary, bool) + Sync),
    ) -> Result<Summary, RedriveError> {
        if !options.takes(self.target()) {
            return Ok(Summary::default());
        }
        // No delivery is in progress before the hooks are known, so a stop can end the look for them at once.
        let stopping = Stopping::in_hand();
        let mut run = tokio::select! {
            biased;
            _ = stopping.announced() => {
                return Ok(Summary { more: true, stopped: Some(Stopped::NoTime), ..Summary::default() });
            }
            run = self.begin(options, deadline, observe) => run?,
        };
        run.work().await;
        if let Some(problem) = run.problem.take() {
            return Err(problem.into());
        }
        if options.covers().is_some() && !matches!(run.summary.stopped, Some(Stopped::Store(_))) {
            run.write_cursor().await;
        }
        if let Some(error) = run.unanswered() {
            return Err(error.into());
        }
        Ok(run.end())
    }

    /// Begins a run: finds the hooks, all of which ask for their first page.
    async fn begin<'a>(
        &'a self,
        options: &'a Options,
        deadline: Instant,
        observe: &'a (dyn Fn(&Summary, bool) + Sync),
    ) -> Result<Run<'a, Q>, StoreError> {
        let (mut hooks, foreign) = self.hooks(options, options.soon(deadline)).await?;
        let Inner { carrier, spill, .. } = &*self.0;
        let is_all = options.covers().is_some();
        let cursor = if is_all && !hooks.is_empty() {
            let soon = options.soon(deadline);
            Cursor::read(spill.store(), carrier.target.name(), options.shard, soon).await
        } else {
            Cursor::default()
        };
        cursor.arrange(&mut hooks);
        let backlog = |hook: &String| {
            let cursor = cursor.hooks.get(hook).map(String::as_str);
            Backlog::new(hook, Walk::new(carrier.target.name(), hook, options, cursor))
        };
        let backlogs: Vec<Backlog> = hooks.iter().map(backlog).collect();
        let mut run = Run {
            redriver: self,
            options,
            deadline,
            limit: (IN_HAND / 2 / backlogs.len().max(1)).clamp(MIN_PAGE, MAX_PAGE),
            turns: Turns::new(backlogs.len(), options.concurrency),
            pace: Arc::new(Pace::new(options.pace(carrier.target.vendor()))),
            backlogs,
            tasks: JoinSet::new(),
            owners: HashMap::new(),
            freed: self.0.room.freed(),
            asking: VecDeque::new(),
            listing: HashMap::new(),
            is_answered: false,
            failure: None,
            problem: None,
            is_equipped: false,
            gave_way: 0,
            summary: Summary { foreign: foreign.count, ..Summary::default() },
            oldest: None,
            next: None,
            has_untimed: false,
            cursor,
            written: Instant::now(),
            silent: 0,
            rested: Duration::ZERO,
            observe,
        };
        for hook in 0..run.backlogs.len() {
            run.advance(hook);
        }
        Ok(run)
    }
}

impl<Q: Queue> Run<'_, Q> {
    /// Starts the listing of requested pages: [`LISTINGS`] at a time, and more if some take long, as far as
    /// there is room for what they find. The hooks take turns, page by page.
    fn list_ahead(&mut self) {
        let now = Instant::now();
        let long = self.listing.values().filter(|began| **began + PROMPT <= now).count();
        let most = (LISTINGS + long).min(MAX_LISTINGS);
        // A run that the cause of all failures has stopped still counts what waits, on one page of each hook.
        let counts = match self.summary.stopped {
            None => false,
            Some(Stopped::Class(_)) => true,
            Some(_) => return,
        };
        while self.listing.len() < most && !self.asking.is_empty() {
            if !counts && !self.has_room(now) {
                return;
            }
            let Some(hook) = self.asking.pop_front() else { return };
            let Some(backlog) = self.backlogs.get_mut(hook) else { continue };
            if counts && backlog.is_reached() {
                continue;
            }
            let Some(mut walk) = backlog.lend() else { continue };
            let (redriver, limit) = (self.redriver.clone(), self.limit);
            let deadline = self.options.soon(self.deadline);
            let task = self.tasks.spawn(in_hand(async move {
                let leaf = walk.turn(redriver.0.spill.store(), limit, deadline).await;
                Ended::Page(hook, Box::new(walk), leaf)
            }));
            self.owners.insert(task.id(), (hook, None));
            self.listing.insert(hook, now);
        }
    }

    /// Returns true if there is room for one more page. If there is none, and a hook with nothing in hand waits
    /// for it, the waiting hooks forget what they know of their next page, and hooks that rest because they
    /// fail give way for the rest of the run.
    fn has_room(&mut self, now: Instant) -> bool {
        // A page comes with its states, and the first ones of the next page.
        let page = self.limit * 3;
        let mut free = ROOM.saturating_sub(self.listing.len() * page);
        for backlog in &self.backlogs {
            free = free.saturating_sub(backlog.weight());
        }
        if free >= page {
            return true;
        }
        let is_idle = |hook: &usize| self.backlogs.get(*hook).is_some_and(|backlog| backlog.peek().is_none());
        let mut gone = Vec::new();
        if self.asking.iter().any(is_idle) {
            for hook in &self.asking {
                if let Some(backlog) = self.backlogs.get_mut(*hook) {
                    backlog.rest();
                }
            }
            for (hook, backlog) in self.backlogs.iter_mut().enumerate() {
                if backlog.peek().is_some() && self.turns.gives_way(hook, now) {
                    gone.append(&mut backlog.give_way());
                    self.turns.exhausted(hook);
                }
            }
            self.gave_way += gone.len();
            self.asking.retain(|hook| self.backlogs.get(*hook).is_some_and(Backlog::has_walk));
        }
        for waiting in gone {
            self.wait(waiting.entry.modified, waiting.next());
        }
        // Nothing else would make room.
        self.tasks.is_empty() && self.backlogs.iter().all(|backlog| backlog.peek().is_none())
    }

    /// Handles the listed page of a hook, or its failure.
    async fn listed(&mut self, hook: usize, walk: Option<Walk>, leaf: Result<Leaf, StoreError>) {
        let began = self.listing.remove(&hook);
        match leaf {
            Ok(leaf) => {
                self.silent = 0;
                self.is_answered = true;
                self.take(hook, walk, leaf);
            }
            Err(error) => {
                self.failure = Some(error.clone());
                // The run ends before the listing had its time: the next run lists the hook.
                let is_cut = began.is_none_or(|began| began + self.options.patience > self.deadline);
                if error.is_silence() && is_cut && self.is_late(Instant::now()) {
                    return;
                }
                self.unlisted(hook, &error);
                if error.is_silence() {
                    self.hears_nothing(error).await;
                }
            }
        }
    }

    /// Counts a listing that the store did not answer. Folders may be slow, so the run ends only if the store
    /// does not answer a small question either.
    async fn hears_nothing(&mut self, error: StoreError) {
        self.silent += 1;
        if self.is_answered && self.silent < SILENCE {
            return;
        }
        let store = self.redriver.0.spill.store();
        if is_gone(store, self.options, self.deadline).await {
            self.stop(Stopped::Store(error));
        } else {
            self.silent = 0;
        }
    }

    /// Returns the failure of a store that has not listed one page, unless the run was told to stop.
    fn unanswered(&self) -> Option<StoreError> {
        let is_told = Stopping::in_hand().is_announced();
        let is_asked = self.backlogs.iter().any(|backlog| !backlog.is_over());
        if self.is_answered || is_told || !is_asked {
            return None;
        }
        Some(self.failure.clone().unwrap_or(StoreError::TimedOut))
    }

    /// Notes that the hook cannot be listed, or not completely: without its walk it asks for no further page.
    fn unlisted(&mut self, hook: usize, error: &StoreError) {
        let name = self.backlogs.get_mut(hook).map_or_else(String::new, |backlog| {
            backlog.reach();
            backlog.hook.clone()
        });
        tracing::error!(hook = name, %error, "cannot be listed, or not completely");
        self.summary.store_errors += 1;
        self.summary.unlisted += 1;
        self.summary.more = true;
        self.summary.blame(&name, error);
        self.advance(hook);
    }

    /// Takes a page: deliveries that are not due are counted, and left alone.
    fn take(&mut self, hook: usize, walk: Option<Walk>, leaf: Leaf) {
        let now = self.redriver.0.context.clock.now();
        let has_some = !leaf.waiting.is_empty();
        self.summary.found += leaf.waiting.len();
        self.summary.foreign += leaf.foreign.count;
        // The id of a delivery is known only after reading it.
        let everything = self.options.now || self.options.dead || self.options.id.is_some();
        let (mut ready, mut early) = due(leaf, now, everything);
        // A run that has stopped only counts.
        if self.summary.stopped.is_some() {
            early.append(&mut ready);
        }
        for waiting in early {
            self.wait(waiting.entry.modified, waiting.next());
        }
        if let Some(backlog) = self.backlogs.get_mut(hook) {
            backlog.reach();
            backlog.arrived(walk, ready);
        }
        // A vendor without deliveries needs no credentials.
        if has_some && !self.is_equipped {
            self.is_equipped = true;
            self.problem = self.redriver.0.carrier.queue.problems().into_iter().next();
        }
        self.advance(hook);
    }

    /// Continues with the hook's next page if the one in hand is done, and requests the page after it.
    fn advance(&mut self, hook: usize) {
        let Some(backlog) = self.backlogs.get_mut(hook) else { return };
        if backlog.advance() {
            self.turns.found(hook);
        } else {
            self.turns.exhausted(hook);
        }
        if backlog.asks() {
            self.asking.push_back(hook);
        }
        self.tell();
    }

    fn tell(&self) {
        (self.observe)(&self.summary, self.backlogs.iter().all(Backlog::is_over));
    }

    async fn work(&mut self) {
        let stopping = Stopping::in_hand();
        loop {
            // Deliveries in progress end by themselves in time; listings in progress are not awaited.
            let is_told = stopping.is_announced();
            if is_told {
                self.stop(Stopped::NoTime);
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.ended(ended).await;
            }
            if self.problem.is_some() {
                return;
            }
            let now = Instant::now();
            let is_late = self.is_late(now);
            if is_late && !(self.asking.is_empty() && self.listing.is_empty()) {
                self.stop(Stopped::NoTime);
            }
            let is_ending = match self.summary.stopped {
                None => false,
                Some(Stopped::Class(_)) => is_told || is_late,
                Some(_) => true,
            };
            if is_ending && self.tasks.len() <= self.listing.len() {
                return;
            }
            self.list_ahead();
            self.write_cursor_at_times().await;
            let wake = self.wake(now);
            let turn = if self.summary.stopped.is_some() { Turn::Nothing } else { self.turns.next(now) };
            match turn {
                Turn::Over(class) => self.stop(Stopped::Class(class)),
                Turn::Of(_) | Turn::Rest(_) if is_late => self.stop(Stopped::NoTime),
                Turn::Rest(until) if self.tasks.is_empty() && self.has_rested_enough(until, now) => {
                    self.stop(Stopped::Resting);
                }
                Turn::Rest(until) => {
                    let is_idle = self.tasks.is_empty();
                    // The order is fixed, so that equal runs proceed equally.
                    tokio::select! {
                        biased;
                        () = sleep_until(until.min(wake)) => {}
                        _ = stopping.announced() => {}
                        Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await,
                        Ok(()) = self.freed.changed() => self.turns.has_room(),
                    }
                    if is_idle {
                        self.rested += now.elapsed();
                    }
                }
                Turn::Of(hook) => self.serve(hook).await,
                Turn::Nothing => tokio::select! {
                    biased;
                    _ = stopping.announced(), if !is_told => {}
                    ended = self.tasks.join_next_with_id() => match ended {
                        Some(ended) => self.ended(ended).await,
                        None => return,
                    },
                    Ok(()) = self.freed.changed() => self.turns.has_room(),
                    () = sleep_until(wake), if wake > now => {}
                },
            }
        }
    }

    /// Returns the time at which the run looks at its listings again: the next one begins to take long, or too
    /// little time is left.
    fn wake(&self, now: Instant) -> Instant {
        let late = self.deadline.checked_sub(RESERVE * 2).unwrap_or(self.deadline);
        let long = self.listing.values().map(|began| *began + PROMPT).filter(|long| *long > now);
        long.chain(Some(late + Duration::from_millis(1))).min().unwrap_or(late)
    }

    /// Returns true if too little time is left to begin any work; a request in progress may still be
    /// answered.
    fn is_late(&self, now: Instant) -> bool {
        self.deadline.saturating_duration_since(now) < RESERVE * 2
    }

    /// Returns true if the run should end instead of resting: the next delivery is due after the run's time,
    /// or the run has rested long enough without a successful delivery. A run by hand may have an hour, and
    /// the person who started it wants to see the problem.
    fn has_rested_enough(&self, until: Instant, now: Instant) -> bool {
        let rests = self.rested + until.saturating_duration_since(now);
        until + RESERVE * 2 > self.deadline || rests > MAX_RESTED
    }

    /// Begins the hook's next delivery.
    async fn serve(&mut self, hook: usize) {
        let next = self.backlogs.get(hook).and_then(Backlog::peek);
        let Some(size) = next.map(|waiting| waiting.entry.size) else { return self.advance(hook) };
        let free = self.redriver.0.room.try_take(size);
        if free.is_none() && self.turns.passes_over(hook, Instant::now()) {
            return;
        }
        let waiting = self.backlogs.get_mut(hook).and_then(Backlog::pop);
        self.advance(hook);
        let Some(waiting) = waiting else { return };
        // A store that lists in an order of its own may list a delivery twice.
        let is_same = |other: &Option<(Timestamp, String)>| {
            other.as_ref().is_some_and(|(_, name)| *name == waiting.entry.name)
        };
        if self.owners.values().any(|(_, other)| is_same(other)) {
            self.summary.found -= 1;
            return;
        }
        let stopping = Stopping::in_hand();
        let held = async {
            match free {
                Some(held) => Some(held),
                None => self.redriver.0.room.take(size).await,
            }
        };
        let held = tokio::select! {
            biased;
            _ = stopping.announced() => None,
            held = held => held,
        };
        let Some(mut held) = held else { return self.wait(waiting.entry.modified, waiting.next()) };
        self.turns.begun(hook);
        let (redriver, options) = (self.redriver.clone(), self.options.clone());
        let pace = Arc::clone(&self.pace);
        let deadline = self.options.whole(self.deadline);
        let (modified, name) = (waiting.entry.modified, waiting.entry.name.clone());
        let task = self.tasks.spawn(in_hand(async move {
            let Waiting { entry, states } = waiting;
            let done = redriver.one(&entry, &states, &options, &pace, &mut held, deadline).await;
            drop(held);
            Ended::Delivery(hook, modified, done)
        }));
        self.owners.insert(task.id(), (hook, Some((modified, name))));
    }

    /// Stops the run: nothing more is begun. The first reason is kept.
    fn stop(&mut self, why: Stopped) {
        self.summary.stopped.get_or_insert(why);
    }

    /// Learns from a delivery's outcome if the store still answers and deletes sent deliveries.
    fn listen(&mut self, done: &Done) {
        match done {
            Done::Store(error, is_undeleted) if error.is_silence() || *is_undeleted => {
                self.falls_silent(error.clone());
            }
            _ => self.silent = 0,
        }
    }

    /// Counts one more failure to answer, and stops the run after [`SILENCE`] of them.
    fn falls_silent(&mut self, error: StoreError) {
        self.silent += 1;
        if self.silent >= SILENCE {
            self.stop(Stopped::Store(error));
        }
    }

    async fn ended(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((id, ended)) => {
                self.owners.remove(&id);
                match ended {
                    Ended::Delivery(hook, at, done) => self.note(hook, at, done),
                    Ended::Page(hook, walk, leaf) => self.listed(hook, Some(*walk), leaf).await,
                }
            }
            // The task panicked: the delivery is where it was, and the page was not listed.
            Err(error) => {
                let cut_off = StoreError::Other("the work on it was cut off".to_owned());
                match self.owners.remove(&error.id()) {
                    Some((hook, Some((at, _)))) => self.note(hook, at, Done::Store(cut_off, false)),
                    Some((hook, None)) => self.listed(hook, None, Err(cut_off)).await,
                    None => {}
                }
            }
        }
    }

    fn note(&mut self, hook: usize, at: Timestamp, done: Done) {
        self.listen(&done);
        let came = came(&done);
        if came == Came::Through {
            self.rested = Duration::ZERO;
        }
        let class = match &done {
            Done::Failed(error, _) | Done::Held(error) => Some(error.class),
            _ => None,
        };
        self.turns.ended(hook, came, class, Instant::now());
        let name = self.backlogs.get(hook).map_or_else(String::new, |backlog| backlog.hook.clone());
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
                self.summary.blame(&name, &"no message can be made from it with the current hooks.toml");
                self.wait(at, None);
            }
            Done::Corrupt => {
                self.summary.corrupt += 1;
                self.left(at);
            }
            Done::Store(error, _) => {
                self.summary.store_errors += 1;
                self.summary.blame(&name, &error);
                self.left(at);
                self.next_at(None);
            }
        }
        self.tell();
    }

    /// Counts a delivery that is left without an attempt.
    fn wait(&mut self, at: Timestamp, next: Option<Timestamp>) {
        self.summary.waiting += 1;
        self.left(at);
        self.next_at(next);
    }

    fn left(&mut self, at: Timestamp) {
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Notes the time of a left delivery's next attempt; `None` if it waits for another run.
    fn next_at(&mut self, next: Option<Timestamp>) {
        self.has_untimed |= next.is_none();
        self.next = [self.next, next].into_iter().flatten().min();
    }

    async fn write_cursor_at_times(&mut self) {
        if self.options.covers().is_some() && self.written.elapsed() >= EVERY {
            self.write_cursor().await;
        }
    }

    /// Writes the hooks' places. A failure costs the next run its place.
    async fn write_cursor(&mut self) {
        self.written = Instant::now();
        let place = |backlog: &Backlog| Some((backlog.hook.clone(), backlog.cursor()?));
        // The next run begins with the hook that has waited longest for its next page.
        let longest = self
            .asking
            .iter()
            .find(|hook| self.backlogs.get(**hook).is_some_and(|backlog| !backlog.is_reached()));
        let first = longest.or(self.asking.front()).and_then(|hook| self.backlogs.get(*hook));
        let first = first.map(|backlog| backlog.hook.clone());
        let cursor = Cursor { hooks: self.backlogs.iter().filter_map(place).collect(), first };
        if cursor == self.cursor {
            return;
        }
        let Inner { carrier, spill, .. } = &*self.redriver.0;
        let (target, soon) = (carrier.target.name(), self.options.soon(self.deadline));
        match cursor.write(spill.store(), target, self.options.shard, soon).await {
            Ok(()) => self.cursor = cursor,
            Err(error) => tracing::warn!(to = target, %error, "cannot write down where the run ended"),
        }
    }

    fn end(mut self) -> Summary {
        if self.gave_way > 0 {
            self.stop(Stopped::Resting);
        }
        for backlog in std::mem::take(&mut self.backlogs) {
            self.summary.more |= !backlog.is_over();
            for waiting in backlog.left() {
                self.wait(waiting.entry.modified, waiting.next());
            }
        }
        let now = self.redriver.0.context.clock.now().unix();
        self.summary.oldest_age_s = self.oldest.map(|at| u64::try_from(now - at.unix()).unwrap_or(0));
        let is_all_early = self.summary.stopped.is_none() && !self.summary.more && !self.has_untimed;
        self.summary.next = self.next.filter(|_| is_all_early).map(Timestamp::rfc3339);
        self.summary
    }
}

/// Gives a task the context of the current work: its credentials and its stop.
fn in_hand<F: Future>(work: F) -> impl Future<Output = F::Output> {
    Lent::in_hand().to(Stopping::in_hand().to(work))
}

fn came(done: &Done) -> Came {
    let of = |end, error: &SendError| Came::of(end, Some(error.class), error.reach, error.retry_after);
    match done {
        Done::Sent | Done::Repeated | Done::Dead => Came::Through,
        Done::Failed(error, _) => of(End::Failed, error),
        Done::Held(error) => of(End::Held, error),
        Done::Early(_) | Done::NoMessage | Done::Passed | Done::Gone | Done::Corrupt | Done::Store(..) => {
            Came::Nothing
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
