//! Answer to `ListObjects`.
//!
//! See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>. This is the first version,
//! with `marker`: every S3-compatible store has it, and for its parallel file systems OBS has only this one.
//! No `encoding-type` is requested: this crate's keys need none, and OBS then reads its own marker wrongly.
//!
//! Written objects must be found again in every form of listing: in an order of the store's own, between
//! unreadable entries, with more entries than requested. Two answers are refused: one that is not a listing,
//! and one whose next page does not advance, which would be followed for ever.

use crate::clock::Timestamp;
use crate::sort::sort_by;
use crate::store::{Entry, Foreign, Page, name};
use crate::xml::{self, Child};

const NOT_A_LISTING: &str = "it is not a ListBucketResult";

/// Page of a listing as the store gave it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Objects with valid names, in the order of the names, and the token for the next page.
    pub(super) page: Page,
    /// Folders right below the prefix, if the request had a delimiter.
    pub(super) folders: Vec<String>,
    /// Number of entries that could not be read, or only in part.
    pub(super) unreadable: usize,
}

/// Parses a page of the keys that begin with `own`, which the entries' names leave out, and `prefix`.
/// `marker` is the marker of the request. An error describes an unusable page.
pub(super) fn read(body: &[u8], own: &str, prefix: &str, marker: Option<&str>) -> Result<Listing, String> {
    // A key that is not UTF-8 is foreign, and must not hide the others.
    let text = String::from_utf8_lossy(body);
    let (root, children) = xml::children(&text).map_err(|_| NOT_A_LISTING)?;
    if root != "ListBucketResult" {
        return Err(NOT_A_LISTING.to_owned());
    }
    let is_truncated = match one(&children, "IsTruncated").ok_or(NOT_A_LISTING)? {
        "true" => true,
        "false" => false,
        _ => return Err(NOT_A_LISTING.to_owned()),
    };
    let (mut entries, mut folders, mut unreadable) = (Vec::new(), Vec::new(), 0);
    let (mut last, mut last_folder, mut foreign) = (None, None, Foreign::default());
    for child in &children {
        let key_name = match child.name {
            "Contents" => "Key",
            // Some stores send an empty element if there are no folders.
            "CommonPrefixes" if child.inner.is_empty() => continue,
            "CommonPrefixes" => "Prefix",
            _ => continue,
        };
        let fields = xml::children(child.outer).map(|(_, fields)| fields).unwrap_or_default();
        let Some(key) = one(&fields, key_name).and_then(key) else {
            unreadable += 1;
            continue;
        };
        let rest = key.strip_prefix(own).filter(|name| name.starts_with(prefix));
        unreadable += usize::from(rest.is_none());
        if child.name == "CommonPrefixes" {
            let segment = rest.and_then(|name| name.get(prefix.len()..)?.strip_suffix('/'));
            match (segment.filter(|segment| name::is_segment(segment)), rest) {
                (Some(segment), _) => folders.push(segment.to_owned()),
                (None, Some(name)) => foreign.add(name),
                (None, None) => {}
            }
            last_folder = Some(key);
        } else {
            if let Some(name) = rest.filter(|name| name::is_name(name)) {
                let (entry, is_whole) = entry(name, &fields);
                unreadable += usize::from(!is_whole);
                entries.push(entry);
            } else if let Some(name) = rest.filter(|name| !name.is_empty() && !name.ends_with('/')) {
                // Consoles mark a folder by an empty object whose name ends with a slash.
                foreign.add(name);
            }
            last = Some(key);
        }
    }
    sort_by(&mut entries, &|a: &Entry, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    let next = if is_truncated {
        // The next marker is the store's own token, else the last key as it came. Objects and folders come in
        // separate lists, so the last of both is determined by the order of the keys, which such a store has.
        let own_token = one(&children, "NextMarker").and_then(key).filter(|next| !next.is_empty());
        let next = own_token.or_else(|| last.max(last_folder));
        if next.is_none() || next.as_deref() == marker {
            return Err("the listing says that more follows, and its marker does not lead on".to_owned());
        }
        next
    } else {
        None
    };
    Ok(Listing { page: Page { entries, next, foreign }, folders, unreadable })
}

/// Reads an object's metadata; the second value is true if all of it was readable. Unreadable metadata does
/// not hide an existing object.
fn entry(name: &str, fields: &[Child<'_>]) -> (Entry, bool) {
    let size = one(fields, "Size").and_then(|size| size.parse().ok());
    let modified = one(fields, "LastModified").and_then(Timestamp::parse_rfc3339);
    let is_whole = size.is_some() && modified.is_some();
    let modified = modified.unwrap_or(Timestamp::from_unix(0));
    (Entry { name: name.to_owned(), size: size.unwrap_or_default(), modified }, is_whole)
}

/// Returns the content of a field that occurs exactly once.
fn one<'t>(fields: &[Child<'t>], name: &str) -> Option<&'t str> {
    let mut found = fields.iter().filter(|field| field.name == name);
    match (found.next(), found.next()) {
        (Some(field), None) => Some(field.inner),
        _ => None,
    }
}

/// Decodes a key. Stores write a character as its number where XML has no other way.
fn key(raw: &str) -> Option<String> {
    let mut parts = Some(raw).filter(|raw| !raw.contains('<'))?.split("&#");
    let mut key = xml::unescape(parts.next()?).ok()?;
    for part in parts {
        let (number, rest) = part.split_once(';')?;
        let code = match number.strip_prefix('x') {
            Some(number) => u32::from_str_radix(number, 16),
            None => number.parse(),
        };
        key.push(char::from_u32(code.ok()?)?);
        key.push_str(&xml::unescape(rest).ok()?);
    }
    Some(key)
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
