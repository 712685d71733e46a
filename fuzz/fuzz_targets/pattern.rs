//! Fuzz target for patterns of names: the first line is the pattern, the rest the name. A plain search for asterisks
//! finds the same.
#![no_main]

use hookmq_shared::source::fuzzing::matched;
use libfuzzer_sys::fuzz_target;

/// Matches character by character; an asterisk stands for any text.
fn plain(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|at| plain(rest, &name[at..])),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && plain(rest, after),
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    let stars = pattern.matches('*').count();
    let is_pattern = !pattern.is_empty() && (stars == 0 || stars == 1 && pattern.ends_with('*'));
    let wanted = is_pattern.then(|| {
        let in_any_case =
            plain(pattern.to_ascii_lowercase().as_bytes(), name.to_ascii_lowercase().as_bytes());
        (plain(pattern.as_bytes(), name.as_bytes()), in_any_case)
    });
    assert_eq!(matched(pattern, name), wanted, "{pattern:?} {name:?}");
});
