//! Tests of signing: it is the inverse of checking, and every change of signed data is noticed.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{
    Draft, Rejection, Settings, SignError, Source, Verdict, preset_info, preset_names,
};

use crate::kit::source::{
    NOW, custom, file_of, load, pair, random, reads_body, secret_for, settings, stranger, verify,
};

fn sign(source: &Source, draft: Draft) -> Request {
    source.sign(draft, 0, NOW, &random()).unwrap()
}

fn delivery(source: &Source, request: Request) -> Delivery {
    match source.check("h", request, NOW) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}

fn is_rejected(source: &Source, request: Request) -> bool {
    matches!(source.check("h", request, NOW), Verdict::Rejected(_))
}

#[test]
fn every_preset_checks_what_it_signs() {
    let random = random();
    for name in preset_names() {
        let (verifier, signer) = pair(name);
        let deliver = || delivery(&verifier, signer.sign(Draft::default(), 0, NOW, &random).unwrap());
        let (first, second) = (deliver(), deliver());
        assert_eq!(first.source.as_deref(), Some(name));
        // Discord's webhook events have no id, but its interactions do.
        let names = verifier.names_deliveries() && name != "discord";
        // An id of several fields keeps what the sample's header fields say.
        let composed = verify(name)["id"].as_str().is_some_and(|id| id.starts_with('{'));
        let differs = names && !composed;
        assert_eq!((first.id_from_provider, first.id != second.id), (names, differs), "{name}");
        assert_eq!(first.event.is_some(), verifier.names_events(), "{name}");
    }
}

#[test]
fn a_seed_makes_the_key_that_verifies() {
    // The seed and the key are those of RFC 8032, 7.1, test 1.
    let (_, discord) = pair("discord");
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(discord.public_key(0).as_deref(), Some(key));
    assert_eq!(discord.public_key(1), None);
    assert_eq!(pair("github").1.public_key(0), None);
}

#[test]
fn what_is_asked_for_is_signed() {
    for name in [
        "github",
        "gitlab-secret-token",
        "gitea-forgejo",
        "shopify",
        "slack",
        "stripe",
        "feishu",
        "wecom",
        "wechat-mp-secure",
    ] {
        let (verifier, signer) = pair(name);
        let draft = Draft {
            event: Some("x.y".into()),
            id: Some("id-7".into()),
            path: "/p".into(),
            ..Draft::default()
        };
        let delivery = delivery(&verifier, sign(&signer, draft));
        assert_eq!((delivery.event.as_deref(), delivery.id.as_str()), (Some("x.y"), "id-7"), "{name}");
    }
}

#[test]
fn a_body_is_signed_as_it_is() {
    for name in preset_names().filter(|name| !reads_body(name)) {
        let (verifier, signer) = pair(name);
        for body in ["", "\u{0}\n", r#"{"type":"a","event":{"type":"a"}, "id" : "1"}"#] {
            // A timestamp alone is what QQ's validation has signed for anybody.
            if name == "qq-bot" && body.is_empty() {
                continue;
            }
            let draft = Draft { body: Some(Bytes::from_static(body.as_bytes())), ..Draft::default() };
            assert_eq!(delivery(&verifier, sign(&signer, draft)).body, body, "{name}");
        }
    }
}

#[test]
fn what_cannot_be_signed_says_why() {
    let (_, stripe) = pair("stripe");
    let draft = Draft { body: Some(r#"{"type":"a"}"#.into()), event: Some("b".into()), ..Draft::default() };
    let sign = |draft, secret| stripe.sign(draft, secret, NOW, &random()).unwrap_err();
    assert_eq!(sign(draft, 0), SignError::Body("json:type".into()));
    assert_eq!(sign(Draft::default(), 1), SignError::NoSecret(1));
    let table = r#"
        kind = "hmac"
        hash = "sha256"
        signature = { from = "header:S", encoding = "hex" }
        signed = ["{json:a}"]
    "#;
    let source = custom(table, settings(&serde_json::json!(["k"]))).unwrap();
    let error = source.sign(Draft::default(), 0, NOW, &random()).unwrap_err();
    assert_eq!(error, SignError::Incomplete(Rejection::Missing("json:a".into())));
}

#[test]
fn a_table_of_ones_own_signs_too() {
    let table = r#"
        kind = "digest"
        hash = "sha1"
        signature = { from = "query:sig", encoding = "hex" }
        signed = { sort = true, parts = ["{secret}", "{query:ts}", "{query:nonce}", "{json:encrypt}", "{path_query}"] }
        timestamp = { from = "query:ts", unit = "ms" }
        require = [{ from = "header:X-Version", in = ["v2", "v3"] }]
        id = "query:nonce"
        subject = "json:about"
    "#;
    // The signature is added to the query after signing, so `path_query` cannot be signed.
    let table = table.replace(r#", "{path_query}""#, "");
    let source = custom(&table, settings(&serde_json::json!(["key"]))).unwrap();
    let draft = || Draft {
        body: Some(r#"{"encrypt":"e","about":"s"}"#.into()),
        raw_query: "a=1".into(),
        ..Draft::default()
    };
    let request = sign(&source, draft());
    assert!(request.raw_query.starts_with("a=1&"), "{}", request.raw_query);
    let delivery = delivery(&source, request);
    assert_eq!((delivery.coverage, delivery.subject.as_deref()), (Coverage::Request, Some("s")));
    assert!(delivery.id_from_provider);
    let mut other = sign(&source, draft());
    other.headers = Headers::new();
    assert!(is_rejected(&source, other), "the pin");
    let mut twice = sign(&source, draft());
    twice.raw_query.push_str("&nonce=1");
    assert!(is_rejected(&source, twice), "a parameter given twice");
}

#[test]
fn urls_and_methods_are_signed_as_configured() {
    let table = r#"
        kind = "hmac"
        hash = "sha512"
        key = { encoding = "hex" }
        signature = { from = "header:Authorization", prefix = "HMAC ", encoding = "base64url" }
        signed = ["{method}", "{url}", "{path_query}", "{body}"]
    "#;
    let mut with_url = settings(&serde_json::json!(["00ff00ff"]));
    assert_eq!(custom(table, with_url.clone()).unwrap_err()[0].key, "url");
    with_url.url = Some("https://example.com/h?x=1".into());
    let source = custom(table, with_url).unwrap();
    let draft = Draft { path: "/h".into(), raw_query: "x=1".into(), ..Draft::default() };
    let request = sign(&source, draft);
    assert!(matches!(source.check("h", request.clone(), NOW), Verdict::Verified(_)));
    for change in [
        |r: &mut Request| r.method = "PUT".into(),
        |r: &mut Request| r.path = "/i".into(),
        |r: &mut Request| r.raw_query = "x=2".into(),
        |r: &mut Request| r.raw_query = String::new(),
    ] {
        let mut other = request.clone();
        change(&mut other);
        assert!(is_rejected(&source, other));
    }
}

/// Signed text cannot be moved into the query, even if a scheme signs it directly after the address.
#[test]
fn nothing_signed_is_moved_into_the_query() {
    let presets = ["square", "hubspot-v2", "hubspot-v3", "appwrite", "twilio-form"].map(|name| (name, ""));
    let tables = [
        r#"["{url}", "{body}"]"#,
        r#"["{url}", ".", "{body}"]"#,
        r#"["{path_query}", "{body}"]"#,
        r#"["{url}", "", "{header:X-T}", "{body}"]"#,
        r#"["{header:X-T}", "{url}", "{sorted_form}"]"#,
    ];
    for (name, signed) in presets.into_iter().chain(tables.map(|table| ("", table))) {
        let source = |url: &str| {
            let secret = if name.is_empty() { "a-key-of-custom-tables" } else { &secret_for(name) };
            let settings = Settings { url: Some(url.to_owned()), ..settings(&serde_json::json!([secret])) };
            let table = format!(
                "kind = \"hmac\"\nhash = \"sha256\"\nsignature = {{ from = \"header:X-S\", encoding = \"hex\" }}\nsigned = {signed}"
            );
            if name.is_empty() { custom(&table, settings) } else { Source::preset(name, settings) }.unwrap()
        };
        let (address, path) = ("https://example.com/h", "/h");
        for (query, body) in
            [("a=1", r#"[{"a":"b"},{"subscriptionType":"c"}]"#), ("a=1", "x=1&y=2&z=[3]."), ("", "?x=1.&y=2")]
        {
            let url = if query.is_empty() { address.to_owned() } else { format!("{address}?{query}") };
            let verifier = source(&url);
            let headers = [("X-T", "t"), ("Content-Type", "application/x-www-form-urlencoded")];
            let headers = headers.into_iter().collect();
            let draft = Draft {
                path: path.into(),
                body: Some(body.into()),
                raw_query: query.into(),
                headers,
                ..Draft::default()
            };
            let request = sign(&verifier, draft.clone());
            assert_eq!(delivery(&verifier, request.clone()).body, body, "{name} {signed}");
            for cut in 1..=body.len() {
                let (start, rest) = body.split_at(cut);
                let start = if query.is_empty() { start.trim_start_matches('?') } else { start };
                for more in [start.to_owned(), format!(".{start}"), format!("t{start}"), form_text(start)] {
                    let raw_query = format!("{query}{more}");
                    let moved = Request { raw_query, body: rest.to_owned().into(), ..request.clone() };
                    assert!(is_rejected(&verifier, moved), "{name} {signed}: {query}{more}");
                }
            }
            // The sender has signed this query, but it is refused all the same.
            let other = sign(&source(&format!("{address}?b=2")), Draft { raw_query: "b=2".into(), ..draft });
            assert!(is_rejected(&verifier, other), "{name} {signed}: another query");
        }
    }
}

/// Returns the names and values of a form as Twilio signs them.
fn form_text(form: &str) -> String {
    form.replace(['=', '&'], "")
}

/// The sender may choose the query if the end of the address is unambiguous in the signed text.
#[test]
fn a_query_that_ends_the_text_or_its_line_is_the_senders() {
    for signed in [
        r#"["{url}"]"#,
        r#"["{header:X-T}", "{url}"]"#,
        r#"["{url}", "\n", "{body}"]"#,
        r#"["{path_query}", " ", "{body}"]"#,
    ] {
        let table = format!(
            "kind = \"hmac\"\nhash = \"sha256\"\nsignature = {{ from = \"header:X-S\", encoding = \"hex\" }}\nsigned = {signed}"
        );
        let url = Some("https://example.com/h".to_owned());
        let source =
            custom(&table, Settings { url, ..settings(&serde_json::json!(["a-key-of-custom"])) }).unwrap();
        let headers = [("X-T", "t")].into_iter().collect();
        let draft = Draft { path: "/h".into(), raw_query: "b=2".into(), headers, ..Draft::default() };
        let request = sign(&source, draft);
        assert!(matches!(source.check("h", request.clone(), NOW), Verdict::Verified(_)), "{signed}");
        assert!(is_rejected(&source, Request { raw_query: "b=3".into(), ..request }), "{signed}");
    }
}

/// Signed text cannot be moved behind the address, even if a scheme signs the body in front of the address.
#[test]
fn nothing_signed_is_moved_behind_the_address() {
    let url = "https://example.com/h";
    for (name, body) in [
        ("trello", "x https://example.com/h?y=1&z="),
        ("trello", "https://example.com/h?https://example.com/h?"),
    ] {
        let settings = Settings { url: Some(url.into()), ..settings(&serde_json::json!([secret_for(name)])) };
        let source = Source::preset(name, settings).unwrap();
        let draft = Draft { path: "/h".into(), body: Some(body.into()), ..Draft::default() };
        let request = sign(&source, draft);
        assert!(!is_rejected(&source, request.clone()));
        let (start, rest) = body.split_once(url).unwrap();
        let raw_query = format!("{}{url}", rest.trim_start_matches('?'));
        assert!(is_rejected(&source, Request { raw_query, body: start.to_owned().into(), ..request }));
    }
}

/// Returns the header fields that a preset's scheme signs or compares, from its vectors.
fn signed_headers(preset: &str) -> BTreeSet<String> {
    let mut config = load(&file_of(preset))["config"].take();
    for naming in ["id", "event", "subject"] {
        config.as_object_mut().unwrap().remove(naming);
    }
    let fields = config.to_string();
    let names = fields.split("header:").skip(1).map(|rest| rest.split(['"', '}', ',']).next().unwrap());
    names.map(str::to_lowercase).collect()
}

/// Replaces the values of the field `name` by these (none, one or several).
fn with_values(headers: &Headers, name: &str, values: &[&[u8]]) -> Headers {
    let others = headers.iter().filter(|(n, _)| *n != name).map(|(n, v)| (n, Bytes::copy_from_slice(v)));
    let replaced = values.iter().map(|v| (name, Bytes::copy_from_slice(v)));
    others.chain(replaced).collect()
}

/// Decodes form text.
fn form(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

/// Returns every copy of a value with one flipped bit.
fn flips(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..value.len() * 8).map(|bit| {
        let mut flipped = value.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// Returns the members that are verified of the JSON in base64 that holds eBay's signature. Its others are the
/// key's id, which does not matter if the key is configured, and an algorithm that nobody reads.
fn what_ebay_verifies(header: &[u8]) -> Option<[String; 2]> {
    let object: serde_json::Value = serde_json::from_slice(&BASE64_STANDARD.decode(header).ok()?).ok()?;
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    Some([text("signature")?, text("digest")?])
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    for name in preset_names() {
        let (verifier, signer) = pair(name);
        let request = sign(&signer, Draft::default());
        // The address of the certificate does not matter if the key is configured.
        for header in signed_headers(name).iter().filter(|header| *header != "paypal-cert-url") {
            let value = request.headers.one(header).unwrap().to_vec();
            // The case of an authentication scheme does not matter, but everything after it does.
            let is_scheme = |value: &[u8]| header == "authorization" && value.contains(&b' ');
            let start = if is_scheme(&value) { value.iter().position(|b| *b == b' ').unwrap() } else { 0 };
            for flipped in flips(&value[start..]) {
                let flipped = [&value[..start], &flipped].concat();
                if header == "x-ebay-signature" && what_ebay_verifies(&flipped) == what_ebay_verifies(&value)
                {
                    continue;
                }
                let value = flipped;
                let mut other = request.clone();
                other.headers = with_values(&request.headers, header, &[&value]);
                assert!(is_rejected(&verifier, other), "{name} {header}: {}", value.escape_ascii());
            }
        }
        let good = delivery(&verifier, request.clone());
        // Twilio signs the decoded values of a form: %2b equals %2B.
        let is_same = |flipped: &Vec<u8>| name.starts_with("twilio") && form(flipped) == form(&request.body);
        let covered = good.coverage == Coverage::Body;
        for flipped in flips(&request.body).filter(|flipped| covered && !is_same(flipped)) {
            let mut other = request.clone();
            other.body = flipped.clone().into();
            match verifier.check("h", other, NOW) {
                Verdict::Rejected(_) => {}
                // The text around a ciphertext is not signed, and is not delivered.
                Verdict::Verified(other) if good.original.is_some() => {
                    assert_eq!((&other.body, &other.id), (&good.body, &good.id));
                }
                // Equivalent changes are white space and unsigned members of JSON, and escapes of a form.
                Verdict::Verified(other) if name.starts_with("alipay-notify") => {
                    assert_eq!(form(&other.body), form(&good.body));
                }
                Verdict::Verified(other) if ["aws-sns", "huawei-smn"].contains(&name) => {
                    // The signature does not cover which of the allowed values is used.
                    let said = |body: &[u8]| {
                        let mut said: serde_json::Value = serde_json::from_slice(body).unwrap();
                        for unsigned in ["SigningCertURL", "signing_cert_url", "signature_version"] {
                            said.as_object_mut().unwrap().remove(unsigned);
                        }
                        said
                    };
                    assert_eq!(said(&other.body), said(&good.body));
                }
                _ => panic!("{name} body: {}", flipped.escape_ascii()),
            }
        }
    }
}

#[test]
fn no_signed_header_is_dropped_doubled_joined_or_emptied() {
    for name in preset_names() {
        let (verifier, signer) = pair(name);
        let request = sign(&signer, Draft::default());
        let signature = verify(name)["signature"].take();
        let is_list = ["list", "kv"].contains(&signature["format"].as_str().unwrap_or_default());
        for header in &signed_headers(name) {
            let good = request.headers.one(header).unwrap();
            let joined = [good, b", ", good].concat();
            let tight = [good, b",", good].concat();
            let bad_first = [b"x, ".as_slice(), good].concat();
            let requires = verify(name)["require"].take();
            let is_optional = requires.as_array().into_iter().flatten().any(|pin| {
                let from = pin["from"].as_str().unwrap().to_lowercase();
                from == format!("header:{header}") && pin["optional"] == true
            });
            for values in [
                &[][..],
                &[b"".as_slice()],
                &[b" "],
                &[good, good],
                &[b"".as_slice(), good],
                &[b"x".as_slice(), good],
                &[good, b"x".as_slice()],
                &[&joined],
                &[&tight],
                &[&bad_first],
            ] {
                // These providers join signatures by a comma, which is not a list of fields.
                let is_several = signature["several"] == true
                    && signature["from"]
                        .as_str()
                        .unwrap()
                        .to_lowercase()
                        .contains(&header.to_lowercase().replace("-1", "-"));
                let may_have_commas = !values.is_empty()
                    && signature["commas"] == true
                    && [joined.as_slice(), bad_first.as_slice()].contains(&values[0]);
                // A gateway joins several fields by a comma.
                let is_joined = [joined.as_slice(), tight.as_slice()].iter().any(|text| values == [*text]);
                let may_be_joined = is_several && is_joined && signature["format"].is_null();
                // A field with no value is as good as none.
                let may_be_missing = is_optional && (values.is_empty() || values == [b""]);
                let may_repeat = is_several && values.contains(&good);
                if may_repeat || may_be_joined || may_have_commas || may_be_missing {
                    continue;
                }
                let lists = is_list && signature["sep"] == "," && signature["single"].is_null();
                if lists && values == [tight.as_slice()] {
                    continue;
                }
                let mut other = request.clone();
                other.headers = with_values(&request.headers, header, values);
                assert!(is_rejected(&verifier, other), "{name} {header}: {values:?}");
            }
        }
    }
}

/// Changes of signed parameters in the query are noticed, as in header fields.
#[test]
fn no_signed_parameter_is_flipped_dropped_doubled_or_emptied() {
    for (name, query, signed) in [
        ("tencent-im", "", &["Sign", "RequestTime"][..]),
        ("twilio-form", "a=1", &["a"]),
        ("twilio-json", "a=1", &["a", "bodySHA256"]),
        ("wechat-mp-plain", "nonce=12", &["signature", "timestamp", "nonce"]),
        ("wechat-mp-secure", "nonce=12", &["msg_signature", "timestamp", "nonce"]),
        ("wecom", "nonce=12", &["msg_signature", "timestamp", "nonce"]),
        ("dingtalk", "nonce=12", &["msg_signature", "timeStamp", "nonce"]),
    ] {
        let (verifier, signer) = match name {
            // A form is signed directly after the address, so its query must be the configured one.
            "twilio-form" => {
                let url = Some("https://example.com/h?a=1".to_owned());
                let secrets = settings(&serde_json::json!([secret_for(name)]));
                let source = Source::preset(name, Settings { url, ..secrets }).unwrap();
                (source.clone(), source)
            }
            _ => pair(name),
        };
        let request = sign(&signer, Draft { raw_query: query.into(), ..Draft::default() });
        let pairs: Vec<(&str, &str)> =
            request.raw_query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        for parameter in signed {
            let value = pairs.iter().find(|(key, _)| key == parameter).unwrap().1;
            let flipped = flips(value.as_bytes()).filter_map(|flipped| String::from_utf8(flipped).ok());
            let changes = flipped.map(|value| format!("{parameter}={value}")).chain([
                String::new(),
                format!("{parameter}="),
                format!("{parameter}={value}&{parameter}={value}"),
            ]);
            for change in changes {
                let others = pairs.iter().filter(|(key, _)| key != parameter);
                let others: Vec<String> = others.map(|(key, value)| format!("{key}={value}")).collect();
                let mut other = request.clone();
                other.raw_query = format!("{}&{change}", others.join("&"));
                assert!(is_rejected(&verifier, other), "{name}: {change}");
            }
        }
    }
}

/// Changes of signatures in an uncovered body are noticed.
#[test]
fn no_flipped_bit_of_a_signature_in_the_body_goes_unnoticed() {
    let (verifier, signer) = pair("mailgun");
    let request = sign(&signer, Draft::default());
    let end = request.body.windows(12).position(|part| part == b"\"event-data\"").unwrap();
    for flipped in flips(&request.body[..end]) {
        let mut other = request.clone();
        other.body = [&flipped, &request.body[end..]].concat().into();
        assert!(is_rejected(&verifier, other), "{}", flipped.escape_ascii());
    }
}

#[test]
fn another_secret_signs_in_vain() {
    for name in preset_names().filter(|name| *name != "none") {
        let (signer, verifier) = (pair(name).1, stranger(name));
        assert!(is_rejected(&verifier, sign(&signer, Draft::default())), "{name}");
    }
}

#[test]
fn time_passes() {
    for name in preset_names() {
        let info = preset_info(name).unwrap();
        let (Some(past), Some(ahead)) = (info.max_age, info.max_ahead) else { continue };
        // A request with an expiry time is signed to be valid for ten minutes.
        let expires = verify(name)["timestamp"]["unit"] == "expires";
        let validity = Duration::from_secs(600);
        let (past, future) = if expires { (validity, ahead.saturating_sub(validity)) } else { (past, ahead) };
        let [past, future] = [past, future].map(|span| i64::try_from(span.as_millis()).unwrap());
        let (verifier, signer) = pair(name);
        let request = sign(&signer, Draft::default());
        for (millis, want) in [
            (past, None),
            (past + 1, Some(Rejection::Stale)),
            (-future, None),
            (-future - 1, Some(Rejection::Future)),
        ] {
            let rejected = match verifier.check("h", request.clone(), NOW.shifted(millis)) {
                Verdict::Rejected(rejection) => Some(rejection),
                _ => None,
            };
            assert_eq!(rejected, want, "{name} {millis}");
        }
    }
}
