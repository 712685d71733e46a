//! Shards of the store, for concurrent redrivers.
//!
//! An object's name ends with a digest, whose first hex digit determines the shard. All shards have the same
//! number of digits. A shard lists the names that begin with each of its digits, so it misses none, in
//! whatever order a store lists.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::env::{Env, EnvProblem};

/// Name of the variable with a process's shard, for the runs of its clock and of a trigger that names no
/// shard.
const VARIABLE: &str = "REDRIVE_SHARD";

/// Number of hex digits, which all shards share equally.
const DIGITS: u32 = 16;

/// One of 1, 2, 4 or 8 shards, which are disjoint and together the whole. The default is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    /// Number of the shard, less than `of`.
    index: u32,
    /// Number of shards, a divisor of [`DIGITS`].
    of: u32,
}

/// Reason why a text does not name a shard. The text may come from anywhere, so it is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// User action: write the shard's number and the number of shards.
    #[error(
        "does not name a shard: write its number, \"/\" and the number of shards, as in \"3/8\", the last \
         of which is \"7/8\""
    )]
    Form,
    /// User action: choose another number of redrivers.
    #[error("does not name a shard: there are 1, 2, 4 or 8 of them, so write one of these after the \"/\"")]
    Of,
    /// User action: count from 0.
    #[error(
        "does not name a shard: the first of {of} is \"0/{of}\", the last \"{last}/{of}\"",
        last = .of.saturating_sub(1)
    )]
    Index {
        /// Number of shards in the text.
        of: u32,
    },
}

impl Shard {
    /// Shard that is the whole store.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Parses `3/8`: the fourth of eight, since the first is `0/8`.
    pub fn parse(text: &str) -> Result<Self, ShardError> {
        let (index, of) = text.split_once('/').ok_or(ShardError::Form)?;
        let (index, of) = (number(index)?, number(of)?);
        if !matches!(of, 1 | 2 | 4 | 8) {
            return Err(ShardError::Of);
        }
        if index >= of {
            return Err(ShardError::Index { of });
        }
        Ok(Self { index, of })
    }

    /// Reads the shard of the process from `REDRIVE_SHARD`; the whole without it.
    pub fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        let Some(text) = env.get(VARIABLE) else { return Ok(Self::WHOLE) };
        Self::parse(&text).map_err(|error| EnvProblem { variable: VARIABLE, message: error.to_string() })
    }

    /// Returns the shard's number, counted from 0.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Returns the number of shards, which divides the pace of each.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Returns true if the shard is the whole store.
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Returns true for the shard that does the work needed only once: the search for unknown targets.
    pub const fn is_first(self) -> bool {
        self.index == 0
    }

    /// Returns true if the object with this digest belongs to the shard. A name without a hex digit at its
    /// start is foreign and belongs to the first shard; only the whole lists it.
    pub fn takes(self, digest: &str) -> bool {
        let digit = digest.chars().next().and_then(|first| first.to_digit(DIGITS)).unwrap_or(0);
        digit / self.width() == self.index
    }

    /// Returns the first digits of the shard's digests, which together cover all of them; one empty text for
    /// the whole.
    pub(super) fn digits(self) -> Vec<String> {
        if self.is_whole() {
            return vec![String::new()];
        }
        let first = self.index * self.width();
        let digits = first..first + self.width();
        digits.filter_map(|number| char::from_digit(number, DIGITS)).map(String::from).collect()
    }

    const fn width(self) -> u32 {
        DIGITS / self.of
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        Self::parse(text)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Serialize for Shard {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses a decimal number without leading zeros, so that each shard has only one name.
fn number(text: &str) -> Result<u32, ShardError> {
    let is_plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|_| is_plain).ok_or(ShardError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Shard> {
        [1, 2, 4, 8].into_iter().flat_map(|of| (0..of).map(move |index| Shard { index, of }))
    }

    #[test]
    fn what_is_written_is_read() {
        for shard in all() {
            assert_eq!(Shard::parse(&shard.to_string()), Ok(shard));
        }
        assert_eq!(Shard::default().to_string(), "0/1");
        assert_eq!(serde_json::to_string(&Shard { index: 3, of: 8 }).unwrap(), "\"3/8\"");
        for (wrong, error) in [
            ("", ShardError::Form),
            ("3", ShardError::Form),
            ("3/", ShardError::Form),
            ("/8", ShardError::Form),
            ("3/8/1", ShardError::Form),
            ("+3/8", ShardError::Form),
            ("03/8", ShardError::Form),
            ("-1/8", ShardError::Form),
            (" 3/8", ShardError::Form),
            ("3/ 8", ShardError::Form),
            ("٣/8", ShardError::Form),
            ("0x1/8", ShardError::Form),
            ("4294967296/8", ShardError::Form),
            ("all", ShardError::Form),
            ("0/0", ShardError::Of),
            ("0/3", ShardError::Of),
            ("0/16", ShardError::Of),
            ("8/8", ShardError::Index { of: 8 }),
            ("1/1", ShardError::Index { of: 1 }),
        ] {
            assert_eq!(Shard::parse(wrong), Err(error), "{wrong:?}");
            let told = error.to_string();
            assert!(told.contains("write") || told.contains("the first of"), "{told}");
        }
        assert_eq!(
            ShardError::Index { of: 4 }.to_string(),
            "does not name a shard: the first of 4 is \"0/4\", the last \"3/4\""
        );
    }

    /// Each digit, in either case, and each foreign name belongs to exactly one shard.
    #[test]
    fn shards_are_disjoint_and_together_the_whole() {
        let digits = "0123456789abcdefABCDEF".chars().map(|digit| format!("{digit}0"));
        let names: Vec<String> =
            digits.chain(["", "x", "ä", ".tmp", "/", "g0", "-"].map(str::to_owned)).collect();
        for of in [1, 2, 4, 8] {
            for name in &names {
                let takers: Vec<u32> = (0..of).filter(|&index| Shard { index, of }.takes(name)).collect();
                assert_eq!(takers.len(), 1, "{name:?} of {of}: {takers:?}");
                if !name.starts_with(|first: char| first.is_ascii_hexdigit()) {
                    assert_eq!(takers, [0], "{name:?} of {of}");
                }
            }
        }
    }

    #[test]
    fn its_digits_are_what_it_takes() {
        for shard in all().filter(|shard| !shard.is_whole()) {
            let taken = "0123456789abcdef".chars().map(String::from).filter(|digit| shard.takes(digit));
            assert_eq!(shard.digits(), taken.collect::<Vec<_>>(), "{shard}");
        }
        assert_eq!(Shard { index: 3, of: 8 }.digits(), ["6", "7"]);
        assert_eq!(Shard::WHOLE.digits(), [""]);
    }

    #[test]
    fn the_environment_is_checked() {
        let of = |text: &str| Shard::from_env(&Env::of([(VARIABLE, text)]));
        assert_eq!(of("").unwrap(), Shard::WHOLE);
        assert_eq!(of("3/4").unwrap(), Shard { index: 3, of: 4 });
        // A Pod without the label leaves such a value.
        for wrong in ["/4", "$(POD_INDEX)/4", "4/4", "one"] {
            let problem = of(wrong).unwrap_err();
            assert_eq!(problem.variable, VARIABLE);
            assert!(problem.to_string().contains("does not name a shard"), "{problem}");
        }
    }

    #[test]
    fn only_one_of_one_is_the_whole() {
        assert_eq!(all().filter(|shard| shard.is_whole()).collect::<Vec<_>>(), [Shard::WHOLE]);
        assert_eq!(all().filter(|shard| shard.is_first()).count(), 4);
    }
}
