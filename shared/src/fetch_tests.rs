//! Tests of `fetch`.

use std::future::pending;

use tokio::time::{advance, timeout};

use super::*;

fn address() -> Address {
    Address::parse("https://keys.example.com/x").unwrap()
}

/// The number of remembered addresses is bounded, although a sender chooses among the names on an allowed
/// host.
#[tokio::test(start_paused = true)]
async fn addresses_without_end_are_not_remembered() {
    let fetcher = Fetcher::new(&Env::of::<&str, &str>([]));
    let limit = Instant::now() + Duration::from_secs(3600);
    for number in 0..1000 {
        let address = Address::parse(&format!("https://keys.example.com/{number}")).unwrap();
        let found = number % 2 == 0;
        let get = async || if found { Ok(Bytes::from_static(b"1")) } else { Err(FetchError::Status(404)) };
        drop(fetcher.document_by("h", &address, None, limit, get).await);
        assert!(fetcher.slots().len() <= MAX_ADDRESSES, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_there_while_another_is_fetched() {
    let (fetcher, address) = (Fetcher::new(&Env::of::<&str, &str>([])), address());
    let limit = Instant::now() + Duration::from_secs(3600);
    let bytes = async || Ok(Bytes::from_static(b"1"));
    let first = fetcher.document_by("h", &address, None, limit, bytes).await.unwrap().unwrap();
    advance(PAUSE_AFTER_SUCCESS).await;
    let (hanging, same, than) = (fetcher.clone(), address.clone(), first.clone());
    let other = tokio::spawn(async move {
        hanging.document_by("h", &same, Some(&than), limit, async || pending().await).await
    });
    tokio::task::yield_now().await;
    let soon = Duration::from_millis(1);
    let again = timeout(soon, fetcher.document_by("h", &address, None, limit, async || panic!())).await;
    assert_eq!(again.unwrap().unwrap().unwrap().bytes, first.bytes);
    // A different document is worth the wait.
    let wait = fetcher.document_by("h", &address, Some(&first), limit, async || panic!());
    assert!(timeout(soon, wait).await.is_err());
    assert!(!other.is_finished());
    other.abort();
}

/// A provider's error page does not replace a key: the document before it is used again.
#[tokio::test(start_paused = true)]
async fn a_document_of_no_use_gives_way_to_the_one_before() {
    let (fetcher, address) = (Fetcher::new(&Env::of::<&str, &str>([])), address());
    let limit = Instant::now() + Duration::from_secs(3600);
    let good = async || Ok(Bytes::from_static(b"key"));
    let first = fetcher.document_by("h", &address, None, limit, good).await.unwrap().unwrap();
    advance(PAUSE_AFTER_SUCCESS).await;
    let page = async || Ok(Bytes::from_static(b"<html>"));
    fetcher.document_by("h", &address, Some(&first), limit, page).await.unwrap();
    fetcher.forget(&address);
    let again = fetcher.document_by("h", &address, None, limit, async || panic!()).await;
    assert_eq!(again.unwrap().unwrap().bytes, first.bytes);
    fetcher.forget(&address);
    let none = fetcher.document_by("h", &address, None, limit, async || panic!()).await;
    assert_eq!(none.unwrap_err(), FetchError::NoKey);
}

#[tokio::test(start_paused = true)]
async fn who_had_no_turn_may_ask_again_at_once() {
    let (fetcher, address) = (Fetcher::new(&Env::of::<&str, &str>([])), address());
    let limit = Instant::now() + Duration::from_secs(3600);
    let shares = fetcher.shares("h", &address);
    let mut taken = Vec::new();
    for _ in 0..SHARE_UNDER_WAY {
        taken.push(shares.turn(limit).await.unwrap());
    }
    let soon = Instant::now() + Duration::from_secs(1);
    let busy = fetcher.document_by("h", &address, None, soon, async || panic!()).await;
    assert_eq!(busy.unwrap_err(), FetchError::Busy);
    drop(taken);
    let bytes = async || Ok(Bytes::from_static(b"1"));
    assert!(fetcher.document_by("h", &address, None, limit, bytes).await.unwrap().is_some());
    let failed = async || Err(FetchError::Status(500));
    fetcher.forget(&address);
    advance(PAUSE_AFTER_FAILURE).await;
    assert!(fetcher.document_by("h", &address, None, limit, failed).await.is_err());
    let again = fetcher.document_by("h", &address, None, limit, async || panic!()).await;
    assert_eq!(again.unwrap_err(), FetchError::Status(500));
}

/// Forged requests that name hosts that hang leave room for other hooks and hosts, even if several hooks
/// name the same host.
#[tokio::test(start_paused = true)]
async fn who_names_what_hangs_leaves_room_for_others() {
    for (hooks, hosts) in [(1, 40), (40, 1), (2, 2)] {
        let fetcher = Fetcher::new(&Env::of::<&str, &str>([]));
        let limit = Instant::now() + Duration::from_secs(5);
        let mut hanging = tokio::task::JoinSet::new();
        for number in 0..80 {
            let hook = format!("hook-{}", number % hooks);
            let host = format!("https://{}.example.com/{number}", number % hosts);
            let (fetcher, address) = (fetcher.clone(), Address::parse(&host).unwrap());
            hanging.spawn(async move {
                let get = async || pending().await;
                drop(fetcher.document_by(&hook, &address, None, limit, get).await);
            });
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let get = async || Ok(Bytes::from_static(b"1"));
        let soon = Instant::now() + Duration::from_secs(1);
        let found = fetcher.document_by("other", &address(), None, soon, get).await;
        assert!(found.is_ok(), "{hooks} hooks, {hosts} hosts: {found:?}");
        drop(hanging);
    }
    let fetcher = Fetcher::new(&Env::of::<&str, &str>([]));
    for number in 0..1000 {
        drop(fetcher.shares(&number.to_string(), &address()));
    }
    assert!(fetcher.0.shares.lock().unwrap().len() <= 2);
}
