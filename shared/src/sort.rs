//! Sorting in little code.
//!
//! The standard library's sort is faster, and takes about five kilobytes of a function for each type that is
//! sorted. The lists here are short; long ones, as those of a store's names, are left to the standard library.

use std::cmp::Ordering;

/// Sorts the items; equal ones may change places.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, &Ord::cmp);
}

/// Sorts the items by `compare`; equal ones may change places. It takes `n log n` comparisons, for any input: a
/// sender can choose what is sorted.
pub(crate) fn sort_by<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let length = items.len();
    // Items from `length` on wait to be put into the heap; then those from `end` on are in order.
    for root in (0..length / 2).rev() {
        sift_down(items, root, length, compare);
    }
    for end in (1..length).rev() {
        items.swap(0, end);
        sift_down(items, 0, end, compare);
    }
}

/// Moves the item at `root` down until no item below it, and before `end`, is greater.
fn sift_down<T>(items: &mut [T], mut root: usize, end: usize, compare: &dyn Fn(&T, &T) -> Ordering) {
    loop {
        let left = 2 * root + 1;
        if left >= end {
            return;
        }
        let right = left + 1;
        let is_right = right < end && compare(&items[left], &items[right]).is_lt();
        let child = if is_right { right } else { left };
        if compare(&items[root], &items[child]).is_ge() {
            return;
        }
        items.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_standard_library(mut items in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut want = items.clone();
            want.sort_unstable();
            sort(&mut items);
            prop_assert_eq!(&items, &want);
            sort_by(&mut items, &|a, b| b.cmp(a));
            want.reverse();
            prop_assert_eq!(items, want);
        }
    }
}
