//! Tests of several verifiers on one hook, of networks, and of bodies with items that are verified one by
//! one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::Request;
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::source::{Draft, Rejection, Settings, Source, Verdict, VerifyOutcome};
use serde_json::{Value, json};
use toml::de::DeTable;

use crate::kit;
use crate::kit::source::{NOW, P256_KEY, custom, load, of_case, pair, random, request, settings};

const TOKEN: &str = "correct horse battery";
const KEY: &str = "staple and other words";

const NETWORK: &str = r#"{ kind = "network", cidrs = ["203.0.113.0/24", "2001:db8::/32"] }"#;

fn hmac(secrets: &str) -> String {
    let signature = r#"{ from = "header:X-Signature", encoding = "hex" }"#;
    format!(
        r#"{{ kind = "hmac", hash = "sha256", signature = {signature}, signed = ["{{body}}"]{secrets} }}"#
    )
}

fn token(secrets: &str) -> String {
    format!(r#"{{ kind = "token", from = "header:X-Token"{secrets} }}"#)
}

fn several(rule: &str, verifiers: &[&str]) -> String {
    format!("kind = \"{rule}\"\nverify = [{}]\nid = \"header:X-Id\"", verifiers.join(", "))
}

fn source(rule: &str, verifiers: &[&str], secrets: &[&str]) -> Source {
    custom(&several(rule, verifiers), settings(&json!(secrets))).unwrap()
}

fn check(source: &Source, request: &Request) -> Result<Delivery, Rejection> {
    let explained = source.explain(request, NOW);
    let text = explained.to_string();
    assert!(!text.contains(TOKEN) && !text.contains(KEY), "{text}");
    match source.check("h", request.clone(), NOW) {
        Verdict::Verified(delivery) => {
            assert_eq!(explained.outcome, VerifyOutcome::Verified(delivery.secret));
            Ok(*delivery)
        }
        Verdict::Rejected(rejection) => {
            assert!(matches!(explained.outcome, VerifyOutcome::Rejected(_, found) if found == rejection));
            Err(rejection)
        }
        other => panic!("{other:?}"),
    }
}

/// Signs a request by a table that is one of the verifiers, from an address of the network.
fn signed(table: &str, secret: &str) -> Request {
    let table = table.trim_start_matches("{ ").trim_end_matches(" }");
    // The table is inline, with one key in each line.
    let text = format!("v = {{ {table} }}");
    let mistakes = Mistakes::new("v.toml", &text);
    let document = DeTable::parse(&text).unwrap();
    let verify = Table::new(&mistakes, "", 0, document.get_ref()).table("v").unwrap();
    let source = Source::custom(verify, settings(&json!([secret]))).unwrap();
    let draft = Draft { body: Some("{}".into()), ..Draft::default() };
    let mut request = source.sign(draft, 0, NOW, &random()).unwrap();
    request.source_ip = Some("203.0.113.9".parse().unwrap());
    request
}

#[test]
fn all_of_several_must_accept() {
    let source = source("all", &[NETWORK, &token("")], &[TOKEN]);
    let good = signed(&token(""), TOKEN);
    let delivery = check(&source, &good).unwrap();
    assert_eq!((delivery.coverage, delivery.secret, delivery.verifier), (Coverage::Request, Some(0), None));
    assert_eq!(delivery.headers.iter().find(|(name, _)| name == "x-token").unwrap().1, "[verified]");
    for address in [None, Some("198.51.100.1")] {
        let elsewhere = Request { source_ip: address.map(|a| a.parse().unwrap()), ..good.clone() };
        assert!(check(&source, &elsewhere).is_err());
    }
    let mut forged = Request { source_ip: None, ..good };
    forged.headers.push("X-Forwarded-For", "203.0.113.9");
    assert_eq!(check(&source, &forged).err(), Some(Rejection::Missing("the source address".into())));
    let mut tokenless = forged;
    tokenless.source_ip = Some("2001:db8::1".parse().unwrap());
    tokenless.headers = hookmq_shared::http::Headers::new();
    assert_eq!(check(&source, &tokenless).err(), Some(Rejection::Missing("header:X-Token".into())));
}

#[test]
fn any_of_several_may_accept_and_is_told() {
    let members = [hmac(", secrets = [0]"), token(", secrets = [1, 2]")];
    let members = members.each_ref().map(String::as_str);
    let source = source("any", &members, &[KEY, "another token of it", TOKEN]);
    let by_hmac = check(&source, &signed(&hmac(""), KEY)).unwrap();
    assert_eq!((by_hmac.verifier, by_hmac.secret), (Some(0), Some(0)));
    let by_token = check(&source, &signed(&token(""), TOKEN)).unwrap();
    assert_eq!((by_token.verifier, by_token.secret), (Some(1), Some(2)));
    for delivery in [by_hmac, by_token] {
        assert_eq!(delivery.coverage, Coverage::Request, "no more than the weakest proves");
    }
    // The secrets of one verifier do not count for another.
    assert!(check(&source, &signed(&hmac(""), TOKEN)).is_err());
    let rejection = check(&source, &signed(&token(""), KEY)).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "no verifier accepts the request: header:X-Signature is missing or empty; no configured secret matches"
    );
    assert_eq!(rejection.as_str(), "no_verifier");
}

#[test]
fn a_token_never_travels_whoever_accepted() {
    let members = [hmac(", secrets = [0]"), token(", secrets = [1]")];
    let source = source("any", &members.each_ref().map(String::as_str), &[KEY, TOKEN]);
    let mut request = signed(&hmac(""), KEY);
    request.headers.push("X-Token", TOKEN);
    request.headers.push("X-Copy", format!("a {TOKEN}"));
    let delivery = check(&source, &request).unwrap();
    assert_eq!(delivery.verifier, Some(0));
    assert!(delivery.headers.iter().all(|(_, value)| !value.contains(TOKEN)), "{:?}", delivery.headers);
    // A wrong token changes only its own field, because it may be any word.
    let mut request = signed(&hmac(""), KEY);
    request.headers.push("X-Token", "word");
    request.headers.push("X-Id", "a-word");
    let delivery = check(&source, &request).unwrap();
    assert_eq!(delivery.id, "a-word");
    assert!(delivery.headers.contains(&("x-token".into(), "[verified]".into())));
}

#[test]
fn several_prove_what_their_rule_says() {
    let [body, request] = [hmac(", secrets = [0]"), token(", secrets = [0]")];
    let [body, request] = [body.as_str(), request.as_str()];
    for (rule, members, want) in [
        ("any", [body, body], Coverage::Body),
        ("any", [body, request], Coverage::Request),
        ("any", [body, NETWORK], Coverage::Request),
        ("all", [body, request], Coverage::Body),
        ("all", [NETWORK, body], Coverage::Body),
        ("all", [NETWORK, request], Coverage::Request),
    ] {
        let source = source(rule, &members, &[KEY]);
        let draft = Draft { body: Some("{}".into()), ..Draft::default() };
        let signed = source.sign(draft, 0, NOW, &random()).unwrap();
        assert_eq!(check(&source, &signed).unwrap().coverage, want, "{rule} {members:?}");
        let mut warnings = source.warnings();
        warnings.retain(|warning| warning.contains("anybody in these networks"));
        assert_eq!(warnings.len(), usize::from(rule == "any" && members[1] == NETWORK), "{rule} {members:?}");
    }
}

#[test]
fn several_are_explained_one_by_one() {
    let source = source("all", &[NETWORK, &hmac("")], &[KEY]);
    let explanation = source.explain(&signed(&hmac(""), TOKEN), NOW);
    assert_eq!(
        explanation.to_string(),
        "rejected: signature: no configured secret matches\n\
         verifier 0: accepted: network\n\
         verifier 1: rejected: signature: no configured secret matches\n\
         signed string: \"{}\"\n"
    );
}

/// Returns the mistakes of a table and of its settings.
fn mistakes(text: &str, secrets: &[&str]) -> String {
    let mistakes = Mistakes::new("hooks.toml", text);
    let document = DeTable::parse(text).unwrap();
    let table = Table::new(&mistakes, "verify", 0, document.get_ref());
    let errors = Source::custom(table, settings(&json!(secrets))).unwrap_err();
    let found = mistakes.into_sorted().into_iter().map(|m| format!("{}: {}: {}", m.line, m.key, m.message));
    found.chain(errors.iter().map(ToString::to_string)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mistake_is_told() {
    let (hmac0, token1) = (hmac(", secrets = [0]"), token(", secrets = [1]"));
    for (text, secrets, want) in [
        ("kind = \"any\"".to_owned(), &[][..], "1: verify.verify: at least two verifiers are needed: write"),
        (several("all", &[NETWORK]), &[], "2: verify.verify: at least two verifiers are needed: write"),
        (
            several("any", &[&hmac(""), &token("")]),
            &[KEY, TOKEN],
            "2: verify.verify: each verifier needs a list of its secrets: write secrets = [0] into each",
        ),
        (
            several("any", &[&hmac0, r#"{ kind = "none" }"#]),
            &[KEY],
            "2: verify.verify[1].kind: \"none\" is unknown: write \"token\" or",
        ),
        (
            several("any", &[&hmac0, &format!("{{ kind = \"all\", verify = [{NETWORK}, {token1}] }}")]),
            &[KEY, TOKEN],
            "2: verify.verify[1].kind: \"all\" is unknown: write \"token\" or",
        ),
        (
            several("any", &[&hmac0, r#"{ kind = "token", from = "header:T", id = "header:I" }"#]),
            &[KEY],
            "2: verify.verify[1].id: unknown key; known here:",
        ),
        (several("any", &[&hmac0, &token1]), &[KEY], "secrets: one of the verifiers has no secret"),
        (
            several("any", &[&hmac0, &token1]),
            &[KEY, TOKEN, "third"],
            "secrets[2]: no verifier uses it: leave it out",
        ),
        (several("any", &[&hmac0, NETWORK]), &[], "secrets: missing: write secrets = "),
        (several("any", &[NETWORK, NETWORK]), &[KEY], "secrets[0]: no verifier uses it: leave it out"),
        (
            several("any", &[&hmac("")[..], &token(", secrets = [\"env:X\"]")]),
            &[KEY],
            "2: verify.verify[1].secrets: expected an array of whole numbers, found array",
        ),
        ("kind = \"network\"".to_owned(), &[], "1: verify.cidrs: no network is allowed: write cidrs = "),
        (
            "kind = \"network\"\ncidrs = [\n  \"203.0.113.0/24\",\n  \"0.0.0.0/0\",\n]".to_owned(),
            &[],
            "4: verify.cidrs: \"0.0.0.0/0\" allows every address: write the sender's networks",
        ),
        (
            "kind = \"network\"\ncidrs = [\"203.0.113.1\"]".to_owned(),
            &[KEY],
            "secrets[0]: no verifier uses it: leave it out",
        ),
        (
            "kind = \"token\"\nfrom = \"item:a\"".to_owned(),
            &[KEY],
            "2: verify.from: item:a is in an item: write items = \"json:items\"",
        ),
        (
            "kind = \"token\"\nfrom = \"header:T\"\nitems = \"json:value\"".to_owned(),
            &[KEY],
            "3: verify.items: nothing of an item is verified: read it with item:NAME",
        ),
        (
            "kind = \"token\"\nfrom = \"item:a\"\nitems = \"form:value\"".to_owned(),
            &[KEY],
            "3: verify.items: items are in a JSON body: write items = \"json:items\"",
        ),
        (
            "kind = \"token\"\nfrom = \"item:a\"\nitems = \"json:value\"\nid = \"item:id\"".to_owned(),
            &[KEY],
            "4: verify.id: names one item of several: read it from the body with json:",
        ),
        (
            "kind = \"hmac\"\nhash = \"sha256\"\nsignature = { from = \"header:S\", encoding = \"hex\" }\n\
             signed = [\"{body}\", \"{item:a?}\", \"{sigkv:b?}\"]"
                .to_owned(),
            &[KEY],
            "4: verify.signed: item:a is in an item: write items = \"json:items\"\n\
             4: verify.signed: sigkv:b needs a signature of format = \"kv\"",
        ),
        (
            "kind = \"hmac\"\nhash = \"sha256\"\nsignature = { from = \"header:S\", encoding = \"hex\" }\n\
             signed = [\"{header:T}\"]\nbody_hash = [{ from = \"header:H\", hash = \"sha256\" }]"
                .to_owned(),
            &[KEY],
            "5: verify.body_hash: header:H is not signed: anybody who changes the body can change it too",
        ),
        (
            "kind = \"hmac\"\nhash = \"sha256\"\nsignature = { from = \"header:S\", encoding = \"hex\" }\n\
             signed = { by = \"json:a\", cases = { x = [\"{json:b}\"] } }"
                .to_owned(),
            &[KEY],
            "4: verify.signed: json:a chooses the case, so sign it in each case, or one could pass for \
             another",
        ),
    ] {
        let found = mistakes(&text, secrets);
        assert!(found.starts_with(want), "{want}\n{found}");
    }
}

/// The field that chooses a case must be signed: a member with a dot in its name is not the member at the
/// path.
#[test]
fn a_case_is_chosen_by_what_is_signed() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsignature = { from = \"header:S\", encoding = \"hex\" }\n\
                 signed = { by = \"json:a.b\", cases = { x = [\"{fieldlines:a.b}\"] } }";
    let want =
        "4: verify.signed: json:a.b chooses the case, so sign it in each case, or one could pass for another";
    assert_eq!(mistakes(table, &[KEY]), want);
}

/// A public key is refused as a shared secret of another verifier, because everybody who knows it could sign.
#[test]
fn a_public_key_is_nobodys_secret() {
    let signer = Source::preset("sendgrid", settings(&json!([P256_KEY]))).unwrap();
    let key = signer.public_key(0).unwrap();
    let ecdsa = |secrets: &str| hmac(secrets).replace("hmac", "ecdsa");
    for rule in ["any", "all"] {
        for other in [token(", secrets = [0]"), hmac(", secrets = [0]")] {
            let text = several(rule, &[&ecdsa(", secrets = [0]"), &other]);
            let want =
                "secrets[0]: is the public key of one verifier and the secret of another: give each its own";
            assert_eq!(mistakes(&text, &[&key]), want);
        }
    }
    let keys = [ecdsa(", secrets = [0]"), ecdsa(", secrets = [0, 1]"), token(", secrets = [2]")];
    let text = several("any", &keys.each_ref().map(String::as_str));
    assert!(custom(&text, settings(&json!([key, key, TOKEN]))).is_ok());
    // These forms are never used for a shared secret.
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    let set = r#" {"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#;
    let hs256 = r#"{ kind = "jwt", algorithm = "HS256", from = "header:T" }"#;
    for member in [&token(""), &hmac(""), hs256] {
        for key in [pem.as_str(), set] {
            let found = mistakes(&several("all", &[NETWORK, member]), &[key]);
            let want = "secrets[0]: is a public key, or a key in PEM, and not a shared secret: anybody who \
                        knows it could sign with it";
            assert_eq!(found, want, "{member}");
        }
    }
}

#[test]
fn a_verifier_whose_keys_are_published_has_those_that_it_names() {
    let jwt = |secrets: &str| {
        let from = r#"from = "header:T", jwks = "https://keys.example.com/x""#;
        format!(r#"{{ kind = "jwt", algorithm = "ES256", {from}, secrets = {secrets} }}"#)
    };
    let found =
        |secrets: &str| mistakes_of_settings(&several("all", &[&jwt(secrets), &token(", secrets = [0]")]));
    assert_eq!(found("[]"), "");
    assert_eq!(found("[1]"), "secrets: one of the verifiers has no secret: name one of these in its list");
}

/// Returns the first mistake in the settings of a sound table, with a token as the only secret.
fn mistakes_of_settings(text: &str) -> String {
    custom(text, settings(&json!([TOKEN]))).map_or_else(|errors| errors[0].to_string(), |_| String::new())
}

#[test]
fn every_item_must_hold_the_token() {
    let (source, signer) = pair("ms-graph");
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    let secret = &*kit::source::secret_for("ms-graph");
    let text = String::from_utf8(request.body.to_vec()).unwrap();
    assert_eq!(text.matches(secret).count(), 2);
    let delivery = check(&source, &request).unwrap();
    assert_eq!(delivery.body, text.replace(secret, "[verified]"));
    assert_eq!((delivery.coverage, delivery.id_from_provider), (Coverage::Request, false));
    let with = |body: String| check(&source, &Request { body: body.into(), ..request.clone() }).err();
    let item = |state: &str| format!(r#"{{"clientState":"{state}","resource":"r"}}"#);
    let good = item(secret);
    assert_eq!(with(format!(r#"{{"value":[{good}]}}"#)), None);
    for (items, want) in [
        (format!("[{good},{}]", item("wrong")), Rejection::NoMatch),
        (format!("[{},{good}]", item("")), Rejection::Missing("item:clientState".into())),
        (format!("[{good},{{}}]"), Rejection::Missing("item:clientState".into())),
        (format!("[{good},null]"), Rejection::Missing("item:clientState".into())),
        (format!("[{good},[{good}]]"), Rejection::Missing("item:clientState".into())),
        ("[]".to_owned(), Rejection::Missing("json:value".into())),
        ("null".to_owned(), Rejection::Missing("json:value".into())),
        (good.clone(), Rejection::Missing("json:value".into())),
        (format!("[{good}],\"value\":[{good}]"), Rejection::Ambiguous("json:value".into())),
        (
            format!("[{}]", good.replace('}', ",\"clientState\":1}")),
            Rejection::Ambiguous("item:clientState".into()),
        ),
    ] {
        assert_eq!(with(format!(r#"{{"value":{items}}}"#)), Some(want), "{items}");
    }
    assert_eq!(with("[".to_owned()), Some(Rejection::Malformed("json:value".into())));
}

#[test]
fn every_item_must_be_signed() {
    let (source, signer) = pair("adyen-payments-item");
    let one = String::from_utf8(signer.sign(Draft::default(), 0, NOW, &random()).unwrap().body.to_vec());
    let one = one.unwrap();
    let (start, end) = (one.find("[{").unwrap() + 1, one.len() - 2);
    let item = &one[start..end];
    let with = |items: &str| {
        let body = format!("{}{items}{}", &one[..start], &one[end..]);
        check(&source, &request("POST", &json!([]), body.into_bytes())).map(|d| d.secret)
    };
    assert_eq!(with(item), Ok(Some(0)));
    assert_eq!(with(&format!("{item},{item}")), Ok(Some(0)));
    assert_eq!(with(&format!("{item},{}", item.replace("1130", "1131"))), Err(Rejection::NoMatch));
    assert_eq!(with(""), Err(Rejection::Missing("json:notificationItems".into())));
    // An empty string is signed as an empty value, but an object in its place is not.
    let reference =
        |value: &str| item.replace(r#""success""#, &format!(r#""originalReference":{value},"success""#));
    assert_eq!(with(&reference("\"\"")), Ok(Some(0)));
    assert_eq!(with(&reference("\"x\"")), Err(Rejection::NoMatch));
    let place = "item:NotificationRequestItem.originalReference";
    assert_eq!(with(&reference("{}")), Err(Rejection::Malformed(place.into())));
    // The test signs two items itself.
    let two =
        format!("{}{item},{item}{}", &one[..start], &one[end..]).replace("TestPayment-1", "TestPayment-2");
    let draft = Draft { body: Some(two.into()), ..Draft::default() };
    let request = signer.sign(draft, 0, NOW, &random()).unwrap();
    assert_eq!(check(&source, &request).map(|d| d.secret), Ok(Some(0)));
}

#[test]
fn no_flipped_bit_of_what_an_item_signs_goes_unnoticed() {
    let (source, signer) = pair("adyen-payments-item");
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    let start = request.body.windows(13).position(|part| part == b"hmacSignature").unwrap();
    for bit in start * 8..(request.body.len() - 3) * 8 {
        let mut body = request.body.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(check(&source, &Request { body: body.into(), ..request.clone() }).is_err(), "{text}");
    }
}

/// The JSON that holds a signature has other texts as well, which fields can read, and no member twice.
#[test]
fn a_signature_may_stand_in_json() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{sigkv:t}\", \"{body}\"]\n\
                 require = [{ from = \"sigkv:alg\", in = [\"a\"] }]\n\
                 signature = { from = \"header:S\", format = \"json\", take = \"s\", encoding = \"hex\" }";
    let source = custom(table, settings(&json!(["a secret"]))).unwrap();
    let request = source.sign(Draft::default(), 0, NOW, &random()).unwrap();
    assert!(check(&source, &request).is_ok());
    let header = STANDARD.decode(request.headers.one("s").unwrap()).unwrap();
    let object: Value = serde_json::from_slice(&header).unwrap();
    let with = |text: String| {
        let headers = [("s", STANDARD.encode(text))].into_iter().collect();
        check(&source, &Request { headers, ..request.clone() }).err()
    };
    let malformed = || Some(Rejection::Malformed("header:S".into()));
    let (text, s) = (object.to_string(), object["s"].as_str().unwrap());
    assert_eq!(with(text.clone()), None);
    assert_eq!(with(text.replace("\"s\"", "\"x\"")), Some(Rejection::NoItem("header:S".into(), "s".into())));
    assert_eq!(with(text.replace('{', &format!("{{\"s\":\"{s}\","))), malformed());
    assert_eq!(with(text.replace('{', "{\"t\":\"1\",")), malformed());
    assert_eq!(with(format!("[{text}]")), malformed());
    assert_eq!(
        with(text.replace(&format!("\"{s}\""), "1")),
        Some(Rejection::NoItem("header:S".into(), "s".into()))
    );
    let other = json!({ "s": s, "t": "1", "alg": "a", "more": [1, null] });
    assert_eq!(with(other.to_string()), Some(Rejection::NoMatch));
}

/// ECDSA signatures are accepted in both forms: the DER of a vector, and its two numbers.
#[test]
fn ecdsa_signatures_are_der_or_raw() {
    let file = load("sendgrid");
    let (mut request, settings) = of_case(&file["cases"][0]);
    let table = |scalars: &str| {
        format!(
            "kind = \"ecdsa\"\nhash = \"sha256\"\n{scalars}\nsignature = {{ from = \"header:S\", encoding = \"base64\" }}\n\
             signed = [\"{{header:X-Twilio-Email-Event-Webhook-Timestamp}}\", \"{{body}}\"]"
        )
    };
    let header = "x-twilio-email-event-webhook-signature";
    let der = STANDARD.decode(request.headers.one(header).unwrap()).unwrap();
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        (der[at + 2 + length - 32..at + 2 + length].to_vec(), at + 2 + length)
    };
    let (r, next) = number(2);
    let (s, _) = number(next);
    let raw = [r, s].concat();
    let [by_der, by_raw] = ["", "scalars = \"raw\""].map(|s| custom(&table(s), settings.clone()).unwrap());
    for (signature, is_raw) in [(&der, false), (&raw, true)] {
        request.headers.push("S", STANDARD.encode(signature));
        assert_eq!(check(&by_raw, &request).is_ok(), is_raw);
        assert_eq!(check(&by_der, &request).is_ok(), !is_raw);
        request.headers =
            request.headers.iter().filter(|(n, _)| *n != "s").map(|(n, v)| (n, v.to_vec())).collect();
    }
    for zero in
        [[[0; 32], [0; 32]].concat(), [&raw[..32], &[0; 32]].concat(), [&[0; 32], &raw[32..]].concat()]
    {
        let mut request = request.clone();
        request.headers.push("S", STANDARD.encode(zero));
        assert_eq!(check(&by_raw, &request).err(), Some(Rejection::NoMatch));
    }
}

/// A reader that ignores case, as Go's does, takes the last of two such members.
#[test]
fn what_is_signed_by_parts_has_no_second_member_that_differs_in_case() {
    let adyen = |alter: &dyn Fn(&str) -> String| {
        let (source, signer) = pair("adyen-payments-item");
        let mut request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
        request.body = alter(std::str::from_utf8(&request.body).unwrap()).into();
        check(&source, &request).map(|_| ()).map_err(|rejection| rejection.as_str())
    };
    assert_eq!(adyen(&|body| body.to_owned()), Ok(()));
    assert_eq!(adyen(&|body| body.replace("\"live\"", "\"Live\":1,\"live\"")), Ok(()), "not on a path");
    for (place, other) in [
        ("\"notificationItems\"", "\"NotificationItems\":[{\"NotificationRequestItem\":{}}],"),
        ("\"NotificationRequestItem\"", "\"notificationrequestitem\":{},"),
        ("\"amount\"", "\"Amount\":{\"value\":9},"),
        ("\"value\"", "\"\\u0056alue\":9,"),
        ("\"success\"", "\"\u{17f}ucce\u{17f}s\":\"false\","),
        // The member is left out, which is signed as well.
        ("\"pspReference\"", "\"OriginalReference\":\"x\","),
    ] {
        let alter = |body: &str| body.replace(place, &format!("{other}{place}"));
        assert_eq!(adyen(&alter), Err("ambiguous"), "{other}");
    }

    let table = |signed: &str| {
        let signature = r#"signature = { from = "header:S", encoding = "hex" }"#;
        format!("kind = \"hmac\"\nhash = \"sha256\"\n{signature}\nsigned = [{signed}]")
    };
    let own = |signed: &str, body: &str| {
        let source = custom(&table(signed), settings(&json!([KEY]))).unwrap();
        let draft = Draft { body: Some(body.to_owned().into()), ..Draft::default() };
        let request = source.sign(draft, 0, NOW, &random()).unwrap();
        check(&source, &request).map(|_| ()).map_err(|rejection| rejection.as_str())
    };
    let body = r#"{"Order":{"id":"2"},"order":{"id":"1"}}"#;
    assert_eq!(own(r#""{json:order.id}""#, body), Err("ambiguous"));
    assert_eq!(
        own(r#""{json:order.id}", ".", "{json:b?}""#, r#"{"order":{"id":"1"},"B":"2"}"#),
        Err("ambiguous")
    );
    // The sender itself wrote both where the whole body is signed.
    assert_eq!(own(r#""{json:order.id}", ".", "{body}""#, body), Ok(()));
}

#[test]
fn a_private_key_signs_in_both_forms_and_shows_its_public_key_only() {
    for form in ["hash = \"sha256\"", "hash = \"sha256\"\nscalars = \"raw\"", "hash = \"sha1\""] {
        let table = format!(
            "kind = \"ecdsa\"\n{form}\nsignature = {{ from = \"header:S\", encoding = \"hex\" }}\n\
             signed = [\"{{body}}\"]"
        );
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{P256_KEY}\n-----END PRIVATE KEY-----\n");
        for key in [P256_KEY, &pem] {
            let signer = custom(&table, settings(&json!([key]))).unwrap();
            assert!(!format!("{signer:?}").contains(&P256_KEY[40..60]));
            let public = signer.public_key(0).unwrap();
            let verifier = custom(&table, settings(&json!([public]))).unwrap();
            assert_eq!((verifier.public_key(0), signer.public_key(1)), (None, None));
            let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
            assert!(check(&verifier, &request).is_ok());
            let mut other = request.clone();
            other.body = "[]".into();
            assert_eq!(check(&verifier, &other).err(), Some(Rejection::NoMatch));
            assert!(verifier.sign(Draft::default(), 0, NOW, &random()).is_err());
        }
    }
}

#[test]
fn a_private_key_in_the_place_of_a_public_one_is_warned_of() {
    let warning = "secrets[0] is a private key, which a function refuses: give it the public key";
    for (preset, is_told) in [("aws-sns", true), ("sendgrid", true), ("discord", false), ("github", false)] {
        let (verifier, signer) = pair(preset);
        assert_eq!(signer.warnings().iter().any(|text| text == warning), is_told, "{preset}");
        assert!(!verifier.warnings().iter().any(|text| text.contains("private")), "{preset}");
    }
    let jwt = "kind = \"jwt\"\nalgorithm = \"ES256\"\nfrom = \"header:J\"";
    let signer = custom(jwt, settings(&json!([P256_KEY]))).unwrap();
    assert!(signer.warnings().iter().any(|text| text == warning));
}

#[test]
fn a_pin_of_a_parameter_is_the_whole_value() {
    let (source, signer) = pair("twilio-sharedkey-sha256");
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    let header = "x-twilio-webhooks-signature-settings";
    assert_eq!(request.headers.one_str(header), Some("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"));
    assert!(check(&source, &request).is_ok());
    let preset = |params: &[(&str, &str)]| {
        let params = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let url = Some("https://example.com/hook".to_owned());
        Source::preset("twilio-sharedkey-sha256", Settings { params, url, ..settings(&json!([KEY])) })
    };
    let missing = preset(&[]).unwrap_err();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].to_string().starts_with("params.key_id: missing: the shared key's id"), "{missing:?}");
    let other = preset(&[("key_id", "another")]).unwrap();
    assert_eq!(
        check(&other, &request).err(),
        Some(Rejection::Pinned("header:X-Twilio-Webhooks-Signature-Settings".into()))
    );
}
