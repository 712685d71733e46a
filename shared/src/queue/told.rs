//! A queue whose every send comes to what it is told to: for the model's tests, never for deliveries.
//!
//! It stores what it is told to store, whatever it says. It has no circuits and tries nothing again: what
//! a whole send of a client came to is decided for each call. The one that behaves as a vendor's client does is
//! [`super::memory`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Class, Queue, Receipt, SendError, Stored, Until, Vendor};
use crate::env::EnvProblem;
use crate::message::Message;

/// The queue; clones share it.
#[derive(Clone)]
pub struct ToldQueue(Arc<Inner>);

struct Inner {
    vendor: Vendor,
    messages: Mutex<Vec<Message>>,
    answer: Mutex<Decide>,
    /// Bytes of text that it takes at most, of messages that carry their bodies.
    most: usize,
}

type Decide = Box<dyn FnMut(&Message) -> Said + Send>;

/// What becomes of a send.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether the message is stored.
    pub is_stored: bool,
    /// What is said to have gone wrong; `None` for a receipt.
    pub error: Option<SendError>,
}

impl Said {
    /// A message that is stored, and said to be.
    pub const STORED: Self = Self { is_stored: true, error: None };

    /// A failure of this class, after an attempt or without one.
    pub fn failed(class: Class, is_tried: bool) -> Self {
        let error =
            SendError { class, attempts: u32::from(is_tried), ..SendError::ours("as it was told to") };
        Self { is_stored: false, error: Some(error) }
    }
}

impl ToldQueue {
    /// An empty queue that takes messages of `most` bytes, and asks `answer` about each.
    pub fn new(vendor: Vendor, most: usize, answer: impl FnMut(&Message) -> Said + Send + 'static) -> Self {
        let answer: Decide = Box::new(answer);
        Self(Arc::new(Inner { vendor, messages: Mutex::default(), answer: Mutex::new(answer), most }))
    }

    /// What it has stored, in its order.
    pub fn messages(&self) -> Vec<Message> {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ToldQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToldQueue")
    }
}

impl Queue for ToldQueue {
    fn vendor(&self) -> Vendor {
        self.0.vendor
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        if message.text.len() <= self.0.most || message.dataref().is_some() {
            return Ok(());
        }
        Err(SendError { class: Class::TooLarge, ..SendError::ours("more than the queue takes") })
    }

    async fn send(&self, message: &Message, _: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        self.takes(message)?;
        let said = (self.0.answer.lock().unwrap_or_else(PoisonError::into_inner))(message);
        let mut messages = self.0.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_stored {
            messages.push(message.clone());
        }
        if let Some(error) = said.error {
            return Err(error);
        }
        let message_id = format!("memory-{}", messages.len());
        Ok(Receipt { message_id, request_id: None, attempts: 1, _stored: Stored(()) })
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}
}
