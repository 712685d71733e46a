//! Client of the `SendMessages` API of TDMQ for Pulsar.

mod probe;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::sign::{Head, sign};
use super::wire;
use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::message::Message;
use crate::net::endpoint::{Endpoint, Endpoints};
use crate::net::transport::{Call, Transport, USER_AGENT, headers};
use crate::queue::breaker::Fingerprint;
use crate::queue::credentials::{Credentials, Family, Keyring, TENCENT};
use crate::queue::failure::{Accepted, Exchange, Failure, Private};
use crate::queue::retry::{Attempt, Courier, Identity, Outgoing, limit};
use crate::queue::{Open, Queue, Receipt, SendError, Until, Vendor};
use crate::vault::{Lender, Vault};

const DEFAULT_ENDPOINT: &str = "https://tdmq.tencentcloudapi.com";
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// Lenders of keys for an environment that has none.
const LENDERS: [Lender; 1] = [Lender::Tke];

/// Upper bound on an answer, in bytes: it usually has a few hundred.
const MAX_ANSWER: usize = 1 << 20;

/// Client that sends messages to TDMQ for Pulsar. Clones share connections, circuits and the clock's offset.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    env: Env,
    transport: Transport,
    courier: Courier,
    vault: Vault,
}

impl Client {
    /// Creates a client from the environment. The environment is read again with each attempt, so problems
    /// are not reported here, but by [`problems`](Queue::problems) and by each send.
    pub fn new(context: Context) -> Self {
        let (env, transport) = (context.env.clone(), Transport::new(&context.env));
        let vault = Vault::new(&env, &context.clock);
        Self(Arc::new(Inner { env, transport, courier: Courier::new(context), vault }))
    }
}

impl Queue for Client {
    fn vendor(&self) -> Vendor {
        Vendor::Tdmq
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        Ok(wire::check(&message.topic, &message.text, max_message(&self.0.env)?)?)
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        self.takes(message)?;
        self.0.courier.send(&Sending { client: &self.0, message }, &message.topic, until.into()).await
    }

    fn problems(&self) -> Vec<EnvProblem> {
        let env = &self.0.env;
        let transport = self.0.transport.problem();
        let all = [
            transport,
            self.0.courier.problem().cloned(),
            endpoints(env).err(),
            region(env).err(),
            auto_timeout(env).err(),
            max_message(env).err(),
            credentials(Keyring::trusting(env, &self.0.vault)).err(),
        ];
        all.into_iter().flatten().collect()
    }

    fn open(&self) -> Open {
        self.0.courier.open()
    }

    async fn prewarm(&self) {
        if let Ok(endpoints) = endpoints(&self.0.env) {
            self.0.transport.prewarm(&endpoints.current).await;
        }
    }
}

/// Settings of the environment for one attempt.
struct SendConfig {
    endpoints: Endpoints,
    region: String,
    auto_timeout: bool,
    credentials: Credentials,
}

impl Identity for SendConfig {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoints.current
    }

    fn endpoints(&mut self) -> &mut Endpoints {
        &mut self.endpoints
    }

    fn key(&self) -> Fingerprint {
        self.credentials.fingerprint()
    }
}

struct Sending<'a> {
    client: &'a Inner,
    message: &'a Message,
}

impl Outgoing for Sending<'_> {
    type SendConfig = SendConfig;

    async fn config(&self, refused: bool, deadline: Instant) -> Result<SendConfig, EnvProblem> {
        let Inner { env, vault, .. } = self.client;
        let mut variables = TENCENT.iter().flat_map(Family::variables);
        let keys = Keyring::read(env, vault, &mut variables, &LENDERS, refused, deadline).await;
        if let Some(problem) = self.client.transport.problem() {
            return Err(problem);
        }
        Ok(SendConfig {
            endpoints: endpoints(env)?,
            region: region(env)?,
            auto_timeout: auto_timeout(env)?,
            credentials: credentials(keys)?,
        })
    }

    fn size(&self) -> usize {
        self.message.text.len()
    }

    async fn attempt(&self, config: &SendConfig, attempt: Attempt) -> Result<Accepted, Failure> {
        self.exchange(config, attempt).await?.meaning
    }
}

impl Sending<'_> {
    /// Sends one request, and returns the answer with its meaning.
    async fn exchange(&self, config: &SendConfig, attempt: Attempt) -> Result<Exchange, Failure> {
        let Attempt { deadline, fresh, .. } = attempt;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let send_timeout = config.auto_timeout.then(|| below(remaining)).flatten();
        let body = wire::body(&self.message.topic, &self.message.text, send_timeout);
        let signed = [("content-type", CONTENT_TYPE), ("host", config.endpoint().host())];
        let head = Head { service: "tdmq", headers: &signed, body: &body };
        let signature = sign(&head, &config.credentials, attempt.now);
        let timestamp = attempt.now.unix().to_string();

        let token = config.credentials.token().map(|token| ("x-tc-token", token));
        let own = [
            ("x-tc-action", "SendMessages"),
            ("x-tc-version", "2020-02-17"),
            ("x-tc-timestamp", &timestamp),
            ("x-tc-region", &config.region),
            ("x-tc-language", "en-US"),
            ("x-tc-requestclient", USER_AGENT),
            ("authorization", &signature.authorization),
        ];
        let headers = headers(signed.into_iter().chain(own).chain(token));

        let call = Call {
            method: http::Method::POST,
            endpoint: config.endpoint(),
            path_and_query: "/",
            headers,
            body,
            limit: MAX_ANSWER,
            deadline,
            fresh,
        };
        let answer = self.client.transport.send(call).await?.inflated(MAX_ANSWER);
        let private = Private { secrets: &config.credentials.secrets(), message: Some(self.message) };
        Ok(Exchange { meaning: wire::read(&answer, &private), answer })
    }
}

fn endpoints(env: &Env) -> Result<Endpoints, EnvProblem> {
    let variable = super::ENDPOINT;
    let text = env.get(variable).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    Endpoints::parse(&text, env.allows_http()).map_err(|e| EnvProblem { variable, message: e.to_string() })
}

/// Reads the topic's region, which the API requires since the edition of 2025-11-25. A platform may have set
/// `TENCENTCLOUD_REGION` to its own region, so `TDMQ_REGION` has precedence.
fn region(env: &Env) -> Result<String, EnvProblem> {
    let own = env.get(super::REGION).map(|region| (super::REGION, region));
    let found = own.or_else(|| Some((super::OTHER_REGION, env.get(super::OTHER_REGION)?)));
    let is_region = |r: &str| r.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match found {
        Some((_, region)) if is_region(&region) => Ok(region),
        Some((variable, _)) => Err(EnvProblem {
            variable,
            message: "is not a region: write the topic's, such as ap-guangzhou".to_owned(),
        }),
        None => Err(EnvProblem {
            variable: super::REGION,
            message:
                "and TENCENTCLOUD_REGION do not name a region: set one to the topic's, such as ap-guangzhou"
                    .to_owned(),
        }),
    }
}

fn auto_timeout(env: &Env) -> Result<bool, EnvProblem> {
    let variable = super::SEND_TIMEOUT;
    match env.get(variable).as_deref() {
        None | Some("auto") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(EnvProblem { variable, message: "is neither auto nor off".to_owned() }),
    }
}

/// Reads the upper bound on a text in bytes: the vendor's, or a lower one of the cluster.
fn max_message(env: &Env) -> Result<usize, EnvProblem> {
    limit(env, super::MAX_MESSAGE, wire::MAX_TEXT)
}

fn credentials(keys: Keyring<'_>) -> Result<Credentials, EnvProblem> {
    if let Some(credentials) = Credentials::from_env(keys, &TENCENT)? {
        return Ok(credentials);
    }
    keys.lent(&LENDERS)?.ok_or_else(|| EnvProblem {
        variable: TENCENT[0].id,
        message: "and TENCENTCLOUD_SECRET_KEY are not set".to_owned(),
    })
}

/// Returns the whole seconds below `timeout`, so that the server gives up first and reports its time-out;
/// `None` for less than two seconds.
fn below(timeout: Duration) -> Option<u64> {
    let seconds = timeout.as_secs() - u64::from(timeout.subsec_nanos() == 0 && timeout.as_secs() > 0);
    (timeout >= Duration::from_secs(2)).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_gives_up_first() {
        for (millis, want) in
            [(1999, None), (2000, Some(1)), (2001, Some(2)), (5333, Some(5)), (10_000, Some(9))]
        {
            assert_eq!(below(Duration::from_millis(millis)), want, "{millis}");
        }
        assert_eq!(below(Duration::ZERO), None);
    }
}
