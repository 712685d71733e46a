//! Limits of one server, and the variables that set them.

use std::time::Duration;

use super::weakest::Times;
use crate::env::{Env, EnvProblem};
use crate::gateway::waiting::{BODY_BYTES, DEFAULT_BODY_BYTES, body_bytes};
use crate::http::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::net::max_connections;

/// Upper bound on connections, regardless of the number of descriptors: each connection has buffers, and a
/// container of 256 MiB has no room for more.
const MOST_CONNECTIONS: usize = 1024;

/// Upper bound on the descriptors that the process asks of the system.
const ENOUGH_DESCRIPTORS: u64 = 16 * 1024;

/// Descriptors kept for a store's folder, files of secrets, look-ups, the log and the listener, beside
/// `MAX_CONNECTIONS` for each endpoint.
const KEPT: usize = 128;

/// Limits of one server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Upper bound on concurrent connections; the weakest gives way to a new one.
    pub connections: usize,
    /// Upper bound on concurrently served requests, not above `connections`; a further request that has
    /// arrived completely gets a 503.
    pub requests: usize,
    /// Upper bound on the bytes of all bodies together, counted as they arrive; when they run out, the
    /// slowest body gives way. The largest body that the service takes always fits by itself.
    pub body_bytes: usize,
    /// Upper bound on a request's header fields; more get a 431.
    pub headers: usize,
    /// Upper bound on the bytes of a request's target and all header names and values; more get a 431.
    pub head_bytes: usize,
    /// Time-out of a connection between two requests and before the first; then it is closed.
    pub idle_timeout: Duration,
    /// Time-out of a request's head, from its first byte; then the connection is closed.
    pub head_timeout: Duration,
    /// Time-out of a whole request's arrival; then it gets a 408.
    pub body_timeout: Duration,
    /// Time for a sender that has its answer to finish sending.
    pub linger: Duration,
    /// First part of a request's time, without a minimum rate.
    pub unhurried: Duration,
    /// Minimum rate after `unhurried`, in bytes per second.
    pub least_rate: u64,
    /// Time after the signal to stop in which requests are still taken; each answer is the last of its
    /// connection.
    pub leave: Duration,
    /// Time after `leave` in which the requests in flight are answered.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests: 256,
            body_bytes: DEFAULT_BODY_BYTES,
            headers: MAX_HEADERS,
            head_bytes: MAX_HEADER_BYTES,
            // Longer than the idle time-outs of balancers (ALB 60 s, nginx 75 s, Go 90 s, Google's 600 s):
            // the side that closes first may cut a request that is on its way.
            idle_timeout: Duration::from_secs(620),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            linger: Duration::from_secs(15),
            unhurried: Duration::from_secs(8),
            least_rate: 1024,
            leave: Duration::from_secs(3),
            drain: Duration::from_secs(6),
        }
    }
}

impl Limits {
    /// Reads the limits from the environment, with room for connections to `endpoints` endpoints. The default
    /// replaces an unreadable value: a server that does not start serves no request.
    pub(super) fn from_env(env: &Env, endpoints: usize) -> Self {
        Self::of(env, raise_descriptors(), endpoints)
    }

    /// Returns the problems with unreadable variables.
    pub(in crate::host) fn problems(env: &Env) -> Vec<EnvProblem> {
        Asked::of(env).problems
    }

    fn of(env: &Env, descriptors: Option<usize>, endpoints: usize) -> Self {
        // The configuration reports the problems.
        let Asked { mut limits, connections, requests, .. } = Asked::of(env);
        let room = descriptors.map(|all| {
            // A problem with `MAX_CONNECTIONS` is reported where the connections are made.
            let made = max_connections(env).unwrap_or(0).saturating_mul(endpoints);
            let kept = made.saturating_add(KEPT).min(all / 2);
            all.saturating_sub(kept).max(1)
        });
        let most = room.unwrap_or(limits.connections).min(MOST_CONNECTIONS);
        limits.connections = connections.unwrap_or(most);
        if let Some(room) = room.filter(|room| *room < limits.connections) {
            tracing::warn!(
                wanted = limits.connections,
                taken = room,
                "fewer connections are accepted than MAX_ACCEPTED allows: the limit of open files is too low"
            );
            limits.connections = room;
        }
        limits.requests = requests.unwrap_or_else(|| limits.requests.min(limits.connections));
        if limits.requests > limits.connections {
            tracing::warn!(
                wanted = limits.requests,
                taken = limits.connections,
                "fewer requests are served at a time than MAX_IN_FLIGHT allows: MAX_ACCEPTED is lower"
            );
            limits.requests = limits.connections;
        }
        limits
    }

    pub(super) fn times(&self) -> Times {
        Times {
            idle: self.idle_timeout,
            head: self.head_timeout,
            body: self.body_timeout,
            linger: self.linger,
            unhurried: self.unhurried,
            least: self.least_rate,
        }
    }
}

/// Values that the environment asks for, and the problems with unreadable ones.
struct Asked {
    limits: Limits,
    connections: Option<usize>,
    requests: Option<usize>,
    problems: Vec<EnvProblem>,
}

impl Asked {
    fn of(env: &Env) -> Self {
        let (mut limits, mut connections, mut requests) = (Limits::default(), None, None);
        let mut problems = Vec::new();
        let is_no_size = "is not a size such as \"64MiB\", which is used instead";
        problems.extend(read(env, BODY_BYTES, is_no_size, &mut limits.body_bytes, body_bytes));
        let seconds = |from, to| {
            move |text: &str| {
                let seconds = text.parse().ok().filter(|n| (from..=to).contains(n));
                seconds.map(Duration::from_secs)
            }
        };
        let is_no_idle = "is not a number of seconds from 1 to 86400: 620 is used instead";
        problems.extend(read(env, "IDLE_TIMEOUT", is_no_idle, &mut limits.idle_timeout, seconds(1, 86_400)));
        let is_no_time = "is not a number of seconds from 0 to 600: 3 is used instead";
        problems.extend(read(env, "DRAIN_AFTER", is_no_time, &mut limits.leave, seconds(0, 600)));
        let is_no_drain = "is not a number of seconds from 1 to 600: 6 is used instead";
        problems.extend(read(env, "DRAIN_WITHIN", is_no_drain, &mut limits.drain, seconds(1, 600)));
        let count = |text: &str| text.parse().ok().filter(|n| *n > 0).map(Some);
        let is_no_room = "is not a number of connections from 1 up: the limit of open files sets it instead";
        problems.extend(read(env, "MAX_ACCEPTED", is_no_room, &mut connections, count));
        let is_no_count = "is not a number of requests from 1 up: 256 is used instead";
        problems.extend(read(env, "MAX_IN_FLIGHT", is_no_count, &mut requests, count));
        Self { limits, connections, requests, problems }
    }
}

fn read<T: Copy>(
    env: &Env,
    variable: &'static str,
    message: &str,
    limit: &mut T,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<EnvProblem> {
    let value = EnvProblem::or_value(env, variable, *limit, parse, message);
    value.map(|value| *limit = value).err()
}

/// Raises the process's limit of descriptors as far as the system allows without privileges. Returns the
/// limit, or `None` if there is none.
#[cfg(unix)]
fn raise_descriptors() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means "unlimited" in both fields.
    let wanted = maximum.unwrap_or(ENOUGH_DESCRIPTORS).min(ENOUGH_DESCRIPTORS);
    let current = current?;
    let raised =
        current < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    usize::try_from(if raised { wanted } else { current }).ok()
}

#[cfg(not(unix))]
const fn raise_descriptors() -> Option<usize> {
    None
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
