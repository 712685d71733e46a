//! Parsers of what strangers send, for the fuzz targets alone: they are no part of the API.

use toml::de::DeTable;

use super::decrypt::{Decrypt, Salt};
use super::field::{Field, View};
use super::key::{Key, RSA_SHA256};
use super::presets::Preset;
use super::rejection;
use super::signature::{Given, Signature};
use super::{Params, Rejection, der, mask};
use crate::clock::Timestamp;
use crate::http::Request;
use crate::reader::{Mistakes, Table};
use crate::secret::Secret;

/// A text without these secrets, in any spelling of an address, JSON or XML.
pub fn masked(text: &[u8], secrets: &[Secret]) -> Option<Vec<u8>> {
    mask::masked(text, secrets)
}

/// Signatures of one request at most.
pub const MAX_SIGNATURES: usize = rejection::MAX_SIGNATURES;

/// Reads `KIND:NAME` of a request, as verification does; `None` if that is no field.
pub fn read(field: &str, request: &Request) -> Option<Result<Vec<u8>, Rejection>> {
    let field = Field::parse(field).ok()?;
    Some(field.read(&View::of(request, None)).map(Into::into))
}

/// Reads a key or certificate in DER and verifies with it; from when and until when a certificate is
/// valid.
pub fn certificate(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let key = Key::from_der(der)?;
    let _ = (key.family(), key.public_pem(), key.verify(RSA_SHA256, der, der));
    der::validity(der)
}

/// How signatures are written: `signature` of a `[verify]` table.
#[derive(Debug)]
pub struct Signatures(Signature);

/// Signatures, decoded, and the pairs that stand with them.
pub type SignaturesAndPairs = (Vec<Vec<u8>>, Vec<(String, String)>);

impl Signatures {
    /// Reads `signature = { … }`; `None` where anything is wrong with it.
    pub fn read(toml: &str) -> Option<Self> {
        let document = DeTable::parse(toml).ok()?;
        let mistakes = Mistakes::new("", toml);
        let signature = Table::new(&mistakes, "", 0, document.get_ref()).table("signature")?;
        Signature::read(signature).filter(|_| mistakes.errors() == 0).map(Self)
    }

    /// The signatures in a header's value.
    pub fn parse(&self, text: &str) -> Result<SignaturesAndPairs, Rejection> {
        self.0.parse(text).map(|Given { signatures, pairs }| (signatures, pairs))
    }
}

/// How a preset's events are encrypted, with its keys.
#[derive(Debug)]
pub struct Encryption {
    decrypt: Decrypt,
    secret: Secret,
}

impl Encryption {
    /// That of a preset; `None` if it has none, or takes no such parameters.
    pub fn of(preset: &str, secret: Secret, params: &[(&str, &str)]) -> Option<Self> {
        let mut decrypt = Preset::load(preset).ok()?.scheme.decrypt?;
        let params: Params =
            params.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        decrypt.take(&params).ok()?;
        Some(Self { decrypt, secret })
    }

    /// An event's ciphertext in base64; a request holds nonce and data beside it, where there are some.
    pub fn seal(&self, event: &[u8], around: &Request, salt: Salt) -> Option<String> {
        self.decrypt.seal(event, Some(&View::of(around, None)), Some(&self.secret), salt)
    }

    /// The event in a request that was verified.
    pub fn open(&self, request: &Request) -> Result<Option<Vec<u8>>, Rejection> {
        self.decrypt.open(&self.decrypt.ciphertext, &View::of(request, None), Some(&self.secret))
    }
}
