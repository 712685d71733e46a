//! Probe of TDMQ: a message to a namespace that does not exist.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, SendConfig, Sending};
use crate::context::Context;
use crate::env::EnvProblem;
use crate::queue::Vendor;
use crate::queue::credentials::{Family, TENCENT};
use crate::queue::probe::{Access, Probe, ProbeReport, ProbeVerdict, absent, message};
use crate::queue::retry::{Attempt, Identity as _, Outgoing as _};
use crate::queue::tdmq::error::advice;

/// Error codes of a missing topic or namespace, in the terms of the API and of the product; also the code of
/// a producer that could not be created for it, which the broker's client reports.
const PROOF: [&str; 8] = [
    "FailedOperation.CreateProducerError",
    "FailedOperation.TopicTypeError",
    "InvalidParameterValue.TopicNotFound",
    "ResourceNotFound.Environment",
    "ResourceNotFound.Namespace",
    "ResourceNotFound.Namspace", // sic
    "ResourceNotFound.Topic",
    "ResourceNotFound.Topics",
];

impl Client {
    /// Asks for each cluster of the topics. If a delivery names the cluster, a cluster that does not exist is
    /// asked for: the answer proves the key all the same.
    pub(crate) async fn probe_all(
        &self,
        context: &Context,
        topics: &[String],
        open: &str,
        within: Duration,
    ) -> Vec<Result<ProbeReport, EnvProblem>> {
        let mut reports = Vec::new();
        for cluster in clusters(topics, open) {
            reports.push(self.probe(context, &cluster, Instant::now() + within).await);
        }
        reports
    }

    /// Asks Tencent Cloud to send to a namespace of `cluster` that does not exist. `context` gives the time
    /// of the signature and the randomness of the name. Fails if the environment lacks a setting.
    pub async fn probe(
        &self,
        context: &Context,
        cluster: &str,
        deadline: Instant,
    ) -> Result<ProbeReport, EnvProblem> {
        let message = message(format!("{cluster}/{}/none", absent(&context.random)));
        let sending = Sending { client: &self.0, message: &message };
        let config: SendConfig = sending.config(false, deadline).await?;
        let variable = Family::set_in(&self.0.env, &TENCENT).map_or(TENCENT[0].id, |family| family.id);
        let credentials = &config.credentials;
        let probe = Probe {
            vendor: Vendor::Tdmq,
            transport: &self.0.transport,
            endpoint: config.endpoint(),
            place: vec![("region", config.region.clone())],
            access: Access::new(variable, &credentials.id, credentials.token.is_some()),
            asked: format!("SendMessages to {}", message.topic),
            proof: &PROOF,
        };
        let exchange = async {
            let attempt = Attempt { now: context.clock.now(), deadline, fresh: false };
            sending.exchange(&config, attempt).await
        };
        let mut report = probe.ask(context, deadline, exchange).await;
        if let (ProbeVerdict::Good, Err(failure)) = (report.verdict, &mut report.answer) {
            // The advice only makes sense for a topic that should exist.
            let advice = advice(failure.code.as_deref().unwrap_or_default());
            let text = failure.detail.strip_prefix(advice).and_then(|rest| rest.strip_prefix(": "));
            failure.detail = text.unwrap_or(&failure.detail).to_owned();
        }
        Ok(report)
    }
}

/// Returns the clusters of topics; `open` stands for what a delivery fills in.
fn clusters(topics: &[String], open: &str) -> BTreeSet<String> {
    let cluster = |topic: &String| {
        let path = topic.split_once("://").map_or(topic.as_str(), |(_, path)| path);
        path.split('/').next().filter(|cluster| !cluster.contains(open)).map(str::to_owned)
    };
    topics.iter().map(|topic| cluster(topic).unwrap_or_else(|| "hookmq-check".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_asked_once_each() {
        let topics =
            ["a/n/x", "persistent://a/n/y", "non-persistent://b/n/{}", "\u{0}/n/x"].map(String::from);
        assert_eq!(clusters(&topics, "\u{0}"), ["a", "b", "hookmq-check"].map(String::from).into());
    }
}
