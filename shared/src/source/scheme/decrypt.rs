//! Encrypted events. They are decrypted only after verification, and all failures give one and the same
//! rejection, so that a sender cannot learn what is wrong with a ciphertext.
//!
//! ```toml
//! decrypt = { alg = "aes-256-cbc", key = "sha256(secret)", iv = "prefix", pad = 16, ciphertext = "json:encrypt" }
//! decrypt = { alg = "aes-256-cbc", key = "base64(aes_key)", iv = "key", pad = 32, frame = "wechat", ciphertext = "xml:Encrypt" }
//! decrypt = { alg = "aes-256-gcm", key = "utf8(apiv3_key)", ciphertext = "json:r.ciphertext", nonce = "json:r.nonce", aad = "json:r.associated_data" }
//! ```
//!
//! The key is derived from the secret that matched, or from the parameter in the brackets. The frame `wechat`
//! is 16 random bytes, the message's length, the message and the receiver, which must equal the parameter
//! `receiver`. With `optional = true` a request without ciphertext is accepted as it is.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use subtle::{ConstantTimeEq as _, ConstantTimeGreater as _};

use crate::reader::Table;
use crate::secret::Secret;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::kinds::KeyError;
use crate::source::scheme::words;
use crate::source::{Param, Params, Rejection};

/// Decryption of a source's events, as the key `decrypt` configures it.
#[derive(Clone, Debug)]
pub(crate) struct Decrypt {
    cipher: Cipher,
    key: Key,
    /// Place of the ciphertext, which is base64.
    pub(crate) ciphertext: Field,
    /// True if a request without ciphertext is an event too.
    pub(crate) optional: bool,
}

#[derive(Clone, Debug)]
enum Cipher {
    Cbc {
        iv: Iv,
        /// Block size of the PKCS #7 padding, in bytes: 16 or 32.
        pad: u8,
        frame: Frame,
    },
    /// AES-256-GCM; the tag is the end of the ciphertext.
    Gcm { nonce: Field, aad: Option<Field> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Iv {
    /// The first 16 bytes of the ciphertext.
    Prefix,
    /// The first 16 bytes of the key.
    Key,
}

#[derive(Clone, Debug)]
enum Frame {
    Plain,
    /// `WeChat`'s frame, with the receiver once the parameter is known.
    Wechat(Option<Secret>),
}

#[derive(Clone, Debug)]
enum Key {
    /// SHA-256 of the secret that matched.
    OfSecret,
    /// A parameter, as text or as base64, and the key once the parameter is known.
    Param { name: String, is_base64: bool, key: Option<Secret> },
}

/// Bytes that make each ciphertext differ: initialization vector, nonce, or random bytes of the frame.
pub(crate) type Salt = [u8; 16];

const BLOCK: usize = 16;
const KEY_LENGTH: usize = 32;
const RECEIVER: &str = "receiver";

/// Base64 decoder for keys: consoles show `WeChat`'s 43 characters without padding, and the last bits may be
/// set.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Decrypt {
    /// Reads the key `decrypt` of a `[verify]` table.
    pub(crate) fn read(table: Table<'_>) -> Option<Self> {
        let is_gcm = words::one_of(&table, "alg", &[("aes-256-cbc", false), ("aes-256-gcm", true)]);
        let key = Key::read(&table);
        let ciphertext = words::field(&table, "ciphertext", "\"json:encrypt\"");
        let optional = table.bool("optional").is_some_and(|at| at.value);
        let cipher = match is_gcm {
            Some(true) => {
                let nonce = words::field(&table, "nonce", "\"json:resource.nonce\"");
                let aad = table.has("aad").then(|| words::field(&table, "aad", "\"json:resource.aad\""));
                nonce
                    .zip(aad.map_or(Some(None), |aad| aad.map(Some)))
                    .map(|(nonce, aad)| Cipher::Gcm { nonce, aad })
            }
            Some(false) => Self::read_cbc(&table),
            None => None,
        };
        if is_gcm.is_some() {
            table.finish();
        }
        Some(Self { cipher: cipher?, key: key?, ciphertext: ciphertext?, optional })
    }

    fn read_cbc(table: &Table<'_>) -> Option<Cipher> {
        let iv = words::one_of(table, "iv", &[("prefix", Iv::Prefix), ("key", Iv::Key)]);
        let pad = table.number("pad").and_then(|at| u8::try_from(at.value).ok());
        if !matches!(pad, Some(16 | 32)) {
            table.error("pad", "missing or not a block size: write pad = 16, or 32");
        }
        let words = [("plain", false), ("wechat", true)];
        let is_framed = if table.has("frame") { words::one_of(table, "frame", &words) } else { Some(false) };
        let frame = is_framed.map(|is_framed| if is_framed { Frame::Wechat(None) } else { Frame::Plain });
        Some(Cipher::Cbc { iv: iv?, pad: pad?, frame: frame? })
    }

    /// Returns the fields that decryption reads: the ciphertext, the nonce and the additional data.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        let (nonce, aad) = match &self.cipher {
            Cipher::Gcm { nonce, aad } => (Some(nonce), aad.as_ref()),
            Cipher::Cbc { .. } => (None, None),
        };
        std::iter::once(&self.ciphertext).chain(nonce).chain(aad)
    }

    /// Returns the field that a sender fills with a nonce, if the cipher has one.
    #[cfg(feature = "sender")]
    pub(crate) const fn nonce(&self) -> Option<&Field> {
        match &self.cipher {
            Cipher::Gcm { nonce, .. } => Some(nonce),
            Cipher::Cbc { .. } => None,
        }
    }

    /// Returns true if replies can be encrypted too, which needs `WeChat`'s frame.
    pub(crate) const fn is_framed(&self) -> bool {
        matches!(self.cipher, Cipher::Cbc { frame: Frame::Wechat(_), .. })
    }

    /// Returns the parameters that decryption needs.
    pub(crate) fn params(&self) -> Vec<Param> {
        let key = match &self.key {
            Key::OfSecret => None,
            Key::Param { name, .. } => Some((name.as_str(), true, "the key that events are encrypted with")),
        };
        let receiver =
            self.is_framed().then_some((RECEIVER, false, "the receiver that events are encrypted for"));
        let param = |(name, secret, about): (&str, _, &str)| Param {
            name: name.to_owned(),
            required: true,
            may_be_empty: name == "receiver",
            secret,
            about: about.to_owned(),
        };
        key.into_iter().chain(receiver).map(param).collect()
    }

    /// Sets the key and the receiver from the given parameters. The error names the parameter that is wrong.
    pub(crate) fn take(&mut self, params: &Params) -> Result<(), (String, KeyError)> {
        if let Cipher::Cbc { frame: Frame::Wechat(receiver), .. } = &mut self.cipher {
            *receiver = params.get(RECEIVER).cloned();
        }
        let Key::Param { name, is_base64, key } = &mut self.key else { return Ok(()) };
        let Some(text) = params.get(name.as_str()) else { return Ok(()) };
        let bytes = if *is_base64 {
            KEY_BASE64.decode(text.expose()).map(Secret::new).ok()
        } else {
            Some(text.clone())
        };
        match bytes.filter(|bytes| bytes.expose().len() == KEY_LENGTH) {
            Some(bytes) => *key = Some(bytes),
            None if *is_base64 => {
                return Err((name.clone(), "is not a key: write 43 characters of base64".into()));
            }
            None => return Err((name.clone(), format!("is not a key: write {KEY_LENGTH} characters"))),
        }
        Ok(())
    }

    /// Decrypts the event with the `secret` that matched. Returns `None` if the ciphertext is absent and
    /// optional.
    pub(crate) fn open(
        &self,
        ciphertext: &Field,
        view: &View<'_>,
        secret: Option<&Secret>,
    ) -> Result<Option<Vec<u8>>, Rejection> {
        let Some(text) = ciphertext.read_optional(view)? else {
            let missing = Rejection::Missing(ciphertext.to_string());
            return if self.optional { Ok(None) } else { Err(missing) };
        };
        let bytes = STANDARD.decode(text).ok();
        bytes.and_then(|bytes| self.opened(bytes, view, secret)).map(Some).ok_or(Rejection::Undecryptable)
    }

    fn opened(&self, mut text: Vec<u8>, view: &View<'_>, secret: Option<&Secret>) -> Option<Vec<u8>> {
        let key = self.key.bytes(secret)?;
        match &self.cipher {
            Cipher::Cbc { iv, pad, frame } => {
                let (iv, body) = match iv {
                    Iv::Key => (key.expose().get(..BLOCK)?.to_vec(), text),
                    Iv::Prefix => {
                        let body = text.split_off(text.len().min(BLOCK));
                        (text, body)
                    }
                };
                unframe(cbc_open(key.expose(), &iv, body, *pad)?, frame)
            }
            Cipher::Gcm { nonce, aad } => {
                let (nonce, aad) = gcm_inputs(nonce, aad.as_ref(), view)?;
                let opened = gcm_key(&key)?.open_in_place(nonce, aad, &mut text).ok()?.len();
                text.truncate(opened);
                Some(text)
            }
        }
    }

    /// Encrypts an event as the sender does. Returns the ciphertext as base64, or `None` without a key.
    pub(crate) fn seal(
        &self,
        event: &[u8],
        view: Option<&View<'_>>,
        secret: Option<&Secret>,
        salt: Salt,
    ) -> Option<String> {
        let key = self.key.bytes(secret)?;
        let sealed = match &self.cipher {
            Cipher::Cbc { iv, pad, frame } => {
                let framed = match frame {
                    Frame::Plain => event.to_vec(),
                    Frame::Wechat(receiver) => {
                        let length = u32::try_from(event.len()).ok()?.to_be_bytes();
                        [&salt, &length[..], event, receiver.as_ref()?.expose()].concat()
                    }
                };
                match iv {
                    Iv::Key => cbc_seal(key.expose(), key.expose().get(..BLOCK)?, framed, *pad)?,
                    Iv::Prefix => [&salt[..], &cbc_seal(key.expose(), &salt, framed, *pad)?].concat(),
                }
            }
            Cipher::Gcm { nonce, aad } => {
                let (nonce, aad) = gcm_inputs(nonce, aad.as_ref(), view?)?;
                let mut text = event.to_vec();
                gcm_key(&key)?.seal_in_place_append_tag(nonce, aad, &mut text).ok()?;
                text
            }
        };
        Some(STANDARD.encode(sealed))
    }

    /// Derives bytes that only a holder of the key can predict. Equal contexts give equal bytes.
    pub(crate) fn derive(&self, secret: Option<&Secret>, context: &[u8]) -> Option<Salt> {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.key.bytes(secret)?.expose());
        ring::hmac::sign(&key, context).as_ref().first_chunk().copied()
    }
}

impl Key {
    fn read(table: &Table<'_>) -> Option<Self> {
        let text = words::text(table, "key", "\"sha256(secret)\" or \"base64(aes_key)\"")?;
        let (form, name) = text.strip_suffix(')').and_then(|t| t.split_once('(')).unwrap_or_default();
        let is_param = name != "secret" && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let param = |is_base64| Self::Param { name: name.to_owned(), is_base64, key: None };
        match form {
            "sha256" if name == "secret" => Some(Self::OfSecret),
            "base64" if is_param && !name.is_empty() => Some(param(true)),
            "utf8" if is_param && !name.is_empty() => Some(param(false)),
            _ => {
                let known = r#""sha256(secret)", "base64(PARAM)" or "utf8(PARAM)""#;
                table.error("key", format!("{text:?} is unknown: write {known}"));
                None
            }
        }
    }

    fn bytes(&self, secret: Option<&Secret>) -> Option<Secret> {
        match self {
            Self::OfSecret => Some(Secret::new(digest(&SHA256, secret?.expose()).as_ref())),
            Self::Param { key, .. } => key.clone(),
        }
    }
}

/// Guesses the media type of the decrypted bytes, as senders give none.
pub(crate) fn media_type(event: &[u8]) -> &'static str {
    match event.trim_ascii_start().first() {
        Some(b'<') => "text/xml",
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain",
    }
}

pub(crate) fn is_xml(event: &[u8]) -> bool {
    media_type(event) == "text/xml"
}

fn cbc_open(key: &[u8], iv: &[u8], mut text: Vec<u8>, pad: u8) -> Option<Vec<u8>> {
    let mut cipher = cbc::Decryptor::<Aes256>::new_from_slices(key, iv).ok()?;
    if !text.len().is_multiple_of(BLOCK) {
        return None;
    }
    text.chunks_exact_mut(BLOCK).for_each(|block| cipher.decrypt_block_mut(block.into()));
    let length = unpadded(&text, pad)?;
    text.truncate(length);
    Some(text)
}

fn cbc_seal(key: &[u8], iv: &[u8], mut text: Vec<u8>, pad: u8) -> Option<Vec<u8>> {
    let mut cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, iv).ok()?;
    let missing = pad - u8::try_from(text.len() % usize::from(pad)).ok()?;
    text.resize(text.len() + usize::from(missing), missing);
    text.chunks_exact_mut(BLOCK).for_each(|block| cipher.encrypt_block_mut(block.into()));
    Some(text)
}

/// Returns the length without PKCS #7 padding, in constant time: timing does not reveal the wrong byte.
fn unpadded(text: &[u8], pad: u8) -> Option<usize> {
    let count = *text.last()?;
    let mut right = !count.ct_eq(&0) & !count.ct_gt(&pad);
    for (position, byte) in (0..pad).zip(text.iter().rev()) {
        right &= !count.ct_gt(&position) | byte.ct_eq(&count);
    }
    if right.into() { text.len().checked_sub(usize::from(count)) } else { None }
}

fn unframe(text: Vec<u8>, frame: &Frame) -> Option<Vec<u8>> {
    let Frame::Wechat(receiver) = frame else { return Some(text) };
    let (length, rest) = text.get(BLOCK..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (message, id) = rest.split_at_checked(length)?;
    bool::from(id.ct_eq(receiver.as_ref()?.expose())).then(|| message.to_vec())
}

fn gcm_key(key: &Secret) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key.expose()).ok().map(LessSafeKey::new)
}

fn gcm_inputs(nonce: &Field, aad: Option<&Field>, view: &View<'_>) -> Option<(Nonce, Aad<Vec<u8>>)> {
    let nonce = Nonce::try_assume_unique_for_key(&nonce.read(view).ok()?).ok()?;
    let aad = aad.map_or(Ok(None), |field| field.read_optional(view)).ok()?;
    Some((nonce, Aad::from(aad.unwrap_or_default().into_owned())))
}

#[cfg(test)]
#[path = "decrypt_tests.rs"]
mod tests;
