//! HTTP as a client: endpoints, names, TLS, proxies, connections that are kept, and answers.
//!
//! Everything that asks somebody stands above this: the vendors, the spill store, the remote stores of secrets, key
//! sets. It knows none of them.

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
