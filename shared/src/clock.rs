//! Injected sources of wall time and randomness.
//!
//! Signatures, time windows and envelopes need the calendar and take a [`Clock`]. Deadlines and back-off need
//! elapsed time only and use `tokio::time`, which tests can pause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Moment in UTC, in milliseconds since the Unix epoch.
///
/// ```
/// use hookmq_shared::clock::Timestamp;
///
/// let moment = Timestamp::parse_rfc3339("2026-11-22T18:30:00.123Z").ok_or("not a time")?;
/// assert_eq!(moment.unix_millis(), 1_795_372_200_123);
/// assert_eq!(moment.shifted(5_000).rfc3339(), "2026-11-22T18:30:05.123Z");
/// assert_eq!(Timestamp::parse_http_date("Sun, 22 Nov 2026 18:30:00 GMT"), Some(moment.shifted(-123)));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Converts Unix seconds into a timestamp. Seconds beyond the range of `i64` milliseconds saturate.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Converts Unix milliseconds into a timestamp.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the whole seconds since the Unix epoch, rounded down.
    pub const fn unix(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Returns this moment moved by `millis`, to correct for a clock that differs from a server's.
    #[must_use]
    pub const fn shifted(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Formats the moment as RFC 3339, such as `2026-11-22T18:30:00.123Z`, for the `time` of CloudEvents.
    pub fn rfc3339(self) -> String {
        let t = self.utc();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }

    /// Formats the date for a TC3 credential scope, such as `2026-11-22`.
    pub fn date(self) -> String {
        let t = self.utc();
        format!("{:04}-{:02}-{:02}", t.year(), u8::from(t.month()), t.day())
    }

    /// Formats the moment for `X-Sdk-Date`, such as `20261122T183000Z`.
    pub fn basic(self) -> String {
        let t = self.utc();
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// Parses the form that [`basic`](Self::basic) writes.
    pub fn parse_basic(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| -> Option<u16> {
            let part = text.get(range)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        if text.len() != 16 || text.get(8..9)? != "T" || !text.ends_with('Z') {
            return None;
        }
        let byte = |range| u8::try_from(digits(range)?).ok();
        let month = Month::try_from(byte(4..6)?).ok()?;
        let date = Date::from_calendar_date(i32::from(digits(0..4)?), month, byte(6..8)?).ok()?;
        let time = Time::from_hms(byte(9..11)?, byte(11..13)?, byte(13..15)?).ok()?;
        Some(Self::from_unix(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()))
    }

    /// Parses an RFC 3339 time, such as the `expires_at` of an IAM token.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        Self::from_offset(OffsetDateTime::parse(text, &Rfc3339).ok()?)
    }

    /// Formats the moment as an HTTP date (RFC 9110, IMF-fixdate), such as `Sun, 22 Nov 2026 18:30:00 GMT`.
    pub fn http_date(self) -> String {
        let t = self.utc();
        let (weekday, month) = (t.weekday().to_string(), t.month().to_string());
        format!(
            "{weekday:.3}, {:02} {month:.3} {:04} {:02}:{:02}:{:02} GMT",
            t.day(),
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// Parses an HTTP date (IMF-fixdate), such as the `Date` of a response.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        Self::from_offset(OffsetDateTime::parse(text, &Rfc2822).ok()?)
    }

    fn from_offset(t: OffsetDateTime) -> Option<Self> {
        i64::try_from(t.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// Converts to a calendar date in UTC. A moment beyond the year 9999 means a broken clock and becomes the
    /// epoch.
    fn utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(UtcOffset::UTC)
    }
}

/// Source of wall time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the machine's clock. No other code reads the system time.
    pub fn system() -> Self {
        Self(Arc::new(|| {
            #[expect(clippy::disallowed_methods, reason = "the one call behind the injected clock")]
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
            Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }))
    }

    /// Returns a clock that always shows `at`.
    pub fn fixed(at: Timestamp) -> Self {
        Self::from_fn(move || at)
    }

    /// Returns a clock that a test drives through `now`.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Source of random bits for jitter and request ids, never for keys.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Random {
    /// Returns the operating system's generator.
    pub fn system() -> Self {
        use ring::rand::{SecureRandom, SystemRandom};
        let rng = SystemRandom::new();
        Self(Arc::new(move || {
            let mut bytes = [0; 8];
            // A failing system generator costs spread, not safety: these bits are never secret.
            rng.fill(&mut bytes).map_or(0, |()| u64::from_ne_bytes(bytes))
        }))
    }

    /// Returns a generator whose bits a test chooses through `next`.
    pub fn from_fn(next: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&self) -> u64 {
        (self.0)()
    }

    /// Returns a duration in `0..=most`, evenly distributed ("full jitter").
    pub fn up_to(&self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.checked_add(1).map_or_else(|| self.next_u64(), |n| self.next_u64() % n))
    }

    /// Returns a random (version 4) UUID, for request ids.
    pub fn uuid(&self) -> String {
        let (hi, lo) = (self.next_u64(), self.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            hi >> 32,
            (hi >> 16) & 0xffff,
            hi & 0xfff,
            0x8000 | (lo >> 48) & 0x3fff,
            lo & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
