//! Verification of requests, with the keys, confirmations and secrets that it needs from outside.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::waiting::WaitingBody;
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

/// Class for a request that would have to wait for its verification, while the bodies of others that wait
/// leave no room for its own.
const BUSY: &str = "busy";

/// Refusal of a request during verification, with the explanation for the log.
pub(super) enum RefusedRequest {
    /// Fault of the sender.
    Rejected(Why),
    /// Body that cannot be decompressed, or not within the hook's limit.
    Refused(Problem, Why),
    /// Handshake that is not allowed, with the status that the sender expects.
    Handshake(Problem, Why),
    /// Fault of ours, or of the publisher of the keys: the sender of the request is not known.
    Unverified(Why),
    /// Fault of ours, or of the provider: the request is authentic, but could not be carried out.
    Unavailable(Why),
}

impl RefusedRequest {
    /// Refuses a body, by the class that a refusal by its head has too.
    fn of_body(problem: Problem, why: Why) -> Self {
        Self::Refused(problem, Why { class: problem.name(), ..why })
    }

    /// Ends the request of this hook.
    pub(super) fn ending(self, hook: &Hook) -> Ending {
        match self {
            Self::Rejected(why) => Ending::refused(Outcome::Rejected, hook.refusal).because(why),
            Self::Refused(problem, why) => Ending::refused(Outcome::Refused, problem).because(why),
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
    ///
    /// A request that has to wait for any of that needs room for its body, and is refused without.
    pub(super) async fn verify(
        &self,
        hook: &Hook,
        request: Request,
        now: Timestamp,
        deadline: Instant,
        is_served: bool,
    ) -> Result<VerifiedRequest, RefusedRequest> {
        let bytes = AtomicUsize::new(request.body.len());
        // Boxed: the future is large, and each layer around it would copy it.
        let mut verified: BoxFuture<'_, _> =
            Box::pin(self.verify_waiting(hook, request, now, deadline, is_served, &bytes));
        let mut held: Option<(usize, WaitingBody)> = None;
        poll_fn(|cx| {
            // Most requests need nothing from outside, and are verified by the first poll.
            let done = verified.as_mut().poll(cx);
            let bytes = bytes.load(Ordering::Relaxed);
            if done.is_pending() && held.as_ref().is_none_or(|(room, _)| *room < bytes) {
                held = None;
                let Some(room) = self.0.waiting.take(&hook.name, bytes) else {
                    let why =
                        "the bodies of other requests that wait for a key or a secret take all room for them";
                    return Poll::Ready(Err(RefusedRequest::Unverified(Why::new(BUSY, why))));
                };
                held = Some((bytes, room));
            }
            done
        })
        .await
    }

    /// Verifies a request like [`verify`](Self::verify). `bytes` has the length of the body that is held: a
    /// compressed one grows.
    async fn verify_waiting(
        &self,
        hook: &Hook,
        mut request: Request,
        now: Timestamp,
        deadline: Instant,
        is_served: bool,
        bytes: &AtomicUsize,
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
                    let why = why(&source, back.as_ref(), &rejection, now);
                    if rejection.is_of_secrets()
                        && let Some(again) = back
                    {
                        bytes.store(again.body.len(), Ordering::Relaxed);
                        // The sender may have a newer secret, so it must try again.
                        let unread = |reason| RefusedRequest::Unverified(Why::new(SECRET_UNREAD, reason));
                        let other = hook.source.other(&source, resolver, deadline).await.map_err(unread)?;
                        if let Some(other) = other {
                            (source, request) = (other, again);
                            continue;
                        }
                    }
                    return Err(match rejection {
                        Rejection::Refused(Problem::MethodNotAllowed(_)) => {
                            RefusedRequest::Handshake(Problem::MethodNotAllowed(hook.methods), why)
                        }
                        Rejection::Refused(problem) => RefusedRequest::Handshake(problem, why),
                        Rejection::Coding => RefusedRequest::of_body(Problem::UnsupportedCoding, why),
                        Rejection::TooLarge => RefusedRequest::of_body(Problem::TooLarge, why),
                        // The signature is right, but our clock is wrong or a certificate has expired.
                        Rejection::Expired => RefusedRequest::Unverified(why),
                        _ => RefusedRequest::Rejected(why),
                    });
                }
                Verdict::Fetch(address, again) => {
                    bytes.store(again.body.len(), Ordering::Relaxed);
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

/// Explains a refusal, with what the request shows of its cause.
fn why(source: &Source, request: Option<&Request>, rejection: &Rejection, now: Timestamp) -> Why {
    let mut why = Why::new(rejection.as_str(), rejection.to_string());
    let Some(request) = request else { return why };
    let age = source.age(request, rejection, now);
    why.age_s = age.map(|age| age.seconds);
    let more = age.map(|age| age.to_string()).or_else(|| source.causes(request, rejection));
    if let (Some(reason), Some(more)) = (&mut why.reason, more) {
        reason.extend([": ", &more]);
    }
    why
}
