//! Tests of `readiness`.

use crate::queue::Vendor;

use super::*;

#[test]
fn the_variable_has_two_values() {
    let of = |text: &str| ReadinessRule::from_env(&Env::of([(VARIABLE, text)]));
    assert_eq!(
        (of(""), of("any"), of(" all ")),
        (Ok(ReadinessRule::Any), Ok(ReadinessRule::Any), Ok(ReadinessRule::All))
    );
    for wrong in ["ALL", "strict", "1", "any all"] {
        assert_eq!(of(wrong).unwrap_err().variable, VARIABLE, "{wrong}");
    }
}

#[test]
fn a_probe_is_told_why() {
    let target = Target::from(Vendor::Tdmq);
    let troubles =
        || [Trouble::setting(Some(&target), "TLS_CA_FILE"), Trouble::broken("a\"b"), Trouble::broken("a\"b")];
    let answer = Readiness::judge(ReadinessRule::All, true, troubles()).response("id");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["type"], "urn:hookmq:problem:unavailable");
    let told = serde_json::json!([
        {"target": "tdmq", "variable": "TLS_CA_FILE", "problem": "missing or wrong"},
        {"hook": "a\"b", "problem": "the hook has errors"},
    ]);
    assert_eq!(body["problems"], told);
    let answer = Readiness::judge(ReadinessRule::Any, true, troubles()).response("id");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &body["status"], &body["problems"]), (200, &"ok".into(), &told));
    let hidden = Readiness::judge(ReadinessRule::Any, false, troubles()).without_names().response("id").body;
    assert!(
        !hidden.contains("a\\\"b") && !hidden.contains("tdmq") && hidden.contains("TLS_CA_FILE"),
        "{hidden}"
    );
    let sound = Readiness::judge(ReadinessRule::All, true, []);
    assert_eq!(sound.response("id").body, r#"{"status":"ok"}"#);
    let open = Open { topic: 1, key: 0, endpoint: 1 };
    let told = sound.clone().with_state(Some(StoreProbe::Failed("denied")), [(&target, open)]);
    let body = r#"{"status":"ok","store":"failed","store_problem":"denied","open_circuits":{"tdmq":2}}"#;
    assert_eq!(told.response("id").body, body);
    let told = sound.with_state(Some(StoreProbe::Worked), [(&target, Open::default())]);
    assert_eq!(told.response("id").body, r#"{"status":"ok","store":"worked"}"#);
}
