//! Client of TDMQ for Pulsar: the `SendMessages` API, version 2020-02-17.
//!
//! <https://www.tencentcloud.com/document/api/1110/44129>. The API carries only a topic and a text: it has no
//! key, no properties, and no means of idempotence. So the delivery id is sent inside the text, and a message
//! with an unknown outcome is sent again.

mod client;
pub mod error;
pub mod sign;
pub mod wire;

pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};
