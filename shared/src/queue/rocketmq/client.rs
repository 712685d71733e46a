//! Client of RocketMQ's queues: the "Sending Messages" API of DMS, or the native route where the environment names
//! a name server ([`remoting`]).

mod probe;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::iam::{IamTokens, Login, is_project_id};
use super::path::{Forms, PathForm, is_unknown};
use super::sign::{Head, sign};
use super::wire::{self, Limit};
use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::message::Message;
use crate::net::endpoint::{Endpoint, Endpoints};
use crate::net::transport::{Call, Transport, headers};
use crate::queue::breaker::Fingerprint;
use crate::queue::credentials::{Credentials, Family, HUAWEI, Keyring};
use crate::queue::failure::{Accepted, Exchange, Failure, Private};
use crate::queue::retry::{Attempt, Courier, Identity, Outgoing, limit};
use crate::queue::{Class, Open, Queue, Receipt, SendError, Until, Vendor, remoting};
use crate::vault::{Lender, Vault};

const CONTENT_TYPE: &str = "application/json";

/// Lenders of keys for an environment that has none.
const LENDERS: [Lender; 1] = [Lender::Agency];

/// Client that sends messages to DMS for RocketMQ. Clones share connections, circuits, the IAM token and the
/// clock's offset.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    env: Env,
    transport: Transport,
    courier: Courier,
    tokens: IamTokens,
    /// Forms that stored a message where the environment or the host's name led to the other one.
    learned: Forms,
    vault: Vault,
    /// Routes and connections of the native route, once a message takes it.
    producer: OnceLock<remoting::Producer>,
    clock: Clock,
}

impl Client {
    /// Creates a client from the environment. The environment is read again with each attempt, so problems
    /// are not reported here, but by [`problems`](Queue::problems) and by each send.
    pub fn new(context: Context) -> Self {
        let (env, transport) = (context.env.clone(), Transport::new(&context.env));
        let (vault, clock) = (Vault::new(&env, &context.clock), context.clock.clone());
        let courier = Courier::new(context);
        let (tokens, learned) = (IamTokens::default(), Forms::default());
        let producer = OnceLock::new();
        Self(Arc::new(Inner { env, transport, courier, tokens, learned, vault, producer, clock }))
    }
}

impl Inner {
    /// Prepares a message for the native route.
    fn natively<'a>(&'a self, message: &'a Message) -> Result<remoting::Sending<'a>, SendError> {
        if let Some(problem) = both_routes(&self.env) {
            return Err(problem.into());
        }
        // A broker counts all of a message against its limit.
        let limit = match max_message(&self.env)? {
            Limit::Text(most) | Limit::Message(most) => Limit::Message(most),
        };
        let mut properties = String::new();
        wire::check_sizes(message, limit)?.iter().for_each(|property| property.encode(&mut properties));
        let producer = self.producer.get_or_init(|| remoting::Producer::new(self.clock.clone()));
        let place = (&self.env, &self.vault, &self.transport);
        Ok(remoting::Sending::new(producer, place, message, properties)?)
    }
}

impl Queue for Client {
    fn vendor(&self) -> Vendor {
        Vendor::Rocketmq
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        if remoting::is_chosen(&self.0.env) {
            return self.0.natively(message).map(drop);
        }
        wire::check(message, max_message(&self.0.env)?)?;
        Ok(())
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        if remoting::is_chosen(&self.0.env) {
            let sending = self.0.natively(message)?;
            // Boxed, so that sends over HTTP need no more memory for it.
            return Box::pin(self.0.courier.send(&sending, &message.topic, until.into())).await;
        }
        let properties = wire::check(message, max_message(&self.0.env)?)?;
        let body = wire::body(message, &properties);
        let sending = Sending::new(&self.0, message, body);
        self.0.courier.send(&sending, &message.topic, until.into()).await
    }

    fn problems(&self) -> Vec<EnvProblem> {
        let env = &self.0.env;
        let transport = self.0.transport.problem();
        let keys = Keyring::trusting(env, &self.0.vault);
        let [place, instance, access] = if remoting::is_chosen(env) {
            [both_routes(env), None, remoting::problem(keys)]
        } else {
            let place = endpoints(env).and_then(|_| PathForm::named(env)).err();
            [place, instance(env).err(), auth(keys).err()]
        };
        let limit = max_message(env).err();
        let all = [transport, self.0.courier.problem().cloned(), place, instance, limit, access];
        all.into_iter().flatten().collect()
    }

    fn open(&self) -> Open {
        self.0.courier.open()
    }

    async fn prewarm(&self) {
        // The native route connects with the first message: a start does not wait for a broker.
        if remoting::is_chosen(&self.0.env) {
            return;
        }
        if let Ok(endpoints) = endpoints(&self.0.env) {
            self.0.transport.prewarm(&endpoints.current).await;
        }
    }
}

/// Settings of the environment for one attempt.
struct SendConfig {
    endpoints: Endpoints,
    /// Form of the address that the environment names; `None` if each endpoint's host does.
    form: Option<PathForm>,
    instance: String,
    auth: Auth,
}

enum Auth {
    /// Access key, and the id of the project in which it is used.
    Key(Credentials, String),
    Login(Login),
}

impl SendConfig {
    /// Returns the form of the address at the endpoint in use, which changes when that one is out of reach.
    fn form(&self) -> PathForm {
        self.form.unwrap_or_else(|| PathForm::of_host(self.endpoint().host()))
    }
}

impl Identity for SendConfig {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoints.current
    }

    fn endpoints(&mut self) -> &mut Endpoints {
        &mut self.endpoints
    }

    fn key(&self) -> Fingerprint {
        match &self.auth {
            Auth::Key(credentials, _) => credentials.fingerprint(),
            Auth::Login(login) => login.fingerprint(),
        }
    }
}

struct Sending<'a> {
    client: &'a Inner,
    message: &'a Message,
    body: Bytes,
    limit: usize,
    /// Endpoints at which this message has turned to the other form of the address.
    turned: Forms,
}

impl Outgoing for Sending<'_> {
    type SendConfig = SendConfig;

    async fn config(&self, refused: bool, deadline: Instant) -> Result<SendConfig, EnvProblem> {
        let Inner { env, vault, .. } = self.client;
        let mut variables = HUAWEI.iter().flat_map(Family::variables).chain(Login::SECRETS);
        // A login is set by a person, so it counts before the machine's key.
        let lenders = if env.get(super::AUTH_URL).is_none() { &LENDERS[..] } else { &[] };
        let keys = Keyring::read(env, vault, &mut variables, lenders, refused, deadline).await;
        if let Some(problem) = self.client.transport.problem() {
            return Err(problem);
        }
        let endpoints = endpoints(env)?;
        let form = PathForm::named(env)?;
        Ok(SendConfig { endpoints, form, instance: instance(env)?, auth: auth(keys)? })
    }

    fn size(&self) -> usize {
        self.body.len()
    }

    async fn attempt(&self, config: &SendConfig, attempt: Attempt) -> Result<Accepted, Failure> {
        self.exchange(config, attempt).await?.meaning
    }
}

impl<'a> Sending<'a> {
    fn new(client: &'a Inner, message: &'a Message, body: Bytes) -> Self {
        Self { client, message, body, limit: wire::limit(message), turned: Forms::default() }
    }

    /// Sends one request, and returns the answer with its meaning. If the gateway does not know the address, the
    /// request is sent to the other form of the address, once for each endpoint that this message is sent to.
    async fn exchange(&self, config: &SendConfig, attempt: Attempt) -> Result<Exchange, Failure> {
        let (endpoint, learned) = (config.endpoint(), &self.client.learned);
        let mut turned = self.turned.of(endpoint);
        let form = turned.or_else(|| learned.of(endpoint)).unwrap_or_else(|| config.form());
        let mut exchange = self.ask(config, attempt, form).await?;
        if turned.is_none()
            && matches!(&exchange.meaning, Err(failure) if is_unknown(exchange.answer.status, failure))
        {
            let other = *turned.insert(form.other());
            self.turned.keep(endpoint, other);
            exchange = self.ask(config, attempt, other).await?;
        }
        if let Some(form) = turned {
            match &mut exchange.meaning {
                Ok(_) => learned.keep(endpoint, form),
                Err(failure) if is_unknown(exchange.answer.status, failure) => {
                    failure.detail =
                        format!("the endpoint knows neither form of the address: {}", failure.detail);
                }
                Err(_) => {}
            }
        }
        Ok(exchange)
    }

    /// Sends one request to this form of the address.
    async fn ask(&self, config: &SendConfig, attempt: Attempt, form: PathForm) -> Result<Exchange, Failure> {
        let Inner { transport, tokens, .. } = self.client;
        let Attempt { deadline, fresh, .. } = attempt;
        let mut token = None;
        let (target, headers, secrets) = match &config.auth {
            Auth::Key(credentials, project) => {
                let target = form.path(project, &config.instance);
                let headers =
                    self.signed(config.endpoint().host(), &target, credentials, project, attempt.now);
                (target, headers, credentials.secrets())
            }
            Auth::Login(login) => {
                let token = token.insert(tokens.get(transport, login, attempt.now, deadline).await?);
                let value = token.value.expose_str().unwrap_or_default();
                let headers = headers([("content-type", CONTENT_TYPE), ("x-auth-token", value)]);
                (form.path(&token.project_id, &config.instance), headers, [value, ""])
            }
        };
        let call = Call {
            method: http::Method::POST,
            endpoint: config.endpoint(),
            path_and_query: &target,
            headers,
            body: self.body.clone(),
            limit: self.limit,
            deadline,
            fresh,
        };
        let answer = transport.send(call).await?.inflated(self.limit);
        let private = Private { secrets: &secrets, message: Some(self.message) };
        let mut meaning = wire::read(&answer, &private);
        if let (Some(token), Err(failure)) = (&token, &mut meaning)
            && matches!(failure.class, Class::Auth | Class::AuthRefresh)
        {
            // A new token cures any problem with a token, or no retry does.
            failure.class = Class::AuthRefresh;
            tokens.forget(token, deadline).await;
        }
        Ok(Exchange { answer, meaning })
    }

    /// Signs the request and returns its headers.
    fn signed(
        &self,
        host: &str,
        path: &str,
        credentials: &Credentials,
        project: &str,
        now: Timestamp,
    ) -> HeaderMap {
        let mut signed = vec![("content-type", CONTENT_TYPE), ("host", host), ("x-project-id", project)];
        signed.extend(credentials.token().map(|token| ("x-security-token", token)));
        let head = Head { method: "POST", path, query: &[], headers: &signed, body: &self.body };
        let signature = sign(&head, credentials, now);
        let date = now.basic();
        signed.extend([("x-sdk-date", date.as_str()), ("authorization", &signature.authorization)]);
        headers(signed)
    }
}

/// Returns the problem of an environment that chooses both routes.
fn both_routes(env: &Env) -> Option<EnvProblem> {
    let other =
        [super::ENDPOINT, super::INSTANCE].into_iter().find(|variable| env.get(variable).is_some())?;
    let message = format!(
        "chooses the native route, but {other}, which is of the HTTP API, is set too: unset one of them"
    );
    Some(EnvProblem { variable: remoting::NAME_SERVER, message })
}

fn endpoints(env: &Env) -> Result<Endpoints, EnvProblem> {
    let variable = super::ENDPOINT;
    let problem = |message| EnvProblem { variable, message };
    let unset = || problem("is not set: write it as https://dms.eu-de.otc.t-systems.com".to_owned());
    Endpoints::parse(&env.get(variable).ok_or_else(unset)?, env.allows_http())
        .map_err(|e| problem(e.to_string()))
}

/// Reads the instance's id, a UUID.
fn instance(env: &Env) -> Result<String, EnvProblem> {
    let variable = super::INSTANCE;
    let is_uuid = |text: &String| {
        let parts: Vec<&str> = text.split('-').collect();
        parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
            && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    env.get(variable).filter(is_uuid).ok_or_else(|| EnvProblem {
        variable,
        message: "is not an instance's id: a UUID, on the instance's page".to_owned(),
    })
}

/// Reads the upper bound on a message in bytes: the vendor's for the text, or the instance's own for the
/// whole message.
fn max_message(env: &Env) -> Result<Limit, EnvProblem> {
    let variable = super::MAX_MESSAGE;
    let most = limit(env, variable, wire::MAX_TEXT)?;
    Ok(if env.get(variable).is_some() { Limit::Message(most) } else { Limit::Text(most) })
}

/// Reads an access key if one is set, else a user name and a password.
fn auth(keys: Keyring<'_>) -> Result<Auth, EnvProblem> {
    let env = keys.env();
    let project = project(env)?;
    let mut key = Credentials::from_env(keys, &HUAWEI)?;
    if key.is_none() && env.get(super::AUTH_URL).is_none() {
        key = keys.lent(&LENDERS)?;
    }
    if let Some(credentials) = key {
        let project = project.ok_or_else(|| EnvProblem {
            variable: super::PROJECT,
            message: "and OS_PROJECT_ID are not set".to_owned(),
        })?;
        return Ok(Auth::Key(credentials, project));
    }
    if env.get(super::AUTH_URL).is_none() {
        return Err(EnvProblem {
            variable: HUAWEI[0].id,
            message: "and OTC_SDK_AK are not set, nor is OS_AUTH_URL for the token route".to_owned(),
        });
    }
    Login::from_env(keys, project.as_deref()).map(Auth::Login)
}

fn project(env: &Env) -> Result<Option<String>, EnvProblem> {
    let set = [super::PROJECT, super::OTHER_PROJECT]
        .into_iter()
        .find_map(|variable| Some((variable, env.get(variable)?)));
    match set {
        Some((variable, project)) if !is_project_id(&project) => {
            Err(EnvProblem { variable, message: "is not a project's id: 32 hexadecimal digits".to_owned() })
        }
        set => Ok(set.map(|(_, project)| project)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn each_endpoint_has_the_form_of_its_own_cloud() {
        let hosts = "https://dms.eu-de.otc.t-systems.com, https://dms.eu-west-101.myhuaweicloud.eu";
        let forms = |more: &[(&'static str, &str)]| {
            let env = Env::of([&[(super::super::ENDPOINT, hosts)], more].concat());
            let mut config = SendConfig {
                endpoints: endpoints(&env).unwrap(),
                form: PathForm::named(&env).unwrap(),
                instance: String::new(),
                auth: Auth::Key(
                    Credentials { id: String::new(), key: Secret::new(""), token: None },
                    String::new(),
                ),
            };
            let first = config.form();
            config.endpoints().turn();
            [first, config.form()]
        };
        assert_eq!(forms(&[]), [PathForm::ProjectFirst, PathForm::EngineFirst]);
        assert_eq!(forms(&[("ROCKETMQ_PATH", "engine-first")]), [PathForm::EngineFirst; 2]);
    }
}
