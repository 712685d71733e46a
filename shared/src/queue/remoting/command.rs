//! Requests and answers of the remoting protocol, with a header as JSON.

use bytes::Bytes;

use super::acl::signature;
use super::frame::{self, Frame, FrameError};
use crate::json;
use crate::net::answer::id;
use crate::queue::credentials::Credentials;

/// Request for the brokers and queues of a topic (`GET_ROUTEINFO_BY_TOPIC`).
pub(super) const GET_ROUTE: u16 = 105;

/// Request that stores a message, with short names of its fields (`SEND_MESSAGE_V2`).
pub(super) const SEND: u16 = 310;

/// Version that the requests name, of the order of 4.9: brokers of 4.x and 5.x answer it alike.
const VERSION: u16 = 401;

/// Request as it is written, with its number.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) number: i32,
    pub(super) bytes: Bytes,
}

impl Request {
    /// Encodes a request; with credentials, it is signed. The names of `fields` are sorted and begin in lower case,
    /// so that the access key comes first in the order that is signed.
    #[inline(never)]
    pub(super) fn new(
        (code, number): (u16, i32),
        fields: &[(&'static str, &str)],
        body: &[u8],
        acl: Option<&Credentials>,
    ) -> Self {
        let mut header = format!(
            r#"{{"code":{code},"flag":0,"language":"OTHER","opaque":{number},"serializeTypeCurrentRPC":"JSON","version":{VERSION},"extFields":{{"#,
        );
        let mut add = |name: &str, value: &str| {
            for part in [if header.ends_with('{') { "\"" } else { ",\"" }, name, "\":"] {
                header.push_str(part);
            }
            json::write_string(&mut header, value);
        };
        for (name, value) in fields {
            add(name, value);
        }
        if let Some(Credentials { id, key, .. }) = acl {
            add("AccessKey", id);
            add("Signature", &signature(key.expose(), id, fields, body));
        }
        header.push_str("}}");
        Self { number, bytes: frame::write(header.as_bytes(), body).into() }
    }
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAnswer {
    /// Result code; 0 is success.
    pub code: i32,
    /// Text beside the code, as the broker wrote it.
    pub remark: String,
    /// Position of a stored message, which proves that it is stored.
    pub message_id: Option<String>,
    /// Body of the answer.
    pub body: Bytes,
}

/// Reads a frame as the answer to the request with the returned number. `Ok(None)` is a request of the
/// broker's own, which is not answered; the error is a header that cannot be read.
#[inline(never)]
pub fn read(frame: Frame) -> Result<Option<(i32, BrokerAnswer)>, FrameError> {
    let text = |path| json::text(&frame.header, path).map_err(|_| FrameError::Malformed);
    let number = |path| text(path).map(|text| text.and_then(|text| text.parse::<i32>().ok()));
    if number("flag")?.ok_or(FrameError::Malformed)? & 1 == 0 {
        return Ok(None);
    }
    let (code, opaque) =
        (number("code")?.ok_or(FrameError::Malformed)?, number("opaque")?.ok_or(FrameError::Malformed)?);
    let remark = text("remark")?.unwrap_or_default().into_owned();
    let message_id = text("extFields.msgId")?.as_deref().and_then(id);
    Ok(Some((opaque, BrokerAnswer { code, remark, message_id, body: frame.body })))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn a_request_is_one_frame_with_all_its_fields() {
        for size in [0, 3, 1 << 16] {
            let body = vec![b'x'; size];
            let request = Request::new((SEND, 7), &[("a", "g\u{1}\"\u{2}"), ("b", "é")], &body, None);
            let mut bytes = BytesMut::from(&request.bytes[..]);
            let frame = frame::take(&mut bytes, 1 << 20).unwrap().unwrap();
            assert_eq!((&frame.body[..], bytes.len()), (&body[..], 0));
            let header: serde_json::Value = serde_json::from_slice(&frame.header).unwrap();
            assert_eq!((header["code"].as_u64(), header["opaque"].as_u64()), (Some(310), Some(7)));
            assert_eq!(header["extFields"], serde_json::json!({"a": "g\u{1}\"\u{2}", "b": "é"}));
        }
    }

    #[test]
    fn an_answer_is_read_and_a_request_is_not_taken_for_one() {
        let read = |header: &'static str| read(Frame { header: header.into(), body: Bytes::new() });
        let good = read(r#"{"code":0,"extFields":{"msgId":"7F01","queueId":"2"},"flag":1,"opaque":-3}"#);
        let (number, answer) = good.unwrap().unwrap();
        assert_eq!((number, answer.code, answer.message_id.as_deref()), (-3, 0, Some("7F01")));
        let refused = read(r#"{"code":17,"remark":"no\ntopic","flag":1,"opaque":1}"#).unwrap().unwrap().1;
        assert_eq!((refused.remark.as_str(), refused.message_id), ("no\ntopic", None));
        assert_eq!(read(r#"{"code":40,"flag":0,"opaque":1}"#), Ok(None));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"flag":1,"opaque":1}"#,
            r#"{"code":0,"flag":1}"#,
            r#"{"code":99999999999,"flag":1,"opaque":1}"#,
        ] {
            assert_eq!(read(wrong), Err(FrameError::Malformed), "{wrong}");
        }
    }
}
