//! Tests of sources: what they verify and what they refuse, their keys and secrets, and the other way round,
//! signing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cases;
mod delivery;
mod documented;
mod encrypted;
mod events;
mod fetch;
mod fetched;
mod grammar;
mod handshakes;
mod identity;
mod jwt;
mod keys;
#[path = "../kit/mod.rs"]
mod kit;
mod mutated_words;
mod mutations;
mod places;
mod rotation;
mod rotation_remote;
mod several;
mod sign;
mod tamper;
mod tokens;
mod vain;
mod vectors;
mod words;
