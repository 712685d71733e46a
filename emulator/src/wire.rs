//! `serde` forms of HTTP types for the fault plan, which refuse invalid values when the plan is set.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Parses a status; an informational status is refused, because it is not an answer.
fn final_status<E: Error>(status: u16) -> Result<StatusCode, E> {
    match StatusCode::from_u16(status) {
        Ok(status) if !status.is_informational() => Ok(status),
        _ => Err(E::custom(format_args!("{status} is not a final HTTP status: use 200 to 999"))),
    }
}

pub(crate) mod status {
    use super::{Deserialize, Deserializer, Serializer, StatusCode, final_status};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(status.as_u16())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
        final_status(u16::deserialize(deserializer)?)
    }
}

pub(crate) mod optional_status {
    use super::{Deserialize, Deserializer, Serialize, Serializer, StatusCode, final_status};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    pub(crate) fn serialize<S: Serializer>(
        status: &Option<StatusCode>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        status.map(|status| status.as_u16()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<StatusCode>, D::Error> {
        Option::<u16>::deserialize(deserializer)?.map(final_status).transpose()
    }
}

pub(crate) mod value {
    use super::{Deserialize, Deserializer, Error, HeaderValue, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(value.as_bytes()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderValue, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

pub(crate) mod headers {
    use super::{BTreeMap, Deserialize, Deserializer, Error, HeaderMap, HeaderName, HeaderValue, Serializer};

    pub(crate) fn serialize<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(headers.iter().map(|(k, v)| (k.as_str(), String::from_utf8_lossy(v.as_bytes()))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
        let parse = |(name, value): (String, String)| -> Result<(HeaderName, HeaderValue), D::Error> {
            Ok((name.parse().map_err(D::Error::custom)?, value.parse().map_err(D::Error::custom)?))
        };
        BTreeMap::deserialize(deserializer)?.into_iter().map(parse).collect()
    }
}
