//! Tests of answers from vendors and the machines in front of them, in whole sends: an error that is the same
//! for every message opens a circuit, a receipt is read in any readable form, and an unreadable one costs at
//! most two copies.

use std::net::TcpListener;
use std::time::Duration;

use hookmq_shared::message::Message;
use hookmq_shared::queue::{Class, Client, Queue, Receipt, SendError, rocketmq, tdmq};
use serde_json::json;
use tokio::time::advance;

use crate::kit::server::{Server, Step, Wall, answer, context, message, ok, seconds, status};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;
const STORED_DMS: &str = r#"{"topic":"test-001","body":"x","msg_id":"644F0E2A315323EAB33D8F4733110009"}"#;

/// The answer `{"Response":{"MessageId":"71:11:0:0","RequestId":"r-1"}}`, compressed as by a gateway.
const GZIPPED: [u8; 72] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 10, 74, 45, 46, 200, 207, 43, 78, 85, 178, 170, 86, 242, 77,
    45, 46, 78, 76, 79, 245, 76, 81, 178, 82, 50, 55, 180, 50, 52, 180, 50, 176, 50, 80, 210, 1, 170, 41, 44,
    77, 45, 46, 1, 139, 23, 233, 26, 42, 213, 214, 2, 0, 11, 191, 96, 194, 56, 0, 0, 0,
];

const TOPIC: &str = "pulsar-a/ns/t";
const OTHER_TOPIC: &str = "pulsar-a/ns/other";

fn failing(code: &str, text: &str) -> Step {
    ok(&json!({"Response": {"Error": {"Code": code, "Message": text}, "RequestId": "r-1"}}).to_string())
}

fn refusing(status_: u16, code: &str, text: &str) -> Step {
    status(status_, &json!({"error_code": code, "error_msg": text}).to_string())
}

fn tdmq_with(url: &str, more: &[(&str, &str)]) -> tdmq::Client {
    let own = [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"),
        ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE"),
    ];
    tdmq::Client::new(context(&[&own, more].concat(), Wall::new().clock()))
}

fn tdmq(url: &str) -> tdmq::Client {
    tdmq_with(url, &[])
}

fn dms_with(url: &str, more: &[(&str, &str)]) -> rocketmq::Client {
    let own = [
        ("ROCKETMQ_ENDPOINT", url),
        ("ROCKETMQ_INSTANCE_ID", "11111111-2222-3333-4444-555555555555"),
        ("HUAWEICLOUD_SDK_AK", "AKEXAMPLE"),
        ("HUAWEICLOUD_SDK_SK", "SKEXAMPLE"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "0123456789abcdef0123456789abcdef"),
    ];
    rocketmq::Client::new(context(&[&own, more].concat(), Wall::new().clock()))
}

fn dms(url: &str) -> rocketmq::Client {
    dms_with(url, &[])
}

async fn to(client: &impl Queue, topic: &str) -> Result<Receipt, SendError> {
    client.send(&message(topic, "x"), seconds(9)).await
}

/// Text that a vendor quotes of a message is masked. Our own words stay, even where a message has them too: the
/// address of a queue that cannot be reached, and the advice before the vendor's text.
#[tokio::test(start_paused = true)]
async fn only_the_vendors_words_are_masked() {
    let text = "card 4111 1111, from http://127.0.0.1:443/ to create the topic, or correct its name";
    let detail = |sent: Result<Receipt, SendError>| sent.unwrap_err().detail.clone();

    let server = Server::start([failing("ResourceNotFound.Topic", &format!("no topic for {text}"))]).await;
    let told = detail(tdmq(&server.url).send(&message(TOPIC, text), seconds(9)).await);
    let advice = "create the topic, or correct its name in hooks.toml";
    assert!(told.starts_with(advice) && told.ends_with(": no topic for <message>"), "{told}");
    let server = Server::start([refusing(400, "DMS.00400005", text)]).await;
    let told = detail(dms(&server.url).send(&message("test-001", text), seconds(9)).await);
    assert_eq!(told, "<message>");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let told = detail(tdmq(&url).send(&message(TOPIC, text), seconds(1)).await);
    assert!(told.contains("127.0.0.1") && !told.contains("<message>"), "{told}");
    let told = detail(dms(&url).send(&message("test-001", text), seconds(1)).await);
    assert!(told.contains("127.0.0.1") && !told.contains("<message>"), "{told}");
}

/// An error about the sender, the source address or the account's payment opens the circuit of all topics.
#[tokio::test(start_paused = true)]
async fn what_an_account_may_not_opens_the_circuit_of_all_topics() {
    for (code, class, everywhere) in [
        ("IpInBlacklist", Class::Permission, true),
        ("IpNotInWhitelist", Class::Permission, true),
        ("IpNotInWhitelist.SomethingNew", Class::Permission, true),
        ("ResourceUnavailable.FundRequired", Class::Quota, true),
        ("UnauthorizedOperation", Class::Permission, false),
        ("LimitExceeded", Class::Quota, false),
    ] {
        let server = Server::start([failing(code, "m"), ok(STORED), ok(STORED)]).await;
        let client = tdmq(&server.url);
        assert_eq!(to(&client, TOPIC).await.unwrap_err().class, class, "{code}");
        assert_eq!(to(&client, OTHER_TOPIC).await.is_err(), everywhere, "{code}");
    }
    for (status, code, class, everywhere) in [
        (403, "DMS.00403002", Class::Permission, true),
        (403, "DMS.10240309", Class::Permission, true),
        (403, "DMS.10240310", Class::Permission, true),
        (403, "DMS.00403003", Class::Permission, false),
        (403, "APIG.0302", Class::Permission, true),
        (403, "APIGW.0401", Class::Permission, true),
        (403, "APIG.0402", Class::Permission, true),
        (403, "APIG.0501", Class::Quota, true),
        (403, "APIGW.0502", Class::Permission, true),
        (400, "DMS.00400005", Class::Config, false),
    ] {
        let server = Server::start([refusing(status, code, "m"), ok(STORED_DMS), ok(STORED_DMS)]).await;
        let client = dms(&server.url);
        assert_eq!(to(&client, "test-001").await.unwrap_err().class, class, "{code}");
        assert_eq!(to(&client, "test-002").await.is_err(), everywhere, "{code}");
    }
}

/// An error about the frame of a request, which is the same for each message, opens a circuit.
#[tokio::test(start_paused = true)]
async fn tencents_refusal_of_the_frame_waits_and_opens_a_circuit() {
    for (code, text, everywhere) in [
        ("InvalidParameterValue", "A value specified in `Region` is not valid", false),
        ("InvalidParameter", "the cluster does not exist", false),
        ("InvalidParameter.SomethingNew", "m", false),
        ("MissingParameter", "m", false),
        ("UnknownParameter", "m", false),
        ("UnsupportedOperation", "m", false),
        ("InvalidAction", "m", true),
        ("NoSuchVersion", "m", true),
        ("ActionOffline", "m", true),
        ("UnsupportedProtocol", "m", true),
        ("UnsupportedRegion", "m", true),
        ("NoSuchProduct", "m", true),
    ] {
        let server = Server::start([failing(code, text), ok(STORED), ok(STORED), ok(STORED)]).await;
        let client = tdmq(&server.url);
        let error = to(&client, TOPIC).await.unwrap_err();
        assert_eq!((error.class, error.attempts, error.maybe_stored), (Class::Config, 1, false), "{code}");
        let error = to(&client, TOPIC).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Config, 0), "{code}: no circuit");
        assert_eq!(
            to(&client, OTHER_TOPIC).await.is_err(),
            everywhere,
            "{code}: how far the circuit reaches"
        );
        advance(Duration::from_secs(30)).await;
        to(&client, TOPIC).await.unwrap();
        to(&client, OTHER_TOPIC).await.unwrap();
    }
}

/// An error of DMS that a person must correct opens a circuit (row 7), and so do statuses with an unknown
/// code.
#[tokio::test(start_paused = true)]
async fn what_a_person_corrects_at_dms_waits_and_opens_a_circuit() {
    for (status, code, class, everywhere) in [
        (400, "DMS.00400030", Class::Config, true),
        (400, "DMS.00400061", Class::Config, true),
        (400, "DMS.00400002", Class::Config, true),
        (400, "DMS.10240005", Class::Config, true),
        (404, "DMS.00404022", Class::Config, true),
        (400, "DMS.00400039", Class::Quota, false),
        (400, "DMS.10240020", Class::Quota, false),
        (400, "DMS.00500982", Class::Quota, false),
        (400, "DMS.00400999", Class::Config, false),
        (402, "DMS.99", Class::Quota, false),
        (405, "DMS.99", Class::Config, true),
        (406, "DMS.99", Class::Config, false),
        (422, "DMS.99", Class::Config, false),
        (501, "DMS.99", Class::Config, false),
    ] {
        let server =
            Server::start([refusing(status, code, "m"), ok(STORED_DMS), ok(STORED_DMS), ok(STORED_DMS)])
                .await;
        let client = dms(&server.url);
        let error = to(&client, "test-001").await.unwrap_err();
        assert_eq!((error.class, error.attempts), (class, 1), "{status} {code}");
        let error = to(&client, "test-001").await.unwrap_err();
        assert_eq!((error.class, error.attempts), (class, 0), "{status} {code}: no circuit");
        assert_eq!(to(&client, "test-002").await.is_err(), everywhere, "{status} {code}");
        advance(Duration::from_secs(30)).await;
        to(&client, "test-001").await.unwrap();
    }
    for passing in [409, 423, 425] {
        let server = Server::start([refusing(passing, "DMS.99", "m"), ok(STORED_DMS)]).await;
        assert_eq!(to(&dms(&server.url), "test-001").await.unwrap().attempts, 2, "{passing}");
    }
}

/// A status about the head or the address never means that the message is too large.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_no_large_message() {
    for (code, class) in [
        (414, Class::Config),
        (431, Class::Config),
        (494, Class::Config),
        (413, Class::Config),
        (407, Class::Config),
        (402, Class::Quota),
    ] {
        for text in ["<html>Request Header Or Cookie Too Large</html>", ""] {
            let server = Server::start([status(code, text), ok(STORED)]).await;
            let error = to(&tdmq(&server.url), TOPIC).await.unwrap_err();
            assert_eq!((error.class, error.attempts), (class, 1), "{code} {text}");
            let server = Server::start([status(code, text), ok(STORED_DMS)]).await;
            let error = to(&dms(&server.url), "test-001").await.unwrap_err();
            assert_eq!((error.class, error.attempts), (class, 1), "{code} {text}");
        }
        let server = Server::start([refusing(code, "APIG.0201", "m"), ok(STORED_DMS)]).await;
        let error = to(&dms(&server.url), "test-001").await.unwrap_err();
        assert_eq!(error.class, class, "{code}");
    }
}

/// A refusal as too large is believed only of large messages, because a small one, such as a message that
/// refers to its body, fits everywhere.
#[tokio::test(start_paused = true)]
async fn too_large_is_believed_of_large_messages_only() {
    let codes = [
        failing("FailedOperation.MaxMessageSizeError", "m"),
        failing("RequestSizeLimitExceeded", "m"),
        status(413, "<html>"),
    ];
    for refusal in codes {
        for (length, class) in [(2000, Class::Config), (100_000, Class::TooLarge)] {
            let server = Server::start([refusal.clone()]).await;
            let large = message(TOPIC, &"x".repeat(length));
            let error = tdmq(&server.url).send(&large, seconds(9)).await.unwrap_err();
            assert_eq!((error.class, error.attempts), (class, 1), "{length}: {error}");
        }
    }
    for refusal in
        [refusing(400, "DMS.10540011", "m"), refusing(413, "APIG.0201", "m"), status(413, "<html>")]
    {
        for (length, class) in [(2000, Class::Config), (100_000, Class::TooLarge)] {
            let server = Server::start([refusal.clone()]).await;
            let large = message("test-001", &"x".repeat(length));
            let error = dms(&server.url).send(&large, seconds(9)).await.unwrap_err();
            assert_eq!((error.class, error.attempts), (class, 1), "{length}: {error}");
        }
    }
}

/// A receipt is read in every readable form of the answer to a stored message.
#[tokio::test(start_paused = true)]
async fn a_receipt_is_read_wherever_it_can_be() {
    let many = (0..900).map(|n| format!("X-Field-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    let bytes = STORED.as_bytes();
    let gbk = b"{\"Response\":{\"MessageId\":\"71:11:0:0\",\"RequestId\":\"r-1\",\"Note\":\"\xb7\xfe\xce\xf1\x95\x5c\"}}";
    let number = br#"{"Response":{"MessageId":711100,"RequestId":"r-1"}}"#;
    for (name, step, id) in [
        ("BOM", answer(200, "", &[b"\xef\xbb\xbf", bytes].concat()), "71:11:0:0"),
        ("number", answer(200, "", number), "711100"),
        ("GBK elsewhere", answer(200, "", gbk), "71:11:0:0"),
        (
            "Latin-1 elsewhere",
            answer(200, "", b"{\"Response\":{\"MessageId\":\"7\",\"Note\":\"caf\xe9\\\"\"}}"),
            "7",
        ),
        ("gzip", answer(200, "Content-Encoding: gzip\r\n", &GZIPPED), "71:11:0:0"),
        ("gzip that nobody names", answer(200, "", &GZIPPED), "71:11:0:0"),
        ("a wrong name for what it is", answer(200, "Content-Encoding: gzip\r\n", bytes), "71:11:0:0"),
        ("900 fields", answer(200, &many, bytes), "71:11:0:0"),
        ("obs-fold", answer(200, "X-Long: a\r\n b\r\n", bytes), "71:11:0:0"),
        ("a blank before the colon", answer(200, "X-Odd : a\r\n", bytes), "71:11:0:0"),
        ("a field without a colon", answer(200, "what is this\r\n", bytes), "71:11:0:0"),
        ("a name of other letters", answer(200, "X-Gr\u{f6}\u{df}e: 1\r\n", bytes), "71:11:0:0"),
    ] {
        let server = Server::start([step]).await;
        let receipt = to(&tdmq(&server.url), TOPIC).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((receipt.message_id.as_str(), receipt.attempts), (id, 1), "{name}");
    }
    for body in [format!("\u{feff}{STORED_DMS}"), r#"{"msg_id":644}"#.to_owned()] {
        let server = Server::start([ok(&body)]).await;
        assert_eq!(to(&dms(&server.url), "test-001").await.unwrap().attempts, 1, "{body}");
    }
}

/// An unreadable receipt costs two copies, and then one for each probe, instead of nine copies in each run.
#[tokio::test(start_paused = true)]
async fn an_unreadable_receipt_costs_two_copies_and_then_one_for_each_probe() {
    let huge = format!(r#"{{"Response":{{"MessageId":"7","Note":"{}"}}}}"#, "x".repeat(1 << 20));
    for (name, step) in [
        ("HTML", ok("<html>captive portal</html>")),
        ("empty", ok("")),
        ("no id and no error", ok(r#"{"Response":{"RequestId":"r"}}"#)),
        ("an id of another kind", ok(r#"{"Response":{"MessageId":{"ledger":7},"RequestId":"r"}}"#)),
        ("compressed as nobody asked", answer(200, "Content-Encoding: br\r\n", b"\x1b\x03")),
        ("longer than any receipt", ok(&huge)),
        ("executed, and too long to be said", failing("ResponseSizeLimitExceeded", "m")),
        ("no HTTP", Step::Raw("SSH-2.0-x\r\n".to_owned())),
        (
            "chunks without a length",
            Step::Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_owned()),
        ),
        ("two lengths", answer(200, "Content-Length: 1\r\n", STORED.as_bytes())),
    ] {
        let server = Server::start(vec![step; 50]).await;
        let client = tdmq(&server.url);
        let error = to(&client, TOPIC).await.unwrap_err();
        assert_eq!(
            (error.class, error.attempts, error.maybe_stored),
            (Class::Config, 2, true),
            "{name}: {error}"
        );
        for topic in [TOPIC, OTHER_TOPIC] {
            let error = to(&client, topic).await.unwrap_err();
            assert_eq!(
                (error.class, error.attempts, error.maybe_stored),
                (Class::Config, 0, false),
                "{name}"
            );
        }
        advance(Duration::from_secs(30)).await;
        let error = to(&client, OTHER_TOPIC).await.unwrap_err();
        assert_eq!(
            (error.class, error.attempts, error.maybe_stored),
            (Class::Config, 1, true),
            "{name}: a probe"
        );
        assert_eq!(server.seen().len(), 3, "{name}");
    }
    // After one unreadable receipt, a second attempt decides.
    let server = Server::start([ok("<html>"), ok(STORED), ok("<html>"), ok(STORED)]).await;
    let client = tdmq(&server.url);
    for _ in 0..2 {
        assert_eq!(to(&client, TOPIC).await.unwrap().attempts, 2);
    }
    // A connection that breaks is retried as usual.
    let server = Server::start(vec![Step::Drop; 50]).await;
    let error = to(&tdmq(&server.url), TOPIC).await.unwrap_err();
    assert!(error.class == Class::Ambiguous && error.attempts > 3, "{error:?}");
}

/// Unreadable receipts are counted over several sends, of which each has time for one attempt only.
#[tokio::test(start_paused = true)]
async fn unreadable_receipts_are_counted_over_sends() {
    let late = Step::Late("<html>".to_owned(), Duration::from_millis(950));
    let server = Server::start(vec![late; 9]).await;
    let client = tdmq(&server.url);
    let message = message(TOPIC, "x");
    let mut classes = Vec::new();
    for _ in 0..4 {
        let error = client.send(&message, seconds(1)).await.unwrap_err();
        classes.push((error.class, error.attempts));
    }
    let want = [(Class::Ambiguous, 1), (Class::Config, 1), (Class::Config, 0), (Class::Config, 0)];
    assert_eq!(classes, want);
}

/// An error of the API in a Chinese encoding is recognized by its code.
#[tokio::test(start_paused = true)]
async fn an_error_whose_text_is_not_utf_8_is_read_by_its_code() {
    // The second character's last byte is a backslash, right before the quote.
    let gbk = b"{\"Response\":{\"Error\":{\"Code\":\"AuthFailure.SecretIdNotFound\",\"Message\":\"\xb7\xfe\xce\xf1\x95\x5c\"},\"RequestId\":\"r-1\"}}";
    let server = Server::start([answer(200, "", gbk)]).await;
    let error = to(&tdmq(&server.url), TOPIC).await.unwrap_err();
    assert_eq!(
        (error.class, error.code.as_deref(), error.attempts),
        (Class::Auth, Some("AuthFailure.SecretIdNotFound"), 1)
    );
    let gbk = b"{\"error_code\":\"DMS.00400876\",\"error_msg\":\"\xb7\xfe\x95\x5c\"}";
    let server = Server::start([answer(400, "", gbk)]).await;
    let error = to(&dms(&server.url), "test-001").await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (Class::Config, Some("DMS.00400876")));
}

/// A broker's own limit, lower than the vendor's, opens a circuit and can be configured.
#[tokio::test(start_paused = true)]
async fn a_brokers_own_limit_waits_and_can_be_set() {
    let text = "CODE: 13 DESC: the message is illegal, maybe msg body or properties length not matched. \
                msg body length limit 131072B";
    let large = message("test-001", &"x".repeat(200_000));
    let server = Server::start([refusing(400, "DMS.00400999", text)]).await;
    let error = dms(&server.url).send(&large, seconds(9)).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Config, 1));

    let client = dms_with(&server.url, &[("ROCKETMQ_MAX_MESSAGE", "128KiB")]);
    let error = client.send(&large, seconds(9)).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::TooLarge, 0));
    // The broker counts the properties too.
    let fits = Message {
        properties: vec![("CE_id".into(), "x".repeat(1000))],
        ..message("test-001", &"x".repeat(131_072 - 500))
    };
    assert_eq!(client.send(&fits, seconds(9)).await.unwrap_err().class, Class::TooLarge);

    let client = tdmq_with(&server.url, &[("TDMQ_MAX_MESSAGE", "131072")]);
    let error = client.send(&message(TOPIC, &"x".repeat(131_073)), seconds(9)).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::TooLarge, 0));
    assert_eq!(server.seen().len(), 1);

    for wrong in ["1MB", "x", "0", "65535", "4194305", "-1"] {
        let client = dms_with(&server.url, &[("ROCKETMQ_MAX_MESSAGE", wrong)]);
        let is_wrong = wrong != "1MB";
        assert_eq!(
            client.problems().iter().any(|p| p.variable == "ROCKETMQ_MAX_MESSAGE"),
            is_wrong,
            "{wrong}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_asks_for_an_hour_at_most() {
    let asked = Step::Answer(429, vec![("Retry-After", "86400".to_owned())], "slow".to_owned());
    let server = Server::start([asked]).await;
    let error = to(&tdmq(&server.url), TOPIC).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(3600)));
}

/// The size check of `send` is available without a call, for the decision to store a body.
#[tokio::test(start_paused = true)]
async fn a_message_is_weighed_without_asking_anybody() {
    let server = Server::start([]).await;
    let class = |client: &Client, topic: &str, text: &str| {
        client.takes(&message(topic, text)).err().map(|error| (error.class, error.attempts))
    };
    let refused = |class| Some((class, 0));
    let tencent = Client::Tdmq(tdmq(&server.url));
    let huawei = Client::Rocketmq(dms(&server.url));
    for (client, topic, most) in [(&tencent, TOPIC, 1 << 20), (&huawei, "test-001", 4 << 20)] {
        assert_eq!(class(client, topic, "x"), None);
        assert_eq!(class(client, topic, &"x".repeat(most)), None);
        assert_eq!(class(client, topic, &"x".repeat(most + 1)), refused(Class::TooLarge));
        assert_eq!(class(client, "no topic", "x"), refused(Class::Config));
    }
    assert_eq!(class(&huawei, "test-001", ""), refused(Class::Permanent));
    // Escapes count, because the limit applies to the whole request.
    assert_eq!(class(&huawei, "test-001", &"\u{1}".repeat(3 << 20)), refused(Class::TooLarge));
    // A reference to the body would have the same properties.
    let subject = vec![("CE_subject".into(), "x".repeat(20_000))];
    let error = huawei.takes(&Message { properties: subject, ..message("test-001", "x") }).unwrap_err();
    assert_eq!(error.class, Class::Permanent);

    let wrong = tdmq_with(&server.url, &[("TDMQ_MAX_MESSAGE", "x")]);
    let error = wrong.takes(&message(TOPIC, "x")).unwrap_err();
    assert!(error.class == Class::Config && error.detail.starts_with("TDMQ_MAX_MESSAGE"), "{error}");
    assert_eq!(server.connections(), 0);
}
