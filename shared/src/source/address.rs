//! Addresses that a message names, and which of them may be called.

use std::fmt;

use bytes::Bytes;

use crate::reader::Table;

/// An `https` address without user, port or fragment, in its plainest form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    /// Path and query.
    target: String,
}

/// No certificate, key set or confirmation has a longer one.
const MAX_ADDRESS: usize = 2048;

impl Address {
    /// Reads `https://host/path?query`; `None` for everything else, and for what two readers could read
    /// in two ways.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").filter(|_| text.len() <= MAX_ADDRESS)?;
        let (host, target) = rest.split_at(rest.find('/')?);
        let is_host_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let is_target_byte = |b: u8| b.is_ascii_alphanumeric() || b"/?-._~%&=:+,@!$'()*;".contains(&b);
        let path = target.split('?').next()?;
        let has_dots = path.split('/').any(|part| part == "." || part == "..");
        let is_sound = host.split('.').all(|label| !label.is_empty())
            && host.bytes().all(is_host_byte)
            && target.bytes().all(is_target_byte)
            && !has_dots;
        is_sound.then(|| Self { host: host.to_owned(), target: target.to_owned() })
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.host, self.target.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// What was fetched from an address. It is the word of that address alone: a verifier that asked for
/// another one never sees it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where it was asked for.
    pub address: Address,
    /// What was there; `None` if it could not be had.
    pub document: Option<Bytes>,
    /// Whether a newer one cannot be had now: a key that is not in it is then unknown.
    pub is_latest: bool,
}

/// `allow = ["sns.??-*.amazonaws.com/SimpleNotificationService-*.pem"]`: which hosts and paths may be
/// called. `*` is any number of letters, digits, `-` and `_`, `?` is one letter; neither stands for a
/// dot or a slash.
#[derive(Clone, Debug)]
pub(super) struct Allow(Vec<(String, String)>);

impl Allow {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        const EXAMPLE: &str = r#"allow = ["certs.example.com/*.pem"]"#;
        let list = table.strings("allow").map(|list| list.value).unwrap_or_default();
        if list.is_empty() {
            table.error("allow", format!("no host is allowed: write {EXAMPLE}"));
            return None;
        }
        let mut allowed = Vec::new();
        for at in &list {
            let (host, path) = at.value.split_at(at.value.find('/').unwrap_or(at.value.len()));
            let domain: Vec<&str> = host.rsplit('.').take(2).collect();
            // A pattern that lets whole domains in would let anybody's in.
            let is_fixed = domain.len() == 2
                && domain.iter().all(|label| !label.is_empty() && !label.contains(['*', '?']));
            if path.is_empty() || !is_fixed || at.value.contains([':', '@']) {
                table.error_at(
                    at.offset,
                    "allow",
                    format!("{:?} is no host and path: write {EXAMPLE}", at.value),
                );
                return None;
            }
            allowed.push((host.to_owned(), path.to_owned()));
        }
        Some(Self(allowed))
    }

    /// Whether the address may be called; `with_query` if it may have one.
    pub(super) fn permits(&self, address: &Address, with_query: bool) -> bool {
        let (path, query) =
            address.target.split_once('?').map_or((address.target.as_str(), None), |(p, q)| (p, Some(q)));
        let fits = |(host, allowed): &(String, String)| {
            matches(host.as_bytes(), address.host.as_bytes()) && matches(allowed.as_bytes(), path.as_bytes())
        };
        (with_query || query.is_none()) && self.0.iter().any(fits)
    }
}

/// Whether the text is of that pattern.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([b'*', pattern @ ..], text) => {
            let run = text.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
            (0..=run).any(|taken| matches(pattern, text.get(taken..).unwrap_or_default()))
        }
        ([b'?', pattern @ ..], [b, text @ ..]) => b.is_ascii_alphabetic() && matches(pattern, text),
        ([p, pattern @ ..], [b, text @ ..]) => p == b && matches(pattern, text),
        (pattern, text) => pattern.is_empty() && text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        for good in ["https://a.example/", "https://a-1.example/x?y=z", "https://a/b.pem"] {
            assert!(Address::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https://a.example",
            "https:///x",
            "http://a.example/",
            "HTTPS://a.example/",
            "https://A.example/",
            "https://a.example:443/",
            "https://u@a.example/",
            "https://u:p@a.example/",
            "https://a..example/",
            "https://a.example./",
            "https://[::1]/",
            "https://a.example/#x",
            "https://a.example\\@b.example/",
            "https://a.example/\r\nHost: b",
            "https://a.example/a b",
            "https://a.example/é",
            "https://a.example/../x",
            "https://a.example/x/.",
            " https://a.example/",
        ] {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
        assert!(Address::parse(&format!("https://a.example/{}", "x".repeat(MAX_ADDRESS))).is_none());
    }

    #[test]
    fn patterns_match_whole_texts() {
        let is = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        assert!(is("sns.??-*.a.com", "sns.us-east-1.a.com"));
        assert!(is("/S-*.pem", "/S-0aZ.pem") && is("/*a*b", "/xaab") && is("", ""));
        for (pattern, text) in [
            ("sns.??-*.a.com", "sns.s3-ap-1.a.com"),
            ("sns.??-*.a.com", "sns.us-east-1.x.a.com"),
            ("sns.??-*.a.com", "sns.us-east-1.a.com.evil"),
            ("/*.pem", "/a/b.pem"),
            ("/*.pem", "/a.pem?x"),
            ("/*.pem", "/..pem"),
            ("/", "/x"),
            ("/x", "/"),
        ] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
    }
}
