//! Vendors as data. A vendor is a folder with one [`Spec`], and a line of the list in [`queue`](super), from
//! which [`Vendor::spec`](super::Vendor::spec) and the vendor's client follow. Nothing else tells one vendor
//! from another.

#[cfg(feature = "catalog")]
use super::Class;
use super::Vendor;
use super::credentials::Family;
use super::failure::{Accepted, Failure, Private};
use crate::message::Message;
use crate::net::answer::Answer;

/// Everything that configuration, redriver and tools know of a vendor.
#[derive(Debug)]
pub struct Spec {
    /// Name in `hooks.toml`, paths and logs.
    pub name: &'static str,
    /// Name of the product in messages for people.
    pub label: &'static str,
    /// Ways to the vendor's queues. The first is the default.
    pub routes: &'static [Route],
    /// Checks the form of a topic; an error says what is wrong with it.
    pub check_topic: fn(&str) -> Result<(), String>,
    /// Returns true if a topic without a vendor's name is this vendor's, by its form.
    pub takes_bare_topic: fn(&str) -> bool,
    /// Upper bound on the text of a message, in bytes of UTF-8.
    pub max_text: usize,
    /// True if messages have a key, a tag and properties beside their text.
    pub carries_attributes: bool,
    /// Messages per second that a redriver sends by default: the vendor's limit for an account, or, if the
    /// vendor names none, the limit of its smallest instance.
    pub sends_a_second: u32,
    /// Keys of a `[targets.NAME]` table.
    pub(crate) target_keys: &'static [TargetKey],
    /// Names of the keys of the native route alone, the first of which chooses it; empty without such a route.
    pub(crate) native_keys: &'static [&'static str],
    /// Sets of variables with credentials, in the order in which they are tried.
    pub(crate) families: &'static [Family],
    /// Variables of which one at least is set if the vendor is set up.
    pub set_up_by: &'static [&'static str],
    /// Builds a topic of the vendor's form from a word, for samples and experiments.
    #[cfg(feature = "catalog")]
    pub example_topic: fn(&str) -> String,
    /// Parts of the setup that an answer to `check --live` has proved.
    #[cfg(feature = "catalog")]
    pub proves: &'static str,
    /// Advice for a class of failures that has a remedy of this vendor's.
    #[cfg(feature = "catalog")]
    pub advice: fn(Class) -> Option<&'static str>,
    /// Checks a message against a lower limit than the vendor's own.
    pub(crate) fits: fn(&Message, usize) -> Result<(), Failure>,
    /// Reads an answer of the default route; what is private is kept out of the error.
    pub read: fn(&Answer, &Private<'_>) -> Result<Accepted, Failure>,
}

/// Way to a vendor's queues.
#[derive(Debug)]
pub struct Route {
    /// Name of the protocol.
    pub name: &'static str,
    /// Operation that stores a message.
    pub operation: &'static str,
}

/// Key of a target's table, and the variable that the key sets.
#[derive(Debug)]
pub(crate) struct TargetKey {
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) kind: KeyKind,
}

/// Kind of a target's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Setting that is not a part of the credentials.
    Plain,
    /// Part of the credentials.
    Login,
    /// Part of the credentials that must be written as a reference.
    Secret,
}

/// Builds a key of a target's table.
pub(crate) const fn key(name: &'static str, variable: &'static str, kind: KeyKind) -> TargetKey {
    TargetKey { name, variable, kind }
}

impl Spec {
    /// Returns the route of a key that is of one route alone: true for the native one.
    pub(crate) fn is_native(&self, key: &TargetKey) -> Option<bool> {
        // Every route has a bound on messages.
        let is_shared = self.native_keys.is_empty() || key.name == "max_message";
        (!is_shared).then(|| self.native_keys.contains(&key.name))
    }

    /// Returns all variables from which the vendor's credentials are read.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &'static str> {
        let own = self.target_keys.iter().filter(|key| key.kind != KeyKind::Plain).map(|key| key.variable);
        self.families.iter().flat_map(Family::variables).chain(own)
    }
}

impl Vendor {
    /// Returns the vendor with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.as_str() == name)
    }

    /// Returns the vendor whose topics have this form, for a topic that names no vendor.
    pub fn of_topic(topic: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| (vendor.spec().takes_bare_topic)(topic))
    }

    /// Returns the names of all vendors, quoted and joined for a message.
    pub fn names() -> String {
        Self::ALL.map(|vendor| format!("\"{}\"", vendor.as_str())).join(" or ")
    }
}
