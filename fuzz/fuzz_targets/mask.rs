//! Fuzz target for the masking of secrets: the first two lines are secrets, the rest is the text.
#![no_main]

use hookmq_shared::secret::Secret;
use hookmq_shared::source::fuzzing::masked;
use libfuzzer_sys::fuzz_target;

const VERIFIED: &[u8] = b"[verified]";

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let (Some(one), Some(other), Some(text)) = (parts.next(), parts.next(), parts.next()) else { return };
    let secrets = [Secret::new(one), Secret::new(other)];
    let found = masked(text, &secrets);
    let holds = |text: &[u8], secret: &[u8]| {
        !secret.is_empty() && text.windows(secret.len()).any(|window| window == secret)
    };
    for secret in [one, other] {
        assert!(!holds(text, secret) || found.is_some());
        // Each spelling of the secret is found on its own.
        if !secret.is_empty() {
            let url: Vec<u8> = secret.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect();
            assert!(masked(&url, &secrets).is_some());
        }
        if let Ok(secret) = std::str::from_utf8(secret)
            && !secret.is_empty()
        {
            let json = serde_json::to_string(secret).expect("text is JSON");
            assert!(masked(json.as_bytes(), &secrets).is_some());
            let units = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            assert!(masked(units.collect::<String>().as_bytes(), &secrets).is_some());
        }
    }
    let Some(found) = found else { return };
    // The text around the copies is kept, in its order.
    let mut rest = text;
    let mut kept = &found[..];
    while !kept.is_empty() {
        let end = kept.windows(VERIFIED.len()).position(|window| window == VERIFIED).unwrap_or(kept.len());
        let part = &kept[..end];
        let at = rest.windows(part.len().max(1)).position(|window| window == part || part.is_empty());
        assert!(part.is_empty() || at.is_some());
        rest = &rest[at.unwrap_or(0) + part.len()..];
        kept = kept.get(end + VERIFIED.len()..).unwrap_or_default();
    }
});
