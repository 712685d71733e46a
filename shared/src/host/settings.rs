//! Checks of the hosts' variables, in one place for every command that reports problems.

use super::{handover::Trust, job, server};
use crate::env::{Env, EnvProblem};
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
