//! Topics of RocketMQ, made by the remoting protocol: a name server is asked for the brokers, and each of them makes
//! the topic.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Codes of requests, and of the answer for a missing topic (Apache RocketMQ, `RequestCode` and `ResponseCode`).
const MAKE_TOPIC: u32 = 17;
const GET_ROUTE: u32 = 105;
const GET_BROKERS: u32 = 106;
const NO_TOPIC: i64 = 17;

/// Queues of a new topic, as a broker makes them by default.
const QUEUES: u32 = 8;

/// Upper bound on an answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Number of questions for the new topic's route, and the time between two of them.
const ASKED: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the topic on every broker, if the name server does not know it.
pub(super) async fn make(name_server: &str, topic: &str) -> Fallible<()> {
    if has_route(name_server, topic).await? {
        return Ok(());
    }
    let (code, remark, body) = call(name_server, GET_BROKERS, &json!({})).await?;
    if code != 0 {
        return Err(format!("the name server answered {code}: {remark}").into());
    }
    let clusters: Value = serde_json::from_str(&quoted(std::str::from_utf8(&body)?))
        .map_err(|_| "the list of brokers cannot be read")?;
    let brokers = clusters["brokerAddrTable"].as_object().ok_or("the name server knows no broker")?;
    for broker in brokers.values() {
        let Some(address) = broker["brokerAddrs"]["0"].as_str() else { continue };
        let queues = QUEUES.to_string();
        let fields = json!({
            "topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": "6",
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
        });
        let (code, remark, _) = call(address, MAKE_TOPIC, &fields).await?;
        if code != 0 {
            return Err(format!("broker {address} answered {code}: {remark}").into());
        }
    }
    for _ in 0..ASKED {
        if has_route(name_server, topic).await? {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err("the name server does not know the new topic".into())
}

/// Puts names of members that are bare numbers into quotes: name servers write `{0:"HOST:PORT"}`, which is not JSON.
fn quoted(text: &str) -> String {
    let (mut out, mut is_text, mut escapes, mut begins) =
        (String::with_capacity(text.len() + 16), false, false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        if begins && digits > 0 && rest[digits..].starts_with(':') {
            out.push('"');
            out += &rest[..digits];
            out.push('"');
            rest = &rest[digits..];
            begins = false;
            continue;
        }
        begins = !is_text && matches!(c, '{' | ',');
        is_text ^= c == '"' && !escapes;
        escapes = is_text && c == '\\' && !escapes;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

async fn has_route(name_server: &str, topic: &str) -> Fallible<bool> {
    match call(name_server, GET_ROUTE, &json!({ "topic": topic })).await? {
        (0, ..) => Ok(true),
        (NO_TOPIC, ..) => Ok(false),
        (code, remark, _) => Err(format!("the name server answered {code}: {remark}").into()),
    }
}

/// Makes one call over a connection of its own; returns the code, the first line of the remark, and the body.
async fn call(address: &str, code: u32, fields: &Value) -> Fallible<(i64, String, Vec<u8>)> {
    let header = json!({
        "code": code, "language": "OTHER", "version": 401, "opaque": 1, "flag": 0, "extFields": fields,
    });
    let header = header.to_string();
    let length = u32::try_from(header.len())?;
    let mut request = (length + 4).to_be_bytes().to_vec();
    request.extend(length.to_be_bytes());
    request.extend(header.bytes());
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request).await?;

    let size = usize::try_from(stream.read_u32().await?)?;
    // The top byte of the length is the header's codec, JSON.
    let length = usize::try_from(stream.read_u32().await? & 0x00ff_ffff)?;
    if size > MAX_ANSWER || length + 4 > size {
        return Err("the answer has wrong lengths".into());
    }
    let mut answer = vec![0; size - 4];
    stream.read_exact(&mut answer).await?;
    let body = answer.split_off(length);
    let answer: Value = serde_json::from_slice(&answer)?;
    let remark = answer["remark"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    Ok((answer["code"].as_i64().ok_or("the answer has no code")?, remark, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_a_name() {
        let list = r#"{"a":{"brokerAddrs":{0:"h:1",12:"{0:\",3:"},"n":[1,2]},"0":5}"#;
        let read: Value = serde_json::from_str(&quoted(list)).unwrap();
        let addresses = json!({ "0": "h:1", "12": "{0:\",3:" });
        assert_eq!(read, json!({ "a": { "brokerAddrs": addresses, "n": [1, 2] }, "0": 5 }));
    }
}
