//! One run over both vendors: what the scheduled function and the command line do.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Options, RedriveError, Redriver, Summary};
use crate::config::Config;
use crate::context::Context;
use crate::metrics::Metrics;
use crate::queue::{EnvProblem, Vendor, rocketmq, tdmq};
use crate::spill::{Record, Spill};
use crate::store::{Entry, StoreError};

/// Redrives everything that the store holds; clones share it.
#[derive(Clone)]
pub struct Job(Arc<Inner>);

struct Inner {
    /// Runs of one process do not overlap: they would send twice.
    running: Mutex<()>,
    tdmq: Redriver<tdmq::Client>,
    rocketmq: Redriver<rocketmq::Client>,
    metrics: Metrics,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// What a run did, by vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// TDMQ for Pulsar.
    pub tdmq: VendorReport,
    /// RocketMQ.
    pub rocketmq: VendorReport,
}

/// One vendor's part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VendorReport {
    /// It ran, which does not mean that everything was sent.
    Done(Summary),
    /// It could not begin.
    Error(String),
}

impl Report {
    /// Whether both could run.
    pub const fn is_whole(&self) -> bool {
        matches!((&self.tdmq, &self.rocketmq), (VendorReport::Done(_), VendorReport::Done(_)))
    }
}

impl Job {
    /// What the environment names; without `SPILL_URL` there is nothing to redrive.
    pub fn new(config: Config, context: &Context) -> Result<Self, EnvProblem> {
        let spill = Spill::from_env(context)?.ok_or_else(|| EnvProblem {
            variable: "SPILL_URL",
            message: "is not set: name the store that the forwarders spill to".to_owned(),
        })?;
        let metrics = Metrics::from_env(context, []);
        let config = Arc::new(config);
        let tdmq = tdmq::Client::new(context.clone());
        let rocketmq = rocketmq::Client::new(context.clone());
        Ok(Self(Arc::new(Inner {
            running: Mutex::new(()),
            tdmq: Redriver::new(tdmq, spill.clone(), Arc::clone(&config), context.clone()),
            rocketmq: Redriver::new(rocketmq, spill, config, context.clone()),
            metrics,
        })))
    }

    /// Runs both until everything is sent or `deadline` is near; waits for a run that is under way.
    pub async fn run(&self, options: &Options, deadline: Instant) -> Report {
        let _running = self.0.running.lock().await;
        // Boxed: the whole way to a vendor's answer is a type too deep to lay out within another one.
        let (tdmq, rocketmq) = tokio::join!(
            Box::pin(self.0.tdmq.run(options, deadline)),
            Box::pin(self.0.rocketmq.run(options, deadline))
        );
        let is_all = options.is_all();
        for (vendor, done) in [(Vendor::Tdmq, &tdmq), (Vendor::Rocketmq, &rocketmq)] {
            self.0.metrics.redriven(vendor, done.as_ref().ok(), is_all);
        }
        Report { tdmq: report("tdmq", tdmq), rocketmq: report("rocketmq", rocketmq) }
    }

    /// What its runs are counted in.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What is there, oldest first of each vendor; nothing is changed.
    pub async fn list(&self, options: &Options, deadline: Instant) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.0.tdmq.list(options, deadline).await?;
        entries.extend(self.0.rocketmq.list(options, deadline).await?);
        Ok(entries)
    }

    /// Reads one of them.
    pub async fn read(&self, name: &str, deadline: Instant) -> Result<Option<Record>, StoreError> {
        self.0.tdmq.read(name, deadline).await
    }
}

fn report(vendor: &str, result: Result<Summary, RedriveError>) -> VendorReport {
    match result {
        Ok(summary) => {
            let Summary { found, sent, repeated, dead, failed, waiting, corrupt, store_errors, .. } = summary;
            tracing::info!(
                vendor,
                found,
                sent,
                repeated,
                dead,
                failed,
                waiting,
                corrupt,
                store_errors,
                left = summary.left(),
                oldest_age_s = summary.oldest_age_s,
                stopped = summary.stopped.as_deref(),
                "redrive"
            );
            VendorReport::Done(summary)
        }
        Err(error) => {
            tracing::error!(vendor, %error, "redrive");
            VendorReport::Error(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Random};
    use crate::config::{Reading, Samples};
    use crate::env::Env;
    use crate::host::InFlight;

    #[tokio::test]
    async fn every_run_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::of([("SPILL_URL", format!("file://{}", dir.path().display()))]);
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
        let job = Job::new(config, &context).unwrap();
        let run = async |options: &Options| {
            let deadline = Instant::now() + Duration::from_secs(60);
            job.run(options, deadline).await;
            job.metrics().text(InFlight::default()).unwrap()
        };
        let text = run(&Options { hook: Some("h".to_owned()), ..Options::default() }).await;
        assert!(text.contains(r#"hookmq_redrive_runs_total{vendor="tdmq",result="done"} 1"#), "{text}");
        assert!(
            !text.contains("hookmq_spill_depth"),
            "a part of the store tells nothing of its depth: {text}"
        );
        let text = run(&Options::default()).await;
        for vendor in ["tdmq", "rocketmq"] {
            for sample in [
                format!(r#"hookmq_redrive_runs_total{{vendor="{vendor}",result="done"}} 2"#),
                format!(r#"hookmq_spill_depth{{vendor="{vendor}"}} 0"#),
                format!(r#"hookmq_spill_oldest_age_seconds{{vendor="{vendor}"}} 0"#),
            ] {
                assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
            }
        }
        // Something waits, and there are no credentials to send it with.
        let deadline = Instant::now() + Duration::from_secs(60);
        let store = Spill::from_env(&context).unwrap().unwrap();
        store.store().put_new("spill/tdmq/00/11", "x".into(), deadline).await.unwrap();
        let text = run(&Options::default()).await;
        assert!(text.contains(r#"hookmq_redrive_runs_total{vendor="tdmq",result="failed"} 1"#), "{text}");
    }
}
