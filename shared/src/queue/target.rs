//! Targets of messages: the queues that a hook can name.

use std::fmt;
use std::sync::Arc;

use super::Vendor;

/// Queues of one vendor with one configuration: either the environment's own, named like the vendor, or a
/// `[targets.NAME]` of `hooks.toml` with an instance, a region or keys of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: Arc<str>,
    vendor: Vendor,
}

impl Target {
    /// Builds a target that `hooks.toml` names.
    pub(crate) fn named(name: &str, vendor: Vendor) -> Self {
        Self { name: name.into(), vendor }
    }

    /// Returns the target's name, which matches `[a-z0-9-]{1,63}`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the vendor of the target's queues.
    pub const fn vendor(&self) -> Vendor {
        self.vendor
    }
}

/// Target of the environment's own settings, named like the vendor.
impl From<Vendor> for Target {
    fn from(vendor: Vendor) -> Self {
        Self::named(vendor.as_str(), vendor)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
