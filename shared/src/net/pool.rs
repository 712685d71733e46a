//! Pools of connections, one for each endpoint, and the making of new connections.
//!
//! A separate task makes each connection. A caller may stop waiting for it; the connection is made
//! nevertheless, and serves the next caller. Unused connections stay idle for a while, the one used last on
//! top, so that their number follows the number in use lately.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::endpoint::Endpoint;
use super::fault::ConnectError;
use crate::tasks::spawn;

/// Time after which an idle connection is closed. It is shorter than the servers' own limits, so that servers
/// seldom close a connection first, and shorter than the time after which a network address translation drops
/// it silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Time after which a connection in the making may never be made: a later caller begins another one.
const STALLED: Duration = Duration::from_secs(1);

/// Upper bound on endpoints with kept connections. Messages can name endpoints, so the number must be
/// limited.
const MAX_POOLS: usize = 64;

/// Connection that a pool can keep.
pub(super) trait Connection: Send + 'static {
    /// Returns true if the connection cannot be used any more.
    fn is_closed(&self) -> bool;
}

/// Function that makes a connection.
pub(super) type Connect<C> =
    Box<dyn Fn(&Endpoint) -> BoxFuture<'static, Result<C, ConnectError>> + Send + Sync>;

/// New connection.
pub(super) struct Made<C> {
    pub connection: C,
    /// Time at which its making began.
    pub begun: Instant,
}

type Waiting<C> = oneshot::Sender<Result<Made<C>, ConnectError>>;

/// Pools of all endpoints. Clones share them.
pub(super) struct Pools<C>(Arc<Inner<C>>);

impl<C> Clone for Pools<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<C> {
    connect: Connect<C>,
    /// Upper bound on connections to one endpoint.
    most: usize,
    /// Time limit for making a connection.
    limit: Duration,
    pools: Mutex<HashMap<Endpoint, Pool<C>>>,
}

/// Connections to one endpoint. Their number is small behind a network address translation, since each takes
/// one of its ports.
struct Pool<C> {
    /// Idle connections with the time of their last use, the latest last.
    idle: VecDeque<(C, Instant)>,
    /// Callers that wait for a connection, the first of them first.
    waiting: VecDeque<Waiting<C>>,
    /// Begins of the connections in the making.
    making: Vec<Instant>,
    /// Permits, one for each connection that may be in use.
    slots: Arc<Semaphore>,
    used: Instant,
    /// True if a task closes the idle connections in time.
    is_swept: bool,
}

impl<C> Pool<C> {
    fn new(most: usize) -> Self {
        Self {
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            making: Vec::new(),
            slots: Arc::new(Semaphore::new(most)),
            used: Instant::now(),
            is_swept: false,
        }
    }

    fn is_used(&self, most: usize) -> bool {
        self.slots.available_permits() < most || !self.making.is_empty()
    }

    /// Drops connections that were idle for too long.
    fn sweep(&mut self, now: Instant) {
        while self
            .idle
            .front()
            .is_some_and(|(_, since)| now.saturating_duration_since(*since) >= IDLE_TIMEOUT)
        {
            self.idle.pop_front();
        }
    }
}

impl<C: Connection> Pools<C> {
    pub(super) fn new(connect: Connect<C>, most: usize, limit: Duration) -> Self {
        Self(Arc::new(Inner { connect, most, limit, pools: Mutex::default() }))
    }

    /// Returns the permits to use one connection each.
    pub(super) fn slots(&self, endpoint: &Endpoint) -> Arc<Semaphore> {
        self.0.with(endpoint, |pool| Arc::clone(&pool.slots))
    }

    /// Takes the connection used last, unless it was idle for too long.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<C> {
        self.0.with(endpoint, |pool| {
            pool.sweep(pool.used);
            while let Some((connection, _)) = pool.idle.pop_back() {
                if !connection.is_closed() {
                    return Some(connection);
                }
            }
            None
        })
    }

    /// Keeps a connection for the next caller.
    pub(super) fn put_back(&self, endpoint: &Endpoint, connection: C) {
        let is_new_to_sweep = self.0.with(endpoint, |pool| {
            pool.sweep(pool.used);
            pool.idle.push_back((connection, pool.used));
            if pool.idle.len() > self.0.most {
                pool.idle.pop_front();
            }
            !std::mem::replace(&mut pool.is_swept, true)
        });
        if is_new_to_sweep {
            spawn(Box::pin(sweep(Arc::downgrade(&self.0), endpoint.clone())));
        }
    }

    /// Forgets the idle connections of an endpoint.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.0.with(endpoint, |pool| pool.idle.clear());
    }

    /// Returns a new connection, the next that is made. Begins one unless enough connections are in the
    /// making for all waiting callers.
    pub(super) async fn make(&self, endpoint: &Endpoint) -> Result<Made<C>, ConnectError> {
        let (tell, told) = oneshot::channel();
        let begun = self.0.with(endpoint, |pool| {
            pool.waiting.retain(|waiting| !waiting.is_closed());
            pool.waiting.push_back(tell);
            let now = pool.used;
            let is_young = |begun: &&Instant| now.saturating_duration_since(**begun) < STALLED;
            let young = pool.making.iter().filter(is_young).count();
            let is_needed = young < pool.waiting.len() && pool.making.len() < self.0.most;
            is_needed.then(|| {
                pool.making.push(now);
                now
            })
        });
        if let Some(begun) = begun {
            let (pools, endpoint) = (self.clone(), endpoint.clone());
            spawn(Box::pin(async move {
                let made = timeout(pools.0.limit, (pools.0.connect)(&endpoint)).await;
                let late = |_| Err(ConnectError::Passing("timed out".to_owned()));
                pools.made(&endpoint, begun, made.unwrap_or_else(late));
            }));
        }
        told.await.unwrap_or_else(|_| Err(ConnectError::Passing("it was given up".to_owned())))
    }

    /// Gives a connection to the caller that waited longest. A failure is reported only if fewer connections
    /// are in the making than callers wait.
    fn made(&self, endpoint: &Endpoint, begun: Instant, made: Result<C, ConnectError>) {
        let left = self.0.with(endpoint, |pool| {
            if let Some(number) = pool.making.iter().position(|other| *other == begun) {
                pool.making.swap_remove(number);
            }
            pool.waiting.retain(|waiting| !waiting.is_closed());
            if made.is_err() && pool.waiting.len() <= pool.making.len() {
                return None;
            }
            let mut made = made.map(|connection| Made { connection, begun });
            while let Some(first) = pool.waiting.pop_front() {
                match first.send(made) {
                    Ok(()) => return None,
                    Err(unsent) => made = unsent, // It has just given up.
                }
            }
            made.ok()
        });
        if let Some(made) = left {
            self.put_back(endpoint, made.connection);
        }
    }
}

impl<C> Inner<C> {
    fn pools(&self) -> MutexGuard<'_, HashMap<Endpoint, Pool<C>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, endpoint: &Endpoint, with: impl FnOnce(&mut Pool<C>) -> T) -> T {
        let mut pools = self.pools();
        if let Some(pool) = pools.get_mut(endpoint) {
            pool.used = Instant::now();
            return with(pool);
        }
        if pools.len() >= MAX_POOLS {
            let idle = pools.iter().filter(|(_, pool)| !pool.is_used(self.most));
            // If all pools are in use, there are as many endpoints as requests under way.
            if let Some(oldest) = idle.min_by_key(|(_, pool)| pool.used).map(|(oldest, _)| oldest.clone()) {
                pools.remove(&oldest);
            }
        }
        with(pools.entry(endpoint.clone()).or_insert_with(|| Pool::new(self.most)))
    }
}

/// Drops the idle connections of an endpoint when their time is over, until none is left.
async fn sweep<C>(pools: Weak<Inner<C>>, endpoint: Endpoint) {
    loop {
        let next = {
            let Some(pools) = pools.upgrade() else { return };
            let mut pools = pools.pools();
            let Some(pool) = pools.get_mut(&endpoint) else { return };
            pool.sweep(Instant::now());
            pool.is_swept = !pool.idle.is_empty();
            let Some((_, since)) = pool.idle.front() else { return };
            *since + IDLE_TIMEOUT
        };
        sleep_until(next).await;
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
