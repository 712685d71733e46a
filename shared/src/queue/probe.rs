//! One signed call that a vendor must refuse, so that nothing is stored: what `hookmq check --live` asks.
//!
//! It is the forwarders' own call, a message, to a name that nobody has: a namespace of TDMQ (which
//! creates topics by itself on some clusters, but no namespace), a topic of DMS (which creates none by
//! itself). A vendor that says that it does not exist has looked at the signature, the permission, the
//! region and the instance before, with no more permission than sending needs. A reading call would be
//! harmless by its nature, but needs permissions that a forwarder should not have.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Vendor;
use crate::clock::Random;
use crate::context::Context;
use crate::message::Message;
use crate::net::endpoint::Endpoint;
use crate::net::tls::{Connector, connect_to};
use crate::net::transport::Transport;
use crate::queue::failure::{Accepted, Exchange, Failure};

/// What was asked, over which way, and what came back. Nothing in it is a secret.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose.
    pub vendor: Vendor,
    /// The API's address.
    pub endpoint: String,
    /// What else the environment named, and its value: the region; project, instance and IAM's address.
    pub place: Vec<(&'static str, String)>,
    /// The credentials.
    pub access: Access,
    /// What was asked: the API's name and the topic that nobody has.
    pub asked: String,
    /// The way to the endpoint.
    pub route: Route,
    /// From the request's first byte to the answer's last; for the IAM route, the token's time too.
    pub took: Duration,
    /// The answer's HTTP status; `None` without an answer of this API.
    pub status: Option<u16>,
    /// Seconds that the vendor's clock is ahead of ours, by the answer's `Date`; to the second.
    pub clock_offset: Option<i64>,
    /// What the vendor says.
    pub answer: Result<Accepted, Failure>,
    /// What follows.
    pub verdict: Verdict,
}

/// What an answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Endpoint, signature, permission and instance are good: the name was looked for and not found.
    Good,
    /// The vendor refuses us; the failure's class says what has to be corrected.
    Refused,
    /// Nothing: no answer, or a passing fault. Ask again.
    Unknown,
    /// Against all documents the vendor stored the message.
    Stored,
}

/// The credentials that were used.
#[derive(Clone, Debug)]
pub struct Access {
    /// The variable that holds the id: it names the family.
    pub variable: &'static str,
    /// The id, its middle masked.
    pub id: String,
    /// Whether a session or security token came along.
    pub is_temporary: bool,
}

impl Access {
    pub(super) fn new(variable: &'static str, id: &str, is_temporary: bool) -> Self {
        Self { variable, id: masked(id), is_temporary }
    }
}

/// The way to an endpoint, measured once before the request.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Whether it leads through `HTTPS_PROXY`, which then resolves the name.
    pub is_proxied: bool,
    /// Addresses that the name resolves to, and how long that took; or what failed.
    pub dns: Option<Result<(usize, Duration), String>>,
    /// A TCP connection to the first address, closed again; or what failed.
    pub tcp: Option<Result<Duration, String>>,
    /// The connection that the request used: name, TCP and TLS, or those of the proxy.
    pub connection: Option<Duration>,
}

/// What of one vendor a probe needs.
pub(super) struct Probe<'a> {
    pub vendor: Vendor,
    pub transport: &'a Transport,
    pub endpoint: &'a Endpoint,
    pub place: Vec<(&'static str, String)>,
    pub access: Access,
    pub asked: String,
    /// Codes by which the vendor says that it has looked for the name in vain.
    pub proof: &'static [&'static str],
}

impl Probe<'_> {
    /// Asks: measures the way, then lets `exchange` send its one request over the connection that is
    /// open by then.
    pub(super) async fn ask(
        self,
        context: &Context,
        deadline: Instant,
        exchange: impl Future<Output = Result<Exchange, Failure>>,
    ) -> Report {
        let route = Box::pin(route(self.transport, self.endpoint, deadline)).await;
        let sent = Instant::now();
        let exchanged = Box::pin(exchange).await;
        let (took, now) = (sent.elapsed(), context.clock.now());
        let (status, date, answer) = match exchanged {
            Ok(Exchange { answer, meaning }) => (Some(answer.status), answer.date(), meaning),
            Err(failure) => (None, None, Err(failure)),
        };
        Report {
            vendor: self.vendor,
            endpoint: self.endpoint.to_string(),
            place: self.place,
            access: self.access,
            asked: self.asked,
            route,
            took,
            status,
            clock_offset: date.map(|date| date.unix() - now.unix()),
            verdict: verdict(&answer, self.proof),
            answer,
        }
    }
}

fn verdict(answer: &Result<Accepted, Failure>, proof: &[&str]) -> Verdict {
    use super::Class::{Ambiguous, Throttle, Transient};
    match answer {
        Ok(_) => Verdict::Stored,
        Err(failure) if failure.code.as_deref().is_some_and(|code| proof.contains(&code)) => Verdict::Good,
        Err(failure) if matches!(failure.class, Throttle | Transient | Ambiguous) => Verdict::Unknown,
        Err(_) => Verdict::Refused,
    }
}

/// A name that nobody has: 64 random bits in it.
pub(super) fn absent(random: &Random) -> String {
    format!("hookmq-check-{:016x}", random.next_u64())
}

/// The message to a topic that nobody has.
pub(super) fn message(topic: String) -> Message {
    Message {
        id: "hookmq-check".to_owned(),
        topic,
        text: "hookmq check --live: to a name that does not exist, so this must be refused".to_owned(),
        key: None,
        tag: None,
        properties: Vec::new(),
    }
}

async fn route(transport: &Transport, endpoint: &Endpoint, deadline: Instant) -> Route {
    let is_proxied = transport.connector().is_some_and(|connector| connector.tunnels(endpoint));
    let mut route = Route { is_proxied, ..Route::default() };
    if let Some(connector) = transport.connector().filter(|_| !route.is_proxied) {
        let (dns, tcp) = reach(&connector, endpoint, deadline).await;
        (route.dns, route.tcp) = (Some(dns), tcp);
    }
    if route.is_proxied || matches!(route.tcp, Some(Ok(_))) {
        let started = Instant::now();
        route.connection = transport.prewarm(endpoint).await.then(|| started.elapsed());
    }
    route
}

type Dns = Result<(usize, Duration), String>;

/// Resolves the name and connects once, without TLS and without a request.
async fn reach(
    connector: &Connector,
    endpoint: &Endpoint,
    deadline: Instant,
) -> (Dns, Option<Result<Duration, String>>) {
    let late = || "no answer in time".to_owned();
    let limit = deadline.min(Instant::now() + STEP);
    let started = Instant::now();
    let addresses = match timeout_at(limit, connector.resolve(endpoint)).await {
        Err(_) => return (Err(late()), None),
        Ok(Err(error)) => return (Err(error), None),
        Ok(Ok(found)) => found,
    };
    let dns = (addresses.len(), started.elapsed());
    let started = Instant::now();
    let tcp = match timeout_at(limit, connect_to(&addresses)).await {
        Err(_) => Err(late()),
        Ok(connected) => connected.map(|_| started.elapsed()),
    };
    (Ok(dns), Some(tcp))
}

/// For a name and a connection together.
const STEP: Duration = Duration::from_secs(5);

/// Enough of an id to know it by.
fn masked(id: &str) -> String {
    const SHOWN: usize = 4;
    let chars: Vec<char> = id.chars().collect();
    if chars.len() < 3 * SHOWN {
        return "…".to_owned();
    }
    let (head, tail) = (chars.get(..SHOWN), chars.get(chars.len() - SHOWN..));
    head.into_iter().flatten().chain(&['…']).chain(tail.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Class;

    #[test]
    fn an_id_is_known_by_its_ends() {
        assert_eq!(masked("AKIDabcdefghijklmnop"), "AKID…mnop");
        assert_eq!(masked("short"), "…");
        assert_eq!(masked("ééééxxxxöööö"), "éééé…öööö");
    }

    #[test]
    fn only_the_name_not_found_is_proof() {
        let failed = |class, code: &str| {
            let code = Some(code.to_owned());
            verdict(&Err(Failure { code, ..Failure::new(class, "") }), &["NotFound", "NotCreated"])
        };
        assert_eq!(failed(Class::Config, "NotFound"), Verdict::Good);
        assert_eq!(failed(Class::Transient, "NotCreated"), Verdict::Good);
        assert_eq!(failed(Class::Config, "Other"), Verdict::Refused);
        assert_eq!(failed(Class::ClockSkew, "Other"), Verdict::Refused);
        for class in [Class::Throttle, Class::Transient, Class::Ambiguous] {
            assert_eq!(failed(class, "Other"), Verdict::Unknown);
        }
        let stored = Accepted { message_id: "1".to_owned(), request_id: None };
        assert_eq!(verdict(&Ok(stored), &["NotFound"]), Verdict::Stored);
    }
}
