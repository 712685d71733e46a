//! Request bodies that are signed through their hash.

use crate::reader::Table;
use crate::source::Rejection;
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::hash::Hash;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::template::SignedTemplate;
use crate::source::scheme::words;

/// A signed field that must hold the hash of the body: `body_hash = [{ from, hash, encoding? }]`.
#[derive(Clone, Debug)]
pub(crate) struct BodyHash {
    pub(crate) from: Field,
    hash: Hash,
    encoding: Encoding,
}

impl BodyHash {
    /// Reads the key `body_hash` of a `[verify]` table.
    pub(crate) fn read_all(table: &Table<'_>, template: &SignedTemplate) -> Option<Vec<Self>> {
        let hashes = table.tables("body_hash").unwrap_or_default();
        let hashes: Vec<Self> = hashes.into_iter().map(Self::read).collect::<Option<_>>()?;
        for BodyHash { from, .. } in hashes.iter().filter(|hash| !template.covers(&hash.from)) {
            let message = format!("{from} is not signed: anybody who changes the body can change it too");
            table.error("body_hash", message);
        }
        Some(hashes)
    }

    fn read(table: Table<'_>) -> Option<Self> {
        let from = words::field(&table, "from", "\"header:X-Content-SHA256\"");
        let hash = words::one_of(&table, "hash", &Hash::WORDS);
        let encodings =
            [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64-hex", Encoding::Base64Hex)];
        let encoding = if table.has("encoding") {
            words::one_of(&table, "encoding", &encodings)
        } else {
            Some(Encoding::Hex)
        };
        table.finish();
        Some(Self { from: from?, hash: hash?, encoding: encoding? })
    }

    pub(crate) fn check(&self, view: &View<'_>) -> Result<(), Rejection> {
        let given = self.encoding.decode(&self.from.read_text(view)?);
        let given = given.ok_or_else(|| Rejection::Malformed(self.from.to_string()))?;
        if given == self.of(&view.request.body) {
            Ok(())
        } else {
            Err(Rejection::OtherBody(self.from.to_string()))
        }
    }

    /// Returns the length of the field, in bytes.
    #[cfg(feature = "catalog")]
    pub(crate) fn length(&self) -> usize {
        self.encoding.encode(&self.of(b"")).len()
    }

    /// Returns the text that the field must hold for this body.
    #[cfg(feature = "sender")]
    pub(crate) fn text(&self, body: &[u8]) -> String {
        self.encoding.encode(&self.of(body))
    }

    fn of(&self, body: &[u8]) -> Vec<u8> {
        self.hash.of(|sink| sink(body))
    }
}
