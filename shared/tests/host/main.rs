//! Tests of the hosts: the HTTP server, the events of triggers, and the credentials that platforms hand over.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod handover;
#[path = "../kit/mod.rs"]
mod kit;
mod limits;
mod pressure;
mod proxies;
mod ready;
mod server;
mod stopping;
mod trigger;
