//! Why a request was refused.

use super::Step;
use super::address::Address;

/// Why a request is not authentic. It names places, never their contents: safe to log.
///
/// A sender learns none of it: every rejection is one and the same 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A field that verification needs is not there, or is empty.
    #[error("{0} is missing or empty")]
    Missing(String),
    /// A field is given more than once: which one counts is anybody's guess.
    #[error("{0} is given more than once")]
    Ambiguous(String),
    /// A field is not of the form that the source says.
    #[error("{0} is not of the expected form")]
    Malformed(String),
    /// A field has a value other than the pinned ones.
    #[error("{0} has none of the values that the source requires")]
    Pinned(String),
    /// The query is another than the configured address has, where what is signed would not tell it from the body.
    #[error("the query is not that of `url`: give `url` with the query that the sender calls")]
    OtherQuery,
    /// More signatures than any sender has keys.
    #[error("more than {MAX_SIGNATURES} signatures are given")]
    TooManySignatures,
    /// No signature or token matches a secret of the hook.
    #[error("no configured secret matches")]
    NoMatch,
    /// The key that the request names is none of the configured ones.
    #[error("{0} names no key that is known")]
    UnknownKey(String),
    /// The certificate's dates exclude now.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// The address of a certificate or confirmation is none that may be called.
    #[error("{0} names an address that must not be called")]
    NotAllowed(String),
    /// The key must be fetched first: see [`Verdict::Fetch`](super::Verdict::Fetch).
    #[error("the key is at {0}, and nothing was fetched: give it as a secret")]
    Fetch(Address),
    /// What was fetched holds no key; our fault or the provider's, never the sender's.
    #[error("there is no key at {0}")]
    Unusable(Address),
    /// The timestamp is older than the window.
    #[error("the timestamp is too old")]
    Stale,
    /// The timestamp is further ahead than the window.
    #[error("the timestamp is in the future")]
    Future,
    /// The body is not the one whose hash is signed.
    #[error("the body is another than that of {0}")]
    OtherBody(String),
    /// None of several verifiers accepts the request; why, in their order.
    #[error("no verifier accepts the request: {}", join(.0))]
    NoVerifier(Vec<Self>),
    /// An event cannot be decrypted, or is for another receiver: one reason for all that can be wrong.
    #[error("the event cannot be decrypted")]
    Undecryptable,
    /// A handshake without its token, or from an origin that is not allowed, where the provider asks
    /// for this status.
    #[error("the handshake is not allowed")]
    Refused(u16),
    /// Deliveries are not sent in this way, and it is no handshake.
    #[error("the request is neither a delivery nor a handshake")]
    NoDelivery,
    /// A handshake's challenge is longer than a challenge is.
    #[error("the challenge is longer than {MAX_CHALLENGE} bytes")]
    ChallengeTooLong,
}

/// Signatures tried on one request at most.
pub(super) const MAX_SIGNATURES: usize = 8;

/// Bytes of a reflected challenge at most.
pub(super) const MAX_CHALLENGE: usize = 1024;

impl Rejection {
    /// Where a signature that does not verify is refused.
    pub(super) const fn step(&self) -> Step {
        match self {
            Self::NoMatch => Step::Signature,
            _ => Step::Key,
        }
    }

    /// Whether the same request could be authentic by another secret.
    pub(crate) fn is_of_secrets(&self) -> bool {
        match self {
            Self::NoMatch | Self::UnknownKey(_) | Self::Expired | Self::Undecryptable | Self::Refused(_) => {
                true
            }
            Self::NoVerifier(rejections) => rejections.iter().any(Self::is_of_secrets),
            Self::Missing(_)
            | Self::Ambiguous(_)
            | Self::Malformed(_)
            | Self::Pinned(_)
            | Self::OtherQuery
            | Self::TooManySignatures
            | Self::NotAllowed(_)
            | Self::Fetch(_)
            | Self::Unusable(_)
            | Self::Stale
            | Self::Future
            | Self::OtherBody(_)
            | Self::NoDelivery
            | Self::ChallengeTooLong => false,
        }
    }

    /// Whether it is not certain, as a key is missing.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Fetch(_) | Self::Unusable(_))
    }

    /// A stable name for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Ambiguous(_) => "ambiguous",
            Self::Malformed(_) => "malformed",
            Self::Pinned(_) => "pinned",
            Self::OtherQuery => "other_query",
            Self::TooManySignatures => "too_many_signatures",
            Self::NoMatch => "no_match",
            Self::UnknownKey(_) => "unknown_key",
            Self::Expired => "expired",
            Self::NotAllowed(_) => "not_allowed",
            Self::Fetch(_) => "fetch",
            Self::Unusable(_) => "unusable",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::OtherBody(_) => "other_body",
            Self::NoVerifier(_) => "no_verifier",
            Self::Undecryptable => "undecryptable",
            Self::Refused(_) => "refused",
            Self::NoDelivery => "no_delivery",
            Self::ChallengeTooLong => "challenge_too_long",
        }
    }
}

fn join(rejections: &[Rejection]) -> String {
    rejections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
