//! The sender's side: requests that are signed as the provider signs them, and forged on purpose.
//!
//! It is the only code that needs private keys. The feature `sender` compiles it, together with the methods
//! of [`scheme`](crate::source::scheme) that write what others read; a function does not turn it on.

mod private;
pub(crate) mod sign;
pub(crate) mod tamper;
