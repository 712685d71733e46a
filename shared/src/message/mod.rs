//! Messages: what a queue stores.

/// A message ready for a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The delivery's id: the same on every attempt and every redelivery.
    pub id: String,
    /// The topic, placeholders filled in.
    pub topic: String,
    /// The text: the CloudEvents envelope, or the body itself.
    pub text: String,
    /// A further key (RocketMQ `KEYS` beside the id), already free of blanks.
    pub key: Option<String>,
    /// RocketMQ `TAGS`.
    pub tag: Option<String>,
    /// CloudEvents attributes as message properties (`CE_id` and so on), for queues that have them.
    pub properties: Vec<(&'static str, String)>,
}
