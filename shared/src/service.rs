//! Interface of the services that a host serves.

use std::future::Future;

use crate::http::{Request, Response};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Service behind a host: the gateway, or a test double.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request. Never fails: an error is an answer too.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// Returns the upper bound on the size of the body of a request with this head, in bytes; an HTTP server
    /// reads no further. Returns the answer instead if nothing in the body could change it: an unknown route,
    /// a method that the route does not take, or more announced bytes than the route takes. `head` has no
    /// body.
    fn admits(&self, head: &Request, announced: usize) -> Result<usize, Response> {
        let _ = (head, announced);
        Ok(self.max_body())
    }

    /// Returns the size of the largest body that any hook takes, in bytes.
    fn max_body(&self) -> usize;

    /// Returns the number of endpoints that the service may connect to, with up to `MAX_CONNECTIONS`
    /// connections to each.
    fn endpoints(&self) -> usize {
        1
    }

    /// Returns the readiness to serve requests, from local knowledge alone: no remote call is made.
    fn readiness(&self) -> Readiness;

    /// Returns the metrics that count the service's requests; the host adds the requests that it refuses
    /// itself.
    fn metrics(&self) -> Option<&Metrics> {
        None
    }

    /// Returns the number of sound hooks and the file that they were read from.
    fn hooks(&self) -> Option<(usize, &str)> {
        None
    }

    /// Does a process's one-time work at its start, concurrently with requests, on a host that does not
    /// freeze the process.
    fn begin(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Opens the connections that the first request will need.
    fn prewarm(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
