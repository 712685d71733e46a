//! Tests of the commands of `hookmq`, each in a process of its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod check;
mod container;
mod documented;
mod every_source;
mod explain;
#[allow(dead_code, unreachable_pub, reason = "these tests need a part of what the library's share")]
#[path = "../../../shared/tests/kit/source/mod.rs"]
mod kit;
mod words;
