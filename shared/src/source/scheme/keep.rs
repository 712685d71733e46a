//! The parts of a request that a delivery keeps.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use crate::http::Headers;
use crate::json;
use crate::secret::Secret;
use crate::sort::sort_by;
use crate::source::scheme::credential::{
    address_without_credentials, is_credential_header, is_of_every_request,
};
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::mask::{VERIFIED, masked};

/// Returns true if a header field concerns only the connection that carried the request (RFC 9110 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// The tokens in a request, and the places from which they were read.
#[derive(Default)]
pub(crate) struct Tokens {
    texts: Vec<Secret>,
    /// SHA-256 hashes of the tokens, so that a token of many items is searched for once.
    known: HashSet<Vec<u8>>,
    /// Places of the tokens in the body, each with its replacement.
    spans: Vec<(Range<usize>, String)>,
}

/// Lower bound on the length of a token that is replaced everywhere in the body, in bytes. A shorter token is
/// replaced only in the place from which it was read: elsewhere its bytes may occur by chance.
const MIN_COPY: usize = 8;

impl Tokens {
    /// Adds a token that was read from this place, in all its known forms.
    pub(crate) fn add(&mut self, from: &Field, view: &View<'_>, forms: impl IntoIterator<Item = Secret>) {
        for token in forms {
            // A delivery's names are text, so a token that is not UTF-8 is searched for in its text form too.
            let as_text = token.expose_str().is_none().then(|| Secret::new(text(token.expose())));
            [Some(token), as_text].into_iter().flatten().for_each(|token| self.look_for(token));
        }
        self.spans.extend(from.span(view, VERIFIED));
    }

    /// Adds secrets that must not be shown in any place; secrets below [`MIN_COPY`] are left out.
    pub(crate) fn hide(&mut self, secrets: &[Secret]) {
        secrets.iter().filter(|secret| is_copied(secret)).for_each(|secret| self.look_for(secret.clone()));
    }

    fn look_for(&mut self, token: Secret) {
        if self.known.insert(digest(&SHA256, token.expose()).as_ref().to_vec()) {
            self.texts.push(token);
        }
    }

    /// Masks every token in the bytes.
    pub(crate) fn mask(&self, bytes: Vec<u8>) -> Vec<u8> {
        masked(&bytes, &self.texts).unwrap_or(bytes)
    }

    /// Masks every token in the text.
    pub(crate) fn mask_text(&self, text: String) -> String {
        masked(text.as_bytes(), &self.texts).map_or(text, |bytes| self::text(&bytes))
    }

    /// Returns true if the text holds a token.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        masked(text.as_bytes(), &self.texts).is_some()
    }

    /// Returns the header fields that may be kept. The value of the token's own field says that it was
    /// verified. Copies of a token in other fields are masked too: gateways copy the original address or
    /// credentials into fields of their own.
    pub(crate) fn headers(
        &self,
        headers: &Headers,
        holds_token: impl Fn(&str) -> bool,
    ) -> Vec<(String, String)> {
        let kept = |(name, value): (&str, &[u8])| {
            let value = if holds_token(name) && !is_of_every_request(name) {
                VERIFIED.to_owned()
            } else if is_credential_header(name) || is_hop_by_hop(name) {
                return None;
            } else {
                let value = text(&self.mask(value.to_vec()));
                // Proxies copy the request's address, whose query may hold credentials.
                address_without_credentials(&value).unwrap_or(value)
            };
            Some((name.to_owned(), value))
        };
        headers.iter().filter_map(kept).collect()
    }

    /// Masks the tokens in the body: in the places from which they were read, and in every copy.
    pub(crate) fn body(mut self, body: Bytes) -> Bytes {
        sort_by(&mut self.spans, &|(a, _), (b, _)| (a.start, a.end).cmp(&(b.start, b.end)));
        // Two verifiers may read the same place.
        self.spans.dedup_by(|(span, _), (before, _)| span == before);
        let body = if self.spans.is_empty() { body } else { replaced(&body, &self.spans) };
        masked(&body, self.texts.iter().filter(|token| is_copied(token))).map_or(body, Bytes::from)
    }
}

fn is_copied(token: &Secret) -> bool {
    token.expose().len() >= MIN_COPY
}

/// Replaces spans of the body, which are in order, by other text.
fn replaced(body: &[u8], spans: &[(Range<usize>, String)]) -> Bytes {
    let mut kept = Vec::with_capacity(body.len());
    let mut end = 0;
    for (span, instead) in spans {
        kept.extend_from_slice(body.get(end..span.start).unwrap_or_default());
        kept.extend_from_slice(instead.as_bytes());
        end = span.end;
    }
    kept.extend_from_slice(body.get(end..).unwrap_or_default());
    kept.into()
}

/// Builds a JSON object of the kept members of the body, all of them strings: members that the signature does
/// not cover are not forwarded.
pub(crate) fn members(body: &[u8], kept: &[&str]) -> Bytes {
    let mut text = String::from("{");
    for (key, raw) in json::members(body).unwrap_or_default() {
        if let Some(value) = json::string(raw).filter(|_| kept.contains(&key.as_ref())) {
            if text.len() > 1 {
                text.push(',');
            }
            json::write_string(&mut text, &key);
            text.push(':');
            json::write_string(&mut text, &value);
        }
    }
    text.push('}');
    text.into()
}

/// Converts a header value to text: UTF-8, or else Latin-1, the older charset of HTTP.
pub(crate) fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| value.iter().copied().map(char::from).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that 4,000 items hold is searched for once, so the work does not grow with the square of the
    /// items.
    #[test]
    fn a_token_is_looked_for_once() {
        let items: Vec<String> =
            (0..4000).map(|i| format!(r#"{{"id":"{i}","state":"s3cret-token"}}"#)).collect();
        let body = format!(r#"{{"value":[{}]}}"#, items.join(","));
        let request = crate::source::scheme::field::tests::request("", &[], &body);
        let view = View::of(&request, None);
        let (list, from) = (Field::parse("json:value").unwrap(), Field::parse("item:state").unwrap());
        let mut tokens = Tokens::default();
        for item in list.items(&view).unwrap() {
            for _ in 0..2 {
                tokens.add(&from, &View { item, ..view }, [Secret::new("s3cret-token")]);
            }
        }
        tokens.hide(&[Secret::new("s3cret-token"), Secret::new("another-one")]);
        assert_eq!((tokens.texts.len(), tokens.spans.len()), (2, 8000));
        let kept = tokens.body(request.body);
        assert_eq!(kept, body.replace("s3cret-token", "[verified]"));
    }

    #[test]
    fn copies_of_a_token_in_the_body_are_replaced() {
        let masked = |token: &str, text: &'static str| {
            let tokens = Tokens { texts: vec![Secret::new(token)], ..Tokens::default() };
            tokens.body(Bytes::from_static(text.as_bytes()))
        };
        let text = r#"{"a":"s3cret-token","b":["s3cret-tokens3cret-token"]}"#;
        assert_eq!(masked("s3cret-token", text), r#"{"a":"[verified]","b":["[verified][verified]"]}"#);
        assert_eq!(masked("another-token", text), text);
        assert_eq!(masked("a", text), text, "too short to tell a copy from chance");
    }
}
