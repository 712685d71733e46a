//! Test data for each preset: secrets of its form, from its own data, and parameters, from its vectors. With
//! them, the tests of every preset hold for a new preset without a change.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Settings, Source, preset_info};
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::load;

/// A P-256 private key in PKCS #8, made for these tests.
pub const P256_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7j9U6SqNlvqPdIJrdcQ4e7MDm0YwHvRkCirtzAFgrPWhRANCAATX5KqiorFQqRO4Dhu/3qhvdkWCRDDLpbAZpWF3AsPf0uHolDsNkxWkFdE1fa7+vepJ2jxciyQEcliGwnzOkdIa";

/// An RSA private key in PEM, made for these tests.
pub const RSA_KEY: &str = include_str!("../../vectors/keys/rsa.pem");

/// Seeds of tests 1 and 2 of RFC 8032, 7.1, also used as any other 32 bytes.
const KEYS: [[u8; 32]; 2] = [
    bytes(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
    bytes(b"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
];

const fn bytes(text: &[u8; 64]) -> [u8; 32] {
    const fn digit(letter: u8) -> u8 {
        if letter <= b'9' { letter - b'0' } else { letter - b'a' + 10 }
    }
    let mut bytes = [0; 32];
    let mut i = 0;
    while i < 32 {
        bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    bytes
}

/// Returns the name of a preset's vector file, without extension.
pub fn file_of(preset: &str) -> String {
    preset.replace('-', "_")
}

/// Returns the preset's `[verify]` table, as JSON.
pub fn verify(preset: &str) -> Value {
    let document = DeTable::parse(preset_info(preset).unwrap().data).unwrap();
    to_json(document.get_ref()["verify"].get_ref())
}

/// Returns the preset's data that a hook's own `[verify]` table may hold too, as one such table in JSON.
pub fn whole(preset: &str) -> Value {
    let document = DeTable::parse(preset_info(preset).unwrap().data).unwrap();
    let mut table = verify(preset);
    for key in ["ack", "delivers_by_get", "handshake", "methods"] {
        if let Some(value) = document.get_ref().get(key) {
            table[key] = to_json(value.get_ref());
        }
    }
    table
}

/// Writes a value as TOML, on one line.
pub fn toml(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| format!("{} = {}", json!(key), toml(value));
            format!("{{ {} }}", list(map.iter().map(pair).collect()))
        }
        Value::Array(items) => format!("[{}]", list(items.iter().map(toml).collect())),
        // JSON strings and integers are also valid in TOML.
        other => other.to_string(),
    }
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect()
        }
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::String(text) => json!(text),
        DeValue::Boolean(is_on) => json!(is_on),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().unwrap()),
        other => json!(format!("{other:?}")),
    }
}

/// Returns true if the preset signs or compares a part of the body, so that not every body can be signed.
pub fn reads_body(preset: &str) -> bool {
    let mut table = verify(preset);
    for naming in ["id", "event", "subject"] {
        table.as_object_mut().unwrap().remove(naming);
    }
    // The ciphertext does not count, because it is made for any body.
    let ciphertext =
        table.as_object_mut().unwrap().remove("decrypt").map(|decrypt| decrypt["ciphertext"].clone());
    let text = table.to_string().replace(ciphertext.as_ref().and_then(Value::as_str).unwrap_or("-"), "");
    ["item:", "json:", "form:", "xml:", "fieldlines:", "named_values:", "\"from\":\"body\""]
        .iter()
        .any(|part| text.contains(part))
}

/// Returns a secret that the preset takes: for public keys, a private key or its seed.
pub fn secret_for(preset: &str) -> String {
    secret(preset, 0)
}

/// Returns a different secret than [`secret_for`].
pub fn other_secret_for(preset: &str) -> String {
    secret(preset, 1)
}

/// Returns one of two secrets of the preset's form.
fn secret(preset: &str, which: usize) -> String {
    let table = verify(preset);
    let key = KEYS[which];
    match (table["kind"].as_str().unwrap(), table["algorithm"].as_str()) {
        ("rsa", _) | ("jwt", Some("RS256")) => {
            [RSA_KEY, include_str!("../../vectors/keys/rsa_other.pem")][which].to_owned()
        }
        ("ecdsa", _) | ("jwt", Some("ES256")) => {
            [P256_KEY, include_str!("../../vectors/keys/p256.pem")][which].to_owned()
        }
        _ => {
            let prefix = table["key"]["strip_prefix"].as_str().unwrap_or_default();
            match table["key"]["encoding"].as_str() {
                Some("base64") => format!("{prefix}{}", STANDARD.encode(key)),
                Some("hex") => hex_text(&key),
                _ if table["prefix"] == "Basic " => format!("user:correct horse battery {which}"),
                _ => format!("correct horse battery staple {which}"),
            }
        }
    }
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Returns a preset's verifier and its signer, which differ only for public keys.
pub fn pair(preset: &str) -> (Source, Source) {
    pair_of(preset, 0)
}

/// Returns a verifier with another secret than [`pair`].
pub fn stranger(preset: &str) -> Source {
    pair_of(preset, 1).0
}

fn pair_of(preset: &str, which: usize) -> (Source, Source) {
    let with = |secret: &str| {
        let secrets = if preset == "none" { Vec::new() } else { vec![Secret::new(secret)] };
        let url = Some("https://example.com/hook".to_owned());
        Source::preset(preset, Settings { secrets, url, params: params_for(preset) }).unwrap()
    };
    let signer = with(&secret(preset, which));
    let verifier = signer.public_key(0).map_or_else(|| signer.clone(), |key| with(&key));
    (verifier, signer)
}

/// Returns the parameters that the preset requires, with the values of its vectors.
pub fn params_for(preset: &str) -> BTreeMap<String, String> {
    params(match preset {
        // The vectors of these presets have the parameters in notes, or not at all.
        "alipay-notify" | "alipay-notify-v2" => &[("app_id", "2021001")],
        "aws-sns" => &[("topic", "arn:aws:sns:us-west-2:123456789012:MyTopic")],
        "google-pubsub" => {
            &[("audience", "https://example.com"), ("email", "gae-gcp@appspot.gserviceaccount.com")]
        }
        "ebay" => &[
            ("api", "api.ebay.com"),
            ("client_id", "ebay-client"),
            ("client_secret", "ebay-client-secret"),
            ("verification_token", "71745723-d031-455c-bfa5-f90d11b4f20a"),
        ],
        "huawei-smn" => &[("topic", "urn:smn:eu-de:0a419ac94f80f2c62f14c01e34:test")],
        "monday" => &[("audience", "https://www.yourserver.com/endpoint")],
        "paypal" => &[("webhook_id", "1JE4291016473214C")],
        "dingtalk" | "wechat-mp-secure" | "wecom" => &[("aes_key", AES_KEY), ("receiver", "corp-1")],
        "wechat-pay-v3" => &[("key_id", "PUB_KEY_ID_0114232134912410000000000000"), ("apiv3_key", APIV3_KEY)],
        "twilio-sharedkey-sha256" => &[("key_id", "webhooks_sharedkey_1")],
        _ if preset_info(preset).unwrap().params.iter().any(|param| param.required) => {
            let given = serde_json::from_value(load(&file_of(preset))["params"].take());
            return given.unwrap_or_else(|_| panic!("{preset}: its vectors have no params"));
        }
        _ => &[],
    })
}

/// Returns the parameters that a provider's vectors need, from their notes.
pub fn params_of_vectors(provider: &str) -> BTreeMap<String, String> {
    match provider {
        "wecom" => params(&[("aes_key", AES_KEY), ("receiver", "wx5823bf96d3bd56c7")]),
        "wecom_bot" => params(&[("aes_key", AES_KEY), ("receiver", "")]),
        "dingtalk" => params(&[
            ("aes_key", "Yue0EfdN5F900c1ce5cf6A152c63DDe1808a60c5ecd"),
            ("receiver", "ding6ccabc44d2c8d38b"),
        ]),
        "wechat_pay_v3" => params(&[("apiv3_key", APIV3_KEY)]),
        "wechat_mp_secure" => params(&[("aes_key", AES_KEY), ("receiver", "wx1234567890abcdef")]),
        "ebay" => params(&[("client_id", "ebay-client"), ("client_secret", "ebay-client-secret")]),
        _ => BTreeMap::new(),
    }
}

const APIV3_KEY: &str = "0123456789abcdef0123456789abcdef";
const AES_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

fn params(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
