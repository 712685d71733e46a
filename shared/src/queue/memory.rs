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
use crate::net::endpoint::Endpoint;
use crate::net::transport::TransportError;
use crate::queue::failure::{Accepted, Failure};

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
    endpoint: Endpoint,
    key: u64,
}

impl Identity for SendConfig {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
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
        Ok(SendConfig { endpoint: endpoint.clone(), key: key.load(Ordering::Relaxed) })
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
                What::Answer(answer) => (vendor.spec().read)(&answer, &[]),
                What::Refused => {
                    let (host, why) = (config.endpoint.host().to_owned(), "refused".to_owned());
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
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::{Clock, Random};
    use crate::env::Env;
    use crate::queue::Class;

    /// Broker that gives its replies from the last to the first.
    struct Scripted(Mutex<Vec<What>>);

    impl Broker for Scripted {
        fn way(&self, _: &Try<'_>) -> Duration {
            Duration::from_millis(5)
        }

        fn take(&self, _: &Try<'_>) -> Reply {
            let what = self.0.lock().unwrap().pop().unwrap();
            Reply { after: Duration::from_millis(5), what }
        }
    }

    fn queue(replies: Vec<What>, limits: QueueLimits) -> MemoryQueue {
        let now = Timestamp::from_unix(1_760_000_000);
        let env = Env::of([("", "")]);
        let context = Context { env, clock: Clock::fixed(now), random: Random::from_fn(|| 50_000_000) };
        let endpoint = Endpoint::parse("https://vendor.test", false).unwrap();
        let broker = Scripted(Mutex::new(replies));
        MemoryQueue::new(Vendor::Tdmq, endpoint, limits, Arc::default(), context, broker)
    }

    fn message(length: usize) -> Message {
        Message {
            id: "1".into(),
            topic: "a/b/c".into(),
            text: "x".repeat(length),
            key: None,
            tag: None,
            properties: Vec::new(),
        }
    }

    fn answer(body: &'static str) -> What {
        What::Answer(Answer { status: 200, body: body.into(), ..Answer::default() })
    }

    const LIMITS: QueueLimits = QueueLimits { most: 64 << 10, scale: 32 };

    #[tokio::test(start_paused = true)]
    async fn the_real_client_tries_again_and_reads_the_answer() {
        let stored = answer(r#"{"Response":{"MessageId":"1:2","RequestId":"r"}}"#);
        let queue = queue(vec![stored, What::Silence, What::Cut, What::Refused], LIMITS);
        let receipt = queue.send(&message(10), Instant::now() + Duration::from_secs(60)).await.unwrap();
        assert_eq!((receipt.message_id.as_str(), receipt.attempts), ("1:2", 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_message_can_be_too_large() {
        let refusal = r#"{"Response":{"Error":{"Code":"FailedOperation.MaxMessageSizeError","Message":"m"},"RequestId":"r"}}"#;
        let queue = queue(vec![answer(refusal), answer(refusal)], LIMITS);
        assert_eq!(queue.takes(&message(2049)).unwrap_err().class, Class::TooLarge);
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = queue.send(&message(2048), deadline).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::TooLarge, 1));
        let error = queue.send(&message(100), deadline).await.unwrap_err();
        assert_eq!(error.class, Class::Config, "so small a message is too large for nobody");
    }

    /// Broker that gives an unreadable answer to the message `a`, and an error code of the API to all others.
    struct Garbling(Arc<AtomicU64>);

    impl Broker for Garbling {
        fn way(&self, _: &Try<'_>) -> Duration {
            Duration::from_millis(1)
        }

        fn take(&self, attempt: &Try<'_>) -> Reply {
            let refusal = r#"{"Response":{"Error":{"Code":"InternalError.IllegalMessage","Message":"m"},"RequestId":"r"}}"#;
            let is_garbled = attempt.message.id == "a";
            self.0.fetch_add(u64::from(is_garbled), Ordering::Relaxed);
            Reply { after: Duration::ZERO, what: answer(if is_garbled { "<html>" } else { refusal }) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_whose_answers_cannot_be_read_ends_whatever_others_are_told() {
        let copies = Arc::new(AtomicU64::new(0));
        let mut queue = queue(Vec::new(), LIMITS);
        if let Some(inner) = Arc::get_mut(&mut queue.0) {
            inner.broker = Box::new(Garbling(Arc::clone(&copies)));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        let of = |id: &str| Message { id: id.into(), ..message(10) };
        let others = async {
            while Instant::now() < deadline {
                let _ = queue.send(&of("b"), deadline).await;
                sleep(Duration::from_millis(3)).await;
            }
        };
        let a = of("a");
        let (sent, ()) = tokio::join!(queue.send(&a, deadline), others);
        let error = sent.unwrap_err();
        assert_eq!((error.class, error.attempts, copies.load(Ordering::Relaxed)), (Class::Config, 2, 2));
        assert!(error.maybe_stored);
    }
}
