//! Tests of every preset against the vectors of its provider: once as the preset, and once with the vector
//! file's own configuration, written as a `[verify]` table.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::source::{Settings, Source, Verdict, VerifyOutcome, preset_info, preset_names};
use serde_json::{Value, json};

use crate::kit::source::{custom, file_of, load, of_case, params_for, request, settings, toml, vector_files};

/// Converts a vector file's configuration into a `[verify]` table.
fn verify_table(file: &Value) -> String {
    let mut config = file["config"].as_object().unwrap().clone();
    if let Some(decrypt) = config.get_mut("decrypt") {
        // The names of keys, frames and receivers are hookmq's own.
        *decrypt = match file["provider"].as_str().unwrap() {
            "wechat_pay_v3" => json!({ "alg": "aes-256-gcm", "key": "utf8(apiv3_key)",
                "ciphertext": decrypt["ciphertext"], "nonce": decrypt["nonce"], "aad": decrypt["aad"] }),
            "feishu" => json!({ "alg": "aes-256-cbc", "key": "sha256(secret)", "iv": "prefix", "pad": 16,
                "ciphertext": decrypt["ciphertext"] }),
            provider @ ("dingtalk" | "wechat_mp_secure" | "wecom") => {
                json!({ "alg": "aes-256-cbc", "key": "base64(aes_key)", "iv": "key", "pad": 32,
                "frame": "wechat",
                "ciphertext": if provider == "dingtalk" { "json:encrypt" } else { "xml:Encrypt" } })
            }
            _ => decrypt.take(),
        };
    }
    // The prefix `Basic ` says the same.
    config.remove("secret_is");
    if let Some(source) = config.get_mut("key_source") {
        *source = key_source(source);
    }
    let fields_as_written =
        |text: String| text.replace("Subject,", "Subject?,").replace("subject,", "subject?,");
    // A value that is not a field name is a description.
    let describes = |text: &str| text.starts_with("decrypted") && text.contains(' ');
    config.retain(|_, value| !value.as_str().is_some_and(describes));
    // The files have no notation for an optional field, which is signed as an empty value.
    let optional = |text: &str| text.replace("originalReference}", "originalReference?}");
    let lines: Vec<String> = config.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
    fields_as_written(optional(&lines.join("\n")))
}

/// Converts the source of keys: the files describe the allowed addresses as regular expressions.
fn key_source(source: &Value) -> Value {
    let allow = [
        ("SimpleNotificationService", "sns.??-*.amazonaws.com/SimpleNotificationService-*.pem"),
        ("t-systems", "smn.??-*.otc.t-systems.com/smn/SMN_*.pem"),
        ("paypal", "api.paypal.com/v1/notifications/certs/CERT-*"),
        ("aliyuncs", "mnstest.oss-cn-hangzhou.aliyuncs.com/*.pem"),
    ];
    if let Some(keys) = source["keys"].as_object() {
        return json!({ "key_id": source["key_id"], "keys": keys.keys().collect::<Vec<_>>() });
    }
    let Some(written) = source["allow"].as_str() else { return source.clone() };
    let (_, allowed) = allow.iter().find(|(part, _)| written.contains(part)).unwrap();
    let mut table = json!({ "cert_url": source["cert_url"], "allow": [allowed] });
    if let Some(encoding) = source.get("encoding") {
        table["decode"] = encoding.clone();
    }
    table
}

/// Adds the parameters that a preset or a vector file requires to a vector's settings.
fn with(params: &BTreeMap<String, String>, settings: &Settings) -> Settings {
    let params = params.clone().into_iter().chain(settings.params.clone()).collect();
    Settings { params, ..settings.clone() }
}

/// Asserts that the delivery carries the verified body.
fn assert_kept(delivery: &Delivery, body: &[u8]) {
    if delivery.body != body {
        // Unsigned members are not delivered.
        let members = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        let (kept, sent) = (members(&delivery.body), members(body));
        assert!(sent["unsubscribe_url"].is_string() || sent["UnsubscribeURL"].is_string() || kept == sent);
        for (name, value) in kept.as_object().unwrap() {
            assert_eq!(*value, sent[name], "{name}");
        }
    }
}

fn verdict(source: Option<&Source>, file: &Value, case: &Value) -> &'static str {
    let Some(source) = source else { return "config_error" };
    let (request, _) = of_case(case);
    let (body, now) = (request.body.clone(), Timestamp::from_unix(case["now"].as_i64().unwrap()));
    let explained = source.explain(&request, now);
    let verdict = source.check("h", request, now);
    let accepted = !matches!(explained.outcome, VerifyOutcome::Rejected(..));
    match verdict {
        Verdict::Verified(delivery) => {
            assert!(accepted);
            match plaintext(file) {
                Some(plaintext) => {
                    assert_eq!(delivery.body, plaintext);
                    assert_eq!(delivery.original.clone().unwrap(), body);
                }
                // A body with a token is not compared, because the token is not delivered.
                None if case["headers"] == json!([]) => {}
                None => assert_kept(&delivery, &body),
            }
            "accept"
        }
        Verdict::Handshake(_) | Verdict::Confirm(..) => {
            assert!(accepted);
            "accept"
        }
        Verdict::Fetch(..) | Verdict::Unusable(_) => panic!("the key is configured"),
        Verdict::Rejected(_) => {
            assert!(!accepted);
            "reject"
        }
    }
}

/// Returns the plaintext of a file's encrypted vectors, or the claims of its tokens, from the file or its notes.
fn plaintext(file: &Value) -> Option<String> {
    let is_encrypted = file["config"].get("decrypt").is_some();
    if !is_encrypted && file["config"]["from"] != "body" {
        return None;
    }
    let mut notes = file["notes"].as_array().into_iter().flatten().map(|note| note.as_str().unwrap());
    let of = |note: &str| {
        Some(note.split_once("plaintext = ").or(note.split_once("decrypted body = "))?.1.to_owned())
    };
    file["plaintext"].as_str().map(str::to_owned).or_else(|| notes.find_map(of))
}

/// Returns the preset of a vector file, whose name has `_` for `-`.
fn preset_of(file: &str) -> String {
    file.replace('_', "-")
}

#[test]
fn every_preset_has_vectors_and_every_file_of_them_a_preset() {
    let presets: BTreeSet<String> = preset_names().map(file_of).collect();
    let files: BTreeSet<String> = vector_files().into_iter().collect();
    assert_eq!(presets.difference(&files).collect::<Vec<_>>(), [""; 0], "without a file of vectors");
    assert_eq!(files.difference(&presets).collect::<Vec<_>>(), [""; 0], "without a preset");
    for name in files {
        let file = load(&name);
        assert_eq!(file["provider"], name.as_str());
        let expects =
            |what: &str| file["cases"].as_array().unwrap().iter().any(|case| case["expect"] == what);
        assert!(expects("accept") && (expects("reject") || name == "none"), "{name}");
    }
}

#[test]
fn every_vector_has_its_verdict() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for name in vector_files() {
        let file = load(&name);
        let table = verify_table(&file);
        let name = &preset_of(&name);
        let for_preset = params_for(name);
        let mut for_table: BTreeMap<String, String> =
            serde_json::from_value(file["params"].clone()).unwrap_or_default();
        // A table does not use parameters that only a preset's handshake needs.
        for_table.retain(|name, _| table.contains(name));
        for case in file["cases"].as_array().unwrap() {
            let expect = case["expect"].as_str().unwrap();
            let (_, settings) = of_case(case);
            let preset = Source::preset(name, with(&for_preset, &settings)).ok();
            let custom = custom(&table, with(&for_table, &settings)).ok();
            for (how, source) in [("preset", preset), ("table", custom)] {
                let verdict = verdict(source.as_ref(), &file, case);
                if expect != "any" && verdict != expect {
                    wrong.push(format!("{name} {} as {how}: {verdict}, not {expect}", case["name"]));
                }
                cases += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 4_000, "{cases}");
}

#[test]
fn the_matching_secret_is_told() {
    for name in vector_files() {
        let file = load(&name);
        let rotation = "rotation_two_configured_secrets_old_signs";
        let Some(case) = file["cases"].as_array().unwrap().iter().find(|case| case["name"] == rotation)
        else {
            continue;
        };
        let (request, settings) = of_case(case);
        let name = preset_of(&name);
        let source = Source::preset(&name, with(&params_for(&name), &settings)).unwrap();
        match source.check("h", request, Timestamp::from_unix(1_760_000_000)) {
            Verdict::Verified(delivery) => assert_eq!(delivery.secret, Some(1), "{name}"),
            Verdict::Handshake(response) => assert_eq!((name.as_str(), response.status), ("discord", 200)),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn coverage_is_what_the_template_covers() {
    for name in vector_files() {
        let config = load(&name)["config"].to_string();
        let whole = [
            "{body}",
            "{sorted_form}",
            "{sorted_pairs:",
            "{fieldlines:",
            "body_hash",
            "decrypt\"",
            "\"from\":\"body\"",
        ];
        // MNS signs the Content-MD5; the file does not say that it is compared with the body.
        let covers = name == "aliyun_mns" || whole.iter().any(|part| config.contains(part));
        assert_eq!(preset_info(&preset_of(&name)).unwrap().covers_body, covers, "{name}");
    }
    let source = Source::preset("none", Settings::default()).unwrap();
    let request = request("POST", &json!([]), b"x".to_vec());
    match source.check("h", request, Timestamp::from_unix(0)) {
        Verdict::Verified(delivery) => {
            assert_eq!((delivery.coverage, delivery.secret), (Coverage::None, None));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn feishu_answers_only_challenges_with_its_token() {
    let file = load("feishu");
    let with_token = |secret: &str, token: &str| {
        let mut settings = settings(&json!([secret]));
        settings.params.insert("verification_token".into(), token.into());
        Source::preset("feishu", settings).unwrap()
    };
    // Without the parameter, the token must be one of the secrets.
    let sources = [
        with_token("test key", "v-token"),
        with_token("other key", "v-token"),
        with_token("test key", "other token"),
        Source::preset("feishu", settings(&json!(["v-token"]))).unwrap(),
        Source::preset("feishu-token", settings(&json!(["v-token"]))).unwrap(),
    ];
    for (i, source) in sources.iter().enumerate() {
        for handshake in file["handshake"].as_array().unwrap() {
            let body = STANDARD.decode(handshake["body_b64"].as_str().unwrap()).unwrap();
            let verdict = source.check("h", request("POST", &json!([]), body), Timestamp::from_unix(0));
            match (handshake["name"].as_str().unwrap(), verdict) {
                ("plain" | "encrypted", Verdict::Handshake(response)) if i != 2 => {
                    assert_eq!(response.status, 200);
                    assert_eq!(response.header("content-type"), Some("application/json"));
                    let answer: Value = serde_json::from_str(&response.body).unwrap();
                    assert_eq!(answer, handshake["expect_json"]);
                }
                ("wrong_token", Verdict::Rejected(_)) => {}
                // These sources have another token, another key, or no key.
                ("plain", Verdict::Rejected(_)) if i == 2 => {}
                ("encrypted", Verdict::Rejected(_)) if i > 0 => {}
                (name, verdict) => panic!("{name}: {verdict:?}"),
            }
        }
    }
}
