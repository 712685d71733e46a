//! A store in memory that fails as it is told to: for simulations and tests, never for deliveries.
//!
//! It keeps the promises of every [`Store`](super::Store) and does what a bucket does besides: rules of
//! a lifecycle delete what is old, versions of what was deleted or replaced are kept for a while, a
//! listing may come in another order than that of the names, and a conditional write may be unknown.
//! Time comes from a [`Clock`], faults from a decision about each call; it has no randomness of its
//! own, so equal calls have equal answers.
//!
//! Clones are the same store: one goes into a [`Store`](super::Store), another one stays with the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::{Entry, Folders, Foreign, ObjectStore, Page, Put, StoreError, Written};
use crate::clock::{Clock, Timestamp};

/// The store; clones share it.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    faults: Mutex<Option<Decide>>,
}

type Decide = Box<dyn FnMut(Operation, &str) -> Fault + Send>;

/// A call, as a [fault's decision](MemoryStore::set_faults) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A write of a new object.
    PutNew,
    /// A write that may replace.
    Put,
    /// A read.
    Get,
    /// A look at size and time.
    Head,
    /// A removal.
    Delete,
    /// A page of a listing; its name is the prefix.
    List,
    /// The folders of a folder; its name is that one.
    Folders,
}

/// What becomes of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// What it takes, before anything else. With more than the caller's deadline has left, it ends at the
    /// deadline as [`StoreError::TimedOut`] and has no effect.
    pub delay: Duration,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing.
    #[default]
    None,
    /// It fails and has no effect: full, denied, out of reach, throttled.
    Fails(StoreError),
    /// It has its effect and is said to have failed.
    Lies(StoreError),
    /// It is said not to have answered in time, and has its effect so much later, by the clock, in front
    /// of the first call that comes after it.
    Late(Duration),
    /// It has no effect and does not end: its caller dies while it waits.
    Hangs,
    /// It has its effect and does not end.
    HangsAfter,
}

/// A rule of a lifecycle: what begins with `prefix` is deleted at that age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How the names begin that it is about.
    pub prefix: String,
    /// Age at which an object goes.
    pub age: Duration,
}

/// The order in which names are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// That of their bytes, as S3 has it.
    #[default]
    Names,
    /// Another one, which is kept: backwards. Only what is on one page is sorted.
    Own,
}

/// An object, or what it was before it was replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it holds.
    pub bytes: Bytes,
    /// When it was written.
    pub modified: Timestamp,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Arc<str>, Object>,
    rules: Vec<Expiry>,
    /// When each object that a rule is about goes, in milliseconds.
    expiring: BTreeSet<(i64, Arc<str>)>,
    /// How long versions are kept, if they are.
    versioning: Option<Duration>,
    versions: BTreeMap<(Arc<str>, u64), Version>,
    /// Until when each version is kept, in milliseconds.
    outdated: BTreeSet<(i64, Arc<str>, u64)>,
    /// Versions made.
    count: u64,
    order: Order,
    is_unconditional: bool,
    /// Effects that are yet to come, by their time in milliseconds.
    late: BTreeMap<(i64, u64), Change>,
    calls: BTreeMap<Operation, u64>,
}

struct Object {
    version: Version,
    expires: Option<i64>,
}

/// A call's effect.
#[derive(Clone)]
enum Change {
    Put(Arc<str>, Bytes, Put),
    Delete(Arc<str>),
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { delay: Duration::ZERO, kind }
    }
}

impl Fault {
    /// Nothing but a delay.
    pub const fn slow(delay: Duration) -> Self {
        Self { delay, kind: FaultKind::None }
    }

    /// No room.
    pub fn full() -> Self {
        FaultKind::Fails(StoreError::Full("no room".to_owned())).into()
    }

    /// No permission.
    pub fn denied() -> Self {
        FaultKind::Fails(StoreError::Denied("not for this key".to_owned())).into()
    }
}

impl MemoryStore {
    /// An empty store without faults, rules and versions.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::default(), faults: Mutex::default() }))
    }

    /// Asks `decide` about every call from now on, with the name, the prefix or the folder that it is
    /// about.
    pub fn set_faults(&self, decide: impl FnMut(Operation, &str) -> Fault + Send + 'static) {
        *self.faults() = Some(Box::new(decide));
    }

    /// Ends the faults.
    pub fn clear_faults(&self) {
        *self.faults() = None;
    }

    /// Sets the rules of the lifecycle, for what is there and for what comes.
    pub fn set_rules(&self, rules: Vec<Expiry>) {
        let mut state = self.state();
        state.rules = rules;
        state.expire_anew();
    }

    /// Keeps what is replaced or deleted for so long; `None`, as in the beginning: not at all. What is
    /// kept already stays as long as was said then.
    pub fn set_versioning(&self, kept: Option<Duration>) {
        self.state().versioning = kept;
    }

    /// Sets the order of listings. A listing that goes on meanwhile has lost its place.
    pub fn set_order(&self, order: Order) {
        self.state().order = order;
    }

    /// Whether a write can be on the condition that the object is new, as it can in the beginning. If
    /// not, it replaces what is there.
    pub fn set_conditions(&self, are_known: bool) {
        self.state().is_unconditional = !are_known;
    }

    /// An object as it is now, behind the back of every fault.
    pub fn object(&self, name: &str) -> Option<Version> {
        self.state().objects.get(name).map(|object| object.version.clone())
    }

    /// The names that begin with `prefix`, in their order, behind the back of every fault.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        state.begin_with(prefix).map(|(name, _)| name.to_string()).collect()
    }

    /// Number of objects whose names begin with `prefix`, behind the back of every fault.
    pub fn count(&self, prefix: &str) -> usize {
        self.state().begin_with(prefix).count()
    }

    /// What an object was before, oldest first.
    pub fn versions(&self, name: &str) -> Vec<Version> {
        let (name, state) = (Arc::<str>::from(name), self.state());
        let all = state.versions.range((Arc::clone(&name), 0)..=(name, u64::MAX));
        all.map(|(_, version)| version.clone()).collect()
    }

    /// Writes an object behind the back of every fault.
    pub fn insert(&self, name: &str, bytes: Bytes) {
        let mut state = self.state();
        state.apply(Change::Put(name.into(), bytes, Put::Replace), self.0.clock.now());
    }

    /// Removes an object behind the back of every fault: somebody did it by hand.
    pub fn remove(&self, name: &str) {
        self.state().apply(Change::Delete(name.into()), self.0.clock.now());
    }

    /// Calls of that kind so far, those that failed included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state().calls.get(&operation).copied().unwrap_or_default()
    }

    /// A state that time has passed in.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass(now);
        state
    }

    fn faults(&self) -> MutexGuard<'_, Option<Decide>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call of it, with whatever goes wrong.
    async fn call<T>(
        &self,
        operation: Operation,
        name: &str,
        deadline: Instant,
        change: Option<Change>,
        effect: impl FnOnce(&mut State, Timestamp) -> T + Send,
    ) -> Result<T, StoreError> {
        *self.state().calls.entry(operation).or_default() += 1;
        let fault = self.faults().as_mut().map(|decide| decide(operation, name)).unwrap_or_default();
        let now = Instant::now();
        if !fault.delay.is_zero() {
            sleep_until(deadline.min(now + fault.delay)).await;
        }
        if now + fault.delay >= deadline {
            return Err(StoreError::TimedOut);
        }
        let done = || effect(&mut self.state(), self.0.clock.now());
        match fault.kind {
            FaultKind::None => Ok(done()),
            FaultKind::Fails(error) => Err(error),
            FaultKind::Lies(error) => {
                done();
                Err(error)
            }
            FaultKind::Late(after) => {
                if let Some(change) = change {
                    let at = self.0.clock.now().unix_millis().saturating_add(millis(after));
                    let mut state = self.state();
                    let number = state.next_number();
                    state.late.insert((at, number), change);
                }
                sleep_until(deadline).await;
                Err(StoreError::TimedOut)
            }
            FaultKind::Hangs => pending().await,
            FaultKind::HangsAfter => {
                done();
                pending().await
            }
        }
    }
}

impl ObjectStore for MemoryStore {
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        let operation = if rule == Put::New { Operation::PutNew } else { Operation::Put };
        let change = Change::Put(name.into(), bytes, rule);
        let late = Some(change.clone());
        Box::pin(self.call(operation, name, deadline, late, move |state, now| state.apply(change, now)))
    }

    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.call(Operation::Get, name, deadline, None, move |state, _| {
            state.objects.get(name).map(|object| object.version.bytes.clone())
        }))
    }

    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(self.call(Operation::Head, name, deadline, None, move |state, _| {
            state.objects.get(name).map(|object| object.entry(name))
        }))
    }

    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        let change = Change::Delete(name.into());
        let late = Some(change.clone());
        Box::pin(self.call(Operation::Delete, name, deadline, late, move |state, now| {
            state.apply(change, now);
        }))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(
            self.call(Operation::List, prefix, deadline, None, move |state, _| {
                state.page(prefix, after, limit)
            }),
        )
    }

    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>> {
        Box::pin(self.call(Operation::Folders, prefix, deadline, None, move |state, _| {
            // Nobody else can write into it.
            Folders { names: state.folders(prefix), foreign: Foreign::default() }
        }))
    }
}

/// `memory://store`.
impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://store")
    }
}

impl Object {
    fn entry(&self, name: &str) -> Entry {
        let size = self.version.bytes.len() as u64;
        Entry { name: name.to_owned(), size, modified: self.version.modified }
    }
}

impl State {
    /// Does what has become due, in the order in which it did.
    fn pass(&mut self, now: Timestamp) {
        let due = now.unix_millis();
        loop {
            let expires = self.expiring.first().map(|(at, _)| *at).filter(|at| *at <= due);
            let late = self.late.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= due);
            if expires.is_none() && late.is_none() {
                break;
            }
            // An effect that comes as late as a rule finds the object still there.
            if late.is_some_and(|late| expires.is_none_or(|expires| late <= expires)) {
                let Some(((at, _), change)) = self.late.pop_first() else { break };
                self.apply(change, Timestamp::from_unix_millis(at));
            } else {
                let Some((at, name)) = self.expiring.pop_first() else { break };
                self.apply(Change::Delete(name), Timestamp::from_unix_millis(at));
            }
        }
        while self.outdated.first().is_some_and(|(at, ..)| *at <= due) {
            let Some((_, name, number)) = self.outdated.pop_first() else { break };
            self.versions.remove(&(name, number));
        }
    }

    fn apply(&mut self, change: Change, now: Timestamp) -> Written {
        match change {
            Change::Put(name, _, Put::New) if !self.is_unconditional && self.objects.contains_key(&name) => {
                return Written::Existed;
            }
            Change::Put(name, bytes, _) => {
                self.take(&name, now);
                let version = Version { bytes, modified: now };
                let expires = self.expires(&name, now);
                if let Some(at) = expires {
                    self.expiring.insert((at, Arc::clone(&name)));
                }
                self.objects.insert(name, Object { version, expires });
            }
            Change::Delete(name) => self.take(&name, now),
        }
        Written::Created
    }

    /// Removes an object, and keeps what it was if versions are kept.
    fn take(&mut self, name: &Arc<str>, now: Timestamp) {
        let Some(Object { version, expires }) = self.objects.remove(name) else { return };
        if let Some(at) = expires {
            self.expiring.remove(&(at, Arc::clone(name)));
        }
        if let Some(kept) = self.versioning {
            let number = self.next_number();
            let until = now.unix_millis().saturating_add(millis(kept));
            self.outdated.insert((until, Arc::clone(name), number));
            self.versions.insert((Arc::clone(name), number), version);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn expires(&self, name: &str, modified: Timestamp) -> Option<i64> {
        let rules = self.rules.iter().filter(|rule| name.starts_with(&rule.prefix));
        rules.map(|rule| modified.unix_millis().saturating_add(millis(rule.age))).min()
    }

    fn expire_anew(&mut self) {
        let mut objects = std::mem::take(&mut self.objects);
        self.expiring.clear();
        for (name, object) in &mut objects {
            object.expires = self.expires(name, object.version.modified);
            self.expiring.extend(object.expires.map(|at| (at, Arc::clone(name))));
        }
        self.objects = objects;
    }

    fn begin_with(&self, prefix: &str) -> impl Iterator<Item = (&Arc<str>, &Object)> {
        self.objects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        match self.order {
            Order::Names => {
                let from = after.filter(|after| *after >= prefix);
                let from = from.map_or(Bound::Included(prefix), Bound::Excluded);
                let found = self.objects.range::<str, _>((from, Bound::Unbounded));
                page(found.take_while(|(name, _)| name.starts_with(prefix)), limit)
            }
            Order::Own => {
                // Behind the last character that a name may have, and before none that begins like this.
                let end = format!("{prefix}\u{7f}");
                let to = after.unwrap_or(&end);
                if to <= prefix {
                    return Page::default();
                }
                let found = self.objects.range::<str, _>((Bound::Included(prefix), Bound::Excluded(to)));
                let mut page = page(found.rev(), limit);
                page.entries.reverse();
                page
            }
        }
    }

    fn folders(&self, prefix: &str) -> Vec<String> {
        let (mut folders, mut from) = (Vec::new(), prefix.to_owned());
        loop {
            let found = self.objects.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
            let folder = found
                .map_while(|(name, _)| name.strip_prefix(prefix))
                .find_map(|rest| rest.split_once('/').map(|(folder, _)| folder));
            let Some(folder) = folder else { return folders };
            // The character that follows the slash: behind everything in that folder.
            from = format!("{prefix}{folder}0");
            folders.push(folder.to_owned());
        }
    }
}

/// The first `limit` of them; where to go on is after the last.
fn page<'s>(mut found: impl Iterator<Item = (&'s Arc<str>, &'s Object)>, limit: usize) -> Page {
    let entries: Vec<_> = found.by_ref().take(limit).map(|(name, object)| object.entry(name)).collect();
    let last = entries.last().map(|entry| entry.name.clone());
    Page { entries, next: last.filter(|_| found.next().is_some()), foreign: Foreign::default() }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
