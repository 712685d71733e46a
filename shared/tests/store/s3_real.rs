//! Tests of a bucket as an object store, against an S3 that `s3_moto.py` or `s3_versitygw.py` in
//! `tests/differential` started.

use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::context::Context;
use hookmq_shared::store::{MAX_PAGE, Store, StoreError, Written};
use tokio::time::Instant;

const NAME: &str = "spill/tdmq/github/00ff";

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn seconds(count: u64) -> Instant {
    Instant::now() + Duration::from_secs(count)
}

/// Every call works with the store that `SPILL_URL` and `S3_ENDPOINT` name. The store must be empty at first;
/// the script checks the objects that are left at the end.
#[tokio::test]
#[ignore = "needs an S3: s3_moto.py and s3_versitygw.py in tests/differential"]
async fn against_a_real_store() {
    let context = Context::system();
    let url = context.env.get("SPILL_URL").expect("SPILL_URL is set by the script");
    let store = Store::open("SPILL_URL", &url, &context).unwrap();
    assert_eq!(store.problem(), None);
    assert_eq!(store.get(NAME, seconds(60)).await, Ok(None));
    assert_eq!(store.head(NAME, seconds(60)).await, Ok(None));
    assert_eq!(store.delete(NAME, seconds(60)).await, Ok(()));
    assert!(store.list("", None, MAX_PAGE, seconds(60)).await.unwrap().entries.is_empty());

    assert_eq!(store.put_new(NAME, bytes("one"), seconds(60)).await, Ok(Written::Created));
    assert_eq!(store.put_new(NAME, bytes("two"), seconds(60)).await, Ok(Written::Existed));
    assert_eq!(store.get(NAME, seconds(60)).await, Ok(Some(bytes("one"))));
    let entry = store.head(NAME, seconds(60)).await.unwrap().unwrap();
    assert_eq!((entry.name.as_str(), entry.size), (NAME, 3));
    assert!((context.clock.now().unix() - entry.modified.unix()).abs() < 3600);

    assert_eq!(store.put("claims/b", bytes("two"), seconds(60)).await, Ok(()));
    assert_eq!(store.put("claims/b", Bytes::new(), seconds(60)).await, Ok(()));
    assert_eq!(store.get("claims/b", seconds(60)).await, Ok(Some(Bytes::new())));
    let every_byte: Bytes = (0..=255_u8).cycle().take(3_000_000).collect();
    assert_eq!(store.put_new("dead/big", every_byte.clone(), seconds(60)).await, Ok(Written::Created));
    assert_eq!(store.get("dead/big", seconds(60)).await, Ok(Some(every_byte)));

    let left = store.list("", None, MAX_PAGE, seconds(60)).await.unwrap();
    let left: Vec<_> = left.entries.iter().map(|entry| (entry.name.as_str(), entry.size)).collect();
    assert_eq!(left, [("claims/b", 0), ("dead/big", 3_000_000), (NAME, 3)]);

    let missing = Store::open("SPILL_URL", "s3://no-such-bucket-here", &context).unwrap();
    assert!(matches!(missing.put_new(NAME, bytes("x"), seconds(60)).await, Err(StoreError::Config(_))));
    assert!(matches!(missing.get(NAME, seconds(60)).await, Err(StoreError::Config(_))));
    assert!(matches!(missing.list("", None, MAX_PAGE, seconds(60)).await, Err(StoreError::Config(_))));
}

/// Listings of more than a page work with the store that `SPILL_URL` and `S3_ENDPOINT` name.
#[tokio::test]
#[ignore = "needs an S3: s3_moto.py and s3_versitygw.py in tests/differential"]
async fn listings_of_a_real_store() {
    let context = Context::system();
    let url = context.env.get("SPILL_URL").expect("SPILL_URL is set by the script");
    let store = Store::open("SPILL_URL", &url, &context).unwrap();
    let names: Vec<String> = (0..1003).map(|n| format!("list/{n:04x}")).collect();
    for name in &names {
        store.put(name, bytes("x"), seconds(60)).await.unwrap();
    }
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list("list/", after.as_deref(), MAX_PAGE, seconds(60)).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.name));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed == names, pages), (true, 2));
    for name in &names {
        assert_eq!(store.delete(name, seconds(60)).await, Ok(()));
    }
    assert!(store.list("list/", None, MAX_PAGE, seconds(60)).await.unwrap().entries.is_empty());
}
