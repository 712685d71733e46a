//! Tests of folder listings and their cost.

use std::time::Duration;

use super::simulated::{NOW, Sabotage, Simulated};
use super::*;
use crate::clock::Clock;

const ROOT: &str = "/mnt/spill";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn folder(disk: &Simulated) -> Folder<Simulated> {
    let random = crate::clock::Random::from_fn(|| 7);
    let context = Context { env: Env::of([("", "")]), clock: Clock::fixed(NOW), random };
    Folder::new(disk.clone(), PathBuf::from(ROOT), &context)
}

fn fill(store: &Folder<Simulated>, names: &[String]) {
    for name in names {
        store.write(&Path::new(ROOT).join(name), b"x", Put::New, soon()).unwrap();
    }
}

/// A file that cannot be looked at is listed, and hides no other file.
#[test]
fn a_file_that_cannot_be_looked_at_hides_none() {
    let disk = Simulated::new(Sabotage::None, usize::MAX);
    let store = folder(&disk);
    fill(&store, &["a", "b", "c"].map(|name| format!("spill/{name}")));
    disk.spoil(&Path::new(ROOT).join("spill/b"));
    let page = store.walks.page(&store.place(soon()), "spill/", None, 10).unwrap();
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.size)).collect();
    assert_eq!(found, [("spill/a", 1), ("spill/b", 0), ("spill/c", 1)]);
}

/// A folder of several pages is read once, for any order of listing.
#[test]
fn a_folder_is_read_once_for_all_its_pages() {
    let disk = Simulated::new(Sabotage::None, usize::MAX);
    let mut store = folder(&disk);
    let digest = |n: u32| format!("{n:08x}").repeat(8);
    let mut names: Vec<String> = (0..40).map(|n| format!("spill/t/b/{}", digest(n * 7919))).collect();
    names.extend((0..40).map(|n| format!("spill/t/a/{n}-{}", digest(n))));
    names.extend((0..20).map(|n| format!("spill/t/{n}")));
    fill(&store, &names);
    names.sort_unstable();
    let list = |store: &Folder<Simulated>, prefix: &str, limit: usize| {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.walks.page(&store.place(soon()), prefix, after.as_deref(), limit).unwrap();
            found.extend(page.entries.into_iter().map(|entry| entry.name));
            (after, pages) = (page.next, pages + 1);
            if after.is_none() {
                return (found, pages);
            }
        }
    };
    let reads =
        || ["spill", "spill/t", "spill/t/a", "spill/t/b"].map(|at| disk.reads(&format!("{ROOT}/{at}")));

    assert_eq!(list(&store, "spill/", 10), (names.clone(), 10));
    assert_eq!(reads(), [1, 1, 1, 1]);
    let of_b: Vec<String> = names.iter().filter(|name| name.starts_with("spill/t/b/")).cloned().collect();
    assert_eq!(list(&store, "spill/t/b/", 4), (of_b.clone(), 10));
    assert_eq!(reads(), [1, 1, 1, 2], "nor is what is beside it");

    // With less room the walk resumes behind the names that it had, and does so as rarely as it can.
    store.walks.max_bytes = 600;
    assert_eq!(list(&store, "spill/t/b/", 4), (of_b.clone(), 10));
    assert_eq!(reads(), [1, 1, 1, 5], "15 of 40 names at a time");

    // A token without a walk works as well: one from another handle, or one whose walk was forgotten.
    store.walks.max_bytes = 1 << 20;
    let place = store.place(soon());
    let first = store.walks.page(&place, "spill/t/b/", None, 4).unwrap();
    let second = store.walks.page(&place, "spill/t/b/", first.next.as_deref(), 4).unwrap();
    let again = store.walks.page(&place, "spill/t/b/", first.next.as_deref(), 4).unwrap();
    assert_eq!(second, again);
    assert_eq!(reads(), [1, 1, 1, 7]);
    // Concurrent walks do not disturb each other.
    let other = store.walks.page(&place, "spill/t/a/", None, 4).unwrap();
    let third = store.walks.page(&place, "spill/t/b/", again.next.as_deref(), 4).unwrap();
    assert_eq!(third.entries[0].name, of_b[8]);
    let fourth = store.walks.page(&place, "spill/t/a/", other.next.as_deref(), 4).unwrap();
    assert_eq!((fourth.entries.len(), reads()), (4, [1, 1, 2, 7]));
}

/// Listings of many hooks that take turns still read each folder once.
#[test]
fn walks_that_take_turns_read_each_folder_once() {
    const HOOKS: usize = 12;
    let disk = Simulated::new(Sabotage::None, usize::MAX);
    let mut store = folder(&disk);
    let hook = |hook: usize| format!("spill/t/{hook:02}/");
    let digest = |n: u32| format!("{:08x}", n.wrapping_mul(2_654_435_761)).repeat(8);
    for at in 0..HOOKS {
        fill(&store, &(0..40).map(|n| hook(at) + &digest(n)).collect::<Vec<_>>());
    }
    let take_turns = |store: &Folder<Simulated>| {
        let (mut found, mut after) = (vec![Vec::new(); HOOKS], vec![None; HOOKS]);
        let mut is_first = true;
        while is_first || after.iter().any(Option::is_some) {
            for at in (0..HOOKS).filter(|at| is_first || after[*at].is_some()).collect::<Vec<_>>() {
                let after: &mut Option<String> = &mut after[at];
                let page = store.walks.page(&store.place(soon()), &hook(at), after.as_deref(), 4).unwrap();
                found[at].extend(page.entries.into_iter().map(|entry| entry.name));
                *after = page.next;
            }
            is_first = false;
        }
        let mut want: Vec<Vec<String>> =
            (0..HOOKS).map(|at| (0..40).map(|n| hook(at) + &digest(n)).collect()).collect();
        for names in &mut want {
            names.sort_unstable();
        }
        assert_eq!(found, want);
    };
    let reads = || (0..HOOKS).map(|at| disk.reads(&format!("{ROOT}/spill/t/{at:02}"))).sum::<usize>();
    take_turns(&store);
    assert_eq!(reads(), HOOKS);
    // With room for a quarter of all names, each walk keeps a part of its own names: no walk loses all of
    // them to the others, which would make it read its folder for each page.
    store.walks.max_kept = HOOKS * (512 + 40 * 38 / 4);
    take_turns(&store);
    assert!(reads() - HOOKS <= 6 * HOOKS, "{} for {HOOKS} folders of ten pages", reads() - HOOKS);
}

/// A folder that cannot be read counts as non-empty, and hides no other folder.
#[tokio::test]
async fn a_folder_that_cannot_be_read_hides_none() {
    for bad in ["spill/t/b", "spill/t/b/deep"] {
        let disk = Simulated::new(Sabotage::None, usize::MAX);
        let store = folder(&disk);
        fill(&store, &["a/1", "b/deep/1", "c/1"].map(|name| format!("spill/t/{name}")));
        disk.spoil(&Path::new(ROOT).join(bad));
        let store = FileStore(Arc::new(store));
        let found = store.folders("spill/t/", soon()).await.unwrap();
        let mut names = found.names;
        names.sort_unstable();
        assert_eq!((names, found.foreign.count), (["a", "b", "c"].map(str::to_owned).to_vec(), 0), "{bad}");
        assert!(store.folders("spill/t/", Instant::now()).await.is_err(), "there is no time");
    }
}

/// A folder that hangs counts as non-empty; the others are found and listed in every run.
#[tokio::test]
async fn a_folder_that_hangs_keeps_no_other_waiting() {
    let disk = Simulated::new(Sabotage::None, usize::MAX);
    let store = folder(&disk);
    fill(&store, &["a/1", "b/1", "c/1"].map(|name| format!("spill/t/{name}")));
    store.write(&Path::new(ROOT).join("spill/t/empty/1"), b"x", Put::New, soon()).unwrap();
    store.delete(&Path::new(ROOT).join("spill/t/empty/1")).unwrap();
    disk.hang(Some("/mnt/spill/spill/t/b"));
    let store = FileStore(Arc::new(store));
    for _ in 0..6 {
        let mut found = store.folders("spill/t/", Instant::now() + Duration::from_secs(1)).await.unwrap();
        found.names.sort_unstable();
        assert_eq!(found.names, ["a", "b", "c"]);
        let hangs = store.list("spill/t/b/", None, 10, Instant::now() + Duration::from_millis(20)).await;
        assert_eq!(hangs, Err(StoreError::TimedOut));
        for (prefix, count) in [("spill/t/a/", 1), ("spill/t/c/", 1), ("retry/t/b/", 0), ("spill/-.-", 0)] {
            assert_eq!(store.list(prefix, None, 10, soon()).await.unwrap().entries.len(), count);
        }
    }
    disk.hang(None);
    assert_eq!(store.list("spill/t/b/", None, 10, soon()).await.unwrap().entries.len(), 1);
}
