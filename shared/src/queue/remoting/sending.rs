//! One message on its way over the native route.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::command::{BrokerAnswer, Request, SEND};
use super::error::{FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT, SLAVE_NOT_AVAILABLE, STORED, classify};
use super::producer::{Chosen, Failed, MAX_ANSWER, Met, Producer, With, enter, refusal};
use super::settings::{ACCESS_KEY, SECRET_KEY, Settings};
use crate::env::{Env, EnvProblem};
use crate::message::Message;
use crate::net::digest::{hex, sha256};
use crate::net::endpoint::Endpoint;
use crate::net::transport::Transport;
use crate::queue::Class;
use crate::queue::credentials::{Credentials, Keyring};
use crate::queue::failure::{Accepted, Failure, Private, Scope};
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
        let late = AtomicU32::new(0);
        Ok(Self { producer, env, vault, transport, message, properties, unique, late })
    }

    /// Asks the name server in use for the route of the message's topic, and sends nothing.
    pub(in crate::queue) async fn ask(&self, settings: &Settings, attempt: Attempt) -> Result<(), Failure> {
        let Attempt { deadline, fresh, .. } = attempt;
        let secrets = settings.acl.as_ref().map_or(["", ""], Credentials::secrets);
        let private = Private { secrets: &secrets, message: None };
        let with = With { transport: self.transport, settings, private: &private, deadline, fresh };
        self.producer.route(&self.message.topic, with).await.map(drop).map_err(|failure| *failure)
    }

    /// Sends the message to one of its topic's queues, and to another one if a broker cannot be reached, or
    /// reports once that it stored the message late.
    async fn carry(&self, mut with: With<'_>, born: i64) -> Result<Accepted, Failed> {
        let Self { producer, message, .. } = self;
        let _room = enter(producer.room(self.size()), with.deadline).await?;
        let route = producer.route(&message.topic, with).await?;
        let key = message.key.as_deref().filter(|key| !key.is_empty());
        let mut met = Met::default();
        loop {
            let Some(chosen) = producer.choose(&route, key, &met) else {
                let mut last = met.last.unwrap_or_else(|| self.unwritable());
                // Other topics may have other brokers, and the name server was reached.
                last.unreachable = false;
                last.maybe_stored |= met.late.is_some();
                return Err(last);
            };
            let called = match self.request(&chosen, with.settings, born) {
                Ok((endpoint, request)) => producer.call(&endpoint, request, MAX_ANSWER, with).await,
                Err(failure) => Err(failure),
            };
            if let Some(judged) = self.judge(chosen, called, &mut met, with) {
                return judged.map_err(|mut failure| {
                    failure.maybe_stored |= met.late.is_some();
                    failure
                });
            }
            with.fresh = false;
        }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "callers return it")]
    #[inline(never)]
    fn unwritable(&self) -> Failed {
        let detail = format!(
            "topic {} has no queue that can be written: its brokers, or the topic's permission, forbid it",
            self.message.topic
        );
        Failure::new(Class::Permission, detail).into()
    }

    /// Builds the request to a queue, and the endpoint of its broker.
    #[inline(never)]
    fn request(&self, to: &Chosen, settings: &Settings, born: i64) -> Result<(Endpoint, Request), Failed> {
        let scheme = if settings.endpoints.current.is_https() { "https" } else { "http" };
        let address = &to.broker.address;
        let endpoint = Endpoint::parse(&format!("{scheme}://{address}"), true).map_err(|_| {
            let detail = format!("the route has the address {address:?}, which is not host:port");
            Failure::new(Class::Config, detail)
        })?;
        let (queue, born) = (to.queue.to_string(), born.to_string());
        let fields = [
            ("a", settings.group.as_str()),
            ("b", &self.message.topic),
            // Topic and number of queues for brokers that create topics by themselves.
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &queue),
            ("f", "0"),
            ("g", &born),
            ("h", "0"),
            ("i", &self.properties),
            ("j", "0"),
            ("k", "false"),
            ("l", "16"),
            ("m", "false"),
            ("n", &to.broker.name),
        ];
        let code = self.producer.numbered(SEND);
        let body = self.message.text.as_bytes();
        Ok((endpoint, Request::new(code, &fields, body, settings.acl.as_ref())))
    }

    /// Judges what became of a request. `None` asks for another queue.
    #[inline(never)]
    fn judge(
        &self,
        chosen: Chosen,
        called: Result<BrokerAnswer, Failed>,
        met: &mut Met,
        with: With<'_>,
    ) -> Option<Result<Accepted, Failed>> {
        let (producer, topic) = (self.producer, &self.message.topic);
        let told = |failure| chosen.told(topic, failure);
        let answer = match called {
            Ok(answer) => answer,
            Err(failure) => {
                producer.leave_out(&chosen.broker, topic, true);
                let mut failure = told(failure);
                // A broker's certificate or address may be wrong, and the others' right.
                let is_its_own = failure.class == Class::Config && !failure.maybe_stored && !failure.unread;
                let is_unwritten = failure.unreachable || is_its_own;
                failure.scope = Scope::Topic;
                if !is_unwritten || self.has_key() {
                    // The other brokers may well be reached by messages without this key.
                    failure.unreachable = false;
                    return Some(Err(failure));
                }
                met.failed.push(chosen.broker.address);
                met.last = Some(failure);
                return None;
            }
        };
        let is_uncopied = answer.code == SLAVE_NOT_AVAILABLE;
        let is_late = matches!(answer.code, FLUSH_DISK_TIMEOUT | FLUSH_SLAVE_TIMEOUT)
            || is_uncopied && with.settings.needs_copies;
        if answer.code != STORED && (is_late || !is_uncopied) {
            let mut failure = told(refusal(&answer, with.private));
            let is_stale = classify(answer.code, &answer.remark).is_stale;
            if is_stale || matches!(failure.class, Class::Throttle | Class::Transient | Class::Ambiguous) {
                producer.leave_out(&chosen.broker, topic, is_stale);
            }
            if is_late {
                met.late = Some(chosen);
                failure.detail.insert_str(0, "stored, but twice not as durably as it is configured: ");
                failure.is_last = true;
                if self.late.fetch_add(1, Ordering::Relaxed) + 1 < MAX_LATE {
                    return None;
                }
            } else if is_stale && !failure.maybe_stored && !self.has_key() {
                // Another broker of the topic may take what this one may not.
                met.failed.push(chosen.broker.address);
                met.last = Some(failure);
                return None;
            }
            return Some(Err(failure));
        }
        let Some(position) = answer.message_id else {
            let mut failure = told(
                Failure::new(Class::Ambiguous, "the answer reports success without a message id").into(),
            );
            (failure.maybe_stored, failure.unread) = (true, true);
            return Some(Err(failure));
        };
        if is_uncopied {
            producer.warn_uncopied(topic, &chosen);
        }
        Some(Ok(Accepted { message_id: self.unique.clone(), request_id: Some(position), is_uncopied }))
    }

    fn has_key(&self) -> bool {
        self.message.key.as_ref().is_some_and(|key| !key.is_empty())
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
        self.message.text.len() + self.properties.len()
    }

    async fn attempt(&self, settings: &Settings, attempt: Attempt) -> Result<Accepted, Failure> {
        let Attempt { deadline, fresh, now } = attempt;
        let secrets = settings.acl.as_ref().map_or(["", ""], Credentials::secrets);
        let private = Private { secrets: &secrets, message: Some(self.message) };
        let with = With { transport: self.transport, settings, private: &private, deadline, fresh };
        self.carry(with, now.unix_millis()).await.map_err(|failure| *failure)
    }
}

/// Computes the id that consumers read as the message's (`UNIQ_KEY`): it is the same for each copy. Its form is
/// the official client's, 16 bytes in hexadecimal, with a time of zero, from which consoles begin their search:
/// the first of the month.
#[inline(never)]
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
