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
//! [`Delivery`](delivery::Delivery) (the request is verified), and only a queue client can make a
//! [`Receipt`](queue::Receipt) (the message is stored). Only a receipt becomes a 2xx.
//!
//! # Example
//!
//! A [`Source`](source::Source) verifies requests by itself, without the rest of the crate. Secret, body and
//! signature are the example in GitHub's documentation:
//!
//! ```
//! use hookmq_shared::clock::Clock;
//! use hookmq_shared::http::Request;
//! use hookmq_shared::secret::Secret;
//! use hookmq_shared::source::{Settings, Source, Verdict};
//!
//! let secrets = vec![Secret::new("It's a Secret to Everybody")];
//! let source = Source::preset("github", Settings { secrets, ..Settings::default() })?;
//!
//! let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
//! let headers = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "42"), ("X-Hub-Signature-256", signature)];
//! let request = Request {
//!     method: "POST".to_owned(),
//!     path: "/github".to_owned(),
//!     raw_query: String::new(),
//!     headers: headers.into_iter().collect(),
//!     body: "Hello, World!".into(),
//!     request_id: "7".to_owned(),
//!     received: tokio::time::Instant::now(),
//!     source_ip: None,
//!     deadline: None,
//! };
//! let Verdict::Verified(delivery) = source.check("github", request, Clock::system().now()) else {
//!     panic!("the request is authentic");
//! };
//! assert_eq!((delivery.id.as_str(), delivery.event.as_deref()), ("42", Some("push")));
//! # Ok::<(), Vec<hookmq_shared::source::BuildError>>(())
//! ```
//!
//! # Tour
//!
//! Each module has an introduction of its own. In the order of a delivery's way:
//!
//! | Module | Main types | Purpose |
//! | --- | --- | --- |
//! | [`host`] | [`host::run`] | platforms, trigger events and the HTTP server |
//! | [`service`], [`http`] | [`Service`](service::Service), [`Request`](http::Request), [`Response`](http::Response) | interface between a host and the gateway |
//! | [`gateway`] | [`Gateway`](gateway::Gateway) | one request from the host to the queue and back |
//! | [`config`] | [`Config`](config::Config), [`Hook`](config::Hook) | hooks, targets and secrets of `hooks.toml` |
//! | [`source`] | [`Source`](source::Source), [`Verdict`](source::Verdict), [`Rejection`](source::Rejection) | verification, with the providers as data |
//! | [`delivery`] | [`Delivery`](delivery::Delivery) | content of a verified request |
//! | [`message`] | [`Recipe`](message::Recipe), [`Template`](message::Template), [`Message`](message::Message) | text, topic, key and tag of a message |
//! | [`carry`] | [`Carrier`](carry::Carrier) | one delivery to one target, or to the store |
//! | [`queue`] | [`Queue`](queue::Queue), [`Client`](queue::Client), [`Class`](queue::Class) | clients of the vendors, retry and circuits |
//! | [`problem`], [`outcome`] | [`Problem`](problem::Problem), [`Ending`](outcome::Ending) | answer to a refused request, and its result in the log |
//!
//! Beside that way:
//!
//! - [`store`], [`spill`] and [`redrive`] keep the deliveries that a queue does not take in time, and send them
//!   later; [`quarantine`] keeps refused requests.
//! - [`telemetry`], [`metrics`] and [`readiness`] report what happens.
//! - [`context`] injects environment, time and randomness ([`env`], [`clock`]); [`secret`] holds secrets and
//!   their references; [`net`] is the HTTP client.
//!
//! `ARCHITECTURE.md` in the repository walks one delivery through these files, and lists the floors on which the
//! modules stand: each module imports from the floors below its own alone.

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
