//! Content that stands around what a sender signs: a compression, or a form with the event in one field.

use http::header::CONTENT_ENCODING;

use crate::http::Request;
use crate::inflate::{InflateError, gunzip, unzlib};
use crate::reader::Table;
use crate::source::Rejection;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::form::is_pairs;
use crate::source::scheme::words;

/// The keys `content_coding = "decoded"`, for a sender that signs before it compresses, and
/// `unwrap = "form:payload"`, for a sender that signs the text in a form's field and not the form.
///
/// What is verified is what is forwarded, so such a body takes the place of the received one. Without the keys
/// the bytes are verified and forwarded as they were received, compressed ones too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decode {
    inflates: bool,
    unwrap: Option<Field>,
}

impl Decode {
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let words = [("decoded", true), ("as-received", false)];
        let inflates = table.has("content_coding").then(|| words::one_of(table, "content_coding", &words));
        let unwrap = table.has("unwrap").then(|| words::field(table, "unwrap", "\"form:payload\"")).flatten();
        if unwrap.as_ref().is_some_and(|field| !matches!(field, Field::Form(_))) {
            table.error(
                "unwrap",
                "is for a form with the event in one field: write unwrap = \"form:payload\"",
            );
        }
        Self { inflates: inflates.flatten().unwrap_or_default(), unwrap }
    }

    /// Returns true if compressed bodies are decompressed.
    pub(crate) const fn inflates(&self) -> bool {
        self.inflates
    }

    /// Returns true if the content of a form's field takes the place of the form.
    pub(crate) const fn unwraps(&self) -> bool {
        self.unwrap.is_some()
    }

    /// Returns true if the verified content may differ from the body as received.
    #[cfg(feature = "catalog")]
    pub(crate) const fn is_any(&self) -> bool {
        self.inflates || self.unwrap.is_some()
    }

    /// Replaces the body by the content that the sender signs, which has at most `limit` bytes.
    pub(crate) fn apply(&self, request: &mut Request, limit: usize) -> Result<(), Rejection> {
        if self.inflates {
            inflate(request, limit)?;
        }
        if let Some(field) = &self.unwrap
            && let Ok(Some(inner)) = field.find(&View::of(request, None))
            && is_pairs(&request.headers)
        {
            request.body = inner.into_owned().into();
            request.headers.remove("content-type");
            request.headers.push("content-type", "application/json");
        }
        Ok(())
    }
}

fn inflate(request: &mut Request, limit: usize) -> Result<(), Rejection> {
    let name = CONTENT_ENCODING.as_str();
    let codings: Vec<_> =
        request.headers.all(name).map(|coding| coding.trim_ascii().to_ascii_lowercase()).collect();
    let body = match codings.iter().map(Vec::as_slice).collect::<Vec<_>>().as_slice() {
        [] | [b"" | b"identity"] => return Ok(()),
        [b"gzip" | b"x-gzip"] => gunzip(&request.body, limit),
        [b"deflate"] => unzlib(&request.body, limit),
        _ => return Err(Rejection::Coding),
    };
    request.body = match body {
        Ok(body) => body.into(),
        Err(InflateError::TooLarge) => return Err(Rejection::TooLarge),
        Err(InflateError::Broken) => return Err(Rejection::Coding),
    };
    request.headers.remove(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    use super::*;
    use crate::source::scheme::field::tests::request;

    #[test]
    fn a_body_that_is_no_stream_of_its_coding_is_an_unsupported_coding() {
        let decode = Decode { inflates: true, unwrap: None };
        let zlib = compress_to_vec_zlib(b"{}", 9);
        let half = zlib.get(..4).unwrap().to_vec();
        let raw = compress_to_vec(b"{}", 9);
        let bodies = [("deflate", raw), ("deflate", half), ("gzip", zlib.clone()), ("gzip", b"{}".to_vec())];
        let others = [("br", zlib.clone()), ("gzip, deflate", zlib.clone())];
        for (coding, body) in bodies.into_iter().chain(others) {
            let mut request = request("", &[("Content-Encoding", coding)], "");
            request.body = body.into();
            assert_eq!(decode.apply(&mut request, 100), Err(Rejection::Coding), "{coding}");
        }
        let mut request = request("", &[("Content-Encoding", "deflate")], "");
        request.body = zlib.into();
        assert_eq!(decode.apply(&mut request, 100), Ok(()));
        assert_eq!((&*request.body, request.headers.len()), (&b"{}"[..], 0));
    }
}
