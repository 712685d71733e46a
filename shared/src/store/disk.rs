//! What the file store needs of the operating system beyond the standard library's common ground.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// What tells one file or folder from another that has its name later.
pub(super) type Identity = (u64, u64);

/// Creates a file that is not there, readable by its owner alone.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Creates a folder, open to its owner alone, unless something of that name is there.
pub(super) fn new_folder(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes the names in a folder durable. A file system that cannot says so and is believed to need
/// none (network file systems and FUSE, whose server does it on its own).
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(()); // A folder cannot be opened as a file there.
    }
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
pub(super) fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Good enough to see that a folder was made again.
#[cfg(not(unix))]
pub(super) fn identity(metadata: &Metadata) -> Identity {
    let created = metadata.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    created.map_or((0, 0), |at| (at.as_secs(), u64::from(at.subsec_nanos())))
}

/// Whether a file system refused a hard link because it has none (FAT, some FUSE and SMB mounts).
pub(super) fn has_no_links(error: &io::Error) -> bool {
    /// `EPERM`, which is what link(2) says then; `EACCES`, of the same kind, is about permissions.
    const EPERM: i32 = 1;
    error.kind() == ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(EPERM))
}
