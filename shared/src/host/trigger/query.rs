//! Query strings of triggers that hand over a map.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::event::Event;

/// Characters to escape: all but RFC 3986's unreserved ones.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Rebuilds the query from the event's maps. The order between different names and the sender's choice of
/// escapes are already lost in the event: a scheme that signs the URL needs a trigger with payload 2.0.
pub(super) fn rebuild(event: &Event, is_encoded: bool) -> String {
    let pairs: Vec<(&str, &str)> =
        match (&event.multi_value_query_string_parameters, &event.query_string_parameters) {
            (Some(multi), _) => multi
                .0
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
                .collect(),
            (None, single) => {
                let single = event.query_string.as_ref().or(single.as_ref());
                single.iter().flat_map(|map| &map.0).map(|(n, v)| (n.as_str(), v.as_str())).collect()
            }
        };
    let encode = |text| -> Cow<'_, str> {
        if is_encoded { Cow::Borrowed(text) } else { utf8_percent_encode(text, ENCODED).into() }
    };
    let pairs: Vec<String> = pairs.into_iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    pairs.join("&")
}
