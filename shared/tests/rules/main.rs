//! Tests of the code itself: rules that every file of the library keeps.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod constant_time;
#[path = "../kit/mod.rs"]
mod kit;
mod layers;
mod names;
mod prose;
