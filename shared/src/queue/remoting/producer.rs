//! Producer: routes, connections and brokers that are left out, shared by all messages of one client.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::command::{BrokerAnswer, GET_ROUTE, Request};
use super::connection::Connection;
use super::error::{STORED, TOPIC_NOT_EXIST, classify, first_line};
use super::route::{TopicBroker, TopicRoute, queue_of};
use super::settings::Settings;
use crate::clock::Clock;
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Transport, TransportError};
use crate::queue::Class;
use crate::queue::failure::{Failure, Private, Scope};

/// Upper bounds on answers, in bytes.
const MAX_ROUTE: usize = 1 << 20;
pub(super) const MAX_ANSWER: usize = 64 << 10;

/// Age from which a route is asked for again, and the age up to which an older one serves if no name server
/// knows a newer one.
const FRESH: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_secs(600);

/// Upper bound on the wait for a newer route while the old one may serve.
const RENEW: Duration = Duration::from_secs(1);

/// Time for which a broker is left out after it refused or failed.
const LEFT_OUT: Duration = Duration::from_secs(10);

/// Silence after which a connection is not used for another message: the function may have been frozen since,
/// and the peer may be gone without a word. After a failure, only a connection counts that has just answered.
const SILENT: Duration = Duration::from_secs(20);
const JUST: Duration = Duration::from_secs(1);

/// Upper bounds on remembered topics and connections: messages choose topics, and routes choose addresses.
const MAX_TOPICS: usize = 1024;
const MAX_LINES: usize = 256;

/// Upper bounds on the messages under way: on small ones, of up to [`SMALL`] bytes, and on others. Together
/// they have some 32 MiB.
const SMALL: usize = 32 << 10;
const SMALL_ROOM: usize = 512;
const LARGE_ROOM: usize = 4;

/// Time between two warnings about the same state of the brokers.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Failure on the way to a broker. Boxed, since each step returns it.
pub(super) type Failed = Box<Failure>;

/// State that all sends of a client share.
pub(in crate::queue) struct Producer {
    clock: Clock,
    state: Mutex<State>,
    /// Number of the last request.
    number: AtomicI32,
    small: Semaphore,
    large: Semaphore,
}

#[derive(Default)]
struct State {
    routes: Vec<Known>,
    lines: Vec<(Endpoint, Arc<Connection>)>,
    /// Addresses of brokers that are left out, each with the end of that time.
    left_out: Vec<(String, Instant)>,
    turn: u32,
    warned: Option<Instant>,
}

/// Route that was asked for.
struct Known {
    topic: String,
    route: Arc<TopicRoute>,
    learned: Instant,
    /// Time from which it is asked for again.
    due: Instant,
}

/// Settings and limits of one attempt.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) transport: &'a Transport,
    pub(super) settings: &'a Settings,
    pub(super) private: &'a Private<'a>,
    pub(super) deadline: Instant,
    /// True if a connection must be new, or have just answered.
    pub(super) fresh: bool,
}

/// Queue that a message was sent to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) broker: TopicBroker,
    pub(super) queue: u32,
}

impl Chosen {
    /// Adds the broker and the topic to what a failure says.
    #[expect(clippy::unnecessary_box_returns, reason = "callers return it")]
    #[inline(never)]
    pub(super) fn told(&self, topic: &str, mut failure: Failed) -> Failed {
        let TopicBroker { name, address, .. } = &self.broker;
        failure.detail = format!("broker {name} at {address}, topic {topic}: {}", failure.detail);
        failure
    }
}

/// Queues that one attempt has met.
#[derive(Default)]
pub(super) struct Met {
    /// Queue that stored the message, but late.
    pub(super) late: Option<Chosen>,
    /// Addresses of the brokers that could not be reached, and the last one's failure.
    pub(super) failed: Vec<String>,
    pub(super) last: Option<Failed>,
}

impl Producer {
    pub(in crate::queue) fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            number: AtomicI32::new(0),
            small: Semaphore::new(SMALL_ROOM),
            large: Semaphore::new(LARGE_ROOM),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bound on messages under way for one of this size.
    pub(super) fn room(&self, size: usize) -> &Semaphore {
        if size <= SMALL { &self.small } else { &self.large }
    }

    /// Returns the code with a number for a new request.
    pub(super) fn numbered(&self, code: u16) -> (u16, i32) {
        (code, self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the route of a topic, asked for if it is missing or old. An old one serves where none is
    /// answered, as a name server that has just begun may not know the brokers yet.
    pub(super) async fn route(&self, topic: &str, with: With<'_>) -> Result<Arc<TopicRoute>, Failed> {
        let now = Instant::now();
        let (mut old, mut until) = (None, with.deadline);
        if let Some(known) = self.state().routes.iter_mut().find(|known| known.topic == topic) {
            if now < known.due {
                return Ok(Arc::clone(&known.route));
            }
            if now < known.learned + STALE {
                // One send asks; the old route serves the others meanwhile.
                known.due = now + FRESH;
                old = Some(Arc::clone(&known.route));
                until = until.min(now + RENEW);
            }
        }
        let fields = [("acceptStandardJsonOnly", "true"), ("topic", topic)];
        let request = Request::new(self.numbered(GET_ROUTE), &fields, b"", with.settings.acl.as_ref());
        let with = With { deadline: until, ..with };
        let asked = self.call(&with.settings.endpoints.current, request, MAX_ROUTE, with).await;
        match (self.learn(topic, asked, with.private), old) {
            (Err(_), Some(old)) => Ok(old),
            (learned, _) => learned,
        }
    }

    /// Remembers the route that a name server answered.
    #[inline(never)]
    fn learn(
        &self,
        topic: &str,
        asked: Result<BrokerAnswer, Failed>,
        private: &Private<'_>,
    ) -> Result<Arc<TopicRoute>, Failed> {
        let route = asked.and_then(|answer| {
            if answer.code != STORED {
                let mut failure = refusal(&answer, private);
                if answer.code == TOPIC_NOT_EXIST {
                    failure.detail.insert_str(0, "create it: ");
                }
                return Err(failure);
            }
            let unread =
                || Failed::from(Failure::new(Class::Config, "the name server's answer is not a route"));
            let route = TopicRoute::parse(&answer.body).ok_or_else(unread)?;
            if route.brokers.is_empty() && route.lacks_master {
                // A master that starts again is announced without its address, and an older route is better.
                let detail = "no broker of it has a master now";
                return Err(Failure::new(Class::Transient, detail).into());
            }
            Ok(route)
        });
        let route = Arc::new(route.map_err(|mut failure| {
            // No message was sent yet, whatever became of this request.
            (failure.maybe_stored, failure.unread) = (false, false);
            if failure.class == Class::Ambiguous {
                failure.class = Class::Transient;
            }
            failure.detail = format!("route of topic {topic}: {}", failure.detail);
            failure
        })?);
        let now = Instant::now();
        let routes = &mut self.state().routes;
        routes.retain(|known| known.topic != topic);
        if routes.len() >= MAX_TOPICS {
            routes.retain(|known| now < known.due);
        }
        if routes.len() < MAX_TOPICS {
            let topic = topic.to_owned();
            routes.push(Known { topic, route: Arc::clone(&route), learned: now, due: now + FRESH });
        }
        Ok(route)
    }

    /// Leaves a broker out for a while, and makes the next send to the topic ask for its route again if it
    /// `is_stale`; until it is answered, the old one serves.
    pub(super) fn leave_out(&self, broker: &TopicBroker, topic: &str, is_stale: bool) {
        let now = Instant::now();
        let State { routes, left_out, .. } = &mut *self.state();
        left_out.retain(|(address, until)| *until > now && *address != broker.address);
        if left_out.len() < MAX_LINES {
            left_out.push((broker.address.clone(), now + LEFT_OUT));
        }
        if is_stale {
            routes.iter_mut().filter(|known| known.topic == topic).for_each(|known| known.due = now);
        }
    }

    /// Chooses a queue: that of the key, or else by turns. A broker that is left out is chosen if no other is left.
    #[inline(never)]
    pub(super) fn choose(&self, route: &TopicRoute, key: Option<&str>, met: &Met) -> Option<Chosen> {
        let queues = route.queues();
        let state = &mut *self.state();
        let now = Instant::now();
        let first = match key {
            Some(key) => queue_of(key, queues),
            None => state.turn,
        };
        state.turn = state.turn.wrapping_add(u32::from(key.is_none()));
        let mut best: Option<(u8, u32)> = None;
        for step in 0..if key.is_some() { queues.min(1) } else { queues } {
            let number = (first % queues + step) % queues;
            let (broker, queue) = route.queue(number)?;
            if met.failed.contains(&broker.address) {
                continue;
            }
            // The better the choice, the lower the rank.
            let is_out = |(address, until): &(String, Instant)| *address == broker.address && *until > now;
            let late = met.late.as_ref().filter(|late| late.broker == *broker);
            let rank = 4 * u8::from(state.left_out.iter().any(is_out))
                + 2 * u8::from(late.is_some_and(|late| late.queue == queue))
                + u8::from(late.is_some());
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                best = Some((rank, number));
            }
            if rank == 0 {
                break;
            }
        }
        let (broker, queue) = route.queue(best?.1)?;
        Some(Chosen { broker: broker.clone(), queue })
    }

    /// Makes a call over the kept connection to `endpoint`, or over a new one.
    pub(super) async fn call(
        &self,
        endpoint: &Endpoint,
        request: Request,
        limit: usize,
        with: With<'_>,
    ) -> Result<BrokerAnswer, Failed> {
        let mut fresh = with.fresh;
        loop {
            let connection = self.connection(endpoint, fresh, with)?;
            let called = connection.call(request.clone(), limit, with.deadline).await;
            let failed = match called {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // Later sends are kept from a connection that broke, or on which an answer did not come.
            // One that is still being made is left to them: a slow way needs longer than one short attempt.
            if !connection.is_being_made() {
                self.state().lines.retain(|(_, kept)| !Arc::ptr_eq(kept, &connection));
            }
            let is_broken = matches!(failed.error, TransportError::Broken(_));
            if failed.is_written || fresh || !is_broken {
                let mut failure = Box::new(Failure::from(failed.error));
                if !failed.is_written && failure.maybe_stored {
                    (failure.maybe_stored, failure.unread, failure.class) = (false, false, Class::Transient);
                }
                return Err(failure);
            }
            // The kept connection ended before the request was written.
            fresh = true;
        }
    }

    /// Returns the kept connection if it may be used, else a new one.
    #[inline(never)]
    fn connection(
        &self,
        endpoint: &Endpoint,
        fresh: bool,
        with: With<'_>,
    ) -> Result<Arc<Connection>, Failed> {
        let lines = &mut self.state().lines;
        if let Some(at) = lines.iter().position(|(known, _)| known == endpoint) {
            let (_, kept) = &lines[at];
            if kept.is_usable(if fresh { JUST } else { SILENT }) {
                return Ok(Arc::clone(kept));
            }
            lines.swap_remove(at);
        }
        if lines.len() >= MAX_LINES {
            lines.clear();
        }
        let Some(connector) = with.transport.connector() else {
            let detail = "the settings for connections cannot be used";
            return Err(Failure::new(Class::Config, detail).into());
        };
        let connection = Arc::new(Connection::open(connector, endpoint.clone(), &self.clock));
        lines.push((endpoint.clone(), Arc::clone(&connection)));
        Ok(connection)
    }

    /// Logs that brokers store messages without a copy, once a minute.
    #[inline(never)]
    pub(super) fn warn_uncopied(&self, topic: &str, chosen: &Chosen) {
        let warned = &mut self.state().warned;
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            let broker = &chosen.broker.name;
            tracing::warn!(
                topic,
                broker,
                code = "11",
                "the broker has no slave: messages are stored once only"
            );
        }
    }
}

/// Waits for a place in `room`, until the deadline.
pub(super) async fn enter(
    room: &Semaphore,
    deadline: Instant,
) -> Result<tokio::sync::SemaphorePermit<'_>, Failed> {
    let entered = timeout_at(deadline, room.acquire()).await;
    let full = || Failure::new(Class::Transient, "too many bytes are under way to the brokers").into();
    entered.ok().and_then(Result::ok).ok_or_else(full)
}

/// Builds the failure for a result code other than success.
#[expect(clippy::unnecessary_box_returns, reason = "callers return it")]
#[inline(never)]
pub(super) fn refusal(answer: &BrokerAnswer, private: &Private<'_>) -> Failed {
    let kind = classify(answer.code, &answer.remark);
    let remark = private.clean(first_line(&answer.remark));
    Box::new(Failure {
        code: Some(answer.code.to_string()),
        maybe_stored: kind.maybe_stored,
        scope: if kind.is_wide { Scope::Api } else { Scope::Topic },
        ..Failure::new(kind.class, format!("code {}: {remark}", answer.code))
    })
}
