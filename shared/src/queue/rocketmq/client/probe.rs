//! Probe of DMS: a message to a topic that does not exist.

use std::time::Duration;

use tokio::time::Instant;

use super::{Auth, Client, SendConfig, Sending};
use crate::context::Context;
use crate::env::EnvProblem;
use crate::queue::credentials::{Family, HUAWEI};
use crate::queue::failure::Failure;
use crate::queue::probe::{Access, Probe, ProbeReport, ProbeRoute, ProbeVerdict, absent, message};
use crate::queue::retry::{Attempt, Identity as _, Outgoing as _};
use crate::queue::rocketmq::iam;
use crate::queue::rocketmq::wire::{self, Limit};
use crate::queue::{Class, Vendor, remoting};

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
        let deadline = Instant::now() + within;
        vec![if remoting::is_chosen(&self.0.env) {
            self.probe_natively(context, deadline).await
        } else {
            self.probe(context, deadline).await
        }]
    }

    /// Asks a name server for the route of a topic that does not exist. It sends nothing, since a broker may
    /// create the topics that it is sent, and so it proves neither access key nor permission.
    async fn probe_natively(&self, context: &Context, deadline: Instant) -> Result<ProbeReport, EnvProblem> {
        let message = message(absent(&context.random));
        let sending = self
            .0
            .natively(&message)
            .map_err(|error| EnvProblem { variable: remoting::NAME_SERVER, message: error.detail.clone() })?;
        let config = sending.config(false, deadline).await?;
        let attempt = Attempt { now: context.clock.now(), deadline, fresh: true };
        let begun = Instant::now();
        let asked = sending.ask(&config, attempt).await;
        let failure = asked.err().unwrap_or_else(|| Failure::new(Class::Config, "the topic exists"));
        let (is_absent, is_passing) =
            (failure.code.as_deref() == Some("17"), failure.class == Class::Transient);
        Ok(ProbeReport {
            vendor: Vendor::Rocketmq,
            endpoint: config.endpoint().to_string(),
            place: Vec::new(),
            access: Access::new(remoting::ACCESS_KEY, "", false),
            asked: format!("GET_ROUTEINFO_BY_TOPIC for {}", message.topic),
            route: ProbeRoute::default(),
            took: begun.elapsed(),
            status: None,
            clock_offset: None,
            verdict: match (is_absent, is_passing) {
                (true, _) => ProbeVerdict::Good,
                (_, true) => ProbeVerdict::Unknown,
                _ => ProbeVerdict::Refused,
            },
            answer: Err(failure),
        })
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
