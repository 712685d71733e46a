//! Client of any vendor: a hook's deliveries can go to the queues of several vendors.

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

impl Queue for Client {
    fn vendor(&self) -> Vendor {
        match self {
            Self::Tdmq(client) => client.vendor(),
            Self::Rocketmq(client) => client.vendor(),
        }
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        match self {
            Self::Tdmq(client) => client.takes(message),
            Self::Rocketmq(client) => client.takes(message),
        }
    }

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        match self {
            Self::Tdmq(client) => client.send(message, until).await,
            Self::Rocketmq(client) => client.send(message, until).await,
        }
    }

    fn problems(&self) -> Vec<EnvProblem> {
        match self {
            Self::Tdmq(client) => client.problems(),
            Self::Rocketmq(client) => client.problems(),
        }
    }

    fn open(&self) -> Open {
        match self {
            Self::Tdmq(client) => client.open(),
            Self::Rocketmq(client) => client.open(),
        }
    }

    async fn prewarm(&self) {
        match self {
            Self::Tdmq(client) => client.prewarm().await,
            Self::Rocketmq(client) => client.prewarm().await,
        }
    }
}
