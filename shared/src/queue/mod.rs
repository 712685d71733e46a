//! Queues: one trait, one module a vendor, one classification of everything that can go wrong.

mod breaker;
mod client;
pub mod credentials;
pub mod failure;
mod flow;
pub mod memory;
mod outage;
pub mod probe;
pub mod retry;
pub mod rocketmq;
pub mod spec;
mod target;
pub mod tdmq;
pub mod told;

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::env::EnvProblem;
use crate::message::{MAX_TEXT, Message};
pub use client::Client;
pub use spec::Spec;
pub use target::Target;

// What no message is larger than, some vendor takes, and none takes more.
const _: () = assert!(tdmq::MAX_TEXT <= MAX_TEXT && rocketmq::MAX_TEXT == MAX_TEXT);

/// A vendor whose queues messages are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// TDMQ for Pulsar, Tencent Cloud.
    Tdmq,
    /// DMS for RocketMQ, Open Telekom Cloud and Huawei Cloud.
    Rocketmq,
}

impl Vendor {
    /// All vendors.
    pub const ALL: [Self; 2] = [Self::Tdmq, Self::Rocketmq];

    /// Returns the vendor's description.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::Tdmq => &tdmq::SPEC,
            Self::Rocketmq => &rocketmq::SPEC,
        }
    }

    /// Returns the name in `hooks.toml`, paths and logs.
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }
}

/// A queue that messages can be sent to.
pub trait Queue: Clone + Send + Sync + 'static {
    /// Whose it is.
    fn vendor(&self) -> Vendor;

    /// Whether the queue may take the message: what [`send`](Self::send) looks at first, without asking
    /// anybody. [`Class::TooLarge`] where the message has to be another one; a message that only refers
    /// to its body never is too large for the vendor's own limits.
    fn takes(&self, message: &Message) -> Result<(), SendError>;

    /// Sends one message: signs, sends, and retries by error class as long as `until` says. Returns only
    /// when the vendor named the stored message, or when there is nothing more to try.
    fn send(
        &self,
        message: &Message,
        until: impl Into<Until> + Send,
    ) -> impl Future<Output = Result<Receipt, SendError>> + Send;

    /// What is missing or wrong in the environment, for the log at start and for `hookmq check`.
    /// A send with problems fails as [`Class::Config`]; the function still starts.
    fn problems(&self) -> Vec<EnvProblem>;

    /// Opens the connection that the first send will use; no request is made. Failure is no error:
    /// the send will connect again.
    fn prewarm(&self) -> impl Future<Output = ()> + Send;

    /// How many circuits are open now.
    fn open(&self) -> Open {
        Open::default()
    }
}

/// How long one message is tried.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// When to give up, whatever the effort.
    pub deadline: Instant,
    /// How much is tried before that.
    pub effort: Effort,
}

/// A message that nobody else takes: tried to the deadline.
impl From<Instant> for Until {
    fn from(deadline: Instant) -> Self {
        Self { deadline, effort: Effort::Whole }
    }
}

/// How much is tried for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Two attempts, and none where a circuit is open: a store takes what the queue does not.
    Brief,
    /// To the deadline; an outage in which the endpoint answers holds nothing back, because there is no store.
    Whole,
    /// To the deadline, whatever outage there is: the store has not taken it either.
    Last,
    /// To the deadline; what a circuit holds back stays where it is stored.
    Patient,
}

impl Effort {
    /// Whether a send is held back by the circuit of an outage that `why` has opened.
    const fn heeds(self, why: &failure::Failure) -> bool {
        match self {
            Self::Brief | Self::Patient => true,
            Self::Whole => why.unreachable,
            Self::Last => false,
        }
    }
}

/// How far the cause of a failure reaches: which circuit is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Messages to the same topic.
    Topic,
    /// Whatever the same key signs.
    Key,
    /// Whatever goes to the same endpoint.
    Endpoint,
}

impl Reach {
    /// As logs and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Key => "key",
            Self::Endpoint => "endpoint",
        }
    }
}

/// How many circuits of a client are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Of topics.
    pub topic: usize,
    /// Of keys.
    pub key: usize,
    /// Of endpoints.
    pub endpoint: usize,
}

impl Open {
    /// Returns the number of all of them.
    pub const fn count(self) -> usize {
        self.topic + self.key + self.endpoint
    }

    /// By how far they reach.
    pub const fn by_reach(self) -> [(Reach, usize); 3] {
        [(Reach::Topic, self.topic), (Reach::Key, self.key), (Reach::Endpoint, self.endpoint)]
    }
}

/// Proof that a vendor's answer named a stored message; made only by the queue clients.
#[derive(Clone, Copy, Debug)]
pub struct Stored(());

/// The message is stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The vendor's message id: an opaque string.
    pub message_id: String,
    /// The vendor's request id, which its support asks for.
    pub request_id: Option<String>,
    /// Attempts made, this one included.
    pub attempts: u32,
    _stored: Stored,
}

/// What kind of failure it is. Retry, answer and alarm follow from it and from nothing else
/// (contract 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Larger than the queue takes. User action: lower `max_body`, or use the claim check.
    TooLarge,
    /// The vendor refuses this message, and would take another one. User action: look at the code in
    /// the log.
    Permanent,
    /// Topic, instance, project, region, endpoint or something on the way is wrong, or what the vendor
    /// refuses may well be the same in every message. User action: correct the configuration.
    Config,
    /// The credentials are wrong or locked. User action: correct them; the client stops using them.
    Auth,
    /// The credentials may not do this. User action: grant the permission.
    Permission,
    /// A quota is used up, a disk is full, or the account is in arrears. User action: raise it, or pay.
    Quota,
    /// The token or temporary key is out of date; retried once with a new one.
    AuthRefresh,
    /// Our clock is off; retried once with the vendor's time.
    ClockSkew,
    /// Too many requests.
    Throttle,
    /// A fault on the vendor's side or on the way; the message was probably not stored.
    Transient,
    /// Nobody knows whether the message was stored: sent again, so it can arrive twice.
    Ambiguous,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TooLarge,
        Self::Permanent,
        Self::Config,
        Self::Auth,
        Self::Permission,
        Self::Quota,
        Self::AuthRefresh,
        Self::ClockSkew,
        Self::Throttle,
        Self::Transient,
        Self::Ambiguous,
    ];

    /// As `error_codes.json`, logs and documents spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Permanent => "permanent",
            Self::Config => "config",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Quota => "quota",
            Self::AuthRefresh => "auth_refresh",
            Self::ClockSkew => "clock_skew",
            Self::Throttle => "throttle",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// What becomes of a delivery that the queue did not take, where there is a spill store (contract 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It waits in `spill/` until it can be sent.
    Wait,
    /// It lies in `dead/` until somebody looks at it: no queue will take it as it is.
    Dead,
    /// Its sender has to know: it is too large.
    Refuse,
}

impl Class {
    /// What becomes of a delivery whose last attempt failed so.
    pub const fn rest(self) -> Rest {
        match self {
            Self::TooLarge => Rest::Refuse,
            Self::Permanent => Rest::Dead,
            Self::Config
            | Self::Auth
            | Self::Permission
            | Self::Quota
            | Self::AuthRefresh
            | Self::ClockSkew
            | Self::Throttle
            | Self::Transient
            | Self::Ambiguous => Rest::Wait,
        }
    }
}

/// A message that could not be stored in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {detail}", class.as_str())]
pub struct SendError {
    /// What decides everything.
    pub class: Class,
    /// The vendor's error code, if it gave one.
    pub code: Option<String>,
    /// What happened, for the log: never a secret, never the message.
    pub detail: String,
    /// The vendor's request id.
    pub request_id: Option<String>,
    /// How long the vendor asked us to wait.
    pub retry_after: Option<Duration>,
    /// Attempts that reached the network.
    pub attempts: u32,
    /// Whether any attempt may have been stored all the same.
    pub maybe_stored: bool,
    /// The widest circuit on the message's way that is open now: what shares the failure's cause. `None` if no
    /// other message is known to meet it.
    pub reach: Option<Reach>,
}

impl SendError {
    /// A failure of ours, before or beside the sending: nothing reached the queue, and the sender is
    /// asked to come again.
    pub(crate) fn ours(detail: impl Into<String>) -> Self {
        Self {
            class: Class::Transient,
            code: None,
            detail: detail.into(),
            request_id: None,
            retry_after: None,
            attempts: 0,
            maybe_stored: false,
            reach: None,
        }
    }
}
