//! What the tests of sources share.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::{Random, Timestamp};
use hookmq_shared::delivery::Delivery;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{BuildError, Draft, Fetched, Rejection, Settings, Source, Verdict};
use serde_json::Value;
use toml::de::DeTable;

/// The time at which all vectors are checked.
pub const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);

/// A vector file.
pub fn load(file: &str) -> Value {
    let path = format!("{}/tests/vectors/webhooks/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A request with the header fields of a vector.
pub fn request(method: &str, headers: &Value, body: Vec<u8>) -> Request {
    let pair = |h: &Value| (h[0].as_str().unwrap().to_owned(), h[1].as_str().unwrap().to_owned());
    Request {
        method: method.to_owned(),
        path: "/hook".to_owned(),
        raw_query: String::new(),
        headers: headers.as_array().unwrap().iter().map(pair).collect(),
        body: body.into(),
        request_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        received: tokio::time::Instant::now(),
        source_ip: None,
        deadline: None,
    }
}

/// The request and the settings of a vector; its `url` is the hook's.
pub fn of_case(case: &Value) -> (Request, Settings) {
    let body = STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
    let mut request = request(case["method"].as_str().unwrap(), &case["headers"], body);
    let url = case["url"].as_str().map(str::to_owned);
    request.raw_query = query(url.as_deref().unwrap_or_default());
    if let Some(uri) = url.as_ref().and_then(|url| url.parse::<http::Uri>().ok()) {
        uri.path().clone_into(&mut request.path);
    }
    let params = case["provider"].as_str().map(params_of_vectors).unwrap_or_default();
    (request, Settings { url, params, ..settings(&case["secrets"]) })
}

fn params(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a provider's vectors need beside secrets: it stands in their notes.
pub fn params_of_vectors(provider: &str) -> BTreeMap<String, String> {
    match provider {
        "wecom" => params(&[("aes_key", AES_KEY), ("receiver", "wx5823bf96d3bd56c7")]),
        "dingtalk" => params(&[
            ("aes_key", "Yue0EfdN5F900c1ce5cf6A152c63DDe1808a60c5ecd"),
            ("receiver", "ding6ccabc44d2c8d38b"),
        ]),
        "wechat_pay_v3" => params(&[("apiv3_key", APIV3_KEY)]),
        "wechat_mp_secure" => params(&[("aes_key", AES_KEY), ("receiver", "wx1234567890abcdef")]),
        _ => BTreeMap::new(),
    }
}

const APIV3_KEY: &str = "0123456789abcdef0123456789abcdef";
const AES_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

/// A delivery of the preset's sample.
pub fn sample(preset: &str) -> (Source, Delivery) {
    let (verifier, signer) = pair(preset);
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    match verifier.check("shop", request, NOW) {
        Verdict::Verified(delivery) => (verifier, *delivery),
        other => panic!("{other:?}"),
    }
}

/// What stands behind the `?` of an address.
pub fn query(url: &str) -> String {
    url.split_once('?').map_or("", |(_, query)| query).to_owned()
}

/// Settings with the secrets of a vector.
pub fn settings(secrets: &Value) -> Settings {
    let secret = |s: &Value| Secret::new(s.as_str().unwrap());
    Settings { secrets: secrets.as_array().unwrap().iter().map(secret).collect(), ..Settings::default() }
}

/// A source of a `[verify]` table that is sound.
pub fn custom(text: &str, settings: Settings) -> Result<Source, Vec<BuildError>> {
    let mistakes = Mistakes::new("hooks.toml", text);
    let document = DeTable::parse(text).unwrap();
    let source = Source::custom(Table::new(&mistakes, "verify", 0, document.get_ref()), settings);
    let found = mistakes.into_sorted();
    assert!(found.is_empty(), "{found:?}");
    source
}

/// Random bits that differ from call to call and not from run to run.
pub fn random() -> Random {
    let next = AtomicU64::new(1);
    Random::from_fn(move || next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).rotate_left(17))
}

/// A private key in PKCS #8, made for these tests.
pub const P256_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7j9U6SqNlvqPdIJrdcQ4e7MDm0YwHvRkCirtzAFgrPWhRANCAATX5KqiorFQqRO4Dhu/3qhvdkWCRDDLpbAZpWF3AsPf0uHolDsNkxWkFdE1fa7+vepJ2jxciyQEcliGwnzOkdIa";

/// A private key made for these tests.
pub const RSA_KEY: &str = include_str!("../vectors/keys/rsa.pem");

/// Parameters that the preset cannot do without.
pub fn params_for(preset: &str) -> BTreeMap<String, String> {
    params(match preset {
        "alipay-notify" => &[("app_id", "2021001")],
        "aws-sns" => &[("topic", "arn:aws:sns:us-west-2:123456789012:MyTopic")],
        "google-pubsub" => {
            &[("audience", "https://example.com"), ("email", "gae-gcp@appspot.gserviceaccount.com")]
        }
        "huawei-smn" => &[("topic", "urn:smn:eu-de:0a419ac94f80f2c62f14c01e34:test")],
        "monday" => &[("audience", "https://www.yourserver.com/endpoint")],
        "paypal" => &[("webhook_id", "1JE4291016473214C")],
        "dingtalk" | "wechat-mp-secure" | "wecom" => &[("aes_key", AES_KEY), ("receiver", "corp-1")],
        "wechat-pay-v3" => &[("key_id", "PUB_KEY_ID_0114232134912410000000000000"), ("apiv3_key", APIV3_KEY)],
        "twilio-sharedkey-sha256" => &[("key_id", "webhooks_sharedkey_1")],
        _ => &[],
    })
}

/// A secret that the preset takes: for public keys, a private key or its seed.
pub fn secret_for(preset: &str) -> &'static str {
    match preset {
        "adyen-header" | "adyen-payments-item" => {
            "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
        }
        "alipay-notify" | "aliyun-mns" | "aws-sns" | "google-pubsub" | "huawei-smn" | "paypal"
        | "wechat-pay-v3" => RSA_KEY,
        "basic" => "user:correct horse battery",
        "discord" => "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "sendgrid" => P256_KEY,
        "standard-webhooks-ed25519" => "whpk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
        "supabase" => "v1,whsec_6KmH+XtgmFGnfhDW1IE47w5Rj0a58doRRboYOtAvk1M=",
        "telnyx" => "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
        // A key of Standard Webhooks, and a text as good as any for the others.
        _ => "whsec_6KmH+XtgmFGnfhDW1IE47w5Rj0a58doRRboYOtAvk1M=",
    }
}

/// A preset and its counterpart that signs: the same one, but for public keys.
pub fn pair(preset: &str) -> (Source, Source) {
    let with = |secret: &str| {
        let secrets = if preset == "none" { Vec::new() } else { vec![Secret::new(secret)] };
        let url = Some("https://example.com/hook".to_owned());
        Source::preset(preset, Settings { secrets, url, params: params_for(preset) }).unwrap()
    };
    let signer = with(secret_for(preset));
    let verifier = signer.public_key(0).map_or_else(|| signer.clone(), |key| with(&key));
    (verifier, signer)
}

/// The answer to what must be a handshake.
pub fn handshake(source: &Source, request: Request) -> Response {
    match source.check("h", request, NOW) {
        Verdict::Handshake(response) => response,
        other => panic!("{other:?}"),
    }
}

/// Why a request is refused, which it must be.
pub fn rejection(source: &Source, request: Request) -> Rejection {
    match source.check("h", request, NOW) {
        Verdict::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

/// A request with this body, signed.
pub fn sign(source: &Source, body: &str) -> Request {
    let draft = Draft { body: Some(body.to_owned().into()), ..Draft::default() };
    source.sign(draft, 0, NOW, &random()).unwrap()
}

/// What becomes of a request when each address that is asked for has this document.
pub fn check_with(source: &Source, request: Request, now: Timestamp, document: Option<&[u8]>) -> Verdict {
    let (mut request, mut fetched) = (request, Vec::<Fetched>::new());
    loop {
        let verdict = source.check_with("h", request, now, &fetched);
        let (Verdict::Fetch(address, again), Some(document)) = (&verdict, document) else { return verdict };
        // Asked for again, it has nothing else.
        let is_latest = fetched.iter().any(|known| known.address == *address);
        fetched.retain(|known| known.address != *address);
        let document = Some(bytes::Bytes::copy_from_slice(document));
        fetched.push(Fetched { address: address.clone(), document, is_latest });
        request = (**again).clone();
    }
}
