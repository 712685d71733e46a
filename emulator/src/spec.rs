//! Services as data: what the server, the faults and the tools know of each.

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, sample};
use crate::reply::{Call, Reply};
use crate::store::State;
use crate::{dms, iam, tdmq};

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
    pub environment: fn(&str) -> Vec<(&'static str, String)>,
}

impl Spec {
    /// Returns true if the API has successes with an `ErrorMsg` and errors in an older form.
    pub const fn has_error_msg(&self) -> bool {
        self.error_msg.is_some() && self.legacy.is_some()
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

/// Builds an error that stores nothing.
pub(crate) const fn refused(code: &'static str, status: u16, message: &'static str) -> Known {
    Known::Error { code, status, message, may_store: false }
}

/// Builds an error after which the message may be stored.
pub(crate) const fn unsettled(code: &'static str, status: u16) -> Known {
    Known::Error { code, status, message: "", may_store: true }
}

static TDMQ: Spec = Spec {
    name: "tdmq",
    serves: |method, path| path == "/" && method != Method::GET,
    handle: tdmq::handle,
    visible: Some(tdmq::visible),
    error: |_, code, message| tdmq::error(code, message),
    throttled: tdmq::throttled,
    no_id: Some(|_| tdmq::no_id()),
    error_msg: Some(tdmq::error_msg),
    legacy: Some(tdmq::legacy),
    errors: &[
        ("transient", refused("InternalError", 200, "")),
        ("ambiguous", unsettled("FailedOperation.SendMessageTimeoutError", 200)),
        ("permanent", refused("InternalError.IllegalMessage", 200, "")),
        ("config", refused("InvalidParameterValue.TopicNotFound", 200, "")),
        ("auth", refused("AuthFailure.SignatureFailure", 200, "")),
        ("auth-refresh", refused("AuthFailure.TokenFailure", 200, "")),
        ("permission", refused("UnauthorizedOperation", 200, "")),
        ("quota", refused("ResourceUnavailable.FundRequired", 200, "")),
        ("too-large", refused("FailedOperation.MaxMessageSizeError", 200, "")),
    ],
    environment: |url| {
        vec![
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID.to_owned()),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY.to_owned()),
            ("TENCENTCLOUD_REGION", "ap-guangzhou".to_owned()),
            ("TDMQ_ENDPOINT", url.to_owned()),
        ]
    },
};

static ROCKETMQ: Spec = Spec {
    name: "rocketmq",
    serves: |_, path| path.starts_with("/v2/"),
    handle: dms::handle,
    visible: Some(dms::visible),
    error: dms::error,
    throttled: dms::throttled,
    no_id: Some(dms::no_id),
    error_msg: None,
    legacy: None,
    errors: &[
        ("transient", refused("DMS.00500000", 500, "")),
        ("ambiguous", unsettled("APIG.0203", 504)),
        ("permanent", refused("DMS.10540012", 400, "")),
        ("config", refused("DMS.00400876", 400, "")),
        ("auth", refused("APIG.0301", 401, "verify aksk signature fail")),
        ("auth-refresh", Known::Tokens),
        ("permission", refused("DMS.00403003", 403, "")),
        ("quota", refused("DMS.00500987", 500, "")),
        ("too-large", refused("DMS.10540011", 400, "")),
    ],
    environment: |url| {
        vec![
            ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY.to_owned()),
            ("HUAWEICLOUD_SDK_SK", sample::SECRET_ACCESS_KEY.to_owned()),
            ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID.to_owned()),
            ("ROCKETMQ_ENDPOINT", url.to_owned()),
            ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID.to_owned()),
        ]
    },
};

static IAM: Spec = Spec {
    name: "iam",
    serves: |_, path| path.starts_with("/v3/"),
    handle: iam::handle,
    visible: None,
    error: iam::error,
    throttled: iam::throttled,
    no_id: None,
    error_msg: None,
    legacy: None,
    errors: &[],
    environment: |_| Vec::new(),
};

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
    Tdmq TDMQ, "Tencent Cloud TDMQ for Pulsar.";
    Rocketmq ROCKETMQ, "Huawei Cloud / OTC DMS for RocketMQ.";
    Iam IAM, "Huawei Cloud / OTC IAM.";
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
pub fn environment(url: &str) -> Vec<(&'static str, String)> {
    Vendor::ALL.into_iter().flat_map(|vendor| (vendor.spec().environment)(url)).collect()
}
