//! Tests of the emulated services: what they accept and refuse, their faults, and the executable.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod captures;
mod dms;
mod faults;
mod garbage;
mod iam;
mod kit;
mod process;
mod tdmq;
