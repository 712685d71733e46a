//! Tests of the native route to RocketMQ over real sockets, against a broker that follows a script: it does what
//! real ones do not do on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookmq_shared::message::Message;
use hookmq_shared::queue::rocketmq::Client;
use hookmq_shared::queue::{Class, Effort, Queue as _, SendError, Until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::server::{Wall, context, message, seconds};

/// Behaviour of the broker for one message.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with this code, and a message id.
    Answer(i32),
    /// Answers with this code and this text, and without an id.
    Refuse(i32, &'static str),
    /// Keeps the answer back, and sends it after the next one.
    AnswerLater,
    Never,
    /// Answers twice, after an answer that belongs to another request and a request of its own.
    AnswerAmongOthers,
    /// Sends half of the answer and closes the connection.
    Half,
    Close,
    AnswerAndClose,
    /// Sends these bytes instead of a frame.
    Bytes(&'static [u8]),
}

/// Broker that is its own name server.
#[derive(Clone)]
struct Broker {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Does>,
    /// Headers of the messages, with the texts and the connections' numbers.
    seen: Vec<(Value, String, usize)>,
    routes: usize,
    /// Behaviour at the next questions for a route; without an entry, it answers.
    on_route: VecDeque<Does>,
    connections: usize,
    /// Queues as broker, permission and number; and the brokers' addresses.
    queues: Vec<(&'static str, u32, u32)>,
    addresses: Vec<(&'static str, String)>,
}

impl Broker {
    async fn start(script: impl IntoIterator<Item = Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State {
            script: script.into_iter().collect(),
            queues: vec![("a", 6, 2)],
            addresses: vec![("a", address.clone())],
            ..State::default()
        };
        let broker = Self { address, state: Arc::new(Mutex::new(state)) };
        let one = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = one.with(|state| {
                    state.connections += 1;
                    state.connections
                });
                let one = one.clone();
                tokio::spawn(async move { one.serve(stream, number).await });
            }
        });
        broker
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    fn client(&self, more: &[(&str, &str)]) -> Client {
        self.client_at(more, &Wall::new())
    }

    fn client_at(&self, more: &[(&str, &str)], wall: &Wall) -> Client {
        let own = [("ROCKETMQ_NAME_SERVER", self.address.as_str())];
        Client::new(context(&[&own, more].concat(), wall.clock()))
    }

    fn texts(&self) -> Vec<String> {
        self.with(|state| state.seen.iter().map(|(_, text, _)| text.clone()).collect())
    }

    /// Returns a field of each message's header.
    fn fields(&self, name: &str) -> Vec<String> {
        let field = |header: &Value| header["extFields"][name].as_str().unwrap_or_default().to_owned();
        self.with(|state| state.seen.iter().map(|(header, ..)| field(header)).collect())
    }

    fn route(&self) -> Vec<u8> {
        self.with(|state| {
            state.routes += 1;
            // As brokers of 4.8 write it, which is not JSON.
            let brokers = state.addresses.iter();
            let brokers: Vec<String> = brokers
                .map(|(name, address)| {
                    format!(r#"{{"brokerAddrs":{{0:"{address}"}},"brokerName":"{name}"}}"#)
                })
                .collect();
            let queues: Vec<Value> = state.queues.iter().map(|(name, perm, queues)| {
                json!({"brokerName": name, "perm": perm, "readQueueNums": queues, "writeQueueNums": queues})
            }).collect();
            format!(r#"{{"brokerDatas":[{}],"queueDatas":{}}}"#, brokers.join(","), json!(queues))
                .into_bytes()
        })
    }

    async fn serve(self, mut stream: TcpStream, connection: usize) -> Option<()> {
        let mut kept = Vec::new();
        loop {
            let (header, body) = read(&mut stream).await?;
            let opaque = header["opaque"].as_i64().unwrap();
            if header["code"] == 105 {
                match self.with(|state| state.on_route.pop_front()) {
                    Some(Does::Refuse(code, text)) => {
                        let answer = json!({"code": code, "flag": 1, "opaque": opaque, "remark": text});
                        stream.write_all(&frame(&answer, b"")).await.ok()?;
                        continue;
                    }
                    Some(Does::Never) => continue,
                    _ => {}
                }
                let body = self.route();
                stream
                    .write_all(&frame(&json!({"code": 0, "flag": 1, "opaque": opaque}), &body))
                    .await
                    .ok()?;
                continue;
            }
            assert_eq!(header["code"], 310);
            let does = self.with(|state| {
                state.seen.push((header.clone(), String::from_utf8(body).unwrap(), connection));
                state.script.pop_front().unwrap_or(Does::Answer(0))
            });
            let answer = |opaque: i64, code: i32| {
                let fields = json!({"msgId": format!("7F0{opaque}"), "queueId": "0", "queueOffset": "7"});
                frame(&json!({"code": code, "flag": 1, "opaque": opaque, "extFields": fields}), b"")
            };
            let bytes = match does {
                Does::Answer(code) => [answer(opaque, code), std::mem::take(&mut kept)].concat(),
                Does::Refuse(code, text) => {
                    frame(&json!({"code": code, "flag": 1, "opaque": opaque, "remark": text}), b"")
                }
                Does::AnswerLater => {
                    kept = answer(opaque, 0);
                    continue;
                }
                Does::Never => continue,
                Does::AnswerAmongOthers => [
                    answer(opaque + 1000, 0),
                    frame(&json!({"code": 40, "flag": 0, "opaque": opaque}), b"{}"),
                    answer(opaque, 0),
                    answer(opaque, 2),
                ]
                .concat(),
                Does::Half => {
                    let whole = answer(opaque, 0);
                    stream.write_all(&whole[..whole.len() / 2]).await.ok()?;
                    return None;
                }
                Does::Close => return None,
                Does::AnswerAndClose => {
                    stream.write_all(&answer(opaque, 0)).await.ok()?;
                    return None;
                }
                Does::Bytes(bytes) => bytes.to_vec(),
            };
            // In two pieces, so that no frame is read at once.
            let (head, tail) = bytes.split_at(bytes.len() / 2);
            stream.write_all(head).await.ok()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(tail).await.ok()?;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<(Value, Vec<u8>)> {
    let total = stream.read_u32().await.ok()?;
    let mut bytes = vec![0; total as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    let header = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    Some((serde_json::from_slice(&bytes[4..4 + header]).unwrap(), bytes[4 + header..].to_vec()))
}

fn frame(header: &Value, body: &[u8]) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    let sizes = [4 + header.len() + body.len(), header.len()];
    let sizes = sizes.map(|size| u32::try_from(size).unwrap().to_be_bytes()).concat();
    [sizes, header, body.to_vec()].concat()
}

fn numbered(number: u32) -> Message {
    Message { id: format!("evt_{number}"), ..message("t-1", &format!("text {number}")) }
}

async fn fails(client: &Client, effort: Effort, time: u64) -> SendError {
    let until = Until { deadline: seconds(time), effort };
    client.send(&numbered(1), until).await.unwrap_err()
}

#[tokio::test]
async fn a_message_is_sent_as_the_official_client_sends_it() {
    let broker = Broker::start([]).await;
    let client = broker.client(&[("ROCKETMQ_GROUP", "webhooks")]);
    assert_eq!(client.problems(), []);
    let message = Message {
        key: Some("order-7".to_owned()),
        tag: Some("push".to_owned()),
        properties: vec![("CE_id".into(), "evt_1".to_owned())],
        ..numbered(1)
    };
    let receipt = client.send(&message, seconds(5)).await.unwrap();
    assert!(receipt.request_id.unwrap().starts_with("7F0"));
    let id = receipt.message_id;
    let (header, text, _) = broker.with(|state| state.seen.remove(0));
    assert_eq!(text, "text 1");
    let properties =
        format!("KEYS\u{1}evt_1 order-7\u{2}TAGS\u{1}push\u{2}CE_id\u{1}evt_1\u{2}UNIQ_KEY\u{1}{id}\u{2}");
    let fields = json!({"a": "webhooks", "b": "t-1", "c": "TBW102", "d": "4", "e": "0", "f": "0",
        "g": "1700000000000", "h": "0", "i": properties, "j": "0", "k": "false", "l": "16", "m": "false",
        "n": "a"});
    assert_eq!(header["extFields"], fields);
}

#[tokio::test]
async fn answers_reach_their_messages_in_any_order() {
    let broker = Broker::start([Does::AnswerLater, Does::Answer(0), Does::AnswerAmongOthers]).await;
    let client = broker.client(&[]);
    let (one, two) = (numbered(1), numbered(2));
    let sends = (client.send(&one, seconds(5)), client.send(&two, seconds(5)));
    let (one, two) = tokio::join!(sends.0, sends.1);
    assert_ne!(one.unwrap().request_id, two.unwrap().request_id);
    assert_eq!(client.send(&numbered(3), seconds(5)).await.unwrap().attempts, 1);
    assert_eq!(broker.texts().len(), 3);
    assert_eq!(broker.with(|state| state.connections), 1, "one for the routes and all messages");
}

#[tokio::test]
async fn a_message_without_a_receipt_is_sent_again_under_the_same_id() {
    for does in [
        Does::Close,
        Does::Half,
        Does::Bytes(b"\xff\xff\xff\xff\0\0\0\x02{}"),
        Does::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ] {
        let broker = Broker::start([does]).await;
        let receipt = broker.client(&[]).send(&numbered(1), seconds(5)).await.unwrap();
        assert_eq!(receipt.attempts, 2);
        let ids = broker.fields("i");
        assert!(ids.len() == 2 && ids[0] == ids[1] && ids[0].contains(&receipt.message_id), "{ids:?}");
        assert!(broker.with(|state| state.seen[0].2 != state.seen[1].2), "on another connection");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_costs_no_more_than_the_deadline() {
    let broker = Broker::start([Does::Never; 9]).await;
    let error = fails(&broker.client(&[]), Effort::Brief, 6).await;
    assert_eq!((error.class, error.attempts), (Class::Ambiguous, 1));
    assert!(error.maybe_stored && error.timed_out, "{error}");
}

#[tokio::test]
async fn a_late_flush_is_tried_once_at_another_queue_and_then_spilled() {
    for code in [10, 12] {
        let broker = Broker::start([Does::Answer(code)]).await;
        let receipt = broker.client(&[]).send(&numbered(1), seconds(5)).await.unwrap();
        let queues = broker.fields("e");
        assert!(receipt.attempts == 1 && queues.len() == 2 && queues[0] != queues[1], "{queues:?}");

        for effort in [Effort::Brief, Effort::Whole, Effort::Last, Effort::Patient] {
            let broker = Broker::start([Does::Answer(code); 9]).await;
            let error = fails(&broker.client(&[]), effort, 5).await;
            assert_eq!((error.class, error.maybe_stored), (Class::Ambiguous, true), "{error}");
            assert_eq!((error.code.as_deref(), broker.texts().len()), (Some(code.to_string().as_str()), 2));
        }
    }
}

#[tokio::test]
async fn a_missing_slave_is_no_reason_to_send_again_unless_copies_are_asked_for() {
    let broker = Broker::start([Does::Answer(11)]).await;
    let receipt = broker.client(&[]).send(&numbered(1), seconds(5)).await.unwrap();
    assert_eq!((receipt.attempts, receipt.is_uncopied, broker.texts().len()), (1, true, 1));
    let broker = Broker::start([Does::Answer(11); 9]).await;
    let error = fails(&broker.client(&[("ROCKETMQ_DURABLE_COPIES", "true")]), Effort::Brief, 5).await;
    assert_eq!((error.class, error.maybe_stored, broker.texts().len()), (Class::Ambiguous, true, 2));
}

#[tokio::test]
async fn refusals_end_where_another_attempt_would_fail_too() {
    let trace = "org.apache.rocketmq.acl.common.AclException: Check signature failed for accessKey=x, org.apache.x.y(Z.java:1)\n\tat x";
    for (does, class, times) in [
        (Does::Refuse(2, "[REJECTREQUEST]system busy, start flow control for a while"), Class::Throttle, 1),
        (Does::Refuse(14, "the broker's disk is full"), Class::Throttle, 1),
        (Does::Refuse(1, trace), Class::Auth, 1),
        (Does::Refuse(16, "the topic[t-1] sending message is forbidden"), Class::Permission, 1),
        (Does::Refuse(17, "topic[t-1] not exist"), Class::Config, 1),
        (Does::Refuse(3, " request type 310 not supported"), Class::Config, 1),
        (Does::Refuse(13, "the message is illegal"), Class::Permanent, 1),
        (Does::Refuse(1, "UNKNOWN_ERROR"), Class::Transient, 2),
        // A success without an id is not a receipt; the second one ends the attempts.
        (Does::Refuse(0, ""), Class::Config, 2),
    ] {
        let broker = Broker::start([does; 9]).await;
        let error = fails(&broker.client(&[]), Effort::Brief, 5).await;
        assert_eq!((error.class, broker.texts().len()), (class, times), "{error}");
        assert!(error.detail.contains("t-1") || class == Class::Config, "{error}");
        assert!(!error.detail.contains("Z.java"), "{error}");
    }
}

#[tokio::test]
async fn queues_take_turns_and_a_key_has_its_own() {
    let broker = Broker::start([]).await;
    let client = broker.client(&[]);
    for number in 0..4 {
        client.send(&numbered(number), seconds(5)).await.unwrap();
    }
    assert_eq!(broker.fields("e"), ["0", "1", "0", "1"]);
    for _ in 0..3 {
        let keyed = Message { key: Some("a".to_owned()), ..numbered(9) };
        client.send(&keyed, seconds(5)).await.unwrap();
    }
    assert_eq!(broker.fields("e")[4..], ["1", "1", "1"]);
}

#[tokio::test]
async fn a_dead_broker_is_left_out() {
    let broker = Broker::start([]).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    broker.with(|state| {
        state.queues = vec![("dead", 6, 4), ("b", 6, 2), ("read-only", 4, 8)];
        state.addresses =
            vec![("dead", dead), ("b", broker.address.clone()), ("read-only", "127.0.0.1:1".to_owned())];
    });
    let client = broker.client(&[]);
    for number in 0..8 {
        assert_eq!(client.send(&numbered(number), seconds(5)).await.unwrap().attempts, 1);
    }
    assert!(broker.fields("n").iter().all(|name| name == "b"));
    // Six of the eight would have gone to the dead one.
    assert!(broker.with(|state| state.routes) <= 3);
}

#[tokio::test]
async fn what_one_broker_refuses_another_one_takes() {
    let refusals = [
        Does::Refuse(16, "the broker[a] sending message is forbidden"),
        Does::Refuse(17, "topic[t-1] not exist"),
    ];
    let broker = Broker::start(refusals).await;
    let other = Broker::start([]).await;
    broker.with(|state| {
        state.queues = vec![("a", 6, 2), ("b", 6, 1), ("odd", 6, 1)];
        state.addresses = vec![
            ("a", broker.address.clone()),
            ("b", other.address.clone()),
            ("odd", "fe80::1:10911".to_owned()),
        ];
    });
    let client = broker.client(&[]);
    for number in 0..6 {
        assert_eq!(client.send(&numbered(number), seconds(5)).await.unwrap().attempts, 1);
    }
    assert_eq!(broker.texts().len() + other.texts().len(), 6 + broker.with(|state| 2 - state.script.len()));
    // Without another broker, the refusal is told.
    let alone = Broker::start([Does::Refuse(16, "the broker[a] sending message is forbidden")]).await;
    let error = fails(&alone.client(&[]), Effort::Brief, 5).await;
    assert_eq!((error.class, error.maybe_stored, error.attempts), (Class::Permission, false, 1), "{error}");
}

#[tokio::test]
async fn a_master_that_is_away_is_waited_for() {
    let broker = Broker::start([Does::Answer(0), Does::Refuse(501, "")]).await;
    let client = broker.client(&[]);
    client.send(&numbered(1), seconds(5)).await.unwrap();
    // A name server lists the slaves of a master that starts again.
    broker.with(|state| state.addresses = vec![("a", String::new())]);
    assert_eq!(client.send(&numbered(2), seconds(5)).await.unwrap().attempts, 2);
    let error = fails(&broker.client(&[]), Effort::Brief, 5).await;
    assert_eq!((error.class, error.maybe_stored), (Class::Transient, false), "{error}");
}

#[tokio::test]
async fn an_old_route_serves_while_no_name_server_knows_a_newer_one() {
    for forgets in [Does::Refuse(17, "No topic route info"), Does::Never] {
        let broker = Broker::start([Does::Answer(0), Does::Refuse(501, "")]).await;
        let client = broker.client(&[]);
        client.send(&numbered(1), seconds(5)).await.unwrap();
        broker.with(|state| state.on_route.push_back(forgets));
        assert_eq!(client.send(&numbered(2), seconds(5)).await.unwrap().attempts, 2);
        assert_eq!(broker.with(|state| (state.on_route.len(), state.seen.len())), (0, 3));
    }
    // Without an old one, it is the topic that is missing.
    let broker = Broker::start([]).await;
    broker.with(|state| state.on_route.push_back(Does::Refuse(17, "No topic route info")));
    let error = fails(&broker.client(&[]), Effort::Brief, 5).await;
    assert_eq!((error.class, error.maybe_stored, error.attempts), (Class::Config, false, 1), "{error}");
}

#[tokio::test]
async fn a_name_server_out_of_reach_is_followed_by_the_next_one() {
    let broker = Broker::start([]).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let both = format!("{dead};{}", broker.address);
    let client = Client::new(context(&[("ROCKETMQ_NAME_SERVER", &both)], Wall::new().clock()));
    assert_eq!(client.send(&numbered(1), seconds(5)).await.unwrap().attempts, 2);
    // One that swallows what is sent to it is passed over too, however little time there is.
    let both = format!("{};{}", full().await, broker.address);
    let client = Client::new(context(&[("ROCKETMQ_NAME_SERVER", &both)], Wall::new().clock()));
    assert_eq!(client.send(&numbered(2), seconds(2)).await.unwrap().attempts, 2);
}

/// Returns an address that answers no connection: its backlog is full.
async fn full() -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        held.push(stream);
    }
    // Held to the end of the test binary.
    std::mem::forget((listener, held));
    address.to_string()
}

#[tokio::test]
async fn a_connection_that_the_broker_closed_costs_no_attempt() {
    let broker = Broker::start([Does::AnswerAndClose]).await;
    let client = broker.client(&[]);
    client.send(&numbered(1), seconds(5)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.send(&numbered(2), seconds(5)).await.unwrap().attempts, 1);
    assert_eq!(broker.with(|state| state.connections), 2);
}

#[tokio::test]
async fn a_trace_of_eight_kilobytes_is_not_logged() {
    let trace = "system error ".repeat(700).leak();
    let broker = Broker::start([Does::Refuse(2, trace)]).await;
    let error = fails(&broker.client(&[]), Effort::Brief, 5).await;
    assert!(error.to_string().len() < 1000, "{}", error.to_string().len());
}

#[tokio::test]
async fn a_topic_that_cannot_be_written_says_so() {
    let broker = Broker::start([]).await;
    broker.with(|state| state.queues = vec![("a", 4, 2)]);
    let error = fails(&broker.client(&[]), Effort::Brief, 5).await;
    assert_eq!((error.class, error.maybe_stored), (Class::Permission, false));
    assert!(error.detail.contains("t-1"), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_silent_is_replaced_before_a_message_is_written() {
    let (broker, wall) = (Broker::start([]).await, Wall::new());
    let client = broker.client_at(&[], &wall);
    client.send(&numbered(1), seconds(5)).await.unwrap();
    wall.advance(19);
    client.send(&numbered(2), seconds(5)).await.unwrap();
    // The function was frozen: only the wall clock shows it.
    wall.advance(21);
    client.send(&numbered(3), seconds(5)).await.unwrap();
    let connections = broker.with(|state| state.seen.iter().map(|(.., number)| *number).collect::<Vec<_>>());
    assert_eq!(connections, [1, 1, 2]);
}

#[tokio::test]
async fn a_signed_request_has_its_key_and_no_other_variable_is_asked_for() {
    let broker = Broker::start([]).await;
    let key = [("ROCKETMQ_ACL_ACCESS_KEY", "AKEXAMPLE"), ("ROCKETMQ_ACL_SECRET_KEY", "plain:SKEXAMPLE")];
    let client = broker.client(&key);
    client.send(&numbered(1), seconds(5)).await.unwrap();
    assert_eq!(broker.fields("AccessKey"), ["AKEXAMPLE"]);
    assert_eq!(broker.fields("Signature")[0].len(), 28);
}

#[tokio::test]
async fn both_routes_at_once_are_a_problem() {
    let client = Client::new(context(
        &[("ROCKETMQ_NAME_SERVER", "127.0.0.1:9"), ("ROCKETMQ_ENDPOINT", "https://dms.example.com")],
        Wall::new().clock(),
    ));
    let problems = client.problems();
    assert_eq!(problems.len(), 1);
    let problem = problems[0].to_string();
    assert!(problem.contains("ROCKETMQ_NAME_SERVER") && problem.contains("ROCKETMQ_ENDPOINT"), "{problem}");
    let error = fails(&client, Effort::Brief, 5).await;
    assert_eq!((error.class, error.attempts), (Class::Config, 0));
}
