//! Tests of the native route against brokers of Apache RocketMQ on this machine: 5.3 with its proxy, and 4.8 with
//! access control. The topics `wh_native` and `wh_order` exist there. What was sent is printed, to be compared
//! with what an official client reads.

use hookmq_shared::clock::Clock;
use hookmq_shared::env::Env;
use hookmq_shared::message::Message;
use hookmq_shared::queue::rocketmq::Client;
use hookmq_shared::queue::{Class, Effort, Queue as _, Until};
use tokio::time::Instant;

use crate::kit::server::{context, seconds};

const KEY: [(&str, &str); 2] =
    [("ROCKETMQ_ACL_ACCESS_KEY", "hookmqak"), ("ROCKETMQ_ACL_SECRET_KEY", "plain:12345678abc")];

type Variables = &'static [(&'static str, &'static str)];

/// Address of a name server or of a proxy's remoting port, with further variables.
const WAYS: [(&str, &str, Variables); 3] = [
    ("broker-5.3", "127.0.0.1:9876", &[]),
    ("proxy-5.3", "127.0.0.1:8080", &[]),
    ("broker-4.8", "127.0.0.1:19876", &KEY),
];

fn client(name_server: &str, more: &[(&str, &str)]) -> Client {
    let own = [("ROCKETMQ_NAME_SERVER", name_server)];
    Client::new(context(&[&own, more].concat(), Clock::system()))
}

fn message(id: &str, topic: &str, key: Option<&str>, text: String) -> Message {
    Message {
        id: id.to_owned(),
        topic: topic.to_owned(),
        text,
        key: key.map(str::to_owned),
        tag: Some("push".to_owned()),
        properties: vec![
            ("CE_id".into(), id.to_owned()),
            ("CE_type".into(), "com.github.push".to_owned()),
            ("CE_source".into(), "/hooks/gïthub".to_owned()),
            ("CE_contenttype".into(), "application/cloudevents+json".to_owned()),
        ],
    }
}

#[tokio::test]
#[ignore = "needs a broker: scripts/brokers"]
async fn messages_are_stored_on_each_way() {
    for (way, name_server, more) in WAYS {
        let client = client(name_server, more);
        assert_eq!(client.problems(), []);
        for number in 0..4 {
            let text = format!("{{\"way\":\"{way}\",\"n\":{number},\"t\":\"Grüße \\u0001 😀\"}}");
            let one = message(&format!("{way}-{number}"), "wh_native", None, text);
            let receipt = client.send(&one, seconds(10)).await.unwrap();
            println!("{way} {} {} {:?}", one.id, receipt.message_id, receipt.request_id);
            assert_eq!(receipt.attempts, 1);
        }
        let large = message(&format!("{way}-large"), "wh_native", None, "x".repeat(3 << 20));
        client.send(&large, seconds(20)).await.unwrap();
        for number in 0..6 {
            let key = format!("order-{}", number % 3);
            let one = message(&format!("{way}-key-{number}"), "wh_order", Some(&key), key.clone());
            client.send(&one, seconds(10)).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs a broker: scripts/brokers"]
async fn refusals_of_real_brokers_have_their_classes() {
    let class = |client: Client, topic: &'static str| async move {
        let until = Until { deadline: seconds(5), effort: Effort::Brief };
        let error = client.send(&message("x", topic, None, "{}".to_owned()), until).await.unwrap_err();
        println!("{topic}: {error}");
        (error.class, error.code.clone().unwrap_or_default(), error.maybe_stored)
    };
    let wrong = [KEY[0], ("ROCKETMQ_ACL_SECRET_KEY", "plain:wrong-wrong")];
    let unknown = [("ROCKETMQ_ACL_ACCESS_KEY", "nobodyak"), KEY[1]];
    let of = |code: &str, class| (class, code.to_owned(), false);
    for (name_server, more, topic, want) in [
        ("127.0.0.1:9876", &[][..], "wh_absent", of("17", Class::Config)),
        ("127.0.0.1:8080", &[], "wh_absent", of("17", Class::Config)),
        ("127.0.0.1:19876", &wrong, "wh_native", of("1", Class::Auth)),
        ("127.0.0.1:19876", &unknown, "wh_native", of("1", Class::Auth)),
        ("127.0.0.1:19876", &[], "wh_native", of("1", Class::Auth)),
        // A broker instead of a name server.
        ("127.0.0.1:10911", &[], "wh_native", of("", Class::Config)),
        ("127.0.0.1:9", &[], "wh_native", of("", Class::Transient)),
    ] {
        let met = class(client(name_server, more), topic).await;
        let met = if want.1.is_empty() { (met.0, String::new(), met.2) } else { met };
        assert_eq!(met, want, "{name_server} {topic}");
    }
}

/// Needs the broker with TLS: `TLS_CA_FILE` names the root of its certificate, and `REFUSED` is set if that one is
/// expired or of another name.
#[tokio::test]
#[ignore = "needs a broker with TLS"]
async fn tls_is_taken_with_a_root_of_ones_own_and_a_wrong_certificate_is_refused() {
    let root = Env::process().get("TLS_CA_FILE").unwrap();
    let is_refused = Env::process().get("REFUSED").is_some();
    let tls = [("ROCKETMQ_TLS", "true"), ("TLS_CA_FILE", root.as_str())];
    let one = message("tls", "wh_native", None, "{}".to_owned());
    let sent = client("127.0.0.1:9876", &tls).send(&one, seconds(10)).await;
    println!("{sent:?}");
    assert_eq!(
        sent.as_ref().err().map(|error| (error.class, error.maybe_stored)),
        is_refused.then_some((Class::Config, false))
    );
    let without_root = client("127.0.0.1:9876", &tls[..1]).send(&one, seconds(10)).await;
    assert_eq!(without_root.unwrap_err().class, Class::Config);
}

/// Prints how many messages of 1 KB are stored in a second, each with its receipt awaited.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "needs a broker: scripts/brokers"]
async fn throughput_of_one_connection() {
    let client = client("127.0.0.1:9876", &[]);
    let begun = Instant::now();
    let sends = (0..64).map(|lane| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                let one = message(&format!("speed-{lane}-{number}"), "wh_speed", None, "x".repeat(1024));
                client.send(&one, seconds(30)).await.unwrap();
            }
        })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap();
    }
    println!("{:.0} messages a second", 64.0 * 200.0 / begun.elapsed().as_secs_f64());
}
