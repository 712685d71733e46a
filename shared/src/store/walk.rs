//! Walks through the objects of a folder, in the order in which a bucket lists them.
//!
//! A page is a part of a walk, which reads each folder once. The rest of the walk is kept for the next page,
//! whose request names the last name of this page. If no such walk is kept, a new one begins behind that
//! name: a forgotten walk costs only the time to read the folder again.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::disk::{Disk, Kind};
use super::file::{TEMPORARY, entry, is_absent};
use super::names::Names;
use super::{Entry, Folders, Foreign, Page, StoreError, name};
use crate::clock::Timestamp;

/// Upper bound on the names of a folder that a walk keeps, in bytes: some 100,000 digests. A larger folder is
/// read again for each such part. A read takes a quarter more while it lasts, four folders are read at a
/// time, and a redriver has 128 MB.
const MAX_BYTES: usize = 4 << 20;

/// Upper bound on the names of all kept walks together, in bytes. Beyond it the largest walks forget their
/// last names, and none of them forgets all.
const MAX_KEPT: usize = 12 << 20;

/// Size of a walk besides its names, in bytes.
const OVERHEAD: usize = 512;

/// Age since its last page at which a walk is forgotten: objects written since are not in it.
const MAX_AGE: Duration = Duration::from_secs(120);

/// Walks that have more pages.
pub(super) struct Walks {
    kept: Mutex<Vec<Walk>>,
    pub(super) max_bytes: usize,
    pub(super) max_kept: usize,
}

/// Place and deadline of a walk's work.
pub(super) struct Place<'a, D> {
    pub(super) disk: &'a D,
    pub(super) root: &'a Path,
    pub(super) deadline: Instant,
}

struct Walk {
    prefix: String,
    /// Name that the walk began behind.
    from: Option<String>,
    /// Last name that the walk gave.
    last: Option<String>,
    /// Name after `last`, read ahead.
    ahead: Option<String>,
    /// Open folders, each inside the one before it.
    inside: Vec<Folder>,
    /// Foreign entries that were found and not reported yet.
    foreign: Foreign,
    is_begun: bool,
    max_bytes: usize,
    touched: Instant,
}

struct Folder {
    /// Path of the folder: empty, or with a slash at its end.
    path: String,
    names: Names,
}

impl Default for Walks {
    fn default() -> Self {
        Self { kept: Mutex::default(), max_bytes: MAX_BYTES, max_kept: MAX_KEPT }
    }
}

impl Walks {
    /// Returns a page behind `after`, from the walk that gave that name if it is still kept.
    pub(super) fn page<D: Disk>(
        &self,
        place: &Place<'_, D>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let known = after.and_then(|after| self.take(prefix, after));
        let mut walk = known.unwrap_or_else(|| Walk::new(prefix, after, self.max_bytes));
        let page = walk.page(place, limit)?;
        if page.next.is_some() {
            self.keep(walk);
        }
        Ok(page)
    }

    fn take(&self, prefix: &str, after: &str) -> Option<Walk> {
        let mut kept = self.kept();
        kept.retain(|walk| walk.touched.elapsed() < MAX_AGE);
        let is_it = |walk: &Walk| walk.prefix == prefix && walk.last.as_deref() == Some(after);
        let at = kept.iter().position(is_it)?;
        Some(kept.remove(at))
    }

    fn keep(&self, walk: Walk) {
        let mut kept = self.kept();
        kept.push(walk);
        while kept.iter().map(Walk::size).sum::<usize>() > self.max_kept {
            let Some(largest) = kept.iter_mut().max_by_key(|walk| walk.size()) else { return };
            let size = largest.size();
            largest.halve();
            if largest.size() == size {
                // The walks are too many to be halved further: the one whose last page is oldest is forgotten
                // first.
                kept.remove(0);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Walk>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    fn new(prefix: &str, after: Option<&str>, max_bytes: usize) -> Self {
        Self {
            prefix: prefix.to_owned(),
            from: after.map(str::to_owned),
            last: None,
            ahead: None,
            inside: Vec::new(),
            foreign: Foreign::default(),
            is_begun: false,
            max_bytes,
            touched: Instant::now(),
        }
    }

    fn page<D: Disk>(&mut self, place: &Place<'_, D>, limit: usize) -> Result<Page, StoreError> {
        if !self.is_begun {
            self.is_begun = true;
            let end = self.prefix.rfind('/').map_or(0, |slash| slash + 1);
            let folder = self.prefix.get(..end).unwrap_or_default().to_owned();
            self.enter(place, folder, None)?;
        }
        let (mut entries, mut count, mut unreadable) = (Vec::new(), 0, 0_usize);
        while count < limit {
            let name = match self.ahead.take() {
                Some(name) => Some(name),
                None => self.next(place)?,
            };
            let Some(name) = name else { break };
            if Instant::now() >= place.deadline {
                return Err(StoreError::TimedOut);
            }
            // A file that cannot be looked at is listed, and hides no other. A file that was removed
            // meanwhile is left out.
            let found = entry(place.disk, name.clone(), &place.root.join(&name));
            unreadable += usize::from(found.is_err());
            entries.extend(found.unwrap_or_else(|_| {
                Some(Entry { name: name.clone(), size: 0, modified: Timestamp::from_unix(0) })
            }));
            self.last = Some(name);
            count += 1;
        }
        if unreadable > 0 {
            tracing::warn!(
                prefix = self.prefix,
                entries = unreadable,
                "the folder has files that cannot be looked at"
            );
        }
        if count == limit {
            self.ahead = self.next(place)?;
        }
        self.touched = Instant::now();
        let foreign = std::mem::take(&mut self.foreign);
        Ok(Page { entries, next: self.last.clone().filter(|_| self.ahead.is_some()), foreign })
    }

    /// Returns the name of the next object.
    fn next<D: Disk>(&mut self, place: &Place<'_, D>) -> Result<Option<String>, StoreError> {
        loop {
            let Some(folder) = self.inside.last_mut() else { return Ok(None) };
            match folder.names.next() {
                Some(name) if name.ends_with('/') => {
                    let path = format!("{}{name}", folder.path);
                    self.enter(place, path, None)?;
                }
                Some(name) => return Ok(Some(format!("{}{name}", folder.path))),
                None => {
                    let Some(done) = self.inside.pop() else { return Ok(None) };
                    if let Some(cut) = done.names.is_cut_behind() {
                        let behind = cut.clone();
                        self.enter(place, done.path, Some(&behind))?;
                    }
                }
            }
        }
    }

    /// Opens a folder: reads its names, only the ones behind `behind` if it is given.
    fn enter<D: Disk>(
        &mut self,
        place: &Place<'_, D>,
        path: String,
        behind: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut names = Names::new(self.max_bytes);
        // Each foreign entry is reported once: by a walk from the beginning, when it reads a folder for the
        // first time.
        let mut foreign = (self.from.is_none() && behind.is_none()).then(Foreign::default);
        look(place, &path, &mut |segment, kind| {
            let name = format!("{path}{segment}");
            if !is_ours(segment, kind) {
                if let Some(foreign) = foreign.as_mut().filter(|_| name.starts_with(&self.prefix)) {
                    foreign.add(&name);
                }
                return Ok(true);
            }
            let is_behind = |text: &str| behind.is_none_or(|behind| text.get(path.len()..) > Some(behind));
            match kind {
                Kind::File if name::is_name(&name) && self.wants(&name) && is_behind(&name) => {
                    names.push(segment, false);
                }
                Kind::Folder => {
                    let name = name + "/";
                    if self.wants_below(&name) && is_behind(&name) {
                        names.push(segment, true);
                    }
                }
                _ => {}
            }
            Ok(true)
        })?;
        names.finish();
        self.foreign.join(foreign.unwrap_or_default());
        self.inside.push(Folder { path, names });
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.prefix) && self.from.as_deref().is_none_or(|from| name > from)
    }

    fn wants_below(&self, folder: &str) -> bool {
        let is_in = folder.starts_with(&self.prefix) || self.prefix.starts_with(folder);
        is_in && self.from.as_deref().is_none_or(|from| folder > from || from.starts_with(folder))
    }

    fn size(&self) -> usize {
        OVERHEAD + self.inside.iter().map(|folder| folder.names.size()).sum::<usize>()
    }

    /// Forgets the last names of the walk's largest folder; they are read again when the walk gets there.
    fn halve(&mut self) {
        if let Some(folder) = self.inside.iter_mut().max_by_key(|folder| folder.names.size()) {
            folder.names.halve();
        }
    }
}

/// Lists the folders in a folder, empty ones too.
pub(super) fn folders<D: Disk>(place: &Place<'_, D>, path: &str) -> Result<Folders, StoreError> {
    let mut found = Folders::default();
    look(place, path, &mut |segment, kind| {
        if kind != Kind::Folder || !is_ours(segment, kind) {
            found.foreign.add(&format!("{path}{segment}"));
        } else {
            found.names.push(segment.to_owned());
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Returns true if the folder holds any entry. An error is logged here, unless it is a time-out, so that the
/// caller can go on with the other folders.
pub(super) fn may_hold<D: Disk>(place: &Place<'_, D>, path: &str) -> Result<bool, StoreError> {
    let held = holds_any(place, path);
    if let Err(error) = &held
        && *error != StoreError::TimedOut
    {
        tracing::error!(folder = path.trim_end_matches('/'), %error, "a folder cannot be read");
    }
    held
}

fn holds_any<D: Disk>(place: &Place<'_, D>, path: &str) -> Result<bool, StoreError> {
    let mut is_found = false;
    look(place, path, &mut |segment, kind| {
        // A foreign entry counts, because only a listing reports it, and the folder must be listed for that.
        is_found = kind != Kind::Folder
            || !is_ours(segment, kind)
            || holds_any(place, &format!("{path}{segment}/"))?;
        Ok(!is_found)
    })?;
    Ok(is_found)
}

/// Returns true if the entry may be an object, or a folder of objects.
fn is_ours(segment: &str, kind: Kind) -> bool {
    kind != Kind::Other && name::is_segment(segment)
}

/// Passes the entries of a folder to `each`, without the store's temporary files, until `each` returns false.
fn look<D: Disk>(
    place: &Place<'_, D>,
    path: &str,
    each: &mut dyn FnMut(&str, Kind) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut failed = None;
    let read = place.disk.read_folder(&place.root.join(path), &mut |segment, kind| {
        if Instant::now() >= place.deadline {
            failed = Some(StoreError::TimedOut);
            return false;
        }
        if path.is_empty() && segment == TEMPORARY {
            return true;
        }
        each(segment, kind).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    });
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) if !is_absent(&error) => Err(StoreError::io("list a folder", &error)),
        _ => Ok(()),
    }
}
