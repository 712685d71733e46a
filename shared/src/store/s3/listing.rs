//! The answer to `ListObjects`.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>: the first version, with
//! `marker`, which every S3-compatible store has and OBS has alone for its parallel file systems. No
//! `encoding-type` is asked for: our keys need none, and OBS then reads its own marker wrongly.

use crate::clock::Timestamp;
use crate::store::{Entry, MAX_PAGE, Page, name};
use crate::xml::{self, Child, XmlError};

/// Reads a page of the keys that begin with `own`, which the entries' names leave out, and `prefix`, and
/// that come after `after`. What is wrong with it, if it is not what was asked for: a listing that repeats itself
/// would be followed for ever.
pub(super) fn read(body: &[u8], own: &str, prefix: &str, after: Option<&str>) -> Result<Page, String> {
    let text = std::str::from_utf8(body).map_err(|_| NOT_A_LISTING)?;
    let (root, children) = xml::children(text).map_err(|_| NOT_A_LISTING)?;
    if root != "ListBucketResult" {
        return Err(NOT_A_LISTING.to_owned());
    }
    let mut entries = Vec::new();
    let mut is_truncated = None;
    let mut last = after.map(|after| format!("{own}{after}"));
    let mut count = 0;
    for child in &children {
        match child.name {
            "IsTruncated" if is_truncated.is_some() => return Err(NOT_A_LISTING.to_owned()),
            "IsTruncated" => {
                is_truncated = Some(match child.inner {
                    "true" => true,
                    "false" => false,
                    _ => return Err(NOT_A_LISTING.to_owned()),
                });
            }
            "Contents" => {
                count += 1;
                let object = Object::read(child)?;
                if object.key.strip_prefix(own).is_none_or(|name| !name.starts_with(prefix)) {
                    return Err("the listing has a key that was not asked for".to_owned());
                }
                if last.as_ref().is_some_and(|last| object.key <= *last) {
                    return Err("the listing is not in order, or begins where the last one did".to_owned());
                }
                entries.extend(object.entry(own)?);
                last = Some(object.key);
            }
            _ => {}
        }
    }
    let is_truncated = is_truncated.ok_or(NOT_A_LISTING)?;
    if count > MAX_PAGE || (is_truncated && count == 0) {
        return Err(format!("the listing has {count} objects on a page and says that it goes on"));
    }
    let next = last.filter(|_| is_truncated).map(|key| key.get(own.len()..).unwrap_or_default().to_owned());
    Ok(Page { entries, next })
}

/// Reads a page of the folders under `own` and `prefix`, and the marker of the next one.
pub(super) fn folders(
    body: &[u8],
    own: &str,
    prefix: &str,
    marker: Option<&str>,
) -> Result<(Vec<String>, Option<String>), String> {
    let text = std::str::from_utf8(body).map_err(|_| NOT_A_LISTING)?;
    let (root, children) = xml::children(text).map_err(|_| NOT_A_LISTING)?;
    if root != "ListBucketResult" {
        return Err(NOT_A_LISTING.to_owned());
    }
    let is_truncated = match field(&children, "IsTruncated")? {
        "true" => true,
        "false" => false,
        _ => return Err(NOT_A_LISTING.to_owned()),
    };
    let (mut folders, mut last) = (Vec::new(), None::<String>);
    for child in &children {
        let inner = match child.name {
            "CommonPrefixes" => "Prefix",
            "Contents" => "Key",
            _ => continue,
        };
        let Ok((_, fields)) = xml::children(child.outer) else { continue };
        let Some(key) = field(&fields, inner).ok().and_then(|key| xml::unescape(key).ok()) else { continue };
        let segment = key.strip_prefix(own).and_then(|name| name.strip_prefix(prefix)?.strip_suffix('/'));
        folders.extend(segment.filter(|segment| name::is_segment(segment)).map(str::to_owned));
        last = last.max(Some(key));
    }
    let own_next = children.iter().find(|child| child.name == "NextMarker");
    let own_next = own_next.and_then(|next| xml::unescape(next.inner).ok());
    let next = own_next.or(last).filter(|_| is_truncated);
    if is_truncated && (next.is_none() || next.as_deref() == marker) {
        return Err("the listing does not go on".to_owned());
    }
    Ok((folders, next))
}

const NOT_A_LISTING: &str = "it is no ListBucketResult";

struct Object<'t> {
    key: String,
    fields: Vec<Child<'t>>,
}

impl<'t> Object<'t> {
    fn read(child: &Child<'t>) -> Result<Self, String> {
        let unreadable = |_: XmlError| "the listing has a key that cannot be read".to_owned();
        let (_, fields) = xml::children(child.outer).map_err(unreadable)?;
        let key = xml::unescape(field(&fields, "Key")?).map_err(unreadable)?;
        Ok(Self { key, fields })
    }

    /// What it tells of the object, if that is one of ours.
    fn entry(&self, own: &str) -> Result<Option<Entry>, String> {
        let name = self.key.get(own.len()..).unwrap_or_default();
        if !name::is_name(name) {
            return Ok(None);
        }
        let wrong = |field: &str| format!("the listing has an object whose {field} cannot be read");
        let size = field(&self.fields, "Size")?.parse().map_err(|_| wrong("Size"))?;
        let modified = Timestamp::parse_rfc3339(field(&self.fields, "LastModified")?);
        let modified = modified.ok_or_else(|| wrong("LastModified"))?;
        Ok(Some(Entry { name: name.to_owned(), size, modified }))
    }
}

/// The content of a field that is there once.
fn field<'t>(fields: &[Child<'t>], name: &str) -> Result<&'t str, String> {
    let mut found = fields.iter().filter(|field| field.name == name);
    match (found.next(), found.next()) {
        (Some(field), None) => Ok(field.inner),
        _ => Err(format!("the listing has an object without one {name}")),
    }
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

    #[test]
    fn a_page_is_read() {
        let body = page("true", &["p/a/0", "p/a/1"]);
        let read_page = read(body.as_bytes(), "p/", "", None).unwrap();
        assert_eq!(names(&read_page), ["a/0", "a/1"]);
        assert_eq!(read_page.next.as_deref(), Some("a/1"));
        assert_eq!(read_page.entries[0].size, 7);
        assert_eq!(read_page.entries[0].modified, Timestamp::from_unix(1_700_000_000));
        assert_eq!(read(body.as_bytes(), "p/", "a/", None), Ok(read_page));
        assert!(read(body.as_bytes(), "p/", "b", None).is_err());
        let body = page("false", &[]);
        assert_eq!(read(body.as_bytes(), "", "", Some("a")), Ok(Page::default()));
    }

    #[test]
    fn what_is_not_ours_is_passed_over_but_goes_on_from() {
        let body = page("true", &["p/", "p/.x", "p/B", "p/a", "p/a b&amp;c"]);
        let page = read(body.as_bytes(), "p/", "", None).unwrap();
        assert_eq!(names(&page), ["a"]);
        assert_eq!(page.next.as_deref(), Some("a b&c"));
    }

    #[test]
    fn a_listing_that_cannot_be_is_refused() {
        let sizes = |text: &str, with: &str| page("false", &["p/a"]).replace(text, with);
        for body in [
            String::new(),
            "{}".to_owned(),
            "<html></html>".to_owned(),
            "<ListBucketResult></ListBucketResult>".to_owned(),
            "<Error><IsTruncated>false</IsTruncated></Error>".to_owned(),
            page("maybe", &["p/a"]),
            page("true", &[]),
            page("false", &["p/b", "p/a"]),
            page("false", &["p/a", "p/a"]),
            page("false", &["a"]),
            page("false", &["q/a"]),
            page("false", &["p/&#97;"]),
            page("false", &["p/a"]).replace("</ListBucketResult>", ""),
            sizes("<Size>7</Size>", "<Size>-7</Size>"),
            sizes("<Size>7</Size>", "<Size></Size>"),
            sizes("<Size>7</Size>", ""),
            sizes("<Key>p/a</Key>", "<Key>p/a</Key><Key>p/b</Key>"),
            sizes("<Key>p/a</Key>", ""),
            sizes("2023-11-14T22:13:20.000Z", "yesterday"),
            sizes("</ListBucketResult>", "<IsTruncated>false</IsTruncated></ListBucketResult>"),
        ] {
            assert!(read(body.as_bytes(), "p/", "", None).is_err(), "{body}");
        }
        let body = page("true", &["p/a", "p/b"]);
        for after in ["a", "b", "c"] {
            assert!(read(body.as_bytes(), "p/", "", Some(after)).is_err(), "{after}");
        }
        assert!(read(b"\xff", "p/", "", None).is_err());
        let many: Vec<String> = (0..=MAX_PAGE).map(|n| format!("p/{n:05}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(read(page("false", &many).as_bytes(), "p/", "", None).is_err());
        assert!(read(page("false", &many[1..]).as_bytes(), "p/", "", None).is_ok());
    }
}
