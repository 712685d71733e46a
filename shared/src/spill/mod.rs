//! Deliveries that the queue did not take in time: written to an independent store before the sender
//! is answered, sent later under the same id ([`crate::redrive`]).
//!
//! ```text
//! spill/{target}/{hook}/{digest}    waits for the queue          until a receipt
//! dead/{target}/{hook}/{digest}     no queue will take it        until somebody has looked
//! retry/{target}/{hook}/{digest}.…  when it is tried next        as long as spill/… is there
//! claims/{target}/{hook}/{digest}   a body too large to send     as long as the topic keeps messages
//! sent/{target}/{hook}/{digest}     sent already (`dedupe`)      as long as `dedupe` says
//! probe/store                       the store, tried             a day
//! ```
//!
//! The environment's own target is named like its vendor.
//!
//! One object a delivery, created only if there is none of that name: the name is a digest of hook,
//! id and body, so an object that is there already is the same delivery. A claim is written anew by each
//! send of a message that refers to it, so that it outlives that message, and not the first try.

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
pub use record::{Failure, Record, RecordError};
pub(crate) use record::{base64_bytes, rfc3339};
pub use state::State;
pub(crate) use state::is_due;

/// The variable that names the store.
pub(crate) const VARIABLE: &str = "SPILL_URL";

/// Looking up whether a delivery was sent already gets this much at most: sending it twice is allowed,
/// sending it late is not.
const LOOK_UP: Duration = Duration::from_millis(500);

/// Proof that the store confirmed a write.
#[derive(Clone, Copy, Debug)]
pub struct Kept(());

/// Proof that a delivery was sent before: its mark was read.
#[derive(Clone, Copy, Debug)]
pub struct Marked(());

/// The spill store; clones share it.
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
    /// The store that `SPILL_URL` names, if it is set; nothing is connected to yet.
    pub fn from_env(context: &Context) -> Result<Option<Self>, EnvProblem> {
        let Some(url) = context.env.get(VARIABLE) else { return Ok(None) };
        Ok(Some(Self::new(Store::open(VARIABLE, &url, context)?, context)))
    }

    /// Whether the environment names a store, rightly or not.
    pub(crate) fn is_named(env: &Env) -> bool {
        env.get(VARIABLE).is_some()
    }

    /// A spill on this store.
    pub fn new(store: Store, context: &Context) -> Self {
        Self(Arc::new(Inner {
            store,
            context: context.clone(),
            margin: Margin::default(),
            known: Known::default(),
        }))
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Until when the queue may be tried, so that there is time to write here before `deadline`.
    pub fn budget(&self, deadline: Instant) -> Instant {
        self.0.margin.before(deadline)
    }

    /// Opens the connection that the first write will use.
    pub async fn prewarm(&self) {
        self.0.store.prewarm().await;
    }

    /// Writes a delivery; it is safe when this returns.
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

    /// Writes a body that a message refers to, and the encrypted one if it refers to that too, and tells
    /// their addresses. What is there is written again: the store's lifecycle counts from now on.
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

    /// Where that is, or will be, to which a message of the delivery refers.
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

    /// What is known of a delivery that was tried in vain, from the newest of its states.
    pub async fn backoff(&self, states: &[State], deadline: Instant) -> Result<Option<Backoff>, StoreError> {
        let Some(newest) = states.iter().max() else { return Ok(None) };
        let bytes = self.0.store.get(&newest.name, deadline).await?;
        Ok(bytes.and_then(|bytes| Backoff::parse(&bytes)))
    }

    /// Writes down when the delivery of that name is tried next, instead of what `states` say.
    pub async fn postpone(
        &self,
        name: &str,
        backoff: &Backoff,
        states: &[State],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let Some(state) = State::of(name, backoff) else { return Err(StoreError::Name(name.to_owned())) };
        self.0.store.put(&state.name, backoff.to_bytes(), deadline).await?;
        // The newest counts, so one that stays costs an object and nothing else.
        for old in states.iter().filter(|old| old.name != state.name) {
            self.0.store.delete(&old.name, deadline).await?;
        }
        Ok(())
    }

    /// Removes a delivery, and then what is known of its attempts: that is of no use without it.
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

    /// Whether the delivery was sent within the last `window`. What cannot be found out in time counts
    /// as no: a delivery may be sent twice, and never not at all.
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

    /// Marks a delivery as sent; takes the receipt as proof. A failure costs a repeat, nothing else.
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
