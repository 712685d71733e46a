//! Webhook request that its source has verified.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::source::Verified;

/// Part of a request that its source verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Body, which the signature covers.
    Body,
    /// Sender, authenticated by a token or by a signature that does not cover the body.
    Request,
    /// None of the request: the hooks file states `source = "none"`.
    None,
}

impl Coverage {
    /// Returns the value of the CloudEvents extension `webhookverified`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Request => "request",
            Self::None => "none",
        }
    }
}

/// Request that its source has verified. Only [`crate::source`] can make one, because only that module can
/// make a [`Verified`].
#[derive(Clone)]
pub struct Delivery {
    /// Name of the hook that received the request.
    pub hook: String,
    /// Name of the preset that verified the request, or `None` for a hook's own `[verify]` table.
    pub source: Option<String>,
    /// Id of the delivery: the provider's if it is usable, else a hash of hook, event, subject and body
    /// (contract 2.6).
    pub id: String,
    /// True if `id` is the provider's.
    pub id_from_provider: bool,
    /// Name of the event, exactly as the header or field spells it.
    pub event: Option<String>,
    /// Subject of the event, for sources that name one.
    pub subject: Option<String>,
    /// Time at which the host received the request.
    pub received_at: Timestamp,
    /// Query of the request, which some schemes sign. Tokens are replaced by `[verified]`, other credentials
    /// by `[removed]`.
    pub query: String,
    /// Header fields that may be kept: credentials are removed, and tokens are replaced by `[verified]`.
    pub headers: Vec<(String, String)>,
    /// Value of `Content-Type` if the request has exactly one. For an encrypted event, the type of the
    /// decrypted text.
    pub content_type: Option<String>,
    /// Bytes of the body, as verified. A token in the body is replaced by `[verified]`.
    pub body: Bytes,
    /// Body of an encrypted event as it was received; `body` then holds the decrypted text.
    pub original: Option<Bytes>,
    /// Part of the request that the source verified.
    pub coverage: Coverage,
    /// Index of the matching secret among the hook's secrets, counted from 0.
    pub secret: Option<usize>,
    /// Index of the verifier of `kind = "any"` that accepted the request, counted from 0.
    pub verifier: Option<usize>,
    pub(crate) _verified: Verified,
}

/// Text for logs, without header values and body.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, id, event, coverage, secret, body, .. } = self;
        write!(f, "Delivery({hook}, {id}, {event:?}, {coverage:?} by {secret:?}, {} bytes)", body.len())
    }
}
