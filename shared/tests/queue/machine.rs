//! Tests of keys that a pod or a machine lends: who is asked, when, and what happens without an answer.

use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::queue::{Class, Queue as _, rocketmq, tdmq};
use hookmq_shared::store::{Store, StoreError};
use tokio::time::advance;

use crate::kit::server::{Server, Step, Wall, context, message, ok, seconds, status};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;
const STORED_BY_DMS: &str = r#"{"topic":"test-001","msg_id":"644F0E2A315323EAB33D8F4733110009"}"#;

/// Time of the kit's clock, ten minutes before the end of the lent keys.
const END: &str = "2023-11-14T22:23:20Z";

fn of_sts(id: &str) -> Step {
    ok(&format!(
        r#"{{"Response":{{"ExpiredTime":1700000600,"Expiration":"{END}","RequestId":"r",
        "Credentials":{{"Token":"{id}-token","TmpSecretId":"{id}","TmpSecretKey":"KEYEXAMPLE"}}}}}}"#
    ))
}

fn of_agent(id: &str) -> Step {
    ok(&format!(
        r#"{{"AccessKeyId":"{id}","SecretAccessKey":"KEYEXAMPLE","Token":"{id}-token","Expiration":"{END}"}}"#
    ))
}

fn of_metadata(id: &str) -> Step {
    ok(&format!(
        r#"{{"credential":{{"access":"{id}","secret":"KEYEXAMPLE","securitytoken":"{id}-token","expires_at":"{END}"}}}}"#
    ))
}

/// Pod of TKE with the file of its service account's token.
struct Pod {
    sts: Server,
    queue: Server,
    file: String,
    _dir: tempfile::TempDir,
}

impl Pod {
    async fn start(keys: impl IntoIterator<Item = Step>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "pod.token.1\n").unwrap();
        let queue = Server::start(vec![ok(STORED); 9]).await;
        let file = file.to_str().unwrap().to_owned();
        Self { sts: Server::start(keys).await, queue, file, _dir: dir }
    }

    fn vars(&self) -> Vec<(&str, &str)> {
        vec![
            ("TDMQ_ENDPOINT", &self.queue.url),
            ("TDMQ_REGION", "ap-guangzhou"),
            ("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/hooks"),
            ("TKE_PROVIDER_ID", "cls-1"),
            ("TKE_REGION", "ap-guangzhou"),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", &self.file),
            ("TENCENTCLOUD_STS_ENDPOINT", &self.sts.url),
        ]
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_tke_sends_with_the_key_of_its_service_account() {
    let pod = Pod::start([of_sts("AKIDone"), of_sts("AKIDtwo")]).await;
    let client = tdmq::Client::new(context(&pod.vars(), Wall::new().clock()));
    assert_eq!(client.problems(), []);
    for _ in 0..2 {
        client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    }
    let [asked] = &pod.sts.seen()[..] else { panic!("asked once") };
    assert_eq!(asked.line, "POST / HTTP/1.1");
    for (name, value) in [
        ("authorization", "SKIP"),
        ("x-tc-action", "AssumeRoleWithWebIdentity"),
        ("x-tc-version", "2018-08-13"),
        ("x-tc-region", "ap-guangzhou"),
        ("x-tc-timestamp", "1700000000"),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    let body = asked.json();
    assert_eq!(
        [&body["ProviderId"], &body["WebIdentityToken"], &body["RoleArn"]],
        ["cls-1", "pod.token.1", "qcs::cam::uin/1:roleName/hooks"]
    );
    let sent = &pod.queue.seen()[1];
    assert!(sent.header("authorization").unwrap().contains("Credential=AKIDone/"));
    assert_eq!(sent.header("x-tc-token"), Some("AKIDone-token"));

    // The key is replaced five minutes before its end, with the pod's token of that time.
    std::fs::write(&pod.file, "pod.token.2").unwrap();
    advance(Duration::from_secs(301)).await;
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!(pod.sts.seen()[1].json()["WebIdentityToken"], "pod.token.2");
    assert_eq!(pod.queue.seen()[2].header("x-tc-token"), Some("AKIDtwo-token"));

    // A key that cannot be replaced stays in use.
    advance(Duration::from_secs(301)).await;
    pod.sts.then([status(500, "")]);
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!(pod.queue.seen()[3].header("x-tc-token"), Some("AKIDtwo-token"));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_variable_is_named() {
    let refused = r#"{"Response":{"Error":{"Code":"AuthFailure","Message":"pod.token.1"},"RequestId":"r"}}"#;
    let pod = Pod::start([ok(refused)]).await;
    let client = tdmq::Client::new(context(&pod.vars(), Wall::new().clock()));
    let error = client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap_err();
    assert_eq!((error.class, error.attempts), (Class::Config, 0), "{error}");
    assert!(error.detail.starts_with("TKE_ROLE_ARN gives no key") && error.detail.contains("AuthFailure"));
    assert!(!error.detail.contains("pod.token"), "{error}");
    assert_eq!(client.problems()[0].variable, "TKE_ROLE_ARN");
    // Not asked again at once; then it has the key.
    pod.sts.then([of_sts("AKIDone")]);
    assert!(client.send(&message("a/b/c", "x"), seconds(10)).await.is_err());
    advance(Duration::from_secs(6)).await;
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!((pod.sts.seen().len(), client.problems()), (2, vec![]));

    for missing in ["TKE_PROVIDER_ID", "TKE_REGION", "TKE_WEB_IDENTITY_TOKEN_FILE"] {
        let vars: Vec<_> = pod.vars().into_iter().filter(|(name, _)| *name != missing).collect();
        let client = tdmq::Client::new(context(&vars, Wall::new().clock()));
        let error = client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap_err();
        assert!(error.detail.starts_with(missing), "{error}");
    }
}

/// A function gets its keys from its platform, and a person's key counts before a lent one.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_in_a_function_or_beside_a_key() {
    let pod = Pod::start([]).await;
    for function in ["SCF_FUNCTIONNAME", "AWS_LAMBDA_RUNTIME_API", "RUNTIME_FUNC_NAME"] {
        let vars = [pod.vars(), vec![(function, "f")]].concat();
        let client = tdmq::Client::new(context(&vars, Wall::new().clock()));
        assert_eq!(client.problems()[0].variable, "TENCENTCLOUD_SECRET_ID", "{function}");
        assert!(client.send(&message("a/b/c", "x"), seconds(10)).await.is_err());
    }
    let key = vec![("TENCENTCLOUD_SECRET_ID", "AKIDown"), ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE")];
    let client = tdmq::Client::new(context(&[pod.vars(), key].concat(), Wall::new().clock()));
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!(pod.sts.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_huawei_cloud_sends_with_the_key_of_its_agency() {
    let metadata = Server::start([of_metadata("AKone")]).await;
    let queue = Server::start([ok(STORED_BY_DMS)]).await;
    let vars = [
        ("ROCKETMQ_ENDPOINT", queue.url.as_str()),
        ("ROCKETMQ_INSTANCE_ID", "11111111-2222-3333-4444-555555555555"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "0123456789abcdef0123456789abcdef"),
        ("HUAWEICLOUD_METADATA_URL", &metadata.url),
    ];
    let client = rocketmq::Client::new(context(&vars, Wall::new().clock()));
    assert_eq!(client.problems(), []);
    client.send(&message("test-001", "hello"), seconds(10)).await.unwrap();
    assert_eq!(metadata.seen()[0].line, "GET /openstack/latest/securitykey HTTP/1.1");
    let sent = &queue.seen()[0];
    assert!(sent.header("authorization").unwrap().contains("Access=AKone,"), "{sent:?}");
    assert_eq!(sent.header("x-security-token"), Some("AKone-token"));

    // A login that a person set counts first.
    let vars = [&vars[..], &[("OS_AUTH_URL", "https://iam.example")]].concat();
    let client = rocketmq::Client::new(context(&vars, Wall::new().clock()));
    assert!(client.send(&message("test-001", "hello"), seconds(1)).await.is_err());
    assert_eq!(metadata.seen().len(), 1);

    // The metadata service is on this machine, or it is not asked.
    let vars = [&vars[..3], &[("HUAWEICLOUD_METADATA_URL", "http://192.0.2.1")]].concat();
    let client = rocketmq::Client::new(context(&vars, Wall::new().clock()));
    let error = client.send(&message("test-001", "hello"), seconds(1)).await.unwrap_err();
    assert!(error.detail.starts_with("HUAWEICLOUD_METADATA_URL is neither"), "{error}");
}

/// Task roles of ECS and Pod Identity of EKS have the same agent, with and without a token.
#[tokio::test(start_paused = true)]
async fn a_container_of_aws_writes_with_the_key_of_its_role() {
    let etag = || Step::Answer(200, vec![("ETag", "\"x\"".to_owned())], String::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "pod-identity-token").unwrap();
    for (more, token) in [
        (None, None),
        (Some(("AWS_CONTAINER_AUTHORIZATION_TOKEN", "plain-token")), Some("plain-token")),
        (
            Some(("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap())),
            Some("pod-identity-token"),
        ),
    ] {
        let (agent, bucket) = (Server::start([of_agent("ASIAone")]).await, Server::start([etag()]).await);
        let url = format!("{}/v1/credentials?id=7", agent.url);
        let own = [("S3_ENDPOINT", bucket.url.as_str()), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)];
        let vars: Vec<_> = own.into_iter().chain(more).collect();
        let store = Store::open("SPILL_URL", "s3://hooks", &context(&vars, Wall::new().clock())).unwrap();
        assert_eq!(store.problem(), None);
        store.put("spill/a", Bytes::from_static(b"a"), seconds(10)).await.unwrap();
        let asked = &agent.seen()[0];
        assert_eq!(asked.line, "GET /v1/credentials?id=7 HTTP/1.1");
        assert_eq!(asked.header("authorization"), token);
        assert_eq!(bucket.seen()[0].header("x-amz-security-token"), Some("ASIAone-token"));
    }
    let vars = [("AWS_REGION", "eu-west-1"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/v1")];
    let store = Store::open("SPILL_URL", "s3://hooks", &context(&vars, Wall::new().clock())).unwrap();
    let error = store.get("spill/a", seconds(10)).await.unwrap_err();
    let is_told =
        matches!(&error, StoreError::Config(text) if text.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    assert!(is_told, "{error}");
}
