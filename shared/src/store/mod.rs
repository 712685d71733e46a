//! Stores of objects that outlive the function: spilled, dead and quarantined deliveries, and claims.
//!
//! A [`Store`] is a folder (`file:///dir`, for a mounted file system or one machine), a bucket
//! (`s3://bucket/prefix`), or any other [`ObjectStore`]: [`memory`] has one with injected faults, for
//! simulations. All keep the same promises, so the rest of the crate does not depend on the kind. When
//! [`Store::put_new`] returns, the object is durable, written by this call or an earlier one. An object
//! exists completely or not at all. A listing finds every object that could be written.
//!
//! Names are this crate's own: lower-case letters, digits, `.`, `-` and `/`. All other names are refused, so
//! that no name leads out of the folder or the prefix.
//!
//! A time-out says nothing about a write: it may still take effect, like a write whose connection broke. Most
//! objects are named after their content, so a late write repeats what another one wrote; the others are
//! times and hints, and an older one costs a repeat.

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
use crate::sort::sort;
pub use error::StoreError;
use file::FileStore;
pub use foreign::Foreign;
use s3::S3Store;

/// Upper bound on the size of an object, in bytes: the largest delivery is far below it, its envelope
/// included.
pub const MAX_OBJECT: usize = 32 * 1024 * 1024;

/// Upper bound on the number of objects on one [`Page`].
pub const MAX_PAGE: usize = 1000;

/// Rule of a write for an existing object of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Write that keeps an existing object.
    New,
    /// Write that replaces an existing object.
    Replace,
}

/// Backend of a [`Store`]. The store checks names, prefixes and sizes before a call, so a backend sees valid
/// ones only. Its [`Display`](fmt::Display) is its URL without a credential: the address of an object is that
/// URL, a slash and the object's name.
pub trait ObjectStore: fmt::Display + Send + Sync + 'static {
    /// Writes an object, which is durable when this returns. [`Written::Existed`] is an answer to
    /// [`Put::New`] alone.
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// Reads an object's bytes; `None` if no object has that name.
    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// Returns size and time of an object; `None` if no object has that name.
    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Removes an object. A missing object is not an error.
    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Lists up to `limit` objects whose names begin with `prefix`, and the token for the next page: `after`
    /// is [`Page::next`] of an earlier page.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Returns the listing token for the names after `name`, in a store that lists in the order of names; it
    /// is used like [`Page::next`].
    fn after(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Lists the folders right below `prefix`, which is empty or ends with a slash: the first segments that
    /// are followed by another segment, each once.
    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>>;

    /// Checks that the place of a folder's objects exists, as far as possible without a request for an
    /// object; a bucket reports a missing place with each answer.
    fn find<'a>(&'a self, folder: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = (folder, deadline);
        Box::pin(ready(Ok(())))
    }

    /// Opens the connection that the first call will use, if the store has connections.
    fn prewarm(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Describes the store's location: its URL, and the address to connect to, if there is one.
    fn place(&self) -> String {
        self.to_string()
    }

    /// Returns true if the store is reached over a connection.
    fn connects(&self) -> bool {
        false
    }

    /// Returns the current problem with the credentials, if one is known.
    fn problem(&self) -> Option<EnvProblem> {
        None
    }
}

/// Handle of an object store: cheap to clone, and without any effect until it is used. The backend is hidden.
#[derive(Clone)]
pub struct Store(Arc<dyn ObjectStore>);

/// Outcome of a write. The object is durable either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Object that this call wrote.
    Created,
    /// Object that existed already under that name, and was kept.
    Existed,
}

/// Metadata of an object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of the object in the store.
    pub name: String,
    /// Size of the object, in bytes.
    pub size: u64,
    /// Time of the write, by the store's clock.
    pub modified: Timestamp,
}

/// Part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects in the order of their names' bytes. The pages of a folder continue that order; the pages of a
    /// bucket with an order of its own do not.
    pub entries: Vec<Entry>,
    /// Token for the next page, which only the same store can read; `None` at the end. A page with a token
    /// may be empty.
    pub next: Option<String>,
    /// Entries on the page that are not objects.
    pub foreign: Foreign,
}

/// Folders in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// Names of the folders, in order, each once.
    pub names: Vec<String>,
    /// Other entries beside the folders, objects included: in a place for folders, nothing reads them.
    pub foreign: Foreign,
}

impl Store {
    /// Creates a handle of the backend `store`.
    pub fn new(store: impl ObjectStore) -> Self {
        Self(Arc::new(store))
    }

    /// Opens `s3://bucket/prefix` or `file:///dir`; `variable` is the environment variable that the URL comes
    /// from. Nothing is created and no connection is made.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use hookmq_shared::context::Context;
    /// use hookmq_shared::store::{Store, Written};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = tempfile::tempdir()?;
    /// let url = format!("file://{}", folder.path().display());
    /// let store = Store::open("SPILL_URL", &url, &Context::system())?;
    ///
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// assert_eq!(store.put_new("orders/1", "paid".into(), deadline).await?, Written::Created);
    /// assert_eq!(store.put_new("orders/1", "open".into(), deadline).await?, Written::Existed);
    /// assert_eq!(store.get("orders/1", deadline).await?.as_deref(), Some(&b"paid"[..]));
    ///
    /// let page = store.list("orders/", None, 10, deadline).await?;
    /// assert_eq!((page.entries[0].name.as_str(), page.entries[0].size), ("orders/1", 4));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(variable: &'static str, url: &str, context: &Context) -> Result<Self, EnvProblem> {
        let problem = |message: String| EnvProblem { variable, message };
        match url.split_once(':') {
            Some(("file", rest)) => FileStore::open(rest, context).map(Self::new).map_err(problem),
            Some(("s3", rest)) => S3Store::open(variable, rest, context).map(Self::new),
            _ => {
                Err(problem("is not a store's URL: write it as s3://bucket/prefix or file:///dir".to_owned()))
            }
        }
    }

    /// Writes a new object, which is durable when this returns, even if it existed already. An existing
    /// object is kept.
    pub async fn put_new(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<Written, StoreError> {
        check_put(name, &bytes)?;
        self.0.put(name, bytes, Put::New, deadline).await
    }

    /// Writes an object, or replaces the one of that name; it is durable when this returns.
    pub async fn put(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<(), StoreError> {
        check_put(name, &bytes)?;
        self.0.put(name, bytes, Put::Replace, deadline).await.map(drop)
    }

    /// Reads an object's bytes; `None` if no object has that name.
    pub async fn get(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreError> {
        name::check(name)?;
        self.0.get(name, deadline).await
    }

    /// Returns size and time of an object; `None` if no object has that name.
    pub async fn head(&self, name: &str, deadline: Instant) -> Result<Option<Entry>, StoreError> {
        name::check(name)?;
        self.0.head(name, deadline).await
    }

    /// Removes an object. A missing object is not an error.
    pub async fn delete(&self, name: &str, deadline: Instant) -> Result<(), StoreError> {
        name::check(name)?;
        self.0.delete(name, deadline).await
    }

    /// Lists up to `limit` (1 to [`MAX_PAGE`]) objects whose names begin with `prefix` (a text, not a folder:
    /// `spill/a` finds `spill/ab/c` too), after the token [`Page::next`] of the last page. Objects written or
    /// deleted during the listing may be listed or not. Entries with foreign names are passed over and
    /// counted; a folder counts them only in a listing from the beginning. An object whose size or time
    /// cannot be read is listed with size 0, or with the time 0, which is before all others.
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

    /// Returns the listing token for the names after `name`, if the store lists in the order of names.
    pub fn after(&self, name: &str) -> String {
        self.0.after(name)
    }

    /// Lists the folders right below `prefix` (empty, or a name and a slash): the first segments that are
    /// followed by another segment, in order, each once. A folder whose objects are gone may be among them.
    pub async fn folders(&self, prefix: &str, deadline: Instant) -> Result<Folders, StoreError> {
        name::check_folder(prefix)?;
        let mut folders = self.0.folders(prefix, deadline).await?;
        sort(&mut folders.names);
        folders.names.dedup();
        Ok(folders)
    }

    /// Checks that the place of a folder's objects exists (`folder` is one segment). It fails for a folder of
    /// the file system that was never written to, or that is a file.
    pub async fn find(&self, folder: &str, deadline: Instant) -> Result<(), StoreError> {
        name::check(folder)?;
        self.0.find(folder, deadline).await
    }

    /// Returns the object's URL, for a person who may read the store.
    pub fn address(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// Describes the store's location, URL and endpoint, for a person who looks for the reason of a failure.
    pub fn place(&self) -> String {
        self.0.place()
    }

    /// Returns true if the store is reached over a connection; a folder is not.
    pub fn connects(&self) -> bool {
        self.0.connects()
    }

    /// Opens the connection that the first call will use; a folder has none. A failure is ignored.
    pub async fn prewarm(&self) {
        self.0.prewarm().await;
    }

    /// Returns the problem with the credentials, which [`open`](Self::open) does not check because they may
    /// change while the function is warm. It is for the log at start; a call fails with
    /// [`StoreError::Config`].
    pub fn problem(&self) -> Option<EnvProblem> {
        self.0.problem()
    }
}

/// URL of the store, which never holds a credential.
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
