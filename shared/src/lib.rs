//! Gateway from verified webhooks to durable queue messages.
//!
//! All decisions are made in this crate; the function crates only name a queue and call [`host::run`]. A
//! delivery passes through these stages:
//!
//! ```text
//! trigger event ─► Request ─► Hook ─► Source ─► Delivery ─► Message ─► Queue ─► Receipt ─► answer
//!    host           http     config   source    delivery    message     queue              gateway
//! ```
//!
//! Code after [`source`] does not depend on how the request arrived or which provider sent it; code before
//! [`queue`] does not depend on the vendor. Two types stand for the two guarantees: only a source can make a
//! [`delivery::Delivery`] (the request is verified), and only a queue client can make a [`queue::Receipt`]
//! (the message is stored). Only a receipt becomes a 2xx.

pub mod carry;
mod cidr;
pub mod clock;
pub mod config;
pub mod context;
pub mod delivery;
pub mod env;
mod fetch;
mod files;
pub mod gateway;
mod hops;
pub mod host;
pub mod http;
pub mod json;
pub mod message;
pub mod metrics;
pub mod net;
pub mod outcome;
pub mod platform;
pub mod problem;
pub mod quarantine;
pub mod queue;
mod rate;
pub mod reader;
pub mod readiness;
pub mod redrive;
pub mod sabotage;
pub mod secret;
pub mod service;
pub mod shard;
pub mod source;
pub mod spill;
mod stopping;
pub mod store;
pub mod telemetry;
mod vault;
mod xml;
