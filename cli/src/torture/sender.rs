//! Senders: each takes the next delivery, sends it as its provider would, and records the result in the
//! ledger.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::http::Request;
use hookmq_shared::json;
use tokio::time::{sleep, timeout};

use super::Fallible;
use super::connection::{Answer, Connection, tear};
use super::deliveries::{Delivery, Forgery};
use super::ledger::{Attempt, Outcome, key};
use super::world::World;

/// Requests per delivery while faults are on; unacknowledged deliveries are sent again after the faults.
const TRIES: u32 = 4;
/// Requests per delivery after the faults.
const LAST_TRIES: u32 = 40;

/// Time limit for an answer, longer than any hook's deadline.
const PATIENCE: Duration = Duration::from_secs(40);
/// Range of an impatient sender's time limit, in milliseconds.
const IMPATIENCE: (u64, u64) = (1, 400);
/// Requests per thousand with an impatient sender.
const IMPATIENT: u64 = 40;
/// Acknowledged deliveries per thousand that are sent again all the same, to hooks with `dedupe`.
const REPEATED: u64 = 300;

/// Wait between two attempts to connect to a forwarder.
const PAUSE: Duration = Duration::from_millis(5);

/// A sender, which keeps one connection open.
pub(super) struct Sender {
    world: Arc<World>,
    connection: Option<Connection>,
    /// Number of the forwarder that the sender is connected to, or tries next.
    forwarder: usize,
}

impl Sender {
    pub(super) fn new(world: Arc<World>, number: usize) -> Self {
        Self { world, connection: None, forwarder: number }
    }

    /// Sends deliveries until the run's number of them is reached.
    pub(super) async fn run(mut self) -> Fallible<()> {
        let world = Arc::clone(&self.world);
        let World { asked, next, conductor, .. } = &*world;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= asked.deliveries {
                return Ok(());
            }
            conductor.lock().await.reach(number, &world)?;
            let delivery = Delivery::draw(asked, number);
            self.send(delivery).await?;
        }
    }

    async fn send(&mut self, mut delivery: Delivery) -> Fallible<()> {
        let request = self.sign(&delivery)?;
        let line = self.world.ledger().open(&delivery, &request.body);
        if delivery.forgery == Some(Forgery::Torn) {
            // It does not matter how much of the request arrives.
            drop(tear(self.world.forwarder(self.forwarder).address, &request).await);
            return Ok(());
        }
        let tries = if delivery.hook.retries { TRIES } else { 1 };
        let is_settled = self.deliver(&mut delivery, line, tries).await?;
        if !is_settled && delivery.hook.retries && delivery.forgery.is_none() {
            self.world.unsettled().push((line, delivery.number));
        }
        if is_settled && self.world.knows_repeats(delivery.hook) && delivery.rng.happens(REPEATED) {
            self.attempt(&mut delivery, line).await?;
        }
        Ok(())
    }

    /// Sends an unacknowledged delivery again until it is acknowledged; returns true if it was.
    pub(super) async fn send_again(&mut self, line: usize, number: u64) -> Fallible<bool> {
        let asked = &self.world.asked;
        let mut delivery = Delivery::draw(asked, number);
        self.deliver(&mut delivery, line, LAST_TRIES).await
    }

    /// Sends the delivery at most `tries` times; returns true once it is acknowledged or refused for good
    /// (4xx).
    async fn deliver(&mut self, delivery: &mut Delivery, line: usize, tries: u32) -> Fallible<bool> {
        for tried in 1..=tries {
            match self.attempt(delivery, line).await? {
                Outcome::Queued(_) | Outcome::Kept => return Ok(true),
                Outcome::Refused(status) if (400..500).contains(&status) => return Ok(true),
                Outcome::Refused(_) | Outcome::None => {}
            }
            if tried < tries {
                sleep(Duration::from_millis(delivery.rng.range(10, 60) * u64::from(tried))).await;
            }
        }
        Ok(false)
    }

    /// Signs the request now, sends it once, and notes the attempt in the ledger.
    async fn attempt(&mut self, delivery: &mut Delivery, line: usize) -> Fallible<Outcome> {
        let world = Arc::clone(&self.world);
        let World { watch, asked, is_calm, .. } = &*world;
        let is_impatient = asked.faults.has("impatient") && !is_calm.load(Ordering::Relaxed);
        let patience = if is_impatient && delivery.rng.happens(IMPATIENT) {
            Duration::from_millis(delivery.rng.range(IMPATIENCE.0, IMPATIENCE.1))
        } else {
            PATIENCE
        };
        let mut connection = self.connect().await?;
        let request = self.sign(delivery)?;
        let from = watch.now();
        let outcome = match timeout(patience, connection.exchange(request)).await {
            Ok(Ok(answer)) => {
                self.connection = Some(connection);
                outcome(&answer)
            }
            _ => Outcome::None,
        };
        world.ledger().note(line, Attempt { from, to: watch.now(), outcome });
        Ok(outcome)
    }

    /// Returns the open connection, or opens a new one to the next forwarder that accepts it.
    async fn connect(&mut self) -> Fallible<Connection> {
        if let Some(connection) = self.connection.take().filter(Connection::is_open) {
            return Ok(connection);
        }
        let connect = async {
            loop {
                self.forwarder += 1;
                let address = self.world.forwarder(self.forwarder).address;
                // A refused connection sent nothing, so the next forwarder is tried, as a load balancer
                // would.
                match Connection::open(address).await {
                    Ok(connection) => return connection,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        timeout(PATIENCE, connect).await.map_err(|_| "no forwarder takes connections".into())
    }

    fn sign(&self, delivery: &Delivery) -> Fallible<Request> {
        Ok(delivery.sign(&self.world.signers(), self.world.watch.clock().now())?)
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match (answer.status, &answer.message_id) {
        (200..=299, Some(id)) => Outcome::Queued(key(&[id.as_bytes()])),
        (200..=299, None)
            if json::text(&answer.body, "status").ok().flatten().as_deref() == Some("accepted") =>
        {
            Outcome::Kept
        }
        (status, _) => Outcome::Refused(status),
    }
}
