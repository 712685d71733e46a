//! RocketMQ's own protocol ("remoting"), the native way to brokers of RocketMQ 4.x and 5.x, and to the remoting
//! port of a proxy.
//!
//! The name server names the brokers of a topic ([`route`]), and a message goes to one of their queues
//! (`producer`), over a connection that many messages share (`connection`). Each call has a deadline. A message
//! whose receipt does not come is sent again under the same ids: `KEYS` begins with the delivery's id, and
//! `UNIQ_KEY`, which consumers read as the message's id, is computed from topic and delivery id.
//!
//! Steps without a wait are functions that are not inlined: code of a future is a third larger than that of a
//! function, since all that it holds is far from its frame's start.
//!
//! The protocol is described by Apache's source alone: `RemotingCommand`, `SendMessageRequestHeaderV2`,
//! `TopicRouteData`, `AclUtils`, `ResponseCode` (<https://github.com/apache/rocketmq>).

mod acl;
pub mod command;
mod connection;
mod error;
pub mod frame;
mod producer;
pub mod route;
mod sending;
mod settings;

pub(super) use producer::Producer;
pub(super) use sending::Sending;
pub(super) use settings::{ACCESS_KEY, COPIES, GROUP, NAME_SERVER, SECRET_KEY, TLS, is_chosen, problem};
