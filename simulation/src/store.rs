//! The store from the view of one process; each call is also evidence of the program's behaviour.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hookmq_shared::store::memory::{Fault, FaultKind, MemoryStore, Operation};
use hookmq_shared::store::{Entry, Folders, ObjectStore, Page, Put, Store, StoreError, Written};
use tokio::time::Instant;

use crate::hooks::{Content, hook};
use crate::world::{MINUTE, Process, SECOND, StoreMode, World, mixed, short};

/// The store of one process, which observes every call.
struct Seen {
    world: Arc<World>,
    process: Arc<Process>,
}

impl World {
    pub(crate) fn store_of(self: &Arc<Self>, process: &Arc<Process>) -> Store {
        Store::new(Seen { world: Arc::clone(self), process: Arc::clone(process) })
    }

    /// Installs the fault decision of the store, which is the same for all processes.
    pub(crate) fn begin_faults(self: &Arc<Self>) {
        let world = Arc::downgrade(self);
        self.store.set_faults(move |operation, name| {
            world.upgrade().map_or_else(Fault::default, |world| world.fault(operation, name))
        });
    }

    fn fault(&self, operation: Operation, name: &str) -> Fault {
        let now = self.now();
        let mut state = self.state();
        let delay = Duration::from_millis(state.rng.range(1, 15));
        let Some((mode, until)) = state.store_mode else { return Fault::slow(delay) };
        if until <= now {
            state.store_mode = None;
            return Fault::slow(delay);
        }
        let is_write = matches!(operation, Operation::Put | Operation::PutNew);
        let unreachable = StoreError::Unreachable("reset".to_owned());
        let kind = match mode {
            StoreMode::Unreachable => FaultKind::Fails(unreachable),
            StoreMode::Full if is_write => FaultKind::Fails(StoreError::Full("no room".to_owned())),
            StoreMode::Denied => FaultKind::Fails(StoreError::Denied("not for this key".to_owned())),
            StoreMode::Lies if state.rng.happens(700) => FaultKind::Lies(unreachable),
            StoreMode::Late if (is_write || operation == Operation::Delete) && state.rng.happens(700) => {
                FaultKind::Late(Duration::from_millis(state.rng.range(1, 60_000)))
            }
            StoreMode::Slow => {
                state.meet(mode.name());
                return Fault::slow(Duration::from_millis(state.rng.range(50, 6000)));
            }
            StoreMode::Full | StoreMode::Lies | StoreMode::Late => return Fault::slow(delay),
        };
        // A mode counts as met only when a call meets it.
        state.meet(mode.name());
        if matches!(mode, StoreMode::Lies | StoreMode::Late)
            && operation == Operation::PutNew
            && name.starts_with("spill/")
        {
            state.meet("window 6: took effect, and says that it did not");
        }
        Fault { delay, kind }
    }
}

impl Seen {
    /// Makes a call, at which the process may die before or after its effect.
    async fn call<T>(
        &self,
        operation: Operation,
        name: &str,
        call: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let crash = self.world.crashes(&self.process);
        if crash == Some(false) {
            return pending().await;
        }
        self.before(operation, name);
        let done = call.await;
        {
            let now = self.world.now();
            let mut state = self.world.state();
            if self.world.plan.tells.is_some()
                && let Some((number, _)) = state.ledger.named(name.split('.').next().unwrap_or_default())
            {
                let told = done.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
                let what =
                    || format!("process {}: {operation:?} {name}: {told}, crash {crash:?}", self.process.id);
                self.world.tell(number, what);
            }
            state.log(operation as u8, mixed(name), now ^ u64::from(done.is_ok()) << 50);
        }
        if crash.is_some() { pending().await } else { done }
    }

    fn memory(&self) -> &MemoryStore {
        &self.world.store
    }

    /// Records the step that a call stands for, and checks the promises about it.
    fn before(&self, operation: Operation, name: &str) {
        let now = self.world.now();
        let folder = name.split('/').next().unwrap_or_default();
        let mut state = self.world.state();
        let state = &mut *state;
        let digest = name.rsplit('/').next().unwrap_or_default();
        match (operation, folder) {
            (Operation::PutNew, "spill" | "dead") => {
                state.meet(if folder == "spill" { "step spill" } else { "step bury" });
                if folder == "spill"
                    && let Some((number, lane)) = state.ledger.named(name)
                    && let Some(entry) = state.ledger.entry(number)
                {
                    entry.lane(lane).spilled = now;
                }
            }
            (Operation::Put, "claims") => {
                state.meet("step refer");
                if !state.claims.insert(short(digest)) && self.memory().object(name).is_none() {
                    state.meet("claim renewed after expiry");
                }
            }
            (Operation::Put, "sent") => state.meet("step mark"),
            (Operation::Get, "sent") => {
                state.meet("step look up");
                if let Some((number, _)) = state.ledger.named(name)
                    && let Some(entry) = state.ledger.entry(number)
                {
                    let place = usize::from(entry.place);
                    if hook(place).anonymous
                        && Content::of(self.world.plan.seed, number, place).own_id.is_none()
                    {
                        state.broke(format!(
                            "marks are asked for with an id that is not a provider's: {number}"
                        ));
                        self.world.stop();
                    }
                }
            }
            (Operation::Put, "retry") if name.contains("/cursor.") => state.meet("cursor written"),
            (Operation::Put, "retry") => {
                state.meet("step postpone");
                let of = name.split('.').next().unwrap_or_default();
                if let Some((number, lane)) = state.ledger.named(of)
                    && let Some(entry) = state.ledger.entry(number)
                {
                    let (place, is_mistyped) = (usize::from(entry.place), entry.lane(lane).is_mistyped);
                    let tried = entry.lane(lane).tried;
                    if tried < self.process.began() && tried > 0 || tried == 0 {
                        let told = format!("what was not tried is counted as a failure: {number}");
                        state.broke(told);
                        self.world.stop();
                    }
                    let is_corrected = state.hook_trouble[place].saturating_add(10 * MINUTE) < now;
                    if is_mistyped && is_corrected && !hook(place).is_removed {
                        let told = format!(
                            "an old message was given up on, although its hook was corrected: {number}"
                        );
                        state.broke(told);
                        self.world.stop();
                    }
                }
            }
            (Operation::Get, "retry")
                if name.contains("/cursor.") && self.memory().object(name).is_some() =>
            {
                state.meet("cursor used");
            }
            (Operation::Get, "retry") if name.contains("/cursor.") => {}
            (Operation::Get, "retry") if !digest.contains('.') => state.meet("old-form state read"),
            (Operation::Delete, "spill") => {
                state.meet("step delete");
                // Old removals are not needed any more.
                if state.removed.len() > 20_000 {
                    state.removed.clear();
                }
                state.removed.insert(digest.to_owned(), now);
            }
            (Operation::Delete, "retry") => {
                let digest = digest.split('.').next().unwrap_or_default();
                if state.removed.get(digest).is_some_and(|at| at + 5 * SECOND < now) {
                    state.meet("orphan state removed");
                }
            }
            _ => {}
        }
    }
}

impl ObjectStore for Seen {
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        let operation = if rule == Put::New { Operation::PutNew } else { Operation::Put };
        Box::pin(self.call(operation, name, self.memory().put(name, bytes, rule, deadline)))
    }

    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.call(Operation::Get, name, self.memory().get(name, deadline)))
    }

    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(self.call(Operation::Head, name, self.memory().head(name, deadline)))
    }

    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.call(Operation::Delete, name, self.memory().delete(name, deadline)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(self.call(Operation::List, prefix, self.memory().list(prefix, after, limit, deadline)))
    }

    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>> {
        Box::pin(self.call(Operation::Folders, prefix, self.memory().folders(prefix, deadline)))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memory().fmt(f)
    }
}
