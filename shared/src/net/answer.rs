//! HTTP answers, and the cleaning of their text for a log.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::clock::Timestamp;
use crate::json::{self, JsonError};

/// Upper bound on the vendor's text in an error, in characters.
const MAX_TEXT: usize = 512;

/// Upper bound on an id or code, in characters.
const MAX_ID: usize = 256;

/// Upper bound on a wait that a vendor asks for: a waiting delivery is tried at least once an hour.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Number of bytes in a row that count as quoted from a message.
const QUOTED: usize = 8;

/// HTTP answer of a server, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Header fields of the answer.
    pub headers: HeaderMap,
    /// Body, without a transfer encoding.
    pub body: Bytes,
}

impl Answer {
    /// Returns a header's value; `None` if it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the server's time from the `Date` header.
    pub fn date(&self) -> Option<Timestamp> {
        Timestamp::parse_http_date(self.header("date")?)
    }

    /// Parses `Retry-After` and clamps it to an hour. A date counts from the answer's own `Date`.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        let seconds = value.parse().ok().or_else(|| {
            let seconds = Timestamp::parse_http_date(value)?.unix() - self.date()?.unix();
            Some(u64::try_from(seconds).unwrap_or(0))
        });
        seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }

    /// Returns true if the status reports success.
    pub const fn is_2xx(&self) -> bool {
        matches!(self.status, 200..300)
    }

    /// Returns the id at `path`: a string, as documented, or a number. `false` and `0` do not name a stored
    /// message.
    pub(crate) fn id(&self, path: &str) -> Option<String> {
        let raw = json::find(&self.body, path).ok().flatten()?.get();
        let is_number = raw.parse().is_ok_and(|number: f64| number > 0.0);
        if is_number { id(raw) } else { id(&serde_json::from_str::<String>(raw).ok()?) }
    }

    /// Returns true if `path` has a value other than `null` and a blank string. Fails if the body is not JSON
    /// or has the field twice.
    pub(crate) fn has(&self, path: &str) -> Result<bool, JsonError> {
        let is_set = |raw: &str| raw != "null" && !raw.trim_matches('"').trim().is_empty();
        Ok(json::find(&self.body, path)?.is_some_and(|raw| is_set(raw.get())))
    }
}

/// Shortens a code or id of the vendor for a log line and a header; `None` if no printable character is left.
pub(crate) fn id(text: &str) -> Option<String> {
    let id: String = text.trim().chars().filter(char::is_ascii_graphic).take(MAX_ID).collect();
    (!id.is_empty()).then_some(id)
}

/// Cleans the vendor's text for a log: the result is short, and has no control characters, no `secrets`, and
/// no value of a header that carries a credential (the gateway of DMS prints the whole canonical request when
/// a signature is wrong).
pub(crate) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text: String = text.chars().take(16 * MAX_TEXT).collect();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "<secret>");
    }
    // Lower case in ASCII keeps the position of each byte.
    let lower = text.to_ascii_lowercase();
    let mut kept = String::new();
    let mut from = 0;
    while let Some((start, end)) = next_credential(&lower, from) {
        kept.push_str(text.get(from..start).unwrap_or_default());
        kept.push_str("<secret>");
        from = end;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    let printable = kept.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_TEXT).collect()
}

/// Replaces everything in `text` that is quoted from `message`, as a vendor may quote the message that it
/// refuses. The name `topic` stays, even if the message has it too.
pub(crate) fn without_message(text: String, message: &str, topic: &str) -> String {
    let bytes = text.as_bytes();
    let slot = |window: &[u8]| {
        let window = window.try_into().map_or(0, u64::from_le_bytes);
        (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
    };
    // The windows of the text, as lists by slot: most windows of a message find an empty one. A window that was
    // found leaves its list, so that a long message of equal windows costs no more than another.
    let (mut heads, mut next) = (vec![None; 4096], vec![None; bytes.len()]);
    for (at, window) in bytes.windows(QUOTED).enumerate() {
        next[at] = heads[slot(window)].replace(at);
    }
    let mut is_quoted = vec![false; bytes.len()];
    for window in message.as_bytes().windows(QUOTED) {
        let head = slot(window);
        let (mut before, mut here): (Option<usize>, Option<usize>) = (None, heads[head]);
        while let Some(at) = here {
            here = next[at];
            if bytes[at..at + QUOTED] == *window {
                is_quoted[at..at + QUOTED].fill(true);
                match before {
                    Some(before) => next[before] = here,
                    None => heads[head] = here,
                }
            } else {
                before = Some(at);
            }
        }
    }
    if !topic.is_empty() {
        for (at, _) in text.match_indices(topic) {
            is_quoted[at..at + topic.len()].fill(false);
        }
    }
    if !is_quoted.contains(&true) {
        return text;
    }
    let (mut kept, mut was_quoted) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match (is_quoted[at], was_quoted) {
            (true, false) => kept.push_str("<message>"),
            (true, true) => {}
            (false, _) => kept.push(c),
        }
        was_quoted = is_quoted[at];
    }
    kept
}

/// Finds the value of the next credential header in `lower`, searching from `from`: the range from the colon
/// to the character that ends the header in quoting texts.
fn next_credential(lower: &str, from: usize) -> Option<(usize, usize)> {
    // The name `x-amz-security-token:` ends with another one of the list.
    const HEADERS: [&str; 4] = ["security-token:", "x-auth-token:", "x-tc-token:", "authorization:"];
    let rest = lower.get(from..)?;
    let start = HEADERS.iter().filter_map(|name| Some(rest.find(name)? + name.len())).min()?;
    let length = rest.get(start..)?.find(['|', '\n', '\r', '"']);
    Some((from + start, length.map_or(lower.len(), |length| from + start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked() {
        let text = "verify aksk signature fail, canonicalRequest:POST|/v2/|x-sdk-date:20240102T030405Z|\
                    X-Security-Token:abc|def||host;x-security-token|e3b0";
        assert_eq!(
            clean(text, &["def"]),
            "verify aksk signature fail, canonicalRequest:POST|/v2/|x-sdk-date:20240102T030405Z|\
             X-Security-Token:<secret>|<secret>||host;x-security-token|e3b0"
        );
        assert_eq!(
            clean("authorization: TC3 x\nnext x-tc-token:y", &[]),
            "authorization:<secret> next x-tc-token:<secret>"
        );
        assert_eq!(clean("é\u{1}x", &[""]), "é x");
        assert_eq!(clean(&"é".repeat(2000), &[]).chars().count(), MAX_TEXT);
    }

    #[test]
    fn a_quoted_message_is_masked_and_the_topic_is_not() {
        let message = r#"{"data":{"card":"4111 1111","note":"a secret-note"},"topic":"t/webhooks/a"}"#;
        let masked = |text: &str| without_message(text.to_owned(), message, "t/webhooks/a");
        assert_eq!(masked("payload (4111 1111) rejected"), "payload (<message>) rejected");
        assert_eq!(masked("no topic t/webhooks/a here"), "no topic t/webhooks/a here");
        for text in ["", "short", "nothing of it", "4111 11"] {
            assert_eq!(masked(text), text);
        }
        assert_eq!(masked("\u{e9}{'note':'a secret-note'}\u{e9}"), "\u{e9}{'note':'<message>'}\u{e9}");
        assert_eq!(without_message("12345678".to_owned(), "12345678", ""), "<message>");
    }

    #[test]
    fn ids_are_one_word() {
        assert_eq!(id(" 71:11:0:0\r\n").as_deref(), Some("71:11:0:0"));
        assert_eq!(id(" \u{2028}\t"), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let answer = |fields: &[(&'static str, &'static str)]| {
            let mut answer = Answer::default();
            for (name, value) in fields {
                answer.headers.insert(*name, value.parse().unwrap());
            }
            answer.retry_after()
        };
        let (now, then) = ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:50 GMT");
        assert_eq!(answer(&[("retry-after", " 7 ")]), Some(Duration::from_secs(7)));
        assert_eq!(answer(&[("retry-after", then), ("date", now)]), Some(Duration::from_secs(30)));
        assert_eq!(answer(&[("retry-after", now), ("date", then)]), Some(Duration::ZERO));
        assert_eq!(answer(&[("retry-after", "86400")]), Some(MAX_RETRY_AFTER));
        assert_eq!(answer(&[("retry-after", then)]), None);
        assert_eq!(answer(&[("retry-after", "soon")]), None);
    }
}
