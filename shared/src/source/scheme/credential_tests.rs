//! Tests of `credential`.

use super::*;
use crate::source::preset_names;
use crate::source::presets::Preset;
use crate::source::scheme::field::Field;
use crate::source::scheme::kinds::Kind;

/// The tokens that `build.rs` finds in the text of the files are the tokens of the parsed presets.
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
