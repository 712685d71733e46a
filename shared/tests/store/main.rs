//! Tests of the stores: a folder, a bucket and memory keep the same promises.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod file;
#[path = "../kit/mod.rs"]
mod kit;
mod memory;
mod probe;
mod s3;
mod s3_real;
