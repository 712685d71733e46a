//! Tests of the queues' clients: signatures, requests, answers, retries, and outages of a vendor.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod emulator;
#[path = "../kit/mod.rs"]
mod kit;
mod machine;
mod outages;
mod pressure;
mod probe;
mod remoting;
mod remoting_real;
mod retry;
mod rocketmq;
mod sign;
mod tdmq;
mod transport;
mod vault;
mod vendor;
