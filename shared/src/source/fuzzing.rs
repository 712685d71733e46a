//! Parsers of what strangers send, for the fuzz targets alone: they are no part of the API.

use super::field::{Field, View};
use super::key::{Key, RSA_SHA256};
use super::{Rejection, der};
use crate::clock::Timestamp;
use crate::http::Request;

/// Reads `KIND:NAME` of a request, as verification does; `None` if that is no field.
pub fn read(field: &str, request: &Request) -> Option<Result<Vec<u8>, Rejection>> {
    let field = Field::parse(field).ok()?;
    Some(field.read(&View::of(request, None)).map(Into::into))
}

/// Reads a key or certificate in DER and verifies with it; from when and until when a certificate is
/// valid.
pub fn certificate(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let key = Key::from_der(der)?;
    let _ = (key.family(), key.public_pem(), key.verify(RSA_SHA256, der, der));
    der::validity(der)
}
