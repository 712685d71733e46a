//! Connections refused before they carry a request: other protocols on the port, broken and endless heads.
//! Each refusal adds to a counter, and each kind logs one line a minute that names the likely protocol.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Interval between two log lines of one kind.
const EVERY: Duration = Duration::from_secs(60);

/// Number of a connection's first bytes that are examined.
pub(super) const LOOKED_AT: usize = 16;

/// Kind of a connection that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unspoken {
    /// A TLS handshake.
    Tls,
    /// HTTP/2 without an upgrade.
    Http2,
    /// The PROXY protocol, as text.
    ProxyV1,
    /// The PROXY protocol, in its binary form.
    ProxyV2,
    /// A head above the parser's limit.
    HeadTooLarge,
    /// Bytes that are not an HTTP/1.1 request.
    Malformed,
    /// A head that did not arrive in time.
    HeadTimeout,
    /// A half-arrived request or a connection that was given up to make room for others.
    GaveWay,
    /// A connection for which the system gave no descriptor.
    NotAccepted,
}

impl Unspoken {
    pub(super) const ALL: [Self; 9] = [
        Self::Tls,
        Self::Http2,
        Self::ProxyV1,
        Self::ProxyV2,
        Self::HeadTooLarge,
        Self::Malformed,
        Self::HeadTimeout,
        Self::GaveWay,
        Self::NotAccepted,
    ];

    /// Classifies an unparsable connection by its first bytes.
    pub(super) fn of(first: &[u8]) -> Self {
        const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        match first {
            [0x16, 0x03, ..] => Self::Tls,
            _ if first.starts_with(b"PRI * HTTP/2") => Self::Http2,
            _ if first.starts_with(b"PROXY ") => Self::ProxyV1,
            _ if first.starts_with(V2) => Self::ProxyV2,
            _ => Self::Malformed,
        }
    }

    /// Returns the value of the metric's label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::ProxyV1 => "proxy_v1",
            Self::ProxyV2 => "proxy_v2",
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed => "malformed",
            Self::HeadTimeout => "head_timeout",
            Self::GaveWay => "gave_way",
            Self::NotAccepted => "not_accepted",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Tls => "this looks like TLS: this port speaks plain HTTP/1.1, so let the proxy end TLS",
            Self::Http2 => "this looks like HTTP/2: this port speaks HTTP/1.1 only",
            Self::ProxyV1 | Self::ProxyV2 => {
                "this looks like the PROXY protocol, which this port does not speak: switch it off at the proxy"
            }
            Self::HeadTooLarge => "a request's head is too large",
            Self::Malformed => "this is not an HTTP/1.1 request",
            Self::HeadTimeout => "a request's head did not arrive in time",
            Self::NotAccepted => "the system refuses more connections: raise the limit of open files",
            Self::GaveWay => "connections were closed to make room for others: more arrive than are accepted",
        }
    }
}

/// Counters of one server's unserved connections, by kind.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_kind: [AtomicU64; Unspoken::ALL.len()],
    /// Time and count of the last log line of each kind.
    written: Mutex<[Option<(Instant, u64)>; Unspoken::ALL.len()]>,
}

impl Counts {
    /// Adds one to a kind's counter. Returns true if a log line was written.
    pub(super) fn add(&self, kind: Unspoken) -> bool {
        let at = kind as usize;
        let count = self.by_kind[at].fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match written[at] {
            Some((last, _)) if now.saturating_duration_since(last) < EVERY => return false,
            Some((_, count)) => count,
            None => 0,
        };
        written[at] = Some((now, count));
        drop(written);
        tracing::warn!(
            kind = kind.as_str(),
            since_last_line = count - before,
            hint = kind.hint(),
            "not served"
        );
        true
    }

    /// Returns all kinds with their counts.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        let count = |kind: Unspoken| (kind.as_str(), self.by_kind[kind as usize].load(Ordering::Relaxed));
        Unspoken::ALL.map(count).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        for (first, kind) in [
            (b"\x16\x03\x01\x02\x00\x01".as_slice(), Unspoken::Tls),
            (b"PRI * HTTP/2.0\r\n", Unspoken::Http2),
            (b"PROXY TCP4 192.0", Unspoken::ProxyV1),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", Unspoken::ProxyV2),
            (b"\x16", Unspoken::Malformed),
            (b"PROXYTCP4", Unspoken::Malformed),
            (b"", Unspoken::Malformed),
        ] {
            assert_eq!(Unspoken::of(first), kind, "{}", first.escape_ascii());
        }
        for (at, kind) in Unspoken::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_line_a_minute_and_kind() {
        let counts = Counts::default();
        assert!(counts.add(Unspoken::Tls));
        assert!(!counts.add(Unspoken::Tls));
        assert!(counts.add(Unspoken::Http2));
        advance(EVERY).await;
        assert!(counts.add(Unspoken::Tls));
        assert_eq!(counts.read()[..3], [("tls", 3), ("http2", 1), ("proxy_v1", 0)]);
    }
}
