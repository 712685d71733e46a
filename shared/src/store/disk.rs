//! File system operations of the folder store: [`Real`] uses the operating system. The disk of the tests
//! keeps durable data apart from other data, and cuts the power.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Timestamp;

/// Identity of a file or folder, which differs from that of a later one with the same name.
pub(super) type Identity = (u64, u64);

/// Kind of a file system entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a pipe or a device.
    Other,
}

/// Metadata of a file or a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) modified: Option<Timestamp>,
    pub(super) identity: Identity,
}

/// Operations that the store is made of; a crash can come between any two of them.
pub(super) trait Disk: Send + Sync + 'static {
    /// Handle of an open file.
    type File;

    /// Creates a file that does not exist yet, readable by its owner alone.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's bytes durable, but not its name.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;

    /// Gives a file a second name, which must be free.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, and replaces a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Sets a file's modification time, and makes it durable.
    fn touch(&self, path: &Path, at: Timestamp) -> io::Result<()>;

    /// Creates a folder, open to its owner alone, unless an entry of that name exists.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable. A file system without this operation reports so and is assumed
    /// not to need it (network file systems and FUSE, whose server does it on its own).
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Passes the entries of a folder to `each`, in any order, until `each` returns false. A name that is not
    /// valid text is passed with replacement characters.
    fn read_folder(&self, path: &Path, each: &mut dyn FnMut(&str, Kind) -> bool) -> io::Result<()>;

    /// Returns the metadata of the entry at `path`, of a link itself and not of its target.
    fn look(&self, path: &Path) -> io::Result<Found>;

    /// Returns the metadata of the entry at `path`, following a link to its target.
    fn follow(&self, path: &Path) -> io::Result<Found>;

    /// Reads up to `limit` bytes from the start of a file into `memory`, which grows if needed.
    fn read(&self, path: &Path, limit: usize, memory: Vec<u8>) -> io::Result<Vec<u8>>;
}

/// File system of the operating system.
pub(super) struct Real {
    /// Hard link operation, which a test replaces.
    pub(super) link: fn(&Path, &Path) -> io::Result<()>,
}

impl Default for Real {
    fn default() -> Self {
        Self { link: |from, to| fs::hard_link(from, to) }
    }
}

impl Disk for Real {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.link)(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn touch(&self, path: &Path, at: Timestamp) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(at.unix_millis()).unwrap_or_default());
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_modified(UNIX_EPOCH + since)?;
        file.sync_all()
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(not(unix)) {
            return Ok(()); // A folder cannot be opened as a file there.
        }
        match File::open(path)?.sync_all() {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            other => other,
        }
    }

    fn read_folder(&self, path: &Path, each: &mut dyn FnMut(&str, Kind) -> bool) -> io::Result<()> {
        for file in fs::read_dir(path)? {
            let file = file?;
            // An entry of unknown kind has been removed since, or its kind is found out when it is looked at.
            let kind = file.file_type().map_or(Kind::File, kind);
            if !each(&file.file_name().to_string_lossy(), kind) {
                break;
            }
        }
        Ok(())
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        fs::symlink_metadata(path).map(|metadata| found(&metadata))
    }

    fn follow(&self, path: &Path) -> io::Result<Found> {
        fs::metadata(path).map(|metadata| found(&metadata))
    }

    fn read(&self, path: &Path, limit: usize, memory: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut bytes = memory;
        File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn kind(of: fs::FileType) -> Kind {
    if of.is_file() {
        Kind::File
    } else if of.is_dir() {
        Kind::Folder
    } else {
        Kind::Other
    }
}

fn found(metadata: &Metadata) -> Found {
    let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    Found {
        kind: kind(metadata.file_type()),
        size: metadata.len(),
        modified: modified.map(Timestamp::from_unix_millis),
        identity: identity(metadata),
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Derives an identity from the creation time, which is good enough to see that a folder was made again.
#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> Identity {
    let created = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    created.map_or((0, 0), |at| (at.as_secs(), u64::from(at.subsec_nanos())))
}

/// Returns true if a file system refused a hard link because it has none (FAT, some FUSE and SMB mounts).
pub(super) fn has_no_links(error: &io::Error) -> bool {
    /// Error number that link(2) gives on a file system without links. `EACCES`, of the same kind, is about
    /// permissions.
    const EPERM: i32 = 1;
    error.kind() == ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(EPERM))
}
