//! Keys, hashes and encodings that the schemes are made of.

pub(crate) mod der;
pub(crate) mod encoding;
pub(crate) mod hash;
pub(crate) mod key;
pub(crate) mod p256;
