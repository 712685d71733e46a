//! Readmission of quarantined requests, each of which was refused once and may have been authentic.

use tokio::time::Instant;

use super::verify::{Refused, Verified, Why};
use super::{CONFIG, Gateway, Inner};
use crate::outcome::Outcome;
use crate::quarantine::Refused as Quarantined;
use crate::queue::Queue;
use crate::telemetry::Line;

/// Result of another verification of a refused request.
pub(crate) enum Readmission {
    /// Authentic request that needs nothing more: its delivery is safe or ignored, or it was a handshake.
    Accepted,
    Rejected,
    /// Request that could not be verified, or an authentic one whose delivery neither a queue nor a store
    /// has.
    Unavailable,
}

impl<Q: Queue> Gateway<Q> {
    /// Verifies a quarantined request again, as of the time at which it was received, and forwards its
    /// delivery if it passes.
    pub(crate) async fn readmit(&self, quarantined: Quarantined, deadline: Instant) -> Readmission {
        let Inner { config, context, .. } = &*self.0;
        let request_id = context.random.uuid();
        let mut line = Line::new(&request_id, &self.0.metrics);
        line.hook = Some(quarantined.hook.clone());
        let sound = config.hook(&quarantined.hook).and_then(|hook| Some((hook, self.lanes(hook).ok()?)));
        let Some((hook, lanes)) = sound else {
            Why(CONFIG, "there is no sound hook of this name".to_owned()).tell(&mut line);
            line.write(Outcome::Unverified, 503);
            return Readmission::Unavailable;
        };
        let received_at = quarantined.received_at;
        let request = quarantined.into_request(request_id);
        match self.verify(hook, request, received_at, deadline, true).await {
            Ok(Verified::Delivery(delivery, source)) => {
                let (outcome, settled) =
                    self.settle((hook, &source), &lanes, &delivery, deadline, &mut line).await;
                let status = settled.as_ref().map_or_else(|problem| problem.status(), |ack| ack.status);
                line.write(outcome, status);
                settled.map_or(Readmission::Unavailable, |_| Readmission::Accepted)
            }
            Ok(Verified::Handshake(response)) => {
                line.write(Outcome::Handshake, response.status);
                Readmission::Accepted
            }
            Err(Refused::Rejected(why) | Refused::Handshake(_, why)) => {
                why.tell(&mut line);
                line.write(Outcome::Rejected, 401);
                Readmission::Rejected
            }
            Err(Refused::Unverified(why)) => {
                why.tell(&mut line);
                line.write(Outcome::Unverified, 503);
                Readmission::Unavailable
            }
            Err(Refused::Unavailable(why)) => {
                why.tell(&mut line);
                line.write(Outcome::Unavailable, 503);
                Readmission::Unavailable
            }
        }
    }
}
