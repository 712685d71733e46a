//! A forwarder with a stalling vendor.

use std::time::Duration;

use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::{Env, EnvProblem};
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::Request;
use hookmq_shared::message::Message;
use hookmq_shared::queue::failure::Failure;
use hookmq_shared::queue::{Class, Queue, Receipt, SendError, Until, Vendor};
use hookmq_shared::service::Service as _;
use tokio::time::{Instant, sleep_until};

/// A queue that uses all the time of a send, and stores nothing.
#[derive(Clone)]
struct Stalled;

impl Queue for Stalled {
    fn vendor(&self) -> Vendor {
        Vendor::Tdmq
    }

    fn takes(&self, _: &Message) -> Result<(), SendError> {
        Ok(())
    }

    async fn send(&self, _: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        sleep_until(until.into().deadline).await;
        let failure = Failure { maybe_stored: true, ..Failure::new(Class::Transient, "stalled") };
        Err(SendError { attempts: 1, ..failure.into() })
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}
}

/// Sends a delivery to a hook with this deadline; returns the time until the answer, and its status.
pub(crate) async fn answer(deadline: Duration, spill: Option<&str>) -> (Duration, u16) {
    let token = "a-token-of-the-deadline-tests";
    let hooks = format!(
        "[hooks.h]\nsource = \"bearer\"\nsecrets = [\"plain:{token}\"]\ntopic = \"a/b/c\"\ndeadline = \"{}ms\"\n",
        deadline.as_millis()
    );
    let env = Env::of(spill.map(|url| ("SPILL_URL", url)));
    let config = Config::parse("hooks", &hooks, Reading::new(&env, Samples::Accepted));
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    let gateway = Gateway::new(config, Stalled, context);
    let received = Instant::now();
    let request = Request {
        method: "POST".into(),
        path: "/h".into(),
        raw_query: String::new(),
        headers: [("authorization", format!("Bearer {token}"))].into_iter().collect(),
        body: format!("{deadline:?}").into(),
        request_id: "r".into(),
        received,
        source_ip: None,
        deadline: None,
    };
    let status = gateway.call(request).await.status;
    (received.elapsed(), status)
}
