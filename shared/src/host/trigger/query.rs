//! Query strings of triggers that hand over a map.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::event::Json;
use super::mend::plain;

/// Characters to escape: all but RFC 3986's unreserved ones.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Rebuilds the query from the event's map, and returns true beside it if all of it could be read. The order
/// between different names and the sender's choice of escapes are already lost in the event: a scheme that
/// signs the URL needs a trigger with payload 2.0. The map may be the query's own text instead.
pub(super) fn rebuild(map: Json<'_>, is_encoded: bool) -> (String, bool) {
    if let Json::Text(text) = map {
        return (plain(text).trim_start_matches('?').to_owned(), true);
    }
    let mut query = String::new();
    let is_whole = map.each_field(&mut |name, value| {
        for (text, before) in [(name.into(), if query.is_empty() { "" } else { "&" }), (value, "=")] {
            query.push_str(before);
            let text = plain(text);
            if is_encoded {
                query.push_str(&text);
            } else {
                query.extend(utf8_percent_encode(&text, ENCODED));
            }
        }
    });
    (query, is_whole)
}
