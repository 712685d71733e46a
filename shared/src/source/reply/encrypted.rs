//! Encrypted answers in the form of `DingTalk`: `{"msg_signature":…,"timeStamp":…,"nonce":…,"encrypt":…}`.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::clock::Timestamp;
use crate::http::Response;
use crate::secret::sorted;
use crate::source::Source;
use crate::source::crypto::encoding::to_hex;

impl Source {
    /// Encrypts `text` and signs it with the secret that matched the request. `context` tells one answer from
    /// another: nonce and random bytes, which must not repeat, are derived from the context, the time and the
    /// key.
    pub(crate) fn encrypted(
        &self,
        text: &str,
        secret: Option<usize>,
        now: Timestamp,
        context: &[u8],
    ) -> Option<Response> {
        let decrypt = self.scheme.decrypt.as_ref()?;
        let token = self.secrets.get(secret?)?;
        let timestamp = now.unix_millis().to_string();
        let derive =
            |label: &[u8]| decrypt.derive(Some(token), &[label, timestamp.as_bytes(), context].concat());
        let nonce = to_hex(derive(b"nonce")?.first_chunk::<8>()?);
        let sealed = decrypt.seal(text.as_bytes(), None, Some(token), derive(b"frame")?)?;
        let parts = [token.expose(), timestamp.as_bytes(), nonce.as_bytes(), sealed.as_bytes()];
        let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        for part in sorted(&parts) {
            hash.update(part);
        }
        let signature = to_hex(hash.finish().as_ref());
        // Hexadecimal, digits and base64 need no escapes.
        let body = format!(
            r#"{{"msg_signature":"{signature}","timeStamp":"{timestamp}","nonce":"{nonce}","encrypt":"{sealed}"}}"#
        );
        Some(Response::new(200, "application/json", body))
    }
}
