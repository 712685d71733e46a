//! Tests of IAM tokens: issue, use and expiry.

use std::time::Duration;

use crate::kit::*;
use hookmq_emulator::{Config, Fault, FaultKind, Vendor, sample};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_is_issued_and_opens_dms() {
    let emulator = start().await;
    let answer = iam(&emulator, &iam_body()).send(&emulator).await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(body["token"]["expires_at"], "2026-11-23T12:33:55.000000Z");
    assert_eq!(body["token"]["project"]["id"], sample::PROJECT_ID);
    assert_eq!(body["token"]["catalog"], json!([]));
    let token = answer.header("X-Subject-Token").unwrap();
    assert!(!String::from_utf8_lossy(&answer.body).contains(token));

    assert_eq!(dms_with(&emulator, token).send(&emulator).await.status, 200);
    let kept = serde_json::to_string(&(emulator.messages(), emulator.requests())).unwrap();
    assert!(!kept.contains(token) && !kept.contains(sample::PASSWORD), "{kept}");
}

#[tokio::test]
async fn a_project_may_be_named_and_the_catalog_asked_for() {
    let emulator = start().await;
    let mut body = iam_body();
    body["auth"]["scope"]["project"] = json!({"name": sample::PROJECT_NAME});
    let mut request = iam(&emulator, &body);
    request.target = "/v3/auth/tokens".into();
    let answer = request.send(&emulator).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["token"]["catalog"][0]["type"], "dms");
}

#[tokio::test]
async fn what_is_not_right_is_refused_in_iams_form() {
    let emulator = start().await;
    let with = |pointer: &str, value: Value| {
        let mut body = iam_body();
        *body.pointer_mut(pointer).unwrap() = value;
        iam(&emulator, &body)
    };
    let user = "/auth/identity/password/user";
    let mut get = iam(&emulator, &iam_body());
    get.method = "GET".into();
    let mut elsewhere = iam(&emulator, &iam_body());
    elsewhere.target = "/v3/users".into();
    for (index, (status, request)) in [
        (401, with(&format!("{user}/password"), json!("wrong"))),
        (401, with(&format!("{user}/name"), json!("nobody"))),
        (401, with(&format!("{user}/domain/name"), json!("OTC0"))),
        (401, with("/auth/scope/project", json!({"id": "f".repeat(32)}))),
        (401, with("/auth/scope/project", json!({"name": "eu-nl"}))),
        (400, with("/auth/scope", json!({"domain": {"name": sample::DOMAIN}}))),
        (400, with("/auth/identity/methods", json!(["token"]))),
        (400, with("/auth", Value::Null)),
        (405, get),
        (404, elsewhere),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = request.send(&emulator).await;
        assert_eq!(answer.status, status, "case {index}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], status, "case {index}");
        assert!(error["message"].is_string() && error["title"].is_string(), "case {index}");
        assert!(answer.header("x-subject-token").is_none(), "case {index}");
    }
}

#[tokio::test]
async fn a_token_expires_in_time_on_demand_and_must_be_updated() {
    let short_lived = Config { token_ttl: Duration::ZERO, ..config() };
    let emulator = start_with(short_lived).await;
    let refused = dms_with(&emulator, &token(&emulator).await).send(&emulator).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "DMS.10240102"));

    let emulator = start().await;
    for (fault, code) in [(FaultKind::ExpireTokens, "DMS.10240102"), (FaultKind::OutdateTokens, "APIG.0307")]
    {
        let old = token(&emulator).await;
        assert_eq!(dms_with(&emulator, &old).send(&emulator).await.status, 200);
        emulator.set_faults(vec![Fault::new(fault).vendor(Vendor::Rocketmq)]);
        for _ in 0..2 {
            let refused = dms_with(&emulator, &old).send(&emulator).await;
            assert_eq!((refused.status, refused.code().as_str()), (401, code));
        }
        let new = token(&emulator).await;
        assert_eq!(dms_with(&emulator, &new).send(&emulator).await.status, 200);
    }
}
