//! Window of time in which a signed request is valid.

use std::fmt;
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
    /// RFC 3339 without a zone, which is then UTC.
    Utc,
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
            ("utc", Unit::Utc),
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

    /// Accepts requests up to this age. An expiry is the sender's own bound, so it stays; false then.
    pub(crate) fn widen(&mut self, past: Duration) -> bool {
        let has_age = self.unit != Unit::Expires;
        if has_age {
            self.past = past;
        }
        has_age
    }

    /// Returns true if no moment is in the window.
    #[cfg(feature = "catalog")]
    pub(crate) const fn is_empty(&self) -> bool {
        self.past.is_zero() && self.future.is_zero()
    }

    /// Returns true if the timestamp consists of digits.
    #[cfg(feature = "catalog")]
    pub(crate) const fn has_digits(&self) -> bool {
        matches!(self.unit, Unit::Seconds | Unit::Millis | Unit::SecondsOrMillis | Unit::Expires)
    }

    pub(crate) fn check(&self, view: &View<'_>, now: Timestamp) -> Result<(), Rejection> {
        let at = self.read_time(view)?;
        if at < now.shifted(-millis(self.past)) {
            Err(Rejection::Stale)
        } else if at > now.shifted(millis(self.future)) {
            Err(Rejection::Future)
        } else {
            Ok(())
        }
    }

    /// Returns the age of a request.
    pub(crate) fn age(&self, view: &View<'_>, now: Timestamp) -> Option<Age> {
        let at = self.read_time(view).ok()?;
        Some(Age { seconds: now.unix().saturating_sub(at.unix()), past: self.past, future: self.future })
    }

    fn read_time(&self, view: &View<'_>) -> Result<Timestamp, Rejection> {
        let text = self.from.read_text(view)?;
        self.unit.parse(&text).ok_or_else(|| Rejection::Malformed(self.from.to_string()))
    }
}

/// Age of a request by the clock of this machine, with the bounds on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    /// Seconds since the request's timestamp; negative if the timestamp is ahead.
    pub(crate) seconds: i64,
    pub(crate) past: Duration,
    pub(crate) future: Duration,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, allowed) = if self.seconds < 0 { ("ahead", self.future) } else { ("ago", self.past) };
        let (seconds, allowed) = (self.seconds.unsigned_abs(), allowed.as_secs());
        write!(f, "{seconds} s {side} by this machine's clock, and {allowed} s are allowed")
    }
}

#[cfg(feature = "sender")]
impl Window {
    /// Returns how long after its signing a request is accepted.
    pub(crate) fn max_age(&self) -> Duration {
        if self.unit == Unit::Expires { self.future } else { self.past }
    }

    /// Returns true if the request says itself until when it is valid.
    #[cfg(any(test, feature = "catalog"))]
    pub(crate) const fn is_expiry(&self) -> bool {
        matches!(self.unit, Unit::Expires)
    }

    /// Formats `now` for a request that we sign; for an expiry, formats the end of the request's validity.
    pub(crate) fn text(&self, now: Timestamp) -> String {
        match self.unit {
            Unit::Seconds => now.unix().to_string(),
            Unit::Millis | Unit::SecondsOrMillis => now.unix_millis().to_string(),
            Unit::Rfc3339 => now.rfc3339(),
            Unit::Utc => now.rfc3339().trim_end_matches('Z').to_owned(),
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
            Self::Utc => {
                Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
            }
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
