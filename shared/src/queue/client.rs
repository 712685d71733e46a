//! Client of any vendor: a hook's deliveries can go to the queues of several vendors.

use std::time::Duration;

use super::probe::ProbeReport;
use super::{Open, Queue, Receipt, SendError, Until, Vendor, vendors};
use crate::context::Context;
use crate::env::EnvProblem;
use crate::message::Message;

macro_rules! declare_client {
    ([$($name:ident $folder:ident $about:literal,)+]) => {
        /// Client of one vendor's queues. Clones share all state.
        #[derive(Clone)]
        pub enum Client {
            $(#[doc = $about] $name(super::$folder::Client),)+
        }

        impl Client {
            /// Creates a client of the vendor from the context's environment.
            pub fn new(vendor: Vendor, context: Context) -> Self {
                match vendor {
                    $(Vendor::$name => Self::$name(super::$folder::Client::new(context)),)+
                }
            }
        }
    };
}
vendors!(declare_client!());

/// Does the same with the client of whichever vendor it is.
macro_rules! each {
    ($client:expr, $one:ident => $done:expr) => {
        vendors!(match_each!($client, $one => $done))
    };
}

macro_rules! match_each {
    ([$($name:ident $folder:ident $about:literal,)+] $client:expr, $one:ident => $done:expr) => {
        match $client {
            $(Client::$name($one) => $done,)+
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
    ) -> Vec<Result<ProbeReport, EnvProblem>> {
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
