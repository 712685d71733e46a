//! Keys as ASN.1 structures, in the forms that consoles and tools write.

use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::secret::Secret;
use crate::source::crypto::encoding::Encoding;

/// Returns the DER of a key that is written as PEM ([RFC 7468]) or as the base64 of the DER alone.
///
/// [RFC 7468]: https://www.rfc-editor.org/rfc/rfc7468
pub(super) fn der(key: &Secret) -> Option<Secret> {
    let text = key.expose_str()?.trim();
    if text.starts_with("-----BEGIN ") {
        let (_, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes()).ok()?;
        Some(Secret::new(der))
    } else {
        Encoding::Base64.decode_key(text).map(Secret::new)
    }
}
