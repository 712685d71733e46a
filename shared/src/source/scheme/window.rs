//! Window of time in which a signed request is valid.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::reader::Table;
use crate::source::Rejection;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::words;

/// A timestamp in the request, and its allowed distance from now in both directions.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) from: Field,
    unit: Unit,
    pub(crate) past: Duration,
    pub(crate) future: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
    /// Seconds or milliseconds, told apart by the length: seconds have at most 11 digits until the year 5138.
    SecondsOrMillis,
    Rfc3339,
    HttpDate,
    /// Seconds, for the moment until which the request is valid.
    Expires,
}

/// Default of the bound on how far ahead an expiry may be.
const MAX_AHEAD: Duration = Duration::from_secs(3600);

/// Validity of a request that we sign with an expiry, if the window allows as much.
#[cfg(feature = "sender")]
const VALIDITY: Duration = Duration::from_secs(600);

/// Default window in both directions, the one of [Standard Webhooks] and most official libraries.
///
/// [Standard Webhooks]:
/// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
const TOLERANCE: Duration = Duration::from_secs(300);

impl Window {
    pub(crate) fn read(table: Table<'_>) -> Option<Self> {
        let from = words::field(&table, "from", "\"header:X-Timestamp\"");
        let units = [
            ("s", Unit::Seconds),
            ("ms", Unit::Millis),
            ("s or ms", Unit::SecondsOrMillis),
            ("rfc3339", Unit::Rfc3339),
            ("http-date", Unit::HttpDate),
            ("expires", Unit::Expires),
        ];
        let unit = words::one_of(&table, "unit", &units);
        let bound = |key, default| table.duration(key).map_or(default, |at| at.value);
        let (past, future) = match unit {
            Some(Unit::Expires) => (Duration::ZERO, bound("max_ahead", MAX_AHEAD)),
            _ => (bound("past", TOLERANCE), bound("future", TOLERANCE)),
        };
        table.finish();
        Some(Self { from: from?, unit: unit?, past, future })
    }

    pub(crate) fn check(&self, view: &View<'_>, now: Timestamp) -> Result<(), Rejection> {
        let text = self.from.read_text(view)?;
        let at = self.unit.parse(&text).ok_or_else(|| Rejection::Malformed(self.from.to_string()))?;
        if at < now.shifted(-millis(self.past)) {
            Err(Rejection::Stale)
        } else if at > now.shifted(millis(self.future)) {
            Err(Rejection::Future)
        } else {
            Ok(())
        }
    }
}

#[cfg(feature = "sender")]
impl Window {
    /// Returns how long after its signing a request is accepted.
    pub(crate) fn max_age(&self) -> Duration {
        if self.unit == Unit::Expires { self.future } else { self.past }
    }

    /// Formats `now` for a request that we sign; for an expiry, formats the end of the request's validity.
    pub(crate) fn text(&self, now: Timestamp) -> String {
        match self.unit {
            Unit::Seconds => now.unix().to_string(),
            Unit::Millis | Unit::SecondsOrMillis => now.unix_millis().to_string(),
            Unit::Rfc3339 => now.rfc3339(),
            Unit::HttpDate => now.http_date(),
            Unit::Expires => now.shifted(millis(VALIDITY.min(self.future))).unix().to_string(),
        }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Seconds | Self::Expires => digits(text).map(Timestamp::from_unix),
            Self::SecondsOrMillis if text.len() <= 11 => Self::Seconds.parse(text),
            Self::Millis | Self::SecondsOrMillis => digits(text).map(Timestamp::from_unix_millis),
            Self::Rfc3339 => Timestamp::parse_rfc3339(text),
            Self::HttpDate => Timestamp::parse_http_date(text),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Parses a number of digits only: the text itself is signed, so no other text may mean the same moment.
fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_number() {
        assert_eq!(Unit::Seconds.parse("1760000000"), Some(Timestamp::from_unix(1_760_000_000)));
        assert_eq!(Unit::Millis.parse("5"), Some(Timestamp::from_unix_millis(5)));
        for text in ["1760000000", "1760000000000"] {
            assert_eq!(
                Unit::SecondsOrMillis.parse(text),
                Some(Timestamp::from_unix(1_760_000_000)),
                "{text}"
            );
        }
        for text in ["", "abc", "1.9", "-1", "+1", " 1", "1 ", "1e9", "0x1", "99999999999999999999", "１"] {
            assert_eq!(Unit::Seconds.parse(text), None, "{text}");
        }
    }
}
