//! Probe of a vendor by one signed call that it must refuse, for `hookmq check --live`. It stores no message.
//!
//! The probe makes the forwarders' own call, which sends a message, to a name that does not exist: a
//! namespace of TDMQ (some clusters create topics by themselves, but no namespace), or a topic of DMS (which
//! creates none by itself). A vendor that reports the missing name has checked signature, permission, region
//! and instance before. The call needs no more permission than sending does; a reading call would be
//! harmless, but needs permissions that a forwarder should not have.

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

/// Report of a probe: the request, the route, and the answer. It holds no secret.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// Vendor that was asked.
    pub vendor: Vendor,
    /// URL of the API.
    pub endpoint: String,
    /// Further settings of the environment, as name and value: the region; project, instance and IAM's
    /// address.
    pub place: Vec<(&'static str, String)>,
    /// Credentials that signed the request.
    pub access: Access,
    /// Description of the request: the API's name and the topic that does not exist.
    pub asked: String,
    /// Network route to the endpoint.
    pub route: ProbeRoute,
    /// Time from the request's first byte to the answer's last; for the IAM route, the token's time too.
    pub took: Duration,
    /// HTTP status of the answer; `None` without an answer of this API.
    pub status: Option<u16>,
    /// Offset of the vendor's clock in seconds, positive if it is ahead of ours, from the answer's `Date`.
    pub clock_offset: Option<i64>,
    /// Meaning of the answer in the API's terms.
    pub answer: Result<Accepted, Failure>,
    /// Conclusion from the answer.
    pub verdict: ProbeVerdict,
}

/// Conclusion that an answer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// Working endpoint, signature, permission and instance: the vendor looked for the name and did not find
    /// it.
    Good,
    /// Refusal by the vendor; the failure's class says what the user has to correct.
    Refused,
    /// Missing answer or passing fault, which proves nothing. User action: ask again.
    Unknown,
    /// Stored message, contrary to the vendor's documentation.
    Stored,
}

/// Credentials of a probe, without their secret part.
#[derive(Clone, Debug)]
pub struct Access {
    /// Name of the variable that holds the id; it identifies the family.
    pub variable: &'static str,
    /// Access key id with its middle masked.
    pub id: String,
    /// True if a session or security token was sent.
    pub is_temporary: bool,
}

impl Access {
    pub(super) fn new(variable: &'static str, id: &str, is_temporary: bool) -> Self {
        Self { variable, id: masked(id), is_temporary }
    }
}

/// Route to an endpoint, measured once before the request.
#[derive(Clone, Debug, Default)]
pub struct ProbeRoute {
    /// True if the route leads through `HTTPS_PROXY`, which then resolves the name.
    pub is_proxied: bool,
    /// Number of addresses of the name, and the time to resolve it; or the reason of the failure.
    pub dns: Option<Result<(usize, Duration), String>>,
    /// Time of a TCP connection that was closed again; or the reason of the failure.
    pub tcp: Option<Result<Duration, String>>,
    /// Time to open the connection that the request used: name, TCP and TLS, or those of the proxy.
    pub connection: Option<Duration>,
}

/// Vendor-specific part of a probe.
pub(super) struct Probe<'a> {
    pub vendor: Vendor,
    pub transport: &'a Transport,
    pub endpoint: &'a Endpoint,
    pub place: Vec<(&'static str, String)>,
    pub access: Access,
    pub asked: String,
    /// Error codes with which the vendor reports that the name does not exist.
    pub proof: &'static [&'static str],
}

impl Probe<'_> {
    /// Measures the route, then lets `exchange` send its one request over the connection that is open by
    /// then.
    pub(super) async fn ask(
        self,
        context: &Context,
        deadline: Instant,
        exchange: impl Future<Output = Result<Exchange, Failure>>,
    ) -> ProbeReport {
        let route = Box::pin(route(self.transport, self.endpoint, deadline)).await;
        let sent = Instant::now();
        let exchanged = Box::pin(exchange).await;
        let (took, now) = (sent.elapsed(), context.clock.now());
        let (status, date, answer) = match exchanged {
            Ok(Exchange { answer, meaning }) => (Some(answer.status), answer.date(), meaning),
            Err(failure) => (None, None, Err(failure)),
        };
        ProbeReport {
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

fn verdict(answer: &Result<Accepted, Failure>, proof: &[&str]) -> ProbeVerdict {
    use super::Class::{Ambiguous, Throttle, Transient};
    match answer {
        Ok(_) => ProbeVerdict::Stored,
        Err(failure) if failure.code.as_deref().is_some_and(|code| proof.contains(&code)) => {
            ProbeVerdict::Good
        }
        Err(failure) if matches!(failure.class, Throttle | Transient | Ambiguous) => ProbeVerdict::Unknown,
        Err(_) => ProbeVerdict::Refused,
    }
}

/// Builds a name that does not exist: it contains 64 random bits.
pub(super) fn absent(random: &Random) -> String {
    format!("hookmq-check-{:016x}", random.next_u64())
}

/// Builds the message that is sent to a missing topic.
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

async fn route(transport: &Transport, endpoint: &Endpoint, deadline: Instant) -> ProbeRoute {
    let is_proxied = transport.connector().is_some_and(|connector| connector.tunnels(endpoint));
    let mut route = ProbeRoute { is_proxied, ..ProbeRoute::default() };
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

/// Resolves the name and opens one TCP connection, without TLS and without a request.
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

/// Time limit for the name and the TCP connection together.
const STEP: Duration = Duration::from_secs(5);

/// Masks the middle of an id; its first and last four characters stay.
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
        assert_eq!(failed(Class::Config, "NotFound"), ProbeVerdict::Good);
        assert_eq!(failed(Class::Transient, "NotCreated"), ProbeVerdict::Good);
        assert_eq!(failed(Class::Config, "Other"), ProbeVerdict::Refused);
        assert_eq!(failed(Class::ClockSkew, "Other"), ProbeVerdict::Refused);
        for class in [Class::Throttle, Class::Transient, Class::Ambiguous] {
            assert_eq!(failed(class, "Other"), ProbeVerdict::Unknown);
        }
        let stored = Accepted { message_id: "1".to_owned(), request_id: None, is_uncopied: false };
        assert_eq!(verdict(&Ok(stored), &["NotFound"]), ProbeVerdict::Stored);
    }
}
