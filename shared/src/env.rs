//! The environment, injected.
//!
//! Read live on each call: Tencent SCF renews temporary credentials in the environment of a warm
//! function, so nothing of it is cached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reads environment variables; clones share what is lent to one of them.
#[derive(Clone)]
pub struct Env {
    read: Arc<Read>,
    /// What the platform handed over beside the environment.
    lent: Arc<RwLock<BTreeMap<&'static str, String>>>,
    /// What stands in the place of the environment's.
    own: Arc<BTreeMap<&'static str, Option<String>>>,
}

impl Env {
    /// The process's own environment: the one place that reads it.
    pub fn process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one call behind the injected environment")]
        Self::new(|name| std::env::var(name).ok())
    }

    /// Fixed variables, for tests and the demo.
    pub fn of<N: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        let vars: BTreeMap<String, String> = vars.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self::new(move |name| vars.get(name).cloned())
    }

    fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), lent: Arc::default(), own: Arc::default() }
    }

    /// The same environment with some variables of its own: `None` is unset.
    #[must_use]
    pub fn with(&self, own: BTreeMap<&'static str, Option<String>>) -> Self {
        Self { own: Arc::new(own), ..self.clone() }
    }

    /// Takes variables that a platform hands over with each event (FunctionGraph's temporary
    /// credentials), in the place of those lent before. They belong together: where the environment
    /// itself has one of them, none is taken.
    pub(crate) fn lend<const N: usize>(&self, variables: [(&'static str, Option<String>); N]) {
        let is_set = |name: &str| (self.read)(name).is_some_and(|value| !value.trim().is_empty());
        if variables.iter().any(|(name, _)| is_set(name)) {
            return;
        }
        let mut lent = self.lent.write().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in variables {
            match value {
                Some(value) => drop(lent.insert(name, value)),
                None => drop(lent.remove(name)),
            }
        }
    }

    /// The variable's value; unset, empty and blank are the same, surrounding blanks are not part of it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim().to_owned())
    }

    /// As [`get`](Self::get), surrounding blanks and line ends included: for a text with line numbers.
    pub fn text(&self, name: &str) -> Option<String> {
        if let Some(own) = self.own.get(name) {
            return own.clone().filter(|value| !value.trim().is_empty());
        }
        let lent = || self.lent.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        (self.read)(name).filter(|value| !value.trim().is_empty()).or_else(lent)
    }

    /// Whether a switch is on: `1` or `true`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true"))
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
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
        env.lend([("Z", Some("lent".to_owned())), ("Y", None)]);
        assert_eq!(env.clone().get("Z").as_deref(), Some("lent"));
        env.lend([("Z", None), ("Y", Some("y".to_owned()))]);
        assert_eq!((env.get("Z"), env.get("Y").as_deref()), (None, Some("y")));
        env.lend([("Y", Some("other".to_owned())), ("A", None)]);
        assert_eq!(env.get("Y").as_deref(), Some("y"), "A is the environment's own, so none is taken");
        let other = env.with(BTreeMap::from([("A", Some("z".to_owned())), ("Y", None), ("C", None)]));
        assert_eq!((other.get("A").as_deref(), other.get("Y"), other.get("C")), (Some("z"), None, None));
        assert!(other.is_on("D"), "the rest is the environment's");
        assert!(env.is_on("C") && env.is_on("D") && !env.is_on("E") && !env.is_on("Z"));
    }
}
