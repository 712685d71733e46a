//! Answers in the form that a sender expects: acks, handshakes, refusals.

pub(crate) mod ack;
pub(crate) mod answer;
pub(crate) mod encrypted;
pub(crate) mod handshake;
