//! Queue with a given outcome for each send, for the model's tests, never for deliveries.
//!
//! A closure decides on each call of `send`: if the message is stored, and which error is reported. Both are
//! independent. There are no circuits and no retries. [`super::memory`] has a queue that behaves like a
//! vendor's client.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Class, Queue, Receipt, SendError, StoredProof, Until, Vendor};
use crate::env::EnvProblem;
use crate::message::Message;

/// Handle of the queue. Clones share the stored messages and the closure.
#[derive(Clone)]
pub struct ToldQueue(Arc<Inner>);

struct Inner {
    vendor: Vendor,
    messages: Mutex<Vec<Message>>,
    answer: Mutex<Decide>,
    /// Upper bound on the text of a message that carries its body, in bytes.
    most: usize,
}

type Decide = Box<dyn FnMut(&Message) -> Said + Send>;

/// Outcome of a send.
#[derive(Clone, Debug)]
pub struct Said {
    /// True if the queue stores the message.
    pub is_stored: bool,
    /// Error that the send reports; `None` for a receipt.
    pub error: Option<SendError>,
}

impl Said {
    /// Outcome of a message that is stored and confirmed.
    pub const STORED: Self = Self { is_stored: true, error: None };

    /// Builds a failure of this class, after one attempt if `is_tried`, else without an attempt.
    pub fn failed(class: Class, is_tried: bool) -> Self {
        let error = SendError::new(class, "as it was told to");
        Self { is_stored: false, error: Some(SendError { attempts: u32::from(is_tried), ..error }) }
    }
}

impl ToldQueue {
    /// Creates an empty queue that takes texts of up to `most` bytes, and calls `answer` for each message.
    pub fn new(vendor: Vendor, most: usize, answer: impl FnMut(&Message) -> Said + Send + 'static) -> Self {
        let answer: Decide = Box::new(answer);
        Self(Arc::new(Inner { vendor, messages: Mutex::default(), answer: Mutex::new(answer), most }))
    }

    /// Returns the stored messages in the order of their sends.
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
        Err(SendError::new(Class::TooLarge, "more than the queue takes"))
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
        Ok(Receipt {
            message_id,
            request_id: None,
            is_uncopied: false,
            attempts: 1,
            _stored: StoredProof(()),
        })
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}
}
