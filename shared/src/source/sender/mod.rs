//! The sender's side: requests that are signed as the provider signs them, and forged on purpose.

mod private;
pub(crate) mod sign;
pub(crate) mod tamper;
