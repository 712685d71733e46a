//! What a host serves.

use std::future::Future;

use crate::http::{Request, Response};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// What a host serves: the gateway, or a test's double.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// The most bytes that the body of a request with this head may have: an HTTP server reads no further. Or
    /// the answer, if nothing in the body could change it: no such route, a method that it does not take, more
    /// bytes announced than it takes. `head` has no body.
    fn admits(&self, head: &Request, announced: usize) -> Result<usize, Response> {
        let _ = (head, announced);
        Ok(self.max_body())
    }

    /// The largest body any hook takes, in bytes.
    fn max_body(&self) -> usize;

    /// How many endpoints it may have connections to, `MAX_CONNECTIONS` to each.
    fn endpoints(&self) -> usize {
        1
    }

    /// Whether requests can be served, as far as that is known without asking anybody.
    fn readiness(&self) -> Readiness;

    /// What its requests are counted in; the host counts those that it refuses itself.
    fn metrics(&self) -> Option<&Metrics> {
        None
    }

    /// How many hooks are sound, and where they were read.
    fn hooks(&self) -> Option<(usize, &str)> {
        None
    }

    /// What a process does once as it begins, beside its requests, where nobody freezes it.
    fn begin(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Opens the connections that the first request will need.
    fn prewarm(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
