//! Tests of `memory`.

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
        let refusal =
            r#"{"Response":{"Error":{"Code":"InternalError.IllegalMessage","Message":"m"},"RequestId":"r"}}"#;
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
