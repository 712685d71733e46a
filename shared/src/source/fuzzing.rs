//! Parsers of what strangers send, for the fuzz targets alone: they are no part of the API.

use super::Rejection;
use super::field::{Field, View};
use crate::http::Request;

/// Reads `KIND:NAME` of a request, as verification does; `None` if that is no field.
pub fn read(field: &str, request: &Request) -> Option<Result<Vec<u8>, Rejection>> {
    let field = Field::parse(field).ok()?;
    Some(field.read(&View::of(request, None)).map(Into::into))
}
