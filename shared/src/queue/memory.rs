//! Queue in memory with scripted answers, for simulations and tests, never for deliveries.
//!
//! All parts of a vendor's client are real except the network: limits of a message, attempts and their
//! deadlines, circuits, the clock's offset, and the reading of an answer. A [`Broker`] replaces the network:
//! it sees each attempt and gives the bytes of the answer, or no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::breaker::Fingerprint;
use super::retry::{Attempt, Courier, Identity, Outgoing};
use super::{Open, Queue, Receipt, SendError, Until, Vendor};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::EnvProblem;
use crate::message::Message;
use crate::net::answer::Answer;
use crate::net::endpoint::{Endpoint, Endpoints};
use crate::net::transport::TransportError;
use crate::queue::failure::{Accepted, Failure, Private};

/// Simulated vendor behind a [`MemoryQueue`].
pub trait Broker: Send + Sync + 'static {
    /// Returns the time that an attempt needs to reach the vendor.
    fn way(&self, attempt: &Try<'_>) -> Duration;

    /// Takes an attempt that has arrived. Any effect on the message is complete when this returns.
    fn take(&self, attempt: &Try<'_>) -> Reply;
}

/// Attempt of a send, as the vendor sees it.
#[derive(Clone, Copy, Debug)]
pub struct Try<'m> {
    /// Message that the attempt sends.
    pub message: &'m Message,
    /// Time with which the request is signed.
    pub signed: Timestamp,
    /// Number of the key that signs the request.
    pub key: u64,
    /// Number of the send, which all its attempts share.
    pub send: u64,
}

/// Outcome of an attempt, and the time until the sender meets it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Time from the vendor back to the sender.
    pub after: Duration,
    /// Answer or failure that the sender meets.
    pub what: What,
}

/// End of an attempt, as its sender meets it.
#[derive(Clone, Debug)]
pub enum What {
    /// Answer of the vendor, status and body.
    Answer(Answer),
    /// Failed connection: no byte was written.
    Refused,
    /// Connection that breaks after writing began.
    Cut,
    /// Missing answer, however long the sender waits.
    Silence,
}

/// Size limits of messages.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Upper bound on a text, in bytes.
    pub most: usize,
    /// Factor by which a message counts as larger than it is, so that small messages reach the limits.
    pub scale: usize,
}

/// Client of a vendor that a [`Broker`] simulates. Clones share circuits and the clock's offset.
#[derive(Clone)]
pub struct MemoryQueue(Arc<Inner>);

struct Inner {
    vendor: Vendor,
    limits: QueueLimits,
    endpoint: Endpoint,
    key: Arc<AtomicU64>,
    sends: AtomicU64,
    courier: Courier,
    broker: Box<dyn Broker>,
}

impl MemoryQueue {
    /// Creates a client of the vendor. It signs with the key whose number is in `key` at that time.
    pub fn new(
        vendor: Vendor,
        endpoint: Endpoint,
        limits: QueueLimits,
        key: Arc<AtomicU64>,
        context: Context,
        broker: impl Broker,
    ) -> Self {
        let (courier, broker) = (Courier::new(context), Box::new(broker));
        Self(Arc::new(Inner { vendor, limits, endpoint, key, sends: AtomicU64::new(0), courier, broker }))
    }

    fn check(&self, message: &Message) -> Result<(), Failure> {
        let Inner { vendor, limits: QueueLimits { most, scale }, .. } = &*self.0;
        let most = most / scale.max(&1);
        (vendor.spec().fits)(message, most)
    }
}

impl Queue for MemoryQueue {
    fn vendor(&self) -> Vendor {
        self.0.vendor
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        Ok(self.check(message)?)
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        self.check(message)?;
        let send = self.0.sends.fetch_add(1, Ordering::Relaxed);
        self.0.courier.send(&Sending { inner: &self.0, message, send }, &message.topic, until.into()).await
    }

    fn problems(&self) -> Vec<EnvProblem> {
        self.0.courier.problem().cloned().into_iter().collect()
    }

    fn open(&self) -> Open {
        self.0.courier.open()
    }

    async fn prewarm(&self) {}
}

struct Sending<'a> {
    inner: &'a Inner,
    message: &'a Message,
    send: u64,
}

struct SendConfig {
    endpoints: Endpoints,
    key: u64,
}

impl Identity for SendConfig {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoints.current
    }

    fn endpoints(&mut self) -> &mut Endpoints {
        &mut self.endpoints
    }

    fn key(&self) -> Fingerprint {
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(self.key.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        fingerprint
    }
}

impl Outgoing for Sending<'_> {
    type SendConfig = SendConfig;

    async fn config(&self, _: bool, _: Instant) -> Result<SendConfig, EnvProblem> {
        let Inner { endpoint, key, .. } = self.inner;
        Ok(SendConfig { endpoints: endpoint.clone().into(), key: key.load(Ordering::Relaxed) })
    }

    fn size(&self) -> usize {
        self.message.text.len().saturating_mul(self.inner.limits.scale)
    }

    async fn attempt(&self, config: &SendConfig, attempt: Attempt) -> Result<Accepted, Failure> {
        let Inner { vendor, broker, .. } = self.inner;
        let shown = Try { message: self.message, signed: attempt.now, key: config.key, send: self.send };
        let exchange = async {
            sleep(broker.way(&shown)).await;
            let Reply { after, what } = broker.take(&shown);
            sleep(after).await;
            match what {
                What::Answer(answer) => (vendor.spec().read)(&answer, &Private::default()),
                What::Refused => {
                    let (host, why) = (config.endpoint().host().to_owned(), "refused".to_owned());
                    Err(TransportError::Connect(host, why).into())
                }
                What::Cut => Err(TransportError::Broken("reset".to_owned()).into()),
                What::Silence => std::future::pending().await,
            }
        };
        let timed_out = |_| Err(TransportError::TimedOut.into());
        timeout_at(attempt.deadline, exchange).await.unwrap_or_else(timed_out)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
