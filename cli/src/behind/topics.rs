//! Topics of RocketMQ, made by the remoting protocol: a name server is asked for the brokers, and each of them makes
//! the topic.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hookmq_shared::queue::remoting::frame;
use hookmq_shared::queue::remoting::route::with_names;
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
    let clusters: Value = serde_json::from_str(&with_names(std::str::from_utf8(&body)?))
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

async fn has_route(name_server: &str, topic: &str) -> Fallible<bool> {
    match call(name_server, GET_ROUTE, &json!({ "topic": topic })).await? {
        (0, ..) => Ok(true),
        (NO_TOPIC, ..) => Ok(false),
        (code, remark, _) => Err(format!("the name server answered {code}: {remark}").into()),
    }
}

/// Makes one call over a connection of its own; returns the code, the first line of the remark, and the body.
async fn call(address: &str, code: u32, fields: &Value) -> Fallible<(i64, String, Bytes)> {
    let header = json!({
        "code": code, "language": "OTHER", "version": 401, "opaque": 1, "flag": 0, "extFields": fields,
    });
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&frame::write(header.to_string().as_bytes(), b"")).await?;
    let mut read = BytesMut::new();
    let answer = loop {
        let taken = frame::take(&mut read, MAX_ANSWER);
        match taken.map_err(|_| "the answer is not of RocketMQ's remoting protocol")? {
            Some(answer) => break answer,
            None if stream.read_buf(&mut read).await? == 0 => return Err("the connection was closed".into()),
            None => {}
        }
    };
    let header: Value = serde_json::from_slice(&answer.header)?;
    let remark = header["remark"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    Ok((header["code"].as_i64().ok_or("the answer has no code")?, remark, answer.body))
}
