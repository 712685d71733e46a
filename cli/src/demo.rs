//! `hookmq demo` and `hookmq dev`: the whole path of a delivery on one machine.
//!
//! One emulator serves both vendors. Both forwarders run as HTTP servers, as they do outside a cloud runtime.
//! Every sample of `events/` and a forged twin of it are sent to each forwarder.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use hookmq_emulator::{Config as EmulatorConfig, Emulator, StoredMessage};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{BASE_PATH, Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::server::{Limits, Server, stop_signal};
use hookmq_shared::http::Request;
use hookmq_shared::queue::Vendor;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{self, Answer};
use crate::samples::{self, EVENTS};
use crate::trial::{Trial, trials};
use crate::{Exit, behind, complain};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) async fn demo(args: &behind::Args) -> Exit {
    let run = async {
        let house = House::start(args).await?;
        let vendors = Vendor::ALL.map(|vendor| vendor.spec().label).join(" and ");
        crate::say!("emulator   {} (the APIs of {vendors})", house.emulator.url());
        house.print_forwarders();
        let verdict = house.send_all().await?;
        house.stop().await;
        Ok(verdict)
    };
    exit(run.await)
}

pub(crate) async fn dev(args: &behind::Args) -> Exit {
    let run = async {
        // From now on a signal counts, and ends the command once it can end.
        let stop = stop_signal()?;
        let house = House::start(args).await?;
        let console = house.emulator.addr();
        crate::say!("console http://{console}");
        for (path, what) in [
            ("messages", "what is in the queues"),
            ("requests", "what was asked"),
            ("counts", "how much of both"),
            ("faults", "what goes wrong next (docs/local.md)"),
        ] {
            crate::say!("        http://{console}/_/{path:<9} {what}");
        }
        house.print_forwarders();
        let verdict = house.send_all().await?;
        // These lines come last, so that they are still on the screen.
        crate::say!(
            "\nto run a function of your own build against this emulator, paste into another terminal:\n"
        );
        for (name, value) in hookmq_emulator::environment(&house.emulator.url()) {
            crate::say!("export {name}={value}");
        }
        crate::say!("\nCtrl-C to stop");
        stop.await;
        house.stop().await;
        Ok(verdict)
    };
    exit(run.await)
}

fn exit(verdict: Fallible<bool>) -> Exit {
    match verdict {
        Ok(true) => Exit::Good,
        Ok(false) => Exit::Bad,
        Err(error) => {
            complain(error);
            Exit::Bad
        }
    }
}

/// A forwarder that runs as an HTTP server on a free local port.
struct Forwarder {
    vendor: Vendor,
    base_path: String,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Forwarder {
    async fn start(vendor: Vendor, emulator: &Emulator) -> Fallible<Self> {
        let base_path = format!("/{}", vendor.as_str());
        let base = [(BASE_PATH, base_path.clone())];
        let env = Env::of(hookmq_emulator::environment(&emulator.url()).into_iter().chain(base));
        let config = Config::parse("samples", &samples::hooks(), Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let gateway = Gateway::connect(config, vendor, &context);
        let server = Server::bind("127.0.0.1:0", Limits::default()).await?;
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            // A dropped sender stops the server as well.
            server.serve(gateway, Random::system(), async { drop(stopped.await) }).await;
        });
        Ok(Self { vendor, base_path, address, stop, serving })
    }

    /// Stops the server: it takes no new connections, and requests in flight finish.
    async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }
}

/// The emulator and a forwarder for each vendor that sends to it.
struct House {
    emulator: Emulator,
    forwarders: Vec<Forwarder>,
}

impl House {
    async fn start(args: &behind::Args) -> Fallible<Self> {
        let config = EmulatorConfig { behind: args.broker().await?, ..EmulatorConfig::default() };
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), config).await?;
        let mut forwarders = Vec::new();
        for vendor in Vendor::ALL {
            forwarders.push(Forwarder::start(vendor, &emulator).await?);
        }
        Ok(Self { emulator, forwarders })
    }

    fn print_forwarders(&self) {
        for Forwarder { vendor, base_path, address, .. } in &self.forwarders {
            crate::say!("{:<10} http://{address}{base_path}/HOOK", vendor.as_str());
        }
    }

    async fn stop(self) {
        for forwarder in self.forwarders {
            forwarder.stop().await;
        }
        self.emulator.stop().await;
    }

    /// Sends every sample and its forged twin to both forwarders, prints a line for each, and returns true if
    /// all went as expected.
    async fn send_all(&self) -> Fallible<bool> {
        crate::say!(
            "\n{:<25} {:<46} {:<19} {:<46} {:<32} {:>8}",
            "hook",
            "event",
            "answer",
            "topic",
            "message id",
            "time"
        );
        let (mut stored, mut refused, mut handshakes, mut failures) = (0, 0, 0, Vec::new());
        for (file, expect, text) in EVENTS {
            for trial in trials(text, *expect).map_err(|e| format!("events/{file}: {e}"))? {
                for forwarder in &self.forwarders {
                    match self.send(forwarder, &trial).await {
                        Ok(()) if trial.stored => stored += 1,
                        Ok(()) if trial.status == 401 => refused += 1,
                        Ok(()) => handshakes += 1,
                        Err(error) => {
                            crate::say!("  FAILED: {error}");
                            failures.push(format!("events/{file} to {}: {error}", forwarder.vendor.as_str()));
                        }
                    }
                }
            }
        }
        let extra = self.emulator.messages().len().saturating_sub(stored);
        if extra > 0 {
            let messages = if extra == 1 { "message" } else { "messages" };
            failures.push(format!("{extra} unexpected {messages} in the queues"));
        }
        crate::say!(
            "\n{stored} deliveries accepted and in the queue byte for byte, {handshakes} handshakes answered, \
             {refused} forged requests refused"
        );
        for failure in &failures {
            crate::say!("FAILED: {failure}");
        }
        crate::say!("{}", if failures.is_empty() { "PASS" } else { "FAIL" });
        Ok(failures.is_empty())
    }

    /// Sends one request and checks the answer and the content of the queue.
    async fn send(&self, forwarder: &Forwarder, trial: &Trial) -> Fallible<()> {
        let Trial { hook, request, .. } = trial;
        let Request { method, raw_query, headers, body, .. } = request;
        let target = format!("{}/{hook}?{raw_query}", forwarder.base_path);
        let before = Instant::now();
        let answer = client::send(forwarder.address, method, &target, headers, body.clone()).await?;
        let took = before.elapsed();
        let message = answer.message_ids.first().and_then(|id| {
            let all = self.emulator.messages();
            all.into_iter().find(|m| m.vendor.spec().name == forwarder.vendor.as_str() && m.message_id == *id)
        });
        print_line(hook, forwarder.vendor, &answer, message.as_ref(), took);
        if answer.status != trial.status {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(
                format!("answered {} instead of {}: {body}", answer.status.as_u16(), trial.status).into()
            );
        }
        match message {
            Some(message) if trial.stored => is_carried(&message.text, &trial.carried),
            None if !trial.stored => Ok(()),
            Some(_) => Err("a message is in the queue that must not be there".into()),
            None => Err("the message that was acknowledged is not in the queue".into()),
        }
    }
}

fn print_line(hook: &str, vendor: Vendor, answer: &Answer, message: Option<&StoredMessage>, took: Duration) {
    let field = |name: &str| {
        let event: serde_json::Value = serde_json::from_str(&message?.text).ok()?;
        event[name].as_str().map(str::to_owned)
    };
    let event = field("type").unwrap_or_else(|| "-".to_owned());
    let meaning = match (answer.status.as_u16(), message.is_some()) {
        (200..=299, true) => "stored",
        (200..=299, false) => "handshake",
        (401, _) => "forged, refused",
        _ => "not stored",
    };
    crate::say!(
        "{hook:<25} {event:<46} {:<19} {:<46} {:<32} {:>5} µs",
        format!("{} {meaning}", answer.status.as_u16()),
        message.map_or_else(|| vendor.as_str(), |m| &m.topic),
        message.map_or("-", |m| &m.message_id),
        took.as_micros()
    );
}

/// Checks that the envelope carries the body byte for byte, verbatim or as a JSON string.
fn is_carried(envelope: &str, text: &str) -> Fallible<()> {
    let verbatim = format!(r#","data":{text}}}"#);
    let as_string = format!(r#","data":{}}}"#, serde_json::to_string(text)?);
    if envelope.ends_with(&verbatim) || envelope.ends_with(&as_string) {
        Ok(())
    } else {
        Err("the message in the queue does not carry the body byte for byte".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_messages_of_the_demo_are_as_the_contract_says() {
        let schema = serde_json::from_str(include_str!("../../docs/message.schema.json")).unwrap();
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        let house = House::start(&behind::Args::default()).await.unwrap();
        // A vendor without an emulator stores nothing here.
        house.send_all().await.unwrap();
        let messages = house.emulator.messages();
        assert!(messages.len() > 50, "{}", messages.len());
        for message in messages {
            let envelope = serde_json::from_str(&message.text).unwrap();
            let broken: Vec<String> = schema.iter_errors(&envelope).map(|error| error.to_string()).collect();
            assert!(broken.is_empty(), "{broken:?} in {}", message.text);
        }
        house.stop().await;
    }
}
