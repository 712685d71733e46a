//! What of a request is kept in a delivery.

use std::ops::Range;

use bytes::Bytes;

use super::field::{Field, View};
use crate::http::Headers;
use crate::json;
use crate::secret::Secret;

/// Stands where a token stood.
pub(super) const VERIFIED: &str = "[verified]";

/// Whether a header field holds a credential: it is never kept, in no message, log or template.
///
/// Beside HTTP's own these are the fields by which Lambda, Tencent SCF, Huawei's functions, load
/// balancers and API gateways hand credentials to a function, or are handed them by a caller.
pub fn is_credential_header(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-amz-security-token",
        "x-api-key",
        "x-apig-appcode",
        "x-auth-token",
        "x-security-token",
        "x-subject-token",
        "x-tc-token",
    ];
    const PREFIXES: [&str; 3] = ["x-amzn-oidc-", "x-cff-", "x-scf-"];
    let starts = |prefix: &&str| name.get(..prefix.len()).is_some_and(|n| n.eq_ignore_ascii_case(prefix));
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n)) || PREFIXES.iter().any(starts)
}

/// Whether a field is about the connection that brought the request (RFC 9110 7.6.1).
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

/// A token that was read.
pub(super) struct Seen {
    /// The token, and how it is spelt where it was read: a query has escapes, and copies of it keep them.
    pub(super) spellings: [String; 2],
    /// Where it stands in the body, and what must stand there in its stead.
    pub(super) spans: Vec<(Range<usize>, String)>,
}

impl Seen {
    pub(super) fn of(from: &Field, view: &View<'_>, token: &Secret) -> Self {
        let spelling = from.spelling(view).unwrap_or(token.expose());
        Self {
            spellings: [token.expose(), spelling].map(text),
            spans: from.span(view, VERIFIED).into_iter().collect(),
        }
    }
}

/// The header fields that may be kept. A token is replaced wherever else it stands too: gateways copy
/// the original address or credentials into fields of their own.
pub(super) fn headers(
    headers: &Headers,
    tokens: &[Seen],
    holds_token: impl Fn(&str) -> bool,
) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| !is_credential_header(name) && !is_hop_by_hop(name));
    kept.map(|(name, value)| {
        let value = if holds_token(name) { VERIFIED.to_owned() } else { mask(text(value), tokens) };
        (name.to_owned(), value)
    })
    .collect()
}

/// The text, tokens in it replaced.
pub(super) fn mask(text: String, tokens: &[Seen]) -> String {
    tokens.iter().flat_map(|token| &token.spellings).fold(text, |text, spelling| {
        if text.contains(spelling) { text.replace(spelling, VERIFIED) } else { text }
    })
}

/// Shorter tokens are replaced where they were read only: everywhere else they may be mere chance.
const MIN_COPY: usize = 8;

/// The body, tokens inside of it replaced: where they were read, and every copy of them.
pub(super) fn body(body: Bytes, tokens: &[Seen]) -> Bytes {
    let mut spans: Vec<&(Range<usize>, String)> = tokens.iter().flat_map(|token| &token.spans).collect();
    spans.sort_unstable_by_key(|(span, _)| span.start);
    let body = if spans.is_empty() { body } else { replaced(&body, &spans) };
    tokens.iter().flat_map(|token| &token.spellings).fold(body, |body, token| without(body, token.as_bytes()))
}

/// The body with other text in these places, which are in order.
fn replaced(body: &[u8], spans: &[&(Range<usize>, String)]) -> Bytes {
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

/// The body with every copy of `token` replaced.
fn without(body: Bytes, token: &[u8]) -> Bytes {
    if token.len() < MIN_COPY || find(&body, token).is_none() {
        return body;
    }
    let (mut kept, mut rest) = (Vec::with_capacity(body.len()), &body[..]);
    while let Some(at) = find(rest, token) {
        let (before, from) = rest.split_at(at);
        kept.extend_from_slice(before);
        kept.extend_from_slice(VERIFIED.as_bytes());
        rest = from.get(token.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    kept.into()
}

/// Where `token` first stands in `body`. Looks for its first byte only, most of the way.
fn find(body: &[u8], token: &[u8]) -> Option<usize> {
    let first = token.first()?;
    let mut at = 0;
    loop {
        at += body.get(at..)?.iter().position(|byte| byte == first)?;
        if body.get(at..)?.starts_with(token) {
            return Some(at);
        }
        at += 1;
    }
}

/// A JSON object of these members of the body, which are strings: what a signature does not cover
/// does not travel on.
pub(super) fn members(body: &[u8], kept: &[&str]) -> Bytes {
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

/// A header value as text: UTF-8, or else Latin-1, as HTTP once had it.
pub(super) fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| value.iter().copied().map(char::from).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_token_in_the_body_are_replaced() {
        let masked = |token: &str, text: &'static str| {
            let token = Seen { spellings: [token.to_owned(), token.to_owned()], spans: Vec::new() };
            body(Bytes::from_static(text.as_bytes()), &[token])
        };
        let text = r#"{"a":"s3cret-token","b":["s3cret-tokens3cret-token"]}"#;
        assert_eq!(masked("s3cret-token", text), r#"{"a":"[verified]","b":["[verified][verified]"]}"#);
        assert_eq!(masked("another-token", text), text);
        assert_eq!(masked("a", text), text, "too short to tell a copy from chance");
    }
}
