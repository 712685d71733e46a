//! What TOML syntax errors mean for the hooks around them.

use toml::de::Error;

use crate::reader::Mistakes;

/// Which hooks a file's syntax errors make unusable.
#[derive(Debug)]
pub(super) enum Damage {
    /// There are none.
    None,
    /// The hooks in whose tables they stand.
    Hooks(Vec<String>),
    /// Nobody can say: every hook.
    All,
}

impl Damage {
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn spoils(&self, hook: &str) -> bool {
        match self {
            Self::None => false,
            Self::Hooks(names) => names.iter().any(|n| n == hook),
            Self::All => true,
        }
    }
}

/// Reports the errors and says which hooks they spoil.
///
/// The parser recovers and goes on, but what it dropped may have been a check (a `timestamp` line,
/// say), so a hook is used only if no error stands under one of its headers. An error in a header
/// itself moves the lines below it to some other table: then no hook can be trusted.
pub(super) fn report(text: &str, errors: &[Error], mistakes: &Mistakes) -> Damage {
    let mut damage = Damage::None;
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        mistakes.error(offset, "", error.message());
        damage = match (damage, hook_at(text, offset)) {
            (Damage::All, _) | (_, None) => Damage::All,
            (Damage::None, Some(name)) => Damage::Hooks(vec![name]),
            (Damage::Hooks(mut names), Some(name)) => {
                names.push(name);
                Damage::Hooks(names)
            }
        };
    }
    damage
}

/// The name of the hook under whose header `offset` stands; `None` if that cannot be told.
fn hook_at(text: &str, offset: usize) -> Option<String> {
    let before = text.get(..offset)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    if text.get(line_start..)?.trim_start().starts_with('[') {
        return None;
    }
    let header = before.lines().rev().map(str::trim_start).find(|line| line.starts_with("[hooks."))?;
    let name = header.strip_prefix("[hooks.")?.split(['.', ']']).next()?.trim();
    Some(name.trim_matches(['"', '\'']).to_owned())
}
