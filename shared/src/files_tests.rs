//! Tests of `files`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn a_disk_that_hangs_holds_few_threads() {
    static FEW: Files = Files::of(3);
    static OTHERS: Files = Files::of(1);
    let (begun, (end, hold)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel::<()>());
    let hold = Arc::new(std::sync::Mutex::new(hold));
    let soon = Instant::now() + Duration::from_millis(300);
    let hangs = (0..50).map(|_| {
        let (begun, hold) = (Arc::clone(&begun), Arc::clone(&hold));
        FEW.run(soon, move || {
            begun.fetch_add(1, Ordering::Relaxed);
            let _ = hold.lock().unwrap().recv();
        })
    });
    assert!(join_all(hangs).await.iter().all(|done| matches!(done, Err(Undone::TimedOut))));
    assert_eq!(begun.load(Ordering::Relaxed), 3);
    let far = Instant::now() + Duration::from_secs(600);
    assert!(matches!(OTHERS.run(far, || 1).await, Ok(1)));
    drop(end);
    assert!(matches!(FEW.run(far, || 2).await, Ok(2)));
}

/// A path that hangs keeps one thread, however often it is requested, and the remaining threads serve
/// other paths.
#[tokio::test]
async fn what_hangs_keeps_one_thread() {
    static TWO: Files = Files::of(2);
    let ((end, hold), bad, good) = (mpsc::channel::<()>(), Path::new("/bad"), Path::new("/good"));
    let hangs = TWO.run_alone(bad, Instant::now() + Duration::from_millis(50), move || hold.recv().is_ok());
    assert!(matches!(hangs.await, Err(Undone::TimedOut)));
    let far = Instant::now() + Duration::from_secs(600);
    for _ in 0..5 {
        let again = TWO.run_alone(bad, Instant::now() + Duration::from_millis(10), || true);
        assert!(matches!(again.await, Err(Undone::TimedOut)));
        assert!(matches!(TWO.run_alone(good, far, || 1).await, Ok(1)));
    }
    // A job that still waits when the hanging job ends gets its turn, and no path stays in the map.
    let (next, ()) = futures_util::join!(TWO.run_alone(bad, far, || 2), async { drop(end) });
    assert!(matches!(next, Ok(2)));
    let kept = || {
        drop(TWO.turn(good));
        TWO.alone.lock().unwrap().len()
    };
    // A thread that has released its permit may still hold a reference for a moment.
    while kept() > 1 && Instant::now() < far {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(), 1);
}

#[tokio::test(start_paused = true)]
async fn four_threads_list_all_folders_by_the_callers_clock() {
    let far = Instant::now() + Duration::from_secs(600);
    let id = || (std::thread::current().id(), Instant::now());
    let spread = join_all((0..20).map(|_| OBJECTS.run(far, id))).await;
    let spread: Vec<_> = spread.into_iter().map(|done| done.unwrap().0).collect();
    let listed = join_all((0..200).map(|_| LISTINGS.run(far, id))).await;
    let listed: Vec<_> = listed.into_iter().map(Result::unwrap).collect();
    assert!(listed.iter().all(|(id, at)| !spread.contains(id) && *at == Instant::now()));
    let threads: std::collections::HashSet<_> = listed.into_iter().map(|(id, _)| id).collect();
    assert!(threads.len() <= 4, "{threads:?}");
}
