//! IAM token route: exchange of a user name and a password for a token of a project.
//!
//! <https://docs.otc.t-systems.com/identity-access-management/api-ref/apis/token_management/obtaining_a_user_token.html>
//!
//! A token is valid for 24 hours. The process keeps it, and fetches a new one some minutes before its end, or
//! when DMS refuses it. While one send fetches the token, the others wait for it and share its failure: one
//! login serves all of them, because IAM locks a user after a few wrong ones. A failure is not kept for later
//! sends: the circuit breaker decides on repeated attempts.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::clock::Timestamp;
use crate::env::EnvProblem;
use crate::json;
use crate::net::answer::{Answer, clean, id};
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Call, Transport, headers};
use crate::queue::Class;
use crate::queue::breaker::Fingerprint;
use crate::queue::credentials::{Keyring, fingerprint};
use crate::queue::failure::{Failure, Lock, Scope};
use crate::secret::Secret;

/// Variables of the login.
pub(super) const USER_DOMAIN: &str = "OS_USER_DOMAIN_NAME";
pub(super) const USERNAME: &str = "OS_USERNAME";
pub(super) const PASSWORD: &str = "OS_PASSWORD";
pub(super) const PROJECT_NAME: &str = "OS_PROJECT_NAME";

/// Time before a token's end in which it is not used any more, in milliseconds.
const MARGIN: i64 = 5 * 60 * 1000;

/// Upper bound on an answer, in bytes: without the catalogue it has a few thousand.
const MAX_ANSWER: usize = 1 << 20;

/// User, project and IAM address of a token request.
pub(super) struct Login {
    endpoint: Endpoint,
    /// Path and query of the token API.
    target: String,
    user: String,
    password: Secret,
    domain: String,
    /// Kind of the project's designation, `id` or `name`, and its value.
    project: (&'static str, String),
}

impl Login {
    /// Names of the variables that may hold references to secrets.
    pub(super) const SECRETS: [&str; 2] = [USERNAME, PASSWORD];

    /// Reads the `OS_…` variables; `project_id` wins over a project's name.
    pub(super) fn from_env(keys: Keyring<'_>, project_id: Option<&str>) -> Result<Self, EnvProblem> {
        let env = keys.env();
        let plain = |variable| {
            let missing = || EnvProblem { variable, message: "is not set".to_owned() };
            env.get(variable).ok_or_else(missing)
        };
        let variable = super::AUTH_URL;
        let (endpoint, path) = Endpoint::parse_with_path(&plain(variable)?, env.allows_http())
            .map_err(|e| EnvProblem { variable, message: e.to_string() })?;
        // Some users configure the full address of the token API.
        let path = path.strip_suffix("/auth/tokens").unwrap_or(&path);
        let version = if path.ends_with("/v3") { "" } else { "/v3" };
        let text = |variable| {
            let not_text = || EnvProblem { variable, message: "is not UTF-8".to_owned() };
            keys.required(variable)?.expose_str().map(str::to_owned).ok_or_else(not_text)
        };
        Ok(Self {
            endpoint,
            target: format!("{path}{version}/auth/tokens?nocatalog=1"),
            user: text(USERNAME)?,
            password: Secret::new(text(PASSWORD)?),
            domain: plain(USER_DOMAIN)?,
            project: match project_id {
                Some(project) => ("id", project.to_owned()),
                None => ("name", plain(PROJECT_NAME)?),
            },
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let (kind, project) = &self.project;
        let url = self.endpoint.to_string();
        fingerprint(&[&url, &self.target, &self.user, self.password(), &self.domain, kind, project])
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    fn password(&self) -> &str {
        self.password.expose_str().unwrap_or_default()
    }

    fn body(&self) -> Bytes {
        let (kind, project) = &self.project;
        let user = json!({"name": self.user, "password": self.password(), "domain": {"name": self.domain}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let auth = json!({"identity": identity, "scope": {"project": {*kind: project}}});
        json!({"auth": auth}).to_string().into()
    }
}

/// Token of a user for one project.
#[derive(Clone)]
pub(super) struct IamToken {
    pub value: Secret,
    pub project_id: String,
    login: Fingerprint,
    expires: Timestamp,
}

/// Token of the process, which all sends share.
#[derive(Default)]
pub(super) struct IamTokens(Mutex<Fetched>);

#[derive(Default)]
struct Fetched {
    token: Option<IamToken>,
    /// Latest failure: its time, and the fingerprint of its login.
    failed: Option<(Instant, Fingerprint, Failure)>,
}

impl IamTokens {
    /// Returns the token for `login`, and fetches a new one if none is valid at `now`.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        login: &Login,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<IamToken, Failure> {
        let late = |_| Failure::new(Class::Transient, "no IAM token in time");
        let (asked, own) = (Instant::now(), login.fingerprint());
        let mut fetched = timeout_at(deadline, self.0.lock()).await.map_err(late)?;
        let good = |t: &&IamToken| t.login == own && now.shifted(MARGIN) < t.expires;
        if let Some(token) = fetched.token.as_ref().filter(good) {
            return Ok(token.clone());
        }
        if let Some((at, login, failure)) = &fetched.failed
            && asked <= *at
            && *login == own
        {
            return Err(failure.clone());
        }
        let result = fetch(transport, login, deadline).await;
        match &result {
            Ok(token) => *fetched = Fetched { token: Some(token.clone()), failed: None },
            Err(failure) => fetched.failed = Some((Instant::now(), own, failure.clone())),
        }
        result
    }

    /// Forgets `token`, which DMS refused, unless a newer one is cached already or being fetched.
    pub(super) async fn forget(&self, token: &IamToken, deadline: Instant) {
        if let Ok(mut fetched) = timeout_at(deadline, self.0.lock()).await {
            fetched.token.take_if(|cached| cached.value == token.value);
        }
    }
}

/// Requests a new token from IAM.
async fn fetch(transport: &Transport, login: &Login, deadline: Instant) -> Result<IamToken, Failure> {
    let call = Call {
        method: http::Method::POST,
        endpoint: &login.endpoint,
        path_and_query: &login.target,
        headers: headers([("content-type", "application/json")]),
        body: login.body(),
        limit: MAX_ANSWER,
        deadline,
        fresh: false,
    };
    let answer = transport.send(call).await.map_err(|error| {
        let failure = Failure::from(error);
        // The failed request contained no message, so its outcome does not matter here.
        let detail = format!("IAM: {}", failure.detail);
        let class = if failure.class == Class::Config { Class::Config } else { Class::Transient };
        let (maybe_stored, unread, timed_out) = (false, false, false);
        Failure { class, detail, maybe_stored, scope: Scope::Api, unread, timed_out, ..failure }
    })?;
    read(&answer.inflated(MAX_ANSWER), login)
}

/// Reads the answer to a token request.
fn read(answer: &Answer, login: &Login) -> Result<IamToken, Failure> {
    let answer = &*answer.in_utf8();
    let get = |path| json::text(&answer.body, path).ok().flatten().map(std::borrow::Cow::into_owned);
    let token = answer.header("x-subject-token").filter(|_| answer.is_2xx());
    let expires = get("token.expires_at").and_then(|text| Timestamp::parse_rfc3339(&text));
    let (kind, project) = &login.project;
    let own = Some(project.clone()).filter(|_| *kind == "id");
    let project_id = get("token.project.id").or(own).filter(|id| is_project_id(id));
    if let (Some(value), Some(expires), Some(project_id)) = (token, expires, project_id) {
        return Ok(IamToken { value: Secret::new(value), project_id, login: login.fingerprint(), expires });
    }
    let class = match answer.status {
        401 => Class::Auth,
        402 => Class::Quota,
        403 => Class::Permission,
        429 => Class::Throttle,
        // Statuses of a passing fault; 302, 303 and 307 are temporary redirects.
        302 | 303 | 307 | 408 | 409 | 423 | 425 => Class::Transient,
        // The address has moved for good, lacks the version, or is not the address of a token API.
        200..=499 | 501 => Class::Config,
        _ => Class::Transient,
    };
    let text = get("error.message").or_else(|| get("error_msg")).unwrap_or_default();
    let detail = format!(
        "IAM gave no token of the project: status {} of {}{} {}",
        answer.status,
        login.endpoint,
        login.target,
        clean(&text, &[login.password()])
    );
    Err(Failure {
        code: get("error.code").or_else(|| get("error_code")).as_deref().and_then(id),
        request_id: answer.header("x-request-id").and_then(id),
        retry_after: answer.retry_after(),
        // The request names no topic.
        scope: Scope::Api,
        lock: Lock::User,
        ..Failure::new(class, detail.trim())
    })
}

/// Returns true if `text` is a project id: 32 hexadecimal digits.
pub(super) fn is_project_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
