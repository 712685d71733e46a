//! Conformance tests with one table of promises for every store: in memory, a folder, a bucket, and variants
//! of an operator's bucket. `s3_moto.py` and `s3_versitygw.py` in `tests/differential` name others, in
//! `STORE_CONFORMANCE_URL`.

use std::time::Duration;

use hookmq_emulator::{Conditions, ListingOrder, S3, S3Config, sample};
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::store::memory::{MemoryStore, Order};
use hookmq_shared::store::{Store, Written};
use tokio::time::Instant;

use crate::kit::promises::Tried;

fn context(vars: &[(&str, &str)]) -> Context {
    let env = Env::of(vars.iter().map(|(name, value)| (*name, *value)));
    Context { env, clock: Clock::system(), random: Random::system() }
}

#[tokio::test]
async fn a_store_in_memory() {
    for (order, has_conditions) in [(Order::Names, true), (Order::Own, true), (Order::Names, false)] {
        let memory = MemoryStore::new(Clock::system());
        memory.set_order(order);
        memory.set_conditions(has_conditions);
        let open = || Store::new(memory.clone());
        let is_ordered = order == Order::Names;
        Tried { open: &open, at: "", has_conditions, is_ordered }.keeps_every_promise().await;
    }
}

#[tokio::test]
async fn a_folder() {
    let dir = tempfile::tempdir().unwrap();
    for at in ["", "run/"] {
        let url = format!("file://{}/store{}", dir.path().display(), at.len());
        let open = || Store::open("SPILL_URL", &url, &context(&[])).unwrap();
        Tried { open: &open, at, has_conditions: true, is_ordered: true }.keeps_every_promise().await;
    }
}

#[tokio::test]
async fn a_bucket() {
    use Conditions::{Ignored, Kept, NotImplemented, Refused};
    for (conditions, order) in [
        (Kept, ListingOrder::Keys),
        (Kept, ListingOrder::Own),
        (Ignored, ListingOrder::Keys),
        (NotImplemented, ListingOrder::Keys),
        (Refused, ListingOrder::Keys),
    ] {
        let config = S3Config { conditions, order, ..S3Config::default() };
        let bucket = S3::start(([127, 0, 0, 1], 0).into(), config).await.unwrap();
        let endpoint = bucket.url();
        let context = context(&[
            ("S3_ENDPOINT", &endpoint),
            ("S3_REGION", "eu-central-1"),
            ("S3_ACCESS_KEY_ID", sample::ACCESS_KEY),
            ("S3_SECRET_ACCESS_KEY", sample::SECRET_ACCESS_KEY),
        ]);
        for (url, at) in [("s3://hooks", ""), ("s3://hooks/Pre_1/fix", "run/")] {
            let open = || Store::open("SPILL_URL", url, &context).unwrap();
            let has_conditions = conditions == Kept;
            let is_ordered = order == ListingOrder::Keys;
            Tried { open: &open, at, has_conditions, is_ordered }.keeps_every_promise().await;
        }
    }
}

/// The emulated bucket checks the requests that it gets, and refuses invalid ones.
#[tokio::test]
async fn a_bucket_refuses_what_is_not_for_it() {
    let config = S3Config { page_delay: Duration::from_millis(100), ..S3Config::default() };
    let bucket = S3::start(([127, 0, 0, 1], 0).into(), config).await.unwrap();
    let endpoint = bucket.url();
    let open = |url: &str, region: &str, secret: &str, clock: Clock| {
        let vars = [
            ("S3_ENDPOINT", endpoint.as_str()),
            ("S3_REGION", region),
            ("S3_ACCESS_KEY_ID", sample::ACCESS_KEY),
            ("S3_SECRET_ACCESS_KEY", secret),
        ];
        let context = Context { clock, ..context(&vars) };
        Store::open("SPILL_URL", url, &context).unwrap()
    };
    let soon = || Instant::now() + Duration::from_secs(30);
    let (region, secret) = ("eu-central-1", sample::SECRET_ACCESS_KEY);
    for (store, want) in [
        (open("s3://hooks", region, "another", Clock::system()), "SignatureDoesNotMatch"),
        (open("s3://hooks", "eu-west-1", secret, Clock::system()), "AuthorizationHeaderMalformed"),
        (open("s3://others", region, secret, Clock::system()), "NoSuchBucket"),
    ] {
        let error = store.put_new("a", "x".into(), soon()).await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
    assert_eq!(bucket.count(), 0);
    // The bucket's own time corrects a clock that is an hour off.
    let hour = |now: Timestamp| now.shifted(3_600_000);
    let store = open("s3://hooks/p", region, secret, Clock::from_fn(move || hour(Clock::system().now())));
    assert_eq!(store.put_new("a", "x".into(), soon()).await, Ok(Written::Created));
    assert_eq!(bucket.object("p/a").unwrap().bytes, "x");
    let begun = Instant::now();
    assert_eq!(store.list("", None, 10, soon()).await.unwrap().entries.len(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(100), "a page takes what it is said to");
    assert_eq!((bucket.calls().put, bucket.calls().list), (1, 1));
}

/// A store that the environment names keeps every promise.
#[tokio::test]
async fn a_store_of_somebody_elses() {
    let context = Context::system();
    let Some(url) = context.env.get("STORE_CONFORMANCE_URL") else {
        println!("skipped: STORE_CONFORMANCE_URL is not set; s3_*.py in tests/differential set it");
        return;
    };
    let open = || Store::open("STORE_CONFORMANCE_URL", &url, &context).unwrap();
    let at = format!("conformance-{:016x}/", context.random.next_u64());
    Tried { open: &open, at: &at, has_conditions: true, is_ordered: true }.keeps_every_promise().await;
}
