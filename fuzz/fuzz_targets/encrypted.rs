//! Fuzz target for encrypted events. The first bytes choose a preset, a salt and a change; the rest is used
//! as an event, as the content of a ciphertext, and as a body.
#![no_main]

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::Rejection;
use hookmq_shared::source::fuzzing::{Encryption, read};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// SHA-256 hash of [`SECRET`].
const SECRET_HASH: [u8; 32] =
    *b"\x3e\xb1\xbd\x43\x99\x47\xeb\x76\x29\x98\xe5\x66\xcc\xc2\xe0\x99\xc7\x91\x11\x8b\x2f\x40\x57\x9c\xc4\xf7\xda\x2b\x50\x61\xb7\xf9";
const AES_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
const RECEIVER: &str = "corp-1";

/// Encryption scheme of a vendor, as its documents describe it.
struct Vendor {
    preset: &'static str,
    /// Field of the ciphertext; `around` is the text before and after it.
    field: &'static str,
    around: [&'static str; 2],
    cipher: Cipher,
}

#[derive(Clone, Copy)]
enum Cipher {
    /// CBC with the vector in front of the ciphertext, which contains only the event.
    Prefixed,
    /// CBC with the start of the key as the vector; the event is in a frame with the receiver.
    Framed,
    /// GCM with the salt as the nonce.
    Gcm,
}

const XML: [&str; 2] = ["<xml><Encrypt><![CDATA[", "]]></Encrypt></xml>"];
const JSON: [&str; 2] = [r#"{"encrypt":""#, r#""}"#];
const RESOURCE: [&str; 2] = [r#"{"resource":{"ciphertext":""#, r#""}}"#];
const VENDORS: [Vendor; 5] = [
    Vendor { preset: "feishu", field: "json:encrypt", around: JSON, cipher: Cipher::Prefixed },
    Vendor { preset: "dingtalk", field: "json:encrypt", around: JSON, cipher: Cipher::Framed },
    Vendor { preset: "wecom", field: "xml:Encrypt", around: XML, cipher: Cipher::Framed },
    Vendor { preset: "wechat-mp-secure", field: "xml:Encrypt", around: XML, cipher: Cipher::Framed },
    Vendor {
        preset: "wechat-pay-v3",
        field: "json:resource.ciphertext",
        around: RESOURCE,
        cipher: Cipher::Gcm,
    },
];

thread_local! {
    static KEYS: [Encryption; 5] = VENDORS.map(|vendor| {
        let params = [("aes_key", AES_KEY), ("receiver", RECEIVER), ("apiv3_key", SECRET)];
        Encryption::of(vendor.preset, Secret::new(SECRET), &params).expect(vendor.preset)
    });
}

impl Vendor {
    /// Builds a request with this ciphertext; only with GCM it has a nonce and additional authenticated data.
    fn request(&self, ciphertext: &str, nonce: &str, data: &str) -> Request {
        let [before, after] = self.around;
        let after = match self.cipher {
            Cipher::Gcm => format!(r#"","nonce":"{nonce}","associated_data":"{data}"#) + after,
            _ => after.to_owned(),
        };
        request(format!("{before}{ciphertext}{after}").into())
    }

    /// Returns the key, the initialization vector, and the blocks to decrypt.
    fn keys<'t>(&self, text: &'t [u8]) -> Option<(&[u8; 32], [u8; 16], &'t [u8])> {
        match self.cipher {
            Cipher::Prefixed => text.split_first_chunk().map(|(iv, text)| (&SECRET_HASH, *iv, text)),
            _ => {
                let key: &[u8; 32] = SECRET.as_bytes().try_into().expect("it has 32 bytes");
                Some((key, *key.first_chunk().expect("it has 32 bytes"), text))
            }
        }
    }

    /// Extracts the event from a decrypted text.
    fn event<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let count = *text.last()?;
        let most = if let Cipher::Framed = self.cipher { 32 } else { 16 };
        let (text, padding) = text.split_at_checked(text.len().checked_sub(count.into())?)?;
        if !(1..=most).contains(&count) || padding.iter().any(|byte| *byte != count) {
            return None;
        }
        let Cipher::Framed = self.cipher else { return Some(text) };
        let (length, text) = text.get(16..)?.split_at_checked(4)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (event, receiver) = text.split_at_checked(length)?;
        (receiver == RECEIVER.as_bytes()).then_some(event)
    }
}

fn request(body: Vec<u8>) -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query: String::new(),
        headers: Headers::new(),
        body: body.into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    }
}

/// Decrypts a text of whole blocks; `None` if the last block is incomplete.
fn decrypted(vendor: &Vendor, text: &[u8]) -> Option<Vec<u8>> {
    let (key, iv, text) = vendor.keys(text)?;
    let mut cipher = cbc::Decryptor::<Aes256>::new(key.into(), &iv.into());
    let mut text = text.to_vec();
    if text.len() % 16 > 0 {
        return None;
    }
    text.chunks_exact_mut(16).for_each(|block| cipher.decrypt_block_mut(block.into()));
    Some(text)
}

/// Encrypts the whole blocks of a text and drops the rest.
fn encrypted(vendor: &Vendor, salt: [u8; 16], text: &[u8]) -> Vec<u8> {
    let (key, iv, _) = vendor.keys(&salt).expect("the salt is a vector");
    let mut cipher = cbc::Encryptor::<Aes256>::new(key.into(), &iv.into());
    let mut text = text[..text.len() - text.len() % 16].to_vec();
    text.chunks_exact_mut(16).for_each(|block| cipher.encrypt_block_mut(block.into()));
    if let Cipher::Prefixed = vendor.cipher { [&salt, &text[..]].concat() } else { text }
}

/// Decrypts a request; `None` for the only rejection that is allowed.
fn opened(keys: &Encryption, request: &Request) -> Option<Vec<u8>> {
    match keys.open(request) {
        Ok(event) => Some(event.expect("there is a ciphertext")),
        Err(Rejection::Undecryptable) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Changes a byte of the text, or cuts it at that byte.
fn change(text: &mut Vec<u8>, [at, by]: [u8; 2]) {
    let at = usize::from(at) % text.len();
    if by == 0 { text.truncate(at) } else { text[at] ^= by }
}

fn check(vendor: &Vendor, keys: &Encryption, salt: [u8; 16], by: [u8; 2], data: &[u8]) {
    let nonce: String = salt.iter().take(12).map(|byte| char::from(b'a' + byte % 26)).collect();
    let with = |text: &[u8]| vendor.request(&STANDARD.encode(text), &nonce, "data");

    // An encrypted event decrypts to the same event.
    let around = vendor.request("", &nonce, "data");
    let sealed = keys.seal(data, &around, salt).expect("there are keys");
    assert_eq!(opened(keys, &vendor.request(&sealed, &nonce, "data")).as_deref(), Some(data));

    // A changed ciphertext gives what the vendor's documents say; with a tag it is always rejected.
    let mut changed = STANDARD.decode(&sealed).expect("it is base64");
    change(&mut changed, by);
    // An empty field counts as a missing one.
    if !changed.is_empty() {
        let found = opened(keys, &with(&changed));
        if let Cipher::Gcm = vendor.cipher {
            assert_eq!(found, None);
            for (nonce, data) in
                [("A", "data"), (&*nonce.to_uppercase(), "data"), (&nonce, "date"), (&nonce, "")]
            {
                assert_eq!(opened(keys, &vendor.request(&sealed, nonce, data)), None);
            }
        } else {
            let text = decrypted(vendor, &changed);
            assert_eq!(found.as_deref(), text.as_ref().and_then(|text| vendor.event(text)));
        }
    }

    // The content of any ciphertext is found, as the vendor's documents say.
    let text = encrypted(vendor, salt, data);
    if !text.is_empty() && !matches!(vendor.cipher, Cipher::Gcm) {
        let blocks = &data[..data.len() - data.len() % 16];
        assert_eq!(opened(keys, &with(&text)).as_deref(), vendor.event(blocks));
    }

    // Any body is an event, or it is rejected as a ciphertext or for its field. WeCom's bots post JSON.
    let body = request(data.to_vec());
    let other = (vendor.preset == "wecom").then(|| read("json:encrypt", &body)).flatten();
    match (read(vendor.field, &body), keys.open(&body)) {
        (Some(Ok(_)), Ok(Some(_)) | Err(Rejection::Undecryptable)) => {}
        (Some(Err(_)), Ok(Some(_)) | Err(Rejection::Undecryptable)) if matches!(other, Some(Ok(_))) => {}
        (Some(Err(_)), Ok(None) | Err(Rejection::Missing(_) | Rejection::Ambiguous(_))) => {}
        (place, found) => panic!("{place:?}, but {found:?}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([which, at, by, salt @ ..], data)) = data.split_first_chunk::<19>() else { return };
    let which = usize::from(*which) % VENDORS.len();
    KEYS.with(|keys| check(&VENDORS[which], &keys[which], *salt, [*at, *by], data));
});
