//! Steps of verification, and reasons for refusing a request.

use crate::problem::Problem;
use crate::source::address::Address;

/// A step of verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyStep {
    /// Answering a handshake.
    Handshake,
    /// Reading and comparing the token; for `jwt`, also checking its claims.
    Token,
    /// Finding the key that the request names.
    Key,
    /// Reading and checking the signatures.
    Signature,
    /// Assembling the signed bytes.
    Signed,
    /// Comparing the fields that must have configured values.
    Require,
    /// Undoing the content coding of the body, or the form around it.
    Decode,
    /// Checking the address from which the request came.
    Network,
    /// Comparing the hash of the body.
    BodyHash,
    /// Reading the items of the body.
    Items,
    /// Trying the verifiers until one accepts.
    Any,
    /// Comparing the timestamp with the window of time.
    Timestamp,
    /// Decrypting the event.
    Decrypt,
    /// Reading the id, the event and the subject of the delivery.
    Names,
}

impl VerifyStep {
    /// Returns the name of the step in logs and in the output of `--explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Token => "token",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Signed => "signed",
            Self::Require => "require",
            Self::Decode => "decode",
            Self::Network => "network",
            Self::BodyHash => "body_hash",
            Self::Items => "items",
            Self::Any => "any",
            Self::Timestamp => "timestamp",
            Self::Decrypt => "decrypt",
            Self::Names => "names",
        }
    }
}

/// Reason why a request is not authentic. It names places, never their contents, so it is safe to log.
///
/// A sender never learns the reason: a source answers all rejections of deliveries alike, with 401 or 403.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A field that verification needs is missing or empty.
    #[error("{0} is missing or empty")]
    Missing(String),
    /// A field is there, without the item that is read of it: the second text.
    #[error("{0} has no {1}")]
    NoItem(String, String),
    /// A field is given more than once, so it is unclear which value counts.
    #[error("{0} is given more than once")]
    Ambiguous(String),
    /// A list of signatures has blanks or empty items, as two fields that a gateway joined have.
    #[error("{0} is given more than once, or has blanks or commas around an item")]
    Joined(String),
    /// A field does not have the form that the source prescribes.
    #[error("{0} is not of the expected form")]
    Malformed(String),
    /// A field was found in a form that readers of the content type would read otherwise.
    #[error(
        "{0} is in a form that Content-Type does not name: the content type is not signed, and must agree with the body"
    )]
    OtherForm(String),
    /// A field has a value that is not one of the pinned values.
    #[error("{0} has none of the values that the source requires")]
    Pinned(String),
    /// A field has a value that is not one of the pinned values; the second text is the remedy.
    #[error("{0} has none of the values that the source requires: {1}")]
    Advised(String, String),
    /// The query differs from the one in the configured address, and the signed bytes would not tell it from
    /// the body.
    #[error("the query differs from the one in `url`: write `url` with the query that the sender calls")]
    OtherQuery,
    /// The request has more signatures than any sender has keys.
    #[error("more than {MAX_SIGNATURES} signatures are given")]
    TooManySignatures,
    /// Neither a signature nor a token matches a secret of the hook.
    #[error("no configured secret matches")]
    NoMatch,
    /// Mismatch of all secrets, while the parameter that holds the right one is not set.
    #[error("no configured secret matches: params.{0} is not set, which such a request needs")]
    NoParam(String),
    /// The request names a key that is not configured.
    #[error("{0} names an unknown key")]
    UnknownKey(String),
    /// The current time is outside the validity of the certificate.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// The address of a certificate or confirmation is not one of the allowed addresses.
    #[error("{0} names an address that must not be called")]
    NotAllowed(String),
    /// The key must be fetched first: see [`Verdict::Fetch`](crate::source::Verdict::Fetch).
    #[error("the key is at {0} and was not fetched: pass it as a secret")]
    Fetch(Address),
    /// The address gave no key: a fault of ours or of the provider, never of the sender.
    #[error("there is no key at {0}")]
    Unusable(Address),
    /// The timestamp is before the window of time.
    #[error("the timestamp is too old")]
    Stale,
    /// The timestamp is after the window of time.
    #[error("the timestamp is in the future")]
    Future,
    /// The body differs from the body whose hash is signed.
    #[error("the body does not match the hash in {0}")]
    OtherBody(String),
    /// None of several verifiers accepts the request; holds their reasons, in their order.
    #[error("no verifier accepts the request: {}", join(.0))]
    NoVerifier(Vec<Self>),
    /// An event cannot be decrypted, or has another receiver: one reason for every failure of decryption.
    #[error("the event cannot be decrypted")]
    Undecryptable,
    /// A handshake without its token, or from an origin that is not allowed, if the provider asks for this
    /// status.
    #[error("the handshake is not allowed")]
    Refused(Problem),
    /// The request is not a delivery by its method or content, and not a handshake.
    #[error("the request is neither a delivery nor a handshake")]
    NoDelivery,
    /// The body is compressed in a way that is not supported, or is not what its coding says.
    #[error(
        "the body is broken, or compressed by another coding than gzip (one member) and deflate (zlib's format)"
    )]
    Coding,
    /// The body has more bytes after decompression than the hook takes.
    #[error("the body is over max_body after decompression")]
    TooLarge,
    /// The challenge of a handshake exceeds the allowed length.
    #[error("the challenge is longer than {MAX_CHALLENGE} bytes")]
    ChallengeTooLong,
}

/// Upper bound on the signatures that are tried for one request.
pub(crate) const MAX_SIGNATURES: usize = 8;

/// Upper bound on the length of a reflected challenge, in bytes.
pub(crate) const MAX_CHALLENGE: usize = 1024;

impl Rejection {
    /// Returns the step at which a signature is refused for this reason.
    pub(crate) const fn step(&self) -> VerifyStep {
        match self {
            Self::NoMatch => VerifyStep::Signature,
            _ => VerifyStep::Key,
        }
    }

    /// Returns true if the same request could be authentic by another secret.
    pub(crate) fn is_of_secrets(&self) -> bool {
        match self {
            Self::NoMatch
            | Self::NoParam(_)
            | Self::UnknownKey(_)
            | Self::Expired
            | Self::Undecryptable
            | Self::Refused(_) => true,
            Self::NoVerifier(rejections) => rejections.iter().any(Self::is_of_secrets),
            Self::Missing(_)
            | Self::NoItem(..)
            | Self::Ambiguous(_)
            | Self::Joined(_)
            | Self::Malformed(_)
            | Self::OtherForm(_)
            | Self::Pinned(_)
            | Self::Advised(..)
            | Self::OtherQuery
            | Self::TooManySignatures
            | Self::NotAllowed(_)
            | Self::Fetch(_)
            | Self::Unusable(_)
            | Self::Stale
            | Self::Future
            | Self::OtherBody(_)
            | Self::NoDelivery
            | Self::Coding
            | Self::TooLarge
            | Self::ChallengeTooLong => false,
        }
    }

    /// Returns true if the result is uncertain because a key is missing: not fetched yet, or not in the
    /// document.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Fetch(_) | Self::Unusable(_))
    }

    /// Returns the stable name of the reason for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::NoItem(..) => "missing",
            Self::Ambiguous(_) | Self::Joined(_) => "ambiguous",
            Self::Malformed(_) => "malformed",
            Self::OtherForm(_) => "other_form",
            Self::Pinned(_) | Self::Advised(..) => "pinned",
            Self::OtherQuery => "other_query",
            Self::TooManySignatures => "too_many_signatures",
            Self::NoMatch | Self::NoParam(_) => "no_match",
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
            Self::Coding => "coding",
            Self::TooLarge => "too_large",
            Self::ChallengeTooLong => "challenge_too_long",
        }
    }
}

fn join(rejections: &[Rejection]) -> String {
    rejections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
