//! Tests of a whole forwarder between a sender and the vendors' emulator, and of the redriver after it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod contract;
mod deadline;
mod e2e;
#[path = "../kit/mod.rs"]
mod kit;
mod metrics;
mod redrive;
mod spill;
mod spill_identity;
mod targets;
