//! The names in one folder, packed and sorted: there may be a million.

use std::cmp::Ordering;

use crate::net::digest::hex;

/// Characters of a digest, which most names are or end with; packed it takes half of them.
const DIGEST: usize = 64;

/// Bytes of a name besides its text: two here, four in the index.
const OVERHEAD: usize = 6;

/// Names in the order of their bytes, those of folders with a slash at the end. Only as many as fit into a
/// number of bytes are kept, and they are the first ones.
pub(super) struct Names {
    budget: usize,
    /// Of each name: the length of its text, what follows it, the text, the digest.
    packed: Vec<u8>,
    /// Where each name begins.
    index: Vec<u32>,
    next: usize,
    /// The last name that is kept, if some behind it are not.
    cut: Option<String>,
}

const HAS_DIGEST: u8 = 1;
const IS_FOLDER: u8 = 2;

impl Names {
    pub(super) const fn new(budget: usize) -> Self {
        Self { budget, packed: Vec::new(), index: Vec::new(), next: 0, cut: None }
    }

    /// Adds a segment's name, unless there is no room for it behind those that are there.
    pub(super) fn push(&mut self, segment: &str, is_folder: bool) {
        if self.cut.as_ref().is_some_and(|cut| !is_before(segment, is_folder, cut)) {
            return;
        }
        self.append(segment, is_folder);
        if self.size() > self.budget + self.budget / 4 {
            self.cut();
        }
    }

    /// To be called once all are there.
    pub(super) fn sort(&mut self) {
        let (packed, mut index) = (&self.packed, std::mem::take(&mut self.index));
        index.sort_unstable_by(|a, b| compare(packed, *a, *b));
        self.index = index;
    }

    /// Forgets those that were taken, and of the others all but about the first half; for names that are sorted.
    pub(super) fn halve(&mut self) {
        self.keep(self.left() / 2);
    }

    /// Takes the next name, in order.
    pub(super) fn next(&mut self) -> Option<String> {
        let at = *self.index.get(self.next)?;
        self.next += 1;
        Some(text(&self.packed, at))
    }

    /// The last name that is kept, if there are others behind it.
    pub(super) const fn is_cut_behind(&self) -> Option<&String> {
        self.cut.as_ref()
    }

    /// Bytes that they take.
    pub(super) fn size(&self) -> usize {
        self.packed.len() + 4 * self.index.len()
    }

    /// Bytes of those that are still to be taken, about.
    fn left(&self) -> usize {
        let left = self.index.len().saturating_sub(self.next);
        self.size().saturating_mul(left) / self.index.len().max(1)
    }

    fn append(&mut self, segment: &str, is_folder: bool) {
        // A segment has at most 255 bytes, and 4 GiB of them are beyond every budget.
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

    /// Keeps the first ones that fit, one at least.
    fn cut(&mut self) {
        self.sort();
        self.keep(self.budget);
    }

    /// Keeps the next ones that have so many bytes, one at least.
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

/// The text before a digest at the end, and the digest.
fn split(segment: &str) -> (&str, Option<[u8; DIGEST / 2]>) {
    let parts = segment.len().checked_sub(DIGEST).and_then(|at| segment.split_at_checked(at));
    match parts.and_then(|(head, digits)| Some((head, parse(digits)?))) {
        Some((head, digest)) => (head, Some(digest)),
        None => (segment, None),
    }
}

/// Lower-case digits: what is written otherwise must come out as it was.
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

/// Flags, text and digest of the name at `at`; nothing where there is none.
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
    // Digests sort as their digits do.
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
