//! Tests of deadlines, retries and circuits against a misbehaving vendor on real sockets. The TDMQ client
//! stands for both clients, because this code is shared.

use std::time::Duration;

use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::context::Context;
use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::queue::{Class, Effort, Queue as _, Receipt, SendError, Until};
use tokio::time::{Instant, advance};

use crate::kit::server::{Server, Step, Wall, context, message, ok, seconds, status};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

fn failing(code: &str) -> Step {
    ok(&format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"m"}},"RequestId":"r-1"}}}}"#))
}

fn context_of(url: &str, key: &str, clock: Clock) -> Context {
    let vars = [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"),
        ("TENCENTCLOUD_SECRET_KEY", key),
    ];
    context(&vars, clock)
}

fn client_of(url: &str, key: &str, clock: Clock) -> Client {
    Client::new(context_of(url, key, clock))
}

fn client(url: &str) -> Client {
    client_of(url, "KEYEXAMPLE", Wall::new().clock())
}

async fn send(client: &Client, deadline: u64) -> Result<Receipt, SendError> {
    client.send(&message("pulsar-a/ns/t", "hello"), seconds(deadline)).await
}

#[tokio::test(start_paused = true)]
async fn what_breaks_on_the_way_is_sent_again_on_a_connection_of_its_own() {
    let truncated = Step::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Resp".to_owned());
    let garbage = Step::Raw("SSH-2.0-x\r\n".to_owned());
    for broken in [Step::Drop, Step::Reset, Step::Hang, truncated, garbage, Step::Raw(String::new())] {
        let server = Server::start([ok(STORED), broken, ok(STORED)]).await;
        let client = client(&server.url);
        send(&client, 10).await.unwrap();
        let receipt = send(&client, 10).await.unwrap();
        assert_eq!(receipt.attempts, 2);
        let seen = server.seen();
        let connections: Vec<usize> = seen.iter().map(|s| s.connection).collect();
        assert_eq!(connections, [0, 0, 1]);
        let text = |at: usize| seen[at].json()["Payload"].clone();
        assert_eq!(text(1), text(2), "the same message");
    }
}

/// The first of several endpoints is out of reach: the next one is asked, soon at once, for both clients.
#[tokio::test(start_paused = true)]
async fn an_endpoint_out_of_reach_gives_way_to_the_next() {
    let dead = "http://127.0.0.1:1";
    for effort in [Effort::Whole, Effort::Brief] {
        let server = Server::start(vec![ok(STORED); 9]).await;
        let client = client(&format!("{dead}, {}", server.url));
        let mut attempts = Vec::new();
        for _ in 0..4 {
            let until = Until { deadline: seconds(10), effort };
            attempts.push(client.send(&message("pulsar-a/ns/t", "hello"), until).await.unwrap().attempts);
        }
        // The circuit of the first endpoint opens at its third failure.
        assert_eq!(attempts, [2, 2, 2, 1], "{effort:?}");
        let host = server.url.strip_prefix("http://");
        assert!(server.seen().iter().all(|seen| seen.header("host") == host), "signed for it");
        assert_eq!(client.open().endpoint, 1);
    }

    // An answer, of whatever kind, is the vendor's word: no other endpoint is asked.
    let (first, second) = (Server::start([]).await, Server::start([]).await);
    for step in [failing("AuthFailure.SignatureFailure"), status(503, "<html>"), Step::Drop] {
        first.then([step]);
        let error = send(&client(&format!("{},{}", first.url, second.url)), 1).await.unwrap_err();
        assert_ne!(error.class, Class::Permanent, "{error}");
    }
    assert_eq!(second.seen().len(), 0);

    // The last of them leads back to the first, as long as there is time.
    let error = send(&client(&format!("{dead},http://127.0.0.1:2")), 2).await.unwrap_err();
    assert!(error.attempts > 2 && !error.maybe_stored, "{error:?}");
    let problems = client(&format!("{dead},")).problems();
    assert_eq!(problems[0].variable, "TDMQ_ENDPOINT");
}

#[tokio::test(start_paused = true)]
async fn what_broke_after_writing_may_be_stored() {
    let slow = Step::Slow(STORED.to_owned(), Duration::from_secs(1));
    for broken in [Step::Drop, Step::Reset, Step::Hang, slow] {
        let server = Server::start(vec![broken; 50]).await;
        let error = send(&client(&server.url), 3).await.unwrap_err();
        assert_eq!((error.class, error.maybe_stored), (Class::Ambiguous, true), "{error}");
        assert!(error.attempts >= 2 && error.attempts as usize == server.seen().len(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_stores_nothing_and_is_left_alone_for_a_while() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = send(&client, 3).await.unwrap_err();
    assert_eq!((error.class, error.maybe_stored), (Class::Transient, false));
    assert!(error.attempts >= 3, "{error:?}");
    assert!(error.detail.contains("cannot connect to http://127.0.0.1"), "{error}");
    let error = send(&client, 3).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Transient, 0));
    advance(Duration::from_secs(5)).await;
    assert!(send(&client, 3).await.unwrap_err().attempts > 0, "half-open");
}

#[tokio::test(start_paused = true)]
async fn each_class_has_its_retries() {
    for (code, class, attempts) in [
        ("InternalError.IllegalMessage", Class::Permanent, 1..=1),
        ("InvalidParameterValue.TopicNotFound", Class::Config, 1..=1),
        ("UnauthorizedOperation", Class::Permission, 1..=1),
        ("ResourceUnavailable.FundRequired", Class::Quota, 1..=1),
        ("AuthFailure.SignatureFailure", Class::Auth, 1..=1),
        ("AuthFailure.TokenFailure", Class::AuthRefresh, 2..=2),
        ("AuthFailure.SignatureExpire", Class::ClockSkew, 2..=2),
        ("RequestLimitExceeded", Class::Throttle, 2..=5),
        ("InternalError", Class::Transient, 4..=10),
        ("FailedOperation.SendMessageTimeoutError", Class::Ambiguous, 4..=10),
    ] {
        let server = Server::start(vec![failing(code); 50]).await;
        let begin = Instant::now();
        let error = send(&client(&server.url), 8).await.unwrap_err();
        assert_eq!((error.class, error.code.as_deref()), (class, Some(code)));
        assert_eq!(error.request_id.as_deref(), Some("r-1"));
        assert!(attempts.contains(&error.attempts), "{code}: {} attempts", error.attempts);
        assert_eq!(server.seen().len(), error.attempts as usize, "{code}");
        assert!(begin.elapsed() <= Duration::from_secs(8), "{code}: over the deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_is_saved_by_its_retry() {
    for code in
        ["AuthFailure.TokenFailure", "AuthFailure.SignatureExpire", "RequestLimitExceeded", "InternalError"]
    {
        let server = Server::start([failing(code), ok(STORED)]).await;
        assert_eq!(send(&client(&server.url), 8).await.unwrap().attempts, 2, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start([ok(STORED)]).await;
    let redirect = Step::Answer(307, vec![("Location", elsewhere.url.clone())], String::new());
    let server = Server::start([redirect, ok(STORED)]).await;
    assert_eq!(send(&client(&server.url), 8).await.unwrap().attempts, 2);
    assert_eq!((server.seen().len(), elsewhere.seen().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_or_ends_it() {
    let wait =
        |seconds: u64| Step::Answer(429, vec![("Retry-After", seconds.to_string())], "slow".to_owned());
    let server = Server::start([wait(3), ok(STORED)]).await;
    let begin = Instant::now();
    send(&client(&server.url), 10).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(3));

    for seconds in [30, u64::MAX] {
        let server = Server::start([wait(seconds), ok(STORED)]).await;
        let begin = Instant::now();
        let error = send(&client(&server.url), 10).await.unwrap_err();
        assert_eq!(
            (error.class, error.retry_after),
            (Class::Throttle, Some(Duration::from_secs(seconds.min(3600))))
        );
        assert_eq!((error.attempts, begin.elapsed() < Duration::from_secs(1)), (1, true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_passes_the_deadline_is_cut_to_it_once() {
    let asked = || Step::Answer(429, vec![("Retry-After", "1".to_owned())], "slow".to_owned());
    // The random number selects the whole of a first range of one second.
    let random = Random::from_fn(|| 1_000_000_000);
    for (script, attempts, stored) in [(vec![asked(), ok(STORED)], 2, true), (vec![asked(); 9], 2, false)] {
        let server = Server::start(script).await;
        let client = Client::new(Context {
            random: random.clone(),
            ..context_of(&server.url, "KEYEXAMPLE", Wall::new().clock())
        });
        let sent = send(&client, 2).await;
        assert_eq!((server.seen().len(), sent.is_ok()), (attempts, stored), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_signature_may_cure_opens_no_circuit_before_it_was_tried() {
    for code in ["AuthFailure.SignatureExpire", "AuthFailure.TokenFailure"] {
        let Step::Answer(_, _, body) = failing(code) else { unreachable!() };
        // The answer comes too late for another attempt.
        let server = Server::start([Step::Late(body, Duration::from_millis(950)), ok(STORED)]).await;
        let client = client(&server.url);
        let error = send(&client, 1).await.unwrap_err();
        assert_eq!((error.code.as_deref(), error.attempts), (Some(code), 1));
        assert_eq!(send(&client, 8).await.unwrap().attempts, 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_that_cannot_end() {
    let server = Server::start([ok(STORED)]).await;
    let deadline = Instant::now() + Duration::from_millis(20);
    let error = client(&server.url).send(&message("a/b/c", "x"), deadline).await.unwrap_err();
    assert_eq!((error.class, error.attempts, error.maybe_stored), (Class::Transient, 0, false));
    assert_eq!(server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_afresh() {
    let server = Server::start([failing("InternalError"), ok(STORED)]).await;
    send(&client_of(&server.url, "KEYEXAMPLE", Wall::new().ticking()), 8).await.unwrap();
    let seen = server.seen();
    let header = |name| [seen[0].header(name).unwrap(), seen[1].header(name).unwrap()];
    let [first, second] = header("x-tc-timestamp");
    assert!(first.parse::<u64>().unwrap() < second.parse().unwrap());
    let [first, second] = header("authorization");
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn the_vendors_clock_is_learned_once_and_kept() {
    let ahead = Timestamp::from_unix(1_700_000_000 + 1800);
    let expired = |date: &str| {
        let Step::Answer(status, _, body) = failing("AuthFailure.SignatureExpire") else { unreachable!() };
        Step::Answer(status, vec![("Date", date.to_owned())], body)
    };
    let server = Server::start([expired("Tue, 14 Nov 2023 22:43:20 GMT"), ok(STORED), ok(STORED)]).await;
    let client = client(&server.url);
    assert_eq!(send(&client, 8).await.unwrap().attempts, 2);
    assert_eq!(send(&client, 8).await.unwrap().attempts, 1);
    let times: Vec<String> =
        server.seen().iter().map(|s| s.header("x-tc-timestamp").unwrap().to_owned()).collect();
    assert_eq!(times, ["1700000000".to_owned(), ahead.unix().to_string(), ahead.unix().to_string()]);

    // The difference is years, which no clock that merely runs wrong has.
    server.then([expired("Tue, 14 Nov 2000 22:43:20 GMT"), ok(STORED)]);
    send(&client, 8).await.unwrap();
    assert_eq!(
        server.seen().last().unwrap().header("x-tc-timestamp"),
        Some(ahead.unix().to_string().as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_left_alone_until_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "WRONG").unwrap();
    let reference = format!("file:{}", path.display());
    let server = Server::start([failing("AuthFailure.SignatureFailure"), ok(STORED)]).await;
    let client = client_of(&server.url, &reference, Wall::new().clock());

    assert_eq!(send(&client, 8).await.unwrap_err().attempts, 1);
    let error = send(&client, 8).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Auth, 0));
    assert!(error.retry_after.unwrap() > Duration::from_secs(25));
    advance(Duration::from_secs(25)).await;
    assert_eq!(send(&client, 8).await.unwrap_err().attempts, 0);
    assert_eq!(server.seen().len(), 1);

    std::fs::write(&path, "RIGHT").unwrap();
    assert_eq!(send(&client, 8).await.unwrap().attempts, 1);
}

/// A new key that TDMQ does not know everywhere yet costs seconds only, because TDMQ does not lock keys.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_known_everywhere_yet_costs_seconds() {
    for code in ["AuthFailure.SecretIdNotFound", "AuthFailure.SignatureFailure", "AuthFailure"] {
        let server = Server::start([failing(code), ok(STORED)]).await;
        let client = client(&server.url);
        assert_eq!(send(&client, 8).await.unwrap_err().class, Class::Auth);
        assert_eq!(send(&client, 8).await.unwrap_err().attempts, 0);
        advance(Duration::from_secs(30)).await;
        send(&client, 8).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_use_a_key_that_another_send_found_refused() {
    let server =
        Server::start([failing("InternalError"), failing("AuthFailure.SignatureFailure"), ok(STORED)]).await;
    let client = client(&server.url);
    let (a, b) = tokio::join!(send(&client, 8), send(&client, 8));
    let (a, b) = (a.unwrap_err(), b.unwrap_err());
    assert_eq!((a.class, b.class, a.attempts, b.attempts), (Class::Auth, Class::Auth, 1, 1));
    assert!(a.maybe_stored || b.maybe_stored, "an internal error may have stored its message");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_change_meanwhile_are_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "0").unwrap();
    let reference = format!("file:{}", path.display());
    // The platform renews the key each time that a request is signed.
    let count = std::sync::atomic::AtomicU64::new(1);
    let clock = Clock::from_fn(move || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::fs::write(&path, n.to_string()).unwrap();
        Timestamp::from_unix(1_700_000_000)
    });
    let wrong = failing("AuthFailure.SignatureFailure");
    let server = Server::start([wrong.clone(), ok(STORED), wrong.clone(), wrong.clone(), wrong]).await;
    let client = client_of(&server.url, &reference, clock);
    assert_eq!(send(&client, 8).await.unwrap().attempts, 2);
    let error = send(&client, 8).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Auth, 2));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_topic_leaves_the_others_alone() {
    let server =
        Server::start([failing("InvalidParameterValue.TopicNotFound"), ok(STORED), ok(STORED)]).await;
    let client = client(&server.url);
    let to = async |topic| client.send(&message(topic, "x"), seconds(8)).await;
    assert_eq!(to("a/b/wrong").await.unwrap_err().attempts, 1);
    let error = to("a/b/wrong").await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Config, 0));
    to("a/b/right").await.unwrap();
    advance(Duration::from_secs(30)).await;
    to("a/b/wrong").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_outlive_a_send_but_not_their_time() {
    let length = STORED.len();
    let closing =
        |header| Step::Raw(format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {length}\r\n\r\n{STORED}"));
    let script =
        [ok(STORED), ok(STORED), closing("Connection: close\r\n"), closing(""), ok(STORED), ok(STORED)];
    let server = Server::start(script).await;
    let client = client(&server.url);
    for _ in 0..5 {
        assert_eq!(send(&client, 8).await.unwrap().attempts, 1);
    }
    advance(Duration::from_secs(16)).await;
    assert_eq!(send(&client, 8).await.unwrap().attempts, 1);
    let connections: Vec<usize> = server.seen().iter().map(|s| s.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_vendors_refusal_gives_the_retry_a_connection_of_its_own() {
    let server = Server::start([status(503, "<html>"), ok(STORED)]).await;
    send(&client(&server.url), 8).await.unwrap();
    let connections: Vec<usize> = server.seen().iter().map(|s| s.connection).collect();
    assert_eq!(connections, [0, 1]);
}
