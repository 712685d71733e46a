//! `--behind` of `hookmq dev` and `hookmq demo`: a real broker behind the emulated HTTP API.
//!
//! What the emulator takes is published by the functions' own native producer under the same topic, and the emulator
//! answers that it has a message once the broker's receipt is there. So a consumer of any language reads what a webhook
//! became. Topics that the broker lacks are made on the way, where the broker lets that happen.

mod topics;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hookmq_emulator::{Behind, StoredMessage};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::message::Message;
use hookmq_shared::queue::{Client, Queue as _, Vendor};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Time limit of one message, from the look-up of its topic to the receipt.
const LIMIT: Duration = Duration::from_secs(8);

/// Variable that chooses the native route.
const NAME_SERVER: &str = "ROCKETMQ_NAME_SERVER";

/// Variables of this process that the producer takes over: what the address alone does not say.
const TAKEN: [&str; 4] =
    ["ROCKETMQ_TLS", "ROCKETMQ_ACL_ACCESS_KEY", "ROCKETMQ_ACL_SECRET_KEY", "TLS_CA_FILE"];

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Also publish what the emulated RocketMQ API takes into the broker of this name server
    #[arg(long, value_name = "rocketmq://HOST:PORT", value_parser = address)]
    behind: Option<String>,
}

/// Returns host and port of a name server's address.
fn address(text: &str) -> Result<String, &'static str> {
    let authority = text.strip_prefix("rocketmq://").unwrap_or_default().trim_end_matches('/');
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none_or(|port| port == 0) || authority.contains(['/', '?', '@', ',', ';']) {
        return Err("write the address of a name server: rocketmq://HOST:9876");
    }
    Ok(authority.to_owned())
}

impl Args {
    /// Returns the broker as the emulator asks it; `None` without one.
    pub(crate) async fn broker(&self) -> Result<Option<Behind>, String> {
        let Some(address) = &self.behind else { return Ok(None) };
        listens(address).await.map_err(|why| format!("--behind {address}: {why}"))?;
        let process = Env::process();
        let taken = TAKEN.iter().filter_map(|name| Some(((*name).to_owned(), process.get(name)?)));
        let env = Env::of(taken.chain([(NAME_SERVER.to_owned(), address.clone())]));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let client = Client::new(Vendor::Rocketmq, context);
        let (known, failed) = Default::default();
        let broker = Arc::new(Broker { address: address.clone(), client, known, failed });
        Ok(Some(Arc::new(move |message: StoredMessage| {
            let is_own = message.vendor.spec().name == Vendor::Rocketmq.as_str();
            let broker = is_own.then(|| Arc::clone(&broker));
            Box::pin(async move {
                match broker {
                    Some(broker) => broker.publish(message).await,
                    None => Ok(()),
                }
            })
        })))
    }
}

/// Connects once, so that a broker that does not run is told before anything waits for it.
async fn listens(authority: &str) -> Result<(), String> {
    let connected = timeout(LIMIT, TcpStream::connect(authority)).await;
    let connected = connected.map_err(|_| "it does not answer".to_owned())?;
    connected
        .map(drop)
        .map_err(|error| format!("it cannot be reached ({error}): start it, or correct the address"))
}

/// Broker behind the emulator.
struct Broker {
    /// Host and port of the name server.
    address: String,
    client: Client,
    /// Topics that were looked for.
    known: Mutex<HashSet<String>>,
    /// Topics of which a failure was told.
    failed: Mutex<HashSet<String>>,
}

impl Broker {
    async fn publish(&self, stored: StoredMessage) -> Result<(), String> {
        let topic = stored.topic.clone();
        self.prepare(&topic).await;
        let sent = self.client.send(&message(stored), Instant::now() + LIMIT).await;
        let why = match sent {
            Ok(_) => return Ok(()),
            Err(error) => format!("{} behind the emulator, topic {topic}: {error}", self.address),
        };
        // The function tries again, and its log has each answer.
        if self.failed.lock().await.insert(topic) {
            crate::complain(&why);
        }
        Err(why)
    }

    /// Makes the topic if the broker lacks it. A failure is told and is not an error: somebody else may have made it, and
    /// the broker says so with the message.
    async fn prepare(&self, topic: &str) {
        // Locked until the topic is there, so that no message overtakes it.
        let mut known = self.known.lock().await;
        if !known.insert(topic.to_owned()) {
            return;
        }
        let made = timeout(LIMIT, topics::make(&self.address, topic)).await;
        if let Err(error) = made.unwrap_or_else(|_| Err("no answer".into())) {
            crate::complain(format_args!(
                "the topic {topic} is not made at {}, make it if it is missing: {error}",
                self.address
            ));
        }
    }
}

/// Returns the message of a function from what the emulated API took.
fn message(stored: StoredMessage) -> Message {
    let StoredMessage { topic, message_id, text, mut properties, .. } = stored;
    let keys = properties.remove("KEYS").unwrap_or_default();
    let (id, key) = match keys.split_once(' ') {
        Some((id, key)) => (id.to_owned(), Some(key.to_owned())),
        None => (keys, None),
    };
    let id = if id.is_empty() { message_id } else { id };
    let tag = properties.remove("TAGS");
    Message { id, topic, text, key, tag, properties: attributes(properties) }
}

/// Returns the properties that a function sets: a broker adds its own again.
fn attributes(properties: BTreeMap<String, String>) -> Vec<(Cow<'static, str>, String)> {
    let is_own = |(name, _): &(String, String)| name.starts_with("CE_");
    properties.into_iter().filter(is_own).map(|(name, value)| (name.into(), value)).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        for (text, authority) in [
            ("rocketmq://127.0.0.1:9876", "127.0.0.1:9876"),
            ("rocketmq://b.test:9876/", "b.test:9876"),
            ("rocketmq://[::1]:9876", "[::1]:9876"),
        ] {
            assert_eq!(address(text).as_deref(), Ok(authority));
        }
        assert!(Vendor::Rocketmq.spec().set_up_by.contains(&NAME_SERVER));
        for wrong in [
            "",
            "127.0.0.1:9876",
            "http://a:1",
            "rocketmq://a",
            "rocketmq://a:0",
            "rocketmq://a:1,b:2",
            "rocketmq://a:1/x",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_broker_that_does_not_run_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let args = Args { behind: Some(here.clone()) };
        assert!(Args::default().broker().await.unwrap().is_none());
        assert!(args.broker().await.unwrap().is_some());
        drop(listener);
        let told = args.broker().await.err().unwrap();
        assert!(told.contains(&here) && told.contains("start it"), "{told}");
    }

    #[test]
    fn a_message_is_as_the_function_made_it() {
        let properties = [("KEYS", "id-1 key"), ("TAGS", "push"), ("CE_id", "id-1"), ("UNIQ_KEY", "x")];
        let stored = StoredMessage {
            vendor: hookmq_emulator::Vendor::Rocketmq,
            topic: "t".into(),
            message_id: "7F".into(),
            text: "{}".into(),
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            received_at_ms: 0,
            headers: BTreeMap::new(),
        };
        let made = message(stored.clone());
        assert_eq!(
            (made.id.as_str(), made.key.as_deref(), made.tag.as_deref()),
            ("id-1", Some("key"), Some("push"))
        );
        assert_eq!(made.properties, [("CE_id".into(), "id-1".to_owned())]);
        assert_eq!(message(StoredMessage { properties: BTreeMap::new(), ..stored }).id, "7F");
    }
}
