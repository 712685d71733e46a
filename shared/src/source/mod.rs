//! Sources: how a provider signs, shakes hands, names its deliveries and wants to be answered.

/// Proof that a source verified a request; made only in this module.
#[derive(Clone, Copy, Debug)]
pub struct Verified(());
