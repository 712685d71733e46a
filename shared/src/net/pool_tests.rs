//! Tests of pools, with connections that each test makes.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{advance, sleep, timeout};

use super::*;

/// Connection that is only a number.
struct Numbered(usize);

impl Connection for Numbered {
    fn is_closed(&self) -> bool {
        false
    }
}

type Times = Arc<AtomicUsize>;

/// Builds pools whose connections take the time and have the result that `plan` says, and a counter of those
/// begun.
fn pools(
    most: usize,
    plan: impl Fn(usize) -> (u64, Result<(), ConnectError>) + Send + Sync + 'static,
) -> (Pools<Numbered>, Times) {
    let begun = Times::default();
    let count = Arc::clone(&begun);
    let connect = move |_: &Endpoint| -> BoxFuture<'static, _> {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (millis, made) = plan(number);
        Box::pin(async move {
            sleep(Duration::from_millis(millis)).await;
            made.map(|()| Numbered(number))
        })
    };
    (Pools::new(Box::new(connect), most, Duration::from_secs(30)), begun)
}

fn endpoint(number: usize) -> Endpoint {
    Endpoint::parse(&format!("https://e{number}.test"), false).unwrap()
}

fn idle(pools: &Pools<Numbered>) -> usize {
    pools.0.with(&endpoint(0), |pool| pool.idle.len())
}

fn refused() -> Result<(), ConnectError> {
    Err(ConnectError::Passing("refused".to_owned()))
}

async fn made(pools: &Pools<Numbered>) -> Result<usize, ConnectError> {
    pools.make(&endpoint(0)).await.map(|made| made.connection.0)
}

#[tokio::test(start_paused = true)]
async fn a_connection_being_made_goes_on_for_the_next() {
    let (pools, begun) = pools(8, |_| (5000, Ok(())));
    assert!(timeout(Duration::from_millis(900), made(&pools)).await.is_err());
    let at = Instant::now();
    assert_eq!(made(&pools).await, Ok(0));
    assert_eq!((at.elapsed(), begun.load(Ordering::Relaxed)), (Duration::from_millis(4100), 1));
    // A connection without a caller at its end is kept.
    assert!(timeout(Duration::from_secs(1), made(&pools)).await.is_err());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(pools.take(&endpoint(0)).map(|connection| connection.0), Some(1));
    assert!(pools.take(&endpoint(0)).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_not_relied_on() {
    let (pools, _) = pools(8, |number| if number == 0 { (29_000, Ok(())) } else { (10, Ok(())) });
    assert!(timeout(Duration::from_secs(3), made(&pools)).await.is_err());
    assert_eq!(made(&pools).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn everyone_who_waits_is_told_once() {
    let (pools, begun) = pools(100, |number| (10, if number % 2 == 0 { Ok(()) } else { refused() }));
    let all = futures_util::future::join_all((0..20).map(|_| made(&pools))).await;
    assert_eq!(all.iter().filter(|made| made.is_ok()).count(), 10);
    assert_eq!(begun.load(Ordering::Relaxed), 20);
    // A failure is not reported while another connection is in the making for the waiting callers.
    assert!(pools.0.with(&endpoint(0), |pool| pool.making.is_empty() && pool.waiting.is_empty()));
    let (pools, _) = self::pools(8, |number| if number == 0 { (2000, refused()) } else { (2500, Ok(())) });
    assert!(timeout(Duration::from_millis(1500), made(&pools)).await.is_err());
    assert_eq!(made(&pools).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_made_than_allowed_and_none_for_ever() {
    let (pools, begun) = pools(4, |_| (100_000, Ok(())));
    for _ in 0..10 {
        assert!(timeout(Duration::from_secs(2), made(&pools)).await.is_err());
    }
    assert_eq!(begun.load(Ordering::Relaxed), 4);
    let error = made(&pools).await.unwrap_err();
    assert_eq!(error, ConnectError::Passing("timed out".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn as_many_are_kept_as_were_in_use_lately() {
    let (pools, _) = pools(256, |_| (0, Ok(())));
    let mut busy = Vec::new();
    for _ in 0..200 {
        busy.push(pools.make(&endpoint(0)).await.unwrap().connection);
    }
    for connection in busy {
        pools.put_back(&endpoint(0), connection);
    }
    assert_eq!(idle(&pools), 200);
    // Only twenty connections are needed from now on.
    for _ in 0..30 {
        let busy: Vec<_> = (0..20).map(|_| pools.take(&endpoint(0)).unwrap()).collect();
        for connection in busy {
            pools.put_back(&endpoint(0), connection);
        }
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(idle(&pools), 20);
    // All connections are closed if no request comes any more.
    sleep(IDLE_TIMEOUT).await;
    sleep(Duration::from_millis(1)).await;
    assert!(pools.0.pools().values().all(|pool| pool.idle.is_empty() && !pool.is_swept));
}

#[tokio::test(start_paused = true)]
async fn pools_are_forgotten_by_use_and_never_while_they_are_used() {
    let (pools, _) = pools(1, |_| (0, Ok(())));
    let in_use = pools.slots(&endpoint(0));
    let _slot = in_use.acquire().await.unwrap();
    pools.put_back(&endpoint(1), Numbered(7));
    for number in 2..10_000 {
        advance(Duration::from_micros(1)).await;
        pools.put_back(&endpoint(number), Numbered(number));
        let often = pools.take(&endpoint(1)).unwrap();
        pools.put_back(&endpoint(1), often);
        assert!(pools.0.pools().len() <= MAX_POOLS);
    }
    assert!(Arc::ptr_eq(&in_use, &pools.slots(&endpoint(0))));
}
