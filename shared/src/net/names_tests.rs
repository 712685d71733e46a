//! Tests of look-ups, with resolvers that each test scripts.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{advance, sleep, timeout};

use super::*;

/// Builds a resolver that takes the time and gives the answer that `answers` says for each question, and a
/// counter of the questions.
fn resolver(answers: impl Fn(usize) -> (u64, Answer) + Send + Sync + 'static) -> (Names, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let names = Names::new(Box::new(move |_| {
        let (millis, answer) = answers(count.fetch_add(1, Ordering::Relaxed));
        async move {
            sleep(Duration::from_millis(millis)).await;
            answer
        }
        .boxed()
    }));
    (names, asked)
}

#[expect(clippy::unnecessary_wraps, reason = "an answer is one or the other")]
fn found(number: u8) -> Answer {
    Ok(vec![SocketAddr::from(([10, 0, 0, number], 0))].into())
}

fn failed() -> Answer {
    Err("no".to_owned())
}

async fn ip(names: &Names) -> Result<u8, String> {
    let addresses = names.resolve("a.test", 9).await?;
    assert_eq!((addresses.len(), addresses[0].port()), (1, 9));
    Ok(addresses[0].to_string().as_bytes()[7] - b'0')
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_once_for_all_who_wait() {
    let (names, asked) = resolver(|_| (3000, found(1)));
    let all: Vec<_> = (0..100).map(|_| names.clone()).collect();
    let all = futures_util::future::join_all(all.iter().map(ip)).await;
    assert!(all.iter().all(|ip| *ip == Ok(1)));
    advance(FRESH / 2).await;
    assert_eq!(ip(&names).await, Ok(1));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    advance(FRESH / 2).await;
    assert_eq!(ip(&names).await, Ok(1));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_nobody_waits_for_serves_the_next() {
    let (names, asked) = resolver(|_| (15_000, found(1)));
    for _ in 0..4 {
        assert!(timeout(Duration::from_secs(3), ip(&names)).await.is_err());
    }
    let begun = Instant::now();
    assert_eq!(ip(&names).await, Ok(1));
    assert_eq!((begun.elapsed(), asked.load(Ordering::Relaxed)), (Duration::from_secs(3), 1));
}

#[tokio::test(start_paused = true)]
async fn an_older_answer_serves_while_the_name_server_is_silent() {
    let (names, asked) = resolver(|number| if number == 0 { (0, found(1)) } else { (20_000, found(2)) });
    assert_eq!(ip(&names).await, Ok(1));
    advance(FRESH).await;
    let begun = Instant::now();
    assert_eq!(ip(&names).await, Ok(1));
    assert_eq!(begun.elapsed(), PATIENCE);
    // A later caller does not wait a second time.
    assert_eq!(ip(&names).await, Ok(1));
    assert_eq!((begun.elapsed(), asked.load(Ordering::Relaxed)), (PATIENCE, 2));
    advance(Duration::from_secs(20)).await;
    tokio::task::yield_now().await;
    assert_eq!(ip(&names).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_for_a_moment_and_takes_no_answer_away() {
    let (names, asked) = resolver(|number| (0, if number == 1 { found(1) } else { failed() }));
    let error = ip(&names).await.unwrap_err();
    assert_eq!(error, "the name a.test cannot be looked up: no");
    assert_eq!(ip(&names).await.unwrap_err(), error);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    advance(FRESH_FAILURE).await;
    assert_eq!(ip(&names).await, Ok(1));
    advance(FRESH).await;
    assert_eq!(ip(&names).await, Ok(1), "the name server fails");
    advance(STALE).await;
    assert!(ip(&names).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn names_are_forgotten_by_use_and_never_while_they_are_looked_up() {
    let (names, _) = resolver(|_| (0, found(1)));
    for number in 0..3 * MAX_NAMES {
        advance(Duration::from_millis(1)).await;
        names.resolve(&format!("{number}.test"), 1).await.unwrap();
        names.resolve("often.test", 1).await.unwrap();
        assert!(names.0.known().len() <= MAX_NAMES);
    }
    assert!(names.0.known().contains_key("often.test"));

    let (silent, asked) = resolver(|_| (60_000, found(1)));
    let mut refused = 0;
    for number in 0..2 * MAX_NAMES {
        let name = format!("{number}.test");
        refused += usize::from(timeout(Duration::ZERO, silent.resolve(&name, 1)).await.is_ok());
    }
    assert_eq!((asked.load(Ordering::Relaxed), refused), (MAX_NAMES, MAX_NAMES));
}

#[tokio::test]
async fn this_machine_and_addresses_are_asked_of_nobody() {
    let (names, asked) = resolver(|_| (0, failed()));
    for (host, want) in [("localhost", "127.0.0.1:80"), ("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80")] {
        assert_eq!(names.resolve(host, 80).await.unwrap()[0].to_string(), want);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_system_is_asked_on_a_thread_of_its_own() {
    let answer = system()("127.0.0.1".to_owned()).await.unwrap();
    assert_eq!(*answer, [SocketAddr::from(([127, 0, 0, 1], 0))]);
}
