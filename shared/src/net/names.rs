//! Addresses of names: the system's resolver, kept apart from everything else that waits.
//!
//! The resolver blocks for as long as it likes (5 s for each question that nobody answers, twice), and
//! cannot be stopped. So each look-up has a thread of its own, of which there are few; a name is looked up
//! by one of them at a time, whoever wants it; and a look-up goes on when the attempt that wanted it is
//! over, so that its answer serves the next one.
//!
//! | What is known of a name | What is given |
//! |---|---|
//! | an answer of the last 5 s | that |
//! | a failure of the last second | that; or an older answer, of the last 10 minutes |
//! | an older answer, of the last 10 minutes | what a new look-up gives within a second; else the older answer |
//! | nothing | what a look-up gives, as soon as it does |

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// How long an answer is used without asking again: what changes its addresses is followed in seconds.
const FRESH: Duration = Duration::from_secs(5);

/// The same for a failure: sends that fail together ask once.
const FRESH_FAILURE: Duration = Duration::from_secs(1);

/// How long an answer serves where the name server is silent or fails ([RFC 8767] would have it be days).
///
/// [RFC 8767]: https://www.rfc-editor.org/rfc/rfc8767
const STALE: Duration = Duration::from_secs(600);

/// How long a look-up is waited for where there is an older answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Look-ups at a time, and so threads.
const MAX_LOOKUPS: usize = 16;

/// Names remembered.
const MAX_NAMES: usize = 128;

/// A name's addresses, without a port; or why there are none.
type Answer = Result<Arc<[SocketAddr]>, String>;

/// Asks for a name.
type Ask = Box<dyn Fn(String) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Looks names up and remembers them; clones share it.
#[derive(Clone)]
pub(crate) struct Names(Arc<Inner>);

struct Inner {
    ask: Ask,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a name.
struct Known {
    answer: Option<(Arc<[SocketAddr]>, Instant)>,
    failure: Option<(String, Instant)>,
    /// The look-up that is under way, and since when.
    asking: Option<(watch::Receiver<Option<Answer>>, Instant)>,
    used: Instant,
}

impl Names {
    /// Names that the operator chose, but for a store's. The process has one, because several targets may
    /// have the same.
    pub(crate) fn chosen() -> Self {
        static CHOSEN: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        CHOSEN.clone()
    }

    /// Names of stores, and of proxies on the way to them: what the queues' name servers hold up is stored.
    pub(crate) fn of_stores() -> Self {
        static OF_STORES: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        OF_STORES.clone()
    }

    /// Names that a message brought along: whoever sends many of them takes no thread from the others.
    pub(crate) fn brought() -> Self {
        static BROUGHT: LazyLock<Names> = LazyLock::new(|| Names::new(system()));
        BROUGHT.clone()
    }

    fn new(ask: Ask) -> Self {
        Self(Arc::new(Inner { ask, known: Mutex::default() }))
    }

    /// The addresses of a host. Waits for as long as the resolver does; whoever waits no longer loses
    /// nothing.
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
        // This machine, whatever anybody says (RFC 6761, 6.3): plain HTTP is allowed to it.
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
            // A look-up that was given up: the process is about to end.
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

    /// What is known, or a look-up that brings it.
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

    /// Begins a look-up that goes on by itself.
    fn ask(&self, host: &str) -> watch::Receiver<Option<Answer>> {
        let (tell, asking) = watch::channel(None);
        let looking = (self.0.ask)(host.to_owned());
        let end = End { names: self.clone(), host: host.to_owned() };
        tokio::spawn(async move {
            let answer = looking.await;
            end.with(&answer);
            tell.send_replace(Some(answer));
        });
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
    /// A look-up; and an older answer with the time from which it is used.
    Asking(watch::Receiver<Option<Answer>>, Option<(Arc<[SocketAddr]>, Instant)>),
}

/// The end of a look-up, which comes also when a runtime ends and takes the look-up with it.
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

/// Forgets the name that was used least lately, if there are too many.
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

/// The system's resolver, on threads of its own: those of the runtime are for files, and the end of the
/// process does not wait for these.
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
                // Nobody waits for it any more when the process ends.
                drop(tell.send(answer.map(Iterator::collect).map_err(|error| error.to_string())));
                drop(place);
            };
            thread.spawn(job).map_err(|error| format!("there is no thread for it: {error}"))?;
            told.await.unwrap_or_else(|_| Err("the look-up broke off".to_owned()))
        }
        .boxed()
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
