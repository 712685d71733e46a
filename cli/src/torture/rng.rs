//! The source of random numbers: every draw follows from the seed.

use std::fmt::Write as _;

use hookmq_shared::clock::Random;

/// A `SplitMix64` generator: short, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// Creates one of many independent streams of a seed.
    pub(super) fn of(seed: u64, stream: u64) -> Self {
        let mut rng = Self(seed);
        rng.0 = rng.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        rng.next();
        rng
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws a number from `from..=to`.
    pub(super) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// Returns true with a probability of `per_mille` thousandths.
    pub(super) fn happens(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    /// Picks an item with a probability in proportion to its weight; `None` if all weights are 0.
    pub(super) fn pick<'i, T>(&mut self, items: &'i [T], weight: impl Fn(&T) -> u64) -> Option<&'i T> {
        let total: u64 = items.iter().map(&weight).sum();
        let mut left = self.next().checked_rem(total)?;
        items.iter().find(|item| {
            let weight = weight(item);
            let is_it = left < weight;
            left = left.wrapping_sub(weight);
            is_it
        })
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| self.next().to_le_bytes()).take(length / 8 + 1).flatten().collect();
        bytes.truncate(length);
        bytes
    }

    /// Draws `length` bytes and returns them as hex digits.
    pub(super) fn hex(&mut self, length: usize) -> String {
        self.bytes(length).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string never fails.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Creates a `Random` for code outside of this module, seeded from this generator.
    pub(super) fn random(&mut self) -> Random {
        let stream = std::sync::Mutex::new(Self(self.next()));
        Random::from_fn(move || stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_and_a_stream_its_own() {
        let drawn = |seed, stream| {
            let mut rng = Rng::of(seed, stream);
            [rng.next(), rng.range(5, 9), rng.next()]
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(2, 2));
        assert_eq!(Rng::of(3, 0).bytes(19).len(), 19);
    }

    #[test]
    fn what_has_no_weight_is_not_picked() {
        let mut rng = Rng::of(1, 1);
        let mut counts = [0, 0, 0];
        for _ in 0..1000 {
            counts[*rng.pick(&[0, 1, 2], |item| [1, 0, 3][*item]).unwrap()] += 1;
        }
        assert!(counts[0] > 150 && counts[1] == 0 && counts[2] > 600, "{counts:?}");
        assert!(rng.pick(&[1, 2], |_| 0).is_none());
        assert!((0..1000).all(|_| (5..=9).contains(&rng.range(5, 9))));
    }
}
