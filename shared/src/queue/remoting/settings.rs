//! Settings of the native route in the environment.

use crate::env::{Env, EnvProblem};
use crate::net::endpoint::{Endpoint, Endpoints};
use crate::queue::breaker::Fingerprint;
use crate::queue::credentials::{Credentials, Family, Keyring, fingerprint, never};
use crate::queue::retry::Identity;

/// Variable with the addresses of name servers, which also chooses the native route.
pub(in crate::queue) const NAME_SERVER: &str = "ROCKETMQ_NAME_SERVER";
pub(in crate::queue) const TLS: &str = "ROCKETMQ_TLS";
pub(in crate::queue) const GROUP: &str = "ROCKETMQ_GROUP";
pub(in crate::queue) const COPIES: &str = "ROCKETMQ_DURABLE_COPIES";
pub(in crate::queue) const ACCESS_KEY: &str = "ROCKETMQ_ACL_ACCESS_KEY";
pub(in crate::queue) const SECRET_KEY: &str = "ROCKETMQ_ACL_SECRET_KEY";

/// Group of producers that sends are counted to, if none is set.
const DEFAULT_GROUP: &str = "hookmq";

const FAMILY: [Family; 1] = [Family { id: ACCESS_KEY, key: SECRET_KEY, token: None, is_lent: never }];

/// Returns true if the environment chooses the native route.
pub(in crate::queue) fn is_chosen(env: &Env) -> bool {
    env.get(NAME_SERVER).is_some()
}

/// Settings of the environment for one attempt.
pub(in crate::queue) struct Settings {
    /// Name servers; the first is in use.
    pub(super) endpoints: Endpoints,
    pub(super) group: String,
    /// Access key; `None` for brokers without access control.
    pub(super) acl: Option<Credentials>,
    /// True if a message without a copy on a slave does not count as stored.
    pub(super) needs_copies: bool,
}

impl Identity for Settings {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoints.current
    }

    fn endpoints(&mut self) -> &mut Endpoints {
        &mut self.endpoints
    }

    fn key(&self) -> Fingerprint {
        self.acl.as_ref().map_or_else(|| fingerprint(&[]), Credentials::fingerprint)
    }
}

impl Settings {
    /// Reads the settings, the access key from `keys`.
    pub(super) fn read(keys: Keyring<'_>) -> Result<Self, EnvProblem> {
        let env = keys.env();
        let settings = Self {
            endpoints: endpoints(env, flag(env, TLS)?)?,
            group: group(env)?,
            acl: None,
            needs_copies: flag(env, COPIES)?,
        };
        Ok(Self { acl: Credentials::from_env(keys, &FAMILY)?, ..settings })
    }
}

/// Returns the first problem of the settings of the native route.
pub(in crate::queue) fn problem(keys: Keyring<'_>) -> Option<EnvProblem> {
    Settings::read(keys).err()
}

/// Parses the addresses of name servers, with semicolons or commas between them.
fn endpoints(env: &Env, tls: bool) -> Result<Endpoints, EnvProblem> {
    let problem = || EnvProblem {
        variable: NAME_SERVER,
        message: "is not a list of name servers: write it as host:9876, several with \";\" between them"
            .to_owned(),
    };
    let text = env.get(NAME_SERVER).ok_or_else(problem)?;
    let scheme = if tls { "https" } else { "http" };
    let mut urls = Vec::new();
    for address in text.split([';', ',']).map(str::trim).filter(|address| !address.is_empty()) {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) || address.contains('/') {
            return Err(problem());
        }
        urls.push(format!("{scheme}://{address}"));
    }
    Endpoints::parse(&urls.join(","), true).map_err(|_| problem())
}

fn group(env: &Env) -> Result<String, EnvProblem> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    let name = |text: &str| (text.len() <= 120 && text.chars().all(is_letter)).then(|| text.to_owned());
    let message = "is not up to 120 letters, digits, % | _ and -";
    EnvProblem::or_value(env, GROUP, DEFAULT_GROUP.to_owned(), name, message)
}

/// Reads a switch, off by default.
fn flag(env: &Env, variable: &'static str) -> Result<bool, EnvProblem> {
    let switch = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    EnvProblem::or_value(env, variable, false, switch, "is neither \"true\" nor \"false\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::vault::Vault;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
        let env = Env::of(vars.iter().copied());
        let vault = Vault::new(&env, &Clock::system());
        Settings::read(Keyring::trusting(&env, &vault)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn name_servers_are_hosts_with_ports() {
        let of = |text| read(&[(NAME_SERVER, text)]).map(|settings| settings.endpoints);
        for (text, first, others) in [
            ("127.0.0.1:9876", "http://127.0.0.1:9876", 0),
            ("a.test:9876;b.test:9876", "http://a.test:9876", 1),
            ("a.test:80, [::1]:9876,", "http://a.test", 1),
        ] {
            let endpoints = of(text).unwrap();
            assert_eq!(
                (endpoints.current.to_string().as_str(), endpoints.others()),
                (first, others),
                "{text}"
            );
        }
        for wrong in [";", "a.test", "a.test:0", "a.test:x", "http://a.test:9876", "a.test:9876/x", "a b:1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_access_key_is_whole_or_absent() {
        let with =
            |vars: &[(&str, &str)]| read(&[&[(NAME_SERVER, "a.test:1"), (TLS, "true")], vars].concat());
        let anonymous = with(&[]).unwrap();
        assert!(anonymous.acl.is_none() && anonymous.endpoints.current.is_https() && !anonymous.needs_copies);
        assert_eq!(anonymous.group, "hookmq");
        assert!(with(&[(ACCESS_KEY, "plain:id"), (SECRET_KEY, "plain:key")]).unwrap().acl.is_some());
        for (vars, variable) in [
            (&[(ACCESS_KEY, "id")][..], SECRET_KEY),
            (&[(COPIES, "yes")], COPIES),
            (&[(TLS, "on")], TLS),
            (&[(GROUP, "a b")], GROUP),
        ] {
            assert!(with(vars).is_err_and(|problem| problem.starts_with(variable)), "{variable}");
        }
    }
}
