//! Near misses: what a refused request would be accepted with, for `hookmq verify --explain` alone.
//!
//! Nothing is accepted here. Each attempt is a verification with one change to the body, the query, the address or
//! the secrets; a function makes none of them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::clock::Timestamp;
use crate::http::Request;
use crate::secret::Secret;
use crate::source::crypto::encoding::Encoding;
use crate::source::{Rejection, Source, VerifyStep};

/// One change, and the request and the source with it.
struct Attempt {
    change: String,
    request: Request,
    source: Source,
}

impl Source {
    /// Lists every change with which a refused request would have the right signature or token.
    pub(crate) fn near_misses(&self, request: &Request, now: Timestamp) -> Vec<String> {
        let mut attempts = self.other_bodies(request);
        attempts.extend(self.other_queries(request));
        attempts.extend(self.other_secrets(request));
        attempts.extend(self.other_urls(request));
        let is_hit = |attempt: &Attempt| match attempt.source.verify(&attempt.request, now, &[]) {
            Ok(_) => true,
            // The signature is right, and something after it is wrong.
            Err((step, _)) => matches!(step, VerifyStep::Timestamp | VerifyStep::Decrypt | VerifyStep::Names),
        };
        attempts.into_iter().filter(is_hit).map(|attempt| attempt.change).collect()
    }

    /// Returns true if another body, address or secret could cure the refusal.
    pub(crate) fn may_nearly_match(rejection: &Rejection) -> bool {
        match rejection {
            Rejection::NoMatch | Rejection::OtherBody(_) | Rejection::OtherQuery => true,
            Rejection::NoVerifier(rejections) => rejections.iter().any(Self::may_nearly_match),
            _ => false,
        }
    }

    fn other_bodies(&self, request: &Request) -> Vec<Attempt> {
        let body = &request.body;
        let mut bodies: Vec<(&str, Vec<u8>)> = Vec::new();
        if let Some(bare) = body.strip_suffix(b"\n") {
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            bodies.push(("the body without the line end at its end", bare.to_vec()));
        } else {
            bodies.push(("the body with a line end (LF) at its end", [body, &b"\n"[..]].concat()));
            bodies.push(("the body with a line end (CR LF) at its end", [body, &b"\r\n"[..]].concat()));
        }
        if let Some(bare) = body.strip_prefix(b"\xef\xbb\xbf") {
            bodies.push(("the body without the byte order mark at its start", bare.to_vec()));
        }
        if let Ok(text) = std::str::from_utf8(body) {
            bodies.push(("the body with LF line ends instead of CR LF", text.replace("\r\n", "\n").into()));
            let crlf = text.replace("\r\n", "\n").replace('\n', "\r\n");
            bodies.push(("the body with CR LF line ends instead of LF", crlf.into()));
            if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                let compact = respaced(text, "", "");
                bodies.push(("the body as JSON without blanks", compact.clone().into()));
                bodies.push(("the body as JSON with a blank after , and :", respaced(text, " ", " ").into()));
                bodies.push((r"the body as JSON with / written as \/", compact.replace('/', r"\/").into()));
            }
        }
        let mut known = vec![body.to_vec()];
        bodies.retain(|(_, other)| {
            let is_new = !known.contains(other);
            known.push(other.clone());
            is_new
        });
        let attempt = |(change, body): (&str, Vec<u8>)| Attempt {
            change: format!("{change}: something between the sender and this request changed it"),
            request: Request { body: Bytes::from(body), ..request.clone() },
            source: self.clone(),
        };
        bodies.into_iter().map(attempt).collect()
    }

    fn other_queries(&self, request: &Request) -> Vec<Attempt> {
        let Request { raw_query, path, .. } = request;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
        let mut others = vec![
            ("the query with its + as %2B", path.clone(), raw_query.replace('+', "%2B")),
            ("the query without escapes", path.clone(), decoded(raw_query).unwrap_or_default()),
            ("the path without escapes", decoded(path).unwrap_or_default(), raw_query.clone()),
        ];
        others.retain(|(_, to, query)| (to, query) != (path, raw_query));
        let attempt = |(change, path, raw_query): (&str, String, String)| Attempt {
            change: format!("{change}: something before this program has decoded the address"),
            request: Request { path, raw_query, ..request.clone() },
            source: self.clone(),
        };
        others.into_iter().map(attempt).collect()
    }

    fn other_secrets(&self, request: &Request) -> Vec<Attempt> {
        let attempts = SECRETS.iter().filter_map(|(change, other)| {
            let with = |secret: &Secret| other(secret).map(Secret::new);
            let secrets: Vec<_> = self.secrets.iter().map(|s| with(s).unwrap_or_else(|| s.clone())).collect();
            let source = if secrets == self.secrets { None } else { self.with_shared_secrets(secrets) };
            Some(Attempt {
                change: format!("the secret {change}: correct it where it is stored"),
                request: request.clone(),
                source: source?,
            })
        });
        attempts.collect()
    }

    /// Returns this source with other secrets, if it takes shared ones and these fit.
    fn with_shared_secrets(&self, secrets: Vec<Secret>) -> Option<Self> {
        let mut source = self.clone();
        if !source.scheme.forget_keys() {
            return None;
        }
        for (number, secret) in secrets.iter().enumerate().filter(|(_, secret)| !secret.is_blank()) {
            source.scheme.add_key(number, secret).ok()?;
        }
        Some(Self { secrets, ..source })
    }

    fn other_urls(&self, request: &Request) -> Vec<Attempt> {
        let Some(url) = &self.url else { return Vec::new() };
        let (base, query) = url.split_once('?').map_or((url.as_str(), ""), |(base, query)| (base, query));
        let tail = if query.is_empty() { String::new() } else { format!("?{query}") };
        let host = request.headers.one_str("host").unwrap_or_default();
        let port = |from: &str, to: &str| {
            let (scheme, rest) = base.split_once("://")?;
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host =
                if from.is_empty() { format!("{host}{to}") } else { host.strip_suffix(from)?.to_owned() };
            Some(format!("{scheme}://{host}{path}{tail}"))
        };
        let others = [
            base.strip_suffix('/').map(|bare| format!("{bare}{tail}")),
            Some(format!("{base}/{tail}")),
            url.strip_prefix("https://").map(|rest| format!("http://{rest}")),
            url.strip_prefix("http://").map(|rest| format!("https://{rest}")),
            port(":443", ""),
            port("", ":443"),
            percent_decode_str(url).decode_utf8().ok().map(Cow::into_owned),
            Some(base.to_owned()),
            Some(url.to_ascii_lowercase()),
            Some(format!("https://{host}{}{tail}", request.path)),
            Some(format!("https://{host}{}", request.path)),
        ];
        let mut known: Vec<String> = vec![url.clone()];
        for other in others.into_iter().flatten() {
            if !known.contains(&other) {
                known.push(other);
            }
        }
        let attempt = |url: String| Attempt {
            change: format!("the address {url}: write `url` as it is set at the sender"),
            request: request.clone(),
            source: Self { url: Some(url), ..self.clone() },
        };
        known.into_iter().skip(1).map(attempt).collect()
    }
}

/// Function that returns another reading of a secret; `None` if the secret has no such reading.
type Other = fn(&Secret) -> Option<Vec<u8>>;

/// Usual mistakes in secrets: what the change is called, and the secret with it.
const SECRETS: [(&str, Other); 8] = [
    ("without the blanks around it", |secret| Some(secret.expose().trim_ascii().to_vec())),
    ("with a line end at its end", |secret| Some([secret.expose(), b"\n"].concat())),
    ("without the quotes around it", |secret| {
        let text = secret.expose_str()?.trim();
        ['"', '\''].iter().find_map(|quote| Some(text.strip_prefix(*quote)?.strip_suffix(*quote)?.into()))
    }),
    ("without the byte order mark at its start", |secret| {
        let text = secret.expose_str()?;
        Some(text.trim_start_matches('\u{feff}').as_bytes().to_vec())
    }),
    ("with its escapes decoded", |secret| Some(percent_decode_str(secret.expose_str()?).collect())),
    ("decoded from Base64", |secret| STANDARD.decode(secret.expose()).ok()),
    ("decoded from hex", |secret| Encoding::Hex.decode(secret.expose_str()?)),
    ("as text, not decoded", |secret| Some(STANDARD.encode(secret.expose()).into_bytes())),
];

/// Writes JSON with other blanks between its tokens; the text is valid JSON.
fn respaced(json: &str, after_comma: &str, after_colon: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            text.push(c);
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => continue,
            '"' => in_string = true,
            _ => {}
        }
        text.push(c);
        match c {
            ',' => text.push_str(after_comma),
            ':' => text.push_str(after_colon),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_with_other_blanks_outside_of_strings_alone() {
        let json = "{ \"a\": [1, 2],\n \"b, c\": \"x\\\" , : y\\\\\" , \"d\":null }";
        let compact = "{\"a\":[1,2],\"b, c\":\"x\\\" , : y\\\\\",\"d\":null}";
        assert_eq!(respaced(json, "", ""), compact);
        let spaced = "{\"a\": [1, 2], \"b, c\": \"x\\\" , : y\\\\\", \"d\": null}";
        assert_eq!(respaced(json, " ", " "), spaced);
    }
}
