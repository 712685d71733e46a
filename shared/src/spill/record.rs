//! Stored form of one delivery: JSON with everything to send it later and to verify it again, even after a
//! change of the hook's configuration.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::delivery::{Content, Coverage, Delivery, Verified};
use crate::json;
use crate::message::Message;
use crate::queue::{SendError, Target, Vendor};

/// Version of the format; a record of another version is refused.
const VERSION: u8 = 1;

/// Estimate of a record's size besides body and message, header fields included, in bytes; a larger record
/// makes the buffer grow.
const AROUND: usize = 16 * 1024;

/// A stored delivery, the message made of it, and the reason for storing it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    version: u8,
    /// Vendor of the queue that the delivery is for.
    vendor: Vendor,
    /// Name of the target, if it is not the environment's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Message of the delivery; `None` if the delivery could not be rendered.
    pub message: Option<Message>,
    /// Reason for storing the delivery.
    pub error: History,
    /// Delivery as it was when it was verified.
    #[serde(with = "saved")]
    pub delivery: Delivery,
}

/// Reason why a delivery is stored, as CloudEvents attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Class of the error (see the table of classes in `docs/delivery-semantics.md`), `unrenderable`, or
    /// `always` if nothing failed.
    pub errorclass: String,
    /// Error code of the vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errorcode: Option<String>,
    /// Description of the failure.
    pub errormessage: String,
    /// Number of attempts to send the delivery so far.
    pub errorattempts: u32,
    /// Time of the first failure.
    #[serde(with = "rfc3339")]
    pub errorfirsttime: Timestamp,
    /// Time of the last failure.
    #[serde(with = "rfc3339")]
    pub errorlasttime: Timestamp,
}

/// Serialised form of a [`Delivery`], which can be read as part of a record only.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Content")]
struct Saved {
    hook: String,
    source: Option<String>,
    id: String,
    id_from_provider: bool,
    event: Option<String>,
    // A delivery is dropped for its event before it is kept, and never after.
    #[serde(skip)]
    may_have_other_events: bool,
    subject: Option<String>,
    #[serde(with = "rfc3339")]
    received_at: Timestamp,
    query: String,
    headers: Vec<(String, String)>,
    content_type: Option<String>,
    #[serde(with = "base64_bytes")]
    body: Bytes,
    #[serde(with = "base64_optional")]
    original: Option<Bytes>,
    coverage: Coverage,
    secret: Option<usize>,
    verifier: Option<usize>,
}

/// A delivery in a record: it was verified before it was written.
mod saved {
    use serde::{Deserializer, Serializer};

    use super::{Delivery, Saved, Verified};

    pub(super) fn serialize<S: Serializer>(delivery: &Delivery, to: S) -> Result<S::Ok, S::Error> {
        Saved::serialize(delivery, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Delivery, D::Error> {
        Ok(Delivery::new(Saved::deserialize(from)?, Verified::when_kept()))
    }
}

/// Reason why an object's content is not a delivery. The object is left in place: a read may have returned
/// wrong content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Content that is not the JSON of a record, or only a part of it.
    #[error("the object is not a delivery, or only a part of one")]
    Malformed,
    /// Record of another version, which has this format.
    #[error("the object has format {0}: this version reads format {VERSION}")]
    Version(u8),
}

impl History {
    /// Builds the history of one failed send.
    pub fn of_send(error: &SendError, now: Timestamp) -> Self {
        Self {
            errorclass: error.class.as_str().to_owned(),
            errorcode: error.code.clone(),
            errormessage: error.detail.clone(),
            errorattempts: error.attempts,
            errorfirsttime: now,
            errorlasttime: now,
        }
    }

    /// Builds the history of one failure other than that of a send.
    pub fn other(class: &str, message: impl fmt::Display, now: Timestamp) -> Self {
        Self {
            errorclass: class.to_owned(),
            errorcode: None,
            errormessage: message.to_string(),
            errorattempts: 0,
            errorfirsttime: now,
            errorlasttime: now,
        }
    }

    /// Adds earlier failures: attempts add up, and the first time is kept.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        Self {
            errorattempts: self.errorattempts.saturating_add(earlier.errorattempts),
            errorfirsttime: earlier.errorfirsttime,
            ..self
        }
    }
}

impl Record {
    /// Builds the record of a delivery and the message that was made of it.
    pub fn new(target: &Target, delivery: &Delivery, message: Option<Message>, error: History) -> Self {
        let vendor = target.vendor();
        let named = (*target != vendor.into()).then(|| target.name().to_owned());
        Self { version: VERSION, vendor, target: named, message, error, delivery: delivery.clone() }
    }

    /// Returns the target that the delivery goes to.
    pub fn target(&self) -> Target {
        self.target.as_ref().map_or_else(|| self.vendor.into(), |name| Target::named(name, self.vendor))
    }

    /// Serialises the record as an object's content.
    pub fn to_bytes(&self) -> Bytes {
        let Content { body, original, .. } = &*self.delivery;
        let bytes = body.len() + original.as_ref().map_or(0, Bytes::len);
        let text = self.message.as_ref().map_or(0, |message| json::string_len(&message.text));
        json::to_bytes(self, bytes.div_ceil(3) * 4 + text + AROUND)
    }

    /// Parses an object's content.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u8,
        }
        let Versioned { version } = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)
    }
}

/// Summary without text and body.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, delivery, .. } = self;
        write!(f, "Record({} {} {}, {})", self.target(), delivery.hook, delivery.id, error.errorclass)
    }
}

/// RFC 3339 form of a time, which keeps milliseconds.
pub(crate) mod rfc3339 {
    use serde::de::Error as _;

    use super::{Deserialize as _, Deserializer, Serializer, Timestamp};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.rfc3339())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("no time"))
    }
}

/// Base64 form of bytes.
pub(crate) mod base64_bytes {
    use std::fmt;

    use base64::display::Base64Display;
    use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};
    use serde::de::{Error, Visitor};

    use super::{Bytes, Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(bytes, &STANDARD))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        Decoded::deserialize(from).map(|Decoded(bytes)| bytes)
    }

    /// Bytes that were written as base64. They are decoded directly from the text: a body can be large, and a
    /// redriver has little memory.
    pub(super) struct Decoded(pub(super) Bytes);

    impl<'de> Deserialize<'de> for Decoded {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Text;

            impl Visitor<'_> for Text {
                type Value = Decoded;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("base64")
                }

                fn visit_str<E: Error>(self, text: &str) -> Result<Decoded, E> {
                    let bytes = STANDARD.decode(text).map_err(|_| E::custom("no base64"))?;
                    Ok(Decoded(bytes.into()))
                }
            }

            from.deserialize_str(Text)
        }
    }
}

mod base64_optional {
    use super::base64_bytes::{self, Decoded};
    use super::{Bytes, Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => base64_bytes::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Decoded>::deserialize(from)?.map(|Decoded(bytes)| bytes))
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
