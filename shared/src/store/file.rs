//! Folder of a file system as a store.
//!
//! An object is written to a file of its own in `.tmp`, synced, and then given its name: by a hard link if it
//! must be new, which fails if the name is taken, or by a rename if it may replace an object. After that the
//! folder is synced. Each folder above it, up to the root of the file system, has been synced once since this
//! process began. A crash of the machine leaves the following, step by step (`power.rs` tries every step):
//!
//! | Crash after | State after the crash | Write confirmed |
//! |---|---|---|
//! | folders made | empty folders, perhaps not even those | no |
//! | file written | a file in `.tmp`, complete or not, hidden from listings and removed a day later | no |
//! | file synced | the same file, complete | no |
//! | name given | the complete object, or none: the name may be lost, its bytes are not | no |
//! | folder synced | the object | yes |
//! | `.tmp` cleared | the object | yes |
//!
//! A name never exists before its bytes are durable, so an object exists completely or not at all. A process
//! may find the name taken, or, on a full disk, an object with the same bytes. It then syncs the folder
//! itself before it reports success: the process that gave the name may not have synced the folder yet, and
//! may never do so. A failed sync is an error, and the name stays: another process may have found it, and
//! reported it as durable.
//!
//! Without hard links, a file is renamed if the name was free a moment before. Two concurrent writers then
//! both write, the later one over the earlier: each write was durable, and both hold the content that the
//! name stands for.
//!
//! Folders are never removed, since another process may be about to write into one.
//! Folders are never removed, since another process may be about to write into one.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::disk::{self, Disk, Found, Identity, Kind, Real};
use super::walk::{self, Place, Walks};
use super::{Entry, Folders, MAX_OBJECT, ObjectStore, Page, Put, StoreError, Written};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::Env;
use crate::files::{LISTINGS, OBJECTS, Undone};
use crate::platform;

/// Folder for files that do not have their name yet; no object's name begins with a dot.
pub(super) const TEMPORARY: &str = ".tmp";

/// Age in milliseconds after which a temporary file is abandoned: a write takes no longer than a function may
/// run, a quarter of an hour. The rest is a margin for clocks that differ.
const STALE: i64 = 24 * 60 * 60 * 1000;

/// Upper bound on the temporary files examined in one clean-up.
const MAX_CLEANED: usize = 1000;

/// File size in bytes above which the calling thread allocates the memory: an allocator keeps freed memory
/// per thread, and a redriver has little memory for all threads.
const LARGE: usize = 64 << 10;

/// Upper bound on the folders remembered as durable. There are a few for each hook.
const MAX_KNOWN: usize = 4096;

/// Folder store, shared with the threads that run its blocking operations.
pub(super) struct FileStore<D: Disk = Real>(Arc<Folder<D>>);

struct Folder<D> {
    disk: D,
    root: PathBuf,
    context: Context,
    /// Folders whose names this process has synced, all the way down from the root.
    known: Mutex<HashMap<PathBuf, Identity>>,
    /// Number of temporary files created so far.
    count: AtomicU64,
    is_cleaned: AtomicBool,
    walks: Walks,
}

impl FileStore {
    /// Opens the store from the part of the URL after `file:`; an error describes the problem with it.
    pub(super) fn open(rest: &str, context: &Context) -> Result<Self, String> {
        let root = root(rest, &context.env)?;
        Ok(Self(Arc::new(Folder::new(Real::default(), root, context))))
    }
}

impl<D: Disk> FileStore<D> {
    /// Runs a blocking job with an object's path on another thread.
    fn run<'a, T: Send + 'static>(
        &'a self,
        name: &str,
        deadline: Instant,
        job: impl FnOnce(&Folder<D>, &Path) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let (folder, path) = (Arc::clone(&self.0), self.0.root.join(name));
        Box::pin(async move { finished(OBJECTS.run(deadline, move || job(&folder, &path)).await) })
    }

    /// Runs a job that reads a folder, one at a time per folder: a folder that hangs blocks only one thread.
    fn run_alone<'a, T: Send + 'static>(
        &'a self,
        path: &str,
        deadline: Instant,
        job: impl FnOnce(&Folder<D>) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let (folder, path) = (Arc::clone(&self.0), self.0.root.join(path));
        Box::pin(async move { finished(LISTINGS.run_alone(&path, deadline, move || job(&folder)).await) })
    }
}

fn finished<T>(done: Result<Result<T, StoreError>, Undone>) -> Result<T, StoreError> {
    done.unwrap_or_else(|undone| {
        Err(match undone {
            Undone::TimedOut => StoreError::TimedOut,
            Undone::Broken(why) => StoreError::Other(why),
        })
    })
}

impl<D: Disk> ObjectStore for FileStore<D> {
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        self.run(name, deadline, move |folder, path| folder.write(path, &bytes, rule, deadline))
    }

    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            match self.run(name, deadline, |folder, path| read(&folder.disk, path)).await? {
                Content::Absent => Ok(None),
                Content::Read(bytes) => Ok(Some(bytes)),
                Content::Large(size) => {
                    let memory = Vec::with_capacity(size + 1);
                    self.run(name, deadline, |folder, path| read_into(&folder.disk, path, memory)).await
                }
            }
        })
    }

    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let named = name.to_owned();
        self.run(name, deadline, move |folder, path| entry(&folder.disk, named, path))
    }

    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        self.run(name, deadline, Folder::delete)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let at = prefix.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        self.run_alone(&at, deadline, move |folder| {
            folder.clean();
            folder.walks.page(&folder.place(deadline), &prefix, after.as_deref(), limit)
        })
    }

    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>> {
        Box::pin(async move {
            let path = prefix.to_owned();
            let job = move |folder: &Folder<D>| walk::folders(&folder.place(deadline), &path);
            let mut found = self.run_alone(prefix, deadline, job).await?;
            // A folder that does not answer in this part of the time counts as non-empty: a folder that hangs
            // hides no other.
            let soon = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 5;
            let asked = found.names.into_iter().map(async |name| {
                let path = format!("{prefix}{name}/");
                let job = move |folder: &Folder<D>| walk::may_hold(&folder.place(soon), &path);
                let may_hold = self.run_alone(&format!("{prefix}{name}"), soon, job).await;
                may_hold.unwrap_or(true).then_some(name)
            });
            found.names = join_all(asked).await.into_iter().flatten().collect();
            Ok(found)
        })
    }

    fn find<'a>(&'a self, folder: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        self.run(folder, deadline, Folder::find)
    }
}

impl<D: Disk> Folder<D> {
    fn new(disk: D, root: PathBuf, context: &Context) -> Self {
        Self {
            disk,
            root,
            context: context.clone(),
            known: Mutex::default(),
            count: AtomicU64::new(0),
            is_cleaned: AtomicBool::new(false),
            walks: Walks::default(),
        }
    }

    fn place(&self, deadline: Instant) -> Place<'_, D> {
        Place { disk: &self.disk, root: &self.root, deadline }
    }

    /// Checks that the store's folder exists, and that the entry at `path`, if there is one, is a folder.
    fn find(&self, path: &Path) -> Result<(), StoreError> {
        let no_folder = |path: &Path| format!("{} is not a folder", path.display());
        let found = |path: &Path| match self.disk.follow(path) {
            Ok(found) => Ok(Some(found.kind)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if is_absent(&error) => Err(StoreError::Config(no_folder(path))),
            Err(error) => Err(StoreError::io("look for the folder", &error)),
        };
        match found(&self.root)? {
            Some(Kind::Folder) => {}
            Some(_) => return Err(StoreError::Config(no_folder(&self.root))),
            None => {
                let root = self.root.display();
                return Err(StoreError::Config(format!(
                    "no forwarder has written there, {root} does not exist"
                )));
            }
        }
        // A folder that does not exist yet is made by the first write.
        match found(path)? {
            None | Some(Kind::Folder) => Ok(()),
            Some(_) => Err(StoreError::Config(no_folder(path))),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), StoreError> {
        match self.disk.remove(path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(StoreError::io("delete an object", &error)),
        }
        match self.disk.sync_folder(path.parent().unwrap_or(path)) {
            // The folder is gone too.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| StoreError::io("sync a folder", &error)),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8], rule: Put, deadline: Instant) -> Result<Written, StoreError> {
        let write = || self.write_once(path, bytes, rule, deadline);
        let written = match write() {
            // A folder that existed has been removed by another process.
            Err(Failed::Io(error)) if error.kind() == ErrorKind::NotFound => write(),
            other => other,
        };
        if !self.is_cleaned.swap(true, Ordering::Relaxed) {
            self.clean();
        }
        written.map_err(|failed| match failed {
            Failed::Late => StoreError::TimedOut,
            Failed::NotAFile => {
                StoreError::Other("the object's name is taken by something that is not a file".to_owned())
            }
            Failed::Io(error) => StoreError::io("write an object", &error),
        })
    }

    fn write_once(&self, path: &Path, bytes: &[u8], rule: Put, deadline: Instant) -> Result<Written, Failed> {
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let temporary = match self.temporary(bytes) {
            // An object that exists already needs no room to be written again.
            Err(error) if rule == Put::Replace && is_full(&error) && self.holds(path, bytes) => {
                self.disk.touch(path, self.context.clock.now())?;
                // The process that gave the name may not have synced the folder.
                self.disk.sync_folder(folder)?;
                return Ok(Written::Created);
            }
            temporary => temporary?,
        };
        if Instant::now() >= deadline {
            return Err(Failed::Late); // Its caller has given up, and may have written something else.
        }
        let written = match rule {
            Put::New => self.give_new_name(&temporary.path, path)?,
            Put::Replace => self.disk.rename(&temporary.path, path).map(|()| Written::Created)?,
        };
        self.disk.sync_folder(folder)?;
        Ok(written)
    }

    /// Returns true if the object exists with exactly these bytes.
    fn holds(&self, path: &Path, bytes: &[u8]) -> bool {
        let is_alike = |found: Found| found.kind == Kind::File && found.size == bytes.len() as u64;
        self.disk.look(path).is_ok_and(is_alike)
            && self.disk.read(path, bytes.len() + 1, Vec::new()).is_ok_and(|held| held == bytes)
    }

    fn give_new_name(&self, temporary: &Path, path: &Path) -> Result<Written, Failed> {
        let taken = |existing: &Found| {
            if existing.kind == Kind::File { Ok(Written::Existed) } else { Err(Failed::NotAFile) }
        };
        match self.disk.link(temporary, path) {
            Ok(()) => Ok(Written::Created),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let existing = self.disk.look(path)?;
                // A network file system may repeat a link request and refuse it although the link was made.
                let is_ours = existing.identity == self.disk.look(temporary)?.identity;
                taken(&existing).map(|written| if is_ours { Written::Created } else { written })
            }
            Err(error) if disk::has_no_links(&error) => match self.disk.look(path) {
                Ok(existing) => taken(&existing),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Ok(self.disk.rename(temporary, path).map(|()| Written::Created)?)
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a durable file with these bytes and a temporary name.
    fn temporary(&self, bytes: &[u8]) -> io::Result<Temporary<'_, D>> {
        let folder = self.root.join(TEMPORARY);
        self.make_folder(&folder)?;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}-{count}-{:016x}", std::process::id(), self.context.random.next_u64());
        let path = folder.join(unique);
        let mut file = self.disk.create(&path)?;
        let temporary = Temporary { disk: &self.disk, path };
        self.disk.write(&mut file, bytes)?;
        self.disk.sync(&mut file)?;
        Ok(temporary)
    }

    /// Makes a folder and the folders above it, and makes each one's name durable. Existing folders are
    /// synced too, once, because another process may have made them a moment ago.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let segments = || folder.ancestors().take_while(|at| *at != self.root && at.starts_with(&self.root));
        let known = |folder: &Path| self.known().get(folder).copied();
        let is_there = |at| known(at).is_some_and(|identity| self.look(at).is_ok_and(|is| is == identity));
        if segments().all(is_there) {
            return Ok(());
        }
        self.make_root()?;
        let mut segments: Vec<&Path> = segments().collect();
        segments.reverse();
        for at in segments {
            self.disk.make_folder(at)?;
            self.disk.sync_folder(at.parent().unwrap_or(&self.root))?;
            let identity = self.look(at)?;
            self.know(at, identity);
        }
        Ok(())
    }

    /// Returns the identity of a folder inside the store, or an error for a link. A listing follows no link,
    /// so objects written through one would never be found again.
    fn look(&self, folder: &Path) -> io::Result<Identity> {
        let found = self.disk.look(folder)?;
        if found.kind == Kind::Folder {
            return Ok(found.identity);
        }
        let why = format!(
            "{} is a link or a file: put the folder itself there, or mount it there",
            folder.display()
        );
        Err(io::Error::new(ErrorKind::NotADirectory, why))
    }

    /// Removes temporary files that a crash left behind. If one is still in use, its writer finds it gone
    /// when it gives the name, and fails; a file that has its name already keeps it.
    fn clean(&self) {
        let (folder, now) = (self.root.join(TEMPORARY), self.context.clock.now());
        let mut files = Vec::new();
        let read = self.disk.read_folder(&folder, &mut |name, kind| {
            files.extend((kind == Kind::File).then(|| folder.join(name)));
            files.len() < MAX_CLEANED
        });
        drop(read); // What cannot be read is cleaned another time.
        for file in files {
            let Ok(Found { modified: Some(modified), .. }) = self.disk.look(&file) else { continue };
            if now.unix_millis().saturating_sub(modified.unix_millis()) > STALE {
                drop(self.disk.remove(&file));
            }
        }
    }

    /// Makes the store's own folder and the folders above it. Existing folders' names are synced too, once
    /// and as far as permissions allow: another process may have made them without a sync.
    fn make_root(&self) -> io::Result<()> {
        let found = |path: &Path| self.disk.follow(path).ok().filter(|found| found.kind == Kind::Folder);
        let known = self.known().get(&self.root).copied();
        if known.is_some() && found(&self.root).map(|found| found.identity) == known {
            return Ok(());
        }
        let mut ancestors: Vec<&Path> = self.root.ancestors().collect();
        ancestors.reverse();
        for (parent, folder) in ancestors.iter().zip(ancestors.iter().skip(1)) {
            let is_there = found(folder).is_some();
            if !is_there {
                self.disk.make_folder(folder)?;
            }
            match self.disk.sync_folder(parent) {
                Err(error) if is_there && is_not_ours(&error) => {}
                other => other?,
            }
        }
        let identity = self.disk.follow(&self.root)?.identity;
        self.know(&self.root, identity);
        Ok(())
    }

    /// Remembers a folder as durable.
    fn know(&self, folder: &Path, identity: Identity) {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(folder.to_owned(), identity);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Identity>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// URL of the folder.
impl<D: Disk> fmt::Display for FileStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.0.root.display())
    }
}

enum Failed {
    /// Deadline that passed before the name was given.
    Late,
    NotAFile,
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Returns true if the disk has no room for a file.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Temporary file that is removed when it is dropped; once it has been renamed, there is nothing to remove.
struct Temporary<'d, D: Disk> {
    disk: &'d D,
    path: PathBuf,
}

impl<D: Disk> Drop for Temporary<'_, D> {
    fn drop(&mut self) {
        drop(self.disk.remove(&self.path));
    }
}

/// Parses the path of the folder in a `file:` URL, and checks that the platform keeps the folder.
fn root(rest: &str, env: &Env) -> Result<PathBuf, String> {
    const WRONG: &str = "is not a folder's URL: write it as file:///dir, an absolute path";
    let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).ok_or(WRONG)?;
    let is_plain = path.starts_with('/') && !path.contains(['?', '#', '\0']);
    let path = percent_decode_str(path).decode_utf8().ok().filter(|_| is_plain).ok_or(WRONG)?;
    let path = path.trim_end_matches('/');
    // The first segment is the empty text before the first slash.
    if path.is_empty() || path.split('/').skip(1).any(|s| matches!(s, "" | "." | "..") || s.contains('\0')) {
        return Err(format!("{WRONG} without . and .."));
    }
    platform::keeps(env, path).map_err(|fleeting| fleeting.to_string())?;
    Ok(PathBuf::from(path))
}

/// Result of a first attempt to read a file.
enum Content {
    Absent,
    Read(Bytes),
    /// A file above [`LARGE`], with its size in bytes.
    Large(usize),
}

fn read<D: Disk>(disk: &D, path: &Path) -> Result<Content, StoreError> {
    let Some(entry) = entry(disk, String::new(), path)? else { return Ok(Content::Absent) };
    let size = usize::try_from(entry.size).unwrap_or(usize::MAX).min(MAX_OBJECT);
    if size > LARGE {
        return Ok(Content::Large(size));
    }
    Ok(read_into(disk, path, Vec::with_capacity(size + 1))?.map_or(Content::Absent, Content::Read))
}

fn read_into<D: Disk>(disk: &D, path: &Path, memory: Vec<u8>) -> Result<Option<Bytes>, StoreError> {
    match disk.read(path, MAX_OBJECT + 1, memory) {
        Ok(bytes) if bytes.len() > MAX_OBJECT => Err(StoreError::TooLarge),
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(StoreError::io("read an object", &error)),
    }
}

/// Returns the entry of the object at `path`; folders, links and pipes are not objects.
pub(super) fn entry<D: Disk>(disk: &D, name: String, path: &Path) -> Result<Option<Entry>, StoreError> {
    match disk.look(path) {
        Ok(found) if found.kind == Kind::File => {
            let modified = found.modified.unwrap_or(Timestamp::from_unix(0));
            Ok(Some(Entry { name, size: found.size, modified }))
        }
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(StoreError::io("look at an object", &error)),
    }
}

/// Returns true if the error means that this process could not have made a name in the folder.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod listings;
#[cfg(test)]
mod power;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
