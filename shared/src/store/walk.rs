//! The objects of a folder, in the order that a bucket lists them in.

use std::fs;
use std::path::Path;

use tokio::time::Instant;

use super::file::{entry, is_absent};
use super::{MAX_PAGE, Page, StoreError, name};

/// A walk for one page. The next page's begins anew: nothing is kept open between two calls.
pub(super) struct Walk {
    prefix: String,
    after: Option<String>,
    limit: usize,
    deadline: Instant,
    /// One more than a page, which tells that there is another.
    found: Vec<String>,
}

impl Walk {
    pub(super) fn new(prefix: &str, after: Option<&str>, limit: usize, deadline: Instant) -> Self {
        let after = after.map(str::to_owned);
        Self { prefix: prefix.to_owned(), after, limit, deadline, found: Vec::new() }
    }

    pub(super) fn page(mut self, root: &Path) -> Result<Page, StoreError> {
        self.enter(root, "")?;
        let has_more = self.found.len() > self.limit;
        self.found.truncate(self.limit);
        let next = self.found.last().filter(|_| has_more).cloned();
        let mut entries = Vec::with_capacity(self.found.len());
        for name in self.found {
            let path = root.join(&name);
            entries.extend(entry(name, &path)?); // Unless it was deleted meanwhile.
        }
        Ok(Page { entries, next })
    }

    /// Adds the objects in `folder` (empty, or ending with a slash) and those below.
    fn enter(&mut self, root: &Path, folder: &str) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::io("list a folder", &error);
        let files = match fs::read_dir(root.join(folder)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        // With its slash, a folder's place among the files is that of the names in it.
        let (mut objects, mut folders) = (Vec::new(), Vec::new());
        for file in files {
            let file = file.map_err(failed)?;
            if Instant::now() >= self.deadline {
                return Err(StoreError::TimedOut);
            }
            let (segment, kind) = (file.file_name(), file.file_type().map_err(failed)?);
            let Some(segment) = segment.to_str().filter(|segment| name::is_segment(segment)) else {
                continue;
            };
            let name = format!("{folder}{segment}");
            let is_object = kind.is_file() && name::is_name(&name);
            if is_object && self.wants(&name) {
                objects.push(name);
                // A folder of a million files takes the memory of a page.
                if objects.len() > 8 * MAX_PAGE {
                    objects.sort_unstable();
                    objects.truncate(MAX_PAGE + 1);
                }
            } else if kind.is_dir() && self.wants_below(&format!("{name}/")) {
                folders.push(name + "/");
            }
        }
        objects.append(&mut folders);
        objects.sort_unstable();
        for name in objects {
            if self.found.len() > self.limit {
                break;
            } else if name.ends_with('/') {
                self.enter(root, &name)?;
            } else {
                self.found.push(name);
            }
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.prefix) && self.after.as_deref().is_none_or(|after| name > after)
    }

    fn wants_below(&self, folder: &str) -> bool {
        let is_in = folder.starts_with(&self.prefix) || self.prefix.starts_with(folder);
        is_in && self.after.as_deref().is_none_or(|after| folder > after || after.starts_with(folder))
    }
}

/// The folders in a folder that an object is below.
pub(super) fn folders(path: &Path, deadline: Instant) -> Result<Vec<String>, StoreError> {
    let mut folders = Vec::new();
    look(path, deadline, &mut |segment, is_folder| {
        if is_folder && holds_any(&path.join(segment), deadline)? {
            folders.push(segment.to_owned());
        }
        Ok(true)
    })?;
    Ok(folders)
}

fn holds_any(path: &Path, deadline: Instant) -> Result<bool, StoreError> {
    let mut is_found = false;
    look(path, deadline, &mut |segment, is_folder| {
        is_found = !is_folder || holds_any(&path.join(segment), deadline)?;
        Ok(!is_found)
    })?;
    Ok(is_found)
}

/// Shows `each` the segments in a folder that are of the store, and whether they are folders, until it
/// has seen enough.
fn look(
    path: &Path,
    deadline: Instant,
    each: &mut dyn FnMut(&str, bool) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::io("list a folder", &error);
    let files = match fs::read_dir(path) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other.map_err(failed)?,
    };
    for file in files {
        let file = file.map_err(failed)?;
        if Instant::now() >= deadline {
            return Err(StoreError::TimedOut);
        }
        let (segment, kind) = (file.file_name(), file.file_type().map_err(failed)?);
        let segment = segment.to_str().filter(|segment| name::is_segment(segment));
        let Some(segment) = segment.filter(|_| kind.is_dir() || kind.is_file()) else { continue };
        if !each(segment, kind.is_dir())? {
            break;
        }
    }
    Ok(())
}
