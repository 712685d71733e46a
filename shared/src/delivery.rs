//! A verified webhook.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What the source's signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// The signature covers the body.
    Body,
    /// The sender was authenticated, the body was not covered (a token).
    Request,
    /// `source = "none"`: nothing was verified, in writing.
    None,
}

impl Coverage {
    /// As the `webhookverified` extension spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Request => "request",
            Self::None => "none",
        }
    }
}

/// Proof that a source verified a request. Only [`crate::source`] makes one, and the spill store for a delivery
/// that was verified before it was written.
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
    /// Name of the hook.
    pub hook: String,
    /// The preset that verified it; none for a hook's own `[verify]` table.
    pub source: Option<String>,
    /// The provider's delivery id if it is usable as one, else made of hook, event, subject and body
    /// (contract 2.6).
    pub id: String,
    /// Whether `id` is the provider's.
    pub id_from_provider: bool,
    /// The event's name exactly as the header or field spells it.
    pub event: Option<String>,
    /// What the event is about, where the source says so.
    pub subject: Option<String>,
    /// When we received it.
    pub received_at: Timestamp,
    /// The query, which some schemes sign; tokens in it replaced by `[verified]`, other credentials by
    /// `[removed]`.
    pub query: String,
    /// Header fields that may be kept: no credentials, tokens replaced by `[verified]`.
    pub headers: Vec<(String, String)>,
    /// The one `Content-Type`, if there is one; of an encrypted event that of its text.
    pub content_type: Option<String>,
    /// The body's bytes, as verified (a token inside of it replaced by `[verified]`).
    pub body: Bytes,
    /// Of an encrypted event, whose text `body` is, the body as it was received.
    pub original: Option<Bytes>,
    /// What was verified.
    pub coverage: Coverage,
    /// Which of the hook's secrets matched, counted from 0.
    pub secret: Option<usize>,
    /// Which of the verifiers of `kind = "any"` accepted it, counted from 0.
    pub verifier: Option<usize>,
}

/// A request that its source verified. Only [`crate::source`] can make one: it takes a [`Verified`].
///
/// It reads as its [`Content`], which nobody who holds it can change: what was verified is what travels.
#[derive(Clone)]
pub struct Delivery {
    content: Content,
    _verified: Verified,
}

impl Delivery {
    pub(crate) const fn new(content: Content, verified: Verified) -> Self {
        Self { content, _verified: verified }
    }

    /// Gives the content up, which is not a verified delivery any more.
    pub fn into_content(self) -> Content {
        self.content
    }

    /// Takes header fields out that are not to travel.
    pub(crate) fn retain_headers(&mut self, keeps: impl Fn(&str, &str) -> bool) {
        self.content.headers.retain(|(name, value)| keeps(name, value));
    }

    /// Takes out of the query what is not to travel: `query` is the rest of it.
    pub(crate) fn cut_query(&mut self, query: String) {
        self.content.query = query;
    }

    /// The same delivery as it was received, for an encrypted event: the original is its body.
    pub(crate) fn original(&self) -> Option<Self> {
        let body = self.content.original.clone()?;
        let content = Content { body, original: None, ..self.content.clone() };
        Some(Self { content, ..*self })
    }

    /// Changes the content, for tests of later stages.
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

/// No header values and no body.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { hook, id, event, coverage, secret, body, .. } = &self.content;
        write!(f, "Delivery({hook}, {id}, {event:?}, {coverage:?} by {secret:?}, {} bytes)", body.len())
    }
}
