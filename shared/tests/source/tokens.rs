//! Tests that a token is never passed on: it is replaced in every place and in every spelling.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookmq_shared::delivery::{Content, Delivery};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::message::{Format, Recipe, Template};
use hookmq_shared::source::{Draft, Settings, Source, Verdict, VerifyOutcome};
use serde_json::json;

use crate::kit::source::{NOW, RSA_KEY, custom, random, rejection, request, settings};

const TOKEN: &str = "s3cret-t0ken-value";
const KEY: &str = "staple and other words";

fn preset(name: &str, secret: &str) -> Source {
    Source::preset(name, settings(&json!([secret]))).unwrap()
}

fn table(from: &str) -> Source {
    custom(&format!("kind = \"token\"\nfrom = \"{from}\""), settings(&json!([TOKEN]))).unwrap()
}

fn delivery(source: &Source, request: Request) -> Delivery {
    match source.check("shop", request, NOW) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}

fn post(headers: &[[&str; 2]], body: &str) -> Request {
    request("POST", &json!(headers), body.as_bytes().to_vec())
}

/// Returns every output of the function: both kinds of message, and the texts that may be logged or answered.
fn shown(source: &Source, delivery: &Delivery) -> String {
    let topic = Template::parse("t").unwrap();
    let messages = [Format::CloudEvents, Format::Raw].map(|format| {
        let recipe = Recipe {
            topic: &topic,
            check_topic: |_| Ok(()),
            format,
            keep_original: true,
            key: None,
            tag: None,
            source_uri: "",
            type_prefix: None,
        };
        recipe
            .render(delivery)
            .map(|message| format!("{message:?} {} {:?}", message.text, message.properties))
    });
    let Content { id, event, subject, content_type, headers, body, .. } = &**delivery;
    let named = format!("{id} {event:?} {subject:?} {content_type:?} {headers:?} {body:?} {delivery:?}");
    format!("{messages:?} {named} {:?} {source:?}", source.ack("accepted", delivery))
}

/// Builds sources that read a token, each with a request that contains `TOKEN`, and the kept body.
fn token_requests() -> Vec<(Source, Request, String)> {
    const BODY: &str = r#"{"ok":true}"#;
    let with = |name: &str, value: &str| post(&[[name, value]], BODY);
    let mut query = post(&[], BODY);
    query.raw_query = format!("a=b&token={TOKEN}");
    query.headers.push("X-Original-Url", format!("/h?token={TOKEN}"));
    let copied = "kind = \"token\"\nfrom = \"query:token\"\nevent = \"header:X-Original-Url\"";
    let copied = custom(copied, settings(&json!([TOKEN]))).unwrap();
    let basic = format!("user:{TOKEN}");
    let encoded = BASE64_STANDARD.encode(&basic);
    let event =
        |token: &str| format!(r#"{{"schema":"2.0", "header":{{"token" : "{token}","event_id":"e"}}}}"#);
    let parts = |token: &str| {
        let part = |name: &str, value| {
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        part("a", "1") + &part("t", token) + "--b--"
    };
    let several = [["Content-Type", "multipart/form-data; boundary=b"]];
    vec![
        (preset("bearer", TOKEN), with("Authorization", &format!("Bearer {TOKEN}")), BODY.into()),
        (preset("basic", &basic), with("Authorization", &format!("Basic {encoded}")), BODY.into()),
        (preset("gitlab-secret-token", TOKEN), with("X-Gitlab-Token", TOKEN), BODY.into()),
        (preset("telegram", TOKEN), with("X-Telegram-Bot-Api-Secret-Token", TOKEN), BODY.into()),
        (preset("feishu-token", TOKEN), post(&[], &event(TOKEN)), event("[verified]")),
        (copied, query.clone(), BODY.into()),
        (table("query:token"), query, BODY.into()),
        (table("form:t"), post(&[], &format!("a=1&t={TOKEN}&b=2")), "a=1&t=[verified]&b=2".into()),
        (table("form:t"), post(&several, &parts(TOKEN)), parts("[verified]")),
        (
            table("json:a.0"),
            post(&[], &format!(r#"{{"a":["{TOKEN}",1]}}"#)),
            r#"{"a":["[verified]",1]}"#.into(),
        ),
    ]
}

#[test]
fn a_token_is_nowhere_afterwards() {
    let encoded = BASE64_STANDARD.encode(format!("user:{TOKEN}"));
    for (source, mut request, kept) in token_requests() {
        let is_basic = request.headers.one("authorization").is_some_and(|v| v.starts_with(b"Basic"));
        // In another encoding it is a different token, which only the source that reads it knows.
        let leaks = |text: &str| text.contains(TOKEN) || (is_basic && text.contains(&encoded));
        // Gateways copy credentials into fields of their own.
        for copied in [TOKEN, &encoded] {
            request.headers.push("X-Forwarded-Authorization", format!("Basic {copied}"));
        }
        let explanation = source.explain(&request, NOW);
        assert_eq!(explanation.outcome, VerifyOutcome::Verified(Some(0)));
        assert!(!leaks(&format!("{explanation} {explanation:?} {source:?}")));
        let mut wrong = request.clone();
        wrong.headers = Headers::new();
        wrong.raw_query = String::new();
        wrong.body = Bytes::from(String::from_utf8(wrong.body.to_vec()).unwrap().replace("s3cret", "S3cret"));
        let refused = source.explain(&wrong, NOW);
        let rejection = rejection(&source, wrong);
        assert!(!format!("{rejection} {rejection:?} {refused} {refused:?}").contains("t0ken-value"));

        let delivery = delivery(&source, request);
        assert_eq!(delivery.body, kept);
        assert!(!leaks(&shown(&source, &delivery)), "{}", shown(&source, &delivery));
    }
}

/// An escaped token is removed from copies of the address that a gateway adds.
#[test]
fn an_escaped_token_is_nowhere_afterwards() {
    let source = custom("kind = \"token\"\nfrom = \"query:t\"", settings(&json!(["s3cret/t0ken+value=="])));
    let mut request = post(&[], "");
    request.raw_query = "a=b&t=s3cret%2ft0ken%2Bvalue%3d%3D".to_owned();
    request.headers.push("X-Original-Url", format!("/h?{}", request.raw_query));
    let delivery = delivery(&source.unwrap(), request);
    assert_eq!(delivery.headers, [("x-original-url".to_owned(), "/h?a=b&t=[verified]".to_owned())]);
}

/// A copy of a token is found in every spelling, because its escapes depend on the place of the copy.
#[test]
fn a_copy_is_found_in_every_spelling() {
    let token = "s3cret/\"tok\\en\" &<+é";
    let source = custom("kind = \"token\"\nfrom = \"header:X-Token\"", settings(&json!([token]))).unwrap();
    let copies = [
        token,
        "s3cret%2F%22tok%5Cen%22+%26%3C%2B%C3%A9",
        "s3cret/%22tok%5cen%22%20%26%3c%2b%c3%a9",
        r#"s3cret/\"tok\\en\" &<+é"#,
        r#"s3cret\/\"tok\\en\" &<+\u00e9"#,
        r"\u0073\u0033cret\/\u0022tok\u005cen\u0022\u0020\u0026\u003c\u002b\u00E9",
        "s3cret/&quot;tok\\en&quot; &amp;&lt;+é",
    ];
    for copy in copies {
        let mut request = post(&[], &format!("a={copy};b={copy}{copy}."));
        request.headers.push("X-Token", token);
        request.headers.push("X-Copy", format!("<{copy}>"));
        let delivery = delivery(&source, request);
        assert_eq!(delivery.body, "a=[verified];b=[verified][verified].", "{copy}");
        let field = delivery.headers.iter().find(|(name, _)| name == "x-copy").unwrap();
        assert_eq!(field.1, "<[verified]>", "{copy}");
    }
    // A text that only resembles the token is kept.
    let other = r#"s3cret/\"tok\\en\" &<+\u00e8 s3cret%2F%22tok%5Cen%22+%26%3C%2B%C3 \u0073\u003 %7"#;
    let mut request = post(&[], other);
    request.headers.push("X-Token", token);
    assert_eq!(delivery(&source, request).body, other);
}

#[test]
fn a_token_that_json_escapes_is_replaced_where_it_was_read() {
    let body = r#"{"token":"\u0073\u0033cret-t0ken-valu\u0065","copy":"\u0073\u0033cret-t0ken-valu\u0065"}"#;
    let delivery = delivery(&table("json:token"), post(&[], body));
    assert_eq!(delivery.body, r#"{"token":"[verified]","copy":"[verified]"}"#);
}

#[test]
fn a_token_header_says_that_it_was_verified() {
    let source = preset("gitlab-secret-token", TOKEN);
    let delivery = delivery(&source, post(&[["X-Gitlab-Token", TOKEN]], ""));
    assert_eq!(delivery.headers, [("x-gitlab-token".to_owned(), "[verified]".to_owned())]);
    assert!(source.reads_token_from("x-GITLAB-token") && !source.reads_token_from("x-gitlab-event"));
}

/// An id with a token in it is not used, so that two deliveries never share an id after the token was
/// replaced.
#[test]
fn an_id_that_holds_a_token_is_none() {
    let text = "kind = \"token\"\nfrom = \"query:t\"\nid = \"header:X-Id\"\nevent = \"header:X-Event\"\nsubject = \"header:X-Event\"";
    let source = custom(text, settings(&json!([TOKEN]))).unwrap();
    let with = |id: &str, body: &str| {
        let mut request = post(&[["X-Id", id], ["X-Event", &format!("e.{TOKEN}")]], body);
        request.raw_query = format!("t={TOKEN}");
        delivery(&source, request)
    };
    let (first, second) = (with(TOKEN, "1"), with(TOKEN, "2"));
    assert!(first.id.starts_with("sha256-") && !first.id_from_provider);
    assert_ne!(first.id, second.id);
    assert_eq!(first.event.as_deref(), Some("e.[verified]"));
    assert_eq!(first.subject.as_deref(), Some("e.[verified]"));
    assert_eq!(with("7", "1").id, "7");
}

/// A token that is not UTF-8 is also found in names, where it is read as Latin-1.
#[test]
fn a_token_that_is_no_text_is_found_in_names_too() {
    let token = b"s3cret-t0ken-\xe9".to_vec();
    let text = "kind = \"token\"\nfrom = \"header:X-Token\"\nevent = \"header:X-Event\"";
    let secrets = vec![hookmq_shared::secret::Secret::new(token.clone())];
    let source = custom(text, Settings { secrets, ..Settings::default() }).unwrap();
    let mut request = post(&[], "");
    request.headers.push("X-Event", [&token[..], b"!"].concat());
    request.headers.push("X-Token", token);
    let delivery = delivery(&source, request);
    assert_eq!(delivery.event.as_deref(), Some("[verified]!"));
    assert!(delivery.headers.contains(&("x-event".to_owned(), "[verified]!".to_owned())));
}

/// A short token is replaced once, and not inside of its replacement.
#[test]
fn short_tokens_are_replaced_once() {
    let source =
        custom("kind = \"token\"\nfrom = \"query:t\"\nevent = \"header:X-Event\"", settings(&json!(["e"])));
    let mut request = post(&[["X-Event", "fed"]], "fed");
    request.raw_query = "t=e".to_owned();
    let delivery = delivery(&source.unwrap(), request);
    assert_eq!(delivery.event.as_deref(), Some("f[verified]d"));
    assert_eq!(delivery.body, "fed", "too short to tell a copy from chance");
}

const HMAC: &str = r#"{ kind = "hmac", hash = "sha256", signature = { from = "header:X-Signature", encoding = "hex" }, signed = ["{body}"], secrets = [0] }"#;

/// Signs a request with this body by `KEY`.
fn signed(body: &str) -> Request {
    let text = format!("v = {HMAC}").replace(", secrets = [0]", "");
    let mistakes = hookmq_shared::reader::Mistakes::new("v.toml", &text);
    let document = toml::de::DeTable::parse(&text).unwrap();
    let table = hookmq_shared::reader::Table::new(&mistakes, "", 0, document.get_ref()).table("v").unwrap();
    let source = Source::custom(table, settings(&json!([KEY]))).unwrap();
    let draft = Draft { body: Some(body.to_owned().into()), ..Draft::default() };
    source.sign(draft, 0, NOW, &random()).unwrap()
}

/// A token is also found if the verifier that reads it rejects the request, because a right token is a secret
/// even then.
#[test]
fn a_token_of_a_verifier_that_refuses_is_found_too() {
    for token in [
        r#"{ kind = "token", from = "json:token", secrets = [1], require = [{ from = "header:X-Version", in = ["2"] }] }"#,
        r#"{ kind = "token", from = "item:token", items = "json:list", secrets = [1] }"#,
        r#"{ kind = "token", from = "json:token", secrets = [1, 2] }"#,
    ] {
        let text = format!("kind = \"any\"\nverify = [{HMAC}, {token}, {token}]");
        let secrets =
            if text.contains("[1, 2]") { json!([KEY, TOKEN, "another token"]) } else { json!([KEY, TOKEN]) };
        let source = custom(&text, settings(&secrets)).unwrap();
        let body = |token: &str, wrong: &str| {
            format!(r#"{{"token":"{token}","list":[{{"token":"{token}"}},{{"token":"{wrong}"}}]}}"#)
        };
        let delivery = delivery(&source, signed(&body(TOKEN, "wrong")));
        assert_eq!(
            (delivery.verifier, delivery.body.clone()),
            (Some(0), body("[verified]", "wrong").into()),
            "{token}"
        );
    }
}

#[test]
fn members_that_are_kept_are_kept_without_tokens() {
    let rsa = r#"{ kind = "rsa", hash = "sha256", signature = { from = "header:S", encoding = "base64" }, signed = ["{fieldlines:message,token}"], secrets = [0] }"#;
    let token = r#"{ kind = "token", from = "json:token", secrets = [1] }"#;
    let text = format!("kind = \"all\"\nverify = [{rsa}, {token}]");
    let source = custom(&text, settings(&json!([RSA_KEY, TOKEN]))).unwrap();
    let draft = Draft { body: Some(r#"{"message":"m","token":"x","more":1}"#.into()), ..Draft::default() };
    let request = source.sign(draft, 0, NOW, &random()).unwrap();
    assert_eq!(delivery(&source, request).body, r#"{"message":"m","token":"[verified]"}"#);
}

/// An explanation shows the signed text, but no token of another verifier in it.
#[test]
fn an_explanation_shows_no_token_of_another_verifier() {
    for rule in ["any", "all"] {
        let token = r#"{ kind = "token", from = "json:token", secrets = [1] }"#;
        let text = format!("kind = \"{rule}\"\nverify = [{HMAC}, {token}]");
        let source = custom(&text, settings(&json!([KEY, TOKEN]))).unwrap();
        for given in [TOKEN, "a-token-of-another-hook", r"s3cret-t0ken-valu\u0065"] {
            let request = signed(&format!(r#"{{"token":"{given}","copy":"{given}"}}"#));
            let explanation = source.explain(&request, NOW);
            let text = format!("{explanation} {explanation:?}");
            assert!(!text.contains(given) && text.contains("[verified]"), "{text}");
        }
    }
}

/// Basic credentials, `user:password` and their base64 form in the request, are both removed.
#[test]
fn basic_credentials_are_nowhere_in_either_form() {
    let source = Source::preset("basic", Settings { ..settings(&json!([format!("user:{TOKEN}")])) }).unwrap();
    let encoded = BASE64_STANDARD.encode(format!("user:{TOKEN}"));
    let body = format!("user:{TOKEN} {encoded} {TOKEN} user");
    let delivery = delivery(&source, post(&[["Authorization", &format!("Basic {encoded}")]], &body));
    assert_eq!(delivery.body, "[verified] [verified] [verified] user");
}
