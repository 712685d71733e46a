//! Message destinations in addition to those of the environment: `[targets.NAME]` tables.
//!
//! A target is the environment with some variables replaced, so that a client reads its settings as usual.
//! The environment supplies the settings that a target leaves out. Only credentials are never mixed: a target
//! that sets one of them takes none from the environment.

use std::collections::BTreeMap;
use std::fmt;

use super::hook::is_name;
use crate::env::{Env, EnvProblem};
use crate::queue::credentials::HUAWEI;
use crate::queue::rocketmq::{AUTH_URL, OTHER_PROJECT, PROJECT};
use crate::queue::spec::{KeyKind, TargetKey};
use crate::queue::{Target, Vendor};
use crate::reader::{At, Table};
use crate::secret::SecretRef;

/// Target and the variables that it sets.
#[derive(Clone)]
pub struct Named {
    /// Identity of the target: its name and vendor.
    pub target: Target,
    settings: BTreeMap<&'static str, Option<String>>,
}

/// Name of the target only, since the values may be literal credentials.
impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({})", self.target)
    }
}

impl Named {
    /// Returns the environment of the target's client.
    pub fn env(&self, env: &Env) -> Env {
        env.with(self.settings.clone())
    }

    /// Describes a problem of the target under the name of its key, if the target sets the variable.
    pub fn locate(&self, problem: &EnvProblem) -> String {
        let name = self.target.name();
        let key = self.target.vendor().spec().target_keys.iter().find(|key| key.variable == problem.variable);
        match key.filter(|_| self.is_own(problem)) {
            Some(key) => format!("targets.{name}.{} {}", key.name, problem.message),
            None => format!("targets.{name}: {problem}"),
        }
    }

    /// Returns true if the problem is in the target's table, not in the environment.
    pub fn is_own(&self, problem: &EnvProblem) -> bool {
        self.settings.contains_key(problem.variable)
    }
}

/// Reads all `[targets.NAME]` tables and returns the sound targets.
pub(super) fn read_all(root: &Table<'_>) -> Vec<Named> {
    let tables = root.table("targets").map(|table| table.named_tables()).unwrap_or_default();
    let sound = |(name, table): (At<&str>, Table<'_>)| {
        let mistakes = table.mistakes();
        let before = mistakes.errors();
        let named = read(&name, &table);
        table.finish();
        named.filter(|_| mistakes.errors() == before)
    };
    tables.into_iter().filter_map(sound).collect()
}

/// Reads a target's table. Mistakes are added to the table; `None` if the name or the vendor is not valid.
fn read(name: &At<&str>, table: &Table<'_>) -> Option<Named> {
    let keys = |vendor: Vendor| vendor.spec().target_keys;
    let written = table.str("vendor").map(|vendor| vendor.value);
    let vendor = written.and_then(Vendor::named);
    // Without a vendor, the keys of all vendors are known.
    for key in Vendor::ALL.into_iter().filter(|each| vendor.is_none_or(|own| own == *each)).flat_map(keys) {
        table.has(key.name);
    }
    if !is_name(name.value) {
        table.error("", "a target's name is 1 to 63 of a-z, 0-9 and \"-\"");
        return None;
    }
    if Vendor::named(name.value).is_some() {
        table.error("", "is the environment's own target: give this one another name");
        return None;
    }
    let Some(vendor) = vendor else {
        table.error("vendor", format!("write {}", Vendor::names()));
        return None;
    };
    let mut set = Vec::new();
    for key in keys(vendor) {
        let Some(text) = table.str(key.name) else { continue };
        if text.value.trim().is_empty() {
            table.error(key.name, "is empty: leave it out to take the environment's");
        }
        if key.kind == KeyKind::Secret
            && let Err(error) = SecretRef::parse(text.value)
        {
            table.error(key.name, error);
        }
        set.push((key, text.value.to_owned()));
    }
    let mut settings = one_route(vendor, &set, table);
    if set.iter().any(|(key, _)| key.kind != KeyKind::Plain) {
        settings.extend(vendor.spec().logins().map(|variable| (variable, None)));
    }
    // An id takes precedence over a name, even the environment's id.
    if set.iter().any(|(key, _)| key.name == "project_name") {
        settings.extend([PROJECT, OTHER_PROJECT].map(|variable| (variable, None)));
    }
    settings.extend(set.into_iter().map(|(key, value)| (key.variable, Some(value))));
    let has = |variable| settings.get(variable).is_some_and(Option::is_some);
    if has(HUAWEI[0].id) && has(AUTH_URL) {
        table.error("auth_url", "a target has an access key or a user, not both: leave one of them out");
    }
    Some(Named { target: Target::named(name.value, vendor), settings })
}

/// Unsets the environment's variables of the other route than that of the target's keys. A target that chooses
/// the native route takes nothing of it from the environment either, so that it connects without credentials
/// if it has none.
fn one_route(
    vendor: Vendor,
    set: &[(&'static TargetKey, String)],
    table: &Table<'_>,
) -> BTreeMap<&'static str, Option<String>> {
    let spec = vendor.spec();
    let first = |native| set.iter().map(|(key, _)| *key).find(|key| spec.is_native(key) == Some(native));
    let (native, http) = (first(true), first(false));
    if let (Some(native), Some(http)) = (native, http) {
        let message = format!(
            "is of the native route, and {} is of the HTTP API: leave one of them out, a target has one route",
            http.name
        );
        table.error(native.name, message);
    }
    let chooses = set.iter().any(|(key, _)| spec.native_keys.first() == Some(&key.name));
    let is_other = |key: &&TargetKey| match spec.is_native(key) {
        Some(true) => chooses || http.is_some(),
        Some(false) => native.is_some(),
        None => false,
    };
    let mut unset = BTreeMap::new();
    for key in spec.target_keys.iter().filter(is_other) {
        unset.insert(key.variable, None);
    }
    unset
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
