//! Requests of the vendors' own Python SDKs, which the emulator accepts as they are sent (only signed again
//! with a key that this emulator knows).

use crate::kit::*;
use hookmq_emulator::{Config, sample};
use serde_json::Value;

#[tokio::test]
async fn the_official_sdks_requests_are_accepted() {
    let captures: Value = serde_json::from_str(include_str!("../vectors/sdk_wire_captures.json")).unwrap();
    let mut accepted = 0;
    for sdk in ["tencent_python_sdk", "huawei_python_sdk"] {
        for capture in captures["captures"][sdk].as_array().unwrap() {
            let name = format!("{sdk} {}", capture["name"]);
            let (project, instance) = ("pid0".to_owned(), "iid".to_owned());
            let emulator =
                start_with(Config { project_id: project, instance_id: instance, ..config() }).await;

            let mut line = capture["request_line"].as_str().unwrap().split(' ');
            let (method, target) = (line.next().unwrap(), line.next().unwrap());
            let body = capture["body"].as_str().unwrap();
            let mut request = Outgoing::new(method, target, body);
            for (header, value) in capture["headers"].as_object().unwrap() {
                request = request.header(header, value.as_str().unwrap());
            }
            let authorization = request.get("authorization").to_owned();
            let signed = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
            request = request.without("content-length");
            request = if sdk.starts_with("tencent") {
                request.tc3(sample::SECRET_ID, sample::SECRET_KEY, signed, NOW)
            } else {
                request.sdk(sample::ACCESS_KEY, sample::SECRET_ACCESS_KEY, signed, NOW)
            };
            let answer = request.send(&emulator).await;
            assert_eq!((answer.status, answer.code().as_str()), (200, "none"), "{name}");

            let sent: Value = serde_json::from_str(body).unwrap();
            let text = sent["Payload"].as_str().or(sent["body"].as_str()).unwrap();
            assert_eq!(emulator.messages()[0].text, text, "{name}");
            accepted += 1;
        }
    }
    assert_eq!(accepted, 6);
}
