//! HTTP client: endpoints, names, TLS, proxies, kept connections, and answers.
//!
//! All callers of remote services use this module: the vendors' clients, the spill store, the remote stores
//! of secrets, and the key sets. The module knows none of them.

pub mod answer;
mod ciphers;
pub(crate) mod digest;
pub mod endpoint;
mod fault;
mod names;
mod plain;
mod pool;
mod race;
pub(crate) mod tls;
pub(crate) mod transport;
mod tunnel;

pub use fault::ConnectError;
pub use tls::{BoxError, Connector, Stream};
pub(crate) use transport::most as max_connections;
