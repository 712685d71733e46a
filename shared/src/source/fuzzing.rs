//! Parsers of untrusted input, for the fuzz targets only; they are not a part of the API.

use toml::de::DeTable;

use crate::clock::Timestamp;
use crate::http::Request;
use crate::inflate::{InflateError, gunzip, unzlib};
use crate::pattern::Pattern;
use crate::reader::{Mistakes, Table};
use crate::secret::Secret;
use crate::source::crypto::der;
use crate::source::crypto::key::{Key, RSA_SHA256};
use crate::source::presets::Preset;
use crate::source::scheme::decode::Decode;
use crate::source::scheme::decrypt::{Decrypt, Salt};
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::mask;
use crate::source::scheme::signature::{Given, Signature};
use crate::source::{Params, Rejection, rejection};

/// Masks these secrets in a text, in any spelling of an address, a form, JSON or XML.
pub fn masked(text: &[u8], secrets: &[Secret]) -> Option<Vec<u8>> {
    mask::masked(text, secrets)
}

/// Upper bound on the number of signatures in one request.
pub const MAX_SIGNATURES: usize = rejection::MAX_SIGNATURES;

/// Reads `KIND:NAME` of a request as verification does; returns `None` if the text does not name a field.
pub fn read(field: &str, request: &Request) -> Option<Result<Vec<u8>, Rejection>> {
    let field = Field::parse(field).ok()?;
    Some(field.read(&View::of(request, None)).map(Into::into))
}

/// Reads a key or certificate in DER and verifies with it. Returns the first and the last moment at which a
/// certificate is valid.
pub fn certificate(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let key = Key::from_der(der)?;
    let _ = (key.family(), key.verify(RSA_SHA256, der, der));
    #[cfg(feature = "sender")]
    let _ = key.public_pem();
    der::validity(der)
}

/// Places and form of signatures: `signature` of a `[verify]` table.
#[derive(Debug)]
pub struct Signatures(Signature);

/// Decoded signatures and the pairs beside them.
pub type SignaturesAndPairs = (Vec<Vec<u8>>, Vec<(String, String)>);

impl Signatures {
    /// Reads `signature = { … }`; returns `None` if anything in it is wrong.
    pub fn read(toml: &str) -> Option<Self> {
        let document = DeTable::parse(toml).ok()?;
        let mistakes = Mistakes::new("", toml);
        let signature = Table::new(&mistakes, "", 0, document.get_ref()).table("signature")?;
        Signature::read(signature).filter(|_| mistakes.errors() == 0).map(Self)
    }

    /// Parses the signatures in the value of a header field.
    pub fn parse(&self, text: &str) -> Result<SignaturesAndPairs, Rejection> {
        self.0.parse(text).map(|Given { signatures, pairs }| (signatures, pairs))
    }
}

/// Encryption of a preset's events, with its keys.
#[derive(Debug)]
pub struct Encryption {
    decrypt: Decrypt,
    secret: Secret,
}

impl Encryption {
    /// Loads the encryption of a preset; returns `None` if the preset has none or does not take the
    /// parameters.
    pub fn of(preset: &str, secret: Secret, params: &[(&str, &str)]) -> Option<Self> {
        let mut decrypt = Preset::load(preset).ok()?.scheme.decrypt?;
        let params: Params =
            params.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        decrypt.take(&params).ok()?;
        Some(Self { decrypt, secret })
    }

    /// Encrypts an event, and returns base64. The request `around` holds the nonce and the additional data,
    /// if the cipher has them.
    pub fn seal(&self, event: &[u8], around: &Request, salt: Salt) -> Option<String> {
        self.decrypt.seal(event, Some(&View::of(around, None)), Some(&self.secret), salt)
    }

    /// Decrypts the event of a verified request.
    pub fn open(&self, request: &Request) -> Result<Option<Vec<u8>>, Rejection> {
        self.decrypt.open(&self.decrypt.ciphertext, &View::of(request, None), Some(&self.secret))
    }
}

/// Unpacks a gzip or a zlib stream to at most `limit` bytes. `Err(true)` says that the content has more.
pub fn inflated(stream: &[u8], is_gzip: bool, limit: usize) -> Result<Vec<u8>, bool> {
    let unpack = if is_gzip { gunzip } else { unzlib };
    unpack(stream, limit).map_err(|error| error == InflateError::TooLarge)
}

/// Returns whether a pattern matches a name as it is, and whether it does in any case; `None` if the text is not
/// a pattern.
pub fn matched(pattern: &str, name: &str) -> Option<(bool, bool)> {
    let pattern = Pattern::parse(pattern)?;
    Some((pattern.matches(name), pattern.matches_any_case(name)))
}

/// Replaces the body of a request by the content that its sender signs, as the keys of a `[verify]` table say.
/// `None` if anything in the table is wrong.
pub fn decoded(toml: &str, mut request: Request, limit: usize) -> Option<Result<Request, Rejection>> {
    let document = DeTable::parse(toml).ok()?;
    let mistakes = Mistakes::new("", toml);
    let decode = Decode::read(&Table::new(&mistakes, "", 0, document.get_ref()));
    let applied = decode.apply(&mut request, limit);
    (mistakes.errors() == 0).then(|| applied.map(|()| request))
}

/// Spells a field as a `[verify]` table may write it; `None` if the text does not name a field.
pub fn spelled(field: &str) -> Option<String> {
    Field::parse(field).ok().map(|field| field.to_string())
}
