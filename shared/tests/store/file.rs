//! Tests of a folder as an object store: promises, listings, names, and the traces of a crash.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::store::{Entry, MAX_OBJECT, MAX_PAGE, Page, Store, StoreError, Written};
use tokio::time::Instant;

const NAME: &str = "spill/tdmq/github/00ff";

fn context(vars: &[(&str, &str)]) -> Context {
    let env = Env::of(vars.iter().map(|(n, v)| (*n, *v)));
    Context { env, clock: Clock::system(), random: Random::system() }
}

fn open(root: &Path) -> Store {
    Store::open("SPILL_URL", &format!("file://{}", root.display()), &context(&[])).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn touch(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, name).unwrap();
}

async fn names(store: &Store, prefix: &str) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let Page { entries, next, .. } =
            store.list(prefix, after.as_deref(), MAX_PAGE, soon()).await.unwrap();
        names.extend(entries.into_iter().map(|entry| entry.name));
        match next {
            Some(_) => after = next,
            None => return names,
        }
    }
}

#[tokio::test]
async fn an_object_is_written_once_read_replaced_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("not/there/yet");
    let store = open(&root);
    assert_eq!(store.get(NAME, soon()).await, Ok(None));
    assert_eq!(store.head(NAME, soon()).await, Ok(None));
    assert_eq!(store.list("", None, MAX_PAGE, soon()).await, Ok(Page::default()));
    assert_eq!(store.delete(NAME, soon()).await, Ok(()));
    assert!(!root.exists(), "nothing is made before it is written to");

    assert_eq!(store.put_new(NAME, bytes("one"), soon()).await, Ok(Written::Created));
    assert_eq!(store.put_new(NAME, bytes("two"), soon()).await, Ok(Written::Existed));
    assert_eq!(store.get(NAME, soon()).await, Ok(Some(bytes("one"))));
    assert_eq!(store.put(NAME, bytes("three"), soon()).await, Ok(()));
    assert_eq!(store.get(NAME, soon()).await, Ok(Some(bytes("three"))));
    let Entry { name, size, modified } = store.head(NAME, soon()).await.unwrap().unwrap();
    assert_eq!((name.as_str(), size), (NAME, 5));
    assert!((Clock::system().now().unix() - modified.unix()).abs() < 3600);

    // A store that is opened later sees the same objects.
    let other = open(&root);
    assert_eq!(names(&other, "").await, [NAME]);
    assert_eq!(other.delete(NAME, soon()).await, Ok(()));
    assert_eq!(other.delete(NAME, soon()).await, Ok(()));
    assert_eq!(store.get(NAME, soon()).await, Ok(None));
    assert_eq!(store.put("empty", Bytes::new(), soon()).await, Ok(()));
    assert_eq!(store.get("empty", soon()).await, Ok(Some(Bytes::new())));
}

#[tokio::test]
async fn of_many_writers_one_creates_and_every_reader_sees_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [open(dir.path()), open(dir.path())];
    let writers: Vec<_> = (0..32_u8)
        .map(|n| {
            let store = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move {
                let mine = Bytes::from(vec![n; 100_000]);
                let written = store.put_new(NAME, mine, soon()).await.unwrap();
                let read = store.get(NAME, soon()).await.unwrap().unwrap();
                assert!(read.len() == 100_000 && read.iter().all(|b| *b == read[0]));
                (written, n, read[0])
            })
        })
        .collect();
    let mut creators = Vec::new();
    let mut winners = Vec::new();
    for writer in writers {
        let (written, n, read) = writer.await.unwrap();
        creators.extend((written == Written::Created).then_some(n));
        winners.push(read);
    }
    assert_eq!(creators.len(), 1);
    assert!(winners.iter().all(|winner| *winner == creators[0]));
    assert_eq!(fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = open(&root);
    fs::write(dir.path().join("outside"), "secret").unwrap();
    for name in ["../outside", "/etc/passwd", "a/../../outside", "", ".tmp/x", "A", "a//b", "a/"] {
        let refused = |error| matches!(error, StoreError::Name(_));
        assert!(refused(store.put_new(name, bytes("x"), soon()).await.unwrap_err()), "{name}");
        assert!(refused(store.put(name, bytes("x"), soon()).await.unwrap_err()), "{name}");
        assert!(refused(store.get(name, soon()).await.unwrap_err()), "{name}");
        assert!(refused(store.head(name, soon()).await.unwrap_err()), "{name}");
        assert!(refused(store.delete(name, soon()).await.unwrap_err()), "{name}");
    }
    for prefix in ["../", "/", "a/../", ".tmp"] {
        assert!(
            matches!(store.list(prefix, None, MAX_PAGE, soon()).await, Err(StoreError::Name(_))),
            "{prefix}"
        );
    }
    assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "secret");
    assert!(!root.exists());
}

#[tokio::test]
async fn a_listing_is_in_the_order_of_a_buckets() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut all = ["a", "a-b", "a.b", "ab", "b/c", "b-c", "b.c", "b0", "b/a/z", "b/a.z", "b/a-z", "c/d/e/f"];
    for name in all {
        touch(dir.path(), name);
    }
    fs::create_dir_all(dir.path().join("aa/empty")).unwrap();
    all.sort_unstable();
    assert_eq!(names(&store, "").await, all);
    for prefix in ["a", "b", "b/", "b/a", "b/a/", "c/d/e/f", "c/d/e/f/", "d", "aa"] {
        let want: Vec<&str> = all.iter().filter(|name| name.starts_with(prefix)).copied().collect();
        assert_eq!(names(&store, prefix).await, want, "{prefix}");
    }
    for after in ["a", "a-c", "b/a-z", "b/a/z", "b/b", "b0", "zz"] {
        let want: Vec<&str> = all.iter().filter(|name| **name > after).copied().collect();
        let page = store.list("", Some(after), MAX_PAGE, soon()).await.unwrap();
        let got: Vec<&str> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(got, want, "{after}");
        assert_eq!(page.next, None);
    }
}

#[tokio::test]
async fn pages_together_hold_every_object_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut all: Vec<String> = (0..9500).map(|n| format!("spill/h{}/{n:06x}", n % 3)).collect();
    for name in &all {
        touch(dir.path(), name);
    }
    all.sort_unstable();
    let page = store.list("spill/", None, MAX_PAGE, soon()).await.unwrap();
    assert_eq!(page.entries.len(), MAX_PAGE);
    assert_eq!(page.next.as_ref(), Some(&all[MAX_PAGE - 1]));
    assert_eq!(names(&store, "spill/").await, all);

    // The last object of a page may be deleted before the next page is requested.
    let next = page.next.unwrap();
    store.delete(&next, soon()).await.unwrap();
    let page = store.list("spill/", Some(&next), MAX_PAGE, soon()).await.unwrap();
    assert_eq!(page.entries[0].name, all[MAX_PAGE]);

    // A listing that fills exactly one page has no next page.
    for name in &all[MAX_PAGE..] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    touch(dir.path(), &next);
    let page = store.list("", None, MAX_PAGE, soon()).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (MAX_PAGE, None));
}

#[tokio::test]
async fn what_is_no_object_is_not_listed_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in [".tmp/1-0-00", ".nfs0001", "a/.DS_Store", "lost+found", "A/b", "a b"] {
        touch(dir.path(), name);
    }
    #[cfg(unix)]
    {
        fs::write(dir.path().join("target"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("target"), dir.path().join("link")).unwrap();
        assert_eq!(names(&store, "").await, ["target"]);
        assert_eq!(store.get("link", soon()).await, Ok(None));
        let written = store.put_new("link", bytes("y"), soon()).await;
        assert!(matches!(written, Err(StoreError::Other(_))), "{written:?}");
        assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "x");
    }
    fs::create_dir(dir.path().join("folder")).unwrap();
    assert_eq!(store.get("folder", soon()).await, Ok(None));
    assert!(matches!(store.put_new("folder", bytes("y"), soon()).await, Err(StoreError::Other(_))));
    assert!(matches!(store.put("folder", bytes("y"), soon()).await, Err(StoreError::Other(_))));
    touch(dir.path(), "file");
    assert_eq!(store.get("file/below", soon()).await, Ok(None));
    assert_eq!(store.delete("file/below", soon()).await, Ok(()));
    assert!(store.put_new("file/below", bytes("y"), soon()).await.is_err());
    assert_eq!(store.get("file", soon()).await, Ok(Some(bytes("file"))));
}

/// Writes through a link are refused, because a listing follows no link and would never find the acknowledged
/// object.
#[cfg(unix)]
#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    assert_eq!(store.put_new("spill/a/b/before", bytes("x"), soon()).await, Ok(Written::Created));
    let below = |path: &str| dir.path().join(path);
    let lead = |path: &str, at: &Path| std::os::unix::fs::symlink(at, below(path)).unwrap();
    lead("dead", elsewhere.path());
    lead("spill/c", elsewhere.path());
    // A folder with earlier objects is moved, and a link takes its place.
    let moved = elsewhere.path().join("moved");
    fs::rename(below("spill/a"), &moved).unwrap();
    lead("spill/a", &moved);
    for name in ["dead/x", "spill/c/x", "spill/c/d/x", "spill/a/x", "spill/a/b/x"] {
        for written in [
            store.put_new(name, bytes("y"), soon()).await,
            store.put(name, bytes("y"), soon()).await.map(|()| Written::Created),
        ] {
            assert!(
                matches!(&written, Err(StoreError::Config(why)) if why.contains("is a link")),
                "{name}: {written:?}"
            );
        }
    }
    let left: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&moved));
    // The store's own folder may be a link, which every access follows.
    fs::rename(&moved, below("quarantine")).unwrap();
    let store = open(&below("dead"));
    assert_eq!(store.put_new("spill/a/x", bytes("x"), soon()).await, Ok(Written::Created));
    assert_eq!(names(&store, "").await, ["spill/a/x"]);
}

#[tokio::test]
async fn what_a_crash_left_is_removed_when_it_is_surely_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(".tmp/1-0-00");
    touch(dir.path(), ".tmp/1-0-00");
    let at = Clock::system().now();
    let later = |hours: i64| {
        let clock = Clock::fixed(Timestamp::from_unix(at.unix() + hours * 3600));
        let context = Context { env: Env::of([("", "")]), clock, random: Random::system() };
        Store::open("SPILL_URL", &format!("file://{}", dir.path().display()), &context).unwrap()
    };
    for use_it in [false, true] {
        let store = later(23);
        if use_it {
            store.put(NAME, bytes("x"), soon()).await.unwrap();
        }
        assert_eq!(names(&store, "").await.len(), usize::from(use_it));
        assert!(left.exists());
    }
    later(25).put(NAME, bytes("x"), soon()).await.unwrap();
    assert!(!left.exists(), "by the first write");
    touch(dir.path(), ".tmp/1-0-00");
    assert_eq!(names(&later(25), "").await, [NAME]);
    assert!(!left.exists(), "by a listing");
}

#[tokio::test]
async fn folders_that_are_removed_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = open(&root);
    for lost in ["store", "store/spill", "store/spill/tdmq/github", "store/.tmp"] {
        assert_eq!(store.put_new(NAME, bytes("x"), soon()).await, Ok(Written::Created));
        fs::remove_dir_all(dir.path().join(lost)).unwrap();
        let written = store.put_new(NAME, bytes("x"), soon()).await;
        let is_kept = lost == "store/.tmp";
        assert_eq!(written, Ok(if is_kept { Written::Existed } else { Written::Created }), "{lost}");
        store.delete(NAME, soon()).await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_look() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = open(&root);
    store.put_new(NAME, bytes("x"), soon()).await.unwrap();
    store.put("spill/b", bytes("x"), soon()).await.unwrap();
    for (path, want) in [
        ("", 0o700),
        (".tmp", 0o700),
        ("spill", 0o700),
        ("spill/tdmq/github", 0o700),
        (NAME, 0o600),
        ("spill/b", 0o600),
    ] {
        let mode = fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, want, "{path} is {mode:o}");
    }
}

#[tokio::test]
async fn sizes_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let most = Bytes::from(vec![b'x'; MAX_OBJECT]);
    assert_eq!(store.put_new("most", most.clone(), soon()).await, Ok(Written::Created));
    assert_eq!(store.get("most", soon()).await, Ok(Some(most)));
    let over = Bytes::from(vec![b'x'; MAX_OBJECT + 1]);
    assert_eq!(store.put_new("over", over.clone(), soon()).await, Err(StoreError::TooLarge));
    assert_eq!(store.put("over", over.clone(), soon()).await, Err(StoreError::TooLarge));
    fs::write(dir.path().join("over"), over).unwrap();
    assert_eq!(store.get("over", soon()).await, Err(StoreError::TooLarge));
}

#[tokio::test]
async fn past_the_deadline_nothing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    touch(dir.path(), "a");
    assert_eq!(store.list("", None, MAX_PAGE, Instant::now()).await, Err(StoreError::TimedOut));
    assert_eq!(store.put_new(NAME, bytes("x"), Instant::now()).await, Err(StoreError::TimedOut));
    assert!(StoreError::TimedOut.is_retryable());
}

#[test]
fn urls_that_name_no_folder_are_refused() {
    for url in [
        "",
        "spill",
        "/var/spill",
        "file:",
        "file:/var/spill",
        "file://",
        "file:///",
        "file:////",
        "file://var/spill",
        "file://host/var/spill",
        "file:///var/../etc",
        "file:///var/./spill",
        "file:///var/%2e%2e/etc",
        "file:///var//spill",
        "file:///var/spill?x",
        "file:///var/spill#x",
        "file:///var/%00",
        "file:///var/%ff",
        "ftp://host/x",
    ] {
        let problem = Store::open("QUARANTINE_URL", url, &context(&[])).unwrap_err();
        assert_eq!(problem.variable, "QUARANTINE_URL", "{url}");
        assert!(problem.message.contains("file:///dir"), "{url}: {problem}");
    }
    for (url, shown) in [
        ("file:///var/spill/", "Store(file:///var/spill)"),
        ("file:///var/a%20b", "Store(file:///var/a b)"),
        ("file://localhost/var", "Store(file:///var)"),
    ] {
        assert_eq!(format!("{:?}", Store::open("SPILL_URL", url, &context(&[])).unwrap()), shown);
    }
}

#[test]
fn in_a_function_only_a_mount_keeps_what_is_written() {
    for runtime in ["AWS_LAMBDA_RUNTIME_API", "SCF_RUNTIME_API", "RUNTIME_API_ADDR"] {
        let context = context(&[(runtime, "127.0.0.1:9001")]);
        for url in
            ["file:///tmp/spill", "file:///var/spill", "file:///mnt", "file:///mntx/a", "file:///mnt/../tmp"]
        {
            assert!(Store::open("SPILL_URL", url, &context).is_err(), "{runtime} {url}");
        }
        let problem = Store::open("SPILL_URL", "file:///tmp/spill", &context).unwrap_err();
        assert!(problem.message.contains(runtime) && problem.message.contains("/mnt"), "{problem}");
        assert!(Store::open("SPILL_URL", "file:///mnt/spill", &context).is_ok());
    }
    assert!(Store::open("SPILL_URL", "file:///tmp/spill", &context(&[])).is_ok());
}
