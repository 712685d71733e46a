//! Services as data: what the server, the faults and the tools know of each.

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, Topics};
use crate::reply::{Call, Reply};
use crate::store::State;

/// Description of a service.
pub struct Spec {
    /// Name in fault plans and records.
    pub name: &'static str,
    /// Returns true if a request with this method and path is addressed to the service.
    pub(crate) serves: fn(&Method, &str) -> bool,
    pub(crate) handle: fn(&Config, &mut State, &Call<'_>) -> Reply,
    /// Returns the topic and the delivery's id of a request; `None` for a service that stores no messages.
    pub(crate) visible: Option<Visible>,
    pub(crate) error: fn(StatusCode, &str, &str) -> Reply,
    pub(crate) throttled: fn() -> Reply,
    /// Builds a success without a message id.
    pub(crate) no_id: Option<fn(&Value) -> Reply>,
    /// Builds a success whose `ErrorMsg` is set.
    pub(crate) error_msg: Option<fn(&str) -> Reply>,
    /// Builds an error in the form of the API before version 3.
    pub(crate) legacy: Option<fn(&str) -> Reply>,
    /// Errors of the API by the class of failures that each stands for.
    pub errors: &'static [(&'static str, Known)],
    /// Builds the variables with which a client reaches an emulator at this URL as the sample's user.
    pub environment: fn(&str) -> Vec<Variable>,
    /// Names of the variables with the key's id and the key itself, among those of `environment`.
    pub key: Option<[&'static str; 2]>,
    /// Builds the variables of a login that takes the place of the key, if the API has one.
    pub login: Option<fn(&str) -> Vec<Variable>>,
    /// Restricts the service to these key pairs and topics, if it has any.
    pub(crate) restrict: fn(&mut Config, &[KeyPair], &Topics),
    /// Takes credentials and names from the variables that are set.
    pub(crate) configure: fn(&mut Config, &Lookup<'_>),
}

impl Spec {
    /// Returns true if the API has successes with an `ErrorMsg` and errors in an older form.
    pub const fn has_error_msg(&self) -> bool {
        self.error_msg.is_some() && self.legacy.is_some()
    }
}

/// Id of a key, and the key itself.
pub type KeyPair = (String, String);

/// Environment variable and its value.
pub type Variable = (&'static str, String);

/// Function that returns the value of a variable, if it is set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Writes the value of a variable to `field`, if it is set.
pub(crate) fn set(field: &mut String, lookup: &Lookup<'_>, name: &str) {
    if let Some(value) = lookup(name) {
        *field = value;
    }
}

/// Function that returns the topic and the delivery's id of a request.
pub(crate) type Visible = fn(&Value) -> (Option<&str>, Option<String>);

/// Failure that an API is known for.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// Error of the API.
    Error {
        /// The error code.
        code: &'static str,
        /// The HTTP status.
        status: u16,
        /// The message; empty for the code itself.
        message: &'static str,
        /// True if the message may be stored despite the error.
        may_store: bool,
    },
    /// Tokens that are out of date.
    Tokens,
}

impl Known {
    /// Returns code and status of an error after which the message may be stored.
    pub(crate) fn unsettled(self) -> Option<(&'static str, StatusCode)> {
        match self {
            Self::Error { code, status, may_store: true, .. } => {
                Some((code, StatusCode::from_u16(status).ok()?))
            }
            _ => None,
        }
    }
}

/// Builds an error that stores nothing.
pub(crate) const fn refused(code: &'static str, status: u16, message: &'static str) -> Known {
    Known::Error { code, status, message, may_store: false }
}

/// Builds an error after which the message may be stored.
pub(crate) const fn unsettled(code: &'static str, status: u16) -> Known {
    Known::Error { code, status, message: "", may_store: true }
}

macro_rules! services {
    ($($name:ident $spec:path, $about:literal;)+) => {
        /// The service that a request is addressed to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Vendor {
            $(#[doc = $about] $name,)+
        }

        impl Vendor {
            /// All services.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// Returns the service's description.
            pub fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$name => &$spec,)+
                }
            }
        }
    };
}
// The first service that serves a request's path gets the request.
services! {
    Tdmq crate::tdmq::SPEC, "Tencent Cloud TDMQ for Pulsar.";
    Rocketmq crate::dms::SPEC, "Huawei Cloud / OTC DMS for RocketMQ.";
    Iam crate::iam::SPEC, "Huawei Cloud / OTC IAM.";
}

impl Vendor {
    /// Returns the service with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.spec().name == name)
    }

    /// Returns true if the service stores messages.
    pub fn is_queue(self) -> bool {
        self.spec().visible.is_some()
    }
}

/// Builds the variables of all services, for a client that uses several.
pub fn environment(url: &str) -> Vec<Variable> {
    Vendor::ALL.into_iter().flat_map(|vendor| (vendor.spec().environment)(url)).collect()
}
