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
    entries.sort_unstable_by(|a: &Entry, b| a.name.cmp(&b.name));
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
mod tests {
    use super::*;

    fn page(is_truncated: &str, keys: &[&str]) -> String {
        let object = |key: &&str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>\
                 <ETag>&#34;x&#34;</ETag><Size>7</Size><Owner><ID>&#39;</ID></Owner></Contents>"
            )
        };
        let objects: String = keys.iter().map(object).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3\"><Name>b</Name>\
             <IsTruncated>{is_truncated}</IsTruncated>{objects}<CommonPrefixes/></ListBucketResult>"
        )
    }

    fn names(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    fn listing(body: &str, prefix: &str, marker: Option<&str>) -> Listing {
        read(body.as_bytes(), "p/", prefix, marker).unwrap()
    }

    #[test]
    fn a_page_is_read() {
        let body = page("true", &["p/a/0", "p/a/1"]);
        let found = listing(&body, "", None);
        assert_eq!(names(&found.page), ["a/0", "a/1"]);
        assert_eq!((found.page.next.as_deref(), found.unreadable), (Some("p/a/1"), 0));
        assert_eq!(found.page.entries[0].size, 7);
        assert_eq!(found.page.entries[0].modified, Timestamp::from_unix(1_700_000_000));
        assert_eq!(listing(&body, "a/", None), found);
        let body = page("false", &[]);
        assert_eq!(read(body.as_bytes(), "", "", Some("a")).unwrap().page, Page::default());
    }

    #[test]
    fn what_is_not_ours_is_passed_over_but_goes_on_from() {
        let body = page("true", &["p/", "p/.x", "p/B", "p/a", "p/a b&amp;c&#13;&#x41;"]);
        let found = listing(&body, "", None);
        assert_eq!((names(&found.page), found.unreadable), (vec!["a"], 0));
        let example = Some(".x".to_owned());
        assert_eq!(found.page.foreign, Foreign { count: 3, example }, "a folder's mark is nobody's mistake");
        assert_eq!(found.page.next.as_deref(), Some("p/a b&c\rA"));
    }

    #[test]
    fn an_order_of_its_own_is_taken_as_it_comes() {
        let body = page("true", &["p/c", "p/a", "p/b", "p/a"]);
        for marker in [None, Some("p/d"), Some("p/0"), Some("p/c")] {
            let found = listing(&body, "", marker);
            assert_eq!(names(&found.page), ["a", "b", "c"]);
            assert_eq!(found.page.next.as_deref(), Some("p/a"), "the last one as it came");
        }
        let own = body.replace("<Contents>", "<NextMarker>token&amp;1</NextMarker><Contents>");
        let own = own.replacen("<NextMarker>token&amp;1</NextMarker>", "", 3);
        assert_eq!(listing(&own, "", Some("p/a")).page.next.as_deref(), Some("token&1"));
        // The store's token is empty.
        let empty = own.replace("token&amp;1", "");
        assert_eq!(listing(&empty, "", None).page.next.as_deref(), Some("p/a"));
    }

    #[test]
    fn a_listing_that_does_not_go_on_is_refused() {
        let body = page("true", &["p/a", "p/b"]);
        assert!(read(body.as_bytes(), "p/", "", Some("p/b")).is_err());
        let own = body.replace("<IsTruncated>", "<NextMarker>t</NextMarker><IsTruncated>");
        assert!(read(own.as_bytes(), "p/", "", Some("t")).is_err());
        assert!(read(page("true", &[]).as_bytes(), "p/", "", None).is_err());
        // An empty page with a token is accepted.
        let empty = page("true", &[]).replace("<IsTruncated>", "<NextMarker>t</NextMarker><IsTruncated>");
        assert_eq!(
            listing(&empty, "", Some("s")).page,
            Page { next: Some("t".to_owned()), ..Page::default() }
        );
    }

    #[test]
    fn one_entry_that_cannot_be_read_hides_none() {
        let with = |text: &str, with: &str| page("false", &["p/a", "p/b"]).replacen(text, with, 1);
        for (body, want, unreadable) in [
            (with("<Key>p/a", "<Key>q/a"), &["b"][..], 1),
            (with("<Key>p/a", "<Key>p/&bogus;"), &["b"], 1),
            (with("<Key>p/a", "<Key>p/&#xffffffff;"), &["b"], 1),
            (with("<Key>p/a", "<Key>p/<x>y</x>"), &["b"], 1),
            (with("<Key>p/a</Key>", ""), &["b"], 1),
            (with("<Key>p/a</Key>", "<Key>p/a</Key><Key>p/c</Key>"), &["b"], 1),
            (with("<Size>7</Size>", "<Size>-7</Size>"), &["a", "b"], 1),
            (with("<Size>7</Size>", ""), &["a", "b"], 1),
            (with("2023-11-14T22:13:20.000Z", "yesterday"), &["a", "b"], 1),
            (with("<LastModified>2023-11-14T22:13:20.000Z</LastModified>", ""), &["a", "b"], 1),
        ] {
            let found = listing(&body, "", None);
            assert_eq!((names(&found.page), found.unreadable), (want.to_vec(), unreadable), "{body}");
        }
        let found = listing(&with("2023-11-14T22:13:20.000Z", "yesterday"), "", None);
        assert_eq!(found.page.entries[0].modified, Timestamp::from_unix(0));
        let body = page("false", &["p/a", "p/\u{1}"]).replace('\u{1}', "\u{e000}").into_bytes();
        let body: Vec<u8> = body.into_iter().map(|b| if b == 0xee { 0xff } else { b }).collect();
        assert_eq!(names(&read(&body, "p/", "", None).unwrap().page), ["a"]);
    }

    #[test]
    fn folders_are_told_from_objects() {
        let common = |folder: &str| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
        let folders = common("p/x/b/") + &common("p/x/A/") + &common("p/x/c/") + &common("q/");
        let body = page("true", &["p/x/a"]).replace("<CommonPrefixes/>", &folders);
        let found = listing(&body, "x/", None);
        assert_eq!(found.folders, ["b", "c"]);
        assert_eq!(found.page.foreign, Foreign { count: 1, example: Some("x/A/".to_owned()) });
        assert_eq!((names(&found.page), found.page.next.as_deref()), (vec!["x/a"], Some("q/")));
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for body in [
            String::new(),
            "{}".to_owned(),
            "<html></html>".to_owned(),
            "<ListBucketResult></ListBucketResult>".to_owned(),
            "<Error><IsTruncated>false</IsTruncated></Error>".to_owned(),
            page("maybe", &["p/a"]),
            page("false", &["p/a"]).replace("</ListBucketResult>", ""),
            page("false", &["p/a"])
                .replace("</ListBucketResult>", "<IsTruncated>false</IsTruncated></ListBucketResult>"),
        ] {
            assert!(read(body.as_bytes(), "p/", "", None).is_err(), "{body}");
        }
        assert!(read(b"\xff", "p/", "", None).is_err());
    }
}
