//! Message queues: one trait, one module per vendor, and one classification of every error.

mod breaker;
mod client;
pub mod credentials;
pub mod failure;
mod flow;
pub mod memory;
mod outage;
pub mod probe;
pub mod remoting;
pub mod retry;
pub mod rocketmq;
pub mod spec;
mod target;
pub mod tdmq;
pub mod told;

use std::future::Future;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::env::EnvProblem;
use crate::message::{MAX_TEXT, Message};
pub use client::Client;
use failure::Failure;
pub use spec::Spec;
pub use target::Target;

/// Passes the list of vendors to a macro: name in code, folder, and description. Another vendor is a line
/// here.
macro_rules! vendors {
    ($then:ident!($($arguments:tt)*)) => {
        $then! {
            [
                Tdmq tdmq "TDMQ for Pulsar, Tencent Cloud.",
                Rocketmq rocketmq "DMS for RocketMQ, Open Telekom Cloud and Huawei Cloud.",
            ]
            $($arguments)*
        }
    };
}
use vendors;

macro_rules! declare_vendors {
    ([$($name:ident $folder:ident $about:literal,)+]) => {
        /// Vendor of message queues.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Vendor {
            $(#[doc = $about] $name,)+
        }

        impl Vendor {
            /// All vendors.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// Returns the vendor's description.
            pub fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$name => &$folder::SPEC,)+
                }
            }
        }

        // The common upper bound on a message's text is the largest of the vendors' own bounds.
        const _: () = assert!($($folder::MAX_TEXT <= MAX_TEXT)&&+);
    };
}
vendors!(declare_vendors!());
const _: () = assert!(rocketmq::MAX_TEXT == MAX_TEXT);

impl Vendor {
    /// Returns the name in `hooks.toml`, paths and logs.
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }
}

/// Client that sends messages to a vendor's queues.
pub trait Queue: Clone + Send + Sync + 'static {
    /// Returns the vendor that the client sends to.
    fn vendor(&self) -> Vendor;

    /// Checks the message locally, as [`send`](Self::send) does before it makes a request. Fails with
    /// [`Class::TooLarge`] if the body has to be stored elsewhere; a message that only refers to its body is
    /// never too large for the vendor's own limits.
    fn takes(&self, message: &Message) -> Result<(), SendError>;

    /// Sends one message: signs the request, sends it, and retries by error class within the limits of
    /// `until`. Returns only after the vendor named the stored message, or when there is nothing more to try.
    fn send(
        &self,
        message: &Message,
        until: impl Into<Until> + Send,
    ) -> impl Future<Output = Result<Receipt, SendError>> + Send;

    /// Lists the missing and wrong variables of the environment, for the log at start and for `hookmq check`.
    /// A send with problems fails as [`Class::Config`]; the function still starts.
    fn problems(&self) -> Vec<EnvProblem>;

    /// Opens the connection that the first send will use, without a request. A failure is not an error: the
    /// send will connect again.
    fn prewarm(&self) -> impl Future<Output = ()> + Send;

    /// Returns the number of circuits that are open now.
    fn open(&self) -> Open {
        Open::default()
    }
}

/// Limits of the attempts of one message.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// Time after which no attempt is made, independent of the effort.
    pub deadline: Instant,
    /// Rule for the attempts before the deadline.
    pub effort: Effort,
}

/// Limits for a message that no store takes: it is tried until the deadline.
impl From<Instant> for Until {
    fn from(deadline: Instant) -> Self {
        Self { deadline, effort: Effort::Whole }
    }
}

/// Persistence of a send: its number of attempts, and the circuits that hold it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Up to `QUEUE_ATTEMPTS` attempts (two by default), and none while a circuit is open: a store takes a
    /// message that the queue does not take.
    Brief,
    /// Attempts until the deadline, for a hook without a store. Only the circuit of an unreachable endpoint
    /// holds them back.
    Whole,
    /// Attempts until the deadline, held back by no outage: the store has not taken the message either.
    Last,
    /// Attempts until the deadline. A message that a circuit holds back stays in its store.
    Patient,
}

impl Effort {
    /// Returns true if the circuit of an outage that `why` has opened holds the send back.
    const fn heeds(self, why: &Failure) -> bool {
        match self {
            Self::Brief | Self::Patient => true,
            Self::Whole => why.unreachable,
            Self::Last => false,
        }
    }
}

/// Scope of a failure's cause, and so the kind of circuit that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Messages to the same topic.
    Topic,
    /// Messages that are signed with the same key.
    Key,
    /// Messages that go to the same endpoint.
    Endpoint,
}

impl Reach {
    /// Returns the spelling in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Key => "key",
            Self::Endpoint => "endpoint",
        }
    }
}

/// Numbers of a client's open circuits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Number of open circuits of topics.
    pub topic: usize,
    /// Number of open circuits of keys.
    pub key: usize,
    /// Number of open circuits of endpoints.
    pub endpoint: usize,
}

impl Open {
    /// Returns the number of open circuits of all kinds.
    pub const fn count(self) -> usize {
        self.topic + self.key + self.endpoint
    }

    /// Lists the number of open circuits for each [`Reach`].
    pub const fn by_reach(self) -> [(Reach, usize); 3] {
        [(Reach::Topic, self.topic), (Reach::Key, self.key), (Reach::Endpoint, self.endpoint)]
    }
}

/// Proof that a vendor's answer named a stored message. Only the queue clients make it.
#[derive(Clone, Copy, Debug)]
pub struct StoredProof(());

/// Result of a successful send: the queue has stored the message.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Message id of the vendor, an opaque string.
    pub message_id: String,
    /// Request id of the vendor, which its support asks for.
    pub request_id: Option<String>,
    /// True if the queue has no copy of the message on another machine, although it is set up to make one.
    pub is_uncopied: bool,
    /// Number of attempts, the successful one included.
    pub attempts: u32,
    _stored: StoredProof,
}

/// Kind of a failure. It alone decides on retry, answer and alarm (the table of classes in
/// `docs/delivery-semantics.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Message larger than the queue takes. User action: lower `max_body`, or use the claim check.
    TooLarge,
    /// Message that the vendor refuses although it would take another one. User action: look at the code in
    /// the log.
    Permanent,
    /// Wrong topic, instance, project, region, endpoint or proxy, or a refusal that may well be the same for
    /// every message. User action: correct the configuration.
    Config,
    /// Wrong or locked credentials. User action: correct them; the client stops using them.
    Auth,
    /// Credentials without the permission to send. User action: grant the permission.
    Permission,
    /// Used-up quota, full disk, or account in arrears. User action: raise the quota, or pay.
    Quota,
    /// Token or temporary key that is out of date; retried once with a new one.
    AuthRefresh,
    /// Wrong clock of this machine; retried once with the vendor's time.
    ClockSkew,
    /// Throttling: the vendor got too many requests.
    Throttle,
    /// Fault of the vendor or of the network; the message was probably not stored.
    Transient,
    /// Unknown outcome: the message may be stored. It is sent again, so it can arrive twice.
    Ambiguous,
}

impl Class {
    /// All classes.
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

    /// Returns the spelling in `error_codes.json`, logs and documents.
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

/// Fate of a delivery that the queue did not take, in a function with a spill store (the table of classes in
/// `docs/delivery-semantics.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Stored in `spill/` until it can be sent.
    Wait,
    /// Stored in `dead/` until an operator looks at it: no queue will take it as it is.
    Dead,
    /// Refused to its sender, because it is too large.
    Refuse,
}

impl Class {
    /// Returns the fate of a delivery whose last attempt failed with this class.
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

/// Failed send: the message was not stored, as far as known, when the attempts ended. It reads like its
/// failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}", failure.class.as_str(), failure.detail)]
pub struct SendError {
    /// Last failure, whose class alone decides on the treatment. Its `maybe_stored` counts for all attempts of
    /// the send.
    pub failure: Box<Failure>,
    /// Number of attempts made; 0 if the send ended before the first one.
    pub attempts: u32,
    /// Widest open circuit on the message's way: messages on the same circuit share the failure's cause.
    /// `None` if no other message is known to meet the failure.
    pub reach: Option<Reach>,
}

impl SendError {
    /// Builds the error of a send that ended before its first attempt.
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Failure::new(class, detail).into()
    }
}

/// Error of a send that failed before its first attempt.
impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self { failure: Box::new(failure), attempts: 0, reach: None }
    }
}

impl From<EnvProblem> for SendError {
    fn from(problem: EnvProblem) -> Self {
        Self::new(Class::Config, problem.to_string())
    }
}

impl Deref for SendError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.failure
    }
}

impl DerefMut for SendError {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.failure
    }
}
