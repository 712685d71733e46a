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
#[path = "shard_tests.rs"]
mod tests;
