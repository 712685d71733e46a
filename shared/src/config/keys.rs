//! Source of a hook, built from its `secrets` and `params`.

use std::sync::Arc;
use std::time::Duration;

use super::plan::{Entry, Plan, ReadCause, Slot};
use super::{Reading, Rotation};
use crate::reader::Table;
use crate::secret::{Secret, SecretError, SecretRef};
use crate::source::{Blueprint, BuildError, Source, preset_params};

/// Bounds on `window`: the age up to which a signed request is accepted.
const MIN_WINDOW: Duration = Duration::from_secs(60);
const MAX_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Bounds on a hook's requests that its source checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Upper bound on the size of a body, in bytes.
    pub(super) max_body: usize,
    /// Upper bound on the age of a signed request, instead of the source's own.
    pub(super) window: Option<Duration>,
}

/// Secret or parameter of a hook, with its place in the hooks file.
struct Had {
    entry: Entry,
    /// Value, or `None` if only a running function can read the secret.
    value: Option<Secret>,
    offset: usize,
}

/// Reads the verifier of a hook. Mistakes are added to the table; `None` if too little of the table is valid.
pub(super) fn read(
    hook: &str,
    table: &Table<'_>,
    with: Reading<'_>,
    bounds: Bounds,
) -> Option<(Arc<Source>, Rotation)> {
    // Keys whose references cannot be resolved: the source would report them again, as missing.
    let mut unresolved = Vec::new();
    let mut had = secrets(table, with, &mut unresolved);
    had.extend(params(table, with, &mut unresolved));
    let url = table.str("url").map(|url| url.value.to_owned());
    if url.as_deref().is_some_and(|url| !url.starts_with("https://")) {
        table.error("url", "write the public https:// address that the sender calls");
    }
    let mut blueprint = blueprint(table)?;
    let Bounds { max_body, window } = bounds;
    blueprint.bound(max_body);
    if let Some(window) = window {
        if window < MIN_WINDOW || window > MAX_WINDOW {
            table.error("window", "write a time from \"1m\" to \"168h\"");
        } else if !blueprint.widen(window) {
            table.error(
                "window",
                "this source has no timestamp, or one that says itself when it ends: leave it out",
            );
        }
    }
    // Keys of the resolved secrets, as the source numbers them, each with the key and the offset in the file.
    let mut places = Vec::new();
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for (i, Had { mut entry, value, offset }) in had.into_iter().enumerate() {
        if entry.slot == Slot::Secret {
            let written = std::mem::replace(&mut entry.key, format!("secrets[{i}]"));
            places.push((entry.key.clone(), written, offset));
        }
        entries.push(entry);
        values.push(value);
    }
    let plan = Plan { hook: hook.to_owned(), blueprint, entries, url, samples: with.samples };
    let place = |key: &str| places.iter().find(|(place, ..)| place == key);
    let errors = match finish(plan, values) {
        Ok(finished) => {
            let doubtful = finished.0.short_secrets();
            #[cfg(feature = "catalog")]
            let doubtful = doubtful.chain(finished.0.odd_secrets());
            for BuildError { key, message } in doubtful {
                match place(&key) {
                    Some((_, written, offset)) => table.warning_at(*offset, written, message),
                    None => table.warning(&key, message),
                }
            }
            return Some(finished);
        }
        Err(errors) => errors,
    };
    for BuildError { key, message } in errors.into_iter().filter(|e| !unresolved.contains(&e.key)) {
        match place(&key) {
            Some((_, written, offset)) => table.error_at(*offset, written, message),
            None => table.error(&key, message),
        }
    }
    None
}

/// Builds the source and the rotation that rebuilds it. The error lists all problems of the source.
fn finish(plan: Plan, values: Vec<Option<Secret>>) -> Result<(Arc<Source>, Rotation), Vec<BuildError>> {
    let is_late = |(entry, _): &(&Entry, &Option<Secret>)| entry.reference.is_remote();
    let late: Vec<&Entry> =
        plan.entries.iter().zip(&values).filter(is_late).map(|(entry, _)| entry).collect();
    let late_secrets = late.iter().any(|entry| entry.slot == Slot::Secret);
    // Secrets are numbered, so the source gets all of them or none.
    let is_given = |(entry, _): &(&Entry, &Secret)| !late_secrets || entry.slot != Slot::Secret;
    let given = plan.entries.iter().zip(&values).filter_map(|(entry, value)| Some((entry, value.as_ref()?)));
    let built = plan.build_of(given.filter(is_given));
    if late.is_empty() {
        let source = Arc::new(built?);
        return Ok((
            Arc::clone(&source),
            Rotation::new(source, plan, values.into_iter().flatten().collect()),
        ));
    }
    let mut errors = built.err().unwrap_or_default();
    errors.retain(|e| late.iter().all(|entry| entry.key != e.key) && !(late_secrets && e.key == "secrets"));
    for entry in late {
        let is_taken = match &entry.slot {
            Slot::Secret => plan.blueprint.takes_secrets(),
            Slot::Param(name) => plan.blueprint.takes_param(name),
        };
        if !is_taken {
            let message = "this source does not take it: leave it out".to_owned();
            errors.push(BuildError { key: entry.key.clone(), message });
        }
    }
    if errors.is_empty() {
        Ok((Arc::new(plan.blueprint.outline()), Rotation::late(plan)))
    } else {
        Err(errors)
    }
}

fn secrets(table: &Table<'_>, with: Reading<'_>, unresolved: &mut Vec<String>) -> Vec<Had> {
    let before = table.mistakes().errors();
    let written = table.strings("secrets").map(|list| list.value).unwrap_or_default();
    let entry = |i, reference| Entry { key: format!("secrets[{i}]"), slot: Slot::Secret, reference };
    if let Some(secrets) = with.secrets {
        let given = |(i, value): (usize, &Secret)| {
            let entry = entry(i, SecretRef::Literal(value.clone()));
            Had { entry, value: Some(value.clone()), offset: table.offset() }
        };
        return secrets.iter().enumerate().map(given).collect();
    }
    let mut had = Vec::new();
    for (i, item) in written.iter().enumerate() {
        let read = SecretRef::parse(item.value).map(|reference| entry(i, reference));
        match had_now(read, with) {
            Ok((entry, value)) => had.push(Had { entry, value, offset: item.offset }),
            Err(error) => table.error_at(item.offset, &format!("secrets[{i}]"), error),
        }
    }
    if table.mistakes().errors() > before {
        unresolved.push("secrets".to_owned());
    }
    had
}

/// Reads `params`. Parameters may be references too; those that are secrets must be.
fn params(table: &Table<'_>, with: Reading<'_>, unresolved: &mut Vec<String>) -> Vec<Had> {
    let Some(params) = table.table("params") else { return Vec::new() };
    let known = table.str("source").map(|source| preset_params(source.value)).unwrap_or_default();
    let mut had = Vec::new();
    for (name, value) in params.named_strings() {
        let is_secret = known.iter().any(|param| param.secret && param.name == name.value);
        let parse = if is_secret { SecretRef::parse } else { SecretRef::parse_or_literal };
        let key = format!("params.{}", name.value);
        let slot = Slot::Param(name.value.to_owned());
        let read = parse(value.value).map(|reference| Entry { key: key.clone(), slot, reference });
        match had_now(read, with) {
            Ok((entry, secret)) => had.push(Had { entry, value: secret, offset: value.offset }),
            Err(error) => {
                unresolved.push(key);
                params.error_at(value.offset, name.value, error);
            }
        }
    }
    had
}

/// Resolves an entry. The value is `None` if only a running function can read the secret.
fn had_now(
    entry: Result<Entry, SecretError>,
    with: Reading<'_>,
) -> Result<(Entry, Option<Secret>), ReadCause> {
    let mut entry = entry?;
    entry.reference = entry.reference.follow(with.env)?.into_owned();
    if entry.reference.is_remote() {
        return Ok((entry, None));
    }
    let value = entry.check(entry.reference.resolve(with.env)?, with.samples)?;
    Ok((entry, Some(value)))
}

fn blueprint(table: &Table<'_>) -> Option<Blueprint> {
    let built = match (table.str("source"), table.table("verify")) {
        (Some(_), Some(_)) => {
            table.error("verify", "a hook has a source or a [verify] table, not both");
            return None;
        }
        (None, None) => {
            if !table.has("source") && !table.has("verify") {
                table.error("source", "write source = \"PRESET\", or a [verify] table of your own");
            }
            return None;
        }
        (None, Some(verify)) => Blueprint::custom(verify),
        (Some(preset), None) => Blueprint::preset(preset.value),
    };
    built.map_err(|errors| errors.iter().for_each(|e| table.error(&e.key, &e.message))).ok()
}
