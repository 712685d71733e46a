//! Verification of a request, step by step.

pub(crate) mod check;
pub(crate) mod explain;
#[cfg(feature = "catalog")]
mod nearly;
mod reason;
