//! Tests of each fault over a real connection, and of the control paths.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::kit::*;
use hookmq_emulator::{Behind, Config, Emulator, Fault, FaultKind, Vendor};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

/// Sends a TDMQ and a DMS request that meet the same fault.
async fn both(emulator: &Emulator, fault: FaultKind) -> [std::io::Result<Incoming>; 2] {
    emulator.clear();
    emulator.set_faults(vec![Fault::new(fault).times(2)]);
    [tdmq(emulator, "x").try_send(emulator).await, dms(emulator, "x").try_send(emulator).await]
}

async fn control(emulator: &Emulator, method: &str, path: &str, body: &str) -> Incoming {
    Outgoing::new(method, path, body).header("Host", "localhost").send(emulator).await
}

fn outcomes(emulator: &Emulator) -> Vec<(String, bool)> {
    emulator.requests().into_iter().map(|seen| (seen.outcome, seen.stored)).collect()
}

#[tokio::test]
async fn throttling_is_each_vendors_own() {
    let emulator = start().await;
    let [tdmq, dms] = both(&emulator, FaultKind::Throttle).await.map(Result::unwrap);
    assert_eq!((tdmq.status, tdmq.code().as_str()), (200, "RequestLimitExceeded"));
    assert_eq!((dms.status, dms.code().as_str(), dms.header("retry-after")), (429, "APIG.0308", Some("1")));
    emulator.set_faults(vec![Fault::new(FaultKind::Throttle)]);
    let iam = iam(&emulator, &iam_body()).send(&emulator).await;
    assert_eq!((iam.status, iam.json()["error"]["code"].as_u64()), (429, Some(429)));
    assert!(emulator.messages().is_empty());
}

#[tokio::test]
async fn an_error_has_the_code_status_text_and_headers_asked_for() {
    let emulator = start().await;
    let error = |stored| FaultKind::Error {
        code: "Some.Code".into(),
        status: Some(StatusCode::SERVICE_UNAVAILABLE),
        message: Some("some text".into()),
        headers: HeaderMap::from_iter([("retry-after".parse().unwrap(), HeaderValue::from_static("7"))]),
        stored,
    };
    for stored in [false, true] {
        for answer in both(&emulator, error(stored)).await.map(Result::unwrap) {
            assert_eq!((answer.status, answer.code().as_str()), (503, "Some.Code"));
            assert_eq!(answer.header("retry-after"), Some("7"));
            assert!(String::from_utf8_lossy(&answer.body).contains("some text"));
        }
        assert_eq!(emulator.messages().len(), if stored { 2 } else { 0 });
        assert!(emulator.requests().iter().all(|seen| seen.stored == stored));
    }
    let plain: Vec<Fault> =
        serde_json::from_str(r#"[{"fault": {"error": {"code": "X"}}, "times": 3}]"#).unwrap();
    emulator.set_faults(plain);
    assert_eq!(tdmq(&emulator, "x").send(&emulator).await.status, 200);
    assert_eq!(dms(&emulator, "x").send(&emulator).await.status, 500);
    assert_eq!(iam(&emulator, &iam_body()).send(&emulator).await.status, 500);
}

#[tokio::test]
async fn the_broker_behind_has_a_message_before_the_answer_says_so() {
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let broker = Arc::clone(&taken);
    let behind: Behind = Arc::new(move |message| {
        let broker = Arc::clone(&broker);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if message.text.contains("refused") {
                return Err(format!("no room for {}", message.topic));
            }
            broker.lock().unwrap().push(message.text);
            Ok(())
        })
    });
    let emulator = start_with(Config { behind: Some(behind), ..config() }).await;
    assert_eq!(tdmq(&emulator, "first").send(&emulator).await.code(), "none");
    let refused = tdmq(&emulator, "refused").send(&emulator).await;
    assert_eq!(refused.code(), "FailedOperation.SendMessageTimeoutError");
    assert!(String::from_utf8_lossy(&refused.body).contains(TDMQ_TOPIC));
    assert_eq!(dms(&emulator, "refused").send(&emulator).await.status, 504);
    assert_eq!(dms(&emulator, "second").send(&emulator).await.status, 200);
    let texts = |emulator: &Emulator| emulator.messages().into_iter().map(|m| m.text).collect::<Vec<_>>();
    assert_eq!(*taken.lock().unwrap(), ["first", "second"]);
    assert_eq!(texts(&emulator), ["first", "second"]);
    let stored: Vec<_> = emulator.requests().iter().map(|seen| seen.stored).collect();
    assert_eq!(stored, [true, false, false, true]);
    // A request that stores nothing reaches no broker, and one that a fault hides does.
    emulator.set_faults(vec![Fault::new(FaultKind::Throttle), Fault::new(FaultKind::StoredReset)]);
    tdmq(&emulator, "third").send(&emulator).await;
    assert!(tdmq(&emulator, "fourth").try_send(&emulator).await.is_err());
    assert_eq!(*taken.lock().unwrap(), ["first", "second", "fourth"]);
}

#[tokio::test]
async fn answers_that_prove_nothing_store_nothing() {
    let emulator = start().await;
    let [tdmq_answer, dms_answer] = both(&emulator, FaultKind::NoId).await.map(Result::unwrap);
    assert_eq!(tdmq_answer.json()["Response"]["MessageId"], Value::Null);
    assert_eq!(tdmq_answer.json()["Response"]["ErrorMsg"], "");
    assert_eq!((dms_answer.status, dms_answer.json().get("msg_id")), (200, None));
    assert!(emulator.messages().is_empty());

    let [tdmq_answer, dms_answer] =
        both(&emulator, FaultKind::ErrorMsg("no luck".into())).await.map(Result::unwrap);
    assert_eq!(tdmq_answer.json()["Response"]["ErrorMsg"], "no luck");
    assert_eq!(tdmq_answer.code(), "none");
    assert!(dms_answer.json()["msg_id"].is_string(), "TDMQ's own form");

    let [tdmq_answer, _] = both(&emulator, FaultKind::Legacy("AuthFailure".into())).await.map(Result::unwrap);
    assert_eq!(tdmq_answer.json()["codeDesc"], "AuthFailure");
    assert_eq!(tdmq_answer.json()["code"], 4100);
}

#[tokio::test]
async fn raw_answers_and_redirects_are_as_asked() {
    let emulator = start().await;
    for status in [200, 204, 304, 404, 502, 999] {
        let raw = FaultKind::Raw {
            status: StatusCode::from_u16(status).unwrap(),
            content_type: HeaderValue::from_static("text/html"),
            body: if status < 400 && status != 200 { String::new() } else { "<html>".into() },
        };
        for answer in both(&emulator, raw).await.map(Result::unwrap) {
            assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html")));
        }
    }
    let redirect = FaultKind::Redirect(HeaderValue::from_static("http://127.0.0.1:1/"));
    for answer in both(&emulator, redirect).await.map(Result::unwrap) {
        assert_eq!((answer.status, answer.header("location")), (302, Some("http://127.0.0.1:1/")));
    }
    assert!(emulator.messages().is_empty());
}

#[tokio::test]
async fn connections_end_as_asked_and_messages_are_stored_as_named() {
    let emulator = start().await;
    for (fault, kind, outcome, stored) in [
        (FaultKind::Reset, ErrorKind::ConnectionReset, "reset", false),
        (FaultKind::StoredReset, ErrorKind::ConnectionReset, "reset", true),
        (FaultKind::Close, ErrorKind::UnexpectedEof, "closed", false),
        (FaultKind::Truncate, ErrorKind::UnexpectedEof, "stored", true),
    ] {
        for answer in both(&emulator, fault.clone()).await {
            assert_eq!(answer.err().map(|error| error.kind()), Some(kind), "{fault:?}");
        }
        assert_eq!(outcomes(&emulator), [(outcome.to_owned(), stored), (outcome.to_owned(), stored)]);
        assert_eq!(emulator.messages().len(), if stored { 2 } else { 0 }, "{fault:?}");
        assert_eq!(tdmq(&emulator, "x").send(&emulator).await.status, 200, "after {fault:?}");
    }
}

#[tokio::test]
async fn what_is_never_answered_may_be_stored_or_not() {
    let emulator = start().await;
    for (fault, stored) in [(FaultKind::Hang, 0), (FaultKind::StoredNoAnswer, 1)] {
        emulator.clear();
        emulator.set_faults(vec![Fault::new(fault)]);
        let request = tdmq(&emulator, "x");
        let mut answer = Box::pin(request.send(&emulator));
        while emulator.requests().is_empty() {
            assert!(timeout(Duration::from_millis(5), &mut answer).await.is_err(), "answered");
        }
        assert!(timeout(Duration::from_millis(100), &mut answer).await.is_err(), "answered");
        assert_eq!(emulator.messages().len(), stored);
        assert_eq!(
            (emulator.requests()[0].outcome.as_str(), emulator.requests()[0].status),
            ("no answer", None)
        );
    }
}

#[tokio::test]
async fn a_refused_request_is_refused_whatever_was_to_follow() {
    let emulator = start().await;
    for fault in [FaultKind::StoredReset, FaultKind::StoredNoAnswer, FaultKind::Truncate] {
        emulator.set_faults(vec![Fault::new(fault)]);
        let answer = tdmq(&emulator, "x").header("X-TC-Region", "nowhere").send(&emulator).await;
        assert_eq!(answer.code(), "UnsupportedRegion");
    }
    assert!(emulator.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn late_and_slow_answers_take_their_time() {
    let emulator = start().await;
    for (fault, least) in [(FaultKind::LatencyMs(5_000), 5_000), (FaultKind::SlowBodyMs(8_000), 8_000)] {
        emulator.set_faults(vec![Fault::new(fault)]);
        let begun = tokio::time::Instant::now();
        let answer = tdmq(&emulator, "x").send(&emulator).await;
        assert_eq!(answer.code(), "none");
        assert!(begun.elapsed() >= Duration::from_millis(least), "{:?}", begun.elapsed());
    }
    assert_eq!(emulator.messages().len(), 2);
}

#[tokio::test]
async fn the_clock_can_be_off() {
    let emulator = start().await;
    emulator.set_faults(vec![Fault::new(FaultKind::ClockOffsetS(-3600)).times(0)]);
    let answer = tdmq(&emulator, "x").send(&emulator).await;
    assert_eq!(answer.code(), "AuthFailure.SignatureExpire");
    assert_eq!(answer.header("date"), Some("Sun, 22 Nov 2026 11:33:55 GMT"));
    let answer = dms(&emulator, "x").send(&emulator).await;
    assert!(answer.json()["error_msg"].to_string().contains("server time:20261122T113355Z"));
    let body = json!({"Topic": TDMQ_TOPIC, "Payload": "x"});
    let (id, key) = (hookmq_emulator::sample::SECRET_ID, hookmq_emulator::sample::SECRET_KEY);
    let corrected = tdmq_unsigned(&emulator, &body).tc3(id, key, "content-type;host", NOW - 3600);
    assert_eq!(corrected.send(&emulator).await.code(), "none");
    for extreme in [i64::MIN, i64::MAX] {
        emulator.set_faults(vec![Fault::new(FaultKind::ClockOffsetS(extreme))]);
        assert_eq!(tdmq(&emulator, "x").send(&emulator).await.code(), "AuthFailure.SignatureExpire");
    }
}

#[tokio::test]
async fn the_plan_is_set_read_and_cleared_over_http() {
    let emulator = start().await;
    let plan = r#"[{"fault": "throttle", "vendor": "tdmq"}, {"fault": "reset", "topic": "nobody's"},
        {"fault": {"latency_ms": 1}, "times": 0}]"#;
    assert_eq!(control(&emulator, "PUT", "/_/faults", plan).await.status, 200);
    assert_eq!(dms(&emulator, "x").send(&emulator).await.code(), "none", "another vendor");
    assert_eq!(tdmq(&emulator, "x").send(&emulator).await.code(), "RequestLimitExceeded");
    let left = control(&emulator, "GET", "/_/faults", "").await.json();
    let left: Vec<_> = left.as_array().unwrap().iter().map(|fault| &fault["fault"]).collect();
    assert_eq!(left, [&json!("reset"), &json!({"latency_ms": 1})]);
    assert_eq!(emulator.requests()[1].faults, ["throttle", "latency_ms"]);

    let refused = control(&emulator, "PUT", "/_/faults", r#"[{"fault": "sulk"}]"#).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].as_str().unwrap().contains("sulk"));
    assert_eq!(control(&emulator, "DELETE", "/_/faults", "").await.json(), json!([]));
    assert_eq!(control(&emulator, "POST", "/_/faults", "").await.header("allow"), Some("GET, PUT, DELETE"));
    assert_eq!(control(&emulator, "GET", "/_/nothing", "").await.status, 404);
    assert_eq!(control(&emulator, "GET", "/", "").await.status, 200);
}

#[tokio::test]
async fn requests_gather_and_are_answered_together() {
    let emulator = start().await;
    emulator.set_faults(vec![Fault::new(FaultKind::Gather(3)).times(3)]);
    let requests = ["one", "two", "three"].map(|payload| tdmq(&emulator, payload));
    let [one, two, three] = &requests;
    let answers = tokio::join!(one.send(&emulator), two.send(&emulator), three.send(&emulator));
    assert_eq!([answers.0.code(), answers.1.code(), answers.2.code()], ["none", "none", "none"]);
    assert!(emulator.requests().iter().all(|seen| seen.faults == ["gather"] && seen.stored));
}

#[tokio::test]
async fn messages_and_requests_are_told_over_http_without_credentials() {
    let emulator = start().await;
    let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
    for payload in ["one", "two"] {
        tdmq(&emulator, payload).send_over(&mut stream).await.unwrap();
    }
    let token = token(&emulator).await;
    dms_with(&emulator, &token).send(&emulator).await;

    let messages = control(&emulator, "GET", "/_/messages", "").await;
    let texts: Vec<_> = messages.json().as_array().unwrap().iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "x"]);
    let requests = control(&emulator, "GET", "/_/requests", "").await;
    assert_eq!(requests.json()["counts"], json!({"tdmq": 2, "rocketmq": 1, "iam": 1}));
    let seen = requests.json()["requests"].clone();
    assert_eq!((&seen[0]["reused"], &seen[1]["reused"]), (&json!(false), &json!(true)));
    assert_eq!(seen[0]["connection"], seen[1]["connection"]);
    for answer in [messages, requests] {
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            !text.contains(&token) && !text.contains("Signature=") && !text.contains("authorization"),
            "{text}"
        );
    }
    assert_eq!(control(&emulator, "DELETE", "/_/messages", "").await.json(), json!([]));
    assert_eq!(control(&emulator, "DELETE", "/_/requests", "").await.json(), json!([]));
    assert!(emulator.messages().is_empty() && emulator.requests().is_empty());
}

#[tokio::test]
async fn many_connections_are_served_at_once_and_none_after_the_stop() {
    let emulator = start().await;
    emulator.set_faults(vec![Fault::new(FaultKind::Hang).vendor(Vendor::Iam)]);
    let mut hanging = TcpStream::connect(emulator.addr()).await.unwrap();
    let request = iam(&emulator, &iam_body());
    let hanging = request.send_over(&mut hanging);
    let (hanging, ()) = tokio::join!(hanging, async {
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(TcpStream::connect(emulator.addr()).await.unwrap());
        }
        for _ in 0..2 {
            for stream in &mut streams {
                let answer = tdmq(&emulator, "x").send_over(stream).await.unwrap();
                assert_eq!(answer.code(), "none");
            }
        }
        assert_eq!(emulator.messages().len(), 100);
        let addr = emulator.addr();
        emulator.stop().await;
        assert!(TcpStream::connect(addr).await.is_err());
    });
    assert!(hanging.is_err(), "a stop drops what is under way");
}

#[tokio::test]
async fn what_is_taken_is_forgotten_and_in_one_order() {
    let emulator = start().await;
    emulator.set_faults(vec![Fault::new(FaultKind::Throttle), Fault::new(FaultKind::StoredReset).times(2)]);
    let sends = [tdmq(&emulator, "refused"), tdmq(&emulator, "first"), dms(&emulator, "second")];
    for send in sends {
        let _ = send.try_send(&emulator).await;
    }
    let (messages, requests) = emulator.take();
    let texts: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["first", "second"]);
    let stored: Vec<_> = requests.iter().filter(|seen| seen.stored).map(|seen| seen.vendor).collect();
    assert_eq!((requests.len(), stored), (3, vec![Vendor::Tdmq, Vendor::Rocketmq]));
    assert!(emulator.messages().is_empty() && emulator.requests().is_empty());
}
