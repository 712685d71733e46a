//! Verification of requests, with the keys, confirmations and secrets that it needs from outside.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Gateway, Inner, RETRY_AFTER, unavailable, unverified};
use crate::clock::Timestamp;
use crate::config::Hook;
use crate::delivery::Delivery;
use crate::fetch::{Collected, FetchError};
use crate::http::{Request, Response};
use crate::outcome::{Ending, Outcome, Why};
use crate::problem::Problem;
use crate::queue::Queue;
use crate::source::{Address, Rejection, Source, Verdict};

/// Request that passed verification.
pub(super) enum VerifiedRequest {
    /// Verified delivery, with the source that verified it.
    Delivery(Box<Delivery>, Arc<Source>),
    Handshake(Response),
}

/// Class of a failed fetch of a published key, and of a failed confirmation.
const FETCH: &str = "fetch";

/// Class for a hook without readable secrets, for which no sender can be verified.
const SECRET: &str = "secret";

/// Class for a request that matches no known secret while a newer one could not be looked up. Anyone can
/// cause this with a forged request, but only that request is refused.
const SECRET_UNREAD: &str = "secret_unread";

/// Refusal of a request during verification, with the explanation for the log.
pub(super) enum RefusedRequest {
    /// Fault of the sender.
    Rejected(Why),
    /// Handshake that is not allowed, with the status that the sender expects.
    Handshake(Problem, Why),
    /// Fault of ours, or of the publisher of the keys: the sender of the request is not known.
    Unverified(Why),
    /// Fault of ours, or of the provider: the request is authentic, but could not be carried out.
    Unavailable(Why),
}

impl RefusedRequest {
    /// Ends the request of this hook.
    pub(super) fn ending(self, hook: &Hook) -> Ending {
        match self {
            Self::Rejected(why) => Ending::refused(Outcome::Rejected, hook.refusal).because(why),
            Self::Handshake(problem, why) => Ending::refused(Outcome::Rejected, problem).because(why),
            Self::Unverified(why) => unverified(why, RETRY_AFTER),
            Self::Unavailable(why) => unavailable(why, RETRY_AFTER),
        }
    }
}

impl<Q: Queue> Gateway<Q> {
    /// Verifies a request, and takes the steps that verification asks for: fetches keys, calls the address of
    /// a confirmation, and reads the hook's secrets again if none of them matches. A confirmation is skipped
    /// if the hook is not served, because deliveries that follow it could not be served here.
    pub(super) async fn verify(
        &self,
        hook: &Hook,
        mut request: Request,
        now: Timestamp,
        deadline: Instant,
        is_served: bool,
    ) -> Result<VerifiedRequest, RefusedRequest> {
        let Inner { fetcher, resolver, .. } = &*self.0;
        let failed = |address: &Address, error: &FetchError| Why::new(FETCH, format!("{address}: {error}"));
        let mut collected = Collected::default();
        let ready = hook.source.ready(resolver, deadline).await;
        let mut source = ready.map_err(|reason| RefusedRequest::Unverified(Why::new(SECRET, reason)))?;
        loop {
            let mut back = None;
            match source.examine(&hook.name, request, now, collected.fetched(), &mut back) {
                Verdict::Verified(mut delivery) => {
                    hook.trim(&mut delivery);
                    return Ok(VerifiedRequest::Delivery(delivery, source));
                }
                Verdict::Handshake(response) => return Ok(VerifiedRequest::Handshake(response)),
                Verdict::Rejected(rejection) => {
                    if rejection.is_of_secrets()
                        && let Some(again) = back
                    {
                        // The sender may have a newer secret, so it must try again.
                        let unread = |reason| RefusedRequest::Unverified(Why::new(SECRET_UNREAD, reason));
                        let other = hook.source.other(&source, resolver, deadline).await.map_err(unread)?;
                        if let Some(other) = other {
                            (source, request) = (other, again);
                            continue;
                        }
                    }
                    let why = Why::new(rejection.as_str(), rejection.to_string());
                    return Err(match rejection {
                        Rejection::Refused(Problem::MethodNotAllowed(_)) => {
                            RefusedRequest::Handshake(Problem::MethodNotAllowed(hook.methods), why)
                        }
                        Rejection::Refused(problem) => RefusedRequest::Handshake(problem, why),
                        // The signature is right, but our clock is wrong or a certificate has expired.
                        Rejection::Expired => RefusedRequest::Unverified(why),
                        _ => RefusedRequest::Rejected(why),
                    });
                }
                Verdict::Fetch(address, again) => {
                    collected.fetch(fetcher, &hook.name, address, deadline).await;
                    request = *again;
                }
                Verdict::Unusable(address) => {
                    if let Some(error) = collected.failure(&address) {
                        return Err(RefusedRequest::Unverified(failed(&address, error)));
                    }
                    fetcher.forget(&address);
                    return Err(RefusedRequest::Unverified(failed(&address, &FetchError::NoKey)));
                }
                Verdict::Confirm(_, response) if !is_served => {
                    return Ok(VerifiedRequest::Handshake(response));
                }
                Verdict::Confirm(address, response) => {
                    let confirmed = fetcher.confirm(&hook.name, &address, deadline).await;
                    return confirmed
                        .map(|()| VerifiedRequest::Handshake(response))
                        .map_err(|e| RefusedRequest::Unavailable(failed(&address, &e)));
                }
            }
        }
    }
}
