//! Tests of mistakes in a `[verify]` table or in a hook's settings: each is reported with its place and its
//! remedy.

use hookmq_shared::delivery::Coverage;
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::source::{BuildError, Rejection, Settings, Source, Verdict};
use serde_json::json;
use toml::de::DeTable;

use crate::kit;
use crate::kit::source::{NOW, custom, load, pair, params_for, request, settings};

/// Returns the mistakes of a table, as `line: key: message`.
pub(crate) fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Mistakes::new("hooks.toml", text);
    let document = DeTable::parse(text).unwrap();
    let table = Table::new(&mistakes, "verify", 0, document.get_ref());
    let source = Source::custom(table, settings(&json!(["correct horse battery"])));
    assert_eq!(source.is_err(), mistakes.errors() > 0, "{text}");
    let found = mistakes.into_sorted();
    assert_eq!(source.err().unwrap_or_default(), [], "nothing is wrong with the settings");
    found.iter().map(|m| format!("{}: {}: {}", m.line, m.key, m.message)).collect()
}

/// A sound table, in which a test replaces one line.
pub(crate) const SOUND: &str = r#"kind = "hmac"
hash = "sha256"
signature = { from = "header:S", encoding = "hex" }
signed = ["{header:T}", ".", "{body}"]
timestamp = { from = "header:T", unit = "s" }
"#;

/// A line number of [`SOUND`], the replacement of the line, and the mistake with its line. A missing key is
/// reported at the first line of its table.
const MISTAKES: &[(usize, &str, &str)] = &[
    (1, "", "1: verify.kind: missing: write kind = \"token\" or \"hmac\" or \"digest\" or"),
    (1, "kind = 1", "1: verify.kind: expected a string, found integer"),
    (1, r#"kind = "hamc""#, "1: verify.kind: \"hamc\" is unknown: write \"token\" or \"hmac\" or"),
    (1, r#"kind = "rot13""#, "1: verify.kind: \"rot13\" is unknown: write \"token\" or \"hmac\" or"),
    (
        1,
        r#"kind = "digest""#,
        "4: verify.signed: anybody can make a digest without a secret: add \"{secret}\"",
    ),
    (1, r#"kind = "token""#, "1: verify.from: missing: write from = \"header:Authorization\""),
    (1, r#"kind = "none""#, "2: verify.hash: unknown key; known here: ack, content_coding, deadline,"),
    (2, "", "1: verify.hash: missing: write hash = \"sha256\" or \"sha512\" or \"sha1\""),
    (2, r#"hash = "md5""#, "2: verify.hash: \"md5\" is unknown: write \"sha256\" or \"sha512\" or \"sha1\""),
    (3, "", "1: verify.signature: missing: write signature = { from = "),
    (3, r#"signature = "header:S""#, "3: verify.signature: expected a table, found string"),
    (3, r#"signature = { encoding = "hex" }"#, "3: verify.signature.from: missing: write from = "),
    (
        3,
        r#"signature = { from = "S", encoding = "hex" }"#,
        "3: verify.signature.from: \"S\" is not a field: write header:NAME,",
    ),
    (
        3,
        r#"signature = { from = "xml:", encoding = "hex" }"#,
        "3: verify.signature.from: \"xml:\" does not name a field",
    ),
    (
        3,
        r#"signature = { from = "sigkv:S", encoding = "hex" }"#,
        "3: verify.signature.from: a signature cannot stand in itself",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", or_bare = true }"#,
        "3: verify.signature.or_bare: there is no prefix that may be missing: leave it out",
    ),
    (
        3,
        r#"signature = { from = "header:S" }"#,
        "3: verify.signature.encoding: missing: write encoding = \"hex\" or",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "rot13" }"#,
        "3: verify.signature.encoding: \"rot13\" is unknown: write \"hex\" or",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "list", sep = " " }"#,
        "3: verify.signature.take: missing: write take = \"v1,\"",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "kv", take = "v1", sep = "" }"#,
        "3: verify.signature.sep: missing: write sep = \",\"",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "xml" }"#,
        "3: verify.signature.format: \"xml\" is unknown: write \"raw\"",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", sep = "," }"#,
        "3: verify.signature.sep: unknown key; known here:",
    ),
    (
        3,
        r#"signature = { from = "header:S-*", encoding = "hex" }"#,
        "3: verify.signature.from: \"header:S-*\": only a signature with several = true",
    ),
    (
        3,
        r#"signature = { from = "header:*", encoding = "hex", several = true }"#,
        "3: verify.signature.several: is for header fields: write from = ",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "list", sep = "&", after = "" }"#,
        "3: verify.signature.after: \"\" never stands in an item",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "list", sep = "|", after = "|" }"#,
        "3: verify.signature.after: \"|\" never stands in an item",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "list", sep = ",", take = "v1," }"#,
        "3: verify.signature.take: \"v1,\" never stands in an item",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "kv", sep = ",", take = "v1=" }"#,
        "3: verify.signature.take: \"v1=\" never stands in an item",
    ),
    (
        3,
        r#"signature = { from = "header:S", encoding = "hex", format = "kv", sep = ",", take = "v1", sets = "" }"#,
        "3: verify.signature.sets: \"\" never stands in an item",
    ),
    (4, "", "1: verify.signed: missing: write what the sender signs, such as signed = "),
    (4, r#"signed = "{body}""#, "4: verify.signed: expected an array of strings, found string"),
    (4, r#"signed = ["t={header:T}"]"#, "4: verify.signed: a placeholder is a part of its own: write"),
    (4, r#"signed = ["{bodi}"]"#, "4: verify.signed: \"{bodi}\" is not a part: write {body}, {method},"),
    (4, r#"signed = ["{body}", "{header:T-*}"]"#, "4: verify.signed: \"{header:T-*}\" is not a part: write"),
    (4, r#"signed = ["{crc64(body)}"]"#, "4: verify.signed: \"{crc64(body)}\" is not a part: write {body},"),
    (
        4,
        r#"signed = ["x", "{secret}"]"#,
        "4: verify.signed: nothing of the request is signed: write signed = ",
    ),
    (4, "signed = { sort = true }", "4: verify.signed.parts: missing: write parts = "),
    (
        4,
        r#"signed = { parts = ["{body}"], by = "json:Type" }"#,
        "4: verify.signed.cases: missing: write cases = ",
    ),
    (
        4,
        r#"signed = ["{sigkv:t}", "{body}"]"#,
        "4: verify.signed: sigkv:t needs a signature of format = \"kv\"",
    ),
    (
        5,
        r#"timestamp = { from = "sigkv:t", unit = "s" }"#,
        "5: verify.timestamp: sigkv:t needs a signature of format = \"kv\"",
    ),
    (
        5,
        r#"timestamp = { from = "header:T" }"#,
        "5: verify.timestamp.unit: missing: write unit = \"s\" or \"ms\"",
    ),
    (
        5,
        r#"timestamp = { from = "header:T", unit = "expired" }"#,
        "5: verify.timestamp.unit: \"expired\" is unknown: write \"s\" or",
    ),
    (
        5,
        r#"timestamp = { from = "header:T", unit = "expires", past = "5m" }"#,
        "5: verify.timestamp.past: unknown key; known here: from, max_ahead, unit",
    ),
    (
        5,
        r#"timestamp = { from = "header:T", unit = "s", max_ahead = "5m" }"#,
        "5: verify.timestamp.max_ahead: unknown key; known here: from, future, past, unit",
    ),
    (
        5,
        r#"timestamp = { from = "header:T", unit = "s", past = "5 weeks" }"#,
        "5: verify.timestamp.past: expected a duration such as",
    ),
    (6, r#"require = [{ from = "header:V" }]"#, "6: verify.require[0].in: no value is allowed: write in = "),
    (6, r#"id = "X-Id""#, "6: verify.id: \"X-Id\" is not a field: write header:NAME,"),
    (
        6,
        r#"event = ["json:a", "json:"]"#,
        "6: verify.event: \"json:\" does not name a field: write header:NAME,",
    ),
    (6, r#"event = "header:X-*""#, "6: verify.event: \"header:X-*\": only a signature with several = true"),
    (6, "event = 1", "6: verify.event: expected an array of strings, found integer"),
    (6, r#"key = { encoding = "pem" }"#, "6: verify.key.encoding: \"pem\" is unknown: write \"utf8\" or"),
    (6, r#"secret = "x""#, "6: verify.secret: unknown key; known here:"),
];

#[test]
fn every_mistake_has_its_line_and_remedy() {
    assert_eq!(mistakes(SOUND), [""; 0]);
    for (line, replaced, want) in MISTAKES {
        let mut lines: Vec<&str> = SOUND.lines().collect();
        lines.resize(6, "");
        lines[line - 1] = replaced;
        let found = mistakes(&lines.join("\n"));
        assert!(found.iter().any(|mistake| mistake.starts_with(want)), "{want}\n{found:#?}");
    }
}

#[test]
fn tables_of_public_keys_say_what_is_wrong() {
    let rsa = SOUND.replace("hmac", "rsa");
    for (line, want) in [
        ("key_source = {}", "6: verify.key_source.key_id: missing: write key_id = "),
        (r#"key_source = { key_id = "header:K" }"#, "6: verify.key_source.keys: missing: write keys = "),
        (
            r#"key_source = { cert_url = "header:U" }"#,
            "6: verify.key_source.allow: no host is allowed: write",
        ),
        (
            r#"key_source = { cert_url = "header:U", allow = ["*.com/x"] }"#,
            "6: verify.key_source.allow: \"*.com/x\" is not a host and a path",
        ),
        (
            r#"key_source = { cert_url = "header:U", allow = ["a.com"] }"#,
            "6: verify.key_source.allow: \"a.com\" is not a host and a path",
        ),
        (
            r#"key_source = { cert_url = "header:U", allow = ["https://a.com/"] }"#,
            "6: verify.key_source.allow: \"https://a.com/\" is not a host and a path",
        ),
        (
            r#"key_source = { cert_url = "header:U", allow = ["a.com/"], decode = "hex" }"#,
            "6: verify.key_source.decode: ",
        ),
    ] {
        let found = mistakes(&format!("{rsa}{line}"));
        assert!(found.iter().any(|mistake| mistake.starts_with(want)), "{want}\n{found:#?}");
    }
    let secret = mistakes(&rsa.replace("{body}", "{secret}"));
    assert!(secret[0].contains("the secret is a public key here"), "{secret:?}");
    let jwt = "kind = \"jwt\"\nfrom = \"header:T\"\nalgorithm = ";
    for (rest, want) in [
        ("\"none\"", "3: verify.algorithm: \"none\" is unknown: write \"RS256\" or \"ES256\" or \"HS256\""),
        (
            "\"RS256\"\njwks = \"http://a.com/\"",
            "4: verify.jwks: is not a plain address: write it as https://",
        ),
        ("\"HS256\"\njwks = \"https://a.com/\"", "4: verify.jwks: HS256 has a secret key"),
        ("\"HS256\"\nclaims = { iss = [] }", "4: verify.claims: no value of iss is allowed: write iss = "),
        (
            "\"HS256\"\nclaims = { iss = \"x\" }",
            "4: verify.claims.iss: expected an array of strings, found string",
        ),
        ("\"HS256\"\nbody_hash = {}", "4: verify.body_hash.claim: missing: write claim = \"sha256\""),
        (
            "\"HS256\"\nbody_hash = { claim = \"h\", encoding = \"hex\" }",
            "4: verify.body_hash: the body has the token, and cannot hold its own hash",
        ),
        ("\"HS256\"\nid = \"header:T\"", "4: verify.id: header:T is the token, which is never kept"),
    ] {
        let in_body = rest.contains("claim = \"h\"");
        let jwt = if in_body { jwt.replace("header:T", "body") } else { jwt.to_owned() };
        let found = mistakes(&format!("{jwt}{rest}"));
        assert!(found.iter().any(|mistake| mistake.starts_with(want)), "{want}\n{found:#?}");
    }
    let parameter = SOUND.replace("{body}", "{param:topic}").replace("{header:T}", "{body}");
    let errors = errors(custom(&parameter, settings(&json!(["correct horse battery"]))));
    assert_eq!(errors, ["verify: {param:topic} cannot be used here: write the value itself"]);
}

/// A handshake that takes every request would acknowledge all deliveries, and none would be forwarded.
#[test]
fn a_handshake_leaves_the_deliveries() {
    let table = |rest: &str| format!("{SOUND}methods = \"GET, POST\"\n[[handshake]]\nstatus = 200\n{rest}");
    let lost = "8: verify.handshake[0].status: every delivery would be answered as this handshake, and be lost: \
                write when, present or absent";
    for all in [
        "",
        "before_verify = true",
        "method = \"POST\"",
        "token = { from = \"header:X-Token\" }",
        "when = {}",
    ] {
        let found = mistakes(&table(all));
        assert!(
            found.iter().any(|mistake| mistake.contains("every delivery would be answered")),
            "{all}: {found:?}"
        );
    }
    assert_eq!(mistakes(&table("")), [lost]);
    for refused in ["OPTIONS", "get", "PUT"] {
        let found = mistakes(&table(&format!("method = \"{refused}\"\npresent = \"query:c\"")));
        let want = format!(
            "9: verify.handshake[0].method: \"{refused}\" is refused with 405 here: write it into methods"
        );
        assert_eq!(found, [want]);
    }
    for some in ["method = \"GET\"", "when = { \"json:type\" = \"ping\" }", "present = \"header:X-Ping\""] {
        assert_eq!(mistakes(&table(some)), [""; 0], "{some}");
    }
    let by_get = table("method = \"GET\"").replace("[[", "delivers_by_get = true\n[[");
    assert!(mistakes(&by_get)[0].contains("every delivery would be answered"));
}

#[test]
fn an_answer_to_a_handshake_can_be_made() {
    let table = |body: &str| {
        format!(
            "{SOUND}methods = \"GET, POST\"\n[[handshake]]\nmethod = \"GET\"\nstatus = 200\ntype = \"text/plain\"\nbody = [{body}]"
        )
    };
    for part in ["{hex(sing(query:c))}", "{nope}", "{header:A", "{hex(sign(c))}", "{header:X-*}"] {
        let found = mistakes(&table(&format!("\"x\", \"{part}\"")));
        let is_literal = !part.ends_with('}');
        assert_eq!(found.is_empty(), is_literal, "{part}");
        assert!(is_literal || found[0].starts_with("11: verify.handshake[0].body: \"{"), "{found:?}");
    }
    let json = r#"'{"a":1}', '{ "b":', "{}", "{query:c}", "{query:c??x}""#;
    assert_eq!(mistakes(&table(json)), [""; 0]);
    let of = |table: &str, secret: &str| errors(custom(table, settings(&json!([secret]))));
    let never = |part: &str, sound: &str, secret: &str| {
        let table = table(&format!("\"{part}\"")).replace(SOUND, sound);
        of(&table, secret).concat()
    };
    let digest = SOUND.replace("hmac", "digest").replace("\"{body}\"", "\"{body}\", \"{secret}\"");
    let ed25519 =
        SOUND.replace("hmac", "ed25519").replace("hash = \"sha256\"", "key = { encoding = \"hex\" }");
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (part, sound, secret, want) in [
        ("{param:nope}", SOUND, "correct horse battery", "verify: {param:nope} cannot be used here"),
        ("{decrypted}", SOUND, "correct horse battery", "verify: {decrypted} in the answer to a handshake"),
        ("{hex(sign(query:c))}", &digest, "correct horse battery", "verify: sign(…) in the answer"),
        ("{hex(sign(query:c))}", &ed25519, public, "verify: sign(…) in the answer to a handshake"),
        ("{hex(hmac_sha256(query:c))}", &ed25519, public, "verify: hmac_sha256(…) in the answer"),
    ] {
        let found = never(part, sound, secret);
        assert!(found.starts_with(want), "{part}: {found}");
    }
    for named in ["enabled_by = \"nope\"", "token = { from = \"query:t\", param = \"nope\" }"] {
        let found =
            of(&table("\"x\"").replace("method =", &format!("{named}\nmethod =")), "correct horse battery");
        assert_eq!(found, ["verify: {param:nope} cannot be used here: write the value itself"], "{named}");
    }
}

#[test]
fn an_ed25519_table_needs_a_key_form() {
    let table = SOUND.replace("hmac", "ed25519").replace("hash = \"sha256\"", "");
    assert!(mistakes(&table)[0].starts_with("1: verify.key: missing: write key = { encoding = \"hex\" }"));
    let table = format!("{table}key = {{ encoding = \"utf8\" }}").replace("{body}", "{secret}");
    assert!(
        mistakes(&table)[0].starts_with("6: verify.key.encoding: \"utf8\" is unknown: write \"base64\" or")
    );
    let table = table.replace("utf8", "hex");
    assert!(mistakes(&table)[0].starts_with("4: verify.signed: the secret is a public key here"));
}

#[test]
fn a_token_names_nothing() {
    let table = "kind = \"token\"\nfrom = \"header:X-Token\"\nid = \"header:x-token\"";
    let want = "3: verify.id: header:X-Token is the token, which is never kept: name another field";
    assert_eq!(mistakes(table), [want]);
    let several = "kind = \"any\"\nverify = [{ kind = \"token\", from = \"header:X-Acme\", secrets = [0] }, \
                   { kind = \"token\", from = \"query:t\", secrets = [0] }]\nid = \"header:x-acme\"";
    let want = "3: verify.id: header:X-Acme is the token, which is never kept: name another field";
    assert_eq!(mistakes(several), [want]);
    // Fields with credentials of other sources are refused as well.
    for (key, field) in [
        ("event", "header:X-Gitlab-Token"),
        ("id", "header:Authorization"),
        ("subject", "header:cookie"),
        ("event", "query:token"),
        ("id", "query:X-Amz-Signature"),
    ] {
        let found = mistakes(&format!("{SOUND}\n{key} = [\"header:X-Sound\", \"{field}\"]"));
        let want = format!("verify.{key}: {field} is a credential, which is never kept: name another field");
        assert!(found.len() == 1 && found[0].ends_with(&want), "{found:?}");
    }
    let table = "kind = \"token\"\nfrom = \"sigkv:t\"\nevent = \"sigkv:e\"";
    let found = mistakes(table);
    assert!(found[0].starts_with("2: verify.from: sigkv: is for signatures"), "{found:?}");
    assert!(found[1].starts_with("3: verify.event: sigkv:e needs a signature"), "{found:?}");
}

#[test]
fn mistakes_are_all_told_at_once() {
    let table = "kind = \"hmac\"\nhash = \"x\"\nsigned = [\n  \"{nope}\",\n  \"{body}\",\n  \"{nix}\",\n]\nid = \"i\"\n";
    let found = mistakes(table);
    let places: Vec<&str> = found.iter().map(|m| m.split(": ").take(1).next().unwrap()).collect();
    assert_eq!(places, ["1", "2", "4", "6", "8"], "{found:#?}");
}

fn errors(result: Result<Source, Vec<BuildError>>) -> Vec<String> {
    result.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_no_secret_is_never_a_key() {
    let url = || Some("https://example.com/hook".to_owned());
    let with = |name, secrets| {
        let params = params_for(name);
        errors(Source::preset(name, Settings { url: url(), params, ..settings(&secrets) }))
    };
    for name in hookmq_shared::source::preset_names().filter(|name| *name != "none") {
        let with = |name, secrets| {
            let params = kit::source::params_for(name);
            Source::preset(name, Settings { url: url(), params, ..settings(&secrets) })
                .map_or_else(|e| errors(Err(e)), |_| vec![])
        };
        let table = kit::source::verify(name);
        let fetches_keys = table["jwks"].is_string()
            || table["key_source"]["cert_url"].is_string()
            || table["key_source"]["token"].is_object();
        if fetches_keys {
            assert_eq!(with(name, json!([])), [""; 0], "{name}");
        } else {
            assert_eq!(
                with(name, json!([]))[0],
                r#"secrets: missing: write secrets = ["env:NAME"]"#,
                "{name}"
            );
        }
        for blank in ["", " ", "\t\n", "\0\0\0", "\u{feff}", "\u{a0}\u{3000}", "\u{200b}\r\n"] {
            let found = with(name, json!([kit::source::secret_for(name), blank]));
            assert_eq!(found, ["secrets[1]: is empty: set it, or take it out of the list"], "{name}");
        }
    }
    for (name, secret) in [
        ("svix", "whsec_"),
        ("svix", "whsec_not base64"),
        ("standard-webhooks", "whsec_AAA-"),
        ("gitlab-signing-token", "é"),
        ("standard-webhooks-ed25519", "whpk_AAAA"),
        ("standard-webhooks-ed25519", "whsec_6KmH+XtgmFGnfhDW1IE47w5Rj0a58doRRboYOtAvk1M="),
        ("discord", "00"),
        ("adyen-payments-item", "not-hex"),
        ("sendgrid", "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        ("sendgrid", "-----BEGIN PUBLIC KEY-----"),
        ("discord", "0000000000000000000000000000000000000000000000000000000000000000"),
        ("basic", "dXNlcg=="),
        ("basic", "::"),
        ("basic", " : "),
        ("basic", "Og=="),
        ("basic", "user"),
        ("adyen-header", "zz"),
        ("adyen-header", "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA05"),
    ] {
        let found = with(name, json!([secret]));
        assert_eq!(found.len(), 1, "{name} {secret}");
        let shown = !["whsec_", "user"].contains(&secret) && found[0].contains(secret);
        assert!(found[0].starts_with("secrets[0]: ") && !shown, "{found:?}");
    }
    let found = with("none", json!(["x"]));
    assert_eq!(found, ["secrets: nothing is verified here: leave them out, or choose a source"]);
}

#[test]
fn who_signs_its_address_needs_the_url() {
    for name in ["hubspot-v2", "hubspot-v3", "square"] {
        let found = errors(Source::preset(name, settings(&json!(["a-client-secret-of-hubspot"]))));
        assert!(found[0].starts_with("url: the sender signs its address") && found.len() == 1, "{found:?}");
    }
}

#[test]
fn settings_are_checked_all_at_once() {
    let mut wrong = settings(&json!([""]));
    wrong.params.insert("topic".into(), "t".into());
    wrong.params.insert("verification_token".into(), " ".into());
    let found = errors(Source::preset("feishu", wrong));
    assert_eq!(
        found,
        [
            "secrets[0]: is empty: set it, or take it out of the list",
            "params.topic: this source has no such parameter: leave it out",
            "params.verification_token: is empty: set it, or leave it out",
        ]
    );
    let found = errors(Source::preset("githbu", Settings::default()));
    assert_eq!(found, ["source: no such source; did you mean github?"]);
}

#[test]
fn warnings_tell_what_is_weak() {
    let warnings = |table: &str, secret: &str| custom(table, settings(&json!([secret]))).unwrap().warnings();
    let long = "correct horse battery";
    assert_eq!(warnings(SOUND, long), [""; 0]);
    assert_eq!(warnings(SOUND, "short"), ["secrets[0] is under 16 bytes: use a longer one"]);
    let encoded =
        SOUND.replace("\nsigned", "\nkey = { encoding = \"base64\", strip_prefix = \"whsec_\" }\nsigned");
    let short = warnings(&encoded, "whsec_AAECAwQFBgcICQoLDA0O");
    assert_eq!(short, ["secrets[0] is under 16 bytes: use a longer one"], "of the key, not of its text");
    let zeros = warnings(&encoded, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(zeros, ["secrets[0] is under 16 bytes: use a longer one"], "the same as an empty key");
    assert_eq!(warnings(&encoded, "whsec_AAECAwQFBgcICQoLDA0ODw=="), [""; 0]);
    let sha1 = SOUND.replace("sha256", "sha1").replace(", \".\", \"{body}\"", "");
    assert_eq!(
        warnings(&sha1, long),
        [
            "SHA-1 is outdated: use sha256 if the sender can",
            "the body is not covered: anyone who has seen one valid request can forge another",
        ]
    );
    let md5 = SOUND.replace("hmac", "digest").replace("sha256", "md5").replace("{header:T}", "{secret}");
    assert_eq!(
        warnings(&md5, long),
        [
            "MD5 is broken: use sha256 if the sender can",
            "anyone who has seen one valid request can forge a longer one, as a plain hash can be \
             continued from where it ended: use hmac if the sender can",
            "header:T is not signed: it does not prevent replays",
        ]
    );
    let last = md5
        .replace("md5", "sha256")
        .replace("\"{secret}\", \".\", \"{body}\"", "\"{header:T}\", \"{body}\", \"{secret}\"");
    assert_eq!(warnings(&last, long), [""; 0]);
    let timeless = SOUND.lines().take(4).collect::<Vec<_>>().join("\n");
    assert_eq!(warnings(&timeless, long), ["without a timestamp an old request can be sent again"]);
    assert_eq!(pair("github").0.warnings(), [""; 0]);
    let none = Source::preset("none", Settings::default()).unwrap();
    assert_eq!(none.warnings(), ["nothing is verified: anybody who knows the address is let in"]);
}

#[test]
fn the_contracts_example_is_read_as_it_is_written() {
    let table = r#"
        kind      = "hmac"
        hash      = "sha256"
        signature = { from = "header:X-Signature", prefix = "sha256=", encoding = "hex" }
        signed    = ["{header:X-Timestamp}", ".", "{body}"]
        timestamp = { from = "header:X-Timestamp", unit = "s", past = "5m", future = "5m" }
        id        = "header:X-Request-Id"
        event     = "header:X-Event"
    "#;
    let source = custom(table, settings(&json!(["erp-secret-erp-secret"]))).unwrap();
    let draft = hookmq_shared::source::Draft { event: Some("order.paid".into()), ..Default::default() };
    let request = source.sign(draft, 0, NOW, &kit::source::random()).unwrap();
    let Verdict::Verified(delivery) = source.check("erp", request, NOW) else { panic!() };
    assert_eq!((delivery.source.clone(), delivery.event.as_deref()), (None, Some("order.paid")));
    assert_eq!(delivery.coverage, Coverage::Body);
    assert!(source.names_deliveries() && source.type_prefix().is_none());
}

#[test]
fn timestamps_come_in_four_units() {
    for (unit, text) in [
        ("s", "1760000000"),
        ("ms", "1760000000000"),
        ("rfc3339", "2025-10-09T08:53:20.000Z"),
        ("http-date", "Thu, 09 Oct 2025 08:53:20 GMT"),
    ] {
        let table = SOUND.replace("unit = \"s\"", &format!("unit = \"{unit}\", past = 10, future = \"0s\""));
        let source = custom(&table, settings(&json!(["k"]))).unwrap();
        let draft = hookmq_shared::source::Draft::default();
        let signed = source.sign(draft, 0, NOW, &kit::source::random()).unwrap();
        assert_eq!(signed.headers.one_str("t"), Some(text));
        for (millis, accepted) in [(0, true), (10_000, true), (10_001, false), (-1, false)] {
            let verdict = source.check("h", signed.clone(), NOW.shifted(millis));
            assert_eq!(matches!(verdict, Verdict::Verified(_)), accepted, "{unit} {millis}");
        }
    }
}

#[test]
fn an_expiry_lies_ahead_and_not_too_far() {
    let table = SOUND.replace("unit = \"s\"", "unit = \"expires\", max_ahead = \"1m\"");
    let source = custom(&table, settings(&json!(["k"]))).unwrap();
    let draft = hookmq_shared::source::Draft::default();
    let signed = source.sign(draft, 0, NOW, &kit::source::random()).unwrap();
    assert_eq!(signed.headers.one_str("t"), Some("1760000060"));
    for (millis, want) in
        [(0, "verified"), (60_000, "verified"), (60_001, "stale"), (-1, "future"), (-3_600_000, "future")]
    {
        let found = match source.check("h", signed.clone(), NOW.shifted(millis)) {
            Verdict::Verified(_) => "verified",
            Verdict::Rejected(rejection) => rejection.as_str(),
            Verdict::Handshake(_) => "handshake",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, want, "{millis}");
    }
}

/// A field of signatures in the body has the length limit of a header field, although a body may have
/// megabytes.
#[test]
fn a_field_of_signatures_is_no_longer_than_a_header() {
    let table = "kind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{header:T}\"]\n\
                 signature = { from = \"json:s\", format = \"kv\", sep = \",\", take = \"v\", encoding = \"hex\" }";
    let source = custom(table, settings(&json!(["correct horse battery"]))).unwrap();
    let check = |pairs: usize| {
        let body = json!({ "s": format!("v={}{}", "00".repeat(32), ",a=b".repeat(pairs)) }).to_string();
        let request = request("POST", &json!([["T", "1"]]), body.into_bytes());
        kit::source::rejection(&source, request)
    };
    assert_eq!(check(8_000), Rejection::NoMatch);
    assert_eq!(check(8_200), Rejection::Malformed("json:s".into()));
}

#[test]
fn more_than_eight_signatures_are_refused() {
    let case = &load("standard_webhooks")["cases"][0];
    let source = Source::preset("standard-webhooks", settings(&case["secrets"])).unwrap();
    let with = |other: &str, n: usize| {
        let mut headers = case["headers"].clone();
        let good = headers[3][1].as_str().unwrap().to_owned();
        headers[3][1] = json!(format!("{}{good}", other.repeat(n)));
        let body = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            case["body_b64"].as_str().unwrap(),
        );
        match source.check("h", request("POST", &headers, body.unwrap()), NOW) {
            Verdict::Verified(_) => "verified",
            Verdict::Rejected(rejection) => rejection.as_str(),
            Verdict::Handshake(_) => "handshake",
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with("v1,AAAA ", 7), "verified");
    assert_eq!(with("v1,AAAA ", 8), "too_many_signatures");
    assert_eq!(with("v9,AAAA ", 100), "verified");
}
