//! Requests of `web/` that a library alone cannot judge: each goes over HTTP to a whole function, whose answer,
//! message and log are looked at.

use std::fs;
use std::path::PathBuf;

use hookmq_emulator::{Config, Emulator, StoredMessage, environment};
use hookmq_shared::clock::Timestamp;
use hookmq_shared::context::Context;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source};
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::Value;

use super::{invoke, send};
use crate::kit::source::random;
use crate::kit::source::{RSA_KEY, params_for};

/// Request of a file, and the hook that it is for.
struct Web {
    case: Value,
    hooks: String,
    signer: Source,
}

/// Fate of a request.
struct Became {
    status: u64,
    messages: Vec<StoredMessage>,
    /// Line of the log about the request.
    line: Value,
    /// Lines about the targets.
    targets: Vec<Value>,
}

impl Web {
    /// Reads the file with this number. `secret` signs, for a file whose secret is made by its test; `more` is
    /// added to the hook.
    fn of(number: u32, secret: Option<&str>, more: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/web");
        let is_it =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{number}-"));
        let file = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).find(is_it).unwrap();
        let case: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let preset = case["source"].as_str().unwrap();
        let secret = secret.unwrap_or_else(|| case["secret"][0].as_str().unwrap());
        let url = case["url"].as_str().map(str::to_owned);
        let params = case["params"].as_object().unwrap();
        let params = params.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        let params: std::collections::BTreeMap<_, _> = params_for(preset).into_iter().chain(params).collect();
        let settings =
            Settings { secrets: vec![Secret::new(secret)], params: params.clone(), url: url.clone() };
        let signer = Source::preset(preset, settings).unwrap();
        let key = signer.public_key(0).unwrap_or_else(|| secret.to_owned());
        let mut hooks = format!(
            "[hooks.web]\nsource = \"{preset}\"\nsecrets = ['''plain:{key}''']\n\
             topic = \"pulsar-demo/webhooks/web\"\n{more}\n"
        );
        if let Some(url) = url {
            hooks.extend(["url = \"", &url, "\"\n"]);
        }
        if !params.is_empty() {
            hooks += "[hooks.web.params]\n";
        }
        for (name, value) in params {
            hooks.extend([&name, " = \"", &value, "\"\n"]);
        }
        Self { case, hooks, signer }
    }

    /// Signs a draft with the body of the file.
    fn sign(&self, draft: Draft) -> Request {
        let body =
            draft.body.clone().or_else(|| self.case["body"].as_str().map(|body| body.to_owned().into()));
        let now = Context::system().clock.now();
        self.signer.sign(Draft { path: "/web".to_owned(), body, ..draft }, 0, now, &random()).unwrap()
    }

    /// Sends a request to a function with the hook, over HTTP.
    async fn post(&self, request: &Request) -> Became {
        self.post_with(request, &[]).await
    }

    async fn post_with(&self, request: &Request, variables: &[(&str, &str)]) -> Became {
        let query =
            if request.raw_query.is_empty() { String::new() } else { format!("?{}", request.raw_query) };
        let Request { method, path, body, .. } = request;
        let mut bytes =
            format!("{method} {path}{query} HTTP/1.1\r\nHost: hooks.example.com\r\n").into_bytes();
        for (name, value) in
            request.headers.iter().filter(|(name, _)| !["host", "content-length"].contains(name))
        {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).bytes());
        bytes.extend_from_slice(body);
        let (emulator, mut env) = self.environment().await;
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (answer, log) = send(&bytes, env).await;
        became(&answer.unwrap(), &emulator, &log)
    }

    async fn environment(&self) -> (Emulator, Vec<(String, String)>) {
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), Config::default()).await.unwrap();
        let variables = environment(&emulator.url());
        let mut env: Vec<_> = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.push(("HOOKS".to_owned(), self.hooks.clone()));
        (emulator, env)
    }
}

fn became(answer: &Value, emulator: &Emulator, log: &str) -> Became {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |message: &'static str| lines.iter().filter(move |line| line["message"] == message).cloned();
    let line = of("delivery").next().unwrap_or_else(|| panic!("no line of the request:\n{log}"));
    let status = answer["statusCode"].as_u64().unwrap();
    Became { status, messages: emulator.messages(), line, targets: of("target").collect() }
}

impl Became {
    fn envelope(&self) -> Value {
        assert_eq!(self.messages.len(), 1, "{}", self.line);
        serde_json::from_str(&self.messages[0].text).unwrap()
    }
}

/// Case 116: a consumer answers an interaction later, and Discord wants 202 until then; a webhook event is 204.
#[tokio::test]
async fn an_interaction_of_discord_is_answered_202() {
    let seed = "64".repeat(32);
    let web = Web::of(116, Some(&seed), "");
    let became = web.post(&web.sign(Draft::default())).await;
    assert_eq!((became.status, became.envelope()["id"].as_str()), (202, Some("9")));
    let event = r#"{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2026-01-01T00:00:00Z"}}"#;
    let became = web.post(&web.sign(Draft { body: Some(event.into()), ..Draft::default() })).await;
    assert_eq!((became.status, became.messages.len()), (204, 1));
}

/// Case 117: a revocation is not the event whose subscription it ends.
#[tokio::test]
async fn a_revocation_of_twitch_is_not_the_event() {
    let fields = |kind: &str| {
        let fields =
            [("Twitch-Eventsub-Message-Type", kind), ("Twitch-Eventsub-Subscription-Type", "channel.follow")];
        fields
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into_iter()
            .collect::<Headers>()
    };
    for (kind, more, stored) in [
        ("revocation", "", Some("tv.twitch.revocation")),
        ("revocation", "events = [\"channel.follow\"]", None),
        ("notification", "events = [\"channel.follow\"]", Some("tv.twitch.channel.follow")),
    ] {
        let web = Web::of(117, None, more);
        let request = web.sign(Draft { headers: fields(kind), ..Draft::default() });
        let became = web.post(&request).await;
        let kinds: Vec<String> = became
            .messages
            .iter()
            .map(|stored| {
                serde_json::from_str::<Value>(&stored.text).unwrap()["type"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!((became.status, kinds.first().map(String::as_str)), (204, stored), "{kind} {more}");
        assert_eq!(became.line["outcome"] == "ignored", stored.is_none(), "{}", became.line);
        let reason = "events = [\"channel.follow\"] has no match";
        assert_eq!(became.line["reason"] == reason, stored.is_none(), "{}", became.line);
    }
}

/// Case 77: a hook's own table has the methods, the handshake and the ack that a preset could have.
#[tokio::test]
async fn a_table_of_ones_own_answers_as_a_preset_does() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/web");
    let text = fs::read_to_string(folder.join("77-mandrill-own-table-with-answers.json")).unwrap();
    let case: Value = serde_json::from_str(&text).unwrap();
    let text = |key: &str| case[key].as_str().unwrap();
    let secret = case["secret"][0].as_str().unwrap();
    let table = text("verify").replace("[verify]", "[hooks.web.verify]");
    let fields = case["headers"].as_array().unwrap().iter();
    let line = |text: String, pair: &Value| {
        text + pair[0].as_str().unwrap() + ": " + pair[1].as_str().unwrap() + "\r\n"
    };
    let fields = fields.fold(String::new(), line);
    let post = format!("POST /web HTTP/1.1\r\n{fields}Content-Length: {}\r\n", text("body").len());
    let get = "GET /web?challenge=c1 HTTP/1.1\r\n".to_owned();
    // A handshake by GET needs the method.
    let keys = ["methods", "handshake"];
    let bare: String =
        table.split_inclusive('\n').filter(|line| !keys.iter().any(|key| line.starts_with(key))).collect();
    assert!(bare.len() < table.len());
    for (table, head, body, status, messages) in [
        (&table, &post, text("body"), 202, 1),
        (&table, &get, "", 200, 0),
        (&bare, &post, text("body"), 202, 1),
        (&bare, &get, "", 405, 0),
    ] {
        let hooks = format!(
            "[hooks.web]\nsecrets = [\"plain:{secret}\"]\ntopic = \"pulsar-demo/webhooks/web\"\nurl = \"{}\"\n{table}",
            text("url")
        );
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), Config::default()).await.unwrap();
        let variables = environment(&emulator.url()).into_iter();
        let mut env: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value)).collect();
        env.push(("HOOKS".to_owned(), hooks));
        let bytes = format!("{head}Host: hooks.example.com\r\nConnection: close\r\n\r\n{body}");
        let (answer, log) = send(bytes.as_bytes(), env).await;
        let seen = (answer.unwrap()["statusCode"].as_u64(), emulator.messages().len());
        assert_eq!(seen, (Some(status), messages), "{head}{log}");
    }
}

/// Case 118: the kind of an interaction is in JSON inside a form, the name of a slash command in the form itself.
#[tokio::test]
async fn an_interaction_of_slack_has_an_event() {
    let form = || {
        let field = ("content-type".to_owned(), b"application/x-www-form-urlencoded".to_vec());
        [field].into_iter().collect::<Headers>()
    };
    let command = "token=x&command=%2Fweather&text=94070&trigger_id=13.7";
    for (body, event) in [(None, "block_actions"), (Some(command), "/weather")] {
        let web = Web::of(118, None, &format!("events = [\"{event}\"]"));
        let body = body.map(|body| body.to_owned().into());
        let became = web.post(&web.sign(Draft { headers: form(), body, ..Draft::default() })).await;
        assert_eq!((became.status, became.line["event"].as_str()), (200, Some(event)), "{}", became.line);
        assert_eq!(became.messages.len(), 1, "{event}");
    }
    let web = Web::of(118, None, "events = [\"app_mention\"]");
    let became = web.post(&web.sign(Draft { headers: form(), ..Draft::default() })).await;
    let reason = r#"events = ["app_mention"] has no match"#;
    assert_eq!((became.status, became.line["reason"].as_str()), (200, Some(reason)), "a drop names its rule");
}

/// Case 119: the query of a signed URL counts as the hook's `url` spells it, where a trigger hands over a map.
#[tokio::test]
async fn a_signed_query_survives_a_map() {
    let web = Web::of(119, None, "");
    let type_of = ("content-type".to_owned(), b"application/x-www-form-urlencoded".to_vec());
    let request = web.sign(Draft {
        raw_query: "b=x+y&a=1%20z".to_owned(),
        headers: [type_of].into_iter().collect(),
        ..Draft::default()
    });
    let became = web.post(&request).await;
    assert_eq!((became.status, became.messages.len()), (204, 1), "{}", became.line);
    let fields = request.headers.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap()));
    let event = serde_json::json!({
        "resource": "/{proxy+}", "path": "/web", "httpMethod": "POST", "isBase64Encoded": false,
        "headers": fields.collect::<std::collections::BTreeMap<_, _>>(),
        "multiValueHeaders": null,
        "queryStringParameters": { "a": "1 z", "b": "x y" },
        "multiValueQueryStringParameters": { "a": ["1 z"], "b": ["x y"] },
        "requestContext": { "httpMethod": "POST", "path": "/web", "requestId": "r", "stage": "$default",
                            "identity": { "sourceIp": "192.0.2.1" } },
        "body": std::str::from_utf8(&request.body).unwrap(),
    });
    let (emulator, env) = web.environment().await;
    let (answer, log) = invoke("lambda", event.to_string().as_bytes(), env).await;
    let became = became_on_lambda(answer, &emulator, &log);
    assert_eq!((became.status, became.messages.len()), (204, 1), "{}", became.line);
}

fn became_on_lambda(answer: Result<Value, String>, emulator: &Emulator, log: &str) -> Became {
    became(&answer.unwrap(), emulator, log)
}

/// Case 120: a body over the limit is a warning that names hook, path, size, limit and sender.
#[tokio::test]
async fn a_body_over_the_limit_is_a_warning_with_its_size() {
    let web = Web::of(120, Some("0123456789abcdef"), "");
    let request = web.sign(Draft { body: Some("{}".into()), ..Draft::default() });
    let became = web.post(&Request { body: "x".repeat(7_500_000).into(), ..request }).await;
    let line = &became.line;
    assert_eq!(
        (became.status, line["status"].as_u64(), line["level"].as_str()),
        (413, Some(413), Some("WARN"))
    );
    assert_eq!((line["hook"].as_str(), line["path"].as_str()), (Some("web"), Some("/web")), "{line}");
    assert_eq!(
        (line["bytes"].as_u64(), line["limit"].as_u64()),
        (Some(7_500_000), Some(6 * 1024 * 1024)),
        "{line}"
    );
}

/// A body that is over the limit once it is decompressed is told as one that is over it as it stands.
#[tokio::test]
async fn a_body_over_the_limit_when_decompressed_is_told_alike() {
    let web = Web::of(27, Some("0123456789abcdef"), "max_body = \"64KiB\"");
    let request = web.sign(Draft { body: Some("{}".into()), ..Draft::default() });
    let blanks = vec![b' '; 70_000];
    for (body, coding) in [(blanks.clone(), None), (compress_to_vec_zlib(&blanks, 6), Some("deflate"))] {
        let bytes = body.len() as u64;
        let mut request = Request { body: body.into(), ..request.clone() };
        if let Some(coding) = coding {
            request.headers.push("content-encoding", coding);
        }
        let became = web.post(&request).await;
        let line = &became.line;
        let told = ["hook", "path", "outcome", "class"].map(|key| line[key].as_str());
        assert_eq!(told, [Some("web"), Some("/web"), Some("refused"), Some("too-large")], "{line}");
        let told = ["status", "bytes", "limit"].map(|key| line[key].as_u64());
        assert_eq!(told, [Some(413), Some(bytes), Some(65_536)], "{line}");
    }
}

/// Case 121: text of another charset is left out of the subject, and its bytes stay in the data.
#[tokio::test]
async fn a_subject_in_another_charset_is_left_out() {
    let web = Web::of(121, Some(RSA_KEY), "");
    let type_of = ("content-type".to_owned(), b"application/x-www-form-urlencoded; charset=GBK".to_vec());
    for (order, subject) in [("%B6%A9%B5%A5-1", None), ("order-1", Some("order-1"))] {
        let body = format!(
            "app_id=2021000000000001&charset=GBK&notify_id=1&out_trade_no={order}&sign_type=RSA2&\
             trade_status=TRADE_SUCCESS&sign=x"
        );
        let headers: Headers = [type_of.clone()].into_iter().collect();
        let became =
            web.post(&web.sign(Draft { headers, body: Some(body.into()), ..Draft::default() })).await;
        let envelope = became.envelope();
        assert_eq!((became.status, envelope["subject"].as_str()), (200, subject), "{envelope}");
        assert!(envelope["data"].as_str().unwrap().contains(order), "{envelope}");
    }
}

/// Case 122: a challenge is refused, and the log names the parameter that is not set.
#[tokio::test]
async fn a_challenge_without_its_parameter_names_the_parameter() {
    let web = Web::of(122, None, "");
    let challenge = r#"{"challenge":"c","token":"v-token","type":"url_verification"}"#;
    let signed = web.sign(Draft { body: Some(challenge.into()), ..Draft::default() });
    // Feishu does not sign its challenge.
    let fields = signed.headers.iter().filter(|(name, _)| !name.starts_with("x-lark-"));
    let headers = fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let became = web.post(&Request { headers, ..signed }).await;
    let reason = became.line["reason"].as_str().unwrap_or_default();
    assert_eq!((became.status, became.line["class"].as_str()), (401, Some("no_match")));
    assert!(reason.contains("params.verification_token is not set"), "{reason}");
}

/// The line of a refused request tells the usual causes apart.
#[tokio::test]
async fn the_log_tells_causes_apart() {
    let github = Web::of(120, Some("0123456789abcdef"), "");
    let request = github.sign(Draft { body: Some("{\"a\":1}".into()), ..Draft::default() });
    for (body, told) in [("{\"a\":2}", "changed on the way"), ("{\"a\":1}\n", "it ends with a line end")] {
        let became = github.post(&Request { body: body.into(), ..request.clone() }).await;
        let reason = became.line["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("no configured secret matches: ") && reason.contains(told), "{reason}");
        assert_eq!(
            (became.line["path"].as_str(), became.line["bytes"].as_u64()),
            (Some("/web"), Some(body.len() as u64))
        );
        assert!(became.line["source_ip"].is_string(), "{}", became.line);
    }
    let mut twilio = Web::of(119, None, "");
    let request = twilio.sign(Draft { raw_query: "b=x+y&a=1%20z".to_owned(), ..Draft::default() });
    twilio.hooks = twilio.hooks.replace("/twilio-q?", "/twilio-q/?");
    let became = twilio.post(&request).await;
    let reason = became.line["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`url` is not the address set at the sender"), "{reason}");
    // A request that is too old, and one from the future.
    let now = Context::system().clock.now();
    for (shift, class, told) in [(-4_000_000, "stale", "s ago"), (4_000_000, "future", "s ahead")] {
        let slack = Web::of(118, None, "");
        let at: Timestamp = now.shifted(shift);
        let draft = Draft { path: "/web".to_owned(), body: Some("{}".into()), ..Draft::default() };
        let request = slack.signer.sign(draft, 0, at, &random()).unwrap();
        let line = slack.post(&request).await.line;
        let reason = line["reason"].as_str().unwrap_or_default();
        assert_eq!(line["class"].as_str(), Some(class), "{line}");
        assert!(
            reason.contains(told) && reason.contains("by this machine's clock, and 300 s are allowed"),
            "{reason}"
        );
        let age = line["age_s"].as_i64().unwrap();
        assert!((age + shift / 1000).abs() < 30, "{line}");
    }
    // A field that is there, without what is read of it, was not lost on the way.
    for (preset, field, value, told) in [
        ("stripe", "Stripe-Signature", "sha256=abc", "header:Stripe-Signature has no v1=…"),
        ("stripe", "Stripe-Signature", "", "header:Stripe-Signature is missing or empty"),
        ("standard-webhooks", "webhook-signature", "v1a,abcd", "header:webhook-signature has no v1,…"),
    ] {
        let hooks = github.hooks.replace("\"github\"", &format!("\"{preset}\""));
        let other = Web { case: Value::Null, hooks, signer: github.signer.clone() };
        let fields = ["webhook-id", "webhook-timestamp", field];
        let values = ["id".to_owned(), now.unix().to_string(), value.to_owned()];
        let fields = fields.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
        let headers = fields.map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
        let line = other.post(&Request { headers, ..request.clone() }).await.line;
        assert_eq!(
            (line["class"].as_str(), line["reason"].as_str()),
            (Some("missing"), Some(told)),
            "{line}"
        );
    }
}

/// Returns a delivery's end at one target, from its line: its level, outcome, topic and object.
fn end(line: &Value) -> [Option<&str>; 5] {
    ["level", "outcome", "to", "topic", "object"].map(|field| line[field].as_str())
}

/// The line of a delivery that the queue does not take names the object that holds it.
#[tokio::test]
async fn a_spilled_delivery_names_its_object() {
    let mut web = Web::of(120, Some("0123456789abcdef"), "");
    web.hooks = web.hooks.replace("webhooks/web", "webhooks/erp-{event}");
    let request = web.sign(Draft { body: Some("{}".into()), ..Draft::default() });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let topic = Some("pulsar-demo/webhooks/erp-push");
    let became = web.post_with(&request, &[("SPILL_URL", &url)]).await;
    assert_eq!(
        end(&became.line),
        [Some("INFO"), Some("accepted"), Some("tdmq"), topic, None],
        "{}",
        became.line
    );
    let became =
        web.post_with(&request, &[("SPILL_URL", &url), ("TDMQ_ENDPOINT", "http://127.0.0.1:9")]).await;
    let line = &became.line;
    assert_eq!((became.status, became.targets.len()), (200, 0), "{line}");
    let object = line["object"].as_str().unwrap();
    assert!(object.starts_with("spill/tdmq/web/") && folder.path().join(object).is_file(), "{line}");
    assert_eq!(end(line), [Some("WARN"), Some("spilled"), Some("tdmq"), topic, Some(object)], "{line}");

    // Each of several targets has a line of its own, at the level of its outcome.
    web.hooks = web.hooks.replace("source = ", "targets = [\"tdmq\", \"eu\"]\nsource = ");
    web.hooks += "[targets.eu]\nvendor = \"tdmq\"\nendpoint = \"http://127.0.0.1:9\"\n";
    let became = web.post_with(&request, &[("SPILL_URL", &url)]).await;
    let [one, two] = &became.targets[..] else { panic!("{:?}", became.targets) };
    assert_eq!(end(one), [Some("INFO"), Some("accepted"), Some("tdmq"), topic, None], "{one}");
    let object = two["object"].as_str().unwrap();
    assert!(object.starts_with("spill/eu/web/") && folder.path().join(object).is_file(), "{two}");
    assert_eq!(end(two), [Some("WARN"), Some("spilled"), Some("eu"), topic, Some(object)], "{two}");
    assert_eq!(
        end(&became.line),
        [Some("WARN"), Some("spilled"), None, None, Some(object)],
        "{}",
        became.line
    );
    // Without a store the sender keeps it, which is an error.
    let became = web.post_with(&request, &[]).await;
    assert_eq!(end(&became.targets[1]), [Some("ERROR"), Some("unavailable"), Some("eu"), topic, None]);
}

/// The line of a refused request that is kept names the object, and that of one that is not kept has none.
#[tokio::test]
async fn a_refused_request_in_quarantine_names_its_object() {
    let web = Web::of(120, Some("0123456789abcdef"), "quarantine = true");
    let request = web.sign(Draft { body: Some("{}".into()), ..Draft::default() });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let store = [("QUARANTINE_URL", url.as_str()), ("QUARANTINE_KEY", key)];
    let forged = Request { body: "{\"a\":1}".into(), ..request.clone() };
    let became = web.post_with(&forged, &store).await;
    let line = &became.line;
    let object = line["object"].as_str().unwrap_or_else(|| panic!("{line}"));
    assert!(object.starts_with("quarantine/tdmq/web/") && folder.path().join(object).is_file(), "{line}");
    assert_eq!((became.status, line["outcome"].as_str()), (401, Some("rejected")), "{line}");
    // Nothing is kept of a delivery, of a body over the limit, in a store that cannot be written to, and by a hook that
    // keeps nothing.
    let nowhere = format!("file://{}/{object}", folder.path().display());
    let large = Request { body: "x".repeat(2 << 20).into(), ..request.clone() };
    let other = Web::of(120, Some("0123456789abcdef"), "");
    for (web, request, variables, status) in [
        (&web, &request, &store[..], 200),
        (&web, &large, &store, 401),
        (&web, &forged, &[("QUARANTINE_URL", nowhere.as_str()), store[1]], 401),
        (&other, &forged, &store, 401),
    ] {
        let became = web.post_with(request, variables).await;
        assert_eq!((became.status, &became.line["object"]), (status, &Value::Null), "{}", became.line);
    }
}
