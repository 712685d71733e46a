//! Names in one folder, packed and sorted: there may be a million.

use std::cmp::Ordering;

use crate::net::digest::hex;

/// Number of characters in a digest, which most names are or end with; packed, a digest takes half as many
/// bytes.
const DIGEST: usize = 64;

/// Size of a name in `index`, in bytes.
const IN_INDEX: usize = 4;

/// Size of packed names in bytes from which on their memory is taken at once, as much as the budget allows.
/// Memory that grows step by step leaves holes, which an allocator keeps.
const LARGE: usize = 256 << 10;

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
        if self.size() > self.most() {
            self.cut();
        }
    }

    /// Sorts the names, and gives back memory that they do not need; to be called after the last `push`.
    pub(super) fn finish(&mut self) {
        self.sort();
        self.packed.shrink_to_fit();
        self.index.shrink_to_fit();
    }

    fn sort(&mut self) {
        let (packed, mut index) = (&self.packed, std::mem::take(&mut self.index));
        sort_by(&mut index, &|a, b| compare(packed, a, b));
        self.index = index;
    }

    /// Drops the names that were taken, and keeps about the first half of the others. The names must be
    /// sorted.
    pub(super) fn halve(&mut self) {
        self.keep(self.left() / 2);
        self.finish();
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
        self.packed.len() + IN_INDEX * self.index.len()
    }

    /// Returns the size in bytes from which on names are dropped.
    const fn most(&self) -> usize {
        self.budget + self.budget / 4
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
        if self.packed.len() >= LARGE && self.packed.capacity() < self.most() {
            self.packed.reserve_exact(self.most() - self.packed.len());
        }
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

    /// Keeps the next names that fit into this number of bytes, at least one. The names must be sorted, and
    /// are not sorted afterwards.
    fn keep(&mut self, bytes: usize) {
        let mut size = 0;
        let fits = |at: &&u32| {
            let is_first = size == 0;
            size += length(&self.packed, **at) + IN_INDEX;
            is_first || size <= bytes
        };
        let count = self.index.iter().skip(self.next).take_while(fits).count();
        let end = self.next + count;
        if end < self.index.len() {
            self.cut = end.checked_sub(1).and_then(|last| Some(text(&self.packed, *self.index.get(last)?)));
        }
        self.index.truncate(end);
        self.index.drain(..self.next);
        self.next = 0;
        // The kept names move to the front, in the order in which they lie.
        sort_by(&mut self.index, &|a, b| a.cmp(&b));
        let mut to = 0;
        for at in &mut self.index {
            let (from, length) = (*at as usize, length(&self.packed, *at));
            self.packed.copy_within(from..from + length, to);
            // A name moves towards the front only.
            *at = u32::try_from(to).unwrap_or(*at);
            to += length;
        }
        self.packed.truncate(to);
    }
}

/// Sorts the starts of names. Both orders share the code of one sort.
fn sort_by(index: &mut [u32], compare: &dyn Fn(u32, u32) -> Ordering) {
    index.sort_unstable_by(|a, b| compare(*a, *b));
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

/// Returns the number of bytes that the name at `at` takes in `packed`.
fn length(packed: &[u8], at: u32) -> usize {
    let (_, head, digest) = parts(packed, at);
    2 + head.len() + digest.len()
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
        names.finish();
        std::iter::from_fn(|| names.next()).collect()
    }

    #[test]
    fn a_digest_takes_half_its_characters() {
        let mut names = Names::new(1 << 20);
        let digest = |n: u32| format!("{n:08x}").repeat(8);
        for n in (0..1000).rev() {
            names.push(&digest(n), false);
        }
        assert_eq!(names.size(), 1000 * (2 + DIGEST / 2 + IN_INDEX));
        assert_eq!(all(&mut names), (0..1000).map(digest).collect::<Vec<_>>());
    }

    #[test]
    fn a_large_folder_takes_the_memory_of_its_budget_and_a_quarter() {
        let mut names = Names::new(1 << 20);
        for n in 0..100_000_u32 {
            names.push(&format!("{:08x}", n.wrapping_mul(0x9e37_79b9)).repeat(8), false);
            assert!(names.packed.capacity() <= 5 << 18);
        }
        let kept = (1 << 20) / (2 + DIGEST / 2 + IN_INDEX);
        names.finish();
        assert!(names.index.len() >= kept && names.packed.capacity() <= 36 * names.index.len());
        names.halve();
        assert!(names.size() <= 5 << 17 && names.packed.capacity() < 5 << 17);
    }

    proptest! {
        #[test]
        fn a_half_is_the_next_names_and_the_last_of_them_is_known(
            segments in prop::collection::btree_set("[a-f0-9]{64}|[a-z0-9.-]{1,4}|[a-f0-9]{60,70}", 1..60),
            taken in 0_usize..60,
        ) {
            let mut names = Names::new(1 << 20);
            segments.iter().rev().for_each(|segment| names.push(segment, false));
            names.finish();
            let before: Vec<String> = (0..taken).map_while(|_| names.next()).collect();
            names.halve();
            let cut = names.is_cut_behind().cloned();
            let found: Vec<String> = std::iter::from_fn(|| names.next()).collect();
            let want: Vec<String> = segments.into_iter().collect();
            prop_assert_eq!(&want[..before.len()], &before[..]);
            prop_assert_eq!(&want[before.len()..before.len() + found.len()], &found[..]);
            prop_assert!(!found.is_empty() || before.len() == want.len());
            let rest = want.len() - before.len() - found.len();
            prop_assert_eq!(cut, (rest > 0).then(|| found.last().cloned()).flatten());
        }

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
