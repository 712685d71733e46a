//! Properties of a message, sent as `property_list` beside its text.
//!
//! The broker stores properties as one string, `name \u{1} value \u{2} name …`, so a control character in a
//! value would make a property of its own (`DELAY`, `TRAN_MSG`), and blanks in `KEYS` make several keys.

use serde::Serialize;

use crate::message::Message;
use crate::queue::Class;
use crate::queue::failure::Failure;

/// Upper bound on a value, in bytes (DMS, "Constraints": any attribute).
const MAX_VALUE: usize = 16 * 1024;

/// Upper bound on the encoded string of all properties, in bytes: the broker counts it in a signed 16-bit
/// number.
pub(super) const MAX_ALL: usize = 32_767;

/// Name and value of a property.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::queue) struct Property<'a> {
    name: &'a str,
    value: String,
}

impl Property<'_> {
    /// Appends the encoded form to `all`, as the broker stores it.
    pub(super) fn encode(&self, all: &mut String) {
        for part in [self.name, "\u{1}", &self.value, "\u{2}"] {
            all.push_str(part);
        }
    }

    /// Returns the size of its encoded form in bytes, with both separators.
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.len() + 2
    }
}

/// Builds the message's properties: its keys, its tag, and its attributes. The broker drops properties
/// without a value, so they are left out. Too many or too long properties fail as [`Class::Permanent`], not
/// as too large: a message with a reference to its body would have the same ones.
pub(super) fn properties(message: &Message) -> Result<Vec<Property<'_>>, Failure> {
    let refuse = |name: &str, why: &str| Failure::new(Class::Permanent, format!("property {name} {why}"));
    let mut list = Vec::new();
    let mut add = |name, value: String| {
        if value.len() > MAX_VALUE {
            return Err(refuse(name, &format!("is over {MAX_VALUE} bytes")));
        }
        if value.contains(char::is_control) {
            return Err(refuse(name, "has control characters"));
        }
        if !value.is_empty() {
            list.push(Property { name, value });
        }
        Ok(())
    };
    let is_set = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());

    let mut keys = message.id.clone();
    if let Some(key) = is_set(&message.key) {
        if key.contains(char::is_whitespace) {
            return Err(refuse("KEYS", "would be several keys: its key has blanks"));
        }
        keys = format!("{keys} {key}");
    }
    add("KEYS", keys)?;
    if let Some(tag) = is_set(&message.tag) {
        if tag.contains(|c: char| c.is_whitespace() || c == '|') {
            return Err(refuse("TAGS", "has blanks or bars"));
        }
        add("TAGS", tag)?;
    }
    for (name, value) in &message.properties {
        if !is_free(name) {
            return Err(refuse(name, "has a name of RocketMQ's own"));
        }
        add(name, value.clone())?;
    }

    let all: usize = list.iter().map(Property::size).sum();
    if all > MAX_ALL {
        return Err(Failure::new(
            Class::Permanent,
            format!("the properties have {all} bytes, over {MAX_ALL}"),
        ));
    }
    Ok(list)
}

/// Returns true if a property may have this name. RocketMQ's own names have no lower-case letters, or begin
/// with two underscores.
fn is_free(name: &str) -> bool {
    !name.starts_with("__")
        && name.contains(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: Option<&str>, tag: Option<&str>, properties: &[(&'static str, &str)]) -> Message {
        Message {
            id: "evt_1".into(),
            topic: "t".into(),
            text: "x".into(),
            key: key.map(str::to_owned),
            tag: tag.map(str::to_owned),
            properties: properties.iter().map(|(n, v)| ((*n).into(), (*v).to_owned())).collect(),
        }
    }

    fn class(key: Option<&str>, tag: Option<&str>, properties: &[(&'static str, &str)]) -> Option<Class> {
        super::properties(&message(key, tag, properties)).err().map(|f| f.class)
    }

    #[test]
    fn the_delivery_id_is_the_first_key() {
        let message = message(Some("order-7"), Some("push"), &[("CE_id", "evt_1"), ("CE_subject", "")]);
        let list = properties(&message).unwrap();
        let list: Vec<_> = list.iter().map(|p| (p.name, p.value.as_str())).collect();
        assert_eq!(list, [("KEYS", "evt_1 order-7"), ("TAGS", "push"), ("CE_id", "evt_1")]);
    }

    #[test]
    fn what_would_become_protocol_is_refused() {
        for value in ["a\u{2}DELAY\u{1}3", "a\nb", "\u{7f}", "a\u{85}"] {
            assert_eq!(class(Some(value), None, &[]), Some(Class::Permanent), "{value:?}");
            assert_eq!(class(None, Some(value), &[]), Some(Class::Permanent), "{value:?}");
            assert_eq!(class(None, None, &[("CE_subject", value)]), Some(Class::Permanent), "{value:?}");
        }
        assert_eq!(class(Some("a b"), None, &[]), Some(Class::Permanent));
        assert_eq!(class(None, Some("a||b"), &[]), Some(Class::Permanent));
        assert_eq!(class(Some(""), Some(""), &[]), None);
    }

    #[test]
    fn sizes_are_bounded_alone_and_together() {
        let value = |len: usize| "x".repeat(len);
        let class = |list: &[(&'static str, &str)]| class(None, None, list);
        assert_eq!(class(&[("a", &value(MAX_VALUE))]), None);
        assert_eq!(class(&[("a", &value(MAX_VALUE + 1))]), Some(Class::Permanent));
        let used = "KEYS".len() + "evt_1".len() + 2;
        let rest = MAX_ALL - used - MAX_VALUE - 6;
        assert_eq!(class(&[("a", &value(MAX_VALUE)), ("b", &value(rest))]), None);
        assert_eq!(class(&[("a", &value(MAX_VALUE)), ("b", &value(rest + 1))]), Some(Class::Permanent));
    }

    #[test]
    fn reserved_names_are_refused() {
        // `MessageConst.STRING_HASH_SET` of Apache RocketMQ, and further special names.
        let reserved = "TRACE_ON MSG_REGION KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP \
            MIN_OFFSET MAX_OFFSET BUYER_ID ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME \
            UNIQ_KEY MAX_RECONSUME_TIMES CONSUME_START_TIME POP_CK POP_CK_OFFSET 1ST_POP_TIME \
            TRAN_PREPARED_QUEUE_OFFSET DUP_INFO EXTEND_UNIQ_INFO INSTANCE_ID CORRELATION_ID REPLY_TO_CLIENT TTL \
            ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE INNER_MULTI_QUEUE_OFFSET TIMER_DELAY_MS TIMER_DELAY_SEC \
            TIMER_DELIVER_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_ROLL_TIMES TIMER_OUT_MS TIMER_DEL_UNIQKEY \
            TIMER_DELAY_LEVEL __BORNHOST BORN_TIMESTAMP DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID __CRC32# \
            __SHARDINGKEY INNER_MULTI_DISPATCH REDIRECT TRACE_CONTEXT PROPERTY_FORWARD_QUEUE_ID \
            CHECK_IMMUNITY_TIME_IN_SECONDS __transactionId__ TRANSACTION_CHECK_TIMES __STARTDELIVERTIME \
            __RMQ.TRANSIENT.x";
        for name in reserved.split_whitespace() {
            assert!(!is_free(name), "{name}");
        }
        for name in ["CE_id", "CE_datacontenttype", "webhook_id"] {
            assert!(is_free(name), "{name}");
        }
        assert!(!is_free("") && !is_free("a\u{1}b"));
    }
}
