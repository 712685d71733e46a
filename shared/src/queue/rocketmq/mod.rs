//! DMS for RocketMQ, on Open Telekom Cloud and Huawei Cloud: the "Sending Messages" API, version 2.
//!
//! <https://support.huaweicloud.com/intl/en-us/api-hrm/SendMessage.html>. The API makes a message id
//! of its own with every call, so the delivery id travels as `KEYS` (which consumers can look up)
//! and inside of the text, and a message whose fate is unknown is sent again.

mod client;
pub mod error;
mod iam;
mod properties;
pub mod sign;
pub mod wire;

pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};
