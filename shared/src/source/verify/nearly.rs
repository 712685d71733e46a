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
    use toml::de::DeTable;

    use super::*;
    use crate::clock::Random;
    use crate::reader::{Mistakes, Table};
    use crate::source::{Draft, Settings};

    const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);
    const SECRET: &str = "0123456789abcdef0123";

    /// Builds a source that signs these parts by HMAC, with a key in this form.
    fn source(signed: &str, key: &str, secret: &[u8], url: &str) -> Source {
        let table = format!(
            "kind = \"hmac\"\nhash = \"sha256\"\nkey = {{ encoding = \"{key}\" }}\nsigned = [{signed}]\n\
             signature = {{ from = \"header:S\", encoding = \"hex\" }}"
        );
        let mistakes = Mistakes::new("t", &table);
        let document = DeTable::parse(&table).unwrap();
        let settings =
            Settings { secrets: vec![Secret::new(secret)], url: Some(url.to_owned()), ..Settings::default() };
        Source::custom(Table::new(&mistakes, "", 0, document.get_ref()), settings).unwrap()
    }

    fn sent(source: &Source, path: &str, query: &str, body: &str) -> Request {
        let draft = Draft {
            path: path.to_owned(),
            raw_query: query.to_owned(),
            headers: [("host", "x.example")].into_iter().collect(),
            body: Some(body.to_owned().into()),
            ..Draft::default()
        };
        source.sign(draft, 0, NOW, &Random::from_fn(|| 1)).unwrap()
    }

    /// Asserts that a refused request is told to match with this change alone.
    fn assert_near(source: &Source, request: &Request, change: &str) {
        assert!(source.verify(request, NOW, &[]).is_err(), "{change}");
        let misses = source.near_misses(request, NOW);
        assert!(misses.len() == 1 && misses[0].starts_with(change), "{change}: {misses:?}");
    }

    #[test]
    fn each_usual_change_of_a_body_is_named() {
        let source = source("\"{body}\"", "utf8", SECRET.as_bytes(), "https://x.example/h");
        for (signed, arrived, change) in [
            ("x", "x\n", "the body without the line end at its end"),
            ("x", "x\r\n", "the body without the line end at its end"),
            ("x\n", "x", "the body with a line end (LF) at its end"),
            ("x\r\n", "x", "the body with a line end (CR LF) at its end"),
            ("x", "\u{feff}x", "the body without the byte order mark"),
            ("x\ny", "x\r\ny", "the body with LF line ends instead of CR LF"),
            ("x\r\ny", "x\ny", "the body with CR LF line ends instead of LF"),
            ("{\"a\":[1,2]}", "{\"a\": [1, 2]}", "the body as JSON without blanks"),
            ("{\"a\": [1, 2]}", "{\"a\":[1,2]}", "the body as JSON with a blank after , and :"),
            ("{\"a\":\"b\\/c\"}", "{\"a\":\"b/c\"}", "the body as JSON with / written as \\/"),
        ] {
            let request = sent(&source, "/h", "", signed);
            assert_near(&source, &Request { body: arrived.to_owned().into(), ..request }, change);
        }
    }

    #[test]
    fn each_usual_change_of_an_address_is_named() {
        let by_query = source("\"{query:a}\", \"{body}\"", "utf8", SECRET.as_bytes(), "https://x.example/h");
        let request = sent(&by_query, "/h", "a=b%2Bc", "x");
        let decoded = Request { raw_query: "a=b+c".to_owned(), ..request };
        assert_near(&by_query, &decoded, "the query with its + as %2B");
        let by_address =
            source("\"{path_query}\", \"\\n\", \"{body}\"", "utf8", SECRET.as_bytes(), "https://x.example/h");
        for (path, query, arrived_path, arrived_query, change) in [
            ("/h", "a=b:c", "/h", "a=b%3Ac", "the query without escapes"),
            ("/h:i", "", "/h%3Ai", "", "the path without escapes"),
        ] {
            let request = sent(&by_address, path, query, "x");
            let (path, raw_query) = (arrived_path.to_owned(), arrived_query.to_owned());
            assert_near(&by_address, &Request { path, raw_query, ..request }, change);
        }
        for (signed, own) in [
            ("https://x.example/h", "https://x.example/h/"),
            ("https://x.example/h/", "https://x.example/h"),
            ("http://x.example/h", "https://x.example/h"),
            ("https://x.example/h", "http://x.example/h"),
            ("https://x.example/h", "https://x.example:443/h"),
            ("https://x.example:443/h", "https://x.example/h"),
            ("https://x.example/h:i", "https://x.example/h%3Ai"),
            ("https://y.example/h", "https://Y.example/h"),
            ("https://x.example/q", "https://proxy.internal/other"),
        ] {
            let with = |url| source("\"{url}\", \"\\n\", \"{body}\"", "utf8", SECRET.as_bytes(), url);
            let path = signed.rsplit_once(".example").unwrap().1.trim_start_matches(":443");
            let request = sent(&with(signed), path, "", "x");
            assert_near(&with(own), &request, &format!("the address {signed}: write `url`"));
        }
    }

    #[test]
    fn each_usual_mistake_in_a_secret_is_named() {
        let base64 = "MDEyMzQ1Njc4OWFiY2RlZg==";
        for (right, wrong, change) in [
            (SECRET, format!(" {SECRET}\t"), "without the blanks around it"),
            ("0123456789abcdef\n", "0123456789abcdef".to_owned(), "with a line end at its end"),
            (SECRET, format!("\"{SECRET}\""), "without the quotes around it"),
            (SECRET, format!("'{SECRET}'"), "without the quotes around it"),
            (SECRET, format!("\u{feff}{SECRET}"), "without the byte order mark at its start"),
            ("0123456789ab/def", "0123456789ab%2Fdef".to_owned(), "with its escapes decoded"),
            ("0123456789abcdef", base64.to_owned(), "decoded from Base64"),
            ("0123456789", "30313233343536373839".to_owned(), "decoded from hex"),
        ] {
            let with = |secret: &str| source("\"{body}\"", "utf8", secret.as_bytes(), "https://x.example/h");
            assert_near(&with(&wrong), &sent(&with(right), "/h", "", "x"), &format!("the secret {change}"));
        }
        let as_text = source("\"{body}\"", "utf8", base64.as_bytes(), "https://x.example/h");
        let decoded = source("\"{body}\"", "base64", base64.as_bytes(), "https://x.example/h");
        let request = sent(&as_text, "/h", "", "x");
        assert_near(&decoded, &request, "the secret as text, not decoded");
    }

    #[test]
    fn json_is_written_with_other_blanks_outside_of_strings_alone() {
        let json = "{ \"a\": [1, 2],\n \"b, c\": \"x\\\" , : y\\\\\" , \"d\":null }";
        let compact = "{\"a\":[1,2],\"b, c\":\"x\\\" , : y\\\\\",\"d\":null}";
        assert_eq!(respaced(json, "", ""), compact);
        let spaced = "{\"a\": [1, 2], \"b, c\": \"x\\\" , : y\\\\\", \"d\": null}";
        assert_eq!(respaced(json, " ", " "), spaced);
    }
}
