//! One delivery as it lies in the store: JSON that holds everything to send it later and to verify it
//! again, whatever becomes of the hook's configuration meanwhile.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::delivery::{Content, Coverage, Delivery, Verified};
use crate::json;
use crate::message::Message;
use crate::queue::{SendError, Target, Vendor};

/// The version of the format: another one is not guessed at.
const VERSION: u8 = 1;

/// Bytes that stand around body and message, header fields among them; more are found room for.
const AROUND: usize = 16 * 1024;

/// A delivery that is kept, the message that was made of it, and why it lies here.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    version: u8,
    /// Whose queue it is for.
    vendor: Vendor,
    /// Which of that vendor's, where it is not the environment's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The message; none if the delivery could not become one.
    pub message: Option<Message>,
    /// Why it lies here.
    pub error: Failure,
    /// The delivery, as it was when it was verified.
    #[serde(with = "saved")]
    pub delivery: Delivery,
}

/// Why a delivery lies in the store, as CloudEvents attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error's class (contract 2.5), `unrenderable`, or `always` where nothing failed.
    pub errorclass: String,
    /// The vendor's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errorcode: Option<String>,
    /// What happened.
    pub errormessage: String,
    /// Attempts to send it so far.
    pub errorattempts: u32,
    /// When it failed first.
    #[serde(with = "rfc3339")]
    pub errorfirsttime: Timestamp,
    /// When it failed last.
    #[serde(with = "rfc3339")]
    pub errorlasttime: Timestamp,
}

/// How a [`Delivery`] is written; outside of a record it cannot be read.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Content")]
struct Saved {
    hook: String,
    source: Option<String>,
    id: String,
    id_from_provider: bool,
    event: Option<String>,
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

/// Why the content of an object is no delivery. It is left where it is: what was read may be a lie
/// about what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON that was written, or not all of it.
    #[error("the object is no delivery, or not all of one")]
    Malformed,
    /// Written by another version.
    #[error("the object has format {0}: this version reads format {VERSION}")]
    Version(u8),
}

impl Failure {
    /// Of a send.
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

    /// Of something else than a send.
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

    /// After an earlier one: attempts add up, the first time stays.
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
    /// Of a delivery, and the message that was made of it.
    pub fn new(target: &Target, delivery: &Delivery, message: Option<Message>, error: Failure) -> Self {
        let vendor = target.vendor();
        let named = (*target != vendor.into()).then(|| target.name().to_owned());
        Self { version: VERSION, vendor, target: named, message, error, delivery: delivery.clone() }
    }

    /// Where it goes.
    pub fn target(&self) -> Target {
        self.target.as_ref().map_or_else(|| self.vendor.into(), |name| Target::named(name, self.vendor))
    }

    /// The object's content.
    pub fn to_bytes(&self) -> Bytes {
        let Content { body, original, .. } = &*self.delivery;
        let bytes = body.len() + original.as_ref().map_or(0, Bytes::len);
        let text = self.message.as_ref().map_or(0, |message| json::string_len(&message.text));
        json::to_bytes(self, bytes.div_ceil(3) * 4 + text + AROUND)
    }

    /// Reads an object's content.
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

/// Neither text nor body.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, delivery, .. } = self;
        write!(f, "Record({} {} {}, {})", self.target(), delivery.hook, delivery.id, error.errorclass)
    }
}

/// Milliseconds are kept.
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

/// Bytes as base64.
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

    /// Bytes that were written as base64. They are decoded where the text stands: a body can be large, and
    /// a redriver has little memory.
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
mod tests {
    use super::*;
    use crate::message::tests::delivery;

    fn record() -> Record {
        let mut delivery = delivery(b"\xff\0{}", Some("text/plain"));
        delivery.content_mut().original = Some(Bytes::from_static(b"sealed"));
        delivery.content_mut().query = "a=b".into();
        let message = Message {
            id: delivery.id.clone(),
            topic: "a/b/c".into(),
            text: "text \u{1F600}".into(),
            key: Some("k".into()),
            tag: None,
            properties: vec![("CE_id".into(), delivery.id.clone())],
        };
        let now = Timestamp::from_unix_millis(1_760_000_000_123);
        Record::new(&Vendor::Rocketmq.into(), &delivery, Some(message), Failure::other("always", "", now))
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let record = record();
        let again = Record::parse(&record.to_bytes()).unwrap();
        assert_eq!(again.message, record.message);
        assert_eq!((again.target(), &again.error), (Vendor::Rocketmq.into(), &record.error));
        let (one, other) = (&record.delivery, &again.delivery);
        assert_eq!((&one.body, &one.original, &one.headers), (&other.body, &other.original, &other.headers));
        assert_eq!(
            (one.received_at, one.coverage, &one.query),
            (other.received_at, other.coverage, &other.query)
        );
        assert_eq!(record.to_bytes(), again.to_bytes(), "every field");
    }

    #[test]
    fn a_part_of_an_object_is_none() {
        let bytes = record().to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..length]).err(), Some(RecordError::Malformed), "{length}");
        }
        let text = String::from_utf8(bytes.to_vec()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(Record::parse(text.as_bytes()).err(), Some(RecordError::Version(2)));
    }

    #[test]
    fn failures_add_up() {
        let at = Timestamp::from_unix;
        let error = |attempts, now| Failure { errorattempts: attempts, ..Failure::other("x", "", at(now)) };
        let both = error(3, 20).after(&error(2, 10));
        assert_eq!((both.errorattempts, both.errorfirsttime, both.errorlasttime), (5, at(10), at(20)));
    }
}
