//! Tests of handshakes with an answer that is computed, guarded or given in header fields: each makes its own
//! check, and none serves as a signing oracle.

use std::io::Write;
use std::sync::{Arc, Mutex};

use hookmq_shared::http::{Request, Response};
use hookmq_shared::problem::Problem;
use hookmq_shared::source::{Rejection, Settings, Source, Verdict};
use serde_json::{Value, json};

use crate::kit::source::{
    NOW, custom, handshake, load, pair, params_for, query, rejection, request, settings, sign,
};

fn with(name: &str, secret: &str, params: &[(&str, &str)]) -> Source {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Source::preset(name, Settings { params, ..settings(&json!([secret])) }).unwrap()
}

/// Returns the request of a provider's vector, and the expected answer.
fn vector(provider: &str) -> (Request, Value) {
    let file = load("handshakes");
    let case = file["cases"].as_array().unwrap().iter().find(|case| case["provider"] == provider).unwrap();
    let headers: Vec<Value> =
        case["headers"].as_object().into_iter().flatten().map(|(n, v)| json!([n, v])).collect();
    let body = case["body"].as_str().unwrap_or_default().into();
    let mut request = request(case["method"].as_str().unwrap(), &headers.into(), body);
    request.raw_query = query(case["url"].as_str().unwrap_or_default());
    (request, case["response"].clone())
}

/// Compares an answer with the members that the vector specifies.
fn assert_is(response: &Response, want: &Value) {
    assert_eq!(u64::from(response.status), want["status"].as_u64().unwrap());
    if !want["json"].is_null() {
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(serde_json::from_str::<Value>(&response.body).unwrap(), want["json"]);
    }
    for (name, value) in want["headers"].as_object().into_iter().flatten() {
        assert_eq!(response.header(&name.to_ascii_lowercase()), value.as_str(), "{name}");
    }
}

#[test]
fn zooms_token_is_hashed_only_for_zoom() {
    let (unsigned, want) = vector("zoom");
    let zoom = with("zoom", "zoom-secret", &[]);
    let body = std::str::from_utf8(&unsigned.body).unwrap();
    assert_is(&handshake(&zoom, sign(&zoom, body)), &want);
    assert_eq!(rejection(&zoom, unsigned.clone()), Rejection::Missing("header:x-zm-signature".into()));
    let stranger = with("zoom", "another secret", &[]);
    assert_eq!(rejection(&zoom, sign(&stranger, body)), Rejection::NoMatch);
    for token in ["v0:1760000000:{}", "{}", "", &"a".repeat(129)] {
        let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } });
        assert!(
            matches!(zoom.check("h", sign(&zoom, &body.to_string()), NOW), Verdict::Rejected(_)),
            "{token}"
        );
    }
    // After a rotation, the answer uses the secret that Zoom signed with.
    let both = Source::preset("zoom", settings(&json!(["new secret", "zoom-secret"]))).unwrap();
    assert_is(&handshake(&both, sign(&zoom, body)), &want);
}

#[test]
fn an_origin_is_let_in_if_it_is_on_the_list() {
    let (options, want) = vector("cloudevents");
    let source =
        with("cloudevents", "a token of sixteen", &[("origins", "other.example, EventEmitter.example.com")]);
    assert_eq!(source.methods(), "POST, OPTIONS");
    assert_is(&handshake(&source, options.clone()), &want);
    let mut without_rate = request("OPTIONS", &json!([]), Vec::new());
    assert_eq!(rejection(&source, without_rate.clone()), Rejection::Refused(Problem::MethodNotAllowed("")));
    without_rate.headers.push("webhook-request-origin", "other.example");
    let granted = handshake(&source, without_rate);
    assert_eq!(granted.header("webhook-allowed-origin"), Some("other.example"));
    assert_eq!(granted.header("webhook-allowed-rate"), Some("*"));
    for origins in ["", "*", "example.com", "eventemitter.example.co", "x.eventemitter.example.com"] {
        let params = [("origins", origins)];
        let source =
            with("cloudevents", "a token of sixteen", if origins.is_empty() { &[] } else { &params });
        assert_eq!(
            rejection(&source, options.clone()),
            Rejection::Refused(Problem::MethodNotAllowed("")),
            "{origins}"
        );
    }
    let mut odd = options;
    odd.headers.push("WebHook-Request-Origin", "eventemitter.example.com");
    assert_eq!(rejection(&source, odd), Rejection::Refused(Problem::MethodNotAllowed("")));
    let mut token = request("GET", &json!([["Authorization", "Bearer a token of sixteen"]]), Vec::new());
    assert_eq!(rejection(&source, token.clone()), Rejection::NoDelivery);
    token.method = "HEAD".into();
    assert_eq!(handshake(&source, token), Response::new(200, "", ""));
}

#[test]
fn event_grid_validates_with_its_token() {
    let (mut validation, want) = vector("azure_event_grid");
    let source = with("azure-event-grid", "a token of sixteen", &[]);
    assert_eq!(rejection(&source, validation.clone()), Rejection::Missing("query:code".into()));
    validation.raw_query = "code=a+token+of+sixteen".into();
    assert_is(&handshake(&source, validation), &want);
    let mut options =
        request("OPTIONS", &json!([["WebHook-Request-Origin", "eventgrid.azure.net"]]), Vec::new());
    options.raw_query = "code=a+token+of+sixteen".into();
    let granted = handshake(&source, options.clone());
    assert_eq!(granted.header("webhook-allowed-origin"), Some("eventgrid.azure.net"));
    assert_eq!(granted.header("webhook-allowed-rate"), Some("*"));
    // The clouds of other countries have other origins; the token says who asks.
    for origin in ["eventgrid.azure.us", "eventgrid.azure.cn"] {
        options.headers = [("webhook-request-origin", origin)].into_iter().collect();
        assert_eq!(handshake(&source, options.clone()).header("webhook-allowed-origin"), Some(origin));
    }
    options.raw_query = "code=another".into();
    assert_eq!(rejection(&source, options), Rejection::NoMatch);
}

/// Runs `act` and returns everything that it logs.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn notions_token_is_shown_during_setup_and_never_kept() {
    let (unsigned, want) = vector("notion");
    let (source, signer) = pair("notion");
    let text = logged(|| {
        let response = handshake(&source, unsigned.clone());
        assert_is(&response, &want);
        assert_eq!(response.body, "");
    });
    assert!(text.contains("set the parameter setup") && !text.contains("tMrlL1"), "{text}");
    // Notion shows the token nowhere else, and waits until a person pastes it back.
    let setup = with("notion", "any secret of sixteen", &[("setup", "true")]);
    let text = logged(|| assert_is(&handshake(&setup, unsigned.clone()), &want));
    assert!(text.contains("paste it where Notion asks for it") && text.contains("tMrlL1"), "{text}");
    assert!(!format!("{setup:?}").contains("tMrlL1"));
    // A value that is not a token could forge a log line.
    for odd in ["a b", "a\nlevel=ERROR", "\u{7f}", &"s".repeat(129)] {
        let body = json!({ "verification_token": odd }).to_string();
        let request = Request { body: body.into(), ..unsigned.clone() };
        let refused = Rejection::Malformed("json:verification_token".into());
        assert_eq!(rejection(&setup, request), refused, "{odd:?}");
    }
    // Notion signs this request with the very token that it brings, which nobody knows yet.
    let mut claimed = unsigned.clone();
    claimed.headers.push("X-Notion-Signature", "sha256=00");
    assert_is(&handshake(&setup, claimed), &want);
    let event = sign(&signer, r#"{"id":"1","type":"page.created","verification_token":"x"}"#);
    assert!(matches!(source.check("h", event, NOW), Verdict::Verified(_)));
}

#[test]
fn a_probe_is_answered_and_nothing_else() {
    for name in ["intercom", "trello"] {
        let (source, signer) = pair(name);
        assert_eq!(source.methods(), "HEAD, POST");
        let head = request("HEAD", &json!([]), Vec::new());
        let answer = handshake(&source, head);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{name}");
        let get = Request { method: "GET".into(), ..sign(&signer, "{}") };
        assert_eq!(rejection(&source, get), Rejection::NoDelivery, "{name}");
    }
}

#[test]
fn woocommerces_ping_is_no_delivery() {
    let (source, signer) = pair("woocommerce");
    let form = json!([["Content-Type", "application/x-www-form-urlencoded"]]);
    let ping = request("POST", &form, b"webhook_id=7".to_vec());
    let answer = handshake(&source, ping.clone());
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let missing = Rejection::Missing("header:X-WC-Webhook-Signature".into());
    assert_eq!(rejection(&source, Request { body: "{}".into(), ..ping.clone() }), missing);
    // A signed request is a delivery.
    assert!(matches!(source.check("h", sign(&signer, "webhook_id=7"), NOW), Verdict::Verified(_)));
    let mut forged = ping;
    forged.headers.push("X-WC-Webhook-Signature", "AAAA");
    assert_eq!(rejection(&source, forged), Rejection::NoMatch);
}

#[test]
fn a_wrong_verify_token_has_metas_status() {
    let source = with("meta", "app-secret", &[("verify_token", "meatyhamhock")]);
    let (mut get, _) = vector("meta");
    let right = get.raw_query.clone();
    let (rest, _) = right.split_once("&hub.verify_token").unwrap();
    for wrong in ["&hub.verify_token=x", "&hub.verify_token=", ""] {
        get.raw_query = format!("{rest}{wrong}");
        assert_eq!(rejection(&source, get.clone()), Rejection::Refused(Problem::Forbidden), "{wrong}");
    }
}

#[test]
fn x_is_answered_what_no_body_can_use() {
    let (get, want) = vector("x_twitter");
    let source = with("x-twitter", "consumer-secret", &[]);
    assert_is(&handshake(&source, get.clone()), &want);
    let ask = |token: &str| Request { raw_query: format!("crc_token={token}"), ..get.clone() };
    for token in ["%7B%7D", "%7B%22for_user_id%22%3A%221%22%7D", "a%20b", "a,b", "%22a%22", &"a".repeat(129)]
    {
        let refused = rejection(&source, ask(token));
        assert_eq!(refused, Rejection::Malformed("query:crc_token".into()), "{token}");
    }
    assert!(matches!(rejection(&source, ask("")), Rejection::Missing(_)));
    // Digits and some words are both a token and JSON, but an answered token must not pass as a delivery.
    for text in ["1", "true", "YWRvYmUK", &"1".repeat(128)] {
        let answer: Value = serde_json::from_str(&handshake(&source, ask(text)).body).unwrap();
        let signature = answer["response_token"].as_str().unwrap();
        let headers = json!([["x-twitter-webhooks-signature", signature]]);
        let forged = request("POST", &headers, text.as_bytes().to_vec());
        assert_eq!(rejection(&source, forged), Rejection::NoDelivery, "{text}");
    }
    let rotated = Source::preset("x-twitter", settings(&json!(["consumer-secret", "the old one"]))).unwrap();
    assert_is(&handshake(&rotated, get), &want);
}

#[test]
fn asanas_secret_is_given_back_only_during_setup() {
    let ask = |value: &str| request("POST", &json!([["X-Hook-Secret", value]]), b"{}".to_vec());
    let (source, _) = pair("asana");
    assert_eq!(rejection(&source, ask("s3cret")), Rejection::Missing("header:X-Hook-Signature".into()));
    for off in ["false", "no", "True", "1"] {
        let source = with("asana", "a secret of sixteen", &[("setup", off)]);
        assert!(matches!(rejection(&source, ask("s3cret")), Rejection::Missing(_)), "{off}");
    }
    let setup = with("asana", "a secret of sixteen", &[("setup", "true")]);
    let answer = handshake(&setup, ask("b537207f20cbfa02357cf448134da559"));
    assert_eq!(answer.header("x-hook-secret"), Some("b537207f20cbfa02357cf448134da559"));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    for odd in ["a\r\nset-cookie: a=b", "\u{7f}", "é"] {
        assert_eq!(rejection(&setup, ask(odd)), Rejection::Malformed("x-hook-secret".into()), "{odd:?}");
    }
    assert_eq!(rejection(&setup, ask(&"s".repeat(1025))), Rejection::ChallengeTooLong);
}

#[test]
fn graphs_validation_token_is_text() {
    let (validation, want) = vector("msgraph");
    let (source, _) = pair("ms-graph");
    let answer = handshake(&source, validation.clone());
    assert_eq!((answer.status, answer.body.as_str()), (200, want["body"].as_str().unwrap()));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    for (query, want) in [
        (format!("validationToken={}", "v".repeat(1025)), Rejection::ChallengeTooLong),
        ("validationToken=a&validationToken=b".into(), Rejection::Ambiguous("query:validationToken".into())),
        ("validationToken=%ff".into(), Rejection::Malformed("query:validationToken".into())),
    ] {
        assert_eq!(rejection(&source, Request { raw_query: query, ..validation.clone() }), want);
    }
    let empty = Request { raw_query: "validationToken=".into(), ..validation };
    assert!(matches!(source.check("h", empty, NOW), Verdict::Rejected(_)));
}

/// The values are those of Tencent's page; its request has no signature headers.
#[test]
fn qqs_validation_is_signed_and_signs_no_delivery() {
    let source = with("qq-bot", "DG5g3B4j9X2KOErG", &[]);
    let ask = |ts: &str, token: &str| {
        let body = json!({ "d": { "plain_token": token, "event_ts": ts }, "op": 13 });
        request("POST", &json!([["X-Bot-Appid", "11111111"]]), body.to_string().into_bytes())
    };
    let answer: Value =
        serde_json::from_str(&handshake(&source, ask("1725442341", "Arq0D5A61EgUu4OxUvOp")).body).unwrap();
    assert_eq!(
        answer,
        json!({ "plain_token": "Arq0D5A61EgUu4OxUvOp", "signature": "87befc99c42c651b3aac0278e71ada338433ae26fcb24307b\
            dc5ad38c1adc2d01bcfcadc0842edac85e85205028a1132afe09280305f13aa6909ffc2d652c706" })
    );
    // Only what no delivery can be is signed: the body of one is an object.
    for (ts, token) in [("1760000000", "{}"), ("1760000000{", "a"), ("1760000000", &"a".repeat(128))] {
        assert!(matches!(rejection(&source, ask(ts, token)), Rejection::Malformed(_)), "{token}");
    }
    for body in ["1", "true", "abc"] {
        let answer: Value = serde_json::from_str(&handshake(&source, ask("1760000000", body)).body).unwrap();
        let headers =
            json!([["X-Signature-Timestamp", "1760000000"], ["X-Signature-Ed25519", answer["signature"]]]);
        let forged = request("POST", &headers, body.as_bytes().to_vec());
        assert_eq!(rejection(&source, forged), Rejection::NoDelivery, "{body}");
    }
    // Further secrets verify; the first one answers.
    let both = Source::preset("qq-bot", settings(&json!(["DG5g3B4j9X2KOErG", "another"]))).unwrap();
    assert!(handshake(&both, ask("1725442341", "Arq0D5A61EgUu4OxUvOp")).body.contains("87befc99c42c"));
}

#[test]
fn braintrees_challenge_is_signed_as_deliveries_are() {
    let source = with("braintree", "a-private-key-of-braintree-for-tests", &[("public_key", "a_public_key")]);
    let ask = |challenge: &str| {
        let raw_query = format!("bt_challenge={challenge}");
        Request { raw_query, ..request("GET", &json!([]), Vec::new()) }
    };
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let response = handshake(&source, ask(challenge));
    assert_eq!(response.body, "a_public_key|0532a9fd5ac0e3be744eb46f8caa148fec289504");
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert!(matches!(rejection(&source, ask("%7B%7D")), Rejection::Malformed(_)));
    // What anybody can have signed is never a payload.
    let body = format!("bt_signature={}&bt_payload={challenge}", response.body.replace('|', "%7C"));
    assert_eq!(rejection(&source, request("POST", &json!([]), body.into_bytes())), Rejection::NoDelivery);
}

#[test]
fn a_challenge_may_be_hashed_with_the_address() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{body}\"]\nmethods = \"GET, POST\"\n\
                 signature = { from = \"header:S\", encoding = \"hex\" }\n\
                 [[handshake]]\nbefore_verify = true\nmethod = \"GET\"\nstatus = 200\ntype = \"text/plain\"\n\
                 body = [\"{base64(sha256(query:c,url))}\"]";
    let with = |url: Option<&str>| Settings { url: url.map(str::to_owned), ..settings(&json!(["a secret"])) };
    let source = custom(table, with(Some("https://example.com/hook"))).unwrap();
    let ask = |c: &str| Request { raw_query: format!("c={c}"), ..request("GET", &json!([]), Vec::new()) };
    assert_eq!(handshake(&source, ask("abc")).body, "PhNmNbT1S1qBo3s53XnPhp3kUNIGqTEfwCrt6IZToCg=");
    assert_eq!(rejection(&source, ask("a.b")), Rejection::Malformed("query:c".into()));
    assert_eq!(custom(table, with(None)).unwrap_err()[0].key, "url");
}

#[test]
fn ebays_challenge_is_hashed_with_token_and_address() {
    let ebay = |url: Option<&str>| {
        let params = params_for("ebay");
        Source::preset("ebay", Settings { params, url: url.map(str::to_owned), ..Settings::default() })
    };
    let ask = |code: &str| {
        let raw_query = format!("challenge_code={code}");
        Request { raw_query, ..request("GET", &json!([]), Vec::new()) }
    };
    // Code, token and address are those of eBay's libraries.
    let source = ebay(Some("http://www.testendpoint.com/webhook")).unwrap();
    let response = handshake(&source, ask("a8628072-3d33-45ee-9004-bee86830a22d"));
    let hash = "ca527df75caa230092d7e90484071e8f05d63068f1317973d6a3a42593734bbb";
    assert_eq!(response.body, format!(r#"{{"challengeResponse":"{hash}"}}"#));
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    for other in ["%7B%7D", "a.b", &"a".repeat(129)] {
        assert!(matches!(rejection(&source, ask(other)), Rejection::Malformed(_)), "{other}");
    }
    assert!(matches!(rejection(&source, ask("")), Rejection::Missing(_)));
    let mistakes = ebay(None).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].key, "url");
}

/// Only the hosts of the source are given its credentials.
#[test]
fn ebays_credentials_go_to_ebay_alone() {
    for (api, is_known) in [
        ("api.ebay.com", true),
        ("api.sandbox.ebay.com", true),
        ("api.ebay.com.evil.example", false),
        ("x", false),
    ] {
        let mut params = params_for("ebay");
        params.insert("api".to_owned(), api.to_owned());
        let url = Some("https://example.com/hook".to_owned());
        let made = Source::preset("ebay", Settings { params, url, ..Settings::default() });
        let keys: Vec<String> = made.err().unwrap_or_default().into_iter().map(|error| error.key).collect();
        assert_eq!(keys, if is_known { vec![] } else { vec!["params.api"] }, "{api}");
    }
}

#[test]
fn stravas_challenge_is_json_and_has_its_token() {
    let source = with("strava", "of-the-address", &[("verify_token", "STRAVA")]);
    let ask = |token: &str| Request {
        raw_query: format!("hub.verify_token={token}&hub.challenge=15f7d1a91c1f40&hub.mode=subscribe"),
        ..request("GET", &json!([]), Vec::new())
    };
    let response = handshake(&source, ask("STRAVA"));
    assert_eq!(response.body, r#"{"hub.challenge":"15f7d1a91c1f40"}"#);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(rejection(&source, ask("other")), Rejection::Refused(Problem::Forbidden));
}

#[test]
fn vercels_endpoint_shows_its_proof() {
    let source = with("vercel-drains", "secret", &[("verify", "87b9f4d2c5a1")]);
    let response = handshake(&source, request("GET", &json!([]), Vec::new()));
    assert_eq!((response.status, response.header("x-vercel-verify")), (200, Some("87b9f4d2c5a1")));
    assert!(matches!(rejection(&source, request("POST", &json!([]), b"[]".to_vec())), Rejection::Missing(_)));
}

/// A stranger who sends a challenge gets its signature; the same text must not pass as what a delivery has signed, in
/// whatever way the source puts that text together.
#[test]
fn no_text_that_is_signed_for_anybody_is_a_delivery() {
    let hmac = |rest: &str| format!("kind = \"hmac\"\nhash = \"sha256\"\n{rest}\n");
    let raw = "signature = { from = \"header:S\", encoding = \"hex\" }";
    let answers = [
        "type = \"text/plain\"\nbody = [\"{hex(sign(query:c))}\"]",
        "headers = { x-hook-secret = \"{hex(sign(query:c))}\" }",
        "type = \"text/plain\"\nbody = [\"{hex(hmac_sha256(query:c))}\"]",
    ];
    let any = "kind = \"any\"\nverify = [\n{ kind = \"hmac\", hash = \"sha256\", signature = { from = \"header:S\", \
               encoding = \"hex\" }, signed = [\"{header:T}\", \"{sha256(body):hex}\"], secrets = [0] },\n{ kind = \
               \"token\", from = \"header:X\", secrets = [1] }]\n";
    let digest = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
    for (table, challenge, headers, body) in [
        (hmac(&format!("{raw}\nsigned = [\"{{body}}\"]")), "evil", json!([["S", "SIG"]]), "evil".to_owned()),
        (
            hmac(
                "signature = { from = \"header:S\", format = \"kv\", sep = \",\", take = \"v1\", encoding = \"hex\" }\nsigned = [\"{sigkv:t}\", \"{body}\"]",
            ),
            "1760000000evil",
            json!([["S", "t=1760000000,v1=SIG"]]),
            "evil".to_owned(),
        ),
        (
            hmac(
                "items = \"json:events\"\nsignature = { from = \"item:sig\", encoding = \"hex\" }\nsigned = [\"{item:id}\"]",
            ),
            "evil-1",
            json!([]),
            r#"{"events":[{"id":"evil-1","sig":"SIG"}]}"#.to_owned(),
        ),
        (
            hmac(
                "signature = { from = \"form:sign\", encoding = \"hex\" }\nsigned = [\"{sorted_pairs:sign}\"]",
            ),
            "evil%3D",
            json!([]),
            "evil=&sign=SIG".to_owned(),
        ),
        (
            any.to_owned(),
            &format!("1760000000{digest}"),
            json!([["S", "SIG"], ["T", "1760000000"]]),
            "body".to_owned(),
        ),
    ] {
        for answer in answers {
            // The signature of a set of verifiers is that of none of them.
            if table.starts_with("kind = \"any\"") && answer.contains("sign(") {
                continue;
            }
            let table = format!(
                "{table}methods = \"GET, POST\"\n[[handshake]]\nbefore_verify = true\nmethod = \"GET\"\nstatus = 200\n{answer}"
            );
            let secrets = json!(["correct horse battery", "the token of the others"]);
            let secrets =
                if table.starts_with("kind = \"any\"") { secrets } else { json!(["correct horse battery"]) };
            let source = custom(&table, settings(&secrets)).unwrap();
            let raw_query = format!("c={challenge}");
            let asked = handshake(&source, Request { raw_query, ..request("GET", &json!([]), Vec::new()) });
            let sig = asked.header("x-hook-secret").unwrap_or(&asked.body);
            assert_eq!(sig.len(), 64, "{table}");
            let with = |text: &str| text.replace("SIG", sig);
            let headers: Value = serde_json::from_str(&with(&headers.to_string())).unwrap();
            let forged = request("POST", &headers, with(&body).into_bytes());
            assert_eq!(rejection(&source, forged), Rejection::NoDelivery, "{table}");
        }
    }
}
