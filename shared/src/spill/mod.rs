//! Spilled deliveries, which the queue did not take in time: they are written to an independent store before
//! the sender is answered, and sent later under the same id ([`crate::redrive`]).
//!
//! ```text
//! spill/{target}/{hook}/{digest}    delivery for the queue       until a receipt
//! dead/{target}/{hook}/{digest}     refused by every queue       until an operator handles it
//! retry/{target}/{hook}/{digest}.…  time of the next attempt     as long as spill/… exists
//! claims/{target}/{hook}/{digest}   body too large to send       as long as the topic keeps messages
//! sent/{target}/{hook}/{digest}     mark of a sent delivery      for the time of `dedupe`
//! probe/store                       probe of the store           for a day
//! ```
//!
//! The environment's own target is named like its vendor.
//!
//! Each delivery is one object, created only if no object has its name: the name is a digest of hook, id and
//! body, so an existing object is the same delivery. A claim is written again by each send of a message that
//! refers to it, so that it outlives that message, and not only the first attempt.

mod backoff;
mod margin;
mod name;
mod probe;
mod record;
mod state;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::clock::Timestamp;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::env::{Env, EnvProblem};
use crate::message::Claim;
use crate::queue::{Receipt, Target};
use crate::sabotage::{Safeguard, is_pulled};
use crate::store::{Store, StoreError};
pub use backoff::Backoff;
use margin::Margin;
pub use name::Folder;
pub(crate) use name::digest;
use probe::Known;
pub(crate) use probe::Trial;
pub use probe::{PROBE, StoreProbe};
pub use record::{History, Record, RecordError};
pub(crate) use record::{base64_bytes, rfc3339};
pub use state::State;
pub(crate) use state::is_due;

/// Name of the variable with the store's URL.
pub const VARIABLE: &str = "SPILL_URL";

/// Upper bound on the time to look up a delivery's mark: sending a delivery twice is allowed, sending it late
/// is not.
const LOOK_UP: Duration = Duration::from_millis(500);

/// Proof that the store confirmed a write.
#[derive(Clone, Copy, Debug)]
pub struct Kept(());

/// Proof that a delivery was sent before: its mark was read.
#[derive(Clone, Copy, Debug)]
pub struct Marked(());

/// Spill store, with its margin and its probe; clones share it.
#[derive(Clone, Debug)]
pub struct Spill(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    context: Context,
    margin: Margin,
    known: Known,
}

impl Spill {
    /// Opens the store of `SPILL_URL`, if that is set; no connection is made yet.
    pub fn from_env(context: &Context) -> Result<Option<Self>, EnvProblem> {
        let Some(url) = context.env.get(VARIABLE) else { return Ok(None) };
        Ok(Some(Self::new(Store::open(VARIABLE, &url, context)?, context)))
    }

    /// Returns true if `SPILL_URL` is set, even to an invalid URL.
    pub(crate) fn is_named(env: &Env) -> bool {
        env.get(VARIABLE).is_some()
    }

    /// Creates a spill on this store.
    pub fn new(store: Store, context: &Context) -> Self {
        Self(Arc::new(Inner {
            store,
            context: context.clone(),
            margin: Margin::default(),
            known: Known::default(),
        }))
    }

    /// Returns the underlying store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Returns the time until which the queue may be tried, so that a write to the store can still end before
    /// `deadline`.
    pub fn budget(&self, deadline: Instant) -> Instant {
        self.0.margin.before(deadline)
    }

    /// Opens the connection that the first write will use.
    pub async fn prewarm(&self) {
        self.0.store.prewarm().await;
    }

    /// Writes a delivery, which is durable when this returns.
    pub async fn keep(&self, folder: Folder, record: &Record, deadline: Instant) -> Result<Kept, StoreError> {
        let name = folder.name(&record.target(), &record.delivery);
        let bytes = record.to_bytes();
        if is_pulled(Safeguard::AnswerAfterWrite) {
            let spill = self.clone();
            drop(tokio::spawn(async move { spill.create(&name, bytes, deadline).await }));
            return Ok(Kept(()));
        }
        match self.create(&name, bytes, deadline).await {
            Err(_) if is_pulled(Safeguard::StoreFailureIsFailure) => Ok(Kept(())),
            kept => kept,
        }
    }

    /// Writes the body that a message refers to, and the encrypted body if the message refers to that too.
    /// Returns their addresses. Existing objects are written again: the store's lifecycle counts from now on.
    pub async fn claim(
        &self,
        target: &Target,
        delivery: &Delivery,
        with_original: bool,
        deadline: Instant,
    ) -> Result<Claim, StoreError> {
        if let Some(original) = delivery.original().filter(|_| with_original) {
            self.claim_body(target, &original, deadline).await?;
        }
        self.claim_body(target, delivery, deadline).await?;
        Ok(self.claim_of(target, delivery, with_original))
    }

    /// Returns the addresses of the bodies that a delivery's message refers to; the objects need not exist
    /// yet.
    pub fn claim_of(&self, target: &Target, delivery: &Delivery, with_original: bool) -> Claim {
        let address = |delivery: &Delivery| self.0.store.address(&Folder::Claims.name(target, delivery));
        let original = delivery.original().filter(|_| with_original);
        Claim { body: address(delivery), original: original.as_ref().map(address) }
    }

    async fn claim_body(
        &self,
        target: &Target,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let name = Folder::Claims.name(target, delivery);
        let started = Instant::now();
        let written = if is_pulled(Safeguard::ClaimReplaced) {
            self.0.store.put_new(&name, delivery.body.clone(), deadline).await.map(drop)
        } else {
            self.0.store.put(&name, delivery.body.clone(), deadline).await
        };
        self.0.margin.learn(started.elapsed());
        self.0.known.learn(&written);
        written
    }

    /// Reads the back-off of a delivery from the newest of its states.
    pub async fn backoff(&self, states: &[State], deadline: Instant) -> Result<Option<Backoff>, StoreError> {
        let Some(newest) = states.iter().max() else { return Ok(None) };
        let bytes = self.0.store.get(&newest.name, deadline).await?;
        Ok(bytes.and_then(|bytes| Backoff::parse(&bytes)))
    }

    /// Writes the next attempt's time of the delivery `name`, and removes the objects of `states`.
    pub async fn postpone(
        &self,
        name: &str,
        backoff: &Backoff,
        states: &[State],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let Some(state) = State::of(name, backoff) else { return Err(StoreError::Name(name.to_owned())) };
        self.0.store.put(&state.name, backoff.to_bytes(), deadline).await?;
        // The newest state counts, so an old one that stays costs an object and nothing else.
        for old in states.iter().filter(|old| old.name != state.name) {
            self.0.store.delete(&old.name, deadline).await?;
        }
        Ok(())
    }

    /// Removes a delivery, and then the states of its attempts, which are useless without it.
    pub async fn remove(&self, name: &str, states: &[State], deadline: Instant) -> Result<(), StoreError> {
        self.0.store.delete(name, deadline).await?;
        for state in states {
            self.0.store.delete(&state.name, deadline).await?;
        }
        Ok(())
    }

    async fn create(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<Kept, StoreError> {
        let started = Instant::now();
        let written = self.0.store.put_new(name, bytes, deadline).await;
        self.0.margin.learn(started.elapsed());
        self.0.known.learn(&written);
        written.map(|_| Kept(()))
    }

    /// Returns a proof if the delivery was sent within the last `window`. An answer that does not come in
    /// time counts as no: a delivery may be sent twice, but must not be lost.
    pub async fn was_sent(
        &self,
        target: &Target,
        delivery: &Delivery,
        window: Duration,
        deadline: Instant,
    ) -> Option<Marked> {
        let name = Folder::Sent.name(target, delivery);
        let limit = deadline.min(Instant::now() + LOOK_UP);
        let mark = match timeout_at(limit, self.0.store.get(&name, limit)).await {
            Ok(Ok(mark)) => mark?,
            Ok(Err(error)) => {
                tracing::warn!(hook = delivery.hook, %error, "cannot tell whether it was sent before");
                return None;
            }
            Err(_) => return None,
        };
        let at = Timestamp::parse_rfc3339(std::str::from_utf8(&mark).ok()?)?;
        let age = self.0.context.clock.now().unix_millis().saturating_sub(at.unix_millis());
        (age <= i64::try_from(window.as_millis()).unwrap_or(i64::MAX)).then_some(Marked(()))
    }

    /// Marks a delivery as sent; the receipt is the proof. A failure costs a repeat, nothing else.
    pub async fn mark_sent(&self, target: &Target, delivery: &Delivery, _: &Receipt, deadline: Instant) {
        self.mark(target, delivery, deadline).await;
    }

    pub(crate) async fn mark(&self, target: &Target, delivery: &Delivery, deadline: Instant) {
        let name = Folder::Sent.name(target, delivery);
        let now = self.0.context.clock.now().rfc3339();
        if let Err(error) = self.0.store.put(&name, now.into(), deadline).await {
            tracing::warn!(hook = delivery.hook, delivery = delivery.id, %error, "cannot mark it as sent");
        }
    }
}
