//! Names of objects (see `docs/delivery-semantics.md`).
//!
//! A name is a digest of hook, id and body. The id alone is not enough: it can be unsigned, shared by a batch
//! or chosen by the sender, so that one delivery would overwrite another, or leave the folder.

use ring::digest::{Context, SHA256};

use crate::delivery::{Content, Delivery};
use crate::net::digest::hex;
use crate::queue::Target;
use crate::sabotage::{Safeguard, is_pulled};

/// Kinds of stored objects, each in a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Deliveries that wait for the queue.
    Spill,
    /// Deliveries that every queue refuses as they are.
    Dead,
    /// States of waiting deliveries: the time of the next attempt, and the number of failed runs.
    Retry,
    /// Bodies that are too large for a message, which refers to them.
    Claims,
    /// Marks of sent deliveries, of hooks with `dedupe`.
    Sent,
    /// Requests that failed verification.
    Quarantine,
}

impl Folder {
    /// Returns the first segment of the folder's names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spill => "spill",
            Self::Dead => "dead",
            Self::Retry => "retry",
            Self::Claims => "claims",
            Self::Sent => "sent",
            Self::Quarantine => "quarantine",
        }
    }

    /// Returns the prefix of the names of a target's objects (in quarantine, a vendor's); of one hook's, if
    /// it is given.
    pub fn prefix(self, of: &str, hook: Option<&str>) -> String {
        let base = format!("{}/{of}/", self.as_str());
        hook.map_or_else(|| base.clone(), |hook| format!("{base}{hook}/"))
    }

    /// Returns the name of a delivery's object in this folder.
    pub fn name(self, target: &Target, delivery: &Delivery) -> String {
        let Content { hook, id, body, .. } = &**delivery;
        let body: &[u8] = if is_pulled(Safeguard::NameOfAll) { b"" } else { body };
        let digest = digest(&[hook.as_bytes(), id.as_bytes(), body]);
        format!("{}{digest}", self.prefix(target.name(), Some(hook)))
    }

    /// Translates a name in the folder `other` into the name in this folder; `None` if the name is not in
    /// `other`.
    pub fn beside(self, other: Self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(other.as_str())?.strip_prefix('/')?;
        Some(format!("{}/{rest}", self.as_str()))
    }
}

/// Returns the hex digest of the parts; it includes their lengths, so `ab`, `c` differs from `a`, `bc`.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::delivery;
    use crate::queue::Vendor;

    #[test]
    fn a_name_tells_deliveries_apart_and_stays_in_its_folder() {
        let name = |change: fn(&mut Delivery)| {
            let mut delivery = delivery(b"{}", None);
            change(&mut delivery);
            Folder::Spill.name(&Vendor::Tdmq.into(), &delivery)
        };
        let plain = name(|_| {});
        assert!(plain.starts_with("spill/tdmq/github/") && plain.len() == 18 + 64, "{plain}");
        for change in [
            (|d| d.content_mut().id = "../../etc/passwd".into()) as fn(&mut Delivery),
            |d| d.content_mut().body = "{} ".into(),
            |d| d.content_mut().hook = "other".into(),
        ] {
            let other = name(change);
            assert_ne!(other, plain);
            assert!(!other.contains(".."));
        }
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(Folder::Dead.beside(Folder::Spill, &plain), Some(plain.replacen("spill", "dead", 1)));
        assert_eq!(Folder::Dead.beside(Folder::Claims, &plain), None);
    }
}
