//! Handling of one request: its faults, its effect, its answer and its record.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderValue, StatusCode, header::LOCATION, request};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    config::Config,
    faults::{self, FaultKind},
    gather::Gathering,
    reply::{Call, Reply},
    spec::Vendor,
    store::{SeenRequest, State, StoredMessage, header},
};

/// Upper bound on the emulator's clock: 9999-01-01, which every date format can still write.
const LAST_SECOND: i64 = 253_370_764_800;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) gathering: Gathering,
    /// Number of open connections, including idle ones.
    pub(crate) open: AtomicUsize,
    state: Mutex<State>,
}

/// A request as it arrived on a connection.
pub(crate) struct Arrival<'a> {
    pub(crate) head: &'a request::Parts,
    /// The body; empty if it was longer than any service accepts.
    pub(crate) body: &'a [u8],
    pub(crate) body_length: usize,
    pub(crate) connection: u64,
    pub(crate) reused: bool,
}

/// The ending of a request, its delay, the size of the group that waits with it, and the emulator's time.
pub(crate) struct Verdict {
    pub(crate) ending: Ending,
    /// The message that was stored, if there is a broker that must have it too.
    pub(crate) stored: Option<StoredMessage>,
    pub(crate) latency: Duration,
    pub(crate) gather: usize,
    pub(crate) now: OffsetDateTime,
}

pub(crate) enum Ending {
    Whole(Reply),
    Truncated(Reply),
    Slow(Reply, Duration),
    Reset,
    Closed,
    Never,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, gathering: Gathering::default(), open: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// Locks the state; the lock is never held across an `.await`.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn judge(&self, vendor: Vendor, arrival: &Arrival<'_>) -> Verdict {
        let Arrival { head, body, body_length, connection, reused } = *arrival;
        let json = serde_json::from_slice(body).unwrap_or(Value::Null);
        let (topic, delivery_id) = vendor.spec().visible.map_or((None, None), |visible| visible(&json));
        let mut state = self.state();
        let met = faults::meet(&mut state.faults, vendor, topic);
        let since_epoch = (self.config.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = at(since_epoch, met.clock_offset_s);
        for token in state.tokens.values_mut() {
            token.outdated |= met.outdate_tokens;
            if met.expire_tokens {
                token.expires_at = token.expires_at.min(now);
            }
        }

        let received_at_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let call = Call { head, body, body_length, json: &json, now, received_at_ms };
        let mut stored = false;
        let ending = end(vendor, met.action, &json, || {
            let reply = (vendor.spec().handle)(&self.config, &mut state, &call);
            stored = reply.effective && vendor.is_queue();
            reply
        });

        let publishes = stored && self.config.behind.is_some();
        let stored_message = state.messages.last().filter(|_| publishes).cloned();
        let (outcome, status) = ending.summary();
        state.counts.request(connection);
        if stored {
            state.counts.message((vendor, topic, delivery_id.as_deref()), received_at_ms);
        }
        if !self.config.keeps {
            state.messages.clear();
            return Verdict { ending, stored: stored_message, latency: met.latency, gather: met.gather, now };
        }
        let signed_at = header(&head.headers, "x-tc-timestamp").or(header(&head.headers, "x-sdk-date"));
        state.requests.push(SeenRequest {
            vendor,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            topic: topic.map(str::to_owned),
            delivery_id,
            signed_at: signed_at.map(str::to_owned),
            received_at_ms,
            connection,
            reused,
            faults: met.names,
            outcome,
            status,
            stored,
        });
        Verdict { ending, stored: stored_message, latency: met.latency, gather: met.gather, now }
    }

    /// Hands a stored message to the broker behind the emulator. If that one does not take it, the message is taken back,
    /// and the service answers with an error after which it may be stored.
    pub(crate) async fn publish(&self, message: StoredMessage) -> Option<Ending> {
        let behind = self.config.behind.as_ref()?;
        let (vendor, id) = (message.vendor, message.message_id.clone());
        let why = behind(message).await.err()?;
        let (code, status) = vendor.spec().errors.iter().find_map(|(_, known)| known.unsettled())?;
        let ending = Ending::Whole((vendor.spec().error)(status, code, &why));
        self.state().withdraw(&id, &ending);
        Some(ending)
    }
}

impl Ending {
    /// Returns the outcome and the HTTP status for the record.
    pub(crate) fn summary(&self) -> (String, Option<u16>) {
        match self {
            Self::Whole(reply) | Self::Truncated(reply) | Self::Slow(reply, _) => {
                (reply.outcome.clone(), Some(reply.status.as_u16()))
            }
            Self::Reset => ("reset".to_owned(), None),
            Self::Closed => ("closed".to_owned(), None),
            Self::Never => ("no answer".to_owned(), None),
        }
    }
}

/// Applies a fault to a request; `handle` makes the request take effect. If the service refuses the request,
/// its refusal is the answer, regardless of a fault after storing.
fn end(
    vendor: Vendor,
    fault: Option<FaultKind>,
    request: &Value,
    mut handle: impl FnMut() -> Reply,
) -> Ending {
    use FaultKind as F;
    let spec = vendor.spec();
    let mut once_effective = |ending: fn(Reply) -> Ending| {
        let reply = handle();
        if reply.effective { ending(reply) } else { Ending::Whole(reply) }
    };
    match fault {
        Some(F::StoredReset) => once_effective(|_| Ending::Reset),
        Some(F::StoredNoAnswer) => once_effective(|_| Ending::Never),
        Some(F::Truncate) => once_effective(Ending::Truncated),
        Some(F::SlowBodyMs(ms)) => Ending::Slow(handle(), Duration::from_millis(ms)),
        Some(F::Reset) => Ending::Reset,
        Some(F::Close) => Ending::Closed,
        Some(F::Hang) => Ending::Never,
        Some(F::Throttle) => Ending::Whole((spec.throttled)()),
        Some(F::Error { code, status, message, headers, stored }) => {
            if stored {
                let reply = handle();
                if !reply.effective {
                    return Ending::Whole(reply);
                }
            }
            let message = message.as_deref().unwrap_or(&code);
            let failed = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut reply = (spec.error)(failed, &code, message);
            reply.status = status.unwrap_or(reply.status);
            reply.headers.extend(headers);
            Ending::Whole(reply)
        }
        // A plan gives these faults only to a service that has them.
        Some(F::ErrorMsg(text)) => {
            Ending::Whole(spec.error_msg.map_or_else(&mut handle, |error| error(&text)))
        }
        Some(F::Legacy(code)) => Ending::Whole(spec.legacy.map_or_else(&mut handle, |error| error(&code))),
        Some(F::NoId) => Ending::Whole(spec.no_id.map_or_else(&mut handle, |no_id| no_id(request))),
        Some(F::Raw { status, content_type, body }) => {
            Ending::Whole(Reply::new(status, content_type, body, "raw"))
        }
        Some(F::Redirect(location)) => {
            let html = HeaderValue::from_static("text/html");
            let mut reply = Reply::new(StatusCode::FOUND, html, "", "redirect");
            reply.headers.insert(LOCATION, location);
            Ending::Whole(reply)
        }
        // `judge` has applied the modifiers already.
        None
        | Some(
            F::Pass
            | F::LatencyMs(_)
            | F::Gather(_)
            | F::ClockOffsetS(_)
            | F::ExpireTokens
            | F::OutdateTokens,
        ) => Ending::Whole(handle()),
    }
}

/// Returns the emulator's time in whole seconds, within the range that every date format can write.
fn at(since_epoch: Duration, offset_s: i64) -> OffsetDateTime {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX).saturating_add(offset_s);
    OffsetDateTime::from_unix_timestamp(seconds.clamp(0, LAST_SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
