//! The kit of the integration tests: worlds, servers and requests that more than one file of tests needs.
//!
//! `world` and `rotation` each take the log of their process, so no binary uses both.
#![allow(dead_code, unreachable_pub, reason = "each binary compiles the whole kit and uses a part of it")]

pub(crate) mod contract;
pub(crate) mod extension;
pub(crate) mod host;
pub(crate) mod outage;
pub(crate) mod promises;
pub(crate) mod rotation;
pub(crate) mod rust_files;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod stalled;
pub(crate) mod world;
