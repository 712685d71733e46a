//! Tests of the power cut: every confirmed object is there completely when the power is back, for a cut at
//! any step.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use super::simulated::{NOW, Random, Sabotage, Schedule, Simulated, Survives};
use super::*;
use crate::clock::Clock;

const ROOT: &str = "/mnt/spill";

/// Number of seeds for the survival of unsynced data, besides nothing and everything.
const SEEDS: u64 = 6;

/// Step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    PutNew(&'static str, &'static str),
    Put(&'static str, &'static str),
    Delete(&'static str),
    /// Lack of disk space from this step on.
    Fill,
}

use Step::{Delete, Fill, Put as Replace, PutNew};

/// Expected state of a name.
#[derive(Clone, Debug, Default)]
struct Known {
    /// All texts that any write may have put there.
    written: BTreeSet<&'static str>,
    /// True if the object was confirmed, and no deletion was attempted since.
    is_promised: bool,
    /// Text that the object must hold, if the last write is known.
    last: Option<&'static str>,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn folder(disk: Simulated, process: u64) -> Folder<Simulated> {
    let random = crate::clock::Random::from_fn(move || process);
    let context = Context { env: Env::of([("", "")]), clock: Clock::fixed(NOW), random };
    Folder::new(disk, PathBuf::from(ROOT), &context)
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Does a step; returns the outcome if it was confirmed.
fn run(folder: &Folder<Simulated>, step: Step) -> Option<Written> {
    match step {
        PutNew(name, text) => folder.write(&path(name), text.as_bytes(), Put::New, soon()).ok(),
        Replace(name, text) => folder.write(&path(name), text.as_bytes(), Put::Replace, soon()).ok(),
        Delete(name) => folder.delete(&path(name)).ok().map(|()| Written::Created),
        Fill => {
            folder.disk.fill();
            None
        }
    }
}

/// Records the outcome of a step that one process did alone.
fn learn(known: &mut BTreeMap<&'static str, Known>, step: Step, done: Option<Written>) {
    let (PutNew(name, _) | Replace(name, _) | Delete(name)) = step else { return };
    let known = known.entry(name).or_default();
    match step {
        PutNew(_, text) => {
            if done != Some(Written::Existed) {
                known.written.insert(text);
                // An unconfirmed write leaves the existing object as it was, if that one is certain.
                known.last = done.map(|_| text).or(known.last.filter(|_| known.is_promised));
            }
            known.is_promised |= done.is_some();
        }
        Replace(_, text) => {
            known.written.insert(text);
            known.last = done.map(|_| text);
            known.is_promised |= done.is_some();
        }
        Delete(_) => (known.is_promised, known.last) = (false, None),
        Fill => {}
    }
}

/// Finds a contradiction between the disk after a crash and the expected state.
fn wrong(disk: &Simulated, known: &BTreeMap<&'static str, Known>, survives: Survives) -> Option<String> {
    let folder = folder(disk.crash(survives), 99);
    for (name, known) in known {
        let found = read_into(&folder.disk, &path(name), Vec::new()).unwrap();
        let found = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match &found {
            None if known.is_promised => return Some(format!("{name} was confirmed and is gone")),
            Some(text) if !known.written.contains(text.as_str()) => {
                return Some(format!("{name} holds {text:?}, which nobody wrote"));
            }
            Some(text) if known.is_promised && known.last.is_some_and(|last| last != text) => {
                return Some(format!("{name} holds {text:?}, which was replaced"));
            }
            _ => {}
        }
        // The store goes on: a listing shows exactly the existing object, and the name can be written.
        let page = folder.walks.page(&folder.place(soon()), name, None, 10).unwrap();
        if page.entries.len() != usize::from(found.is_some()) {
            return Some(format!("{name} is listed {} times", page.entries.len()));
        }
        let written = run(&folder, PutNew(name, "anew")).unwrap();
        if (written == Written::Existed) != found.is_some() {
            return Some(format!("{name} is new, or is not"));
        }
    }
    None
}

/// Cuts the power after each operation of the sequence. Returns the contradictions, and the number of cuts.
fn cut_everywhere(steps: &[Step], sabotage: Sabotage) -> (Vec<String>, usize) {
    let (mut found, mut cuts) = (Vec::new(), 0);
    for power in 0.. {
        let disk = Simulated::new(sabotage, power);
        let store = folder(disk.clone(), 0);
        let mut known = BTreeMap::new();
        for step in steps {
            learn(&mut known, *step, run(&store, *step));
        }
        found.extend(each_survival(&disk, &known).map(|what| format!("after {power}: {what}")));
        cuts += 1;
        if disk.operations() < power {
            break;
        }
    }
    (found, cuts)
}

fn each_survival<'a>(
    disk: &'a Simulated,
    known: &'a BTreeMap<&'static str, Known>,
) -> impl Iterator<Item = String> + use<'a> {
    let some = (0..SEEDS).map(Survives::Some);
    let all = [Survives::Nothing, Survives::Everything].into_iter().chain(some);
    all.filter_map(|survives| wrong(disk, known, survives).map(|what| format!("{survives:?}: {what}")))
}

const A: &str = "spill/tdmq/github/00ff";
const B: &str = "spill/tdmq/stripe/00ff";
const C: &str = "top";

const SEQUENCES: [&[Step]; 7] = [
    &[PutNew(A, "one"), PutNew(A, "two"), PutNew(B, "three"), PutNew(C, "four")],
    &[Replace(A, "one"), Replace(A, "a longer two"), Replace(B, ""), Replace(A, "3")],
    &[PutNew(A, "one"), Delete(A), PutNew(A, "two"), Delete(B)],
    &[PutNew(A, "one"), Replace(A, "two"), Delete(A), Replace(A, "three"), PutNew(A, "four")],
    &[Replace(A, "one"), PutNew(B, "two"), Delete(A), PutNew(C, "three"), Replace(C, "four")],
    &[PutNew(A, "one"), Fill, Replace(A, "one"), Replace(A, "two"), PutNew(B, "three"), Replace(A, "one")],
    &[Replace(A, "one"), Replace(A, "two"), Fill, Replace(A, "two"), Delete(A), Replace(A, "two")],
];

#[test]
fn what_was_confirmed_survives_a_power_cut_anywhere() {
    let mut all = 0;
    for steps in SEQUENCES {
        let (found, cuts) = cut_everywhere(steps, Sabotage::None);
        assert_eq!(found, [""; 0], "{steps:?}");
        all += cuts;
    }
    assert!(all > 150, "the power was cut {all} times");
}

/// A claim is written again before each send, and a full disk must not prevent the sends that free it.
#[test]
fn what_is_there_already_is_written_again_on_a_full_disk() {
    let disk = Simulated::new(Sabotage::None, usize::MAX);
    let store = folder(disk.clone(), 1);
    assert!(run(&store, PutNew(A, "one")).is_some());
    disk.fill();
    let put = |name, text: &str, rule| store.write(&path(name), text.as_bytes(), rule, soon());
    assert_eq!(put(A, "one", Put::Replace), Ok(Written::Created));
    assert_eq!(disk.touched(), 1, "it is as young as if it had been written");
    for (name, text, rule) in
        [(A, "two", Put::Replace), (A, "three", Put::Replace), (B, "one", Put::Replace), (B, "one", Put::New)]
    {
        assert!(matches!(put(name, text, rule), Err(StoreError::Full(_))), "{name} {text}");
    }
    assert_eq!(disk.touched(), 1);
}

/// Runs two processes, whose operations interleave in any order. Returns the disk and the outcomes of each
/// process.
fn two_writers(
    sabotage: Sabotage,
    schedule: Schedule,
    power: usize,
    scripts: [&'static [Step]; 2],
) -> (Simulated, BTreeMap<&'static str, Known>) {
    let disk = Simulated::new(sabotage, power);
    let writers =
        disk.processes(schedule).into_iter().zip(scripts).enumerate().map(|(process, (disk, steps))| {
            thread::spawn(move || {
                let store = folder(disk.clone(), process as u64);
                let told: Vec<_> = steps.iter().map(|step| (*step, run(&store, *step))).collect();
                disk.done();
                told
            })
        });
    let writers: Vec<_> = writers.collect();
    let mut known: BTreeMap<&'static str, Known> = BTreeMap::new();
    for (step, done) in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
        let (PutNew(name, text) | Replace(name, text)) = step else { continue };
        let known = known.entry(name).or_default();
        known.written.insert(text);
        known.is_promised |= done.is_some();
    }
    (disk, known)
}

fn two_writers_everywhere(sabotage: Sabotage, seeds: u64, pauses: usize) -> Vec<String> {
    let scripts: [[&'static [Step]; 2]; 4] = [
        [&[PutNew(A, "one")], &[PutNew(A, "two")]],
        [&[PutNew(A, "one"), Replace(A, "three")], &[PutNew(A, "two")]],
        [&[Replace(A, "one")], &[PutNew(A, "two"), PutNew(B, "four")]],
        [&[PutNew(A, "one")], &[Fill, Replace(A, "one")]],
    ];
    let mut found = Vec::new();
    for scripts in scripts {
        let random = (0..seeds).map(|seed| Schedule::Random(Random(seed)));
        for schedule in random.chain((1..=pauses).map(Schedule::Pause)) {
            for power in 0.. {
                let (disk, known) = two_writers(sabotage, schedule.clone(), power, scripts);
                let what = each_survival(&disk, &known);
                found.extend(what.map(|what| format!("{schedule:?}, after {power}: {what}")));
                if disk.operations() < power {
                    break;
                }
            }
        }
    }
    found
}

#[test]
fn what_either_of_two_writers_was_told_survives_a_power_cut_anywhere() {
    assert_eq!(two_writers_everywhere(Sabotage::None, 10, 70), [""; 0]);
}

#[test]
fn without_a_sync_something_is_lost() {
    for sabotage in [Sabotage::Files, Sabotage::Folders, Sabotage::Parents] {
        let (found, _) = cut_everywhere(SEQUENCES[0], sabotage);
        assert!(!found.is_empty(), "{sabotage:?} goes unseen");
        assert!(!two_writers_everywhere(sabotage, 2, 0).is_empty(), "{sabotage:?} goes unseen by two");
    }
}

#[test]
fn a_random_sequence_survives_too() {
    let names = [A, B, C];
    let texts = ["one", "two", "three", "a longer text than any of the others"];
    for seed in 0..12 {
        let mut random = Random(seed);
        let steps: Vec<Step> = (0..5)
            .map(|_| {
                let (name, text) = (names[random.below(3)], texts[random.below(4)]);
                [PutNew(name, text), PutNew(name, text), Replace(name, text), Delete(name)][random.below(4)]
            })
            .collect();
        assert_eq!(cut_everywhere(&steps, Sabotage::None).0, [""; 0], "{steps:?}");
    }
}
