//! Client of DMS for RocketMQ, on Open Telekom Cloud and Huawei Cloud: the "Sending Messages" API, version 2.
//!
//! <https://support.huaweicloud.com/intl/en-us/api-hrm/SendMessage.html>. The API creates a new message id
//! with every call. So the delivery id is sent in `KEYS`, which consumers can look up, and inside the text; a
//! message with an unknown outcome is sent again.

mod client;
pub mod error;
mod iam;
mod properties;
pub mod sign;
pub mod wire;

pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};
