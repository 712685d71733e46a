//! Readmission of quarantined requests, each of which was refused once and may have been authentic.

use tokio::time::Instant;

use super::verify::VerifiedRequest;
use super::{CONFIG, Gateway, Inner, RETRY_AFTER_REPAIR, unverified};
use crate::outcome::{Ending, Outcome, Why};
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
        let mut line = Line::new(&request_id, None, &self.0.metrics);
        line.of_hook(Some(&quarantined.hook));
        let sound = config.hook(&quarantined.hook).and_then(|hook| Some((hook, self.lanes(hook).ok()?)));
        let Some((hook, lanes)) = sound else {
            let why = Why::new(CONFIG, "there is no valid hook of this name");
            line.write(&unverified(why, RETRY_AFTER_REPAIR));
            return Readmission::Unavailable;
        };
        let received_at = quarantined.received_at;
        let request = quarantined.into_request(request_id.clone());
        let verified = self.verify(hook, request, received_at, deadline, true).await;
        let ending = match verified {
            Ok(VerifiedRequest::Delivery(delivery, source)) => {
                line.verified(Some(&delivery));
                self.settle((hook, &source), &lanes, &delivery, &request_id, deadline).await
            }
            Ok(VerifiedRequest::Handshake(response)) => Ending::answered(Outcome::Handshake, response),
            Err(refused) => refused.ending(hook),
        };
        line.write(&ending);
        match (&ending.answer, ending.outcome) {
            (Ok(_), _) => Readmission::Accepted,
            (Err(_), Outcome::Rejected) => Readmission::Rejected,
            (Err(_), _) => Readmission::Unavailable,
        }
    }
}
