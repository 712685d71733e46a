//! Which header fields and query parameters hold credentials, whoever's they are.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::http::is_platform_header;

/// The header fields in which presets find a token: `build.rs` reads them in the presets' files.
const TOKEN_HEADERS: &[&str] = include!(concat!(env!("OUT_DIR"), "/token_headers.rs"));

/// The query parameters likewise.
const TOKEN_QUERIES: &[&str] = include!(concat!(env!("OUT_DIR"), "/token_queries.rs"));

/// Header fields whose names do not say so: of Azure's functions, `RapidAPI` and API Gateway of Huawei Cloud.
const HEADERS: [&str; 6] = [
    "key",
    "x-apig-appcode",
    "x-forwarded-client-cert",
    "x-functions-key",
    "x-ms-client-principal",
    "x-rapidapi-key",
];

/// What load balancers of AWS tell of who is logged in.
const PREFIX: &str = "x-amzn-oidc-";

/// Query parameters that are told by no word of [`WORDS`].
const QUERIES: [&str; 5] = ["key", "session", "sid", "ticket", "x-amz-signature"];

/// The last words of names that are a credential, of header fields and of query parameters.
const LAST: [&str; 8] = ["auth", "authentication", "bearer", "otp", "pass", "pin", "pw", "pwd"];

/// How the word of a name ends that is a credential, in the singular.
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

/// Words before `key` that make a credential of it; other keys are names of things.
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

/// The last words of names that are about a credential, or signed with one, and are none.
const NONE: [&str; 4] = ["algorithm", "digest", "sig", "signature"];

/// Whether a header field holds a credential: it is never kept, in no message, log or template.
///
/// Beside HTTP's own these are the token fields of all presets, the fields by which clouds, load balancers and
/// API gateways hand credentials to a function, or are handed them by a caller, and whatever is named so.
pub fn is_credential_header(name: &str) -> bool {
    is_named_credential(name)
        || TOKEN_HEADERS.iter().chain(&HEADERS).any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        || is_platform_header(name)
}

/// Whether a field of HTTP or of a platform may hold a credential in any request, whatever is verified by it.
pub(super) fn is_of_every_request(name: &str) -> bool {
    const NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || is_platform_header(name)
}

/// The query without the values of parameters that hold credentials.
pub(super) fn without_credentials(query: &str) -> Cow<'_, str> {
    let kept = |pair: &str| -> Option<usize> {
        let (name, _) = pair.split_once('=').filter(|(_, value)| !value.is_empty())?;
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        let known = TOKEN_QUERIES.iter().chain(&QUERIES);
        let is_credential = is_named_credential(&decoded)
            || known.into_iter().any(|known| decoded.eq_ignore_ascii_case(known));
        is_credential.then_some(name.len() + 1)
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

/// Whether a word of the name says that it is a credential.
fn is_named_credential(name: &str) -> bool {
    let mut before = "";
    let mut is_credential = false;
    for word in name.split(['-', '_', '.']) {
        let word_is = |known: &str| word.eq_ignore_ascii_case(known);
        // That of a repeated request, which is the sender's id of it.
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

/// Whether the word, or what it is the plural of, ends with one of [`WORDS`], in any case. It is asked of every
/// field of every request, and most words differ from each of them in their last letter.
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
mod tests {
    use super::super::field::Field;
    use super::super::kinds::Kind;
    use super::super::preset_names;
    use super::super::presets::Preset;
    use super::*;

    /// `build.rs` reads the files as text: what it finds is what the parsed presets say.
    #[test]
    fn the_tokens_of_every_preset_are_known() {
        let mut found = (Vec::new(), Vec::new());
        for name in preset_names() {
            let preset = Preset::load(name).unwrap();
            let verifiers = preset.scheme.verifiers().iter();
            let tokens = verifiers.filter_map(|verifier| match &verifier.kind {
                Kind::Token(token) => Some(&token.from),
                _ => None,
            });
            for from in tokens.chain(preset.profile.handshakes.iter().filter_map(|h| h.token_from())) {
                match from {
                    Field::Header(name) => found.0.push(name.to_ascii_lowercase()),
                    Field::Query(name) => found.1.push(name.to_ascii_lowercase()),
                    _ => {}
                }
            }
            let jwts = preset.scheme.verifiers().iter().filter_map(|verifier| match &verifier.kind {
                Kind::Jwt(jwt) if !jwt.covers_body() => Some(&jwt.from),
                _ => None,
            });
            for from in jwts {
                assert!(matches!(from, Field::Header(name) if is_credential_header(name)), "{name}");
            }
        }
        for list in [&mut found.0, &mut found.1] {
            list.sort();
            list.dedup();
        }
        assert_eq!(
            (found.0, found.1),
            (
                TOKEN_HEADERS.iter().map(|s| (*s).to_owned()).collect(),
                TOKEN_QUERIES.iter().map(|s| (*s).to_owned()).collect()
            )
        );
    }
}
