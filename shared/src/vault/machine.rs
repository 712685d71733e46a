//! Keys that a pod or a machine lends, as the vendors' SDKs take them.
//!
//! | Lender | Named by | Asked |
//! |---|---|---|
//! | AWS: task role of ECS, Pod Identity of EKS | `AWS_CONTAINER_CREDENTIALS_…` | an agent beside the container |
//! | Tencent Cloud: service account of a pod in TKE | `TKE_…` | STS, with the pod's token |
//! | Huawei Cloud and OTC: agency of an ECS | `HUAWEICLOUD_METADATA_URL` | the metadata service |
//!
//! A function is never asked for such keys: its platform passes them in other ways. So this module is behind the
//! feature `machine`, which only the image and the command line turn on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, timeout_at};

use super::{KEPT, Lender, LentKey, PAUSE, PAUSE_AFTER_FAILURE, TIMEOUT};
use crate::clock::{Clock, Timestamp};
use crate::env::{Env, EnvProblem};
use crate::files::SECRETS;
use crate::json;
use crate::net::answer::{Answer, id};
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Call, Transport, headers};
use crate::platform::Platform;
use crate::secret::Secret;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ROLE: &str = "TKE_ROLE_ARN";
const PROVIDER: &str = "TKE_PROVIDER_ID";
const IDENTITY_FILE: &str = "TKE_WEB_IDENTITY_TOKEN_FILE";
const REGION: &str = "TKE_REGION";
const STS: &str = "TENCENTCLOUD_STS_ENDPOINT";
const METADATA: &str = "HUAWEICLOUD_METADATA_URL";

/// Host of the agent of ECS, for relative addresses.
const ECS_AGENT: &str = "http://169.254.170.2";

const DEFAULT_STS: &str = "https://sts.tencentcloudapi.com";

/// Addresses of agents and metadata services, which speak plain HTTP and are never beyond the machine.
const LINK_LOCAL: [&str; 4] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "169.254.169.254"];

/// Time before a key's end in which it is not used any more.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// Lifetime that is asked for, in seconds: what Tencent's SDKs ask for.
const LIFETIME: u32 = 7200;

/// Upper bound on an answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

struct KeptKey {
    lent: Result<LentKey, EnvProblem>,
    /// Time from which on the key is replaced.
    until: Instant,
    tried: Instant,
}

impl KeptKey {
    fn is_due(&self, refused: bool) -> bool {
        match self.lent {
            Ok(_) => Instant::now() >= self.until || (refused && self.tried.elapsed() >= PAUSE),
            Err(_) => self.tried.elapsed() >= PAUSE_AFTER_FAILURE,
        }
    }
}

/// Keys of all lenders, kept until they are about to end.
pub(crate) struct Machine {
    clock: Clock,
    kept: Mutex<HashMap<Lender, KeptKey>>,
    asking: tokio::sync::Mutex<()>,
    /// Transport, created on first use because few processes need it.
    transport: OnceLock<Transport>,
}

impl Lender {
    /// Returns true if the environment names this lender, and is not a function's.
    pub(crate) fn is_named(self, env: &Env) -> bool {
        let variables: &[&str] = match self {
            Self::Container => &[RELATIVE, FULL],
            Self::Tke => &[ROLE],
            Self::Agency => &[METADATA],
        };
        !matches!(Platform::of(env), Platform::Function(_))
            && variables.iter().any(|name| env.get(name).is_some())
    }

    /// Returns the members of the answer that hold the key: id, secret, token and end.
    const fn members(self) -> [&'static str; 4] {
        match self {
            Self::Container => ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"],
            Self::Tke => [
                "Response.Credentials.TmpSecretId",
                "Response.Credentials.TmpSecretKey",
                "Response.Credentials.Token",
                "Response.Expiration",
            ],
            Self::Agency => [
                "credential.access",
                "credential.secret",
                "credential.securitytoken",
                "credential.expires_at",
            ],
        }
    }
}

/// Request for a key.
struct Ask {
    variable: &'static str,
    endpoint: Endpoint,
    target: String,
    method: Method,
    fields: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Machine {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            transport: OnceLock::new(),
        }
    }

    /// Asks for the keys that are due. A key stays in use if it cannot be had again.
    pub(super) async fn refresh(&self, lender: Lender, env: &Env, refused: bool, deadline: Instant) {
        let is_due = || self.kept().get(&lender).is_none_or(|kept| kept.is_due(refused));
        if !lender.is_named(env) || !is_due() {
            return;
        }
        let limit = deadline.min(Instant::now() + TIMEOUT);
        // Another send may have asked meanwhile.
        let Ok(_asking) = timeout_at(limit, self.asking.lock()).await else { return };
        if !is_due() {
            return;
        }
        let asked = self.ask(lender, env, limit).await;
        let now = Instant::now();
        let mut kept = self.kept();
        match (asked, kept.get_mut(&lender)) {
            (Err(problem), Some(old)) if old.lent.is_ok() => {
                tracing::warn!(%problem, "a key cannot be had again: the old one stays in use");
                (old.tried, old.until) = (now, now + PAUSE);
            }
            (asked, _) => {
                let (lent, lifetime) = match asked {
                    Ok((lent, lifetime)) => (Ok(lent), lifetime),
                    Err(problem) => (Err(problem), KEPT),
                };
                kept.insert(lender, KeptKey { lent, until: now + lifetime, tried: now });
            }
        }
    }

    /// Returns the lender's key, or the reason why there is none; `None` if it was not asked yet.
    pub(crate) fn get(&self, lender: Lender) -> Option<Result<LentKey, EnvProblem>> {
        Some(self.kept().get(&lender)?.lent.clone())
    }

    async fn ask(
        &self,
        lender: Lender,
        env: &Env,
        deadline: Instant,
    ) -> Result<(LentKey, Duration), EnvProblem> {
        let Ask { variable, endpoint, target, method, fields, body } = match lender {
            Lender::Container => container(env, deadline).await,
            Lender::Tke => tke(env, self.clock.now(), deadline).await,
            Lender::Agency => agency(env),
        }?;
        let wrong = |why: String| EnvProblem { variable, message: format!("gives no key: {why}") };
        let call = Call {
            method,
            endpoint: &endpoint,
            path_and_query: &target,
            headers: headers(fields.iter().map(|(name, value)| (*name, value.as_str()))),
            body,
            limit: MAX_ANSWER,
            deadline,
            fresh: false,
        };
        let answer = self.transport.get_or_init(|| Transport::new(env)).send(call).await;
        let answer = answer.map_err(|error| wrong(error.to_string()))?;
        let now = answer.date().unwrap_or_else(|| self.clock.now());
        read(&answer, lender, now).ok_or_else(|| {
            let code = json::text(&answer.body, "Response.Error.Code").ok().flatten();
            let code = code.and_then(|code| id(&code)).unwrap_or_default();
            wrong(format!("status {} of {endpoint} {code}", answer.status).trim_end().to_owned())
        })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Lender, KeptKey>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a key, and the time for which it is used.
fn read(answer: &Answer, lender: Lender, now: Timestamp) -> Option<(LentKey, Duration)> {
    let text = |path| json::text(&answer.body, path).ok().flatten().filter(|text| !text.trim().is_empty());
    let [name, key, token, end] = lender.members();
    let is_sound = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    let lent = LentKey {
        id: text(name).filter(|text| answer.is_2xx() && is_sound(text))?.into_owned(),
        key: Secret::new(text(key).filter(|text| is_sound(text))?.into_owned()),
        token: Secret::new(text(token).filter(|text| is_sound(text))?.into_owned()),
    };
    let end = text(end).and_then(|end| Timestamp::parse_rfc3339(&end));
    let seconds = end.and_then(|end| u64::try_from(end.unix() - now.unix()).ok());
    let lifetime = |seconds| Duration::from_secs(seconds).saturating_sub(MARGIN).max(PAUSE);
    Some((lent, seconds.map_or(KEPT, lifetime)))
}

/// Parses an address of `variable`, and its path. Plain HTTP is for agents beside the process alone.
fn address(variable: &'static str, text: &str) -> Result<(Endpoint, String), EnvProblem> {
    let wrong = |message: String| EnvProblem { variable, message };
    let (endpoint, path) = Endpoint::parse_with_path(text, true).map_err(|e| wrong(e.to_string()))?;
    let (host, _) = endpoint.place();
    let is_agent = |agent: &&str| agent.parse::<IpAddr>().ok() == host.parse().ok();
    if !endpoint.is_https() && !endpoint.is_loopback() && !LINK_LOCAL.iter().any(is_agent) {
        return Err(wrong("is neither https nor the address of an agent on this machine".to_owned()));
    }
    Ok((endpoint, path))
}

/// Parses the address of an agent of AWS, and its path and query.
fn agent<'u>(variable: &'static str, url: &'u str) -> Result<(Endpoint, String, &'u str), EnvProblem> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (endpoint, path) = address(variable, place)?;
    Ok((endpoint, path, query))
}

async fn container(env: &Env, deadline: Instant) -> Result<Ask, EnvProblem> {
    let (variable, url) = match env.get(RELATIVE) {
        Some(path) => (RELATIVE, format!("{ECS_AGENT}{path}")),
        None => (FULL, env.get(FULL).unwrap_or_default()),
    };
    let (endpoint, path, query) = agent(variable, &url)?;
    let token = match env.get(TOKEN_FILE) {
        Some(path) => Some(file(TOKEN_FILE, path, deadline).await?),
        None => env.get(TOKEN),
    };
    let question = if query.is_empty() { "" } else { "?" };
    Ok(Ask {
        variable,
        endpoint,
        target: format!("{}{question}{query}", if path.is_empty() { "/" } else { &path }),
        method: Method::GET,
        fields: token.map(|token| ("authorization", token)).into_iter().collect(),
        body: Bytes::new(),
    })
}

async fn tke(env: &Env, now: Timestamp, deadline: Instant) -> Result<Ask, EnvProblem> {
    let get = |variable| {
        let unset = || EnvProblem { variable, message: "is not set, but TKE_ROLE_ARN is".to_owned() };
        env.get(variable).ok_or_else(unset)
    };
    let token = file(IDENTITY_FILE, get(IDENTITY_FILE)?, deadline).await?;
    let url = env.get(STS).unwrap_or_else(|| DEFAULT_STS.to_owned());
    let (endpoint, _) = address(STS, &url)?;
    let body = serde_json::json!({
        "ProviderId": get(PROVIDER)?,
        "WebIdentityToken": token,
        "RoleArn": get(ROLE)?,
        "RoleSessionName": "hookmq",
        "DurationSeconds": LIFETIME,
    });
    let fields = [
        ("authorization", "SKIP".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("x-tc-action", "AssumeRoleWithWebIdentity".to_owned()),
        ("x-tc-version", "2018-08-13".to_owned()),
        ("x-tc-timestamp", now.unix().to_string()),
        ("x-tc-region", get(REGION)?),
    ];
    Ok(Ask {
        variable: ROLE,
        endpoint,
        target: "/".to_owned(),
        method: Method::POST,
        fields: fields.into(),
        body: body.to_string().into(),
    })
}

fn agency(env: &Env) -> Result<Ask, EnvProblem> {
    let (endpoint, _) = address(METADATA, &env.get(METADATA).unwrap_or_default())?;
    Ok(Ask {
        variable: METADATA,
        endpoint,
        target: "/openstack/latest/securitykey".to_owned(),
        method: Method::GET,
        fields: Vec::new(),
        body: Bytes::new(),
    })
}

/// Reads a token's file on a separate thread, since a disk may hang. The platform replaces it now and then.
async fn file(variable: &'static str, path: String, deadline: Instant) -> Result<String, EnvProblem> {
    let name = std::path::PathBuf::from(&path);
    let read = SECRETS.run_alone(&name, deadline, move || std::fs::read_to_string(path)).await;
    token(variable, read.ok().and_then(Result::ok).as_deref(), &name)
}

/// Checks the text of a token's file.
fn token(variable: &'static str, text: Option<&str>, name: &std::path::Path) -> Result<String, EnvProblem> {
    text.map(str::trim).filter(|text| !text.is_empty() && is_token(text)).map(str::to_owned).ok_or_else(
        || EnvProblem { variable, message: format!("names {}, which holds no token", name.display()) },
    )
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

/// Variables without which a pod of TKE is lent no key.
#[cfg(feature = "catalog")]
pub(crate) const OF_POD: [&str; 4] = [ROLE, PROVIDER, REGION, IDENTITY_FILE];

/// Returns the problems of the lenders' variables, each by itself: addresses, and files that hold no token.
#[cfg(feature = "catalog")]
pub(crate) fn problems(env: &Env) -> Vec<EnvProblem> {
    let relative = env.get(RELATIVE).and_then(|path| {
        let message = "is not a path of the agent: it begins with /".to_owned();
        let wrong = (!path.starts_with('/')).then_some(EnvProblem { variable: RELATIVE, message });
        wrong.or_else(|| agent(RELATIVE, &format!("{ECS_AGENT}{path}")).err())
    });
    let full = env.get(FULL).and_then(|url| agent(FULL, &url).err());
    let addresses =
        [STS, METADATA].into_iter().filter_map(|variable| address(variable, &env.get(variable)?).err());
    let files = [TOKEN_FILE, IDENTITY_FILE].into_iter().filter_map(|variable| {
        let path = env.get(variable)?;
        token(variable, std::fs::read_to_string(&path).ok().as_deref(), path.as_ref()).err()
    });
    let held = env.get(TOKEN).filter(|text| !is_token(text)).map(|_| EnvProblem {
        variable: TOKEN,
        message: "holds characters that no token has: leave it to the platform, which sets it".to_owned(),
    });
    relative.into_iter().chain(full).chain(addresses).chain(files).chain(held).collect()
}
