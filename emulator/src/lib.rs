//! An emulator of TDMQ for Pulsar, DMS for RocketMQ and IAM, as their vendors describe them, on one address,
//! with faults on demand. It is a double for tests and demonstrations: it keeps everything in memory,
//! including its keys in clear, so listen on loopback only.
//!
//! | Path | |
//! |---|---|
//! | `POST /` | TDMQ `SendMessages`, signed with TC3-HMAC-SHA256 |
//! | `POST /v2/rocketmq/{project}/instances/{instance}/messages` and `POST /v2/{project}/rocketmq/instances/{instance}/messages` | DMS, signed with SDK-HMAC-SHA256 (`Access=`) or with `X-Auth-Token` |
//! | `POST /v3/auth/tokens` | IAM: a token for user, password and project |
//! | `GET`, `DELETE /_/messages` | the stored [messages](StoredMessage), oldest first |
//! | `GET`, `DELETE /_/requests` | `counts` by service and the [requests](SeenRequest), oldest first |
//! | `GET`, `DELETE /_/counts` | the numbers of requests, messages and different deliveries |
//! | `GET`, `PUT`, `DELETE /_/faults` | the fault plan |
//!
//! The emulator checks signatures, times, temporary tokens, topics, sizes and message properties as the
//! vendors' documents say; where a document gives no error code for a case, it answers the nearest of the
//! documented codes. It locks an access key for five minutes after more than five failures in a row. Faults
//! stand in for errors that the emulator does not check (Tencent's `ProducerName` clashes, rate limits).
//!
//! # Faults
//!
//! `PUT /_/faults` replaces the plan by a JSON list of [`Fault`]s:
//!
//! ```json
//! [
//!   {"fault": {"clock_offset_s": -3600}, "times": 0},
//!   {"fault": "throttle", "vendor": "tdmq"},
//!   {"fault": {"error": {"code": "DMS.00500000", "status": 500, "headers": {"Retry-After": "2"}}},
//!    "vendor": "rocketmq", "topic": "webhooks_github", "times": 2},
//!   {"fault": "pass"},
//!   {"fault": "stored_reset"}
//! ]
//! ```
//!
//! | Member | Meaning |
//! |---|---|
//! | `fault` | the kind of failure: one of [`FaultKind`], in snake case |
//! | `vendor` | only requests to `tdmq`, `rocketmq` or `iam`; default all |
//! | `topic` | only requests with exactly this topic; default all |
//! | `times` | the number of requests that it hits, default 1; 0 or `null`: until cleared |
//!
//! The modifiers (`latency_ms`, `gather`, `clock_offset_s`, `expire_tokens`, `outdate_tokens`) stack: all
//! that match a request apply. Of the other faults, only the first match applies, so a list is a plan: one
//! entry after the other, with `pass` for a request that is to succeed. Faults apply before the service's own
//! checks; only a fault that stores the message first lets the checks refuse it.
//!
//! # A store
//!
//! [`S3`] is a bucket on an address of its own, for clients that keep deliveries in an S3 store.
//!
//! # Example
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use hookmq_emulator::{Config, Emulator, Fault, FaultKind};
//!
//! let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), Config::default()).await?;
//! emulator.set_faults(vec![Fault::new(FaultKind::Throttle).times(2)]);
//! // … point a client at emulator.url(), with the credentials of hookmq_emulator::sample …
//! assert!(emulator.messages().is_empty());
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod config;
mod control;
mod dms;
mod faults;
mod gather;
mod iam;
mod properties;
mod reply;
mod s3;
mod server;
mod service;
mod sign;
mod spec;
mod store;
mod tdmq;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, sync::atomic::Ordering};

use tokio::{net::TcpListener, task::JoinHandle};

pub use config::{
    Behind, Clock, Config, HuaweiCredential, IamUser, PathForm, TencentCredential, Topics, sample,
};
pub use faults::{Fault, FaultKind};
pub use s3::{Conditions, ListingOrder, S3, S3Calls, S3Config, S3Object};
use service::Shared;
pub use spec::{KeyPair, Known, Lookup, Spec, Variable, Vendor, environment};
pub use store::{SeenRequest, StoredMessage};

/// A running emulator, which stops when it is dropped.
pub struct Emulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Starts an emulator on `listen` (port 0: a free one) and on the current Tokio runtime, which needs its
    /// I/O and time drivers. Fails if the address cannot be bound.
    pub async fn start(listen: SocketAddr, config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config));
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, server })
    }

    /// Returns the address that the emulator listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the endpoint to configure for all three services: `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns every stored message, oldest first.
    pub fn messages(&self) -> Vec<StoredMessage> {
        self.shared.state().messages.clone()
    }

    /// Returns every request to the three services, oldest first.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.state().requests.clone()
    }

    /// Removes and returns every stored message and every request, oldest first, so that the memory of a long
    /// run does not grow without end. The n-th message belongs to the n-th request with `stored` set.
    pub fn take(&self) -> (Vec<StoredMessage>, Vec<SeenRequest>) {
        let mut state = self.shared.state();
        (std::mem::take(&mut state.messages), std::mem::take(&mut state.requests))
    }

    /// Returns the number of open connections. When every client is gone and the number is zero, everything
    /// that the clients sent has been stored.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Replaces the fault plan.
    pub fn set_faults(&self, plan: Vec<Fault>) {
        self.shared.state().faults = plan;
    }

    /// Clears messages, requests, faults, tokens and locks; connections stay open.
    pub fn clear(&self) {
        self.shared.state().clear();
    }

    /// Stops listening and drops every connection.
    pub async fn stop(mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
