//! Classification of the result codes of brokers, name servers and proxies.
//!
//! The codes are those of `ResponseCode` and `RemotingSysResponseCode`; what each one means for a message was
//! read in the source of Apache RocketMQ 4.8 and 5.3 (`SendMessageProcessor`, `AbstractSendMessageProcessor`,
//! `BrokerFastFailure`, `NettyRemotingAbstract`, `AbstractRemotingActivity`). Access control answers with code
//! 1 in 4.x and 16 in 5.x, and only the text beside the code tells what it is about.
//!
//! | Code | Class | Stored | Reason |
//! |---|---|---|---|
//! | 1 `SYSTEM_ERROR` | by its text, else `transient` | perhaps | any exception, and access control in 4.x |
//! | 2 `SYSTEM_BUSY` | `throttle` | no | refused before the store, or removed from the waiting queue |
//! | 3 `REQUEST_CODE_NOT_SUPPORTED` | `config` | no | the address is not a broker's |
//! | 10 `FLUSH_DISK_TIMEOUT`, 12 `FLUSH_SLAVE_TIMEOUT` | `ambiguous` | yes, but late | the message is in memory |
//! | 11 `SLAVE_NOT_AVAILABLE` | `ambiguous` where copies are asked for | yes | stored without a copy |
//! | 13 `MESSAGE_ILLEGAL` | by its text, else `permanent` | no | a size; a type that the topic does not take (`config`), or that a proxy could not look up (`transient`) |
//! | 14 `SERVICE_NOT_AVAILABLE` | `throttle` | no | full disk, slave, or shutdown |
//! | 15 `VERSION_NOT_SUPPORTED` | `config` | no | the address is a proxy's that wants other fields |
//! | 16 `NO_PERMISSION` | `auth` by its text, else `permission` | no | access control, or a queue without writing |
//! | 17 `TOPIC_NOT_EXIST` | `config` | no | |
//! | 29 `INVALID_PARAMETER` | `transient` for a queue, else `config` | no | the topic has fewer queues now |
//! | 204, 205 | `config` | no | units of other regions |
//! | 215 `FLOW_CONTROL` | `throttle` | no | |
//! | 501 `NOT_LEADER_FOR_QUEUE`, 1500 `GO_AWAY` | `transient` | no | another broker or connection takes it |
//! | -1006 `RPC_TIME_OUT` | `ambiguous` | perhaps | a proxy waited in vain |
//! | any other | `transient` | perhaps | |

use crate::queue::Class;

/// Result codes that the producer treats apart.
pub(super) const STORED: i32 = 0;
pub(super) const FLUSH_DISK_TIMEOUT: i32 = 10;
pub(super) const SLAVE_NOT_AVAILABLE: i32 = 11;
pub(super) const FLUSH_SLAVE_TIMEOUT: i32 = 12;
pub(super) const TOPIC_NOT_EXIST: i32 = 17;

const RPC_TIME_OUT: i32 = -1006;

/// Meaning of a result code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) class: Class,
    /// True if the message may be stored.
    pub(super) maybe_stored: bool,
    /// True if the answer would be the same for every message.
    pub(super) is_wide: bool,
    /// True if the route that was used may be out of date.
    pub(super) is_stale: bool,
}

/// Classifies a result code other than success, with its text.
pub(super) fn classify(code: i32, remark: &str) -> Kind {
    // What follows is a stack trace, whose classes have names such as `PlainPermissionManager`.
    let text = unnamed(&first_line(remark).to_ascii_lowercase());
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = |class| Kind { class, maybe_stored: false, is_wide: false, is_stale: false };
    // Neither message of the store mentions any of these words.
    let is_login = has(&["signature", "accesskey", "acl config", "authentic", "username", "user:"]);
    match code {
        1 | 29 if has(&["queueid[", "not the master", "no master"]) => {
            Kind { is_stale: true, ..kind(Class::Transient) }
        }
        1 | 16 if is_login && !has(&["permission"]) => kind(Class::Auth),
        1 if has(&["permission", "denied", "forbidden"]) => kind(Class::Permission),
        2 | 14 | 215 => kind(Class::Throttle),
        3 | 15 => Kind { is_wide: true, is_stale: true, ..kind(Class::Config) },
        FLUSH_DISK_TIMEOUT | SLAVE_NOT_AVAILABLE | FLUSH_SLAVE_TIMEOUT | RPC_TIME_OUT => {
            Kind { maybe_stored: true, ..kind(Class::Ambiguous) }
        }
        13 if has(&["length limit", "size"]) => kind(Class::TooLarge),
        // A proxy that cannot look the topic's type up takes it for this one, which no message has.
        13 if has(&["unspecified"]) => kind(Class::Transient),
        13 if has(&["type"]) => kind(Class::Config),
        13 => kind(Class::Permanent),
        16 => Kind { is_stale: true, ..kind(Class::Permission) },
        TOPIC_NOT_EXIST => Kind { is_stale: true, ..kind(Class::Config) },
        29 | 204 | 205 => kind(Class::Config),
        501 | 1500 => Kind { is_stale: true, ..kind(Class::Transient) },
        _ => Kind { maybe_stored: true, ..kind(Class::Transient) },
    }
}

/// Returns a text without what is in brackets: names of topics, which may be any words.
fn unnamed(text: &str) -> String {
    let mut parts = text.split('[');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('[');
        out.push_str(part.split_once(']').map_or("", |(_, rest)| rest));
    }
    out
}

/// Returns the first line of a text, without the class of a Java exception before it: brokers append stack
/// traces and addresses of manuals.
pub(super) fn first_line(remark: &str) -> &str {
    let line = remark.trim().lines().next().unwrap_or_default().trim();
    let line = line.split_once(", org.apache.").map_or(line, |(line, _)| line);
    let line = line.split_once("DESC: ").map_or(line, |(_, line)| line);
    match line.split_once(": ") {
        Some((class, line)) if class.starts_with("org.apache.") && !class.contains(' ') => line,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_their_classes() {
        use Class::{Ambiguous, Auth, Config, Permanent, Permission, Throttle, TooLarge, Transient};
        for (code, remark, class, maybe_stored) in [
            (
                1,
                "org.apache.rocketmq.acl.common.AclException: Check signature failed for accessKey=x, org.apache.rocketmq.acl.plain.PlainPermissionManager.validate(PlainPermissionManager.java:330)",
                Auth,
                false,
            ),
            (1, "No accessKey is configured", Auth, false),
            (1, "No acl config for x", Auth, false),
            (1, "Need admin permission for request code=17, but …", Permission, false),
            (1, "No default permission for t", Permission, false),
            (1, "request queueId[9] is illegal, TopicConfig …", Transient, false),
            (
                1,
                "request queueId[9] is illegal, TopicConfig [topicName=authentic-users, perm=RW-]",
                Transient,
                false,
            ),
            (1, "UNKNOWN_ERROR", Transient, true),
            (1, "the topic[signature-events] was not stored", Transient, true),
            (16, "the topic[authentic-users] sending message is forbidden", Permission, false),
            (2, "[REJECTREQUEST]system busy, start flow control for a while", Throttle, false),
            (3, " request type 310 not supported", Config, false),
            (10, "", Ambiguous, true),
            (11, "", Ambiguous, true),
            (12, "", Ambiguous, true),
            (13, "the message is illegal, … msg body length limit 4194304B", TooLarge, false),
            (
                13,
                "TopicMessageType validate failed, the expected type is FIFO, but actual type is NORMAL",
                Config,
                false,
            ),
            (
                13,
                "TopicMessageType validate failed, the expected type is UNSPECIFIED, but actual type is NORMAL",
                Transient,
                false,
            ),
            (13, "the message is illegal", Permanent, false),
            (14, "the broker's disk is full", Throttle, false),
            (15, "Request doesn't have field bname", Config, false),
            (16, "the topic[t] sending message is forbidden", Permission, false),
            (16, "check signature failed.", Auth, false),
            (16, "User:x is not found.", Auth, false),
            (16, "User:x has no permission to access Topic:t", Permission, false),
            (17, "topic[t] not exist, apply first please!", Config, false),
            (29, "request queueId[9] is illegal", Transient, false),
            (29, "The specified topic is blank.", Config, false),
            (215, "", Throttle, false),
            (501, "", Transient, false),
            (1500, "please go away", Transient, false),
            (-1006, "", Ambiguous, true),
            (-1004, "", Transient, true),
            (4711, "", Transient, true),
        ] {
            let kind = classify(code, remark);
            assert_eq!((kind.class, kind.maybe_stored), (class, maybe_stored), "{code} {remark}");
        }
    }

    #[test]
    fn a_stack_trace_is_cut() {
        let trace = "org.apache.rocketmq.acl.common.AclException: No accessKey is configured, org.apache.rocketmq.acl.plain.PlainAccessValidator.parse(PlainAccessValidator.java:1)\n\tat x";
        assert_eq!(first_line(trace), "No accessKey is configured");
        assert_eq!(first_line("CODE: 17  DESC: no topic\nFor more information, visit x"), "no topic");
        assert_eq!(first_line(""), "");
    }
}
