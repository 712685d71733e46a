//! One message on its way over the native route.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::command::Answer;
use super::error::{
    FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT, SLAVE_NOT_AVAILABLE, STORED, TOPIC_NOT_EXIST, classify,
};
use super::producer::{Chosen, Outbound, Producer, With};
use super::settings::{ACCESS_KEY, SECRET_KEY, Settings};
use crate::env::{Env, EnvProblem};
use crate::message::Message;
use crate::net::digest::{hex, sha256};
use crate::net::endpoint::Endpoint;
use crate::net::transport::Transport;
use crate::queue::Class;
use crate::queue::credentials::{Credentials, Keyring};
use crate::queue::failure::{Accepted, Failure, Private};
use crate::queue::retry::{Attempt, Outgoing};
use crate::vault::Vault;

/// Upper bound on the string of all properties, in bytes: brokers count it in a signed 16-bit number.
const MAX_PROPERTIES: usize = 32_767;

/// Number of times that a message is sent whose storing the broker reports as late or uncopied.
const MAX_LATE: u32 = 2;

/// Message on its way.
pub(in crate::queue) struct Sending<'a> {
    producer: &'a Producer,
    env: &'a Env,
    vault: &'a Vault,
    transport: &'a Transport,
    message: &'a Message,
    properties: String,
    body: Bytes,
    /// Id that consumers read as the message's.
    unique: String,
    /// Number of answers so far that report a late copy.
    late: AtomicU32,
}

impl<'a> Sending<'a> {
    /// Prepares a message with its encoded properties.
    pub(in crate::queue) fn new(
        producer: &'a Producer,
        (env, vault, transport): (&'a Env, &'a Vault, &'a Transport),
        message: &'a Message,
        mut properties: String,
    ) -> Result<Self, Failure> {
        let unique = unique(&message.topic, &message.id);
        for part in ["UNIQ_KEY", "\u{1}", &unique, "\u{2}"] {
            properties.push_str(part);
        }
        if properties.len() > MAX_PROPERTIES {
            let detail = format!("the properties have {} bytes, over {MAX_PROPERTIES}", properties.len());
            return Err(Failure::new(Class::Permanent, detail));
        }
        let body = Bytes::copy_from_slice(message.text.as_bytes());
        let late = AtomicU32::new(0);
        Ok(Self { producer, env, vault, transport, message, properties, body, unique, late })
    }

    fn with<'s>(
        &'s self,
        config: &'s Settings,
        name_server: &'s Endpoint,
        private: &'s Private<'s>,
        attempt: Attempt,
    ) -> With<'s> {
        let Attempt { deadline, fresh, .. } = attempt;
        With { transport: self.transport, name_server, acl: config.acl.as_ref(), private, deadline, fresh }
    }

    /// Asks the name server in use for the route of the message's topic, and sends nothing.
    pub(in crate::queue) async fn ask(&self, config: &Settings, attempt: Attempt) -> Result<(), Failure> {
        let private = Private::default();
        let with = self.with(config, &config.endpoints.current, &private, attempt);
        self.producer.route(&self.message.topic, with).await.map(drop)
    }

    /// Reads an answer that is not a plain success. `None` asks for another queue.
    fn judge(
        &self,
        answer: &Answer,
        (outbound, chosen): (&Outbound<'_>, &Chosen),
        private: &Private<'_>,
        needs_copies: bool,
    ) -> Option<Result<Accepted, Failure>> {
        let is_late = match answer.code {
            STORED => false,
            FLUSH_DISK_TIMEOUT | FLUSH_SLAVE_TIMEOUT => true,
            SLAVE_NOT_AVAILABLE => needs_copies,
            _ => {
                let failure = chosen.refusal(answer, outbound, private);
                let is_stale = classify(answer.code, &answer.remark, 0).is_stale;
                if is_stale || answer.code == TOPIC_NOT_EXIST {
                    self.producer.forget(&self.message.topic);
                }
                if is_stale || matches!(failure.class, Class::Throttle | Class::Transient | Class::Ambiguous)
                {
                    self.producer.pass_over(chosen);
                }
                return Some(Err(failure));
            }
        };
        if is_late {
            self.producer.pass_over(chosen);
            let late = self.late.fetch_add(1, Ordering::Relaxed) + 1;
            let failure = chosen.refusal(answer, outbound, private);
            let detail = format!("stored, but not as durably as it is configured, twice: {}", failure.detail);
            return (late >= MAX_LATE).then_some(Err(Failure { detail, is_last: true, ..failure }));
        }
        if answer.code == SLAVE_NOT_AVAILABLE {
            self.producer.warn_uncopied(&self.message.topic, chosen);
        }
        let Some(position) = &answer.message_id else {
            let detail = "the answer reports success without a message id";
            let failure =
                Failure { maybe_stored: true, unread: true, ..Failure::new(Class::Ambiguous, detail) };
            return Some(Err(failure));
        };
        Some(Ok(Accepted { message_id: self.unique.clone(), request_id: Some(position.clone()) }))
    }
}

impl Outgoing for Sending<'_> {
    type SendConfig = Settings;

    async fn config(&self, refused: bool, deadline: Instant) -> Result<Settings, EnvProblem> {
        let mut variables = [ACCESS_KEY, SECRET_KEY].into_iter();
        let keys = Keyring::read(self.env, self.vault, &mut variables, &[], refused, deadline).await;
        match self.transport.problem() {
            Some(problem) => Err(problem),
            None => Settings::read(keys),
        }
    }

    fn size(&self) -> usize {
        self.body.len()
    }

    async fn attempt(&self, config: &Settings, attempt: Attempt) -> Result<Accepted, Failure> {
        let secrets = config.acl.as_ref().map_or(["", ""], Credentials::secrets);
        let private = Private { secrets: &secrets, message: Some(self.message) };
        let mut with = self.with(config, &config.endpoints.current, &private, attempt);
        let outbound = Outbound {
            topic: &self.message.topic,
            key: self.message.key.as_deref().filter(|key| !key.is_empty()),
            group: &config.group,
            properties: &self.properties,
            born: attempt.now.unix_millis(),
            body: self.body.clone(),
        };
        let mut avoid = None;
        loop {
            let sent = self.producer.send(&outbound, avoid.as_ref(), with).await;
            let is_again = avoid.is_some();
            let (answer, chosen) = match sent {
                Ok(sent) => sent,
                Err(failure) => {
                    let maybe_stored = failure.maybe_stored || is_again;
                    return Err(Failure { maybe_stored, ..failure });
                }
            };
            let judged = self.judge(&answer, (&outbound, &chosen), &private, config.needs_copies);
            if let Some(judged) = judged {
                return judged.map_err(|failure| {
                    let maybe_stored = failure.maybe_stored || is_again;
                    Failure { maybe_stored, ..failure }
                });
            }
            avoid = Some(chosen);
            with.fresh = false;
        }
    }
}

/// Computes the id that consumers read as the message's (`UNIQ_KEY`): it is the same for each copy. Its form is
/// the official client's, 16 bytes in hexadecimal, with a time of zero, from which consoles begin their search:
/// the first of the month.
fn unique(topic: &str, id: &str) -> String {
    let digest = sha256(format!("{topic}\0{id}").as_bytes());
    let (head, tail) = (digest.get(..10).unwrap_or_default(), digest.get(10..12).unwrap_or_default());
    hex(&[head, &[0; 4], tail].concat()).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_their_id_and_other_messages_do_not() {
        let id = unique("t-1", "evt_1");
        assert_eq!((id.len(), &id[20..28]), (32, "00000000"));
        assert_eq!(id, unique("t-1", "evt_1"));
        assert_ne!(id, unique("t-2", "evt_1"));
        assert_ne!(id, unique("t-1", "evt_2"));
    }
}
