//! Checks of the hosts' variables, in one place for every command that reports problems.

use super::{handover::Trust, job, server};
#[cfg(feature = "catalog")]
use crate::context::Context;
use crate::env::{Env, EnvProblem};
#[cfg(feature = "catalog")]
use crate::env::{PATH_STYLE, PLAIN_HTTP, PREWARM, SAMPLES};
#[cfg(feature = "catalog")]
use crate::platform::{FUNCTION_GRAPH_TRUST, SCF_TRUST};
use crate::shard::Shard;
use crate::{metrics, telemetry};

/// Returns the unreadable variables that a process runs without: a server that does not start serves no
/// request. They are among the [configuration's](crate::config::Config::problems) problems.
pub fn done_without(env: &Env) -> Vec<EnvProblem> {
    let mut problems = server::Limits::problems(env);
    problems.extend(Trust::problem(env));
    problems.extend(metrics::problem(env));
    problems.extend(telemetry::problems(env));
    problems
}

/// Returns the unreadable variables that end a server's or a redriver's process at its start.
pub fn fatal(env: &Env) -> Vec<EnvProblem> {
    let found = [server::address(env).err(), job::every(env).err(), Shard::from_env(env).err()];
    found.into_iter().flatten().collect()
}

/// Returns the mistakes in every variable of the environment, also in those that another setting leaves unused. Each
/// is read as a function reads it; `hooks_own` are the problems that the caller finds in the same way.
///
/// A reader stops at its first mistake, so the wrong variables are taken away until nothing is wrong.
#[cfg(feature = "catalog")]
pub fn survey(context: &Context, hooks_own: impl Fn(&Context) -> Vec<EnvProblem>) -> Vec<EnvProblem> {
    let mut found: Vec<EnvProblem> = Vec::new();
    loop {
        let wrong: Vec<&'static str> = found.iter().map(|problem| problem.variable).collect();
        let context = Context { env: context.env.without(wrong), ..context.clone() };
        let env = &context.env;
        let mut next = done_without(env);
        next.extend(fatal(env));
        next.extend(hooks_own(&context));
        next.extend(unused(&context));
        next.retain(|problem| env.get(problem.variable).is_some());
        let before = found.len();
        for problem in next {
            if !found.iter().any(|known| known.variable == problem.variable) {
                found.push(problem);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Returns the problems of variables that no other reader looks at: switches, and settings of a store, a vendor or
/// an extension that nothing names.
#[cfg(feature = "catalog")]
fn unused(context: &Context) -> Vec<EnvProblem> {
    use crate::quarantine::Quarantine;
    use crate::queue::{Client, Queue as _, Vendor};
    use crate::secret::SecretError;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    let env = &context.env;
    let problem = |variable, message: &str| EnvProblem { variable, message: message.to_owned() };
    let mut problems = Vec::new();
    for variable in [PREWARM, SAMPLES, PLAIN_HTTP, PATH_STYLE, FUNCTION_GRAPH_TRUST, SCF_TRUST] {
        let is_known =
            |value: &str| ["1", "true", "0", "false"].iter().any(|v| value.eq_ignore_ascii_case(v));
        if env.get(variable).is_some_and(|value| !is_known(&value)) {
            problems.push(problem(variable, "is neither 1 nor 0, so it is off: write 1, or unset it"));
        }
    }
    let families = crate::queue::credentials::TENCENT.iter().chain(&crate::queue::credentials::HUAWEI);
    for variable in families.flat_map(|family| [family.id, family.key]) {
        let is_quoted = |value: &str| value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        if env.get(variable).is_some_and(|value| is_quoted(&value)) {
            problems.push(problem(variable, "has quotes around it, which count: `--env-file` keeps them"));
        }
    }
    for vendor in Vendor::ALL {
        problems.extend(Client::new(vendor, context.clone()).problems());
    }
    match Store::open(crate::spill::VARIABLE, "s3://any-bucket", context) {
        Ok(store) => problems.extend(store.problem()),
        Err(wrong) => problems.push(wrong),
    }
    let memory = Store::new(MemoryStore::new(context.clock.clone()));
    problems.extend(Quarantine::new(memory, context).err());
    if matches!(crate::vault::port(env), Err(SecretError::Port)) {
        problems.push(problem(
            crate::vault::PORT_VARIABLE,
            "is not a port: unset it, or write a number up to 65535",
        ));
    }
    if env.get(crate::platform::VOUCHED).is_some_and(|folder| !folder.starts_with('/') || folder.len() < 2) {
        problems
            .push(problem(crate::platform::VOUCHED, "is not the absolute path of a folder, such as /data"));
    }
    let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    if env.get(crate::config::BASE_PATH).is_some_and(|path| !path.bytes().all(is_path)) {
        problems.push(problem(
            crate::config::BASE_PATH,
            "has a character that no path of a request has: write letters, digits and \"/-._~\"",
        ));
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b".-_/#: ".contains(&b);
    if env.get(metrics::NAMESPACE_VARIABLE).is_some_and(|name| name.len() > 255 || !name.bytes().all(is_name))
    {
        problems.push(problem(
            metrics::NAMESPACE_VARIABLE,
            "is not a namespace of CloudWatch: up to 255 letters, digits and \".-_/#:\"",
        ));
    }
    problems
}
