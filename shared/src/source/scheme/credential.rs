//! Header fields and query parameters that hold credentials, of a sender or of any platform.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::delivery::Delivery;
use crate::http::is_platform_header;
use crate::source::scheme::Scheme;
use crate::source::scheme::field::Field;
use crate::source::scheme::mask::VERIFIED;

/// Header fields in which presets find a token: `build.rs` reads them from the presets' files.
const TOKEN_HEADERS: &[&str] = include!(concat!(env!("OUT_DIR"), "/token_headers.rs"));

/// Query parameters in which presets find a token, read by `build.rs` in the same way.
const TOKEN_QUERIES: &[&str] = include!(concat!(env!("OUT_DIR"), "/token_queries.rs"));

/// Header fields with a credential that their names do not reveal: those of Azure Functions, `RapidAPI` and
/// the API Gateway of Huawei Cloud.
const HEADERS: [&str; 6] = [
    "key",
    "x-apig-appcode",
    "x-forwarded-client-cert",
    "x-functions-key",
    "x-ms-client-principal",
    "x-rapidapi-key",
];

/// Prefix of the header fields in which AWS load balancers describe the logged-in user.
const PREFIX: &str = "x-amzn-oidc-";

/// Query parameters with a credential whose names contain no word of [`WORDS`].
const QUERIES: [&str; 5] = ["key", "session", "sid", "ticket", "x-amz-signature"];

/// Last words of the names of credentials, for header fields and query parameters.
const LAST: [&str; 8] = ["auth", "authentication", "bearer", "otp", "pass", "pin", "pw", "pwd"];

/// Endings, in the singular, of a word that marks a name as a credential's.
const WORDS: [&str; 15] = [
    "apikey",
    "assertion",
    "authorization",
    "cookie",
    "credential",
    "jwt",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "token",
    "accesskey",
    "accesskeyid",
    "saml",
];

/// Words before `key` that make the name a credential's; other keys are names of things.
const KEYS: [&str; 14] = [
    "access",
    "admin",
    "api",
    "app",
    "application",
    "auth",
    "encryption",
    "master",
    "private",
    "secret",
    "service",
    "signing",
    "subscription",
    "webhook",
];

/// Last words of names that describe a credential, or a signature made with one, but hold none.
const NONE: [&str; 4] = ["algorithm", "digest", "sig", "signature"];

/// Returns true if a header field holds a credential, which no message, log or template may keep.
///
/// Beside HTTP's own fields these are the token fields of all presets, the fields in which clouds, load
/// balancers and API gateways pass credentials to a function or expect them from a caller, and every field
/// with such a name.
pub fn is_credential_header(name: &str) -> bool {
    is_named_credential(name)
        || TOKEN_HEADERS.iter().chain(&HEADERS).any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        || is_platform_header(name)
}

/// Returns true if a field of HTTP or of a platform may hold a credential in any request, even one that is
/// verified by other means.
pub(crate) fn is_of_every_request(name: &str) -> bool {
    const NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || is_platform_header(name)
}

/// Returns true if a query parameter holds a credential, by the same measure as [`is_credential_header`].
pub(crate) fn is_credential_query(name: &str) -> bool {
    // Some frameworks read `token[]`, or the name up to a NUL, as `token`.
    let name = name.split(['[', '\0']).next().unwrap_or(name);
    is_named_credential(name)
        || TOKEN_QUERIES.iter().chain(&QUERIES).any(|known| name.eq_ignore_ascii_case(known))
}

/// Removes the values of parameters that hold credentials from a query.
pub(crate) fn without_credentials(query: &str) -> Cow<'_, str> {
    without(query, &is_credential_query)
}

/// Removes the values of parameters that hold credentials from the query of an address; `None` if the text has
/// none.
pub(crate) fn address_without_credentials(address: &str) -> Option<String> {
    address_without(address, &is_credential_query)
}

fn address_without(address: &str, is_credential: &dyn Fn(&str) -> bool) -> Option<String> {
    let (before, query) = address.split_once('?')?;
    let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
    match without(query, is_credential) {
        Cow::Borrowed(_) => None,
        Cow::Owned(query) => Some(format!("{before}?{query}{fragment}")),
    }
}

/// Removes the values of the parameters that `is_credential` selects by name. The mask of a verified token is
/// kept, as it is not a credential.
fn without<'q>(query: &'q str, is_credential: &dyn Fn(&str) -> bool) -> Cow<'q, str> {
    let kept = |pair: &str| -> Option<usize> {
        let has_value = |(_, value): &(&str, &str)| !value.is_empty() && *value != VERIFIED;
        let (name, _) = pair.split_once('=').filter(has_value)?;
        is_credential(&percent_decode_str(name).decode_utf8_lossy()).then_some(name.len() + 1)
    };
    if query.split('&').all(|pair| kept(pair).is_none()) {
        return query.into();
    }
    let mut out = String::with_capacity(query.len());
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            out.push('&');
        }
        match kept(pair) {
            Some(length) => out.extend([pair.get(..length).unwrap_or_default(), "[removed]"]),
            None => out.push_str(pair),
        }
    }
    out.into()
}

/// Header fields and query parameters in which the hooks of one configuration find tokens by their own
/// `[verify]` tables. A sender with a wrong address sends its token to another hook, whose source does not
/// know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenNames {
    headers: Vec<String>,
    queries: Vec<String>,
}

impl TokenNames {
    /// Adds the names from a hook's own `[verify]` table; the rest of the hook may be invalid.
    pub(crate) fn learn(&mut self, scheme: &Scheme) {
        for field in scheme.token_fields().flat_map(Field::places) {
            match field {
                Field::Header(name) => self.headers.push(name.clone()),
                Field::Query(name) => self.queries.push(name.clone()),
                _ => {}
            }
        }
    }

    /// Returns true if a hook finds its token in this header field.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    fn has_query(&self, name: &str) -> bool {
        self.queries.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    pub(crate) fn has(&self, field: &Field) -> bool {
        field.any(&|field| match field {
            Field::Header(name) => self.has_header(name),
            Field::Query(name) => self.has_query(name),
            _ => false,
        })
    }

    /// Removes the tokens of all hooks from a delivery. A token of the delivery's own hook is masked already.
    pub(crate) fn strip(&self, delivery: &mut Delivery) {
        delivery.retain_headers(|name, value| value == VERIFIED || !self.has_header(name));
        delivery.edit_headers(|value| address_without(value, &|name| self.has_query(name)));
        if let Cow::Owned(query) = without(&delivery.query, &|name| self.has_query(name)) {
            delivery.cut_query(query);
        }
    }
}

/// Returns true if a word of the name says that the field is a credential.
fn is_named_credential(name: &str) -> bool {
    let mut before = "";
    let mut is_credential = false;
    for word in name.split(['-', '_', '.']) {
        let word_is = |known: &str| word.eq_ignore_ascii_case(known);
        // An idempotency key is the sender's id of a repeated request, not a credential.
        let is_id = before.eq_ignore_ascii_case("idempotency");
        let follows = |known: &str| before.eq_ignore_ascii_case(known);
        is_credential |= !is_id
            && (is_credential_word(word.as_bytes())
                || (word_is("key") && KEYS.iter().any(|known| follows(known))));
        before = word;
    }
    is_credential |= LAST.iter().any(|last| before.eq_ignore_ascii_case(last));
    is_credential && !NONE.iter().any(|last| before.eq_ignore_ascii_case(last))
}

/// Returns true if the word, or its singular, ends with one of [`WORDS`] in any case. The check runs on every
/// field of every request; most words differ from every known word in the last letter.
fn is_credential_word(word: &[u8]) -> bool {
    if let [stem @ .., b's' | b'S' | b'2'] = word
        && is_credential_word(stem)
    {
        return true;
    }
    let [.., last] = word else { return false };
    WORDS.iter().any(|known| {
        let known = known.as_bytes();
        known.last() == Some(&last.to_ascii_lowercase())
            && word.len() >= known.len()
            && word[word.len() - known.len()..].eq_ignore_ascii_case(known)
    })
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;
