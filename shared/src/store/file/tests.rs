//! Tests with injected faults that a real file system does not show on demand.

use std::sync::Arc;
use std::time::Duration;

use std::fs;

use super::*;
use crate::clock::{Clock, Random};
use crate::store::Store;

const NAME: &str = "spill/tdmq/a/00";

fn store(root: &Path, link: Link) -> Store {
    Store::new(FileStore(Arc::new(folder(root, link))))
}

type Link = fn(&Path, &Path) -> io::Result<()>;

fn folder(root: &Path, link: Link) -> Folder<Real> {
    let context = Context { env: Env::of([("", "")]), clock: Clock::system(), random: Random::from_fn(|| 7) };
    Folder::new(Real { link }, root.to_owned(), &context)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn temporary_files(root: &Path) -> usize {
    fs::read_dir(root.join(TEMPORARY)).map_or(0, Iterator::count)
}

#[cfg(unix)]
#[tokio::test]
async fn without_links_a_new_object_is_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), |_, _| Err(io::Error::from_raw_os_error(1)));
    assert_eq!(store.put_new(NAME, "one".into(), soon()).await, Ok(Written::Created));
    assert_eq!(store.put_new(NAME, "two".into(), soon()).await, Ok(Written::Existed));
    assert_eq!(store.get(NAME, soon()).await, Ok(Some("one".into())));
    assert_eq!(temporary_files(dir.path()), 0);
}

#[tokio::test]
async fn a_link_that_was_made_and_then_refused_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), |from, to| fs::hard_link(from, to).and_then(|()| fs::hard_link(from, to)));
    assert_eq!(store.put_new(NAME, "one".into(), soon()).await, Ok(Written::Created));
    assert_eq!(store.put_new(NAME, "two".into(), soon()).await, Ok(Written::Existed));
    assert_eq!(store.get(NAME, soon()).await, Ok(Some("one".into())));
    assert_eq!(temporary_files(dir.path()), 0);
}

#[tokio::test]
async fn a_failure_leaves_nothing_and_tells_what_it_is() {
    use StoreError::{Denied, Full, Other, Unreachable};
    type Is = fn(&StoreError) -> bool;
    let cases: [(Link, Is, bool); 5] = [
        (|_, _| Err(ErrorKind::StorageFull.into()), |e| matches!(e, Full(_)), false),
        (|_, _| Err(ErrorKind::QuotaExceeded.into()), |e| matches!(e, Full(_)), false),
        (|_, _| Err(ErrorKind::ReadOnlyFilesystem.into()), |e| matches!(e, Denied(_)), false),
        (|_, _| Err(ErrorKind::StaleNetworkFileHandle.into()), |e| matches!(e, Unreachable(_)), true),
        (|_, _| Err(ErrorKind::InvalidData.into()), |e| matches!(e, Other(_)), false),
    ];
    for (link, is, is_retryable) in cases {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), link);
        let error = store.put_new(NAME, "one".into(), soon()).await.unwrap_err();
        assert!(is(&error), "{error}");
        assert_eq!(error.is_retryable(), is_retryable, "{error}");
        assert_eq!(store.get(NAME, soon()).await, Ok(None));
        assert_eq!(temporary_files(dir.path()), 0);
    }
}

#[test]
fn a_write_past_its_deadline_gives_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), |from, to| fs::hard_link(from, to));
    let path = dir.path().join(NAME);
    for rule in [Put::New, Put::Replace] {
        let late = folder.write(&path, b"one", rule, Instant::now());
        assert_eq!(late, Err(StoreError::TimedOut));
        assert!(!path.exists());
    }
    assert_eq!(temporary_files(dir.path()), 0);
}
