//! Simulated file system that keeps durable data apart from other data, and whose power can be cut.
//!
//! It is as unkind as POSIX allows. A file's bytes are durable once the file was synced, a name once its
//! folder was synced. After a crash each unsynced name exists or not, and unsynced bytes are a beginning of
//! the written bytes, or zeros. Nothing is ordered: a name may survive without the bytes, a folder's content
//! without the folder's own name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::super::disk::{Disk, Found, Kind};
use crate::clock::Timestamp;

/// Modification time of every file.
pub(super) const NOW: Timestamp = Timestamp::from_unix(1_700_000_000);

type Ino = u64;

const ROOT: Ino = 1;

/// Kind of sync that is disabled, so that the test can show that it notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    None,
    /// Sync of a file.
    Files,
    /// Sync of a folder.
    Folders,
    /// Sync of a folder that contains folders only.
    Parents,
}

/// Handle of one process; a clone is another process on the same file system.
#[derive(Clone)]
pub(super) struct Simulated {
    shared: Arc<Shared>,
    process: usize,
}

struct Shared {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Clone)]
struct State {
    nodes: BTreeMap<Ino, Node>,
    next: Ino,
    sabotage: Sabotage,
    /// Number of operations so far that change or sync data.
    operations: usize,
    /// Number of operations after which the power is gone.
    power: usize,
    /// Number of reads of each folder, by its path.
    reads: BTreeMap<String, usize>,
    /// Node that cannot be looked at, as on a bad sector.
    bad: Option<Ino>,
    /// Folder whose reading does not end until this field is cleared.
    hangs: Option<PathBuf>,
    /// True if the disk is full.
    is_full: bool,
    /// Number of touched files.
    touched: usize,
    turns: Option<Turns>,
}

#[derive(Clone)]
enum Node {
    File {
        bytes: Vec<u8>,
        is_synced: bool,
    },
    Folder {
        names: BTreeMap<String, Ino>,
        durable: BTreeMap<String, Ino>,
        /// Changes since the last sync, in order.
        pending: Vec<(String, Option<Ino>)>,
    },
}

/// Turns of several processes: the schedule and the process whose operation is next.
#[derive(Clone)]
struct Turns {
    schedule: Schedule,
    /// Number of turns taken so far.
    count: usize,
    is_alive: Vec<bool>,
    current: usize,
}

/// Generator of numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

/// Order of the operations of two processes.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// Random order.
    Random(Random),
    /// Pause of the first process after that many operations, until the second one has ended.
    Pause(usize),
}

/// Part of the unsynced data that survives a crash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survives {
    Nothing,
    Everything,
    Some(u64),
}

impl Simulated {
    /// Creates an empty file system whose power is cut after `power` operations.
    pub(super) fn new(sabotage: Sabotage, power: usize) -> Self {
        let state = State {
            nodes: BTreeMap::from([(ROOT, Node::folder(BTreeMap::new()))]),
            next: ROOT + 1,
            sabotage,
            operations: 0,
            power,
            reads: BTreeMap::new(),
            bad: None,
            hangs: None,
            is_full: false,
            touched: 0,
            turns: None,
        };
        Self::of(state)
    }

    fn of(state: State) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(state), turned: Condvar::new() }), process: 0 }
    }

    /// Returns handles for two processes that take turns; each of them reports when it is [done](Self::done).
    pub(super) fn processes(&self, schedule: Schedule) -> [Self; 2] {
        let turns = Turns { schedule, count: 0, is_alive: vec![true; 2], current: 0 };
        self.state().turns = Some(turns);
        [0, 1].map(|process| Self { shared: Arc::clone(&self.shared), process })
    }

    /// Reports that the process has ended.
    pub(super) fn done(&self) {
        let mut state = self.state();
        if let Some(turns) = &mut state.turns {
            turns.is_alive[self.process] = false;
        }
        state.turn();
        self.shared.turned.notify_all();
    }

    /// Returns the number of operations so far.
    pub(super) fn operations(&self) -> usize {
        self.state().operations
    }

    /// Returns the number of times that a folder was read.
    pub(super) fn reads(&self, path: &str) -> usize {
        self.state().reads.get(path).copied().unwrap_or_default()
    }

    /// Spoils a file, which cannot be looked at any more, or a folder, which cannot be read any more.
    pub(super) fn spoil(&self, path: &Path) {
        let mut state = self.state();
        state.bad = Some(state.find(path).unwrap());
    }

    /// Makes reads of this folder hang; `None` ends that.
    pub(super) fn hang(&self, path: Option<&str>) {
        self.state().hangs = path.map(PathBuf::from);
    }

    /// Fills the disk: from now on it takes not one more byte.
    pub(super) fn fill(&self) {
        // The disk fills up with or without power.
        let _ = self.run(false, |state| {
            state.is_full = true;
            Ok(())
        });
    }

    /// Returns the number of touched files.
    pub(super) fn touched(&self) -> usize {
        self.state().touched
    }

    /// Returns the file system that is found when the power is back.
    pub(super) fn crash(&self, survives: Survives) -> Self {
        let mut state = self.state().clone();
        let mut random = Random(if let Survives::Some(seed) = survives { seed } else { 0 });
        let is_there = |random: &mut Random| match survives {
            Survives::Nothing => false,
            Survives::Everything => true,
            Survives::Some(_) => random.below(2) == 0,
        };
        for node in state.nodes.values_mut() {
            match node {
                Node::File { is_synced: true, .. } => {}
                Node::File { bytes, is_synced } => {
                    if !is_there(&mut random) {
                        match random.below(3) {
                            0 => bytes.fill(0),
                            1 => bytes.clear(),
                            _ => bytes.truncate(random.below(bytes.len())),
                        }
                    }
                    *is_synced = true;
                }
                Node::Folder { names, durable, pending } => {
                    for (name, ino) in pending.drain(..) {
                        match ino {
                            _ if !is_there(&mut random) => {}
                            Some(ino) => drop(durable.insert(name, ino)),
                            None => drop(durable.remove(&name)),
                        }
                    }
                    names.clone_from(durable);
                }
            }
        }
        (state.sabotage, state.operations, state.power, state.turns) = (Sabotage::None, 0, usize::MAX, None);
        // The disk has room again after the crash.
        state.is_full = false;
        Self::of(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Waits for the process's turn and does an operation.
    fn run<T>(&self, is_change: bool, operation: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        while state.turns.as_ref().is_some_and(|turns| turns.current != self.process) {
            state = self.shared.turned.wait(state).unwrap();
        }
        let done = if state.operations >= state.power {
            Err(io::Error::other("no power"))
        } else {
            state.operations += usize::from(is_change);
            operation(&mut state)
        };
        state.turn();
        self.shared.turned.notify_all();
        done
    }
}

impl Node {
    fn folder(names: BTreeMap<String, Ino>) -> Self {
        Self::Folder { durable: names.clone(), names, pending: Vec::new() }
    }
}

impl State {
    fn turn(&mut self) {
        let Some(turns) = &mut self.turns else { return };
        turns.count += 1;
        let wanted = match &mut turns.schedule {
            Schedule::Random(random) => random.below(2),
            Schedule::Pause(after) => usize::from(turns.count >= *after),
        };
        turns.current = if turns.is_alive[wanted] { wanted } else { 1 - wanted };
    }

    fn find(&self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for segment in path.iter().skip(1) {
            let Some(Node::Folder { names, .. }) = self.nodes.get(&at) else {
                return Err(ErrorKind::NotADirectory.into());
            };
            at = *names.get(text(segment)).ok_or(ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn names(&mut self, path: &Path) -> io::Result<(&BTreeMap<String, Ino>, String, Ino)> {
        let name = text(path.file_name().unwrap()).to_owned();
        let folder = self.find(path.parent().unwrap())?;
        match self.nodes.get(&folder) {
            Some(Node::Folder { names, .. }) => Ok((names, name, folder)),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn change(&mut self, folder: Ino, name: &str, ino: Option<Ino>) {
        let Some(Node::Folder { names, pending, .. }) = self.nodes.get_mut(&folder) else { unreachable!() };
        match ino {
            Some(ino) => drop(names.insert(name.to_owned(), ino)),
            None => drop(names.remove(name)),
        }
        pending.push((name.to_owned(), ino));
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<Ino> {
        let (names, name, folder) = self.names(path)?;
        if names.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, node);
        self.change(folder, &name, Some(ino));
        Ok(ino)
    }
}

fn text(segment: &OsStr) -> &str {
    segment.to_str().unwrap()
}

impl Disk for Simulated {
    type File = Ino;

    fn create(&self, path: &Path) -> io::Result<Ino> {
        self.run(true, |state| state.add(path, Node::File { bytes: Vec::new(), is_synced: false }))
    }

    fn write(&self, file: &mut Ino, more: &[u8]) -> io::Result<()> {
        self.run(true, |state| {
            if state.is_full {
                return Err(ErrorKind::StorageFull.into());
            }
            let Some(Node::File { bytes, is_synced }) = state.nodes.get_mut(file) else { unreachable!() };
            bytes.extend_from_slice(more);
            *is_synced = false;
            Ok(())
        })
    }

    fn sync(&self, file: &mut Ino) -> io::Result<()> {
        self.run(true, |state| {
            let does = state.sabotage != Sabotage::Files;
            let Some(Node::File { is_synced, .. }) = state.nodes.get_mut(file) else { unreachable!() };
            *is_synced |= does;
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(true, |state| {
            let ino = state.find(from)?;
            let (names, name, folder) = state.names(to)?;
            if names.contains_key(&name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.change(folder, &name, Some(ino));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(true, |state| {
            let ino = state.find(from)?;
            let (_, name, folder) = state.names(to)?;
            state.change(folder, &name, Some(ino));
            let (_, name, folder) = state.names(from)?;
            state.change(folder, &name, None);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(true, |state| {
            state.find(path)?;
            let (_, name, folder) = state.names(path)?;
            state.change(folder, &name, None);
            Ok(())
        })
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.run(true, |state| match state.add(path, Node::folder(BTreeMap::new())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.run(true, |state| {
            let ino = state.find(path)?;
            let Some(Node::Folder { names, .. }) = state.nodes.get(&ino) else { unreachable!() };
            let is_parent = names.values().all(|ino| matches!(state.nodes[ino], Node::Folder { .. }));
            let does = match state.sabotage {
                Sabotage::None | Sabotage::Files => true,
                Sabotage::Folders => false,
                Sabotage::Parents => !is_parent,
            };
            let Some(Node::Folder { names, durable, pending }) = state.nodes.get_mut(&ino) else {
                unreachable!()
            };
            if does {
                durable.clone_from(names);
                pending.clear();
            }
            Ok(())
        })
    }

    fn read_folder(&self, path: &Path, each: &mut dyn FnMut(&str, Kind) -> bool) -> io::Result<()> {
        while self.state().hangs.as_deref().is_some_and(|bad| path.starts_with(bad)) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let found = self.run(false, |state| {
            *state.reads.entry(path.to_str().unwrap().trim_end_matches('/').to_owned()).or_default() += 1;
            let ino = state.find(path)?;
            if state.bad == Some(ino) {
                return Err(io::Error::other("bad sector"));
            }
            let Some(Node::Folder { names, .. }) = state.nodes.get(&ino) else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let kind = |ino| match state.nodes[ino] {
                Node::File { .. } => Kind::File,
                Node::Folder { .. } => Kind::Folder,
            };
            Ok(names.iter().map(|(name, ino)| (name.clone(), kind(ino))).collect::<Vec<_>>())
        })?;
        // The entries come in reverse order, because a folder has no order of its own.
        found.iter().rev().all(|(name, kind)| each(name, *kind));
        Ok(())
    }

    fn touch(&self, path: &Path, _: Timestamp) -> io::Result<()> {
        self.run(true, |state| {
            state.touched += 1;
            state.find(path).map(drop)
        })
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        self.run(false, |state| {
            let ino = state.find(path)?;
            if state.bad == Some(ino) {
                return Err(io::Error::other("bad sector"));
            }
            let (kind, size) = match &state.nodes[&ino] {
                Node::File { bytes, .. } => (Kind::File, bytes.len() as u64),
                Node::Folder { .. } => (Kind::Folder, 0),
            };
            Ok(Found { kind, size, modified: Some(NOW), identity: (0, ino) })
        })
    }

    fn follow(&self, path: &Path) -> io::Result<Found> {
        self.look(path)
    }

    fn read(&self, path: &Path, limit: usize, _: Vec<u8>) -> io::Result<Vec<u8>> {
        self.run(false, |state| {
            let ino = state.find(path)?;
            match &state.nodes[&ino] {
                Node::File { bytes, .. } => Ok(bytes[..bytes.len().min(limit)].to_vec()),
                Node::Folder { .. } => Err(ErrorKind::IsADirectory.into()),
            }
        })
    }
}
