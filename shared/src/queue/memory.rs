//! A queue in memory that answers as it is told to: for simulations and tests, never for deliveries.
//!
//! Everything of a vendor's client is real but the network: what a message may be, the attempts and their
//! deadlines, circuits, the clock's offset, and how an answer is read. In place of the network stands a
//! [`Broker`], which is shown each attempt and says what its answer is, byte by byte, or that there is none.

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

/// Who stands in a vendor's place.
pub trait Broker: Send + Sync + 'static {
    /// How long an attempt is on its way there.
    fn way(&self, attempt: &Try<'_>) -> Duration;

    /// Takes the attempt, when it has arrived: what it does with the message, it has done when this
    /// returns.
    fn take(&self, attempt: &Try<'_>) -> Reply;
}

/// An attempt, as a vendor sees it.
#[derive(Clone, Copy, Debug)]
pub struct Try<'m> {
    /// What is sent.
    pub message: &'m Message,
    /// The time that the request is signed with.
    pub signed: Timestamp,
    /// Which of its keys it is signed with.
    pub key: u64,
    /// Which send it belongs to: the attempts of one have one number.
    pub send: u64,
}

/// What the sender of an attempt meets.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How long it is on its way back.
    pub after: Duration,
    /// What it is.
    pub what: What,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub enum What {
    /// An answer.
    Answer(Answer),
    /// No connection: nothing was written.
    Refused,
    /// The connection breaks after writing began.
    Cut,
    /// Nothing, for as long as anybody waits.
    Silence,
}

/// What a message may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a text at most.
    pub most: usize,
    /// A message counts as so many times its bytes: limits are met by small ones.
    pub scale: usize,
}

/// The client of a vendor whose place a [`Broker`] takes. Clones share circuits and the clock's offset.
#[derive(Clone)]
pub struct MemoryQueue(Arc<Inner>);

struct Inner {
    vendor: Vendor,
    limits: Limits,
    endpoint: Endpoint,
    key: Arc<AtomicU64>,
    sends: AtomicU64,
    courier: Courier,
    broker: Box<dyn Broker>,
}

impl MemoryQueue {
    /// A client of the vendor that signs with the key that `key` names now.
    pub fn new(
        vendor: Vendor,
        endpoint: Endpoint,
        limits: Limits,
        key: Arc<AtomicU64>,
        context: Context,
        broker: impl Broker,
    ) -> Self {
        let (courier, broker) = (Courier::new(context), Box::new(broker));
        Self(Arc::new(Inner { vendor, limits, endpoint, key, sends: AtomicU64::new(0), courier, broker }))
    }

    fn check(&self, message: &Message) -> Result<(), Failure> {
        let Inner { vendor, limits: Limits { most, scale }, .. } = &*self.0;
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

struct Config {
    endpoint: Endpoint,
    key: u64,
}

impl Identity for Config {
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
    type Config = Config;

    async fn config(&self, _: bool, _: Instant) -> Result<Config, EnvProblem> {
        let Inner { endpoint, key, .. } = self.inner;
        Ok(Config { endpoint: endpoint.clone(), key: key.load(Ordering::Relaxed) })
    }

    fn size(&self) -> usize {
        self.message.text.len().saturating_mul(self.inner.limits.scale)
    }

    async fn attempt(&self, config: &Config, attempt: Attempt) -> Result<Accepted, Failure> {
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

    /// Gives its replies in their order, and counts the attempts.
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

    fn queue(replies: Vec<What>, limits: Limits) -> MemoryQueue {
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

    const LIMITS: Limits = Limits { most: 64 << 10, scale: 32 };

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

    /// Answers what names `a` so that nobody can read it, and refuses everything else in the API's own words.
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
