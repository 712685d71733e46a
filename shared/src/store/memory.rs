//! Store in memory with injected faults, for simulations and tests, never for deliveries.
//!
//! It keeps the promises of every [`Store`](super::Store) and behaves like a bucket in other ways too:
//! lifecycle rules delete old objects, deleted or replaced objects are kept as versions for a while, a
//! listing may have another order than that of the names, and conditional writes may be unsupported. Time
//! comes from a [`Clock`], faults from a decision about each call. The store has no randomness of its own, so
//! equal calls have equal answers.
//!
//! Clones are handles of the same store: one goes into a [`Store`](super::Store), another one stays with the
//! test.

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

/// Handle of a store in memory; clones share the store.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    faults: Mutex<Option<Decide>>,
}

type Decide = Box<dyn FnMut(Operation, &str) -> Fault + Send>;

/// Kind of a call, as a [fault's decision](MemoryStore::set_faults) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A write of a new object.
    PutNew,
    /// A write that may replace an object.
    Put,
    /// A read of an object's bytes.
    Get,
    /// A look at an object's size and time.
    Head,
    /// A removal of an object.
    Delete,
    /// A page of a listing; its name is the prefix.
    List,
    /// A listing of the folders in a folder; its name is the outer folder.
    Folders,
}

/// Injected behaviour of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Delay before the effect. If the caller's deadline comes first, the call ends at the deadline as
    /// [`StoreError::TimedOut`] and has no effect.
    pub delay: Duration,
    /// Failure after the delay.
    pub kind: FaultKind,
}

/// Ways in which a call can fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    /// Success: the call has its usual effect.
    #[default]
    None,
    /// Error without an effect: the store is full, denies access, is unreachable or throttles.
    Fails(StoreError),
    /// Error although the call takes effect.
    Lies(StoreError),
    /// Time-out at the call's deadline. The call takes effect after this time by the clock, before the first
    /// later call.
    Late(Duration),
    /// Call without an end and without an effect: its caller dies while it waits.
    Hangs,
    /// Call without an end that takes effect.
    HangsAfter,
}

/// Lifecycle rule: deletes objects at a certain age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Prefix of the names that the rule applies to.
    pub prefix: String,
    /// Age at which an object is deleted.
    pub age: Duration,
}

/// Order in which names are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Order of the names' bytes, as in S3.
    #[default]
    Names,
    /// Order of the names' bytes, with an empty page before each page: a bucket lists one for many names that
    /// are not objects.
    Gaps,
    /// A fixed order of the store's own: backwards. Only the entries of one page are sorted.
    Own,
}

/// Content of an object, current or from before it was replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Bytes of the object.
    pub bytes: Bytes,
    /// Time of the write.
    pub modified: Timestamp,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Arc<str>, Object>,
    rules: Vec<Expiry>,
    /// Expiry times of objects that a rule applies to, in milliseconds.
    expiring: BTreeSet<(i64, Arc<str>)>,
    /// Time for which versions are kept; `None` keeps none.
    versioning: Option<Duration>,
    versions: BTreeMap<(Arc<str>, u64), Version>,
    /// End of each version's keeping, in milliseconds.
    outdated: BTreeSet<(i64, Arc<str>, u64)>,
    /// Sequence number of the last version or late change.
    count: u64,
    order: Order,
    is_unconditional: bool,
    /// Changes that take effect later, by their time in milliseconds.
    late: BTreeMap<(i64, u64), Change>,
    calls: BTreeMap<Operation, u64>,
}

struct Object {
    version: Version,
    expires: Option<i64>,
}

/// Effect of a call on the store.
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
    /// Builds a fault that is a delay only.
    pub const fn slow(delay: Duration) -> Self {
        Self { delay, kind: FaultKind::None }
    }

    /// Builds the failure of a store without room.
    pub fn full() -> Self {
        FaultKind::Fails(StoreError::Full("no room".to_owned())).into()
    }

    /// Builds the failure of a call without permission.
    pub fn denied() -> Self {
        FaultKind::Fails(StoreError::Denied("not for this key".to_owned())).into()
    }
}

impl MemoryStore {
    /// Creates an empty store without faults, rules and versions.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::default(), faults: Mutex::default() }))
    }

    /// Asks `decide` about every call from now on, with the call's name, prefix or folder.
    pub fn set_faults(&self, decide: impl FnMut(Operation, &str) -> Fault + Send + 'static) {
        *self.faults() = Some(Box::new(decide));
    }

    /// Ends the faults.
    pub fn clear_faults(&self) {
        *self.faults() = None;
    }

    /// Sets the lifecycle rules, for existing and future objects.
    pub fn set_rules(&self, rules: Vec<Expiry>) {
        let mut state = self.state();
        state.rules = rules;
        state.expire_anew();
    }

    /// Keeps replaced and deleted objects for this time; `None`, the initial setting, keeps none. Versions
    /// that exist already keep their earlier time.
    pub fn set_versioning(&self, kept: Option<Duration>) {
        self.state().versioning = kept;
    }

    /// Sets the order of listings. A listing in progress loses its place.
    pub fn set_order(&self, order: Order) {
        self.state().order = order;
    }

    /// Sets the support of conditional writes, which is on at first. Without it, a write of a new object
    /// replaces an existing one.
    pub fn set_conditions(&self, are_known: bool) {
        self.state().is_unconditional = !are_known;
    }

    /// Returns the current object, bypassing the faults.
    pub fn object(&self, name: &str) -> Option<Version> {
        self.state().objects.get(name).map(|object| object.version.clone())
    }

    /// Returns the names that begin with `prefix`, in order, bypassing the faults.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        state.begin_with(prefix).map(|(name, _)| name.to_string()).collect()
    }

    /// Returns the number of objects whose names begin with `prefix`, bypassing the faults.
    pub fn count(&self, prefix: &str) -> usize {
        self.state().begin_with(prefix).count()
    }

    /// Returns the earlier versions of an object, oldest first.
    pub fn versions(&self, name: &str) -> Vec<Version> {
        let (name, state) = (Arc::<str>::from(name), self.state());
        let all = state.versions.range((Arc::clone(&name), 0)..=(name, u64::MAX));
        all.map(|(_, version)| version.clone()).collect()
    }

    /// Writes an object, bypassing the faults.
    pub fn insert(&self, name: &str, bytes: Bytes) {
        let mut state = self.state();
        state.apply(Change::Put(name.into(), bytes, Put::Replace), self.0.clock.now());
    }

    /// Removes an object, bypassing the faults, like a person by hand.
    pub fn remove(&self, name: &str) {
        self.state().apply(Change::Delete(name.into()), self.0.clock.now());
    }

    /// Returns the number of calls of that kind so far, failed calls included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state().calls.get(&operation).copied().unwrap_or_default()
    }

    /// Locks the state, after applying everything that is due by now.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass(now);
        state
    }

    fn faults(&self) -> MutexGuard<'_, Option<Decide>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call with its injected fault.
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
            // Only this crate writes into the store, so foreign entries cannot occur.
            Folders { names: state.folders(prefix), foreign: Foreign::default() }
        }))
    }
}

/// Constant URL `memory://store`.
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
    /// Applies due changes and expiries, in the order of their times.
    fn pass(&mut self, now: Timestamp) {
        let due = now.unix_millis();
        loop {
            let expires = self.expiring.first().map(|(at, _)| *at).filter(|at| *at <= due);
            let late = self.late.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= due);
            if expires.is_none() && late.is_none() {
                break;
            }
            // A late change that is due at the same time as a rule comes first, and finds the object.
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

    /// Removes an object, and keeps its content if versions are kept.
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
            Order::Names => self.page_in_order(prefix, after, limit),
            Order::Gaps => match after.and_then(|after| after.strip_prefix('~')) {
                Some(after) => self.page_in_order(prefix, Some(after), limit),
                None => Page { next: Some(format!("~{}", after.unwrap_or_default())), ..Page::default() },
            },
            Order::Own => {
                // The end lies behind every name that begins with the prefix: it has a character that no name
                // has.
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

    fn page_in_order(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let from = after.filter(|after| *after >= prefix);
        let from = from.map_or(Bound::Included(prefix), Bound::Excluded);
        let found = self.objects.range::<str, _>((from, Bound::Unbounded));
        page(found.take_while(|(name, _)| name.starts_with(prefix)), limit)
    }

    fn folders(&self, prefix: &str) -> Vec<String> {
        let (mut folders, mut from) = (Vec::new(), prefix.to_owned());
        loop {
            let found = self.objects.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
            let folder = found
                .map_while(|(name, _)| name.strip_prefix(prefix))
                .find_map(|rest| rest.split_once('/').map(|(folder, _)| folder));
            let Some(folder) = folder else { return folders };
            // The character after the slash leads behind all names in that folder.
            from = format!("{prefix}{folder}0");
            folders.push(folder.to_owned());
        }
    }
}

/// Builds a page of the first `limit` objects; the next page follows the last of them.
fn page<'s>(mut found: impl Iterator<Item = (&'s Arc<str>, &'s Object)>, limit: usize) -> Page {
    let entries: Vec<_> = found.by_ref().take(limit).map(|(name, object)| object.entry(name)).collect();
    let last = entries.last().map(|entry| entry.name.clone());
    Page { entries, next: last.filter(|_| found.next().is_some()), foreign: Foreign::default() }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
