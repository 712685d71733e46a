//! The promises of every store, as one table that each kind of store is tested with.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hookmq_shared::store::{Folders, MAX_OBJECT, MAX_PAGE, Store, StoreError, Written};
use tokio::time::Instant;

/// A store to test, and the properties in which kinds of stores differ.
pub(crate) struct Tried<'t> {
    /// Constructor of a handle; one handle can read what another one wrote.
    pub(crate) open: &'t dyn Fn() -> Store,
    /// Prefix of all names, which separates runs: empty, or with a slash at its end.
    pub(crate) at: &'t str,
    /// True if `put_new` leaves an existing object unchanged. A store without conditions replaces it.
    pub(crate) has_conditions: bool,
    /// True if a whole listing is in the order of the names, not only each page.
    pub(crate) is_ordered: bool,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl Tried<'_> {
    /// Checks every promise in order, each with names of its own.
    pub(crate) async fn keeps_every_promise(&self) {
        self.nothing_is_there_at_first().await;
        self.a_new_object_is_left_as_it_is().await;
        self.an_object_is_replaced_whole().await;
        self.it_is_described_and_deleted().await;
        self.every_byte_and_size_comes_back().await;
        self.names_that_are_not_ours_are_refused().await;
        self.of_many_writers_one_creates().await;
        self.a_reader_sees_one_write_or_the_other().await;
        self.pages_hold_every_object_once().await;
        self.a_listing_begins_after_any_name().await;
        self.a_prefix_is_a_text().await;
        self.a_listing_goes_on_whatever_is_deleted().await;
        self.folders_are_those_with_objects().await;
        self.past_the_deadline_nothing_is_done().await;
    }

    fn store(&self) -> Store {
        (self.open)()
    }

    fn name(&self, rest: &str) -> String {
        format!("{}{rest}", self.at)
    }

    async fn fill(&self, names: &[String]) {
        let store = self.store();
        for some in names.chunks(16) {
            for written in join_all(some.iter().map(|name| store.put(name, bytes("x"), soon()))).await {
                written.unwrap();
            }
        }
    }

    /// Lists the names with this prefix in pages of `limit`. Each page is requested from a new handle,
    /// because a token belongs to the store and not to a handle.
    async fn names(&self, prefix: &str, limit: usize) -> Vec<String> {
        let (mut names, mut after) = (Vec::<String>::new(), None);
        loop {
            let page = self.store().list(prefix, after.as_deref(), limit, soon()).await.unwrap();
            assert!(page.entries.len() <= limit.clamp(1, MAX_PAGE), "{} of {limit}", page.entries.len());
            assert!(page.entries.is_sorted_by(|a, b| a.name < b.name), "{:?}", page.entries);
            names.extend(page.entries.into_iter().map(|entry| entry.name));
            assert!(page.next.is_none() || page.next != after, "it goes on");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if self.is_ordered {
            assert!(names.is_sorted(), "{names:?}");
        }
        names.sort_unstable();
        names
    }

    async fn nothing_is_there_at_first(&self) {
        let (store, name) = (self.store(), self.name("nothing/a"));
        assert_eq!(store.problem(), None);
        store.prewarm().await;
        assert_eq!(store.get(&name, soon()).await, Ok(None));
        assert_eq!(store.head(&name, soon()).await, Ok(None));
        assert_eq!(store.delete(&name, soon()).await, Ok(()));
        assert_eq!(self.names(&self.name("nothing/"), 10).await, [""; 0]);
        assert_eq!(store.folders(&self.name("nothing/"), soon()).await, Ok(Folders::default()));
        assert!(store.address(&name).ends_with(&format!("/{name}")), "{}", store.address(&name));
    }

    async fn a_new_object_is_left_as_it_is(&self) {
        let (store, name) = (self.store(), self.name("new/a"));
        assert_eq!(store.put_new(&name, bytes("one"), soon()).await, Ok(Written::Created));
        let again = self.store().put_new(&name, bytes("two"), soon()).await;
        let (written, left) =
            if self.has_conditions { (Written::Existed, "one") } else { (Written::Created, "two") };
        assert_eq!(again, Ok(written));
        assert_eq!(store.get(&name, soon()).await, Ok(Some(bytes(left))));
        // A deleted object can be created again.
        store.delete(&name, soon()).await.unwrap();
        assert_eq!(store.put_new(&name, bytes("three"), soon()).await, Ok(Written::Created));
        assert_eq!(store.get(&name, soon()).await, Ok(Some(bytes("three"))));
    }

    async fn an_object_is_replaced_whole(&self) {
        let (store, name) = (self.store(), self.name("replaced/a"));
        for text in ["a longer one", "two", "", "x"] {
            assert_eq!(store.put(&name, bytes(text), soon()).await, Ok(()));
            assert_eq!(self.store().get(&name, soon()).await, Ok(Some(bytes(text))));
            assert_eq!(store.head(&name, soon()).await.unwrap().unwrap().size, text.len() as u64);
        }
    }

    async fn it_is_described_and_deleted(&self) {
        let (store, name) = (self.store(), self.name("described/a"));
        store.put(&name, bytes("seven77"), soon()).await.unwrap();
        let entry = store.head(&name, soon()).await.unwrap().unwrap();
        assert_eq!((&entry.name, entry.size), (&name, 7));
        let listed = store.list(&name, None, 1, soon()).await.unwrap().entries;
        assert_eq!((&listed[0].name, listed[0].size), (&name, 7));
        let distance = listed[0].modified.unix() - entry.modified.unix();
        assert!(distance.abs() <= 1, "a header has seconds: {distance}");
        for _ in 0..2 {
            assert_eq!(store.delete(&name, soon()).await, Ok(()));
            assert_eq!(store.get(&name, soon()).await, Ok(None));
            assert_eq!(store.head(&name, soon()).await, Ok(None));
        }
        assert_eq!(self.names(&name, 10).await, [""; 0]);
    }

    async fn every_byte_and_size_comes_back(&self) {
        let store = self.store();
        let every: Bytes = (0..=255_u8).cycle().take(3_000_000).collect();
        let name = self.name("bytes/a");
        assert_eq!(store.put_new(&name, every.clone(), soon()).await, Ok(Written::Created));
        assert_eq!(store.get(&name, soon()).await, Ok(Some(every)));
        let over = Bytes::from(vec![b'x'; MAX_OBJECT + 1]);
        let name = self.name("bytes/over");
        assert_eq!(store.put_new(&name, over.clone(), soon()).await, Err(StoreError::TooLarge));
        assert_eq!(store.put(&name, over, soon()).await, Err(StoreError::TooLarge));
        assert_eq!(store.get(&name, soon()).await, Ok(None));
    }

    async fn names_that_are_not_ours_are_refused(&self) {
        let store = self.store();
        for name in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".tmp/a", "A", "a b", "é", "a%2e"] {
            let refused = |result: Result<(), StoreError>| {
                assert!(matches!(result, Err(StoreError::Name(_))), "{name}: {result:?}");
            };
            refused(store.put_new(name, bytes("x"), soon()).await.map(drop));
            refused(store.put(name, bytes("x"), soon()).await);
            refused(store.get(name, soon()).await.map(drop));
            refused(store.head(name, soon()).await.map(drop));
            refused(store.delete(name, soon()).await);
        }
        for prefix in ["/", "../", "A", "a//"] {
            assert!(
                matches!(store.list(prefix, None, 1, soon()).await, Err(StoreError::Name(_))),
                "{prefix}"
            );
        }
        for folder in ["a", "/", "../", "a//"] {
            assert!(matches!(store.folders(folder, soon()).await, Err(StoreError::Name(_))), "{folder}");
        }
        for name in ["-", "0.9", "a..b", "a-b.c/d", &"a".repeat(200)] {
            let name = self.name(&format!("odd/{name}"));
            assert_eq!(store.put_new(&name, bytes("x"), soon()).await, Ok(Written::Created), "{name}");
            assert_eq!(store.get(&name, soon()).await, Ok(Some(bytes("x"))), "{name}");
        }
        assert_eq!(self.names(&self.name("odd/"), 2).await.len(), 5);
    }

    async fn of_many_writers_one_creates(&self) {
        let store = self.store();
        for round in 0..5 {
            let name = self.name(&format!("writers/{round}"));
            let texts: Vec<Bytes> = (0..8).map(|n| bytes(&format!("writer {n}").repeat(1000))).collect();
            let writes = texts.iter().map(|text| store.put_new(&name, text.clone(), soon()));
            let written: Vec<Written> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
            let kept = store.get(&name, soon()).await.unwrap().unwrap();
            let winner = texts.iter().position(|text| *text == kept).expect("it is whole, and one's");
            if self.has_conditions {
                let created: Vec<usize> = (0..8).filter(|n| written[*n] == Written::Created).collect();
                assert_eq!(created, [winner]);
            }
        }
    }

    async fn a_reader_sees_one_write_or_the_other(&self) {
        let (store, name) = (self.store(), self.name("reader/a"));
        let texts = ["a".repeat(100_000), "b".repeat(50_000)];
        store.put(&name, bytes(&texts[0]), soon()).await.unwrap();
        let write = async {
            for n in 0..20 {
                store.put(&name, bytes(&texts[n % 2]), soon()).await.unwrap();
            }
        };
        let read = async {
            for _ in 0..20 {
                let found = store.get(&name, soon()).await.unwrap().unwrap();
                assert!(texts.iter().any(|text| found == text.as_bytes()), "{} bytes", found.len());
            }
        };
        tokio::join!(write, read);
    }

    async fn pages_hold_every_object_once(&self) {
        let prefix = self.name("pages/");
        let mut all: Vec<String> =
            (0..24).map(|n| format!("{prefix}{}/{n:02x}", ["a", "a-b", "b/c"][n % 3])).collect();
        self.fill(&all).await;
        all.sort_unstable();
        for limit in [1, 5, 8, 24, 25, MAX_PAGE, usize::MAX, 0] {
            assert_eq!(self.names(&prefix, limit).await, all, "{limit}");
        }
        let page = self.store().list(&prefix, None, 24, soon()).await.unwrap();
        assert_eq!((page.entries.len(), page.next), (24, None), "there is no empty page behind a full one");
    }

    async fn a_listing_begins_after_any_name(&self) {
        if !self.is_ordered {
            return;
        }
        let (store, prefix) = (self.store(), self.name("after/"));
        let all: Vec<String> = (0..16).map(|n| format!("{prefix}{n:x}0")).collect();
        self.fill(&all).await;
        for (after, left) in [("", 16), ("00", 15), ("3zzz", 12), ("b", 5), ("f0", 0), ("zzz", 0)] {
            let token = store.after(&format!("{prefix}{after}"));
            let page = store.list(&prefix, Some(&token), MAX_PAGE, soon()).await.unwrap();
            let names: Vec<_> = page.entries.into_iter().map(|entry| entry.name).collect();
            assert_eq!(names, all[16 - left..], "{after}");
        }
    }

    async fn a_prefix_is_a_text(&self) {
        let prefix = self.name("prefix/");
        let mut all: Vec<String> = ["a", "a-b", "a.b", "ab", "b/c", "b-c", "b0", "b/a/z", "b/a.z", "c/d/e/f"]
            .map(|n| prefix.clone() + n)
            .into();
        self.fill(&all).await;
        all.sort_unstable();
        for begin in ["", "a", "b", "b/", "b/a", "b/a/", "c/d/e/f", "c/d/e/f/", "d"] {
            let begin = format!("{prefix}{begin}");
            let want: Vec<_> = all.iter().filter(|name| name.starts_with(&begin)).cloned().collect();
            assert_eq!(self.names(&begin, 2).await, want, "{begin}");
        }
    }

    async fn a_listing_goes_on_whatever_is_deleted(&self) {
        let (store, prefix) = (self.store(), self.name("going/"));
        let all: Vec<String> = (0..20).map(|n| format!("{prefix}{n:02}")).collect();
        self.fill(&all).await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(&prefix, after.as_deref(), 6, soon()).await.unwrap();
            for entry in page.entries {
                store.delete(&entry.name, soon()).await.unwrap();
                seen.push(entry.name);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, all);
        assert_eq!(self.names(&prefix, 6).await, [""; 0]);
    }

    async fn folders_are_those_with_objects(&self) {
        let (store, prefix) = (self.store(), self.name("folders/"));
        let names = ["a/1", "a/2", "a-b/c/1", "ab", "b/x/y/z", "gone/1", "0.0/1"].map(|n| prefix.clone() + n);
        self.fill(&names).await;
        store.delete(&format!("{prefix}gone/1"), soon()).await.unwrap();
        for (folder, want) in [
            ("", &["0.0", "a", "a-b", "b"][..]),
            ("a/", &[]),
            ("a-b/", &["c"]),
            ("b/", &["x"]),
            ("b/x/", &["y"]),
            ("gone/", &[]),
            ("none/", &[]),
        ] {
            let folders = store.folders(&format!("{prefix}{folder}"), soon()).await.unwrap();
            assert_eq!(folders.names, want, "{folder}");
        }
        let many: Vec<String> = (0..30).map(|n| format!("{prefix}many/f{n:02}/a")).collect();
        self.fill(&many).await;
        assert_eq!(store.folders(&format!("{prefix}many/"), soon()).await.unwrap().names.len(), 30);
    }

    async fn past_the_deadline_nothing_is_done(&self) {
        let (store, name) = (self.store(), self.name("late/a"));
        let late = Instant::now();
        assert_eq!(store.put_new(&name, bytes("x"), late).await, Err(StoreError::TimedOut));
        assert_eq!(store.put(&name, bytes("x"), late).await, Err(StoreError::TimedOut));
        assert_eq!(store.list(&self.name("late/"), None, 1, late).await, Err(StoreError::TimedOut));
        assert_eq!(store.get(&name, late).await, Err(StoreError::TimedOut));
        assert_eq!(store.head(&name, late).await, Err(StoreError::TimedOut));
        assert_eq!(store.delete(&name, late).await, Err(StoreError::TimedOut));
        assert_eq!(store.folders(&self.name("late/"), late).await, Err(StoreError::TimedOut));
        assert_eq!(store.get(&name, soon()).await, Ok(None));
    }
}
