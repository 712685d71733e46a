//! Tests of signed tokens: published keys, and the required form and claims of a token.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use hookmq_shared::delivery::Coverage;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{Draft, Settings, Source, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::source::{NOW, RSA_KEY, check_with, custom, pair, params_for, random, request, settings};

const OTHER_KEY: &str = include_str!("../vectors/keys/rsa_other.pem");
const SHORT_KEY: &str = include_str!("../vectors/keys/rsa_1024.pem");
const P256_KEY: &str = include_str!("../vectors/keys/p256.pem");
const JWKS: &str = "https://keys.example.com/jwks.json";

fn table(algorithm: &str, rest: &str) -> String {
    format!("kind = \"jwt\"\nalgorithm = \"{algorithm}\"\nfrom = \"header:X-Token\"\n{rest}")
}

fn source(algorithm: &str, rest: &str, secrets: &Value) -> Source {
    custom(&table(algorithm, rest), settings(secrets)).unwrap()
}

/// Builds a request with a token that is signed with this private key.
fn signed(algorithm: &str, key: &str) -> Request {
    source(algorithm, "", &json!([key])).sign(Draft::default(), 0, NOW, &random()).unwrap()
}

/// Replaces the header of the request's token; its signature no longer matches.
fn with_header(request: &Request, header: &Value) -> Request {
    let token = String::from_utf8(request.headers.one("x-token").unwrap().to_vec()).unwrap();
    let rest = token.split_once('.').unwrap().1;
    let mut other = request.clone();
    other.headers = Headers::new();
    other.headers.push("x-token", format!("{}.{rest}", BASE64_URL.encode(header.to_string())));
    other
}

fn outcome(source: &Source, request: &Request, document: Option<&str>) -> &'static str {
    match check_with(source, request.clone(), NOW, document.map(str::as_bytes)) {
        Verdict::Verified(_) => "verified",
        Verdict::Rejected(rejection) => rejection.as_str(),
        Verdict::Fetch(address, _) => {
            assert_eq!(address.to_string(), JWKS);
            "fetch"
        }
        Verdict::Unusable(_) => "unusable",
        other => panic!("{other:?}"),
    }
}

/// Returns the public key of this private key as a JWK, with further members.
fn jwk(algorithm: &str, key: &str, more: &[(&str, &str)]) -> Value {
    let pem = source(algorithm, "", &json!([key])).public_key(0).unwrap();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(text).unwrap();
    let mut jwk = if algorithm == "ES256" {
        let (x, y) = der[der.len() - 64..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": BASE64_URL.encode(x), "y": BASE64_URL.encode(y) })
    } else {
        // The modulus of 2048 bits stands between its sign byte and the exponent.
        let n = &der[der.len() - 5 - 256..der.len() - 5];
        json!({ "kty": "RSA", "n": BASE64_URL.encode(n), "e": "AQAB" })
    };
    for (name, value) in more {
        jwk[name] = json!(value);
    }
    jwk
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[test]
fn published_keys_are_asked_for_and_chosen() {
    for (algorithm, key) in [("RS256", RSA_KEY), ("ES256", P256_KEY)] {
        let source = source(algorithm, &format!("jwks = \"{JWKS}\""), &json!([]));
        let request = signed(algorithm, key);
        let check = |keys: &[Value]| outcome(&source, &request, Some(&set(keys)));
        let of = |more: &[(&str, &str)]| jwk(algorithm, key, more);
        assert_eq!(outcome(&source, &request, None), "fetch");
        assert_eq!(check(&[of(&[])]), "verified");
        assert_eq!(check(&[of(&[("kid", "a"), ("alg", algorithm), ("use", "sig")])]), "verified");
        // Keys with another use, of another type, or in an unreadable form do not count.
        let symmetric = json!({ "kty": "oct", "k": "c2VjcmV0" });
        assert_eq!(check(&[symmetric.clone(), of(&[])]), "verified");
        let odd = [json!({}), json!(1), json!({ "kty": "RSA", "kid": 1 }), json!({ "kty": ["EC"] })];
        assert_eq!(check(&[&odd[..], &[of(&[])]].concat()), "verified", "one broken key is none");
        for keys in [
            vec![],
            vec![symmetric],
            vec![of(&[("use", "enc")])],
            vec![of(&[("alg", "RS512")])],
            vec![of(&[("kty", "OKP")])],
            vec![of(&[("n", "!"), ("x", "!")])],
            vec![of(&[("n", ""), ("x", "")])],
        ] {
            assert_eq!(check(&keys), "unknown_key", "{keys:?}");
        }
        for garbage in ["", "[]", "{}", "<html>", r#"{"keys":{}}"#] {
            assert_eq!(outcome(&source, &request, Some(garbage)), "unusable", "{garbage}");
        }
    }
    let source = source("RS256", &format!("jwks = \"{JWKS}\""), &json!([]));
    let request = signed("RS256", RSA_KEY);
    assert_eq!(outcome(&source, &request, Some(&set(&[jwk("RS256", OTHER_KEY, &[])]))), "no_match");
    // A key id selects the key; a missing id may have been published since.
    let named = with_header(&request, &json!({ "alg": "RS256", "kid": "b" }));
    let keys = |ids: [&str; 2]| set(&ids.map(|id| jwk("RS256", RSA_KEY, &[("kid", id)])));
    assert_eq!(outcome(&source, &named, Some(&keys(["a", "b"]))), "no_match");
    assert_eq!(outcome(&source, &named, Some(&keys(["a", "c"]))), "unknown_key");
}

#[test]
fn a_key_can_be_configured_in_place_of_the_published_ones() {
    let request = signed("RS256", RSA_KEY);
    let pem = source("RS256", "", &json!([RSA_KEY])).public_key(0).unwrap();
    let published = format!("jwks = \"{JWKS}\"");
    for key in [pem.clone(), set(&[jwk("RS256", RSA_KEY, &[])])] {
        assert_eq!(outcome(&source("RS256", &published, &json!([key])), &request, None), "verified");
    }
    let two = set(&[jwk("RS256", RSA_KEY, &[]), jwk("RS256", OTHER_KEY, &[])]);
    for (algorithm, wrong) in [
        ("RS256", SHORT_KEY),
        ("RS256", P256_KEY),
        ("ES256", RSA_KEY),
        ("RS256", "a shared secret"),
        ("RS256", &two),
        ("HS256", &pem),
    ] {
        let errors = custom(&table(algorithm, ""), settings(&json!([wrong]))).unwrap_err();
        assert!(errors[0].to_string().starts_with("secrets[0]: is "), "{algorithm}: {errors:?}");
    }
}

/// A token that names or uses another algorithm than the configured one is rejected, for each algorithm.
#[test]
fn the_algorithm_is_never_the_tokens_choice() {
    let pem = source("RS256", "", &json!([RSA_KEY])).public_key(0).unwrap();
    let rs256 = source("RS256", "", &json!([pem]));
    let es256 = source("ES256", "", &json!([P256_KEY]));
    let hs256 = source("HS256", "", &json!(["a secret that two know, of 32 b."]));
    for (source, own) in [(&rs256, "RS256"), (&es256, "ES256"), (&hs256, "HS256")] {
        for (algorithm, key) in
            [("RS256", RSA_KEY), ("ES256", P256_KEY), ("HS256", "a secret that two know, of 32 b.")]
        {
            let request = signed(algorithm, key);
            let want = if algorithm == own { "verified" } else { "pinned" };
            assert_eq!(outcome(source, &request, None), want, "{algorithm} at {own}");
            for label in ["none", "None", "HS512", "PS256", "rs256", ""] {
                let labelled = with_header(&request, &json!({ "alg": label }));
                let found = outcome(source, &labelled, None);
                assert_eq!(found, "pinned", "{algorithm} as {label:?} at {own}");
            }
            // With the configured algorithm in the header, the signature does not match.
            let forged = with_header(&request, &json!({ "alg": own, "x": 1 }));
            assert_eq!(outcome(source, &forged, None), "no_match", "{algorithm} as {own}");
        }
    }
    for header in [json!({}), json!({ "alg": 1 }), json!({ "alg": null }), json!("x"), json!([])] {
        let odd = with_header(&signed("RS256", RSA_KEY), &header);
        assert!(["malformed", "pinned"].contains(&outcome(&rs256, &odd, None)), "{header}");
    }
}

#[test]
fn a_token_is_kept_only_if_it_is_bound_to_its_body() {
    let delivery = |preset: &str| {
        let (verifier, signer) = pair(preset);
        let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
        match verifier.check("h", request, NOW) {
            Verdict::Verified(delivery) => *delivery,
            other => panic!("{other:?}"),
        }
    };
    let netlify = delivery("netlify");
    assert_eq!(netlify.coverage, Coverage::Body);
    let kept = netlify.headers.iter().find(|(name, _)| name == "x-webhook-signature").unwrap();
    assert!(kept.1.starts_with("eyJ"), "{kept:?}");
    let query = source("HS256", "", &json!(["a secret that two know, of 32 b."]));
    let request = query.sign(Draft::default(), 0, NOW, &random()).unwrap();
    match query.check("h", request, NOW) {
        Verdict::Verified(delivery) => {
            assert_eq!(delivery.coverage, Coverage::Request);
            let token = delivery.headers.iter().find(|(name, _)| name == "x-token").unwrap();
            assert_eq!(token.1, "[verified]");
        }
        other => panic!("{other:?}"),
    }
    assert!(query.reads_token_from("X-Token") && !pair("netlify").0.reads_token_from("X-Webhook-Signature"));
}

#[test]
fn tokens_are_read_from_wherever_they_are() {
    for (from, body) in [("query:t", ""), ("json:a.t", r#"{"a":{"t":"x"}}"#), ("form:t", "a=1&t=x")] {
        let text = table("HS256", "").replace("header:X-Token", from);
        let source = custom(&text, settings(&json!(["a secret that two know, of 32 b."]))).unwrap();
        let draft = Draft { body: Some(body.into()), ..Draft::default() };
        let request = source.sign(draft, 0, NOW, &random()).unwrap();
        match source.check("h", request, NOW) {
            Verdict::Verified(delivery) => {
                assert!(!String::from_utf8_lossy(&delivery.body).contains("eyJ"), "{from}");
            }
            other => panic!("{from}: {other:?}"),
        }
    }
}

#[test]
fn a_preset_with_parameters_checks_them() {
    let mut params = params_for("google-pubsub");
    params.remove("email");
    let errors = Source::preset("google-pubsub", Settings { params, ..Settings::default() }).unwrap_err();
    assert!(errors[0].to_string().starts_with("params.email: missing"), "{errors:?}");
}

proptest! {
    #[test]
    fn no_token_and_no_key_set_makes_it_panic(
        token in "[A-Za-z0-9_=. {}\":,-]{0,80}",
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5),
        json in "\\{[\"a-z0-9:,\\[\\]{} ]{0,60}\\}",
        document in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let published = source("RS256", &format!("jwks = \"{JWKS}\""), &json!([]));
        let shared = source("HS256", "", &json!(["a secret that two know, of 32 b."]));
        let encoded: Vec<String> = parts.iter().map(|part| BASE64_URL.encode(part)).collect();
        let odd = format!("{}.{}.AA", BASE64_URL.encode(r#"{"alg":"HS256"}"#), BASE64_URL.encode(&json));
        for token in [token, encoded.join("."), odd] {
            let request = request("POST", &json!([["X-Token", token]]), Vec::new());
            for source in [&published, &shared] {
                let verdict = check_with(source, request.clone(), NOW, Some(&document));
                prop_assert!(!matches!(verdict, Verdict::Verified(_)));
            }
        }
        let verdict = check_with(&published, signed("RS256", RSA_KEY), NOW, Some(&document));
        prop_assert!(!matches!(verdict, Verdict::Verified(_)));
    }
}
