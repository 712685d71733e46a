//! Objects that outlive the function: spilled, dead and quarantined deliveries, and claims.
//!
//! A [`Store`] is a folder (`file:///dir`, for a mounted file system or one machine), a bucket
//! (`s3://bucket/prefix`), or whatever else is an [`ObjectStore`]: [`memory`] has one that fails as it is
//! told to, for simulations. All keep the same promises, and nobody can tell which one it is. When
//! [`Store::put_new`] returns, the object is durable, whether this call or an earlier one wrote it; an
//! object is there wholly or not at all; a listing finds whatever could be written.
//!
//! Names are our own, lower-case letters, digits, `.`, `-` and `/`; whatever else a caller hands over
//! is refused, so that no name leads out of the folder or the prefix.
//!
//! A time-out says nothing about a write: it may still take effect, as one that was cut off by a broken
//! connection may have. Most objects are named after what they hold, so a write that comes late repeats what
//! another one wrote; the others are times and hints, of which an older one costs a repeat.

mod disk;
mod error;
mod file;
mod foreign;
pub mod memory;
mod name;
mod names;
pub mod s3;
mod walk;

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::EnvProblem;
pub use error::StoreError;
use file::FileStore;
pub use foreign::Foreign;
use s3::S3Store;

/// Bytes of one object at most: the largest delivery is far below it, its envelope included.
pub const MAX_OBJECT: usize = 32 * 1024 * 1024;

/// Objects on one [`Page`] at most.
pub const MAX_PAGE: usize = 1000;

/// Whether a write may replace what has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// What is there already is left as it is.
    New,
    /// What is there already is replaced.
    Replace,
}

/// What a [`Store`] stands on. Names, prefixes and sizes are checked before it is called, so it sees
/// only such as are ours. Its [`Display`](fmt::Display) is its URL without a credential: the address of
/// an object is that, a slash and the object's name.
pub trait ObjectStore: fmt::Display + Send + Sync + 'static {
    /// Writes an object: durable when this returns. [`Written::Existed`] answers [`Put::New`] alone.
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// An object's bytes; `None` if there is none of that name.
    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// Size and time of an object; `None` if there is none of that name.
    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Removes an object. One that is not there is no error.
    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>>;

    /// At most `limit` of the objects whose names begin with `prefix`, and where to go on: `after` is
    /// [`Page::next`] of an earlier page.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// What to list after for the names that come after this one, in a store that lists in the order of
    /// names; a token like those of its pages.
    fn after(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The first segments of the names below `prefix`, which is empty or ends with a slash, that have
    /// another segment behind; each once.
    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>>;

    /// Whether the place is there in which the objects of that folder lie, as far as can be told without
    /// asking for an object; a bucket says so by each answer.
    fn find<'a>(&'a self, folder: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = (folder, deadline);
        Box::pin(ready(Ok(())))
    }

    /// Opens the connection that the first call will use, if there is such a thing.
    fn prewarm(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Where it is: its URL, and the address that is connected to, if there is one.
    fn place(&self) -> String {
        self.to_string()
    }

    /// Whether it is connected to.
    fn connects(&self) -> bool {
        false
    }

    /// What is known to be wrong with the credentials now.
    fn problem(&self) -> Option<EnvProblem> {
        None
    }
}

/// One object store: cheap to clone, and without any effect until it is used. What it stands on, nobody
/// else knows.
#[derive(Clone)]
pub struct Store(Arc<dyn ObjectStore>);

/// What became of a new object. It is durable either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This call wrote it.
    Created,
    /// One of that name is there already, and was left as it is.
    Existed,
}

/// What a listing tells of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the store.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names' bytes. The pages of a folder follow each other in that order; those of
    /// a bucket that lists in an order of its own do not.
    pub entries: Vec<Entry>,
    /// What to hand back for the next page, which only the store that gave it can read; `None` at the
    /// end. A page that has one may be empty.
    pub next: Option<String>,
    /// What is on the page and is no object.
    pub foreign: Foreign,
}

/// The folders in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// Their names, in order, each once.
    pub names: Vec<String>,
    /// What is beside them, objects too: where only folders belong, none of it is seen by anybody.
    pub foreign: Foreign,
}

impl Store {
    /// A store that stands on `store`.
    pub fn new(store: impl ObjectStore) -> Self {
        Self(Arc::new(store))
    }

    /// Reads `s3://bucket/prefix` or `file:///dir`; `variable` is the environment variable that the
    /// URL comes from. Nothing is opened, created or connected to.
    pub fn open(variable: &'static str, url: &str, context: &Context) -> Result<Self, EnvProblem> {
        let problem = |message: String| EnvProblem { variable, message };
        match url.split_once(':') {
            Some(("file", rest)) => FileStore::open(rest, context).map(Self::new).map_err(problem),
            Some(("s3", rest)) => S3Store::open(variable, rest, context).map(Self::new),
            _ => Err(problem("is no store's URL: write it as s3://bucket/prefix or file:///dir".to_owned())),
        }
    }

    /// Writes a new object: durable when this returns, whether it was there already or not. What is
    /// there already is left as it is.
    pub async fn put_new(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<Written, StoreError> {
        check_put(name, &bytes)?;
        self.0.put(name, bytes, Put::New, deadline).await
    }

    /// Writes an object, or replaces the one of that name: durable when this returns.
    pub async fn put(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<(), StoreError> {
        check_put(name, &bytes)?;
        self.0.put(name, bytes, Put::Replace, deadline).await.map(drop)
    }

    /// An object's bytes; `None` if there is none of that name.
    pub async fn get(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreError> {
        name::check(name)?;
        self.0.get(name, deadline).await
    }

    /// Size and time of an object; `None` if there is none of that name.
    pub async fn head(&self, name: &str, deadline: Instant) -> Result<Option<Entry>, StoreError> {
        name::check(name)?;
        self.0.head(name, deadline).await
    }

    /// Removes an object. One that is not there is no error.
    pub async fn delete(&self, name: &str, deadline: Instant) -> Result<(), StoreError> {
        name::check(name)?;
        self.0.delete(name, deadline).await
    }

    /// At most `limit` (1 to [`MAX_PAGE`]) of the objects whose names begin with `prefix` (a text, not a
    /// folder: `spill/a` finds `spill/ab/c` too), after what [`Page::next`] of the last page gave. What is
    /// written or deleted meanwhile may be listed or not; what has no name of ours is counted and passed over,
    /// by a folder where the listing begins at its beginning. An object
    /// whose size or time cannot be read is there with size 0, or with the time 0, which is before all others.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, StoreError> {
        name::check_prefix(prefix)?;
        self.0.list(prefix, after, limit.clamp(1, MAX_PAGE), deadline).await
    }

    /// What to list after for the names that come after this one, if the store lists in the order of names.
    pub fn after(&self, name: &str) -> String {
        self.0.after(name)
    }

    /// The first segments of the names below `prefix` (empty, or a name and a slash) that have another
    /// segment behind: in order, each once. A folder whose objects are gone may be among them.
    pub async fn folders(&self, prefix: &str, deadline: Instant) -> Result<Folders, StoreError> {
        name::check_folder(prefix)?;
        let mut folders = self.0.folders(prefix, deadline).await?;
        folders.names.sort_unstable();
        folders.names.dedup();
        Ok(folders)
    }

    /// Whether the place is there in which the objects of that folder (one segment) lie: not so if nobody
    /// has written to a folder of the file system yet, or if it is a file.
    pub async fn find(&self, folder: &str, deadline: Instant) -> Result<(), StoreError> {
        name::check(folder)?;
        self.0.find(folder, deadline).await
    }

    /// The object's URL, for whoever may read the store.
    pub fn address(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// Where the store is, for whoever looks why it does not answer: its URL and its endpoint.
    pub fn place(&self) -> String {
        self.0.place()
    }

    /// Whether it is connected to: a folder is not.
    pub fn connects(&self) -> bool {
        self.0.connects()
    }

    /// Opens the connection that the first call will use; a folder has none. Failure is no error.
    pub async fn prewarm(&self) {
        self.0.prewarm().await;
    }

    /// What is missing or wrong with the credentials, which [`open`](Self::open) does not look at
    /// because they may change while the function is warm. For the log at start; a call fails as
    /// [`StoreError::Config`].
    pub fn problem(&self) -> Option<EnvProblem> {
        self.0.problem()
    }
}

/// The URL, which never holds a credential.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.0)
    }
}

fn check_put(name: &str, bytes: &Bytes) -> Result<(), StoreError> {
    if bytes.len() > MAX_OBJECT {
        return Err(StoreError::TooLarge);
    }
    name::check(name)
}
