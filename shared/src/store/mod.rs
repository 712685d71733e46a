//! Objects that outlive the function: spilled, dead and quarantined deliveries, and claims.
//!
//! A [`Store`] is a folder (`file:///dir`, for a mounted file system or one machine) or a bucket
//! (`s3://bucket/prefix`). Both keep the same promise: when [`Store::put_new`] returns, the object is
//! durable, whether this call or an earlier one wrote it; an object is there wholly or not at all.
//!
//! Names are our own, lower-case letters, digits, `.`, `-` and `/`; whatever else a caller hands over
//! is refused, so that no name leads out of the folder or the prefix.
//!
//! A time-out says nothing about a write: it may still take effect, as one that was cut off by a broken
//! connection may have. Objects are named after what they hold, so a write that comes late repeats what
//! another one wrote.

mod disk;
mod error;
mod file;
mod name;
pub mod s3;
mod walk;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::queue::EnvProblem;
pub use error::StoreError;
use file::FileStore;
use s3::S3Store;

/// Bytes of one object at most: the largest delivery is far below it, its envelope included.
pub const MAX_OBJECT: usize = 32 * 1024 * 1024;

/// Objects on one [`Page`] at most.
pub const MAX_PAGE: usize = 1000;

/// One object store: cheap to clone, and without any effect until it is used.
#[derive(Clone)]
pub struct Store(Kind);

#[derive(Clone)]
enum Kind {
    File(Arc<FileStore>),
    S3(Arc<S3Store>),
}

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
    /// In the order of their names' bytes.
    pub entries: Vec<Entry>,
    /// What to list after for the next page; `None` at the end. A page that has one may be empty.
    pub next: Option<String>,
}

impl Store {
    /// Reads `s3://bucket/prefix` or `file:///dir`; `variable` is the environment variable that the
    /// URL comes from. Nothing is opened, created or connected to.
    pub fn open(variable: &'static str, url: &str, context: &Context) -> Result<Self, EnvProblem> {
        let problem = |message: String| EnvProblem { variable, message };
        match url.split_once(':') {
            Some(("file", rest)) => {
                let store = FileStore::open(rest, context).map_err(problem)?;
                Ok(Self(Kind::File(Arc::new(store))))
            }
            Some(("s3", rest)) => {
                let store = S3Store::open(variable, rest, context)?;
                Ok(Self(Kind::S3(Arc::new(store))))
            }
            _ => Err(problem("is no store's URL: write it as s3://bucket/prefix or file:///dir".to_owned())),
        }
    }

    /// Writes a new object: durable when this returns, whether it was there already or not. What is
    /// there already is left as it is.
    pub async fn put_new(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<Written, StoreError> {
        check_put(name, &bytes)?;
        match &self.0 {
            Kind::File(store) => store.put_new(name, bytes, deadline).await,
            Kind::S3(store) => store.put(name, bytes, true, deadline).await,
        }
    }

    /// Writes an object, or replaces the one of that name: durable when this returns.
    pub async fn put(&self, name: &str, bytes: Bytes, deadline: Instant) -> Result<(), StoreError> {
        check_put(name, &bytes)?;
        match &self.0 {
            Kind::File(store) => store.put(name, bytes, deadline).await,
            Kind::S3(store) => store.put(name, bytes, false, deadline).await.map(drop),
        }
    }

    /// An object's bytes; `None` if there is none of that name.
    pub async fn get(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreError> {
        name::check(name)?;
        match &self.0 {
            Kind::File(store) => store.get(name, deadline).await,
            Kind::S3(store) => store.get(name, deadline).await,
        }
    }

    /// Size and time of an object; `None` if there is none of that name.
    pub async fn head(&self, name: &str, deadline: Instant) -> Result<Option<Entry>, StoreError> {
        name::check(name)?;
        match &self.0 {
            Kind::File(store) => store.head(name, deadline).await,
            Kind::S3(store) => store.head(name, deadline).await,
        }
    }

    /// Removes an object. One that is not there is no error.
    pub async fn delete(&self, name: &str, deadline: Instant) -> Result<(), StoreError> {
        name::check(name)?;
        match &self.0 {
            Kind::File(store) => store.delete(name, deadline).await,
            Kind::S3(store) => store.delete(name, deadline).await,
        }
    }

    /// A page of the objects whose names begin with `prefix` (a text, not a folder: `spill/a` finds
    /// `spill/ab/c` too), after what [`Page::next`] of the last page gave. What is written or deleted
    /// meanwhile may be listed or not; what has no name of ours is passed over.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Page, StoreError> {
        name::check_prefix(prefix)?;
        match &self.0 {
            Kind::File(store) => store.list(prefix, after, deadline).await,
            Kind::S3(store) => store.list(prefix, after, deadline).await,
        }
    }

    /// The object's URL, for whoever may read the store.
    pub fn address(&self, name: &str) -> String {
        match &self.0 {
            Kind::File(store) => format!("{store}/{name}"),
            Kind::S3(store) => format!("{store}/{name}"),
        }
    }

    /// Opens the connection that the first call will use; a folder has none. Failure is no error.
    pub async fn prewarm(&self) {
        match &self.0 {
            Kind::File(_) => {}
            Kind::S3(store) => store.prewarm().await,
        }
    }

    /// What is missing or wrong with the credentials, which [`open`](Self::open) does not look at
    /// because they may change while the function is warm. For the log at start; a call fails as
    /// [`StoreError::Config`].
    pub fn problem(&self) -> Option<EnvProblem> {
        match &self.0 {
            Kind::File(_) => None,
            Kind::S3(store) => store.problem(),
        }
    }
}

/// The URL, which never holds a credential.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(store) => write!(f, "Store({store})"),
            Kind::S3(store) => write!(f, "Store({store})"),
        }
    }
}

fn check_put(name: &str, bytes: &Bytes) -> Result<(), StoreError> {
    if bytes.len() > MAX_OBJECT {
        return Err(StoreError::TooLarge);
    }
    name::check(name)
}
