//! Probe of DMS: a message to a topic that does not exist.

use std::time::Duration;

use tokio::time::Instant;

use super::{Auth, Client, SendConfig, Sending};
use crate::context::Context;
use crate::env::EnvProblem;
use crate::queue::Vendor;
use crate::queue::credentials::{Family, HUAWEI};
use crate::queue::probe::{Access, Probe, ProbeReport, absent, message};
use crate::queue::retry::{Attempt, Identity as _, Outgoing as _};
use crate::queue::rocketmq::iam;
use crate::queue::rocketmq::wire::{self, Limit};

/// Error code of a missing topic, "The topic does not exist."
const PROOF: [&str; 1] = ["DMS.00400876"];

impl Client {
    /// Asks once: every topic is in the one instance.
    pub(crate) async fn probe_all(
        &self,
        context: &Context,
        _: &[String],
        _: &str,
        within: Duration,
    ) -> Vec<Result<ProbeReport, EnvProblem>> {
        vec![self.probe(context, Instant::now() + within).await]
    }

    /// Asks DMS to send to a topic that does not exist, with a new token if a user's password is used.
    /// `context` gives the time of the signature and the randomness of the name. Fails if the environment
    /// lacks a setting.
    pub async fn probe(&self, context: &Context, deadline: Instant) -> Result<ProbeReport, EnvProblem> {
        let message = message(absent(&context.random));
        // A topic of letters, digits and hyphens and a short text pass every check.
        let properties = wire::check(&message, Limit::Text(wire::MAX_TEXT)).unwrap_or_default();
        let body = wire::body(&message, &properties);
        let sending = Sending::new(&self.0, &message, body);
        let config: SendConfig = sending.config(false, deadline).await?;
        let mut place = vec![("instance", config.instance.clone())];
        let access = match &config.auth {
            Auth::Key(credentials, project) => {
                place.push(("project", project.clone()));
                let family = Family::set_in(&self.0.env, &HUAWEI).unwrap_or(&HUAWEI[0]);
                Access::new(family.id, &credentials.id, credentials.token.is_some())
            }
            Auth::Login(login) => {
                place.push(("IAM", login.endpoint().to_string()));
                Access::new(iam::USERNAME, login.user(), true)
            }
        };
        let probe = Probe {
            vendor: Vendor::Rocketmq,
            transport: &self.0.transport,
            endpoint: config.endpoint(),
            place,
            access,
            asked: format!("POST …/messages to {}", message.topic),
            proof: &PROOF,
        };
        let exchange = async {
            let attempt = Attempt { now: context.clock.now(), deadline, fresh: false };
            sending.exchange(&config, attempt).await
        };
        Ok(probe.ask(context, deadline, exchange).await)
    }
}
