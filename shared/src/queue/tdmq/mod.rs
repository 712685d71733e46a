//! TDMQ for Pulsar: the `SendMessages` API, version 2020-02-17.
//!
//! <https://www.tencentcloud.com/document/api/1110/44129>. The API carries a topic and a text and
//! nothing else: no key, no properties, no handle for idempotence. So the delivery id travels inside
//! of the text, and a message whose fate is unknown is sent again.

mod client;
pub mod error;
pub mod sign;
pub mod wire;

pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};
