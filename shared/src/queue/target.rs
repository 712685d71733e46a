//! Places that messages go to.

use std::fmt;
use std::sync::Arc;

use super::Vendor;

/// A vendor's queues, reached in one way: the environment's own, named like the vendor, or a
/// `[targets.NAME]` of `hooks.toml` with an instance, a region or keys of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: Arc<str>,
    vendor: Vendor,
}

impl Target {
    /// One of `hooks.toml`.
    pub(crate) fn named(name: &str, vendor: Vendor) -> Self {
        Self { name: name.into(), vendor }
    }

    /// `[a-z0-9-]{1,63}`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose it is.
    pub const fn vendor(&self) -> Vendor {
        self.vendor
    }
}

/// The environment's own.
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
