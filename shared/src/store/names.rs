//! Names in one folder, packed and sorted: there may be a million.

use std::cmp::Ordering;

use crate::net::digest::hex;

/// Number of characters in a digest, which most names are or end with; packed, a digest takes half as many
/// bytes.
const DIGEST: usize = 64;

/// Size of a name besides its text, in bytes: two in `packed`, four in `index`.
const OVERHEAD: usize = 6;

/// Names in the order of their bytes, folders with a slash at the end. Only the first names are kept, as many
/// as fit into the budget.
pub(super) struct Names {
    budget: usize,
    /// Packed names; each has the length of its text, flags, the text and the digest.
    packed: Vec<u8>,
    /// Start of each name in `packed`.
    index: Vec<u32>,
    next: usize,
    /// Last name that is kept, if names behind it were dropped.
    cut: Option<String>,
}

const HAS_DIGEST: u8 = 1;
const IS_FOLDER: u8 = 2;

impl Names {
    pub(super) const fn new(budget: usize) -> Self {
        Self { budget, packed: Vec::new(), index: Vec::new(), next: 0, cut: None }
    }

    /// Adds a segment's name, unless it belongs behind the last kept name.
    pub(super) fn push(&mut self, segment: &str, is_folder: bool) {
        if self.cut.as_ref().is_some_and(|cut| !is_before(segment, is_folder, cut)) {
            return;
        }
        self.append(segment, is_folder);
        if self.size() > self.budget + self.budget / 4 {
            self.cut();
        }
    }

    /// Sorts the names; to be called after the last `push`.
    pub(super) fn sort(&mut self) {
        let (packed, mut index) = (&self.packed, std::mem::take(&mut self.index));
        index.sort_unstable_by(|a, b| compare(packed, *a, *b));
        self.index = index;
    }

    /// Drops the names that were taken, and keeps about the first half of the others. The names must be
    /// sorted.
    pub(super) fn halve(&mut self) {
        self.keep(self.left() / 2);
    }

    /// Takes the next name, in order.
    pub(super) fn next(&mut self) -> Option<String> {
        let at = *self.index.get(self.next)?;
        self.next += 1;
        Some(text(&self.packed, at))
    }

    /// Returns the last name that is kept, if names behind it were dropped.
    pub(super) const fn is_cut_behind(&self) -> Option<&String> {
        self.cut.as_ref()
    }

    /// Returns the size of all names, in bytes.
    pub(super) fn size(&self) -> usize {
        self.packed.len() + 4 * self.index.len()
    }

    /// Estimates the size of the names that are still to be taken, in bytes.
    fn left(&self) -> usize {
        let left = self.index.len().saturating_sub(self.next);
        self.size().saturating_mul(left) / self.index.len().max(1)
    }

    fn append(&mut self, segment: &str, is_folder: bool) {
        // A segment has at most 255 bytes, and 4 GiB of segments are beyond every budget.
        let Ok(at) = u32::try_from(self.packed.len()) else { return };
        let (head, digest) = split(segment);
        let Ok(length) = u8::try_from(head.len()) else { return };
        let flag = |is: bool, flag| if is { flag } else { 0 };
        self.packed.push(length);
        self.packed.push(flag(digest.is_some(), HAS_DIGEST) | flag(is_folder, IS_FOLDER));
        self.packed.extend_from_slice(head.as_bytes());
        self.packed.extend(digest.into_iter().flatten());
        self.index.push(at);
    }

    /// Keeps the first names that fit into the budget, at least one.
    fn cut(&mut self) {
        self.sort();
        self.keep(self.budget);
    }

    /// Keeps the next names that fit into this number of bytes, at least one.
    fn keep(&mut self, bytes: usize) {
        let mut kept = Self::new(self.budget);
        let (mut last, mut is_cut) = (None, false);
        for at in self.index.iter().skip(self.next) {
            let name = text(&self.packed, *at);
            let is_folder = name.ends_with('/');
            let segment = name.trim_end_matches('/');
            is_cut = last.is_some() && kept.size() + segment.len() + OVERHEAD > bytes;
            if is_cut {
                break;
            }
            kept.append(segment, is_folder);
            last = Some(name);
        }
        let cut = if is_cut { last } else { self.cut.take() };
        *self = Self { cut, ..kept };
    }
}

/// Splits a segment into the text before a digest at its end, and the digest.
fn split(segment: &str) -> (&str, Option<[u8; DIGEST / 2]>) {
    let parts = segment.len().checked_sub(DIGEST).and_then(|at| segment.split_at_checked(at));
    match parts.and_then(|(head, digits)| Some((head, parse(digits)?))) {
        Some((head, digest)) => (head, Some(digest)),
        None => (segment, None),
    }
}

/// Parses lower-case hexadecimal digits; any other spelling must be kept as it was, so it is `None`.
fn parse(digits: &str) -> Option<[u8; DIGEST / 2]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; DIGEST / 2];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Returns flags, text and digest of the name at `at`; empty values without a name there.
fn parts(packed: &[u8], at: u32) -> (u8, &[u8], &[u8]) {
    let rest = packed.get(at as usize..).unwrap_or_default();
    let [length, flags, rest @ ..] = rest else { return (0, &[], &[]) };
    let (head, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
    let length = if flags & HAS_DIGEST == 0 { 0 } else { DIGEST / 2 };
    (*flags, head, rest.get(..length).unwrap_or_default())
}

fn text(packed: &[u8], at: u32) -> String {
    let (flags, head, digest) = parts(packed, at);
    let slash = if flags & IS_FOLDER == 0 { "" } else { "/" };
    String::from_utf8_lossy(head).into_owned() + &hex(digest) + slash
}

fn compare(packed: &[u8], a: u32, b: u32) -> Ordering {
    let (a_parts, b_parts) = (parts(packed, a), parts(packed, b));
    let (a_flags, a_head, a_digest) = a_parts;
    let (b_flags, b_head, b_digest) = b_parts;
    // Digests sort in the order of their digits.
    if a_flags == b_flags && a_head.len() == b_head.len() {
        return (a_head, a_digest).cmp(&(b_head, b_digest));
    }
    text(packed, a).cmp(&text(packed, b))
}

fn is_before(segment: &str, is_folder: bool, other: &str) -> bool {
    if is_folder { format!("{segment}/").as_str() < other } else { segment < other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(names: &mut Names) -> Vec<String> {
        names.sort();
        std::iter::from_fn(|| names.next()).collect()
    }

    #[test]
    fn a_digest_takes_half_its_characters() {
        let mut names = Names::new(1 << 20);
        let digest = |n: u32| format!("{n:08x}").repeat(8);
        for n in (0..1000).rev() {
            names.push(&digest(n), false);
        }
        assert_eq!(names.size(), 1000 * (DIGEST / 2 + OVERHEAD));
        assert_eq!(all(&mut names), (0..1000).map(digest).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn names_come_out_as_they_went_in_and_in_order(
            segments in prop::collection::btree_map("[a-f0-9]{64}|[a-z0-9.-]{1,4}|0-[a-f0-9]{64}|[A-F]{64}|[a-f0-9]{60,70}", any::<bool>(), 0..60),
            budget in 100_usize..3000,
        ) {
            let slash = |(name, is_folder): (&String, &bool)| if *is_folder { format!("{name}/") } else { name.clone() };
            let mut want: Vec<String> = segments.iter().map(slash).collect();
            want.sort();
            let mut names = Names::new(budget);
            for (segment, is_folder) in segments.iter().rev() {
                names.push(segment, *is_folder);
            }
            prop_assert!(names.size() <= budget * 5 / 4 + 300);
            let cut = names.is_cut_behind().cloned();
            let found = all(&mut names);
            prop_assert_eq!(&found[..], &want[..found.len()]);
            prop_assert!(found.len() == want.len() || cut.as_ref() == found.last());
            prop_assert!(!found.is_empty() || want.is_empty());
        }
    }
}
