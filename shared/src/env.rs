//! The environment, injected.
//!
//! Read live on each call: Tencent SCF renews temporary credentials in the environment of a warm
//! function, so nothing of it is cached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reads environment variables.
#[derive(Clone)]
pub struct Env(Arc<Read>);

impl Env {
    /// The process's own environment: the one place that reads it.
    pub fn process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one call behind the injected environment")]
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// Fixed variables, for tests and the demo.
    pub fn of<N: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        let vars: BTreeMap<String, String> = vars.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self(Arc::new(move |name| vars.get(name).cloned()))
    }

    /// The variable's value; unset, empty and blank are the same, surrounding blanks are not part of it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim().to_owned())
    }

    /// As [`get`](Self::get), surrounding blanks and line ends included: for a text with line numbers.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
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
        assert!(env.is_on("C") && env.is_on("D") && !env.is_on("E") && !env.is_on("Z"));
    }
}
