//! `POST /v3/auth/tokens`, by password and scoped to a project, as described in the IAM API reference of OTC
//! and Huawei Cloud.

use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

use crate::{
    config::{Config, IamUser},
    reply::{Call, Reply},
    sign::hex,
    spec::{Spec, set},
    store::{State, Token, header, random},
};

/// IAM.
pub(crate) static SPEC: Spec = Spec {
    name: "iam",
    serves: |_, path| path.starts_with("/v3/"),
    handle,
    visible: None,
    error,
    throttled,
    no_id: None,
    error_msg: None,
    legacy: None,
    errors: &[],
    environment: |_| Vec::new(),
    key: None,
    login: None,
    restrict: |_, _, _| {},
    configure: |config, lookup| {
        for user in &mut config.iam_users {
            set(&mut user.domain, lookup, USER_DOMAIN);
            set(&mut user.name, lookup, USERNAME);
            set(&mut user.password, lookup, PASSWORD);
        }
        set(&mut config.project_name, lookup, "OS_PROJECT_NAME");
    },
};

pub(crate) const USER_DOMAIN: &str = "OS_USER_DOMAIN_NAME";
pub(crate) const USERNAME: &str = "OS_USERNAME";
pub(crate) const PASSWORD: &str = "OS_PASSWORD";

struct Refusal(StatusCode, &'static str);

pub(crate) fn handle(config: &Config, state: &mut State, call: &Call<'_>) -> Reply {
    issue(config, state, call).unwrap_or_else(|Refusal(status, message)| {
        error(status, status.canonical_reason().unwrap_or_default(), message)
    })
}

fn issue(config: &Config, state: &mut State, call: &Call<'_>) -> Result<Reply, Refusal> {
    if call.head.uri.path() != "/v3/auth/tokens" {
        return Err(Refusal(StatusCode::NOT_FOUND, "The resource could not be found."));
    }
    if call.head.method != Method::POST {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for this resource."));
    }
    let auth = &call.json["auth"];
    if !auth["identity"]["methods"].as_array().is_some_and(|methods| methods.iter().any(|m| m == "password"))
    {
        return Err(Refusal(StatusCode::BAD_REQUEST, "auth.identity.methods must contain \"password\"."));
    }
    let scope = &auth["scope"]["project"];
    let in_scope = match (scope["id"].as_str(), scope["name"].as_str()) {
        (None, None) => {
            return Err(Refusal(StatusCode::BAD_REQUEST, "auth.scope.project must have an id or a name."));
        }
        (id, name) => {
            id.is_none_or(|id| id == config.project_id) && name.is_none_or(|name| name == config.project_name)
        }
    };
    let asked = &auth["identity"]["password"]["user"];
    let user = config.iam_users.iter().find(|user| {
        asked["name"] == user.name
            && asked["domain"]["name"] == user.domain
            && asked["password"] == user.password
    });
    let Some(user) = user else {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "The username or password is wrong."));
    };
    if !in_scope {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "The request you have made requires authentication."));
    }

    let expires_at = call.now.saturating_add(config.token_ttl.try_into().unwrap_or(time::Duration::MAX));
    let token = hex(&[random(), random(), random(), random()].map(u64::to_be_bytes).concat());
    state.tokens.insert(token.clone(), Token { expires_at, outdated: false });
    let query = call.head.uri.query().unwrap_or_default();
    let with_catalog = !query.split('&').any(|pair| pair.split('=').next() == Some("nocatalog"));
    let host = header(&call.head.headers, "host").unwrap_or("localhost");
    let body = token_body(config, user, call.now, expires_at, with_catalog.then_some(host));
    let mut reply = Reply::json(StatusCode::CREATED, &body, "token issued").effective();
    // Hex digits are always valid in a header value.
    if let Ok(value) = HeaderValue::from_str(&token) {
        reply.headers.insert("x-subject-token", value);
    }
    Ok(reply)
}

fn token_body(
    config: &Config,
    user: &IamUser,
    now: OffsetDateTime,
    expires_at: OffsetDateTime,
    catalog_host: Option<&str>,
) -> Value {
    let domain = json!({"id": "d78cbac186b744899480f25bd022f468", "name": user.domain});
    let catalog: Vec<_> = catalog_host
        .map(|host| {
            let url = format!("http://{host}/v2/{}", config.project_id);
            let endpoint = json!({"interface": "public", "region": config.project_name, "url": url});
            json!({"type": "dms", "name": "dms", "endpoints": [endpoint]})
        })
        .into_iter()
        .collect();
    json!({"token": {
        "methods": ["password"],
        "issued_at": iam_time(now),
        "expires_at": iam_time(expires_at),
        "user": {"name": user.name, "domain": domain},
        "project": {"id": config.project_id, "name": config.project_name, "domain": domain},
        "roles": [{"id": "0", "name": "te_admin"}],
        "catalog": catalog,
    }})
}

fn iam_time(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    time.format(format).unwrap_or_default()
}

/// Builds IAM's error envelope, in which the code is the HTTP status.
pub(crate) fn error(status: StatusCode, title: &str, message: &str) -> Reply {
    let error = json!({"code": status.as_u16(), "message": message, "title": title});
    Reply::json(status, &json!({"error": error}), title)
}

pub(crate) fn throttled() -> Reply {
    let mut reply = error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", "The request is too frequent.");
    reply.headers.insert("retry-after", HeaderValue::from_static("1"));
    reply
}
