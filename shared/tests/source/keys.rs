//! Tests of public keys: their forms, their selection, and certificates that must be fetched.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::Request;
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Rejection, Settings, Source, Verdict, VerifyOutcome, VerifyStep};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use toml::de::DeTable;

use crate::kit::source::{
    NOW, RSA_KEY, check_with, custom, load, of_case, pair, params_for, random, settings,
};

const OTHER_KEY: &str = include_str!("../vectors/keys/rsa_other.pem");
const SHORT_KEY: &str = include_str!("../vectors/keys/rsa_1024.pem");
const P256_KEY: &str = include_str!("../vectors/keys/p256.pem");

/// Makes a self-signed certificate that is valid between these years; `NOW` is 2025-10-09.
fn certificate(key: &str, years: (i32, i32)) -> String {
    let mut params = CertificateParams::new(["sns.amazonaws.com".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    params.self_signed(&KeyPair::from_pem(key).unwrap()).unwrap().pem()
}

fn with(preset: &str, secrets: &[&str]) -> Result<Source, String> {
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let settings = Settings { secrets, params: params_for(preset), ..Settings::default() };
    Source::preset(preset, settings).map_err(|errors| errors[0].to_string())
}

fn signed(preset: &str) -> Request {
    pair(preset).1.sign(Draft::default(), 0, NOW, &random()).unwrap()
}

/// Replaces a member of the request's JSON body.
fn altered(request: &Request, member: &str, value: &str) -> Request {
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body[member] = json!(value);
    Request { body: body.to_string().into(), ..request.clone() }
}

fn outcome(source: &Source, request: Request, now: Timestamp, document: Option<&str>) -> String {
    match check_with(source, request, now, document.map(str::as_bytes)) {
        Verdict::Verified(delivery) => format!("verified by {:?}", delivery.secret),
        Verdict::Rejected(rejection) => rejection.as_str().to_owned(),
        Verdict::Fetch(address, _) => format!("fetch {address}"),
        Verdict::Unusable(address) => format!("unusable {address}"),
        Verdict::Confirm(address, response) => format!("confirm {} {}", address.target(), response.status),
        Verdict::Handshake(response) => format!("handshake {}", response.status),
    }
}

/// Builds a source without a key of its own, which must fetch one.
fn fetching() -> Source {
    with("aws-sns", &[]).unwrap()
}

#[test]
fn keys_are_written_in_every_usual_form() {
    let request = signed("aws-sns");
    let spki = pair("aws-sns").1.public_key(0).unwrap();
    let bare: String = spki.lines().filter(|line| !line.starts_with('-')).collect();
    // In a SubjectPublicKeyInfo of 2048 bits, PKCS #1 begins after the algorithm.
    let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &bare).unwrap();
    let pkcs1 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &der[24..]);
    let pkcs1_pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{pkcs1}\n-----END RSA PUBLIC KEY-----");
    let certificate = certificate(RSA_KEY, (2020, 2040));
    for key in
        [&spki, &bare, &pkcs1, &pkcs1_pem, &certificate, &format!("\n{spki}\n"), &spki.replace('\n', "\r\n")]
    {
        let source = with("aws-sns", &[key]).unwrap();
        assert_eq!(outcome(&source, request.clone(), NOW, None), "verified by Some(0)", "{key}");
        assert!(!format!("{source:?}").contains(&key[40..60]), "Debug shows no key");
    }
}

#[test]
fn what_is_no_rsa_key_of_2048_bits_is_refused() {
    let sign = |key: &str| with("aws-sns", &[key]).unwrap_err();
    assert_eq!(sign(SHORT_KEY), "secrets[0]: is a key of 1024 bits: use one of 2048 to 8192");
    // This key has a modulus of 8193 bits and the exponent 3; such a key is never usable.
    let modulus = [&[2, 0x82, 4, 1, 1][..], &[0xff; 1024]].concat();
    let long = [&[0x30, 0x82, 4, 8][..], &modulus, &[2, 1, 3]].concat();
    let long = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, long);
    assert_eq!(sign(&long), "secrets[0]: is a key of 8193 bits: use one of 2048 to 8192");
    for key in [
        P256_KEY,
        "key",
        "AAAA",
        "MAA=",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    ] {
        assert_eq!(
            sign(key),
            "secrets[0]: is not an RSA public key or certificate: write it as PEM",
            "{key}"
        );
    }
}

#[test]
fn a_key_is_chosen_among_the_configured_ones() {
    let keys = |ids: &str, secrets: &[&str]| {
        let settings = Settings {
            secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
            params: [("key_id", ids), ("apiv3_key", &"k".repeat(32))]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            url: None,
        };
        Source::preset("wechat-pay-v3", settings)
    };
    let request =
        |id: &str, key: &str| keys(id, &[key]).unwrap().sign(Draft::default(), 0, NOW, &random()).unwrap();
    let public = |key| keys("A", &[key]).unwrap().public_key(0).unwrap();
    let both = keys("OLD, NEW", &[&public(OTHER_KEY), &public(RSA_KEY)]).unwrap();
    assert_eq!(outcome(&both, request("OLD", OTHER_KEY), NOW, None), "verified by Some(0)");
    assert_eq!(outcome(&both, request("NEW", RSA_KEY), NOW, None), "verified by Some(1)");
    assert_eq!(outcome(&both, request("OLD", RSA_KEY), NOW, None), "no_match");
    assert_eq!(outcome(&both, request("NEWER", RSA_KEY), NOW, None), "unknown_key");
    for (ids, secrets) in [("A,B", vec![RSA_KEY]), ("A", vec![RSA_KEY, OTHER_KEY])] {
        let errors = keys(ids, &secrets).unwrap_err();
        assert!(errors[0].to_string().contains("name one id for each"), "{errors:?}");
    }
}

#[test]
fn a_certificate_is_asked_for_and_used() {
    let (source, request) = (fetching(), signed("aws-sns"));
    let address = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";
    let check = |document: &str| outcome(&source, request.clone(), NOW, Some(document));
    assert_eq!(outcome(&source, request.clone(), NOW, None), format!("fetch {address}"));
    assert_eq!(check(&certificate(RSA_KEY, (2020, 2040))), "verified by None");
    assert_eq!(check(&certificate(RSA_KEY, (2020, 2055))), "verified by None", "a year of four digits");
    assert_eq!(check(&certificate(OTHER_KEY, (2020, 2040))), "no_match");
    assert_eq!(check(&certificate(RSA_KEY, (2020, 2025))), "expired");
    assert_eq!(check(&certificate(RSA_KEY, (2026, 2040))), "expired", "not valid yet");
    // A bare key names neither its owner nor its validity.
    let bare = pair("aws-sns").1.public_key(0).unwrap();
    let garbage = ["", "<html>", &certificate(P256_KEY, (2020, 2040)), "-----BEGIN CERTIFICATE-----", &bare];
    for garbage in garbage {
        assert_eq!(check(garbage), format!("unusable {address}"), "{garbage}");
    }
    // A configured certificate replaces the fetched one, and its dates count as well.
    let old = with("aws-sns", &[&certificate(RSA_KEY, (2020, 2025))]).unwrap();
    assert_eq!(outcome(&old, request.clone(), NOW, None), "expired");
    let explained = source.explain(&request, NOW);
    assert!(matches!(explained.outcome, VerifyOutcome::Rejected(VerifyStep::Key, Rejection::Fetch(_))));
    assert!(explained.to_string().contains("pass it as a secret"), "{explained}");
}

#[test]
fn nothing_is_fetched_for_a_request_that_is_wrong_already() {
    let (source, request) = (fetching(), signed("aws-sns"));
    let late = NOW.shifted(66 * 60 * 1000);
    assert_eq!(outcome(&source, request.clone(), late, None), "stale");
    for (member, value, want) in [
        ("TopicArn", "arn:aws:sns:us-west-2:999999999999:MyTopic", "pinned"),
        ("SignatureVersion", "1", "pinned"),
        ("Type", "Other", "pinned"),
        ("Signature", "!", "malformed"),
        ("Signature", "", "missing"),
        ("MessageId", "1\nSubject\nx", "malformed"),
        ("SigningCertURL", "https://evil.example/SimpleNotificationService-0.pem", "not_allowed"),
    ] {
        assert_eq!(outcome(&source, altered(&request, member, value), NOW, None), want, "{member} {value}");
    }
}

/// Certificates are fetched only from allowed addresses.
#[test]
fn only_allowed_addresses_are_fetched() {
    let file = load("cert_url_allow");
    let mut seen = 0;
    for case in file["cases"].as_array().unwrap() {
        let (provider, url) =
            (case["provider"].as_str().unwrap().replace('_', "-"), case["url"].as_str().unwrap());
        // The message is of the address's region, because the region has a test of its own.
        let (source, mut request) = match region(url) {
            Some(region) if case["allow"] == true => of_region(&provider, region),
            _ => (with(&provider, &[]).unwrap(), signed(&provider)),
        };
        match provider.as_str() {
            "aws-sns" => request = altered(&request, "SigningCertURL", url),
            "huawei-smn" => request = altered(&request, "signing_cert_url", url),
            "aliyun-mns" => {
                let url = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, url);
                set_header(&mut request, "x-mns-signing-cert-url", url);
            }
            _ => set_header(&mut request, "paypal-cert-url", url.to_owned()),
        }
        // The undecided case names a region that does not exist.
        let want = if case["allow"] == true { format!("fetch {url}") } else { "not_allowed".to_owned() };
        assert_eq!(outcome(&source, request, NOW, None), want, "{provider}");
        seen += 1;
    }
    assert_eq!(seen, 23);
}

fn set_header(request: &mut Request, name: &str, value: String) {
    let others = request.headers.iter().filter(|(other, _)| *other != name);
    let others = others.map(|(name, value)| (name.to_owned(), bytes::Bytes::copy_from_slice(value)));
    request.headers = others.collect();
    request.headers.push(name, value);
}

/// Returns the region in an address of SNS or SMN.
fn region(url: &str) -> Option<&str> {
    url.strip_prefix("https://s")?.split('.').nth(1)
}

/// Builds a source without a key for a topic of this region, and a message of that topic.
fn of_region(preset: &str, region: &str) -> (Source, Request) {
    let (member, topic) = match preset {
        "aws-sns" => ("TopicArn", format!("arn:aws:sns:{region}:123456789012:MyTopic")),
        _ => ("topic_urn", format!("urn:smn:{region}:0a419ac94f80f2c62f14c01e34:test")),
    };
    let params = [("topic".to_owned(), topic.clone())].into_iter().collect();
    let source = Source::preset(preset, Settings { params, ..Settings::default() }).unwrap();
    (source, altered(&signed(preset), member, &topic))
}

/// Certificates are fetched from the topic's own region only; otherwise anybody who knows a topic's name
/// could make the function call any number of hosts.
#[test]
fn nothing_is_fetched_from_another_region_than_the_topics() {
    for (preset, member, region, own, others) in [
        (
            "aws-sns",
            "SigningCertURL",
            "eu-central-1",
            &["sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem"][..],
            &[
                "sns.eu-central-2.amazonaws.com/SimpleNotificationService-0.pem",
                "sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
                "sns.eu-central-1x.amazonaws.com/SimpleNotificationService-0.pem",
                "sns.xx-made-up.amazonaws.com/SimpleNotificationService-0.pem",
                "sns.amazonaws.com/SimpleNotificationService-0.pem",
                "sns.{region}.amazonaws.com/SimpleNotificationService-0.pem",
            ][..],
        ),
        (
            "huawei-smn",
            "signing_cert_url",
            "eu-de",
            &[
                "smn.eu-de.otc.t-systems.com/smn/SMN_0.pem",
                "smn.eu-de.myhuaweicloud.com/smn/SMN_eu-de_0.pem",
                "console.otc.t-systems.com/smn/SMN_eu-de_0.pem",
            ],
            &[
                "smn.eu-nl.otc.t-systems.com/smn/SMN_0.pem",
                "smn.cn-north-4.myhuaweicloud.com/smn/SMN_eu-de_0.pem",
                "console.otc.t-systems.com/smn/SMN_eu-nl_0.pem",
                "console.huaweicloud.com/smn/SMN_0.pem",
            ],
        ),
    ] {
        let (source, request) = of_region(preset, region);
        let fetched = |host_and_path: &str| {
            let url = format!("https://{host_and_path}");
            (outcome(&source, altered(&request, member, &url), NOW, None), url)
        };
        for own in own {
            let (outcome, url) = fetched(own);
            assert_eq!(outcome, format!("fetch {url}"));
        }
        for other in others {
            assert_eq!(fetched(other).0, "not_allowed", "{other}");
        }
        // A topic with an invalid region, or one with a special meaning in a pattern, has no certificate at
        // all.
        for wrong in ["*", "s3-eu-west-1", "obs", "", "eu-central-1.evil", "EU-de"] {
            let (source, request) = of_region(preset, wrong);
            let url = format!("https://{}", own[0].replace(region, wrong));
            assert_eq!(
                outcome(&source, altered(&request, member, &url), NOW, None),
                "not_allowed",
                "{wrong:?}"
            );
        }
    }
}

/// A configured key has no region: nothing is fetched, and the address does not matter.
#[test]
fn a_configured_key_has_no_region() {
    let (verifier, _) = pair("aws-sns");
    for region in ["us-east-1", "us-west-2"] {
        let url = format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-0.pem");
        let request = altered(&signed("aws-sns"), "SigningCertURL", &url);
        assert_eq!(outcome(&verifier, request, NOW, None), "verified by Some(0)");
    }
    let bucket = "https://sns.s3-ap-southeast-2.amazonaws.com/SimpleNotificationService-0.pem";
    let request = altered(&signed("aws-sns"), "SigningCertURL", bucket);
    assert_eq!(outcome(&verifier, request, NOW, None), "not_allowed");
}

#[test]
fn a_region_and_its_place_belong_together() {
    let table = |source: &str| {
        format!(
            "kind = \"rsa\"\nhash = \"sha256\"\nsigned = [\"{{body}}\"]\n\
             signature = {{ from = \"header:S\", encoding = \"base64\" }}\n\
             key_source = {{ cert_url = \"header:C\", {source} }}"
        )
    };
    let errors = |source: &str| {
        let text = table(source);
        let mistakes = Mistakes::new("hooks.toml", &text);
        let document = DeTable::parse(&text).unwrap();
        let built =
            Source::custom(Table::new(&mistakes, "verify", 0, document.get_ref()), settings(&json!([])));
        drop(built);
        mistakes.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let region = r#"region = { from = "header:R", part = 1 }"#;
    assert_eq!(errors(&format!(r#"{region}, allow = ["a.{{region}}.example.com/"]"#)), "");
    for wrong in [
        r#"allow = ["a.{region}.example.com/"]"#.to_owned(),
        format!(r#"{region}, allow = ["a.example.com/"]"#),
        r#"region = { from = "header:R" }, allow = ["a.{region}.example.com/"]"#.to_owned(),
        r#"region = { from = "header:R", part = 0 }, allow = ["a.{region}.example.com/"]"#.to_owned(),
        format!(r#"{region}, allow = ["a.{{region}}.com/"]"#),
        format!(r#"{region}, allow = ["a.{{region}}/"]"#),
    ] {
        assert_ne!(errors(&wrong), "", "{wrong}");
    }
}

/// An address in an object store is never the service's, because anybody can own a bucket of that name with a
/// certificate in it.
#[test]
fn no_object_store_is_the_service() {
    let source = with("huawei-smn", &[]).unwrap();
    for host in [
        "smn.obs.myhuaweicloud.com",
        "smn.obs.myhuaweicloud.eu",
        "smn.obs.otc.t-systems.com",
        "smn.obs-website.otc.t-systems.com",
        "smn.cn-north-4.obs.myhuaweicloud.com",
    ] {
        let request =
            altered(&signed("huawei-smn"), "signing_cert_url", &format!("https://{host}/smn/SMN_x.pem"));
        assert_eq!(outcome(&source, request, NOW, None), "not_allowed", "{host}");
    }
    for domain in ["cn-north-4.myhuaweicloud.com", "af-south-1.myhuaweicloud.com", "eu-nl.otc.t-systems.com"]
    {
        let url = format!("https://smn.{domain}/smn/SMN_x.pem");
        let (source, request) = of_region("huawei-smn", region(&url).unwrap());
        let request = altered(&request, "signing_cert_url", &url);
        assert_eq!(outcome(&source, request, NOW, None), format!("fetch {url}"));
    }
}

#[test]
fn an_empty_subject_is_signed_as_a_line_or_left_out() {
    let (verifier, signer) = pair("huawei-smn");
    let sample: Value = serde_json::from_slice(&signed("huawei-smn").body).unwrap();
    let with_subject = |subject: Option<&str>| {
        let mut body = sample.clone();
        match subject {
            Some(subject) => body["subject"] = json!(subject),
            None => drop(body.as_object_mut().unwrap().remove("subject")),
        }
        body
    };
    let sign = |source: &Source, body: &Value| {
        let draft = Draft { body: Some(body.to_string().into()), ..Draft::default() };
        source.sign(draft, 0, NOW, &random()).unwrap()
    };
    // The guide leaves an empty subject out, and so does the signer.
    let left_out = sign(&signer, &with_subject(Some("")));
    assert_eq!(outcome(&verifier, left_out.clone(), NOW, None), "verified by Some(0)");
    let other_text = altered(&left_out, "subject", "Hello");
    assert_eq!(outcome(&verifier, other_text, NOW, None), "no_match");
    let missing = sign(&signer, &with_subject(None));
    assert_eq!(outcome(&verifier, missing.clone(), NOW, None), "verified by Some(0)");
    assert_eq!(outcome(&verifier, altered(&missing, "subject", ""), NOW, None), "verified by Some(0)");
    // SMN's samples sign an empty line, tested here with a signature over the text itself.
    let body = with_subject(Some(""));
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    let lines = ["message", "message_id", "subject", "timestamp", "topic_urn", "type"];
    let lines = lines.map(|key| [key, "\n", &text(key), "\n"].concat()).concat();
    let plain = custom(
        "kind = \"rsa\"\nhash = \"sha256\"\nsigned = [\"{body}\"]\n\
         signature = { from = \"header:S\", encoding = \"base64\" }",
        settings(&json!([RSA_KEY])),
    )
    .unwrap();
    let draft = Draft { body: Some(lines.into()), ..Draft::default() };
    let made = plain.sign(draft, 0, NOW, &random()).unwrap();
    let signature = String::from_utf8(made.headers.one("s").unwrap().to_vec()).unwrap();
    let with_line = altered(&Request { body: body.to_string().into(), ..missing }, "signature", &signature);
    assert_eq!(outcome(&verifier, with_line, NOW, None), "verified by Some(0)");
}

/// An MNS message has its id in a header field or in its body.
#[test]
fn mns_names_a_message_in_a_header_or_in_its_body() {
    let header = |request: &Request| {
        let mut named =
            request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-mns-message-id"));
        named.next().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
    };
    let (request, settings) = of_case(&load("aliyun_mns")["cases"][0]);
    let source = Source::preset("aliyun-mns", settings).unwrap();
    let (verifier, signer) = pair("aliyun-mns");
    let made = |body: &'static str| {
        let draft = Draft { body: Some(body.into()), ..Draft::default() };
        (verifier.clone(), signer.sign(draft, 0, NOW, &random()).unwrap())
    };
    for ((source, request), of_body) in [
        ((source, request), Some("1")),
        (made(r#"{"MessageId":"5F29","Message":"hello"}"#), Some("5F29")),
        // A message in the simplified format has no id in its body.
        (made("any text <"), None),
    ] {
        let of_header = header(&request);
        assert_eq!(of_header.is_some(), of_body.is_none());
        match source.check("h", request, NOW) {
            Verdict::Verified(delivery) => {
                assert_eq!(Some(delivery.id.as_str()), of_body.or(of_header.as_deref()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_what_is_signed_travels_on() {
    let signed_of = |preset: &str, unsigned: &[(&str, &str)]| {
        let (verifier, _) = pair(preset);
        let add = |request, (member, value): &(&str, &str)| altered(&request, member, value);
        let request = unsigned.iter().fold(signed(preset), add);
        let Verdict::Verified(delivery) = verifier.check("h", request, NOW) else { panic!("{preset}") };
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        let mut names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names.join(" ")
    };
    let evil = "https://evil.example/";
    assert_eq!(
        signed_of("aws-sns", &[("UnsubscribeURL", evil), ("SubscribeURL", evil), ("Token", "t"), ("X", "x")]),
        "Message MessageId Signature SignatureVersion SigningCertURL Subject Timestamp TopicArn Type"
    );
    assert_eq!(
        signed_of("huawei-smn", &[("unsubscribe_url", evil), ("subscribe_url", evil)]),
        "message message_id signature signature_version signing_cert_url subject timestamp topic_urn type"
    );
}

#[test]
fn a_subscription_is_confirmed_by_a_call_to_the_provider() {
    for (preset, kind, url, address) in [
        (
            "aws-sns",
            "Type",
            "SubscribeURL",
            "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=t",
        ),
        (
            "huawei-smn",
            "type",
            "subscribe_url",
            "https://console.otc.t-systems.com/smn/subscription/confirm?token=t",
        ),
    ] {
        let (verifier, signer) = pair(preset);
        let sign = |address: &str| {
            let mut body: Value = serde_json::from_slice(&signed(preset).body).unwrap();
            body[kind] = json!("SubscriptionConfirmation");
            body[url] = json!(address);
            body["Token"] = json!("t");
            let draft = Draft { body: Some(body.to_string().into()), ..Draft::default() };
            signer.sign(draft, 0, NOW, &random()).unwrap()
        };
        let good = sign(address);
        let target = address.split_once(".com").unwrap().1;
        assert_eq!(outcome(&verifier, good.clone(), NOW, None), format!("confirm {target} 200"));
        assert!(!format!("{:?}", verifier.check("h", good.clone(), NOW)).contains("=t"), "no token in Debug");
        // An address that was changed after signing, or that is not on one of the provider's hosts, is
        // rejected.
        let other = address.replace("token=t", "token=u").replace("Token=t", "Token=u");
        assert_eq!(outcome(&verifier, altered(&good, url, &other), NOW, None), "no_match");
        for evil in [
            "https://evil.example/",
            "http://169.254.169.254/",
            "https://sns.amazonaws.com.evil.example/",
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
            "https://smn.eu-nl.otc.t-systems.com/smn/subscription/confirm?token=t",
            "https://cn-north-4-console.huaweicloud.com/smn/subscription/confirm?token=t",
        ] {
            assert_eq!(outcome(&verifier, sign(evil), NOW, None), "not_allowed", "{evil}");
        }
        // Without a key, no address is called: the key is fetched first.
        let fetching = with(preset, &[]).unwrap();
        assert!(outcome(&fetching, good, NOW, None).starts_with("fetch "));
    }
}

#[test]
fn weak_schemes_are_warned_of() {
    let warned = |preset: &str, part: &str| pair(preset).0.warnings().iter().any(|text| text.contains(part));
    assert!(warned("paypal", "only a CRC-32 of the body is signed"));
    assert!(!warned("aws-sns", "CRC"));
    let table = "kind = \"rsa\"\nhash = \"sha1\"\nsigned = [\"{body}\"]\n\
                 signature = { from = \"header:S\", encoding = \"base64\" }";
    let source = custom(table, settings(&json!([RSA_KEY]))).unwrap();
    assert!(source.warnings().iter().any(|text| text.contains("SHA-1")));
}

proptest! {
    #[test]
    fn no_key_and_no_document_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..2000_usize, flip: u8) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &bytes);
        for secret in [&text, &base64] {
            drop(with("aws-sns", &[secret]));
        }
        // The certificate is damaged in one byte.
        let mut damaged = certificate(RSA_KEY, (2020, 2040)).into_bytes();
        let place = cut % damaged.len();
        damaged[place] = flip;
        let (source, request) = (fetching(), signed("aws-sns"));
        for document in [&bytes[..], &damaged] {
            let verdict = check_with(&source, request.clone(), NOW, Some(document));
            prop_assert!(!matches!(verdict, Verdict::Fetch(..) | Verdict::Confirm(..)));
        }
        prop_assert!(!matches!(
            check_with(&source, request.clone(), NOW, Some(&bytes)),
            Verdict::Verified(_)
        ));
    }
}
