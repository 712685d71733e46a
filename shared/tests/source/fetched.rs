//! Tests of fetched documents: each counts only for its own address, and for a limited time.

use hookmq_shared::http::Request;
use hookmq_shared::source::{Address, Draft, Fetched, Source, Verdict};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use crate::kit::source::{NOW, RSA_KEY, custom, random, request, settings};

const OTHER_KEY: &str = include_str!("../vectors/keys/rsa_other.pem");
const P256_KEY: &str = include_str!("../vectors/keys/p256.pem");

fn certificate(key: &str) -> String {
    CertificateParams::new(Vec::new()).unwrap().self_signed(&KeyPair::from_pem(key).unwrap()).unwrap().pem()
}

/// Checks a request; each address gets the first of its documents, and then the second if the first does not
/// help, or none for `None`. Returns the verdict and the addresses that were asked for.
fn check(
    source: &Source,
    request: &Request,
    documents: impl Fn(&Address) -> [Option<String>; 2],
) -> (String, Vec<String>) {
    let (mut request, mut fetched, mut asked) = (request.clone(), Vec::<Fetched>::new(), Vec::new());
    loop {
        let verdict = match source.check_with("h", request, NOW, &fetched) {
            Verdict::Verified(delivery) => format!("verified by {:?}", delivery.verifier),
            Verdict::Rejected(rejection) => rejection.as_str().to_owned(),
            Verdict::Unusable(address) => format!("unusable {}", address.host()),
            Verdict::Fetch(address, again) => {
                asked.push(address.host().to_owned());
                let known = fetched.iter().position(|known| known.address == address);
                let is_latest = known.map(|known| fetched.remove(known)).is_some();
                let document = documents(&address)[usize::from(is_latest)].clone().map(Into::into);
                fetched.push(Fetched { address, document, is_latest, is_unknown: false });
                request = *again;
                continue;
            }
            other => panic!("{other:?}"),
        };
        return (verdict, asked);
    }
}

/// Returns a verifier of the signature in the header field `name`, with the certificate whose address is in
/// the field `name`-cert.
fn by_certificate(name: &str) -> String {
    format!(
        r#"{{ kind = "rsa", hash = "sha256", signed = ["{{body}}"], secrets = [],
            signature = {{ from = "header:{name}", encoding = "base64" }},
            key_source = {{ cert_url = "header:{name}-cert", allow = ["{name}.example.com/*.pem"] }} }}"#
    )
    .replace('\n', " ")
}

fn by_key_set(name: &str) -> String {
    format!(
        r#"{{ kind = "jwt", algorithm = "ES256", from = "header:{name}", secrets = [], jwks = "https://{name}.example.com/keys" }}"#
    )
}

fn several(rule: &str, members: &[String]) -> Source {
    custom(&format!("kind = \"{rule}\"\nverify = [{}]", members.join(", ")), settings(&json!([]))).unwrap()
}

/// Builds a request with a signature by each key in its field.
fn signed(signatures: &[(&str, &str)]) -> Request {
    let mut request = request("POST", &json!([]), b"{}".to_vec());
    for (name, key) in signatures {
        let table = format!(
            "kind = \"rsa\"\nhash = \"sha256\"\nsigned = [\"{{body}}\"]\n\
             signature = {{ from = \"header:{name}\", encoding = \"base64\" }}"
        );
        let signer = custom(&table, settings(&json!([key]))).unwrap();
        let draft = Draft { body: Some("{}".into()), ..Draft::default() };
        let made = signer.sign(draft, 0, NOW, &random()).unwrap();
        request.headers.push(name, made.headers.one(name).unwrap().to_vec());
        request.headers.push(&format!("{name}-cert"), format!("https://{name}.example.com/x.pem"));
    }
    request
}

/// Builds a request with a token in the field, signed with the key, and returns it with the key's document.
fn with_token(name: &str, key: &str) -> (Request, String) {
    let table = format!("kind = \"jwt\"\nalgorithm = \"ES256\"\nfrom = \"header:{name}\"");
    let signer = custom(&table, settings(&json!([key]))).unwrap();
    let pem = signer.public_key(0).unwrap();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).unwrap();
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes);
    let (x, y) = der[der.len() - 64..].split_at(32);
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) }] });
    (signer.sign(Draft::default(), 0, NOW, &random()).unwrap(), keys.to_string())
}

const NO_KEYS: &str = r#"{"keys":[]}"#;

/// A document counts only for the address that it was fetched from: the owner of one key must not pass for
/// the owner of another.
#[test]
fn a_document_is_of_no_use_to_who_asked_for_another_address() {
    let source = several("all", &[by_certificate("one"), by_certificate("two")]);
    let documents = |address: &Address| {
        let key = if address.host() == "one.example.com" { RSA_KEY } else { OTHER_KEY };
        [Some(certificate(key)), Some(certificate(key))]
    };
    let both = check(&source, &signed(&[("one", RSA_KEY), ("two", OTHER_KEY)]), documents);
    assert_eq!(both.0, "verified by None");
    for (one, two) in [(RSA_KEY, RSA_KEY), (OTHER_KEY, OTHER_KEY), (OTHER_KEY, RSA_KEY)] {
        let (verdict, asked) = check(&source, &signed(&[("one", one), ("two", two)]), documents);
        assert_eq!(verdict, "no_match", "{asked:?}");
    }
}

#[test]
fn any_of_several_fetches_for_each_of_them() {
    let source = several("any", &[by_key_set("one"), by_key_set("two"), by_certificate("three")]);
    let (mut request, keys) = with_token("two", P256_KEY);
    // The first field has a token as well, of another sender.
    request.headers.push("one", request.headers.one("two").unwrap().to_vec());
    let of = |one: Option<&str>, two: Option<&str>| {
        let document = |address: &Address| {
            let document = if address.host() == "one.example.com" { one } else { two };
            [document.map(str::to_owned), document.map(str::to_owned)]
        };
        check(&source, &request, document).0
    };
    assert_eq!(of(Some(NO_KEYS), Some(&keys)), "verified by Some(1)");
    assert_eq!(of(Some(&keys), Some(NO_KEYS)), "verified by Some(0)");
    assert_eq!(of(Some(NO_KEYS), Some(NO_KEYS)), "no_verifier");
    // A document that is missing or invalid does not stop the other verifier from accepting, only from
    // rejecting.
    for one in [None, Some("<html>")] {
        assert_eq!(of(one, Some(&keys)), "verified by Some(1)");
        assert_eq!(of(one, Some(NO_KEYS)), "unusable one.example.com");
    }
}

#[test]
fn nothing_is_fetched_where_another_verifier_refuses() {
    let token = r#"{ kind = "network", cidrs = ["203.0.113.0/24"] }"#.to_owned();
    let source = several("all", &[by_certificate("one"), token]);
    let mut request = signed(&[("one", RSA_KEY)]);
    let documents = |_: &Address| [Some(certificate(RSA_KEY)), None];
    request.source_ip = Some("198.51.100.1".parse().unwrap());
    assert_eq!(check(&source, &request, documents), ("pinned".to_owned(), vec![]));
    request.source_ip = Some("203.0.113.1".parse().unwrap());
    assert_eq!(check(&source, &request, documents).0, "verified by None");
}

/// A replaced key is fetched again: a renewed certificate at the same address, or keys without an id.
#[test]
fn a_key_that_was_replaced_is_fetched_again() {
    let by_certificate = several("any", &[by_certificate("one"), by_certificate("two")]);
    let request = signed(&[("one", RSA_KEY)]);
    let dated = |key: &str, years: (i32, i32)| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        params.self_signed(&KeyPair::from_pem(key).unwrap()).unwrap().pem()
    };
    // `NOW` is 2025-10-09.
    let (good, old, other) =
        (dated(RSA_KEY, (2020, 2040)), dated(RSA_KEY, (2020, 2025)), dated(OTHER_KEY, (2020, 2040)));
    let of = |documents: [&str; 2]| {
        check(&by_certificate, &request, |_| documents.map(|document| Some(document.to_owned())))
    };
    for (documents, verdict, asked) in [
        ([good.as_str(), ""], "verified by Some(0)", 1),
        ([&old, &good], "verified by Some(0)", 2),
        ([&other, &good], "verified by Some(0)", 2),
        ([&old, &old], "no_verifier", 2),
        ([&other, &other], "no_verifier", 2),
        ([&other, "<html>"], "unusable one.example.com", 2),
    ] {
        assert_eq!(of(documents), (verdict.to_owned(), vec!["one.example.com".to_owned(); asked]));
    }

    let source = several("any", &[by_key_set("one"), by_key_set("two")]);
    let (request, keys) = with_token("one", P256_KEY);
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let none_of_these = with_token("one", &other_key).1;
    let of = |documents: [&str; 2]| {
        check(&source, &request, |_| documents.map(|document| Some(document.to_owned()))).0
    };
    assert_eq!(of([&none_of_these, &keys]), "verified by Some(0)");
    assert_eq!(of([NO_KEYS, &keys]), "verified by Some(0)");
    assert_eq!(of([&none_of_these, NO_KEYS]), "no_verifier");
}

/// A renewed certificate counts although an expired one with the same key is configured too.
#[test]
fn a_renewed_certificate_of_the_same_key_counts() {
    let table = "kind = \"rsa\"\nhash = \"sha256\"\nsigned = [\"{body}\"]\n\
                 signature = { from = \"header:one\", encoding = \"base64\" }";
    let dated = |until: i32| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        params.self_signed(&KeyPair::from_pem(RSA_KEY).unwrap()).unwrap().pem()
    };
    let check = |years: &[i32]| {
        let certificates: Vec<String> = years.iter().map(|until| dated(*until)).collect();
        let source = custom(table, settings(&json!(certificates))).unwrap();
        match source.check("h", signed(&[("one", RSA_KEY)]), NOW) {
            Verdict::Verified(delivery) => format!("{:?}", delivery.secret),
            Verdict::Rejected(rejection) => rejection.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(check(&[2025, 2040]), "Some(1)");
    assert_eq!(check(&[2040, 2025]), "Some(0)");
    assert_eq!(check(&[2024, 2025]), "expired");
}
