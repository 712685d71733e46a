//! Hosts: where requests come from. On Lambda a trigger's event, elsewhere HTTP/1.1.

use std::future::Future;

use crate::http::{Request, Response};

/// What a host serves: the gateway, or a test's double.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// The largest body any hook takes, in bytes: an HTTP server reads no further.
    fn max_body(&self) -> usize;

    /// Whether requests can be served: at least one hook is sound.
    fn is_ready(&self) -> bool;

    /// Opens the connections that the first request will need.
    fn prewarm(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
