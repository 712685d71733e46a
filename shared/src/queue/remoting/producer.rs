//! Producer: routes, connections and sends, shared by all messages of one client.
//!
//! A message goes to one of its topic's queues: by turns, or, if it has a key, always to the queue of its key,
//! so that messages of one key keep their order. A broker that failed is left out for some seconds, unless
//! the key names its queue or no other is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::command::{Answer, Fields, GET_ROUTE, Request, SEND};
use super::connection::{CallError, Connection};
use super::error::{STORED, TOPIC_NOT_EXIST, classify, first_line};
use super::route::{Broker, Route, queue_of};
use crate::clock::Clock;
use crate::net::ConnectError;
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Transport, TransportError};
use crate::queue::Class;
use crate::queue::credentials::Credentials;
use crate::queue::failure::{Failure, Private, Scope};

/// Upper bounds on answers, in bytes.
const MAX_ROUTE: usize = 1 << 20;
const MAX_ANSWER: usize = 64 << 10;

/// Age from which a route is asked for again, and the age up to which an older one serves if no name server
/// answers.
const FRESH: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_secs(600);

/// Time in which a look-up is answered, before another send asks.
const ASKING: Duration = Duration::from_secs(3);

/// Time for which a broker is left out after it refused or failed.
const LEFT_OUT: Duration = Duration::from_secs(10);

/// Upper bound on the time to make a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Upper bounds on remembered topics and connections: messages choose topics, and routes choose addresses.
const MAX_TOPICS: usize = 1024;
const MAX_LINES: usize = 256;

/// Upper bound on the bodies under way, in units of 1 KiB.
const ROOM: u32 = 32 * 1024;

/// Time between two warnings about the same state of the brokers.
const WARN_EVERY: Duration = Duration::from_secs(60);

type Line = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

/// State that all sends of a client share.
pub(in crate::queue) struct Producer {
    clock: Clock,
    routes: Mutex<HashMap<String, Known>>,
    lines: Mutex<HashMap<Endpoint, Line>>,
    left_out: Mutex<HashMap<String, Instant>>,
    turn: AtomicUsize,
    room: Semaphore,
    warned: Mutex<Option<Instant>>,
}

/// Route that was asked for.
struct Known {
    route: Arc<Route>,
    learned: Instant,
    /// Time from which it is asked for again.
    due: Instant,
}

/// Settings and limits of one attempt.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub transport: &'a Transport,
    pub name_server: &'a Endpoint,
    pub acl: Option<&'a Credentials>,
    pub private: &'a Private<'a>,
    pub deadline: Instant,
    /// True if connections must be new.
    pub fresh: bool,
}

/// Message as it is sent.
pub(super) struct Outbound<'a> {
    pub topic: &'a str,
    pub key: Option<&'a str>,
    pub group: &'a str,
    pub properties: &'a str,
    pub born: i64,
    pub body: Bytes,
}

/// Queue that a message was sent to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    broker: Broker,
    queue: u32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Producer {
    pub(in crate::queue) fn new(clock: Clock) -> Self {
        Self {
            clock,
            routes: Mutex::default(),
            lines: Mutex::default(),
            left_out: Mutex::default(),
            turn: AtomicUsize::new(0),
            room: Semaphore::new(ROOM as usize),
            warned: Mutex::default(),
        }
    }

    /// Sends a message to one of its topic's queues, another one than `avoid` if there is one. Brokers that
    /// cannot be reached are left out at once. Returns the answer and the queue.
    pub(super) async fn send(
        &self,
        message: &Outbound<'_>,
        avoid: Option<&Chosen>,
        with: With<'_>,
    ) -> Result<(Answer, Chosen), Failure> {
        let units = u32::try_from(message.body.len() >> 10).unwrap_or(ROOM).clamp(1, ROOM);
        let Ok(Ok(_room)) = timeout_at(with.deadline, self.room.acquire_many(units)).await else {
            return Err(Failure::new(Class::Transient, "too many bytes are under way to the brokers"));
        };
        let route = self.route(message.topic, with).await?;
        let mut failed: Vec<String> = Vec::new();
        let mut last = None;
        loop {
            let chosen = self.choose(&route, message.key, avoid, &failed);
            let Some(chosen) = chosen else { break };
            let mut sent = self.send_to(message, &chosen, with).await;
            if let Err(failure) = &mut sent {
                self.leave_out(&chosen.broker.address);
                self.forget(message.topic);
                // The other brokers may well be reached by messages without this key.
                failure.unreachable &= message.key.is_none();
                failure.detail = told(&chosen.broker, message.topic, &failure.detail);
            }
            match sent {
                Err(failure) if failure.unreachable => {
                    failed.push(chosen.broker.address);
                    last = Some(failure);
                }
                sent => return sent.map(|answer| (answer, chosen)),
            }
        }
        let none = || {
            let detail = format!(
                "topic {} has no queue that can be written: its brokers, or the topic's permission, forbid it",
                message.topic
            );
            Failure::new(Class::Permission, detail)
        };
        Err(last.unwrap_or_else(none))
    }

    async fn send_to(&self, message: &Outbound<'_>, to: &Chosen, with: With<'_>) -> Result<Answer, Failure> {
        let scheme = if with.name_server.is_https() { "https" } else { "http" };
        let address = &to.broker.address;
        let endpoint = Endpoint::parse(&format!("{scheme}://{address}"), true).map_err(|_| {
            Failure::new(
                Class::Config,
                format!("the route has the address {address:?}, which is not host:port"),
            )
        })?;
        let fields: Fields = vec![
            ("a", message.group.to_owned()),
            ("b", message.topic.to_owned()),
            // Topic and number of queues for brokers that create topics by themselves.
            ("c", "TBW102".to_owned()),
            ("d", "4".to_owned()),
            ("e", to.queue.to_string()),
            ("f", "0".to_owned()),
            ("g", message.born.to_string()),
            ("h", "0".to_owned()),
            ("i", message.properties.to_owned()),
            ("j", "0".to_owned()),
            ("k", "false".to_owned()),
            ("l", "16".to_owned()),
            ("m", "false".to_owned()),
            ("n", to.broker.name.clone()),
        ];
        let request = Request::new(SEND, fields, message.body.clone(), with.acl);
        self.call(&endpoint, &request, MAX_ANSWER, with).await
    }

    /// Returns the route of a topic, asked for if it is missing or old.
    pub(super) async fn route(&self, topic: &str, with: With<'_>) -> Result<Arc<Route>, Failure> {
        let now = Instant::now();
        let old = match locked(&self.routes).get_mut(topic) {
            Some(known) if now < known.due => return Ok(Arc::clone(&known.route)),
            Some(known) if now < known.learned + STALE => {
                // One send asks; the old route serves the others meanwhile.
                known.due = now + ASKING;
                Some(Arc::clone(&known.route))
            }
            _ => None,
        };
        match (self.ask_route(topic, with).await, old) {
            (Err(failure), Some(old)) if matches!(failure.class, Class::Transient | Class::Ambiguous) => {
                Ok(old)
            }
            (asked, _) => asked,
        }
    }

    async fn ask_route(&self, topic: &str, with: With<'_>) -> Result<Arc<Route>, Failure> {
        let fields = vec![("acceptStandardJsonOnly", "true".to_owned()), ("topic", topic.to_owned())];
        let request = Request::new(GET_ROUTE, fields, Bytes::new(), with.acl);
        let asked = self.call(with.name_server, &request, MAX_ROUTE, with).await;
        // No message was sent yet, whatever became of this request.
        let unsent = |failure: Failure| {
            let class = if failure.class == Class::Ambiguous { Class::Transient } else { failure.class };
            let detail = format!("route of {topic}: {}", failure.detail);
            Failure { class, maybe_stored: false, unread: false, detail, ..failure }
        };
        let answer = asked.map_err(unsent)?;
        if answer.code != STORED {
            let mut failure = refusal(&answer, 0, with.private);
            if answer.code == TOPIC_NOT_EXIST {
                failure.detail = format!("create the topic {topic}: {}", failure.detail);
            }
            return Err(unsent(failure));
        }
        let unread = || Failure::new(Class::Config, "the name server's answer is not a route");
        let route = Arc::new(Route::parse(&answer.body).ok_or_else(unread)?);
        let now = Instant::now();
        let mut routes = locked(&self.routes);
        if routes.len() >= MAX_TOPICS {
            routes.retain(|_, known| now < known.due);
        }
        if routes.len() < MAX_TOPICS {
            let known = Known { route: Arc::clone(&route), learned: now, due: now + FRESH };
            routes.insert(topic.to_owned(), known);
        }
        Ok(route)
    }

    /// Makes the next send to the topic ask for its route again; until it is answered, the old one serves.
    pub(super) fn forget(&self, topic: &str) {
        if let Some(known) = locked(&self.routes).get_mut(topic) {
            known.due = Instant::now();
        }
    }

    fn leave_out(&self, address: &str) {
        let now = Instant::now();
        let mut left_out = locked(&self.left_out);
        left_out.retain(|_, until| *until > now);
        if left_out.len() < MAX_LINES {
            left_out.insert(address.to_owned(), now + LEFT_OUT);
        }
    }

    /// Leaves the queue's broker out for a while, because its answer says that it takes no message now.
    pub(super) fn pass_over(&self, chosen: &Chosen) {
        self.leave_out(&chosen.broker.address);
    }

    /// Chooses a queue; `failed` are the addresses that this message could not reach.
    fn choose(
        &self,
        route: &Route,
        key: Option<&str>,
        avoid: Option<&Chosen>,
        failed: &[String],
    ) -> Option<Chosen> {
        let queues = route.queues();
        let at = |number| {
            let (broker, queue) = route.queue(number)?;
            Some(Chosen { broker: broker.clone(), queue })
        };
        if let Some(key) = key {
            return at(queue_of(key, queues));
        }
        let now = Instant::now();
        let left_out = locked(&self.left_out);
        let is_left_out = |address: &str| left_out.get(address).is_some_and(|until| *until > now);
        let turn = u32::try_from(self.turn.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff).unwrap_or_default();
        // The better the choice, the lower the number.
        let rank = |chosen: &Chosen| {
            let is_same = avoid.is_some_and(|avoid| avoid.broker == chosen.broker);
            let is_same_queue = is_same && avoid.is_some_and(|avoid| avoid.queue == chosen.queue);
            u8::from(is_left_out(&chosen.broker.address)) * 4
                + u8::from(is_same_queue) * 2
                + u8::from(is_same)
        };
        let mut best: Option<(u8, Chosen)> = None;
        let mut number = turn % queues.max(1);
        for _ in 0..queues {
            let (broker, queue) = route.queue(number)?;
            let is_failed = failed.contains(&broker.address);
            if !is_failed {
                let chosen = Chosen { broker: broker.clone(), queue };
                let rank = rank(&chosen);
                if rank == 0 {
                    return Some(chosen);
                }
                if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                    best = Some((rank, chosen));
                }
            }
            number = (number + 1) % queues;
        }
        best.map(|(_, chosen)| chosen)
    }

    /// Makes a call over the kept connection to `endpoint`, or over a new one.
    async fn call(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        limit: usize,
        with: With<'_>,
    ) -> Result<Answer, Failure> {
        let mut fresh = with.fresh;
        loop {
            let (connection, is_new) = self.connection(endpoint, fresh, with).await?;
            match connection.call(request, limit, with.deadline).await {
                Ok(answer) => return Ok(answer),
                // The kept connection ended before the request was written.
                Err(CallError::Unwritten) if !is_new && Instant::now() < with.deadline => fresh = true,
                Err(CallError::Unwritten) => {
                    let why = "it was closed before the request was written".to_owned();
                    return Err(TransportError::Connect(shown(endpoint), why).into());
                }
                Err(CallError::Failed(error)) => {
                    self.drop_line(endpoint, &connection).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// Returns the kept connection if it may be used, else a new one, with true.
    async fn connection(
        &self,
        endpoint: &Endpoint,
        fresh: bool,
        with: With<'_>,
    ) -> Result<(Arc<Connection>, bool), Failure> {
        let line = {
            let mut lines = locked(&self.lines);
            if lines.len() >= MAX_LINES {
                lines.clear();
            }
            Arc::clone(lines.entry(endpoint.clone()).or_default())
        };
        let failed = |why| Failure::from(TransportError::Connect(shown(endpoint), why));
        let until = with.deadline.min(Instant::now() + CONNECT);
        let late = |_| failed("timed out".to_owned());
        let asked = Instant::now();
        let mut kept = timeout_at(until, line.lock()).await.map_err(late)?;
        // Another send may have made a new one meanwhile.
        let is_kept = |kept: &&Arc<Connection>| kept.is_usable() && (!fresh || kept.made() >= asked);
        if let Some(connection) = kept.as_ref().filter(is_kept) {
            return Ok((Arc::clone(connection), false));
        }
        let Some(connector) = with.transport.connector() else {
            return Err(failed("the settings for connections cannot be used".to_owned()));
        };
        let made = timeout_at(until, connector.connect(endpoint)).await.map_err(late)?;
        let stream = made.map_err(|error| match error {
            ConnectError::Passing(why) => failed(why),
            ConnectError::Lasting(why) => TransportError::Unusable(shown(endpoint), why).into(),
        })?;
        let connection = Arc::new(Connection::over(stream, &self.clock));
        *kept = Some(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// Keeps later sends from a connection that broke or on which an answer did not come.
    async fn drop_line(&self, endpoint: &Endpoint, connection: &Arc<Connection>) {
        let line = locked(&self.lines).get(endpoint).cloned();
        if let Some(line) = line {
            line.lock().await.take_if(|kept| Arc::ptr_eq(kept, connection));
        }
    }

    /// Logs that brokers store messages without a copy, once a minute.
    pub(super) fn warn_uncopied(&self, topic: &str, chosen: &Chosen) {
        let mut warned = locked(&self.warned);
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

impl Chosen {
    /// Builds the failure for an answer that refuses the message.
    pub(super) fn refusal(&self, answer: &Answer, message: &Outbound<'_>, private: &Private<'_>) -> Failure {
        let mut failure = refusal(answer, message.body.len(), private);
        failure.detail = told(&self.broker, message.topic, &failure.detail);
        failure
    }
}

/// Builds the failure for a result code other than success.
fn refusal(answer: &Answer, size: usize, private: &Private<'_>) -> Failure {
    let kind = classify(answer.code, &answer.remark, size);
    let remark = private.clean(first_line(&answer.remark));
    Failure {
        code: Some(answer.code.to_string()),
        maybe_stored: kind.maybe_stored,
        scope: if kind.is_wide { Scope::Api } else { Scope::Topic },
        ..Failure::new(kind.class, format!("code {}: {remark}", answer.code))
    }
}

fn told(broker: &Broker, topic: &str, detail: &str) -> String {
    format!("broker {} at {}, topic {topic}: {detail}", broker.name, broker.address)
}

/// Writes an endpoint as the protocol's users know it.
fn shown(endpoint: &Endpoint) -> String {
    let (host, port) = endpoint.place();
    format!("{host}:{port}")
}
