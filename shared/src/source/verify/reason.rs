//! Reason of a refusal as the log tells it: the rejection, with facts about the request that point to its cause.

use crate::clock::Timestamp;
use crate::http::Request;
use crate::source::scheme::field::View;
use crate::source::scheme::kinds::Kind;
use crate::source::scheme::window::Age;
use crate::source::{Rejection, Source};

impl Source {
    /// Returns the age of a request that is refused for its age.
    pub(crate) fn age(&self, request: &Request, rejection: &Rejection, now: Timestamp) -> Option<Age> {
        let is_late = |rejection: &Rejection| matches!(rejection, Rejection::Stale | Rejection::Future);
        let is_late = match rejection {
            Rejection::NoVerifier(rejections) => rejections.iter().any(is_late),
            rejection => is_late(rejection),
        };
        is_late.then(|| self.scheme.age(&View::of(request, self.url.as_deref()), now)).flatten()
    }

    /// Describes the possible causes of a refusal, as far as the request shows them. Nothing is hashed for that:
    /// strangers must not buy more work than one verification.
    pub(crate) fn causes(&self, request: &Request, rejection: &Rejection) -> Option<String> {
        let is_signed = matches!(&self.scheme.kind, Kind::Signed(_));
        if *rejection != Rejection::NoMatch || !is_signed {
            return None;
        }
        let ends = request.body.ends_with(b"\n");
        let changed = if ends { "changed: it ends with a line end" } else { "changed on the way" };
        let url =
            if self.scheme.needs_url() { ", or `url` is not the address set at the sender" } else { "" };
        Some(format!("the secret is another one, or the body was {changed}{url}"))
    }
}
