//! Tests of words of the grammar beside the presets that brought them: a key that is derived, a signature behind the
//! name of its key, a token that is the body, and values in texts in texts.

use hookmq_shared::delivery::Coverage;
use hookmq_shared::source::{Draft, Rejection, Verdict};
use serde_json::json;

use crate::kit::source::{NOW, RSA_KEY, custom, random, rejection, request, settings, sign};

#[test]
fn a_key_can_be_the_hash_of_the_secret() {
    let table = |key: &str| {
        format!(
            "kind = \"hmac\"\nhash = \"sha256\"\nkey = {{ {key} }}\nsigned = [\"{{body}}\"]\n\
             signature = {{ from = \"header:S\", encoding = \"hex\" }}"
        )
    };
    let source = |key: &str, secret: &str| custom(&table(key), settings(&json!([secret]))).unwrap();
    let derived = source("encoding = \"utf8\", derive = \"sha1\"", "correct horse battery");
    let request = sign(&derived, "{}");
    assert!(matches!(derived.check("h", request.clone(), NOW), Verdict::Verified(_)));
    // The same key, written out.
    let hashed = source("encoding = \"hex\"", "98decc62ece399a22ed30d490ef333be7fde7385");
    assert!(matches!(hashed.check("h", request.clone(), NOW), Verdict::Verified(_)));
    let plain = source("encoding = \"utf8\"", "correct horse battery");
    assert_eq!(rejection(&plain, request), Rejection::NoMatch);
}

#[test]
fn a_key_pair_can_come_of_the_secret() {
    let table = "kind = \"ed25519\"\nkey = { encoding = \"utf8\", derive = \"seed\" }\nsigned = [\"{body}\"]\n\
                 signature = { from = \"header:S\", encoding = \"hex\" }";
    let source = |secret: &str| custom(table, settings(&json!([secret]))).unwrap();
    let request = sign(&source("short"), "{}");
    // What repeats to the same 32 bytes is the same key; a longer secret is cut.
    for (secret, is_same) in
        [("short", true), ("shortshort", true), ("shorts", false), (&"short".repeat(9), true)]
    {
        let verdict = source(secret).check("h", request.clone(), NOW);
        assert_eq!(matches!(verdict, Verdict::Verified(_)), is_same, "{secret}");
    }
    assert_eq!(source("short").public_key(0), None, "the secret is not a public key");
}

#[test]
fn a_signature_can_stand_behind_the_name_of_its_key() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{body}\"]\n\
                 signature = { from = \"header:S\", format = \"list\", sep = \";\", after = \":\", encoding = \"hex\" }";
    let source = custom(table, settings(&json!(["correct horse battery"]))).unwrap();
    let good = sign(&source, "{}");
    let value = good.headers.one_str("s").unwrap().to_owned();
    let (name, signature) = value.split_once(':').unwrap();
    let with = |value: &str| request("POST", &json!([["S", value]]), b"{}".to_vec());
    assert!(!name.is_empty());
    for right in [&value, &format!("a:00;{value}"), &format!("nothing;{value}")] {
        assert!(matches!(source.check("h", with(right), NOW), Verdict::Verified(_)), "{right}");
    }
    for wrong in [signature, &format!("{value};"), &format!("{name}:"), "a:00", ":", "nothing"] {
        let is_taken = matches!(source.check("h", with(wrong), NOW), Verdict::Verified(_));
        assert_eq!(is_taken, wrong.ends_with(';'), "{wrong}");
    }
}

#[test]
fn a_body_can_be_a_token_whose_claims_travel() {
    let table = |rest: &str| format!("kind = \"jwt\"\nalgorithm = \"RS256\"\nfrom = \"body\"\n{rest}");
    let names =
        "id = \"decrypted:jti\"\nevent = \"decrypted:data>json:data>json:kind\"\nclaims = { iss = [\"me\"] }";
    let signer = custom(&table(names), settings(&json!([RSA_KEY]))).unwrap();
    let verifier = custom(&table(names), settings(&json!([signer.public_key(0).unwrap()]))).unwrap();
    let event = r#"{"jti":"1","data":"{\"data\":\"{\\\"kind\\\":\\\"made\\\"}\"}"}"#;
    let draft = Draft { body: Some(event.into()), ..Draft::default() };
    let request = signer.sign(draft, 0, NOW, &random()).unwrap();
    assert_eq!(request.body.split(|b| *b == b'.').count(), 3);
    let Verdict::Verified(delivery) = verifier.check("h", request.clone(), NOW) else { panic!() };
    assert_eq!((delivery.id.as_str(), delivery.event.as_deref()), ("1", Some("made")));
    let claims: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!((claims["iss"].as_str(), claims["jti"].as_str()), (Some("me"), Some("1")));
    assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
    assert_eq!(delivery.original.as_ref(), Some(&request.body));
    assert_eq!(delivery.coverage, Coverage::Body);
    // A token that is longer than one in a header field may be.
    let long = format!(r#"{{"jti":"2","x":"{}"}}"#, "x".repeat(40_000));
    let draft = Draft { body: Some(long.into()), ..Draft::default() };
    let request = signer.sign(draft, 0, NOW, &random()).unwrap();
    assert!(matches!(verifier.check("h", request, NOW), Verdict::Verified(_)));
}

/// The claims are what is forwarded, whoever else has to accept the request too.
#[test]
fn claims_travel_whatever_verifies_beside_them() {
    for (rule, secrets) in [("all", "[0]"), ("any", "[0]")] {
        let table = format!(
            "kind = \"{rule}\"\nevent = \"decrypted:kind\"\nverify = [{{ kind = \"token\", from = \"header:X-Token\", \
             secrets = [1] }}, {{ kind = \"jwt\", algorithm = \"HS256\", from = \"body\", secrets = {secrets} }}]"
        );
        let source =
            custom(&table, settings(&json!(["correct horse battery", "staple of the horse"]))).unwrap();
        let draft = Draft { body: Some(r#"{"kind":"made"}"#.into()), ..Draft::default() };
        let request = source.sign(draft, 0, NOW, &random()).unwrap();
        let Verdict::Verified(delivery) = source.check("h", request, NOW) else { panic!("{rule}") };
        assert_eq!(delivery.event.as_deref(), Some("made"), "{rule}");
        assert!(delivery.body.starts_with(b"{") && delivery.original.is_some(), "{rule}");
    }
}

/// The content type is not signed, and the signature of such a form covers a field and not the body: an attacker
/// chooses both, and must not find two of them of which a receiver reads another text than was verified.
#[test]
fn a_form_is_verified_as_its_receiver_reads_it() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{form:payload}\"]\nevent = \"form:payload\"\n\
                 signature = { from = \"form:sig\", encoding = \"hex\" }";
    let source = custom(table, settings(&json!(["correct horse battery"]))).unwrap();
    let genuine = source
        .sign(Draft { body: Some("payload=ok&sig=".into()), ..Draft::default() }, 0, NOW, &random())
        .unwrap();
    let text = String::from_utf8(genuine.body.to_vec()).unwrap();
    let (_, sig) = text.split_once("sig=").unwrap();
    let part = |name: &str, value: &str| {
        format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts = format!("--b{}--b{}--b--\r\n", part("payload", "ok"), part("sig", sig));
    // The field of another reading stands in the boundary, in a part without a meaning, or in JSON.
    let hidden = "b&payload=evil&x=";
    let both = format!("--{hidden}{}--{hidden}{}--{hidden}--", part("payload", "ok"), part("sig", sig));
    let inner = format!("--b{}--b--", part("a", &parts.replace("--b", "--c")));
    let in_json = format!(r#"{{"payload":"evil","a":"&payload=ok&sig={sig}&"}}"#);
    let bodies = [text.as_str(), &parts, &both, &inner, &in_json];
    let types = [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json",
        "application/xml",
        "multipart/form-data",
        "multipart/form-data; boundary=b",
        "multipart/form-data; boundary=c",
        "multipart/form-data; boundary=\"b&payload=evil&x=\"",
    ];
    let mut accepted = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        for kind in types {
            let mut request = request("POST", &json!([]), body.as_bytes().to_vec());
            if !kind.is_empty() {
                request.headers.push("content-type", kind);
            }
            if let Verdict::Verified(delivery) = source.check("h", request, NOW) {
                assert_eq!(delivery.event.as_deref(), Some("ok"), "{number} {kind}");
                accepted.push((number, kind));
            }
        }
    }
    // JSON has no fields, whatever its type.
    let pairs = types.into_iter().take(3).map(|kind| (0, kind));
    let parts = [(1, types[6]), (2, types[8])];
    assert_eq!(accepted, pairs.chain(parts).collect::<Vec<_>>());
}
