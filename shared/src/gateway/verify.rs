//! Verification, with everything that it needs from outside: keys, confirmations, secrets.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Gateway, Inner};
use crate::clock::Timestamp;
use crate::config::Hook;
use crate::delivery::Delivery;
use crate::fetch::Document;
use crate::http::{Request, Response};
use crate::queue::Queue;
use crate::source::{Address, Rejection, Source, Verdict};

/// What a request that is not refused is.
pub(super) enum Verified {
    /// With the source that verified it.
    Delivery(Box<Delivery>, Arc<Source>),
    Handshake(Response),
}

/// Why a request goes no further, for the log.
pub(super) enum Refused {
    /// The sender's fault.
    Rejected(String),
    /// A handshake that is not allowed, for senders that want this status.
    Handshake(u16, String),
    /// Ours, or that of whoever publishes the keys.
    Unavailable(String),
}

impl<Q: Queue> Gateway<Q> {
    /// Verifies, and does what verification asks for on the way: fetches a key, once at most, calls the
    /// address of a confirmation, and reads the hook's secrets anew where none of them matches.
    pub(super) async fn verify(
        &self,
        hook: &Hook,
        mut request: Request,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Verified, Refused> {
        let Inner { fetcher, resolver, .. } = &*self.0;
        let failed = |address: &Address, error| Refused::Unavailable(format!("{address}: {error}"));
        let mut document: Option<Document> = None;
        let ready = hook.source.ready(resolver, deadline).await;
        let mut source = ready.map_err(Refused::Unavailable)?;
        loop {
            let bytes = document.as_ref().map(|document| document.bytes.as_ref());
            let mut back = None;
            match source.examine(&hook.name, request, now, bytes, &mut back) {
                Verdict::Verified(delivery) => return Ok(Verified::Delivery(delivery, source)),
                Verdict::Handshake(response) => return Ok(Verified::Handshake(response)),
                Verdict::Rejected(rejection) => {
                    if rejection.is_of_secrets()
                        && let Some(again) = back
                        && let Some(other) = hook.source.other(&source, resolver, deadline).await
                    {
                        (source, request) = (other, again);
                        continue;
                    }
                    let reason = rejection.to_string();
                    return Err(match rejection {
                        Rejection::Refused(status) => Refused::Handshake(status, reason),
                        _ => Refused::Rejected(reason),
                    });
                }
                Verdict::Fetch(address, again) => {
                    let found = fetcher.document(&address, document.as_ref(), deadline).await;
                    document = found.map_err(|error| failed(&address, error))?;
                    if document.is_none() {
                        return Err(Refused::Rejected("the key is none of the published ones".to_owned()));
                    }
                    request = *again;
                }
                Verdict::Unusable(address) => {
                    fetcher.forget(&address);
                    return Err(Refused::Unavailable(format!("there is no key at {address}")));
                }
                Verdict::Confirm(address, response) => {
                    let confirmed = fetcher.confirm(&address, deadline).await;
                    return confirmed
                        .map(|()| Verified::Handshake(response))
                        .map_err(|e| failed(&address, e));
                }
            }
        }
    }
}
