//! Name resolution by the system's resolver, kept apart from other blocking work.
//!
//! The resolver blocks for any time (5 s for each question without an answer, twice), and cannot be stopped.
//! So each look-up has its own thread, and the number of threads is limited. A name is looked up by one
//! thread at a time, for all that ask for it. A look-up goes on after the attempt that began it has ended, so
//! that its answer serves the next attempt.
//!
//! | Known about a name | Result |
//! |---|---|
//! | an answer of the last 5 s | this answer |
//! | a failure of the last second | an answer of the last 10 minutes, else the failure |
//! | an older answer, of the last 10 minutes | a new look-up's answer within a second, else the older one |
//! | nothing | the answer of a look-up, without a time limit |

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::tasks::spawn;

/// Time for which an answer is used without asking again: a change of addresses takes effect in seconds.
const FRESH: Duration = Duration::from_secs(5);

/// Time for which a failure is used without asking again: sends that fail together ask once.
const FRESH_FAILURE: Duration = Duration::from_secs(1);

/// Time for which an answer serves if the name server is silent or fails ([RFC 8767] suggests days).
///
/// [RFC 8767]: https://www.rfc-editor.org/rfc/rfc8767
const STALE: Duration = Duration::from_secs(600);

/// Time to wait for a look-up if there is an older answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Upper bound on concurrent look-ups, and so on their threads.
const MAX_LOOKUPS: usize = 16;

/// Upper bound on the remembered names.
const MAX_NAMES: usize = 128;

/// Addresses of a name, without a port; or the reason of the failure.
type Answer = Result<Arc<[SocketAddr]>, String>;

/// Function that looks a name up.
type Ask = Box<dyn Fn(String) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Resolver with a memory. Clones share the memory.
#[derive(Clone)]
pub(crate) struct Names(Arc<Inner>);

struct Inner {
    ask: Ask,
    known: Mutex<HashMap<String, Known>>,
}

/// State of one name.
struct Known {
    answer: Option<(Arc<[SocketAddr]>, Instant)>,
    failure: Option<(String, Instant)>,
    /// Look-up under way, and the time of its begin.
    asking: Option<(watch::Receiver<Option<Answer>>, Instant)>,
    used: Instant,
}

impl Names {
    /// Returns the resolver for names that the operator chose, without those of stores. The process has one,
    /// because several targets may have the same name.
    pub(crate) fn chosen() -> Self {
        static CHOSEN: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        CHOSEN.clone()
    }

    /// Returns the resolver for stores, and for proxies on the way to them: slow name servers of the queues
    /// do not hold it up.
    pub(crate) fn of_stores() -> Self {
        static OF_STORES: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        OF_STORES.clone()
    }

    /// Returns the resolver for names that come with messages: a flood of such names takes no thread from
    /// other look-ups.
    pub(crate) fn brought() -> Self {
        static BROUGHT: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        BROUGHT.clone()
    }

    fn new(ask: Ask) -> Self {
        Self(Arc::new(Inner { ask, known: Mutex::default() }))
    }

    /// Resolves a host. Waits as long as the resolver does; a caller that stops waiting does not end the
    /// look-up.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let with_port = |addresses: &[SocketAddr]| {
            let mut addresses = addresses.to_vec();
            for address in &mut addresses {
                address.set_port(port);
            }
            addresses
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        // The name means this machine, independent of any name server (RFC 6761, 6.3): plain HTTP is allowed
        // to it.
        if host == "localhost" {
            let ips = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            return Ok(ips.map(|ip| SocketAddr::new(ip, port)).to_vec());
        }
        let (mut asking, older) = match self.begin(host)? {
            Step::Known(answer) => return answer.map(|addresses| with_port(&addresses)),
            Step::Asking(asking, older) => (asking, older),
        };
        let answered = async {
            let answered = asking.wait_for(Option::is_some).await;
            // The look-up was given up: the process is about to end.
            answered
                .ok()
                .and_then(|answer| answer.clone())
                .unwrap_or_else(|| Err("it was given up".to_owned()))
        };
        let answer = match older {
            None => answered.await,
            Some((older, until)) => match timeout_at(until, answered).await {
                Ok(Ok(newer)) => Ok(newer),
                Ok(Err(_)) | Err(_) => Ok(older),
            },
        };
        let failed = |why| format!("the name {host} cannot be looked up: {why}");
        answer.map(|addresses| with_port(&addresses)).map_err(failed)
    }

    /// Returns the known answer, or a look-up that will give one.
    fn begin(&self, host: &str) -> Result<Step, String> {
        let now = Instant::now();
        let mut names = self.0.known();
        if !names.contains_key(host) {
            make_room(&mut names)?;
        }
        let known = names.entry(host.to_owned()).or_insert_with(|| Known {
            answer: None,
            failure: None,
            asking: None,
            used: now,
        });
        known.used = now;
        let age = |at: Instant| now.saturating_duration_since(at);
        let older = known.answer.clone().filter(|(_, at)| age(*at) < STALE);
        match &older {
            Some((answer, at)) if age(*at) < FRESH => return Ok(Step::Known(Ok(Arc::clone(answer)))),
            _ => {}
        }
        if let Some((why, _)) = known.failure.as_ref().filter(|(_, at)| age(*at) < FRESH_FAILURE) {
            let known = older.map(|(answer, _)| answer);
            return Ok(Step::Known(
                known.ok_or_else(|| format!("the name {host} cannot be looked up: {why}")),
            ));
        }
        let (asking, since) = known.asking.get_or_insert_with(|| (self.ask(host), now)).clone();
        Ok(Step::Asking(asking, older.map(|(answer, _)| (answer, since + PATIENCE))))
    }

    /// Begins a look-up that goes on without its caller.
    fn ask(&self, host: &str) -> watch::Receiver<Option<Answer>> {
        let (tell, asking) = watch::channel(None);
        let looking = (self.0.ask)(host.to_owned());
        let end = End { names: self.clone(), host: host.to_owned() };
        spawn(Box::pin(async move {
            let answer = looking.await;
            end.with(&answer);
            tell.send_replace(Some(answer));
        }));
        asking
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Step {
    Known(Answer),
    /// Look-up under way, and an older answer with the time from which it is used.
    Asking(watch::Receiver<Option<Answer>>, Option<(Arc<[SocketAddr]>, Instant)>),
}

/// End of a look-up, which also comes if a runtime ends and drops the look-up.
struct End {
    names: Names,
    host: String,
}

impl End {
    fn with(&self, answer: &Answer) {
        if let Some(known) = self.names.0.known().get_mut(&self.host) {
            let now = Instant::now();
            match answer {
                Ok(addresses) => (known.answer, known.failure) = (Some((Arc::clone(addresses), now)), None),
                Err(why) => known.failure = Some((why.clone(), now)),
            }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(known) = self.names.0.known().get_mut(&self.host) {
            known.asking = None;
        }
    }
}

/// Forgets the least recently used name, if there are too many.
fn make_room(names: &mut HashMap<String, Known>) -> Result<(), String> {
    if names.len() < MAX_NAMES {
        return Ok(());
    }
    let idle = names.iter().filter(|(_, known)| known.asking.is_none());
    let oldest = idle.min_by_key(|(_, known)| known.used).map(|(name, _)| name.clone());
    let oldest = oldest.ok_or_else(|| format!("{MAX_NAMES} names are being looked up already"))?;
    names.remove(&oldest);
    Ok(())
}

/// Builds a function that asks the system's resolver on separate threads: the runtime's threads are for
/// files, and the end of the process does not wait for the separate ones.
fn system() -> Ask {
    let places = Arc::new(Semaphore::new(MAX_LOOKUPS));
    Box::new(move |host| {
        let places = Arc::clone(&places);
        async move {
            let place = places.acquire_owned().await.map_err(|e| e.to_string())?;
            let (tell, told) = oneshot::channel();
            let thread = std::thread::Builder::new().name("name".to_owned());
            let job = move || {
                let answer = (host.as_str(), 0).to_socket_addrs();
                // The result has no receiver any more if the process ends.
                drop(tell.send(answer.map(Iterator::collect).map_err(|error| error.to_string())));
                drop(place);
            };
            thread.spawn(job).map_err(|error| format!("no thread can be started for it: {error}"))?;
            told.await.unwrap_or_else(|_| Err("the look-up broke off".to_owned()))
        }
        .boxed()
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
