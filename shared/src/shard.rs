//! A share of the store, for redrivers side by side.
//!
//! An object's name ends with a digest, whose first hex digit says whose it is. Each shard has as many digits as
//! any other, and lists what begins with each of them: that is all of it, in whatever order a store lists.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::env::{Env, EnvProblem};

/// The share of a process: of what its clock starts, and of a trigger that names none.
const VARIABLE: &str = "REDRIVE_SHARD";

/// Hex digits, of which each shard has as many as any other.
const DIGITS: u32 = 16;

/// One of 1, 2, 4 or 8 shares, which are disjoint and together the whole. The whole by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    /// Less than `of`.
    index: u32,
    /// Divides [`DIGITS`].
    of: u32,
}

/// Why a text names no shard. It may come from anywhere, so it is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// User action: write the shard's number and how many there are.
    #[error(
        "names no shard: write its number, \"/\" and how many there are, as in \"3/8\", the last of which is \"7/8\""
    )]
    Form,
    /// User action: choose another number of redrivers.
    #[error("names no shard: there are 1, 2, 4 or 8 of them, so write one of these after the \"/\"")]
    Of,
    /// User action: count from 0.
    #[error("names no shard: the first of {of} is \"0/{of}\", the last \"{last}/{of}\"", last = .of.saturating_sub(1))]
    Index {
        /// How many there are.
        of: u32,
    },
}

impl Shard {
    /// All there is.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Reads `3/8`: the fourth of eight, since the first is `0/8`.
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

    /// The one of a whole process, as `REDRIVE_SHARD` says; all there is without it.
    pub fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        let Some(text) = env.get(VARIABLE) else { return Ok(Self::WHOLE) };
        Self::parse(&text).map_err(|error| EnvProblem { variable: VARIABLE, message: error.to_string() })
    }

    /// Its number, from 0 on.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many there are, by which the pace of each is divided.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether it is all there is.
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Whether it is the one that does what has to be done once: looks for what belongs to no target.
    pub const fn is_first(self) -> bool {
        self.index == 0
    }

    /// Whether an object is its, by its digest. What begins with no hex digit is none of ours, and the
    /// first shard's; only the whole lists it.
    pub fn takes(self, digest: &str) -> bool {
        let digit = digest.chars().next().and_then(|first| first.to_digit(DIGITS)).unwrap_or(0);
        digit / self.width() == self.index
    }

    /// How the digests begin that it has, which together are all of them: nothing in particular for the whole.
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

/// Digits only, and no more of them than are needed: each shard has one name.
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
            "names no shard: the first of 4 is \"0/4\", the last \"3/4\""
        );
    }

    /// Each digit, in either case, and each name that is none of ours, is one shard's and no other's.
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
        // What a Pod's label leaves where there is none.
        for wrong in ["/4", "$(POD_INDEX)/4", "4/4", "one"] {
            let problem = of(wrong).unwrap_err();
            assert_eq!(problem.variable, VARIABLE);
            assert!(problem.to_string().contains("names no shard"), "{problem}");
        }
    }

    #[test]
    fn only_one_of_one_is_the_whole() {
        assert_eq!(all().filter(|shard| shard.is_whole()).collect::<Vec<_>>(), [Shard::WHOLE]);
        assert_eq!(all().filter(|shard| shard.is_first()).count(), 4);
    }
}
