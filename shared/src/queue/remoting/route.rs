//! Route of a topic: the brokers that have it, and their queues that can be written.

use std::borrow::Cow;

use crate::json;
use crate::sort::sort;

/// Upper bound on the brokers of a route that are used, and on the queues of each.
const MAX_BROKERS: usize = 64;
const MAX_QUEUES: u32 = 1024;

/// Upper bounds on the entries of a route that are read, and on a name or an address in bytes.
const MAX_ENTRIES: usize = 256;
const MAX_NAME: usize = 255;

/// Bit of a queue's permission that allows to write.
const WRITE: u32 = 2;

/// Queues of a topic that can be written, by broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRoute {
    /// Brokers in the order of their names.
    pub brokers: Vec<TopicBroker>,
    /// True if a broker was left out because it has no master.
    pub lacks_master: bool,
}

/// Master broker with its queues of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicBroker {
    /// Name of the broker, which a proxy needs in each send.
    pub name: String,
    /// Address as `host:port`.
    pub address: String,
    /// Number of queues that can be written, at least one.
    pub queues: u32,
}

impl TopicRoute {
    /// Parses the body of an answer; `None` if it is not a route. Slaves, and queues that cannot be written, are
    /// left out.
    #[inline(never)]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body = with_names(std::str::from_utf8(body).ok()?);
        let items = |path| json::items(body.as_bytes(), path).ok().flatten();
        let (datas, queues) = (items("brokerDatas")?, items("queueDatas")?);
        let mut addresses = Vec::new();
        for data in datas.into_iter().take(MAX_ENTRIES) {
            addresses.push((text(data, "brokerName"), text(data, "brokerAddrs.0")));
        }
        let (mut brokers, mut lacks_master) = (Vec::new(), false);
        for item in queues.into_iter().take(MAX_ENTRIES) {
            let number = |path| text(item, path).and_then(|number| number.parse::<u32>().ok());
            let (name, perm, queues) =
                (text(item, "brokerName")?, number("perm")?, number("writeQueueNums")?);
            if perm & WRITE == 0 || queues == 0 || !is_name(&name) {
                continue;
            }
            let known = addresses.iter().find(|(known, _)| known.as_ref() == Some(&name));
            let address = known.and_then(|(_, address)| address.as_deref()).filter(|text| is_name(text));
            let Some(address) = address else {
                lacks_master = true;
                continue;
            };
            if brokers.len() < MAX_BROKERS {
                let (queues, address) = (queues.min(MAX_QUEUES), address.to_owned());
                brokers.push(TopicBroker { name: name.into_owned(), address, queues });
            }
        }
        sort(&mut brokers);
        Some(Self { brokers, lacks_master })
    }

    /// Returns the number of all queues.
    pub fn queues(&self) -> u32 {
        self.brokers.iter().map(|broker| broker.queues).sum()
    }

    /// Returns the queue with this number, counted through all brokers, and its number at its broker.
    pub fn queue(&self, mut number: u32) -> Option<(&TopicBroker, u32)> {
        for broker in &self.brokers {
            if number < broker.queues {
                return Some((broker, number));
            }
            number -= broker.queues;
        }
        None
    }
}

/// Returns true for a text that may be a broker's name or address, which go into requests and logs.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control)
}

fn text<'a>(item: &'a [u8], path: &str) -> Option<Cow<'a, str>> {
    json::text(item, path).ok().flatten()
}

/// Returns the number of the queue for a key: the hash of Java's `String`, as the official client's
/// `SelectMessageQueueByHash` takes it for the same key.
pub fn queue_of(key: &str, queues: u32) -> u32 {
    let hash =
        key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.unsigned_abs() % queues.max(1)
}

/// Quotes the names of members that are bare numbers: brokers up to 4.9 write `{0:"host:port"}`, and name servers do so
/// in lists of brokers.
pub fn with_names(text: &str) -> Cow<'_, str> {
    let (mut quoted, mut from) = (String::new(), 0);
    let (mut is_text, mut is_escaped, mut before) = (false, false, b' ');
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = *byte == b'\\' && !is_escaped;
        } else if *byte == b'"' {
            is_text = true;
        } else if byte.is_ascii_digit() && matches!(before, b'{' | b',') {
            let rest = bytes.get(at..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if rest.get(digits) == Some(&b':') {
                let (head, number) = (text.get(from..at), text.get(at..at + digits));
                quoted.push_str(head.unwrap_or_default());
                quoted.push('"');
                quoted.push_str(number.unwrap_or_default());
                quoted.push('"');
                from = at + digits;
            }
        }
        before = *byte;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    quoted.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKERS: &str = r#"{"brokerDatas":[
        {"brokerAddrs":{0:"10.0.0.2:10911",1:"10.0.0.3:10911"},"brokerName":"b","cluster":"c,1:{2:"},
        {"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"a"},
        {"brokerAddrs":{"1":"10.0.0.9:10911"},"brokerName":"slave-only"},
        {"brokerAddrs":{"0":"10.0.0.4:10911"},"brokerName":"read-only"}],"filterServerTable":{},"queueDatas":["#;

    fn route(queues: &str) -> Option<TopicRoute> {
        TopicRoute::parse(format!("{BROKERS}{queues}]}}").as_bytes())
    }

    fn queue(name: &str, perm: u32, queues: u32) -> String {
        format!(r#"{{"brokerName":"{name}","perm":{perm},"readQueueNums":9,"writeQueueNums":{queues}}}"#)
    }

    #[test]
    fn masters_with_queues_that_can_be_written_are_kept() {
        let all = [queue("b", 6, 2), queue("a", 2, 1), queue("slave-only", 6, 4), queue("read-only", 4, 4)];
        let route = route(&[all.join(","), queue("absent", 6, 1), queue("a", 6, 0)].join(",")).unwrap();
        let broker = |name: &str, address: &str, queues| TopicBroker {
            name: name.to_owned(),
            address: address.to_owned(),
            queues,
        };
        assert_eq!(route.brokers, [broker("a", "10.0.0.1:10911", 1), broker("b", "10.0.0.2:10911", 2)]);
        let at = |number| route.queue(number).map(|(broker, queue)| (broker.name.as_str(), queue));
        assert_eq!([at(0), at(1), at(2), at(3)], [Some(("a", 0)), Some(("b", 0)), Some(("b", 1)), None]);
    }

    #[test]
    fn what_is_not_a_route_is_none() {
        for wrong in ["", "{}", "[]", r#"{"brokerDatas":[],"queueDatas":[{}]}"#, "\u{feff}", "{0:1}"] {
            assert_eq!(TopicRoute::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(TopicRoute::parse(b"\xff"), None);
        assert_eq!(
            TopicRoute::parse(br#"{"brokerDatas":[],"queueDatas":[]}"#).map(|route| route.queues()),
            Some(0)
        );
        let many = (0..500).map(|_| queue("a", 6, u32::MAX)).collect::<Vec<_>>().join(",");
        assert_eq!(route(&many).map(|route| route.queues()), Some(64 * 1024));
    }

    #[test]
    fn a_key_has_the_queue_that_javas_client_takes() {
        // Java's `Math.abs(key.hashCode()) % 1024`.
        for (key, queue) in [("order-7", 648), ("Zürich😀", 417), ("polygenelubricants", 0), ("", 0)] {
            assert_eq!(queue_of(key, 1024), queue, "{key}");
        }
        assert_eq!(
            (queue_of("a", 4), queue_of("Aa", 1024), queue_of("BB", 1024)),
            (1, 2112 % 1024, 2112 % 1024)
        );
        assert_eq!(queue_of("polygenelubricants", 1000), 648, "the hash is -2147483648");
    }

    #[test]
    fn a_bare_number_is_a_name() {
        let list = r#"{"a":{"brokerAddrs":{0:"h:1",12:"{0:\",3:"},"n":[1,2]},"0":5}"#;
        let read: serde_json::Value = serde_json::from_str(&with_names(list)).unwrap();
        let addresses = serde_json::json!({ "0": "h:1", "12": "{0:\",3:" });
        assert_eq!(read, serde_json::json!({ "a": { "brokerAddrs": addresses, "n": [1, 2] }, "0": 5 }));
    }
}
