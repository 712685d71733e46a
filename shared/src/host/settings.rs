//! Checks of the hosts' variables, in one place for every command that reports problems.

use super::{handover::Trust, job, server};
#[cfg(feature = "catalog")]
use crate::context::Context;
use crate::env::{Env, EnvProblem};
#[cfg(feature = "catalog")]
use crate::env::{PATH_STYLE, PLAIN_HTTP, PREWARM, SAMPLES};
#[cfg(feature = "catalog")]
use crate::platform::{FUNCTION_GRAPH_RUNTIME, FUNCTION_GRAPH_TRUST, SCF_RUNTIME, SCF_TRUST};
#[cfg(feature = "catalog")]
use crate::queue::credentials::{Family, HUAWEI, TENCENT};
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
/// A reader stops at its first mistake, so the wrong variables are taken away until nothing is wrong. It stops also at
/// the first of several variables that is set, so the first of each are taken away in turn.
#[cfg(feature = "catalog")]
pub fn survey(context: &Context, hooks_own: impl Fn(&Context) -> Vec<EnvProblem>) -> Vec<EnvProblem> {
    let mut found: Vec<EnvProblem> = Vec::new();
    let mut passed_over = 0;
    loop {
        let wrong = found.iter().map(|problem| problem.variable);
        let before = STAND_INS.iter().flat_map(|names| names.iter().take(passed_over)).copied();
        let context = Context { env: context.env.without(wrong.chain(before).collect()), ..context.clone() };
        let env = &context.env;
        // What an address is wanted for is judged by the one that counts.
        let mut next = if passed_over == 0 { done_without(env) } else { Vec::new() };
        next.extend(fatal(env));
        next.extend(hooks_own(&context));
        next.extend(unused(&context));
        next.retain(|problem| env.get(problem.variable).is_some());
        let known = found.len();
        for problem in next {
            if !found.iter().any(|known| known.variable == problem.variable) {
                found.push(problem);
            }
        }
        if found.len() > known {
            continue;
        }
        passed_over += 1;
        if STAND_INS.iter().all(|names| names.len() < passed_over) {
            return found;
        }
    }
}

/// Variables in the order in which they count: a later one stands in for those before it. A variable alone is one
/// that makes a function pass over others with a reader of their own.
#[cfg(feature = "catalog")]
const STAND_INS: [&[&str]; 10] = [
    &[server::LISTEN, server::PORT],
    &[crate::queue::tdmq::REGION, crate::queue::tdmq::OTHER_REGION],
    &[crate::queue::rocketmq::PROJECT, crate::queue::rocketmq::OTHER_PROJECT],
    &[HUAWEI[0].id],
    &[HUAWEI[0].key],
    &[HUAWEI[1].id],
    &[HUAWEI[1].key],
    &crate::net::tls::PROXIES,
    &[crate::store::s3::ENDPOINT],
    &crate::store::s3::REGIONS,
];

/// Returns the variables that are missing from a set of which another one is there.
#[cfg(feature = "catalog")]
pub fn incomplete(env: &Env) -> Vec<EnvProblem> {
    let pairs = families().map(|family| vec![family.id, family.key]);
    let sets = pairs.chain([crate::queue::rocketmq::LOGIN.to_vec()]);
    #[cfg(feature = "machine")]
    let sets = sets.chain([crate::vault::machine::OF_POD.to_vec()]);
    let missing = |set: Vec<&'static str>| {
        let there = set.iter().find(|variable| env.get(variable).is_some()).copied();
        let problem = move |variable| {
            there.map(|there| EnvProblem { variable, message: format!("is not set, but {there} is") })
        };
        set.into_iter().filter(|variable| env.get(variable).is_none()).filter_map(problem).collect::<Vec<_>>()
    };
    sets.flat_map(missing).collect()
}

/// Returns the variables of all access keys.
#[cfg(feature = "catalog")]
fn families() -> impl Iterator<Item = &'static Family> {
    TENCENT.iter().chain(&HUAWEI).chain(crate::store::s3::families())
}

/// Returns the problems of variables that no other reader looks at: switches, and settings of a store, a vendor or
/// an extension that nothing names.
#[cfg(feature = "catalog")]
fn unused(context: &Context) -> Vec<EnvProblem> {
    use crate::net::endpoint::Endpoint;
    use crate::quarantine::Quarantine;
    use crate::queue::{Client, Queue as _, Vendor, credentials};
    use crate::secret::SecretError;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::vault::Vault;

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
    let vault = Vault::new(env, &context.clock);
    let keys = families().flat_map(Family::variables).map(|variable| (variable, true));
    let logins = crate::queue::rocketmq::LOGIN_SECRETS.map(|variable| (variable, false));
    for (variable, is_key) in keys.chain(logins) {
        problems.extend(credentials::problem(env, &vault, variable, is_key));
    }
    #[cfg(feature = "machine")]
    problems.extend(crate::vault::machine::problems(env));
    problems.extend(crate::net::tls::problems(env));
    for vendor in Vendor::ALL {
        problems.extend(Client::new(vendor, context.clone()).problems());
    }
    // A region that is missing hides no other setting.
    let has_region = crate::store::s3::REGIONS.iter().any(|variable| env.get(variable).is_some());
    let region = crate::store::s3::REGIONS.into_iter().take(usize::from(!has_region));
    let own = region.map(|variable| (variable, Some("us-east-1".to_owned()))).collect();
    let placed = Context { env: env.with(own), ..context.clone() };
    match Store::open(crate::spill::VARIABLE, "s3://any-bucket", &placed) {
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
    for variable in [FUNCTION_GRAPH_RUNTIME, SCF_RUNTIME] {
        let is_address = |text: &str| Endpoint::parse(&format!("http://{text}"), true).is_ok();
        if env.get(variable).is_some_and(|text| !is_address(&text)) {
            problems.push(problem(variable, "is not an address: leave it to the platform, which sets it"));
        }
    }
    problems.extend(env.user_data_problem());
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
