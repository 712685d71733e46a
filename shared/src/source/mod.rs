//! Sources: how a provider signs, shakes hands, names its deliveries and wants to be answered.

/// Proof that a source verified a request; made only in this module.
#[derive(Clone, Copy, Debug)]
pub struct Verified(());

impl Verified {
    /// For tests of later stages.
    #[cfg(test)]
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}

/// Whether a header field holds a credential: it is never kept, in no message, log or template.
pub fn is_credential_header(name: &str) -> bool {
    const NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n))
}
