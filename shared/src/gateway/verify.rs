//! Verification, with everything that it needs from outside: keys, confirmations, secrets.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Gateway, Inner};
use crate::clock::Timestamp;
use crate::config::Hook;
use crate::delivery::Delivery;
use crate::fetch::{Collected, FetchError};
use crate::http::{Request, Response};
use crate::queue::Queue;
use crate::source::{Address, Rejection, Source, Verdict};
use crate::telemetry::Line;

/// What a request that is not refused is.
pub(super) enum Verified {
    /// With the source that verified it.
    Delivery(Box<Delivery>, Arc<Source>),
    Handshake(Response),
}

/// What explains an outcome: in one word of a fixed set, and in a sentence.
pub(super) struct Why(pub(super) &'static str, pub(super) String);

impl Why {
    pub(super) fn tell(self, line: &mut Line) {
        let Self(class, reason) = self;
        line.class = Some(class);
        line.reason = Some(reason);
    }
}

/// A published key, or a confirmation, could not be fetched.
const FETCH: &str = "fetch";

/// No secret could be had, so nobody can be verified.
const SECRET: &str = "secret";

/// A request matches no secret that is there, and whether there is a newer one could not be read. Everybody
/// can bring that about with a forged request, and nobody else is refused by it.
const SECRET_UNREAD: &str = "secret_unread";

/// Why a request goes no further.
pub(super) enum Refused {
    /// The sender's fault.
    Rejected(Why),
    /// A handshake that is not allowed, for senders that want this status.
    Handshake(u16, Why),
    /// Ours, or that of whoever publishes the keys: it is not known whose the request is.
    Unverified(Why),
    /// Ours, or the provider's: what was asked for is authentic, and could not be done.
    Unavailable(Why),
}

impl<Q: Queue> Gateway<Q> {
    /// Verifies, and does what verification asks for on the way: fetches keys, calls the address of a
    /// confirmation, and reads the hook's secrets anew where none of them matches. A confirmation is passed
    /// over where the hook is not served: nothing must follow it here.
    pub(super) async fn verify(
        &self,
        hook: &Hook,
        mut request: Request,
        now: Timestamp,
        deadline: Instant,
        is_served: bool,
    ) -> Result<Verified, Refused> {
        let Inner { fetcher, resolver, .. } = &*self.0;
        let failed = |address: &Address, error: &FetchError| Why(FETCH, format!("{address}: {error}"));
        let mut collected = Collected::default();
        let ready = hook.source.ready(resolver, deadline).await;
        let mut source = ready.map_err(|reason| Refused::Unverified(Why(SECRET, reason)))?;
        loop {
            let mut back = None;
            match source.examine(&hook.name, request, now, collected.fetched(), &mut back) {
                Verdict::Verified(mut delivery) => {
                    hook.trim(&mut delivery);
                    return Ok(Verified::Delivery(delivery, source));
                }
                Verdict::Handshake(response) => return Ok(Verified::Handshake(response)),
                Verdict::Rejected(rejection) => {
                    if rejection.is_of_secrets()
                        && let Some(again) = back
                    {
                        // Whether the sender has a newer one nobody knows: it is to come again.
                        let unread = |reason| Refused::Unverified(Why(SECRET_UNREAD, reason));
                        let other = hook.source.other(&source, resolver, deadline).await.map_err(unread)?;
                        if let Some(other) = other {
                            (source, request) = (other, again);
                            continue;
                        }
                    }
                    let why = Why(rejection.as_str(), rejection.to_string());
                    return Err(match rejection {
                        Rejection::Refused(status) => Refused::Handshake(status, why),
                        // The signature is right: our clock or somebody's certificate is not.
                        Rejection::Expired => Refused::Unverified(why),
                        _ => Refused::Rejected(why),
                    });
                }
                Verdict::Fetch(address, again) => {
                    collected.fetch(fetcher, &hook.name, address, deadline).await;
                    request = *again;
                }
                Verdict::Unusable(address) => {
                    if let Some(error) = collected.failure(&address) {
                        return Err(Refused::Unverified(failed(&address, error)));
                    }
                    fetcher.forget(&address);
                    return Err(Refused::Unverified(failed(&address, &FetchError::NoKey)));
                }
                Verdict::Confirm(_, response) if !is_served => return Ok(Verified::Handshake(response)),
                Verdict::Confirm(address, response) => {
                    let confirmed = fetcher.confirm(&hook.name, &address, deadline).await;
                    return confirmed
                        .map(|()| Verified::Handshake(response))
                        .map_err(|e| Refused::Unavailable(failed(&address, &e)));
                }
            }
        }
    }
}
