//! Webhook request that its source has verified.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

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

/// Proof that a source verified a request. Only [`crate::source`] makes one, and the spill store for a
/// delivery that was verified before it was written.
#[derive(Clone, Copy, Debug)]
pub struct Verified(());

impl Verified {
    /// Creates the proof for a request that a source has just verified.
    pub(crate) const fn by_source() -> Self {
        Self(())
    }

    /// Creates the proof for a delivery from the spill store: it was verified before it was written, and the
    /// store is trusted as the queue is.
    pub(crate) const fn when_kept() -> Self {
        Self(())
    }

    /// Creates a proof without verification, for tests of later stages.
    #[cfg(test)]
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}

/// Content of a [`Delivery`].
#[derive(Clone)]
pub struct Content {
    /// Name of the hook that received the request.
    pub hook: String,
    /// Name of the preset that verified the request, or `None` for a hook's own `[verify]` table.
    pub source: Option<String>,
    /// Id of the delivery: the provider's if it is usable, else a hash of hook, event, subject and body
    /// (see `docs/delivery-semantics.md`).
    pub id: String,
    /// True if `id` is the provider's.
    pub id_from_provider: bool,
    /// Name of the event, exactly as the header or field spells it.
    pub event: Option<String>,
    /// True if the delivery may be of other events too: the place of the name cannot be read, or is in the first of
    /// several items.
    pub may_have_other_events: bool,
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
}

/// Request that its source has verified. Only [`crate::source`] can make one, because only that module can
/// make a [`Verified`].
///
/// A delivery derefs to its [`Content`], which its holders can read and cannot change: the verified bytes are
/// the ones that travel.
#[derive(Clone)]
pub struct Delivery {
    content: Content,
    _verified: Verified,
}

impl Delivery {
    /// Joins content and proof.
    pub(crate) const fn new(content: Content, verified: Verified) -> Self {
        Self { content, _verified: verified }
    }

    /// Returns the content, which no longer carries the proof.
    pub fn into_content(self) -> Content {
        self.content
    }

    /// Removes the header fields for whose name and value `keeps` returns false.
    pub(crate) fn retain_headers(&mut self, keeps: impl Fn(&str, &str) -> bool) {
        self.content.headers.retain(|(name, value)| keeps(name, value));
    }

    /// Replaces the values of header fields for which `edited` returns another one.
    pub(crate) fn edit_headers(&mut self, edited: impl Fn(&str) -> Option<String>) {
        for (_, value) in &mut self.content.headers {
            if let Some(edited) = edited(value) {
                *value = edited;
            }
        }
    }

    /// Replaces the query by the rest that is left once tokens are removed.
    pub(crate) fn cut_query(&mut self, query: String) {
        self.content.query = query;
    }

    /// Returns the delivery of an encrypted event as it was received, with the encrypted body as its body.
    pub(crate) fn original(&self) -> Option<Self> {
        let body = self.content.original.clone()?;
        let content = Content { body, original: None, ..self.content.clone() };
        Some(Self { content, ..*self })
    }

    /// Returns the content for a change by a test of later stages.
    #[cfg(test)]
    pub(crate) fn content_mut(&mut self) -> &mut Content {
        &mut self.content
    }
}

impl Deref for Delivery {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.content
    }
}

/// Text for logs, without header values and body.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { hook, id, event, coverage, secret, body, .. } = &self.content;
        write!(f, "Delivery({hook}, {id}, {event:?}, {coverage:?} by {secret:?}, {} bytes)", body.len())
    }
}
