//! Addresses that a message names, and the rules for the addresses that may be called.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use crate::reader::Table;
use crate::secret::Secret;
use crate::source::crypto::encoding;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::words;

/// An `https` address without user, port or fragment, in its plainest form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    /// Path and query, with the leading slash.
    target: String,
    /// Credentials without which the host answers nobody.
    login: Option<Login>,
}

/// Credentials of an OAuth client, with which its host lends tokens (RFC 6749, 4.4).
#[derive(Clone)]
pub(crate) struct Login(Arc<LoginInner>);

struct LoginInner {
    /// Address that lends tokens.
    address: Address,
    client: Secret,
    secret: Secret,
    scope: String,
    fingerprint: String,
}

impl Login {
    pub(crate) fn new(address: Address, client: &Secret, secret: &Secret, scope: &str) -> Self {
        let mut context = Context::new(&SHA256);
        let parts = [address.host.as_bytes(), address.target.as_bytes(), client.expose(), secret.expose()];
        for part in parts.into_iter().chain([scope.as_bytes()]) {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let fingerprint = encoding::to_hex(context.finish().as_ref());
        let (client, secret, scope) = (client.clone(), secret.clone(), scope.to_owned());
        Self(Arc::new(LoginInner { address, client, secret, scope, fingerprint }))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Returns the name and the password of the client.
    pub(crate) fn client(&self) -> (&Secret, &Secret) {
        (&self.0.client, &self.0.secret)
    }

    pub(crate) fn scope(&self) -> &str {
        &self.0.scope
    }

    /// Returns the hash that tells one login from another.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.0.address)
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Login {}

impl Hash for Login {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

/// Upper bound on an address, in bytes: no certificate, key set or confirmation has a longer one.
const MAX_ADDRESS: usize = 2048;

impl Address {
    /// Parses `https://host/path?query`. Returns `None` for every other text and for an address that two
    /// parsers could understand in two ways.
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
        is_sound.then(|| Self { host: host.to_owned(), target: target.to_owned(), login: None })
    }

    /// Returns the address with the credentials that its host asks for.
    pub(crate) fn with_login(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    /// Returns the credentials that the host asks for.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Returns the host name, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path and the query, in the form of a request line.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Display form without the query, which may hold a secret.
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

/// Document that was fetched from an address. Only that address vouches for the document: a verifier that
/// asked for another address never sees it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Address from which the document was requested.
    pub address: Address,
    /// Body of the document; `None` if it could not be fetched.
    pub document: Option<Bytes>,
    /// True if no newer document can be fetched now, so a key that is missing from this one is unknown.
    pub is_latest: bool,
    /// True if the host has no document at this address, so that whoever named it named nothing.
    pub is_unknown: bool,
}

/// Hosts and paths that may be called: `allow = ["certs.??-*.example.com/*.pem"]`. `*` matches any number of
/// letters, digits, `-` and `_`; `?` matches one letter; neither matches a dot or a slash. `{region}` stands
/// for the region of the message's subject: with `region = { from = "json:TopicArn", part = 4 }`, for the
/// fourth part of that field between colons. A service with one host per region must not be answered by the
/// host of another region.
#[derive(Clone, Debug)]
pub(crate) struct Allow {
    /// Pairs of a host pattern and a path pattern.
    patterns: Vec<(String, String)>,
    region: Option<Region>,
}

/// Place in which a message names its region.
#[derive(Clone, Debug)]
struct Region {
    from: Field,
    /// Number of the part between colons that is the region, counted from 1.
    part: usize,
}

/// Placeholder for the region in a pattern.
const REGION: &str = "{region}";

/// Patterns of a region, of which some have a country's two letters first and some the four of a partition
/// (`eusc-de-east-1`): they match no name that could be a bucket's, and nothing with a meaning in a pattern.
const ANY_REGION: [&str; 2] = ["??-*", "????-*"];

impl Allow {
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
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
            // A pattern that matches whole domains would match anyone's domain.
            let is_fixed = domain.len() == 2
                && domain.iter().all(|label| !label.is_empty() && !label.contains(['*', '?', '{']));
            if path.is_empty() || !is_fixed || at.value.contains([':', '@']) {
                table.error_at(
                    at.offset,
                    "allow",
                    format!("{:?} is not a host and a path: write {EXAMPLE}", at.value),
                );
                return None;
            }
            allowed.push((host.to_owned(), path.to_owned()));
        }
        let region = table.table("region").map(Region::read);
        let is_named = allowed.iter().any(|(host, path)| host.contains(REGION) || path.contains(REGION));
        if is_named != table.has("region") {
            table.error("region", format!("{REGION} and region = {{ from, part }} belong together"));
            return None;
        }
        match region {
            Some(None) => None, // It has said why.
            region => Some(Self { patterns: allowed, region: region.flatten() }),
        }
    }

    /// Returns true if the address may be called for the request; `with_query` permits an address with a
    /// query. Without a request, returns true if some request may exist for which the address is called.
    pub(crate) fn permits(&self, address: &Address, with_query: bool, view: Option<&View<'_>>) -> bool {
        let (path, query) =
            address.target.split_once('?').map_or((address.target.as_str(), None), |(p, q)| (p, Some(q)));
        let regions = match (&self.region, view) {
            (Some(region), Some(view)) => region.of(view).into_iter().collect(),
            _ => ANY_REGION.map(str::to_owned).to_vec(),
        };
        let fits = |pattern: &str, text: &str| {
            let is_fit =
                |region: &String| matches(pattern.replace(REGION, region).as_bytes(), text.as_bytes());
            regions.iter().any(is_fit)
        };
        let is_one = |(host, allowed): &(String, String)| fits(host, &address.host) && fits(allowed, path);
        (with_query || query.is_none()) && self.patterns.iter().any(is_one)
    }
}

impl Region {
    fn read(table: Table<'_>) -> Option<Self> {
        let from = words::field(&table, "from", "\"json:TopicArn\"");
        let part =
            table.number("part").and_then(|at| usize::try_from(at.value).ok()).filter(|part| *part > 0);
        if part.is_none() {
            table.error("part", "missing: write part = 4 for the fourth part between colons");
        }
        table.finish();
        Some(Self { from: from?, part: part? })
    }

    /// Returns the region that a message names, or `None` if the value does not look like a region.
    fn of(&self, view: &View<'_>) -> Option<String> {
        let text = self.from.read_text(view).ok()?;
        let region = text.split(':').nth(self.part - 1)?;
        let is_region = region.len() <= 32
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && ANY_REGION.iter().any(|any| matches(any.as_bytes(), region.as_bytes()));
        is_region.then(|| region.to_owned())
    }
}

/// Returns true if the whole text matches the pattern.
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
#[path = "address_tests.rs"]
mod tests;
