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
//! let names = ["X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256"];
//! let request = Request {
//!     method: "POST".to_owned(),
//!     path: "/github".to_owned(),
//!     raw_query: String::new(),
//!     headers: names.into_iter().zip(["push", "42", signature]).collect(),
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
//! The modules on the way of a delivery, each with an introduction of its own:
//!
//! - [`host`] holds the triggers of the platforms and the HTTP server; [`host::run`] is a whole function.
//! - [`http`] has the [`Request`](http::Request) and the [`Response`](http::Response) of every trigger, and
//!   [`service`] the interface between a host and the gateway.
//! - [`gateway`] composes the parts: a [`Gateway`](gateway::Gateway) answers the requests of all hooks.
//! - [`config`] reads `hooks.toml`: a [`Config`](config::Config) looks up the [`Hook`](config::Hook) of a
//!   path.
//! - [`source`] verifies: a [`Source`](source::Source) gives a [`Verdict`](source::Verdict), and the reason
//!   of a refusal is a [`Rejection`](source::Rejection). Providers are data.
//! - [`delivery`] has the content of a verified request.
//! - [`message`] makes a [`Message`](message::Message) of it by a [`Recipe`](message::Recipe), whose topic,
//!   key and tag are a [`Template`](message::Template) each.
//! - [`carry`] takes one delivery to one target, or to the store.
//! - [`queue`] holds the clients of the vendors behind the trait [`Queue`](queue::Queue), with retry and
//!   circuits. The [`Class`](queue::Class) of a failure decides what follows.
//! - [`outcome`] has the [`Ending`](outcome::Ending) of a request, and [`problem`] the answer to a refused
//!   one.
//!
//! The modules beside that way:
//!
//! - [`store`], [`spill`] and [`redrive`] keep the deliveries that a queue does not take in time, and send
//!   them later; [`quarantine`] keeps refused requests.
//! - [`telemetry`], [`metrics`] and [`readiness`] report what happens.
//! - [`context`] injects environment, time and randomness ([`env`](mod@env), [`clock`]).
//! - [`secret`] holds secrets and the references to their places.
//! - [`net`] is the HTTP client, [`platform`] knows the clouds, [`reader`] and [`json`] read TOML and JSON.
//! - [`shard`] divides the store among redrivers, and [`sabotage`] lets a test disable a safeguard.
//!
//! `ARCHITECTURE.md` in the repository walks one delivery through these files, and shows the floors on which
//! the modules stand: each imports from the floors below its own alone.
//!
//! # Features
//!
//! A function turns none on, so it carries neither of them:
//!
//! - `sender` signs requests as a provider does, forges them, and reads private keys.
//! - `catalog` describes the presets and the vendors for people, with the presets' samples; it includes
//!   `sender`.

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
mod inflate;
pub mod json;
pub mod message;
pub mod metrics;
pub mod net;
pub mod outcome;
mod pattern;
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
mod sort;
pub mod source;
pub mod spill;
mod stopping;
pub mod store;
mod tasks;
pub mod telemetry;
mod vault;
mod xml;
