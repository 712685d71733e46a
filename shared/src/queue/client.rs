//! Client of any vendor: a hook's deliveries can go to the queues of several vendors.

use std::time::Duration;

use super::probe::Report;
use super::{Open, Queue, Receipt, SendError, Until, Vendor, rocketmq, tdmq};
use crate::context::Context;
use crate::env::EnvProblem;
use crate::message::Message;

/// Client of one vendor's queues. Clones share all state.
#[derive(Clone)]
pub enum Client {
    /// Client of TDMQ for Pulsar.
    Tdmq(tdmq::Client),
    /// Client of DMS for RocketMQ.
    Rocketmq(rocketmq::Client),
}

impl Client {
    /// Creates a client of the vendor from the context's environment.
    pub fn new(vendor: Vendor, context: Context) -> Self {
        match vendor {
            Vendor::Tdmq => Self::Tdmq(tdmq::Client::new(context)),
            Vendor::Rocketmq => Self::Rocketmq(rocketmq::Client::new(context)),
        }
    }
}

/// Does the same with the client of whichever vendor it is.
macro_rules! each {
    ($client:expr, $one:ident => $done:expr) => {
        match $client {
            Client::Tdmq($one) => $done,
            Client::Rocketmq($one) => $done,
        }
    };
}

impl Client {
    /// Asks the vendor for what it must refuse, once for each place that the topics name; `open` stands in a
    /// topic for what a delivery fills in.
    pub async fn probe(
        &self,
        context: &Context,
        topics: &[String],
        open: &str,
        within: Duration,
    ) -> Vec<Result<Report, EnvProblem>> {
        each!(self, client => Box::pin(client.probe_all(context, topics, open, within)).await)
    }
}

impl Queue for Client {
    fn vendor(&self) -> Vendor {
        each!(self, client => client.vendor())
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        each!(self, client => client.takes(message))
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        each!(self, client => client.send(message, until).await)
    }

    fn problems(&self) -> Vec<EnvProblem> {
        each!(self, client => client.problems())
    }

    fn open(&self) -> Open {
        each!(self, client => client.open())
    }

    async fn prewarm(&self) {
        each!(self, client => client.prewarm().await);
    }
}
