//! Fuzz target for signatures in a header: one byte chooses the format, the rest is the header's value. The
//! result equals that of a plain reading of the table's words, and a rejection has a valid reason.
#![no_main]

use hookmq_shared::source::fuzzing::{Signatures, SignaturesAndPairs};
use libfuzzer_sys::fuzz_target;

/// Upper bound on the number of signatures in a request, as documented.
const MOST: usize = 8;

/// The words of a `signature` table, with a simple parser for them.
struct Words(toml::Table);

impl Words {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(toml::Value::as_str).unwrap_or_default()
    }

    fn single(&self) -> impl Iterator<Item = &str> {
        self.0.get("single").and_then(toml::Value::as_array).into_iter().flatten().filter_map(|v| v.as_str())
    }

    /// Reads the signatures of `text`, or returns every reason to reject it.
    fn read(&self, text: &str) -> Result<SignaturesAndPairs, Vec<&'static str>> {
        let Some(text) = self.without_prefix(text) else { return Err(vec!["malformed"]) };
        let (sep, take) = (self.text("sep"), self.text("take"));
        let (mut taken, mut pairs, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        let items: Vec<&str> = match self.text("format") {
            "list" | "kv" => text.split(sep).collect(),
            _ => Vec::new(),
        };
        let blanks = [' ', '\t', ','];
        if items.iter().any(|item| item.starts_with(blanks) || item.ends_with(blanks)) {
            wrong.push("ambiguous");
        }
        match self.text("format") {
            "list" => taken.extend(items.iter().filter_map(|item| item.strip_prefix(take))),
            "kv" => {
                for item in items {
                    match item.split_once('=') {
                        Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                        None => wrong.push("malformed"),
                    }
                    taken.extend(item.strip_prefix(take).and_then(|rest| rest.strip_prefix('=')));
                }
            }
            _ => taken.push(text),
        }
        let count = |key| pairs.iter().filter(|(k, _)| k == key).count();
        if self.single().any(|key| count(key) > 1) {
            wrong.push("ambiguous");
        }
        let signatures: Vec<_> = taken.iter().filter_map(|text| self.decode(text)).collect();
        if signatures.len() < taken.len() {
            wrong.push("malformed");
        }
        match taken.len() {
            0 => wrong.push("missing"),
            1..=MOST => {}
            _ => wrong.push("too_many_signatures"),
        }
        if wrong.is_empty() { Ok((signatures, pairs)) } else { Err(wrong) }
    }

    fn without_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        let prefix = self.text("prefix");
        let Some(scheme) = prefix.strip_suffix(' ') else { return text.strip_prefix(prefix) };
        let (head, rest) = text.split_at_checked(scheme.len())?;
        let rest = rest.strip_prefix(' ')?;
        (head.to_ascii_lowercase() == scheme.to_ascii_lowercase()).then(|| rest.trim_start_matches(' '))
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        match self.text("encoding") {
            "hex" => hex(text),
            "base64" => base64(text, *b"+/").filter(|_| text.len() % 4 == 0),
            _ => base64(text, *b"-_"),
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let is = |digits: &str| text.chars().all(|c| c.is_ascii_digit() || digits.contains(c));
    if text.len() % 2 > 0 || !(is("abcdef") || is("ABCDEF")) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Decodes base64 with these two extra digits; padding must be complete or absent, and leftover bits must be
/// 0.
fn base64(text: &str, others: [u8; 2]) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding > 0 && (padding > 2 || text.len() % 4 > 0) {
        return None;
    }
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            _ => 62 + u8::try_from(others.iter().position(|other| *other == digit)?).ok()?,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && count < 6).then_some(bytes)
}

/// Tables with every word of `signature`, combined as in presets and hooks.
const WAYS: [&str; 12] = [
    r#"encoding = "hex""#,
    r#"encoding = "base64""#,
    r#"encoding = "base64url""#,
    r#"prefix = "sha256=", encoding = "hex""#,
    r#"prefix = "Bearer ", encoding = "base64url""#,
    r#"format = "list", sep = " ", take = "v1,", encoding = "base64""#,
    r#"format = "list", sep = ",", take = "v1=", encoding = "hex""#,
    r#"prefix = "HMAC ", format = "list", sep = ", ", take = "v1", encoding = "base64url""#,
    r#"format = "kv", sep = ",", take = "v1", single = ["t"], encoding = "hex""#,
    r#"format = "kv", sep = ", ", take = "v1", single = ["t", "n"], encoding = "base64""#,
    r#"format = "kv", sep = ";", take = "s", single = ["s"], encoding = "base64url""#,
    r#"prefix = "a=1,", format = "kv", sep = "&", take = "é", encoding = "hex""#,
];

thread_local! {
    static READ: [(Signatures, Words); 12] = WAYS.map(|way| {
        let text = format!(r#"signature = {{ from = "header:S", {way} }}"#);
        let mut words: toml::Table = text.parse().expect(way);
        let Some(toml::Value::Table(words)) = words.remove("signature") else { panic!("{way}") };
        (Signatures::read(&text).expect(way), Words(words))
    });
}

fuzz_target!(|data: &[u8]| {
    let Some((way, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    READ.with(|ways| {
        let (signatures, words) = &ways[usize::from(*way) % ways.len()];
        match (signatures.parse(text), words.read(text)) {
            (Ok(found), Ok(want)) => {
                assert!((1..=MOST).contains(&found.0.len()));
                assert_eq!(found, want);
            }
            (Err(rejection), Err(wrong)) => assert!(wrong.contains(&rejection.as_str()), "{rejection}"),
            (found, want) => panic!("{found:?}, but {want:?}"),
        }
    });
});
