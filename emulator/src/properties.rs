//! Message properties as RocketMQ's broker stores them and a consumer decodes them
//! (`MessageDecoder`, `SendMessageProcessor` of Apache RocketMQ).

use std::collections::BTreeMap;

const NAME_END: char = '\u{1}';
const PROPERTY_END: char = '\u{2}';
/// Upper bound on all properties together, in bytes: Java's `Short.MAX_VALUE`.
const MAX_TOTAL: usize = 32_767;
/// Upper bound on a property's name, and on its value, in bytes.
const MAX_ONE: usize = 16 << 10;

/// Decodes these names and values as a consumer does. The separators are ordinary characters to the sender: a
/// value that contains them is split here, as at the broker. `Err` names the limit that was exceeded.
pub(crate) fn as_consumed(sent: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
    let mut stored = String::new();
    for (name, value) in sent {
        if name.len() > MAX_ONE || value.len() > MAX_ONE {
            return Err(format!("an attribute exceeds {MAX_ONE} bytes"));
        }
        stored.extend([*name, NAME_END.encode_utf8(&mut [0]), *value, PROPERTY_END.encode_utf8(&mut [0])]);
    }
    if stored.len() > MAX_TOTAL {
        return Err(format!("the properties exceed {MAX_TOTAL} bytes"));
    }
    // A property without a name or without a value is dropped; of two with the same name the last is kept.
    Ok(stored
        .split(PROPERTY_END)
        .filter_map(|property| property.split_once(NAME_END))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn consumed(sent: &[(&str, &str)]) -> Vec<(String, String)> {
        as_consumed(sent).unwrap().into_iter().collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn separators_in_a_value_split_and_inject() {
        assert_eq!(consumed(&[("a", "1\u{2}DELAY\u{1}3")]), pairs(&[("DELAY", "3"), ("a", "1")]));
        assert_eq!(consumed(&[("a", "1\u{1}2")]), pairs(&[("a", "1\u{1}2")]));
        assert_eq!(consumed(&[("a\u{1}b", "1")]), pairs(&[("a", "b\u{1}1")]));
        assert_eq!(consumed(&[("a", "1\u{2}lost")]), pairs(&[("a", "1")]));
    }

    #[test]
    fn empty_parts_vanish_and_the_last_of_a_name_stays() {
        assert_eq!(consumed(&[("a", ""), ("", "1"), ("b", "1"), ("b", "2")]), pairs(&[("b", "2")]));
        assert_eq!(consumed(&[("b", "1"), ("b", "")]), pairs(&[("b", "1")]), "the empty one never was");
    }

    #[test]
    fn both_limits_hold_to_the_byte() {
        let (most, more) = ("x".repeat(MAX_ONE), "x".repeat(MAX_ONE + 1));
        assert!(as_consumed(&[("a", &most)]).is_ok());
        assert!(as_consumed(&[("a", &more)]).is_err());
        assert!(as_consumed(&[(&more, "a")]).is_err());
        let rest = "x".repeat(MAX_TOTAL - MAX_ONE - 6);
        assert!(as_consumed(&[("a", &most), ("b", &rest)]).is_ok());
        assert!(as_consumed(&[("a", &most), ("bb", &rest)]).is_err());
    }

    proptest! {
        #[test]
        fn what_has_no_separator_arrives_as_sent(
            sent in prop::collection::btree_map("[^\u{1}\u{2}]{1,20}", "[^\u{1}\u{2}]{1,20}", 0..20)
        ) {
            let list: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            prop_assert_eq!(as_consumed(&list).unwrap(), sent);
        }
    }
}
