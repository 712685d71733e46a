//! The first version of `ListObjects`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>).

use std::{collections::BTreeMap, fmt::Write as _, ops::Bound};

use super::{ListingOrder, Refusal, S3Config, S3Object, check, unknown};

/// Prefix of a token of [`ListingOrder::Own`]; no key begins with it.
const TOKEN: &str = "behind ";

#[derive(Default)]
pub(super) struct Asked {
    prefix: String,
    marker: String,
    delimiter: String,
    limit: usize,
}

impl Asked {
    pub(super) fn read(query: &[(String, String)]) -> Result<Self, Refusal> {
        let mut asked = Self { limit: 1000, ..Self::default() };
        for (name, value) in query {
            match name.as_str() {
                "prefix" => asked.prefix.clone_from(value),
                "marker" => asked.marker.clone_from(value),
                "delimiter" => asked.delimiter.clone_from(value),
                "max-keys" => {
                    let limit = value.parse::<u16>();
                    let limit = limit
                        .map_err(|_| Refusal::new(400, "InvalidArgument", "max-keys is not a number"))?;
                    asked.limit = usize::from(limit).min(1000);
                }
                other => return Err(unknown(&format!("the parameter {other} of a bucket"))),
            }
        }
        Ok(asked)
    }
}

pub(super) fn page(objects: &BTreeMap<String, S3Object>, asked: &Asked, config: &S3Config) -> String {
    let mut found = String::new();
    let (is_truncated, next) = match config.order {
        ListingOrder::Keys => forwards(objects, asked, &mut found),
        ListingOrder::Own => backwards(objects, asked, &mut found),
    };
    let next = next.map(|next| format!("<NextMarker>{}</NextMarker>", escape(&next))).unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix>\
         <Marker>{}</Marker><MaxKeys>{}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>{next}{found}\
         </ListBucketResult>",
        config.bucket,
        escape(&asked.prefix),
        escape(&asked.marker),
        asked.limit,
    )
}

/// Lists in ascending order of the keys. `NextMarker` is set only with a delimiter, as at AWS.
fn forwards(
    objects: &BTreeMap<String, S3Object>,
    asked: &Asked,
    found: &mut String,
) -> (bool, Option<String>) {
    let mut from = Bound::Included(asked.prefix.clone());
    if asked.marker >= asked.prefix {
        from = Bound::Excluded(asked.marker.clone());
        // A marker that names a folder covers all keys of that folder.
        if !asked.delimiter.is_empty() && asked.marker.ends_with(&asked.delimiter) {
            from = Bound::Included(behind(&asked.marker));
        }
    }
    let (mut count, mut last) = (0, None);
    loop {
        let next = objects.range((from, Bound::Unbounded)).next();
        let Some((key, object)) = next.filter(|(key, _)| key.starts_with(&asked.prefix)) else {
            return (false, None);
        };
        if count == asked.limit {
            return (true, last.filter(|_| !asked.delimiter.is_empty()));
        }
        count += 1;
        if let Some(folder) = folder(key, asked) {
            common(&folder, found);
            from = Bound::Included(behind(&folder));
            last = Some(folder);
        } else {
            contents(key, object, found);
            from = Bound::Excluded(key.clone());
            last = Some(key.clone());
        }
    }
}

/// Lists in descending order of the keys, with a token that only this S3 reads.
fn backwards(
    objects: &BTreeMap<String, S3Object>,
    asked: &Asked,
    found: &mut String,
) -> (bool, Option<String>) {
    let mut to = match asked.marker.strip_prefix(TOKEN) {
        Some(key) => Bound::Excluded(key.to_owned()),
        None => Bound::Excluded(behind(&asked.prefix)),
    };
    let (mut count, mut last) = (0, None);
    loop {
        let start = Bound::Included(asked.prefix.clone());
        if matches!(&to, Bound::Excluded(to) if *to <= asked.prefix) {
            return (false, None);
        }
        let Some((key, object)) = objects.range((start, to)).next_back() else { return (false, None) };
        if count == asked.limit {
            return (true, last.map(|last| format!("{TOKEN}{last}")));
        }
        count += 1;
        let at = folder(key, asked);
        match &at {
            Some(folder) => common(folder, found),
            None => contents(key, object, found),
        }
        let at = at.unwrap_or_else(|| key.clone());
        to = Bound::Excluded(at.clone());
        last = Some(at);
    }
}

/// Returns a text that sorts after every key with this prefix.
fn behind(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

fn folder(key: &str, asked: &Asked) -> Option<String> {
    if asked.delimiter.is_empty() {
        return None;
    }
    let rest = key.get(asked.prefix.len()..)?;
    let end = rest.find(&asked.delimiter)? + asked.delimiter.len();
    key.get(..asked.prefix.len() + end).map(str::to_owned)
}

fn common(folder: &str, found: &mut String) {
    let _ = write!(found, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(folder));
}

fn contents(key: &str, object: &S3Object, found: &mut String) {
    let _ = write!(
        found,
        "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;x&quot;</ETag><Size>{}</Size>\
         <StorageClass>STANDARD</StorageClass></Contents>",
        escape(key),
        check::rfc3339(object.modified),
        object.bytes.len()
    );
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}
