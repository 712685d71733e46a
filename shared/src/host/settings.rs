//! What is wrong with the variables of the hosts, in one place for whoever tells it.

use super::{handover::Trust, job, server};
use crate::env::{Env, EnvProblem};
use crate::shard::Shard;
use crate::{metrics, telemetry};

/// Variables that cannot be read, and that a process does without: a server that does not start serves nobody.
/// They are among the [configuration's](crate::config::Config::problems) problems.
pub fn done_without(env: &Env) -> Vec<EnvProblem> {
    let mut problems = server::Limits::problems(env);
    problems.extend(Trust::problem(env));
    problems.extend(metrics::problem(env));
    problems.extend(telemetry::problems(env));
    problems
}

/// Variables that cannot be read, and that end a process where it begins: a server's, or a redriver's.
pub fn fatal(env: &Env) -> Vec<EnvProblem> {
    let found = [server::address(env).err(), job::every(env).err(), Shard::from_env(env).err()];
    found.into_iter().flatten().collect()
}
