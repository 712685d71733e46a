//! A folder as a store.
//!
//! An object is written to a file of its own in `.tmp`, synced, and then given its name: by a hard
//! link when it must be new, which fails if the name is taken, or by a rename when it may replace.
//! After that the folder is synced, and so was each folder above it since this process began. What a
//! crash of the machine leaves, step by step:
//!
//! | Crash after | What is left | Answered |
//! |---|---|---|
//! | folders made | empty folders, perhaps not even those | no |
//! | file written | a file in `.tmp`, whole or not, which no listing shows and which is removed a day later | no |
//! | file synced | the same, whole | no |
//! | name given | the object, whole, or no object: the name may be lost, the bytes behind it are not | no |
//! | folder synced | the object | then |
//! | `.tmp` cleared | the object | then |
//!
//! A name is never there before its bytes are durable, so an object is there wholly or not at all.
//! A process that finds the name taken syncs the folder itself before it says so: who gave the name
//! may not have got that far, and may never. A sync that fails is an error, and the name stays:
//! another process may have found it, and vouched for it.
//!
//! Where there are no hard links, a file is renamed if the name was free a moment before. Two writers
//! at once then both write, the later one over the earlier: each was durable, and both hold what the
//! name says.
//!
//! Folders are never removed, since another process may be about to write into one.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

use super::disk::{self, Identity};
use super::walk::{self, Walk};
use super::{Entry, MAX_OBJECT, ObjectStore, Page, Put, StoreError, Written};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::Env;

/// Where files are written before they have a name; no object's name begins with a dot.
const TEMPORARY: &str = ".tmp";

/// A temporary file of this age is nobody's: no write takes longer than a function may run, a quarter
/// of an hour. The rest is for clocks that differ.
const STALE: i64 = 24 * 60 * 60 * 1000;

/// Temporary files looked at in one go.
const MAX_CLEANED: usize = 1000;

/// Folders remembered as durable. There are a few for each hook.
const MAX_KNOWN: usize = 4096;

/// Variables that a cloud's function runtime sets: a file there is gone with the sandbox.
const RUNTIMES: [&str; 3] = ["AWS_LAMBDA_RUNTIME_API", "SCF_RUNTIME_API", "RUNTIME_API_ADDR"];

/// The only place that a function runtime mounts file systems at that stay.
const MOUNTS: &str = "/mnt/";

type Link = fn(&Path, &Path) -> io::Result<()>;

/// The store: what runs on a thread of its own keeps it.
pub(super) struct FileStore(Arc<Folder>);

struct Folder {
    root: PathBuf,
    context: Context,
    /// Folders that this process has synced the names of, all the way down.
    known: Mutex<HashMap<PathBuf, Identity>>,
    /// Temporary files made.
    count: AtomicU64,
    is_cleaned: AtomicBool,
    /// The hard link, which a test takes away.
    link: Link,
}

impl FileStore {
    /// Reads the URL after `file:`; what is wrong with it.
    pub(super) fn open(rest: &str, context: &Context) -> Result<Self, String> {
        Ok(Self(Arc::new(Folder::open(rest, context)?)))
    }

    /// Runs what blocks on a thread for it, with the path of an object.
    fn run<'a, T: Send + 'static>(
        &'a self,
        name: &str,
        deadline: Instant,
        job: impl FnOnce(&Folder, &Path) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let (folder, path) = (Arc::clone(&self.0), self.0.root.join(name));
        Box::pin(async move {
            let job = tokio::task::spawn_blocking(move || job(&folder, &path));
            let done = timeout_at(deadline, job).await.map_err(|_| StoreError::TimedOut)?;
            done.unwrap_or_else(|error| Err(StoreError::Other(error.to_string())))
        })
    }
}

impl ObjectStore for FileStore {
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
        self.run(name, deadline, |_, path| read(path))
    }

    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let named = name.to_owned();
        self.run(name, deadline, move |_, path| entry(named, path))
    }

    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        self.run(name, deadline, |_, path| match fs::remove_file(path) {
            Ok(()) => sync(path),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(StoreError::io("delete an object", &error)),
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let walk = Walk::new(prefix, after, limit, deadline);
        self.run("", deadline, move |folder, root| {
            folder.clean();
            walk.page(root)
        })
    }

    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.run(prefix, deadline, move |_, path| walk::folders(path, deadline))
    }
}

impl Folder {
    fn open(rest: &str, context: &Context) -> Result<Self, String> {
        let root = root(rest, &context.env)?;
        Ok(Self {
            root,
            context: context.clone(),
            known: Mutex::default(),
            count: AtomicU64::new(0),
            is_cleaned: AtomicBool::new(false),
            link: |from, to| fs::hard_link(from, to),
        })
    }

    fn write(&self, path: &Path, bytes: &[u8], rule: Put, deadline: Instant) -> Result<Written, StoreError> {
        let write = || self.write_once(path, bytes, rule, deadline);
        let written = match write() {
            // Somebody has removed a folder that was there.
            Err(Failed::Io(error)) if error.kind() == ErrorKind::NotFound => write(),
            other => other,
        };
        if !self.is_cleaned.swap(true, Ordering::Relaxed) {
            self.clean();
        }
        written.map_err(|failed| match failed {
            Failed::Late => StoreError::TimedOut,
            Failed::NotAFile => StoreError::Other("what has the object's name is no file".to_owned()),
            Failed::Io(error) => StoreError::io("write an object", &error),
        })
    }

    fn write_once(&self, path: &Path, bytes: &[u8], rule: Put, deadline: Instant) -> Result<Written, Failed> {
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let temporary = self.temporary(bytes)?;
        if Instant::now() >= deadline {
            return Err(Failed::Late); // Its caller has given up, and may have written something else.
        }
        let written = match rule {
            Put::New => self.give_new_name(&temporary.0, path)?,
            Put::Replace => fs::rename(&temporary.0, path).map(|()| Written::Created)?,
        };
        disk::sync_folder(folder)?;
        Ok(written)
    }

    fn give_new_name(&self, temporary: &Path, path: &Path) -> Result<Written, Failed> {
        let taken = |existing: &fs::Metadata| {
            if existing.is_file() { Ok(Written::Existed) } else { Err(Failed::NotAFile) }
        };
        match (self.link)(temporary, path) {
            Ok(()) => Ok(Written::Created),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let existing = fs::symlink_metadata(path)?;
                // A link over the network that was asked for twice is refused though it was made.
                let is_ours = disk::identity(&existing) == disk::identity(&fs::metadata(temporary)?);
                taken(&existing).map(|written| if is_ours { Written::Created } else { written })
            }
            Err(error) if disk::has_no_links(&error) => match fs::symlink_metadata(path) {
                Ok(existing) => taken(&existing),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Ok(fs::rename(temporary, path).map(|()| Written::Created)?)
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// A file with these bytes, durable, without a name that lasts.
    fn temporary(&self, bytes: &[u8]) -> io::Result<Temporary> {
        let folder = self.root.join(TEMPORARY);
        self.make_folder(&folder)?;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}-{count}-{:016x}", std::process::id(), self.context.random.next_u64());
        let path = folder.join(unique);
        let mut file = disk::new_file(&path)?;
        let temporary = Temporary(path);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Makes a folder and those above it, and each one's name durable: of those that are there too,
    /// once, because another process may have made them a moment ago.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let known = |folder: &Path| self.known().get(folder).copied();
        let is_there = |identity| fs::metadata(folder).is_ok_and(|m| disk::identity(&m) == identity);
        if known(folder).is_some_and(is_there) {
            return Ok(());
        }
        make_root(&self.root)?;
        let mut at = self.root.clone();
        for segment in folder.strip_prefix(&self.root).into_iter().flat_map(Path::iter) {
            let parent = at.clone();
            at.push(segment);
            disk::new_folder(&at)?;
            disk::sync_folder(&parent)?;
        }
        let identity = disk::identity(&fs::metadata(folder)?);
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(folder.to_owned(), identity);
        Ok(())
    }

    /// Removes temporary files that a crash left behind. Should one be in use all the same, its writer
    /// finds it gone when it gives the name, and fails; after that the file has its name, and keeps it.
    fn clean(&self) {
        let Ok(files) = fs::read_dir(self.root.join(TEMPORARY)) else { return };
        let now = self.context.clock.now();
        for file in files.flatten().take(MAX_CLEANED) {
            let Ok(metadata) = file.metadata() else { continue };
            let age = modified(&metadata).map(|at| now.unix_millis().saturating_sub(at.unix_millis()));
            if metadata.is_file() && age.is_some_and(|age| age > STALE) {
                drop(fs::remove_file(file.path()));
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Identity>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder as a URL.
impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.0.root.display())
    }
}

enum Failed {
    /// Past the deadline before the name was given.
    Late,
    NotAFile,
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file that goes with its owner; once renamed, there is nothing to go.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// The folder that a `file:` URL names.
fn root(rest: &str, env: &Env) -> Result<PathBuf, String> {
    const WRONG: &str = "is no folder's URL: write it as file:///dir, an absolute path";
    let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).ok_or(WRONG)?;
    let is_plain = path.starts_with('/') && !path.contains(['?', '#', '\0']);
    let path = percent_decode_str(path).decode_utf8().ok().filter(|_| is_plain).ok_or(WRONG)?;
    let path = path.trim_end_matches('/');
    // The first segment is what is before the slash.
    if path.is_empty() || path.split('/').skip(1).any(|s| matches!(s, "" | "." | "..") || s.contains('\0')) {
        return Err(format!("{WRONG} without . and .."));
    }
    let is_mounted = path.starts_with(MOUNTS);
    if !is_mounted && let Some(runtime) = RUNTIMES.into_iter().find(|name| env.get(name).is_some()) {
        return Err(format!(
            "names a folder that is gone with the function ({runtime} is set, so this is one): use a bucket, \
             or a file system mounted under /mnt"
        ));
    }
    Ok(PathBuf::from(path))
}

/// Makes the store's own folder. If it is there already, the name is synced as far as we may.
fn make_root(root: &Path) -> io::Result<()> {
    let parent = root.parent().unwrap_or(root);
    if root.is_dir() {
        drop(disk::sync_folder(parent));
        return Ok(());
    }
    if !parent.is_dir() {
        make_root(parent)?;
    }
    disk::new_folder(root)?;
    disk::sync_folder(parent)
}

fn read(path: &Path) -> Result<Option<Bytes>, StoreError> {
    if entry(String::new(), path)?.is_none() {
        return Ok(None);
    }
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_OBJECT as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() > MAX_OBJECT => Err(StoreError::TooLarge),
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(StoreError::io("read an object", &error)),
    }
}

/// What is at `path`, if it is an object: folders, links and pipes are none.
pub(super) fn entry(name: String, path: &Path) -> Result<Option<Entry>, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let modified = modified(&metadata).unwrap_or(Timestamp::from_unix(0));
            Ok(Some(Entry { name, size: metadata.len(), modified }))
        }
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(StoreError::io("look at an object", &error)),
    }
}

fn sync(path: &Path) -> Result<(), StoreError> {
    match disk::sync_folder(path.parent().unwrap_or(path)) {
        // The folder is gone too.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| StoreError::io("sync a folder", &error)),
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn modified(metadata: &fs::Metadata) -> Option<Timestamp> {
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp::from_unix_millis)
}

#[cfg(test)]
mod tests;
