//! Environment variables, injected.
//!
//! Each call reads the environment again, because Tencent SCF renews temporary credentials in the environment
//! of a warm function. Only the variables in `RUNTIME_USERDATA` are read once.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
#[cfg(feature = "catalog")]
use std::sync::{Mutex, PoisonError};

type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reader of environment variables.
#[derive(Clone)]
pub struct Env {
    read: Arc<Read>,
    /// Variables that replace those of the environment; `None` unsets one.
    own: Arc<BTreeMap<&'static str, Option<String>>>,
}

/// Variable with the address of Lambda's runtime API, which every function on Lambda has.
pub(crate) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Switch that opens connections while a function starts.
pub(crate) const PREWARM: &str = "PREWARM";

/// Switch that accepts the sample secrets of this repository.
pub(crate) const SAMPLES: &str = "ALLOW_SAMPLE_SECRETS";

/// Switch that allows endpoints without TLS.
pub(crate) const PLAIN_HTTP: &str = "ALLOW_HTTP_ENDPOINTS";

/// Switch that keeps a bucket's name in the path.
pub(crate) const PATH_STYLE: &str = "S3_FORCE_PATH_STYLE";

/// Variable with the log level that is set in a Lambda function's configuration.
pub(crate) const LAMBDA_LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";

/// Variable with the session token of temporary AWS credentials, which every function on Lambda has.
pub(crate) const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// Variable in which FunctionGraph's custom runtimes pass the function's variables, the encrypted ones
/// included, as a JSON object. FunctionGraph documents that each of them is an environment variable as well;
/// where it is, that one counts.
const USER_DATA: &str = "RUNTIME_USERDATA";

/// Parses the variables in [`USER_DATA`]. Members that are not strings are left out.
fn user_data(json: &str) -> Vec<(String, String)> {
    let members: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let text = |(name, value)| match value {
        serde_json::Value::String(text) => Some((name, text)),
        _ => None,
    };
    members.into_iter().filter_map(text).collect()
}

/// Record of the variables that were asked for through an [`Env`] and are set.
#[cfg(feature = "catalog")]
#[derive(Clone, Default)]
pub struct VariablesAsked(Arc<Mutex<BTreeMap<String, String>>>);

#[cfg(feature = "catalog")]
impl VariablesAsked {
    /// Returns the variables so far, each with its value.
    pub fn found(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

tokio::task_local! {
    static LENT: Lent;
}

/// Variables that a platform passes with a single event or request: temporary credentials.
///
/// Only the work on that event sees these variables, through every [`Env`]; they replace the environment's
/// variables of the same names. `None` unsets a variable, so that credentials lent together never mix with
/// others.
#[derive(Clone, Default)]
pub(crate) struct Lent(Arc<BTreeMap<&'static str, Option<String>>>);

impl Lent {
    pub(crate) fn new(variables: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        // Collected one by one: the sort of a whole collection is five kilobytes of a function.
        let mut lent = BTreeMap::new();
        for (name, value) in variables {
            lent.insert(name, value);
        }
        Self(Arc::new(lent))
    }

    /// Returns the variables that were lent to the current task. A task that it spawns does not inherit them:
    /// lend them again.
    pub(crate) fn in_hand() -> Self {
        LENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs `work` with the variables lent to it, and only to it.
    pub(crate) async fn to<F: Future>(self, work: F) -> F::Output {
        LENT.scope(self, work).await
    }
}

impl Env {
    /// Returns the environment of the process. No other code reads it.
    pub fn process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one call behind the injected environment")]
        Self::new(|name| std::env::var(name).ok())
    }

    /// Returns an environment of fixed variables, for tests and the demo.
    pub fn of<N: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        let vars: BTreeMap<String, String> = vars.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self::new(move |name| vars.get(name).cloned())
    }

    fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let user = user_data(read(USER_DATA).as_deref().unwrap_or_default());
        let read = move |name: &str| {
            let of_user = || user.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
            read(name).or_else(of_user)
        };
        Self { read: Arc::new(read), own: Arc::default() }
    }

    /// Returns the same environment with variables of its own, which take precedence over lent ones. `None`
    /// unsets a variable.
    #[must_use]
    pub fn with(&self, own: BTreeMap<&'static str, Option<String>>) -> Self {
        Self { own: Arc::new(own), ..self.clone() }
    }

    /// Returns the same environment without some variables: a check looks behind a mistake for the next one.
    #[cfg(feature = "catalog")]
    #[must_use]
    pub fn without(&self, variables: Vec<&'static str>) -> Self {
        let env = self.clone();
        let read = move |name: &str| if variables.contains(&name) { None } else { env.text(name) };
        // `RUNTIME_USERDATA` was read already, and would bring the variables back.
        Self { read: Arc::new(read), own: Arc::default() }
    }

    /// Returns the same environment, and the record of the variables that are asked for through it.
    #[cfg(feature = "catalog")]
    #[must_use]
    pub fn watched(&self) -> (Self, VariablesAsked) {
        let (env, asked) = (self.clone(), VariablesAsked::default());
        let record = asked.clone();
        let read = move |name: &str| {
            let value = env.text(name)?;
            let mut found = record.0.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(name.to_owned(), value.clone());
            Some(value)
        };
        (Self { read: Arc::new(read), own: Arc::default() }, asked)
    }

    /// Returns the problem with `RUNTIME_USERDATA`, whose variables a function does without.
    #[cfg(feature = "catalog")]
    pub(crate) fn user_data_problem(&self) -> Option<EnvProblem> {
        let is_read = |text: &str| serde_json::from_str::<Option<serde_json::Map<_, _>>>(text).is_ok();
        let message =
            "is not a JSON object of variables: leave it to FunctionGraph, which sets it".to_owned();
        let is_wrong = self.get(USER_DATA).is_some_and(|text| !is_read(&text));
        is_wrong.then_some(EnvProblem { variable: USER_DATA, message })
    }

    /// Returns the value of a variable without surrounding blanks. An empty or blank variable counts as
    /// unset.
    pub fn get(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim().to_owned())
    }

    /// Returns the value of a variable with surrounding blanks and line ends, for texts whose line numbers
    /// matter. An empty or blank variable counts as unset, as in [`get`](Self::get).
    pub fn text(&self, name: &str) -> Option<String> {
        let lent = || LENT.try_with(|lent| lent.0.get(name).cloned()).ok().flatten();
        let value = self.own.get(name).cloned().or_else(lent);
        value.unwrap_or_else(|| (self.read)(name)).filter(|value| !value.trim().is_empty())
    }

    /// Returns true if endpoints without TLS are allowed.
    pub(crate) fn allows_http(&self) -> bool {
        self.is_on(PLAIN_HTTP)
    }

    /// Returns true if a switch is on, that is `1` or `true`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true"))
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

/// Something missing or wrong in the environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {message}")]
pub struct EnvProblem {
    /// The variable.
    pub variable: &'static str,
    /// Problem and correction: the rest of a sentence that begins with the variable's name.
    pub message: String,
}

impl EnvProblem {
    /// Reads a variable with `parse`; an unset one gives `unset`. Fails with `message` if the value cannot be
    /// parsed.
    pub(crate) fn or_value<T>(
        env: &Env,
        variable: &'static str,
        unset: T,
        parse: impl FnOnce(&str) -> Option<T>,
        message: impl Into<String>,
    ) -> Result<T, Self> {
        let Some(text) = env.get(variable) else { return Ok(unset) };
        parse(&text).ok_or_else(|| Self { variable, message: message.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_unset() {
        let env = Env::of([("A", " x "), ("B", "  "), ("C", "1"), ("D", "TRUE"), ("E", "yes")]);
        assert_eq!(env.get("A").as_deref(), Some("x"));
        assert_eq!(env.text("A").as_deref(), Some(" x "));
        assert_eq!(env.text("B"), None);
        assert_eq!(env.get("B"), None);
        assert_eq!(env.get("Z"), None);
        let other = env.with(BTreeMap::from([("A", Some("z".to_owned())), ("C", None)]));
        assert_eq!((other.get("A").as_deref(), other.get("C")), (Some("z"), None));
        assert!(other.is_on("D"), "the rest is the environment's");
        assert!(env.is_on("C") && env.is_on("D") && !env.is_on("E") && !env.is_on("Z"));
    }

    #[cfg(feature = "catalog")]
    #[test]
    fn a_watched_environment_records_what_is_asked_for_and_set() {
        let (env, asked) = Env::of([("A", "1"), ("B", "2"), ("C", " ")]).watched();
        assert!(asked.found().is_empty());
        assert_eq!((env.get("A").as_deref(), env.get("C"), env.get("D")), (Some("1"), None, None));
        let _ = env.without(vec!["A"]).get("A");
        assert_eq!(asked.found(), BTreeMap::from([("A".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn functiongraph_may_have_the_variables_in_one_of_its_own() {
        let env = Env::of([("RUNTIME_USERDATA", r#"{"A":"a","B":"b","N":1}"#), ("B", "own")]);
        assert_eq!(["A", "B", "N"].map(|name| env.get(name)), [Some("a".into()), Some("own".into()), None]);
        for nothing in ["", "null", "[]", "{"] {
            assert_eq!(Env::of([("RUNTIME_USERDATA", nothing)]).get("A"), None, "{nothing}");
        }
        assert_eq!(env.without(vec!["A", "B"]).get("A"), None, "what is taken away does not come back");
        assert_eq!(env.without(vec!["B"]).get("A").as_deref(), Some("a"));
    }

    #[tokio::test]
    async fn what_is_lent_is_seen_by_the_work_it_is_lent_to() {
        let env = Env::of([("ID", "own"), ("TOKEN", "own"), ("OTHER", "x")]);
        let seen = async |env: &Env| ["ID", "TOKEN", "OTHER"].map(|name| env.get(name));
        let owned = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned));
        let key = |id: &str| Lent::new([("ID", Some(id.to_owned())), ("TOKEN", None)]);
        let (one, two, none) = tokio::join!(key("one").to(seen(&env)), key("two").to(seen(&env)), seen(&env));
        assert_eq!(one, owned([Some("one"), None, Some("x")]));
        assert_eq!(two, owned([Some("two"), None, Some("x")]));
        assert_eq!(none, owned([Some("own"), Some("own"), Some("x")]));
        let target = env.with(BTreeMap::from([("ID", Some("target".to_owned())), ("TOKEN", None)]));
        let seen = key("one").to(seen(&target)).await;
        assert_eq!(seen, owned([Some("target"), None, Some("x")]), "a target's key is its own");
        let (spawned, carried) = key("one")
            .to(async {
                let (env, lent, other) = (env.clone(), Lent::in_hand(), env.clone());
                let carried = tokio::spawn(async move { lent.to(async { env.get("ID") }).await });
                let spawned = tokio::spawn(async move { other.get("ID") });
                (spawned.await.unwrap(), carried.await.unwrap())
            })
            .await;
        assert_eq!((spawned.as_deref(), carried.as_deref()), (Some("own"), Some("one")));
    }
}
