//! Tests of encrypted events and answers: events that can be decrypted, and the single rejection of all
//! others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::{Request, Response};
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::source::{
    Draft, Rejection, Settings, Source, Verdict, VerifyOutcome, VerifyStep, preset_info,
};
use serde_json::{Value, json};
use toml::de::DeTable;

use crate::kit::source::{
    NOW, custom, handshake, load, pair, params_for, params_of_vectors, query, random, rejection, request,
    sample, secret_for, settings, sign,
};

fn delivery(source: &Source, request: Request) -> Delivery {
    match source.check("h", request, NOW) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}

/// Builds a preset with the keys of its vectors.
fn vectors(name: &str, secret: &str) -> Source {
    let params = params_of_vectors(name);
    Source::preset(name, Settings { params, ..settings(&json!([secret])) }).unwrap()
}

fn other(name: &str, key: &str, value: &str) -> Source {
    let mut params = params_for(name);
    params.insert(key.to_owned(), value.to_owned());
    let secret = secret_for(name);
    Source::preset(name, Settings { params, ..settings(&json!([secret])) }).unwrap()
}

#[test]
fn feishus_ciphertexts_are_opened() {
    for vector in load("feishu")["decrypt_vectors"].as_array().unwrap() {
        let source = Source::preset("feishu", settings(&json!([vector["key"]]))).unwrap();
        let request = sign(&source, &json!({ "encrypt": vector["ciphertext"] }).to_string());
        match vector["plaintext"].as_str() {
            Some(text) => {
                let delivery = delivery(&source, request.clone());
                assert_eq!(
                    (delivery.body.clone(), delivery.original.clone().unwrap()),
                    (text.to_owned().into(), request.body)
                );
                let is_json = text.starts_with('{');
                let want = if is_json { "application/json" } else { "text/plain" };
                assert_eq!(delivery.content_type.as_deref(), Some(want));
                assert_eq!(delivery.event.as_deref(), is_json.then_some("im.message.receive_v1"));
            }
            None => assert_eq!(rejection(&source, request), Rejection::Undecryptable),
        }
    }
}

#[test]
fn wechat_pays_resource_is_opened() {
    let file = load("wechat_pay_v3");
    let mut notes = file["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap());
    let mut note = |name: &str| notes.find_map(|note| note.strip_prefix(name)).unwrap();
    let (key, plaintext) = (note("apiv3_key = "), note("plaintext = "));
    // The table has a signature of its own, because the test is about decryption only.
    let table = r#"
        kind = "hmac"
        hash = "sha256"
        signature = { from = "header:S", encoding = "hex" }
        signed = ["{body}"]
        id = "json:id"
        event = "json:event_type"
        subject = "decrypted:trade_state"
        decrypt = { alg = "aes-256-gcm", key = "utf8(apiv3_key)", ciphertext = "json:resource.ciphertext", nonce = "json:resource.nonce", aad = "json:resource.associated_data" }
    "#;
    let with = |key: &str| {
        let params = [("apiv3_key".to_owned(), key.to_owned())].into();
        custom(table, Settings { params, ..settings(&json!(["correct horse battery"])) })
    };
    let source = with(key).unwrap();
    let body = STANDARD.decode(file["cases"][0]["body_b64"].as_str().unwrap()).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let opened = delivery(&source, sign(&source, &body.to_string()));
    assert_eq!(opened.body, plaintext);
    assert_eq!(opened.coverage, Coverage::Body);
    let named = (opened.id.as_str(), opened.event.as_deref(), opened.subject.as_deref());
    assert_eq!(named, ("EV-2018022511223320873", Some("TRANSACTION.SUCCESS"), Some("SUCCESS")));
    for (field, value) in [
        ("ciphertext", "AAAA"),
        ("ciphertext", "?"),
        ("nonce", "fdasflkja480"),
        ("nonce", "short"),
        ("nonce", ""),
        ("associated_data", "other"),
        ("associated_data", ""),
    ] {
        let mut changed = body.clone();
        changed["resource"][field] = value.into();
        assert_eq!(
            rejection(&source, sign(&source, &changed.to_string())),
            Rejection::Undecryptable,
            "{field}"
        );
    }
    let wrong = with(&key.replace('0', "1")).unwrap();
    assert_eq!(rejection(&wrong, sign(&wrong, &body.to_string())), Rejection::Undecryptable);
    let error = with("0123456789abcdef").unwrap_err().remove(0).to_string();
    assert_eq!(error, "params.apiv3_key: is not a key: write 32 characters");
    let error = custom(table, settings(&json!(["k"]))).unwrap_err().remove(0).to_string();
    assert!(error.starts_with("params.apiv3_key: missing"), "{error}");
}

#[test]
fn whatever_is_wrong_with_a_ciphertext_is_one_refusal() {
    for name in ["wecom", "dingtalk", "wechat-mp-secure"] {
        let (source, _) = pair(name);
        let event = r#"{"EventType":"a"}"#;
        let request = || sign(&source, event);
        assert_eq!(delivery(&source, request()).body, event);
        let wrong_key = other(name, "aes_key", &"A".repeat(43));
        for receiver in ["corp-", "corp-12", "CORP-1"] {
            let wrong = other(name, "receiver", receiver);
            assert_eq!(rejection(&wrong, request()), Rejection::Undecryptable, "{name} {receiver}");
        }
        assert_eq!(rejection(&wrong_key, request()), Rejection::Undecryptable, "{name}");
        let explained = source.explain(&sign(&wrong_key, event), NOW).outcome;
        assert_eq!(explained, VerifyOutcome::Rejected(VerifyStep::Decrypt, Rejection::Undecryptable));
        for text in ["AAAA", "?", "QUFBQUFBQUFBQUFBQUFBQUE=", "QUFBQUFBQUFBQUFBQUFBQQ=="] {
            let body = match name {
                "dingtalk" => json!({ "encrypt": text }).to_string(),
                _ => format!("<xml><Encrypt>{text}</Encrypt></xml>"),
            };
            assert_eq!(rejection(&source, sign(&source, &body)), Rejection::Undecryptable, "{name} {text}");
        }
    }
}

#[test]
fn keys_are_checked_before_they_are_used() {
    let with = |key: &str| {
        let params = [("aes_key".to_owned(), key.to_owned()), ("receiver".to_owned(), "c".to_owned())].into();
        Source::preset("wecom", Settings { params, ..settings(&json!(["token"])) })
    };
    assert!(with(&"A".repeat(43)).is_ok());
    for key in [&"A".repeat(42), &"A".repeat(44), "!", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2-"] {
        let error = with(key).unwrap_err().remove(0).to_string();
        assert_eq!(error, "params.aes_key: is not a key: write 43 characters of base64");
    }
}

#[test]
fn wecoms_echo_is_decrypted_and_verified() {
    let source = vectors("wecom", "QDG6eK");
    for case in load("wecom")["handshake"].as_array().unwrap().iter().filter(|case| case["url"].is_string()) {
        let mut request = request("GET", &json!([]), Vec::new());
        request.raw_query = query(case["url"].as_str().unwrap());
        let now = case["now"].as_i64().map_or(NOW, Timestamp::from_unix);
        match (case["expect_status"].as_u64().unwrap(), source.check("h", request.clone(), now)) {
            (200, Verdict::Handshake(response)) => {
                assert_eq!(response.body, case["expect_body"].as_str().unwrap());
                assert_eq!(response.header("content-type"), Some("text/plain"));
                // A captured echo is not a delivery, and an old one is not a handshake.
                let post = Request { method: "POST".into(), ..request.clone() };
                assert!(matches!(source.check("h", post, now), Verdict::Rejected(_)));
                let late = source.check("h", request, now.shifted(300_001));
                assert!(matches!(late, Verdict::Rejected(Rejection::Stale)));
            }
            (401, Verdict::Rejected(rejection)) => assert_eq!(rejection, Rejection::NoMatch),
            (_, verdict) => panic!("{}: {verdict:?}", case["name"]),
        }
    }
    let (source, _) = pair("wecom");
    let get = Request { method: "GET".into(), ..sign(&source, "<xml></xml>") };
    assert_eq!(rejection(&source, get), Rejection::Missing("query:echostr".into()));
}

#[test]
fn wechats_echo_is_signed() {
    let case = load("handshakes")["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["provider"] == "wechat_mp")
        .cloned();
    let mut get = request("GET", &json!([]), Vec::new());
    get.raw_query = query(case.unwrap()["url"].as_str().unwrap());
    let params = params_for("wechat-mp-secure");
    let source =
        Source::preset("wechat-mp-secure", Settings { params, ..settings(&json!(["tok"])) }).unwrap();
    assert_eq!(handshake(&source, get.clone()).body, "8837492");
    get.raw_query = get.raw_query.replace("nonce=12", "nonce=13");
    assert_eq!(rejection(&source, get), Rejection::NoMatch);
}

/// Opens an answer as `DingTalk` does: it is signed and encrypted like an event. Sent back to the source, it
/// is not accepted as an event.
fn opened(source: &Source, name: &str, secret: &str, answer: &Response) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let text = |name: &str| answer[name].as_str().unwrap();
    let body = json!({ "encrypt": text("encrypt") }).to_string();
    let mut request = request("POST", &json!([]), body.into_bytes());
    let (signature, timestamp, nonce) = (text("msg_signature"), text("timeStamp"), text("nonce"));
    request.raw_query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}");
    assert_eq!(rejection(source, request.clone()), Rejection::NoDelivery);
    let dingtalk = preset_info("dingtalk").unwrap().data;
    let (_, table) = dingtalk.split_once("[verify]").unwrap();
    let table = table.split_once("[params").unwrap().0;
    let params = if name == "vectors" { params_of_vectors("dingtalk") } else { params_for("dingtalk") };
    let sender = custom(table, Settings { params, ..settings(&json!([secret])) }).unwrap();
    String::from_utf8(delivery(&sender, request).body.to_vec()).unwrap()
}

#[test]
fn dingtalk_is_answered_in_its_cipher() {
    let source = vectors("dingtalk", "mryue");
    let body = STANDARD.decode(load("dingtalk")["handshake"][0]["body_b64"].as_str().unwrap()).unwrap();
    let answer = handshake(&source, sign(&source, &String::from_utf8(body).unwrap()));
    assert_eq!(opened(&source, "vectors", "mryue", &answer), "success");

    let (source, first) = sample("dingtalk");
    let ack = source.ack("accepted", &first);
    assert_eq!(opened(&source, "sample", &secret_for("dingtalk"), &ack), "success");
    assert_eq!(source.ack("ignored", &first), ack);
    let draft = Draft { body: Some("{\"another\":1}".into()), ..Draft::default() };
    let (_, signer) = pair("dingtalk");
    let second = delivery(&source, signer.sign(draft, 0, NOW, &random()).unwrap());
    assert_ne!(source.ack("accepted", &second).body, ack.body);
}

#[test]
fn after_a_rotation_the_matching_secret_decrypts_and_answers() {
    let secrets = json!(["the new secret of this hook", secret_for("feishu")]);
    let (_, signer) = pair("feishu");
    let both = Source::preset("feishu", settings(&secrets)).unwrap();
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    assert!(request.body.starts_with(br#"{"encrypt":""#));
    let delivery = delivery(&both, request);
    assert_eq!((delivery.secret, delivery.event.as_deref()), (Some(1), Some("im.message.receive_v1")));

    let (_, signer) = pair("dingtalk");
    let params = params_for("dingtalk");
    let both = Source::preset("dingtalk", Settings { params, ..settings(&secrets) }).unwrap();
    let old = self::delivery(&both, signer.sign(Draft::default(), 0, NOW, &random()).unwrap());
    let ack = both.ack("accepted", &old);
    assert_eq!(opened(&signer, "sample", &secret_for("dingtalk"), &ack), "success");
}

/// Returns the mistakes of a table that ends with this line.
fn mistakes(line: &str) -> Vec<String> {
    let text = format!(
        "kind = \"digest\"\nhash = \"sha1\"\nsignature = {{ from = \"query:s\", encoding = \"hex\" }}\n\
         signed = [\"{{secret}}\", \"{{query:t}}\", \"{{xml:Encrypt}}\"]\n{line}"
    );
    let mistakes = Mistakes::new("hooks.toml", &text);
    let document = DeTable::parse(&text).unwrap();
    let table = Table::new(&mistakes, "verify", 0, document.get_ref());
    assert!(Source::custom(table, settings(&json!(["correct horse battery"]))).is_err());
    mistakes.into_sorted().iter().map(|m| format!("{}: {}: {}", m.line, m.key, m.message)).collect()
}

/// An optional ciphertext requires a signature of the whole body, because a signature of the ciphertext alone
/// covers nothing without it.
#[test]
fn what_need_not_be_encrypted_is_signed_whole() {
    const CBC: &str = r#"alg = "aes-256-cbc", key = "sha256(secret)", iv = "key", pad = 32"#;
    let line = format!("decrypt = {{ {CBC}, ciphertext = \"xml:Encrypt\", optional = true }}");
    let want = "5: verify.decrypt: a request without ciphertext is taken too: sign \"{body}\", or leave optional out";
    assert_eq!(mistakes(&line), [want]);
}

#[test]
fn mistakes_of_a_decrypt_table_have_their_remedy() {
    const CBC: &str = r#"alg = "aes-256-cbc", key = "sha256(secret)", iv = "key", pad = 32"#;
    for (line, want) in [
        ("decrypt = {}".to_owned(), "5: verify.decrypt.alg: missing: write alg = \"aes-256-cbc\" or"),
        (r#"decrypt = { alg = "aes" }"#.into(), "5: verify.decrypt.alg: \"aes\" is unknown: write"),
        (r#"decrypt = { alg = "aes-256-cbc" }"#.into(), "5: verify.decrypt.key: missing: write key = "),
        (
            r#"decrypt = { alg = "aes-256-cbc" }"#.into(),
            "5: verify.decrypt.iv: missing: write iv = \"prefix\" or",
        ),
        (
            r#"decrypt = { alg = "aes-256-cbc" }"#.into(),
            "5: verify.decrypt.pad: missing or not a block size: write",
        ),
        (r#"decrypt = { alg = "aes-256-gcm" }"#.into(), "5: verify.decrypt.nonce: missing: write nonce = "),
        (format!("decrypt = {{ {CBC} }}"), "5: verify.decrypt.ciphertext: missing: write ciphertext = "),
        (
            format!("decrypt = {{ {CBC}, ciphertext = \"xml:Encrypt\", frame = \"x\" }}"),
            "5: verify.decrypt.frame: \"x\" is unknown: write \"plain\" or \"wechat\"",
        ),
        (
            format!("decrypt = {{ {CBC}, ciphertext = \"xml:Encrypt\", nonce = \"json:n\" }}"),
            "5: verify.decrypt.nonce: unknown key; known here:",
        ),
        (
            format!("decrypt = {{ {CBC}, ciphertext = \"xml:Encrypt\" }}").replace("sha256", "sha1"),
            "5: verify.decrypt.key: \"sha1(secret)\" is unknown: write \"sha256(secret)\", ",
        ),
        (
            format!("decrypt = {{ {CBC}, ciphertext = \"xml:Other\" }}"),
            "5: verify.decrypt: the ciphertext must be signed: add it, or \"{body}\", to signed",
        ),
        (
            format!("decrypt = {{ {CBC}, ciphertext = \"decrypted:a\" }}"),
            "5: verify.decrypt: decrypted:a is known only after verification: name another field",
        ),
        (
            r#"event = "decrypted:a""#.into(),
            "5: verify.event: nothing is decrypted here: add decrypt = { … }, or name another field",
        ),
        (
            r#"timestamp = { from = "decrypted:t", unit = "s" }"#.into(),
            "5: verify.timestamp: decrypted:t is known only after verification",
        ),
    ] {
        let found = mistakes(&line);
        assert!(found.iter().any(|mistake| mistake.starts_with(want)), "{line}\n{want}\n{found:#?}");
    }
}
