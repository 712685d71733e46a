//! Tests of the outcome of a request: delivery, handshake or rejection, and the values that must never appear
//! in it.

use std::sync::LazyLock;

use bytes::Bytes;
use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::{Headers, Request, Response};
use hookmq_shared::source::{
    Draft, Rejection, Settings, Source, Verdict, VerifyOutcome, VerifyStep, is_credential_header,
    preset_info, preset_names,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::source::{NOW, custom, load, pair, query, random, request, sample, settings};

fn preset(name: &str, secret: &str) -> Source {
    Source::preset(name, settings(&json!([secret]))).unwrap()
}

fn delivery(source: &Source, request: Request) -> Delivery {
    match source.check("shop", request, NOW) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}

fn handshake(source: &Source, request: Request) -> Response {
    match source.check("shop", request, NOW) {
        Verdict::Handshake(response) => response,
        other => panic!("{other:?}"),
    }
}

fn rejection(source: &Source, request: Request) -> Rejection {
    match source.check("shop", request, NOW) {
        Verdict::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

fn signed(source: &Source, body: &str) -> Request {
    let draft = Draft { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Draft::default() };
    source.sign(draft, 0, NOW, &random()).unwrap()
}

fn names(delivery: &Delivery) -> Vec<&str> {
    delivery.headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_delivery_keeps_what_may_be_kept() {
    let (source, _) = pair("github");
    let mut request = signed(&source, "{}");
    for (name, value) in [
        ("Content-Type", &b"application/json; charset=utf-8"[..]),
        ("User-Agent", b"GitHub-Hookshot/1"),
        ("X-Latin", b"caf\xe9"),
        ("Authorization", b"Bearer x"),
        ("Cookie", b"a=b"),
        ("Proxy-Authorization", b"Basic x"),
        ("X-Amz-Security-Token", b"x"),
        ("X-CFF-Security-Token", b"x"),
        ("X-Cff-Secret-Key", b"x"),
        ("X-Scf-Secret-Id", b"x"),
        ("X-Auth-Token", b"x"),
        ("X-Security-Token", b"x"),
        ("X-Subject-Token", b"x"),
        ("X-Tc-Token", b"x"),
        ("Connection", b"close"),
        ("Transfer-Encoding", b"chunked"),
        ("Upgrade", b"h2c"),
    ] {
        if name == "Content-Type" {
            request.headers = request
                .headers
                .iter()
                .filter(|(n, _)| *n != "content-type")
                .map(|(n, v)| (n.to_owned(), v.to_vec()))
                .collect();
        }
        request.headers.push(name, value.to_vec());
    }
    let delivery = delivery(&source, request);
    assert_eq!(
        names(&delivery),
        [
            "x-github-delivery",
            "x-github-event",
            "x-hub-signature-256",
            "content-type",
            "user-agent",
            "x-latin"
        ]
    );
    assert_eq!(delivery.headers.last().unwrap().1, "café");
    assert_eq!(delivery.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!((delivery.hook.as_str(), delivery.received_at), ("shop", NOW));
    assert_eq!((delivery.coverage, delivery.secret), (Coverage::Body, Some(0)));
    assert!(is_credential_header("COOKIE") && !is_credential_header("x-cf"));
    for name in ["X-Api-Key", "X-Apig-AppCode", "X-Amzn-Oidc-Accesstoken", "X-CFF-Security-Secret-Key"] {
        assert!(is_credential_header(name), "{name}");
    }
}

/// Credentials of any source or platform are not kept, even those of other hooks' sources, or if a sender has
/// several.
#[test]
fn no_credential_of_any_source_or_platform_is_kept() {
    let (source, _) = pair("github");
    let credentials = "X-Gitlab-Token X-Telegram-Bot-Api-Secret-Token X-Buildkite-Token X-Codeup-Token X-Gitee-Token \
        X-Repo-Token X-Webhook-Secret X-Hook-Secret Authorization Proxy-Authorization Cookie Cookie2 Set-Cookie \
        X-Serverless-Authorization X-Original-Authorization X-Forwarded-Access-Token X-Forwarded-Id-Token \
        X-Goog-Iap-Jwt-Assertion X-Goog-Channel-Token X-Goog-Api-Key X-Ms-Token-Aad-Access-Token \
        X-Ms-Token-Aad-Id-Token X-Amzn-Oidc-Data X-Amzn-Oidc-Accesstoken X-Amz-Security-Token \
        Cf-Access-Jwt-Assertion Cf-Access-Client-Secret X-Functions-Key X-RapidAPI-Key Ocp-Apim-Subscription-Key \
        X-Api-Key Apikey X-ApiKey Api-Key X-Access-Key X-Auth-Key X-Vault-Token X-Csrf-Token X-Auth-Token \
        X_Auth_Token X-Acme-AccessToken X-User-Password X-Shop-Passphrase X-Client-Credentials X-Apig-Appcode";
    let signatures = "X-Hub-Signature X-Authorization-Digest I-Twilio-Idempotency-Token Idempotency-Key X-Event-Key \
        Paypal-Auth-Algo X-Token-Signature X-Forwarded-For X-Forwarded-User Host X-Request-Id X-Monkey";
    let mut request = signed(&source, "{}");
    for name in credentials.split_whitespace().chain(signatures.split_whitespace()) {
        request.headers.push(name, "a-live-credential");
    }
    request.raw_query =
        "a=b&token=live&ACCESS%5ftoken=live&api_key=live&code=live&sig=1&flag&secret=".to_owned();
    let delivery = delivery(&source, request);
    let kept: Vec<String> = delivery.headers[4..].iter().map(|(name, _)| name.clone()).collect();
    let want: Vec<String> = signatures.split_whitespace().map(str::to_ascii_lowercase).collect();
    assert_eq!(kept, want);
    let query =
        "a=b&token=[removed]&ACCESS%5ftoken=[removed]&api_key=[removed]&code=[removed]&sig=1&flag&secret=";
    assert_eq!(delivery.query, query);
}

#[test]
fn no_credential_in_a_copy_of_the_address_is_kept() {
    let (source, _) = pair("github");
    let mut request = signed(&source, "{}");
    for name in ["X-Original-Url", "X-Envoy-Original-Path", "X-Forwarded-Uri", "X-Rewrite-Url", "Referer"] {
        request.headers.push(name, "https://x.example/github?a=b&token=live&token[]=live&token%00=live#top");
    }
    request.headers.push("X-Plain", "what? a=x");
    request.raw_query = "token[]=live&token%5b%5d=live&token%00x=live&tokens=live&a[]=b".to_owned();
    let delivery = delivery(&source, request);
    for (name, value) in &delivery.headers[4..9] {
        let masked = "https://x.example/github?a=b&token=[removed]&token[]=[removed]&token%00=[removed]#top";
        assert_eq!(value, masked, "{name}");
    }
    assert_eq!(delivery.headers[9].1, "what? a=x");
    let query = "token[]=[removed]&token%5b%5d=[removed]&token%00x=[removed]&tokens=[removed]&a[]=b";
    assert_eq!(delivery.query, query);
}

#[test]
fn an_unusable_id_is_replaced_by_one_of_the_content() {
    let (source, _) = pair("github");
    let with_id = |id: &[u8]| {
        let mut request = signed(&source, "{}");
        let others = request.headers.iter().filter(|(n, _)| *n != "x-github-delivery");
        request.headers = others.map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        request.headers.push("X-GitHub-Delivery", id.to_vec());
        delivery(&source, request)
    };
    let long = "i".repeat(128);
    assert_eq!(with_id(long.as_bytes()).id, long);
    // Computed independently: sha256(4 "shop" 4 "push" -1 2 "{}"), the numbers as eight bytes each.
    let made = "sha256-af33d86b535d0ddef50dce412f84d71792b32d5a6bc76aaa9d37c0aadb06df47";
    for id in [&b""[..], b"a b", b"a\n", "\u{e9}".as_bytes(), b"\xff", "i".repeat(129).as_bytes()] {
        let delivery = with_id(id);
        assert_eq!((delivery.id.as_str(), delivery.id_from_provider), (made, false));
    }
    let mut doubled = signed(&source, "{}");
    doubled.headers.push("X-GitHub-Event", "release");
    assert_eq!(rejection(&source, doubled), Rejection::Ambiguous("header:X-GitHub-Event".into()));
}

#[test]
fn a_json_key_given_twice_is_refused() {
    let (source, _) = pair("stripe");
    let request = signed(&source, r#"{"id":"1","type":"a","type":"b"}"#);
    assert_eq!(rejection(&source, request), Rejection::Ambiguous("json:type".into()));
}

/// Providers and presets of the handshakes with an answer that is not computed, fetched or remembered.
const HANDSHAKES: [(&str, &str); 6] = [
    ("slack", "slack"),
    ("meta", "meta"),
    ("dropbox", "dropbox"),
    ("discord_interaction", "discord"),
    ("discord_webhook_event", "discord"),
    ("wechat_mp", "wechat-mp-plain"),
];

#[test]
fn handshakes_are_answered_as_the_vectors_say() {
    let mut answered = Vec::new();
    let file = load("handshakes");
    for case in file["cases"].as_array().unwrap() {
        let provider = case["provider"].as_str().unwrap();
        let Some((_, name)) = HANDSHAKES.iter().find(|(known, _)| *known == provider) else { continue };
        let (mut verifier, signer) = pair(name);
        let body = case["body"].as_str().unwrap_or_default();
        let mut request = request(case["method"].as_str().unwrap(), &json!([]), body.into());
        request.raw_query = query(case["url"].as_str().unwrap_or_default());
        if let Some(secret) = case["secret"].as_str() {
            verifier = preset(name, secret);
        }
        if let Some(token) = case["verify_token"].as_str() {
            let params = [("verify_token".to_owned(), token.to_owned())].into();
            verifier = Source::preset(name, Settings { params, ..settings(&json!(["app-secret"])) }).unwrap();
        }
        if case["signed"] == true {
            assert!(matches!(rejection(&verifier, request), Rejection::Missing(_)), "{provider}");
            request = signed(&signer, body);
        }
        assert!(verifier.methods().contains(&request.method), "{provider}");
        let response = handshake(&verifier, request);
        let want = &case["response"];
        assert_eq!(u64::from(response.status), want["status"].as_u64().unwrap());
        match (&want["json"], &want["body"]) {
            (Value::Null, body) => assert_eq!(response.body, body.as_str().unwrap()),
            (json, _) => assert_eq!(serde_json::from_str::<Value>(&response.body).unwrap(), *json),
        }
        let content_type = response.header("content-type").unwrap_or_default();
        assert!(want["content_type"].as_str().is_none_or(|types| types.contains(content_type)), "{provider}");
        // A browser must never take a reflected value for a page.
        let nosniff = (content_type != "application/json").then_some("nosniff");
        assert_eq!(response.header("x-content-type-options"), nosniff, "{provider}");
        assert!(["", "text/plain", "application/json"].contains(&content_type), "{provider}");
        answered.push(provider);
    }
    assert_eq!(answered, HANDSHAKES.map(|(provider, _)| provider));
}

/// The query of a GET is forwarded, so a signed body would be acknowledged and lost.
#[test]
fn a_get_with_a_body_is_not_a_delivery() {
    let signature = "signature = { from = \"header:S\", encoding = \"hex\" }";
    let table = |more: &str| {
        format!(
            "kind = \"hmac\"\nhash = \"sha256\"\n{signature}\nsigned = [\"{{path_query}}\", \".\", \"{{body}}\"]\n{more}"
        )
    };
    let gets = custom(&table("delivers_by_get = true"), settings(&json!(["a-secret-of-sixteen"]))).unwrap();
    let other = custom(&table("methods = \"GET, POST\""), settings(&json!(["a-secret-of-sixteen"]))).unwrap();
    for (source, body, is_delivery) in
        [(&gets, "", true), (&gets, "a=1", false), (&gets, " ", false), (&other, "", false)]
    {
        let draft =
            Draft { method: "GET".into(), path: "/h".into(), body: Some(body.into()), ..Draft::default() };
        let request = source.sign(draft, 0, NOW, &random()).unwrap();
        assert_eq!(request.method, "GET");
        match source.check("h", request, NOW) {
            Verdict::Verified(_) if is_delivery => {}
            Verdict::Rejected(rejection) if !is_delivery => assert_eq!(rejection, Rejection::NoDelivery),
            other => panic!("{body:?}: {other:?}"),
        }
    }
}

#[test]
fn a_reflected_challenge_is_asked_for_rightly() {
    let get = |raw_query: &str| {
        let mut request = request("GET", &json!([]), Vec::new());
        raw_query.clone_into(&mut request.raw_query);
        request
    };
    let token = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    let meta = |params: &[(&str, &str)]| {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Source::preset("meta", Settings { params, ..settings(&json!(["app-secret"])) }).unwrap()
    };
    let with = meta(&[("verify_token", "right")]);
    assert_eq!(handshake(&with, get(&format!("{token}right"))).body, "1");
    for wrong in ["wrong", "app-secret", "right&hub.challenge=2", "right&hub.verify_token=right", ""] {
        let query = format!("{token}{wrong}");
        assert!(matches!(with.check("h", get(&query), NOW), Verdict::Rejected(_)), "{wrong}");
    }
    assert_eq!(handshake(&meta(&[]), get(&format!("{token}app-secret"))).body, "1");
    // Another mode is not a handshake, and as a delivery it is not signed.
    let other = "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=right";
    assert_eq!(rejection(&with, get(other)), Rejection::Missing("header:X-Hub-Signature-256".into()));

    let dropbox = preset("dropbox", "app-secret");
    let odd = handshake(&dropbox, get("challenge=%3Cscript%3E"));
    assert_eq!((odd.body.as_str(), odd.header("content-type")), ("<script>", Some("text/plain")));
    let long = format!("challenge={}", "c".repeat(1025));
    assert_eq!(rejection(&dropbox, get(&long)), Rejection::ChallengeTooLong);
    assert_eq!(rejection(&dropbox, get("")), Rejection::Missing("header:X-Dropbox-Signature".into()));
    // A POST is never a handshake, regardless of its query.
    let post = Request { method: "POST".into(), ..get("challenge=1") };
    assert_eq!(rejection(&dropbox, post), Rejection::Missing("header:X-Dropbox-Signature".into()));

    // WeChat's signature and its age are checked first.
    let wechat = preset("wechat-mp-plain", "tok");
    let signed = "signature=182160e5f65957bf9687b59092332919e83bba35&timestamp=1760000000&nonce=12";
    let ask = || get(&format!("{signed}&echostr=8837492"));
    assert_eq!(handshake(&wechat, ask()).body, "8837492");
    assert!(matches!(wechat.check("h", ask(), NOW.shifted(300_001)), Verdict::Rejected(Rejection::Stale)));
    assert_eq!(rejection(&preset("wechat-mp-plain", "other"), ask()), Rejection::NoMatch);
}

#[test]
fn senders_are_answered_as_they_want() {
    let ack = |name: &str| {
        let (source, delivery) = sample(name);
        source.ack("accepted", &delivery)
    };
    assert_eq!(ack("adyen-header"), Response::new(202, "", ""));
    assert_eq!(ack("wechat-mp-plain"), Response::new(200, "", ""));
    assert_eq!(ack("tencent-trtc"), Response::new(200, "application/json", r#"{"code":0}"#));
    let im = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;
    assert_eq!(ack("tencent-im"), Response::new(200, "application/json", im));
    assert_eq!(ack("zoom").status, 200);
}

#[test]
fn an_event_of_discord_is_no_ping() {
    let (verifier, signer) = pair("discord");
    let body = r#"{"version":1,"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#;
    let event = delivery(&verifier, signed(&signer, body));
    assert_eq!(event.event.as_deref(), Some("ENTITLEMENT_CREATE"));
    let interaction = delivery(&verifier, signed(&signer, r#"{"id":"7","type":2}"#));
    assert_eq!((interaction.event.as_deref(), interaction.id.as_str()), (Some("2"), "7"));
    assert_eq!(verifier.ack("accepted", &event), Response::new(204, "", ""));
    // Its consumer answers an interaction later, at an address of its own.
    assert_eq!(verifier.ack("accepted", &interaction), Response::new(202, "", ""));
}

#[test]
fn okta_is_answered_with_its_own_header() {
    let okta = preset("okta", "an-authentication-secret");
    let ask = |secret: &str| {
        let headers = [["authorization", secret], ["x-okta-verification-challenge", "a\"b"]];
        request("GET", &json!(headers), Vec::new())
    };
    let response = handshake(&okta, ask("an-authentication-secret"));
    assert_eq!(response.body, r#"{"verification":"a\"b"}"#);
    assert_eq!(rejection(&okta, ask("another")), Rejection::NoMatch);
    let mut unnamed = ask("an-authentication-secret");
    unnamed.headers = [("authorization", "an-authentication-secret")].into_iter().collect();
    let missing = Rejection::Missing("header:X-Okta-Verification-Challenge".into());
    assert_eq!(rejection(&okta, unnamed), missing);
}

#[test]
fn twitch_is_answered_once_it_has_signed() {
    let (twitch, _) = pair("twitch");
    let mut request = signed(&twitch, r#"{"challenge":"c","subscription":{"id":"1"}}"#);
    assert!(matches!(twitch.check("h", request.clone(), NOW), Verdict::Verified(_)));
    request.headers.push("twitch-eventsub-message-type", "webhook_callback_verification");
    let response = handshake(&twitch, request.clone());
    assert_eq!((response.status, response.body.as_str()), (200, "c"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    request.body = r#"{"challenge":"d","subscription":{"id":"1"}}"#.into();
    assert_eq!(rejection(&twitch, request), Rejection::NoMatch);
}

#[test]
fn a_challenge_is_bounded_and_escaped() {
    let feishu = preset("feishu", "v-token");
    let ask = |challenge: &str| {
        let body = json!({ "challenge": challenge, "token": "v-token", "type": "url_verification" });
        request("POST", &json!([]), body.to_string().into_bytes())
    };
    let odd = "\"},{\"<script>\u{0}é";
    assert_eq!(handshake(&feishu, ask(odd)).body, json!({ "challenge": odd }).to_string());
    assert_eq!(handshake(&feishu, ask(&"c".repeat(1024))).status, 200);
    assert_eq!(rejection(&feishu, ask(&"c".repeat(1025))), Rejection::ChallengeTooLong);
    assert_eq!(rejection(&feishu, ask("")), Rejection::Missing("json:challenge".into()));
    // A signature header makes the request a signed one, whose signature must be right.
    let mut claimed = ask("c");
    claimed.headers.push("X-Lark-Signature", "00");
    assert!(matches!(rejection(&feishu, claimed), Rejection::Missing(_)));
    let (verifier, signer) = pair("feishu");
    let body = r#"{"type":"url_verification","challenge":"c"}"#;
    assert_eq!(handshake(&verifier, signed(&signer, body)).body, r#"{"challenge":"c"}"#);
}

#[test]
fn explanations_show_the_step_and_what_was_signed() {
    let (feishu, _) = pair("feishu");
    let mut request = signed(&feishu, r#"{"a":"b"}"#);
    let explanation = feishu.explain(&request, NOW);
    let signed = String::from_utf8(explanation.signed.clone().unwrap()).unwrap();
    assert!(signed.starts_with("1760000000") && signed.ends_with(r#"<secret>{"a":"b"}"#), "{signed}");
    assert!(explanation.to_string().starts_with("accepted: digest by secrets[0]\n"));
    request.body = "{}".into();
    let explanation = feishu.explain(&request, NOW);
    assert_eq!(explanation.outcome, VerifyOutcome::Rejected(VerifyStep::Signature, Rejection::NoMatch));
    assert!(explanation.to_string().contains("rejected: signature: no configured secret matches"));
    let late = feishu.explain(&self::signed(&feishu, "{}"), NOW.shifted(9 * 3_600_000));
    assert_eq!(late.outcome, VerifyOutcome::Rejected(VerifyStep::Timestamp, Rejection::Stale));
    request.headers = Headers::new();
    assert_eq!(feishu.explain(&request, NOW).signed, None);
}

#[test]
fn presets_tell_what_they_are() {
    for (name, kind, seconds, prefix) in [
        ("github", "hmac", 10, Some("com.github")),
        ("gitlab-signing-token", "hmac", 10, Some("com.gitlab")),
        ("slack", "hmac", 3, Some("com.slack")),
        ("shopify", "hmac", 5, Some("com.shopify")),
        ("stripe", "hmac", 10, Some("com.stripe")),
        ("discord", "ed25519", 3, Some("com.discord")),
        ("feishu", "digest", 3, Some("cn.feishu")),
        ("bearer", "token", 10, None),
        ("standard-webhooks", "hmac", 15, None),
    ] {
        let info = preset_info(name).unwrap();
        let (source, _) = pair(name);
        assert_eq!(
            (info.kind, info.deadline.as_secs(), source.type_prefix()),
            (kind, seconds, prefix),
            "{name}"
        );
        let methods = if name == "slack" { "GET, POST" } else { "POST" };
        assert_eq!((source.deadline(), source.methods()), (info.deadline, methods));
    }
    assert!(preset_info("nope").is_err());
    let param = preset_info("feishu").unwrap().params.remove(0);
    assert_eq!((param.name.as_str(), param.required, param.secret), ("verification_token", false, true));
    let (github, signer) = pair("github");
    let draft = Draft { id: Some("a\"b".to_owned()), ..Draft::default() };
    let request = signer.sign(draft, 0, NOW, &random()).unwrap();
    let ack = github.ack("ignored", &delivery(&github, request));
    assert_eq!((ack.status, ack.body.as_str()), (200, r#"{"status":"ignored","id":"a\"b"}"#));
}

/// Generates text as in signatures, and arbitrary text.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "(v1|v1a|v0|t|sha256)[,=][0-9a-f]{0,64}([, ](v1|t)[,=][0-9A-Za-z+/=]{0,88}){0,12}",
        any::<String>(),
    ]
}

fn odd_request() -> impl Strategy<Value = Request> {
    let header_names = prop_oneof![
        "(X-)?[A-Za-z0-9-]{1,12}",
        Just("Stripe-Signature".to_owned()),
        Just("webhook-signature".to_owned()),
        Just("webhook-id".to_owned()),
        Just("webhook-timestamp".to_owned()),
        Just("X-Slack-Signature".to_owned()),
        Just("X-Slack-Request-Timestamp".to_owned()),
        Just("Authorization".to_owned()),
        Just("X-Lark-Signature".to_owned()),
    ];
    let bodies = prop_oneof![
        any::<Vec<u8>>(),
        r#"\{"(type|token|header|challenge|a)":("url_verification"|[01]|"[a-z]{0,5}"|\{|\[\{)\}?"#
            .prop_map(String::into_bytes),
        "([a-z]=[%0-9A-F+]{0,9}&?){0,9}".prop_map(String::into_bytes),
    ];
    let values = prop_oneof![odd_text().prop_map(String::into_bytes), any::<Vec<u8>>()];
    (proptest::collection::vec((header_names, values), 0..8), odd_text(), bodies).prop_map(
        |(headers, raw_query, body)| Request {
            method: "POST".into(),
            path: "/".into(),
            raw_query,
            headers: headers.into_iter().collect(),
            body: body.into(),
            request_id: String::new(),
            received: tokio::time::Instant::now(),
            source_ip: None,
            deadline: None,
        },
    )
}

/// Every preset, and token sources for places that no preset uses.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let token = |from| custom(&format!("kind = \"token\"\nfrom = \"{from}\""), settings(&json!([TOKEN])));
    let tokens = ["query:a", "form:a", "json:a.0"].map(|from| token(from).unwrap());
    preset_names().map(|name| pair(name).0).chain(tokens).collect()
});

const TOKEN: &str = "s3cret-t0ken-value";

proptest! {
    #[test]
    fn no_request_makes_it_panic_and_none_gets_in(request in odd_request()) {
        for source in SOURCES.iter() {
            let explained = source.explain(&request, NOW).to_string();
            prop_assert!(!explained.contains(TOKEN));
            let verdict = source.check("h", request.clone(), NOW);
            let is_in = matches!(verdict, Verdict::Verified(d) if d.coverage != Coverage::None);
            prop_assert!(!is_in);
        }
    }
}
