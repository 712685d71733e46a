//! Names of objects, with the same rules in a folder and in a bucket.

use super::StoreError;

/// Upper bound on the length of a name, in bytes: with a prefix of about the same length, S3's limit of 1024
/// is kept.
const MAX_NAME: usize = 512;

/// Upper bound on the length of a segment between two slashes, in bytes: the limit of file systems.
const MAX_SEGMENT: usize = 255;

/// Checks the name of an object.
pub(super) fn check(name: &str) -> Result<(), StoreError> {
    if is_name(name) { Ok(()) } else { Err(StoreError::Name(shown(name))) }
}

/// Checks the start of a name, as a prefix of a listing.
pub(super) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    let (folder, rest) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let is_folder = if folder.is_empty() { !prefix.starts_with('/') } else { is_name(folder) };
    let is_rest = rest.is_empty() || is_segment(rest);
    if is_folder && is_rest { Ok(()) } else { Err(StoreError::Name(shown(prefix))) }
}

/// Checks the path of a folder: a name with a slash at its end, or empty.
pub(super) fn check_folder(folder: &str) -> Result<(), StoreError> {
    let is_folder = folder.is_empty() || folder.strip_suffix('/').is_some_and(is_name);
    if is_folder { Ok(()) } else { Err(StoreError::Name(shown(folder))) }
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('/').all(is_segment)
}

/// Returns true for a valid segment of a name. Segments are in lower case, so that a file system that ignores
/// case cannot mix up two objects. A dot at the start is reserved for entries that are not objects: `.`,
/// `..`, and the temporary files.
pub(super) fn is_segment(segment: &str) -> bool {
    let is_taken = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=MAX_SEGMENT).contains(&segment.len()) && !segment.starts_with('.') && segment.bytes().all(is_taken)
}

/// Shortens a name to 64 characters, for a log line.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["a", "spill/tdmq/github-1/00ff", "a.b/c-d", "-/a", "a..b", &"a/".repeat(255).add_end()] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            ".tmp/a",
            "a/.b",
            "A",
            "a b",
            "a\\b",
            "a\0",
            "a%2e",
            "é",
            "a\n",
            "C:a",
            &"a".repeat(256),
            &"a/".repeat(256).add_end(),
        ] {
            assert!(matches!(check(name), Err(StoreError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_prefix_is_the_start_of_a_name() {
        for prefix in ["", "a", "a/", "a/b", "spill/tdmq/"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix}");
        }
        for prefix in ["/", "/a", "a//", "..", "../", "a/../", ".tmp/", "A", "a b/", "."] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }

    trait AddEnd {
        fn add_end(self) -> String;
    }

    impl AddEnd for String {
        fn add_end(self) -> String {
            self + "e"
        }
    }
}
