//! Tests of the probe, a call that the vendor must refuse, against the emulator over real sockets: each
//! possible mistake is told apart, and no message is ever stored.

use hookmq_emulator::{
    Config, Emulator, Fault, FaultKind, HuaweiCredential, PathForm, TencentCredential, sample,
};
use hookmq_shared::clock::Clock;
use hookmq_shared::env::EnvProblem;
use hookmq_shared::queue::probe::{ProbeReport, ProbeVerdict};
use hookmq_shared::queue::{Class, Queue as _, rocketmq, tdmq};

use crate::kit::server::{Server, context, message, ok, seconds};

const CLUSTER: &str = "pulsar-demo";

async fn emulator(config: Config) -> Emulator {
    Emulator::start(([127, 0, 0, 1], 0).into(), config).await.unwrap()
}

/// Replaces some variables of `base`; an empty value counts as unset.
fn with<'a>(base: &[(&'a str, &'a str)], other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_other = |name: &str| other.iter().any(|(n, _)| *n == name);
    base.iter().filter(|(name, _)| !is_other(name)).chain(other).copied().collect()
}

fn tencent(url: &str) -> [(&str, &str); 4] {
    [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
        ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY),
    ]
}

fn huawei(url: &str) -> [(&str, &str); 5] {
    [
        ("ROCKETMQ_ENDPOINT", url),
        ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID),
        ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY),
        ("HUAWEICLOUD_SDK_SK", sample::SECRET_ACCESS_KEY),
        ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID),
    ]
}

fn login(url: &str) -> [(&str, &str); 7] {
    [
        ("ROCKETMQ_ENDPOINT", url),
        ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID),
        ("OS_AUTH_URL", url),
        ("OS_USERNAME", sample::USERNAME),
        ("OS_PASSWORD", sample::PASSWORD),
        ("OS_USER_DOMAIN_NAME", sample::DOMAIN),
        ("OS_PROJECT_NAME", sample::PROJECT_NAME),
    ]
}

async fn tdmq(vars: &[(&str, &str)]) -> Result<ProbeReport, EnvProblem> {
    let context = context(vars, Clock::system());
    Box::pin(tdmq::Client::new(context.clone()).probe(&context, CLUSTER, seconds(20))).await
}

async fn dms(vars: &[(&str, &str)]) -> Result<ProbeReport, EnvProblem> {
    let context = context(vars, Clock::system());
    Box::pin(rocketmq::Client::new(context.clone()).probe(&context, seconds(20))).await
}

fn refused(report: &ProbeReport, class: Class, code: &str) {
    let failure = report.answer.as_ref().unwrap_err();
    assert_eq!((report.verdict, failure.class), (ProbeVerdict::Refused, class), "{failure:?}");
    assert_eq!(failure.code.as_deref(), Some(code), "{failure:?}");
}

#[tokio::test]
async fn good_credentials_are_proven_and_nothing_is_stored() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    let reports = [
        tdmq(&tencent(&url)).await.unwrap(),
        dms(&huawei(&url)).await.unwrap(),
        dms(&login(&url)).await.unwrap(),
    ];
    let codes = ["InvalidParameterValue.TopicNotFound", "DMS.00400876", "DMS.00400876"];
    let access = [
        ("TENCENTCLOUD_SECRET_ID", "AKID…0000", false),
        ("HUAWEICLOUD_SDK_AK", "HOOK…MPLE", false),
        ("OS_USERNAME", "…", true),
    ];
    for ((report, code), (variable, id, is_temporary)) in reports.iter().zip(codes).zip(access) {
        assert_eq!(report.verdict, ProbeVerdict::Good, "{report:?}");
        let failure = report.answer.as_ref().unwrap_err();
        assert_eq!(failure.code.as_deref(), Some(code));
        assert!(failure.request_id.is_some());
        assert!(!failure.detail.contains("documentation"), "the vendor's own words: {}", failure.detail);
        assert_eq!(report.endpoint, url);
        let seen = &report.access;
        assert_eq!((seen.variable, seen.id.as_str(), seen.is_temporary), (variable, id, is_temporary));
        assert!(matches!(report.route.dns, Some(Ok((1, _)))) && matches!(report.route.tcp, Some(Ok(_))));
        assert!(report.route.connection.is_some() && !report.route.is_proxied);
        assert!(report.clock_offset.unwrap().abs() <= 2);
    }
    assert_eq!(reports.each_ref().map(|report| report.status), [Some(200), Some(400), Some(400)]);
    assert!(emulator.messages().is_empty());
    // Each probe makes one call, and IAM gets one more.
    assert_eq!(emulator.requests().len(), 4);
    assert!(emulator.requests().iter().all(|request| !request.stored && request.outcome != "stored"));
}

#[tokio::test]
async fn a_name_that_nobody_has_is_new_each_time() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    for _ in 0..2 {
        let context = hookmq_shared::context::Context {
            random: hookmq_shared::clock::Random::system(),
            ..context(&tencent(&url), Clock::system())
        };
        let client = tdmq::Client::new(context.clone());
        Box::pin(client.probe(&context, CLUSTER, seconds(20))).await.unwrap();
    }
    let topics: Vec<_> = emulator.requests().into_iter().map(|request| request.topic.unwrap()).collect();
    assert!(topics.iter().all(|topic| topic.starts_with("pulsar-demo/hookmq-check-")), "{topics:?}");
    assert_ne!(topics[0], topics[1]);
}

#[tokio::test]
async fn wrong_credentials_are_told_and_not_shown() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    let wrong = "wrongSecretKeyOfThisTest0000";
    let report = tdmq(&with(&tencent(&url), &[("TENCENTCLOUD_SECRET_KEY", wrong)])).await.unwrap();
    refused(&report, Class::Auth, "AuthFailure.SignatureFailure");
    assert!(!format!("{report:?}").contains(wrong));
    let report = tdmq(&with(&tencent(&url), &[("TENCENTCLOUD_SECRET_ID", "AKIDnobody")])).await.unwrap();
    refused(&report, Class::Auth, "AuthFailure.SecretIdNotFound");
    let report = dms(&with(&huawei(&url), &[("HUAWEICLOUD_SDK_SK", wrong)])).await.unwrap();
    refused(&report, Class::Auth, "APIG.0301");
    assert!(!format!("{report:?}").contains(wrong));
    let report = dms(&with(&login(&url), &[("OS_PASSWORD", wrong)])).await.unwrap();
    refused(&report, Class::Auth, "401");
    assert!(!format!("{report:?}").contains(wrong));
    assert_eq!(report.status, None, "IAM's answer is not the API's");
    assert!(emulator.messages().is_empty());
}

#[tokio::test]
async fn a_wrong_place_is_told() {
    let clusters = [(CLUSTER.to_owned(), "ap-guangzhou".to_owned())].into();
    let emulator = emulator(Config { tdmq_clusters: clusters, ..Config::default() }).await;
    let url = emulator.url();
    assert_eq!(tdmq(&tencent(&url)).await.unwrap().verdict, ProbeVerdict::Good);
    for (region, code) in
        [("ap-singapore", "InvalidParameter.TenantNotFound"), ("xx-nowhere", "UnsupportedRegion")]
    {
        let report = tdmq(&with(&tencent(&url), &[("TDMQ_REGION", region)])).await.unwrap();
        refused(&report, Class::Config, code);
    }
    let nobody = "99999999-2222-3333-4444-555555555555";
    let report = dms(&with(&huawei(&url), &[("ROCKETMQ_INSTANCE_ID", nobody)])).await.unwrap();
    refused(&report, Class::Config, "DMS.00404022");
    let other = "ffffffffffffffffffffffffffffffff";
    let report = dms(&with(&huawei(&url), &[("HUAWEICLOUD_SDK_PROJECT_ID", other)])).await.unwrap();
    refused(&report, Class::Config, "DMS.10240104");
}

#[tokio::test]
async fn an_address_of_another_form_is_found() {
    for form in [PathForm::EngineFirst, PathForm::ProjectFirst] {
        let emulator = emulator(Config { rocketmq_paths: [form].into(), ..Config::default() }).await;
        let url = emulator.url();
        assert_eq!(dms(&huawei(&url)).await.unwrap().verdict, ProbeVerdict::Good, "{form:?}");
        let client = rocketmq::Client::new(context(&huawei(&url), Clock::system()));
        client.send(&message("webhooks_github", "x"), seconds(5)).await.unwrap();
        assert_eq!(emulator.messages().len(), 1, "{form:?}");
    }
    let emulator = emulator(Config { rocketmq_paths: [].into(), ..Config::default() }).await;
    let report = dms(&huawei(&emulator.url())).await.unwrap();
    refused(&report, Class::Config, "APIG.0101");
}

#[tokio::test]
async fn a_missing_permission_is_told() {
    let denied = [sample::SECRET_ID.to_owned(), sample::ACCESS_KEY.to_owned()].into();
    let emulator = emulator(Config { denied, ..Config::default() }).await;
    let url = emulator.url();
    let report = tdmq(&tencent(&url)).await.unwrap();
    refused(&report, Class::Permission, "AuthFailure.UnauthorizedOperation");
    let report = dms(&huawei(&url)).await.unwrap();
    refused(&report, Class::Permission, "DMS.00403003");
    // A forwarder gets the same error.
    let client = tdmq::Client::new(context(&tencent(&url), Clock::system()));
    let error = client.send(&message("pulsar-demo/webhooks/github", "x"), seconds(5)).await.unwrap_err();
    assert_eq!(error.class, Class::Permission);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_with_its_offset() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    for (offset, code, report) in [
        (3600, "AuthFailure.SignatureExpire", true),
        (-3600, "AuthFailure.SignatureExpire", true),
        (3600, "APIG.0301", false),
    ] {
        emulator.set_faults(vec![Fault::new(FaultKind::ClockOffsetS(offset))]);
        let report = if report { tdmq(&tencent(&url)).await } else { dms(&huawei(&url)).await }.unwrap();
        refused(&report, Class::ClockSkew, code);
        assert!((report.clock_offset.unwrap() - offset).abs() <= 2, "{report:?}");
    }
}

#[tokio::test]
async fn temporary_keys_bring_their_token() {
    let config = Config {
        tdmq: vec![TencentCredential {
            secret_id: sample::SECRET_ID.to_owned(),
            secret_key: sample::SECRET_KEY.to_owned(),
            token: Some("session".to_owned()),
        }],
        dms: vec![HuaweiCredential {
            access_key: sample::ACCESS_KEY.to_owned(),
            secret_key: sample::SECRET_ACCESS_KEY.to_owned(),
            security_token: Some("session".to_owned()),
        }],
        ..Config::default()
    };
    let emulator = emulator(config).await;
    let url = emulator.url();
    let good = tdmq(&with(&tencent(&url), &[("TENCENTCLOUD_TOKEN", "session")])).await.unwrap();
    assert!(good.verdict == ProbeVerdict::Good && good.access.is_temporary, "{good:?}");
    let good = dms(&with(&huawei(&url), &[("HUAWEICLOUD_SDK_SECURITY_TOKEN", "session")])).await.unwrap();
    assert!(good.verdict == ProbeVerdict::Good && good.access.is_temporary, "{good:?}");
    let report = tdmq(&with(&tencent(&url), &[("TENCENTCLOUD_TOKEN", "outdated")])).await.unwrap();
    refused(&report, Class::AuthRefresh, "AuthFailure.TokenFailure");
}

#[tokio::test]
async fn what_proves_nothing_is_told_apart() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    emulator.set_faults(vec![Fault::new(FaultKind::Throttle).times(2)]);
    for report in [tdmq(&tencent(&url)).await, dms(&huawei(&url)).await] {
        let report = report.unwrap();
        assert_eq!(report.verdict, ProbeVerdict::Unknown);
        assert_eq!(report.answer.unwrap_err().class, Class::Throttle);
    }
    emulator.stop().await;
    // The emulator's port has no listener any more.
    for report in [tdmq(&tencent(&url)).await, dms(&huawei(&url)).await] {
        let report = report.unwrap();
        let failure = report.answer.as_ref().unwrap_err();
        assert!(failure.unreachable && report.status.is_none() && report.clock_offset.is_none());
        assert_eq!(report.verdict, ProbeVerdict::Unknown);
        assert!(matches!(report.route.tcp, Some(Err(_))) && report.route.connection.is_none());
    }
    let nowhere = [("TDMQ_ENDPOINT", "https://tdmq.invalid")];
    let report = tdmq(&with(&tencent(&url), &nowhere)).await.unwrap();
    assert!(matches!(report.route.dns, Some(Err(_))) && report.route.tcp.is_none(), "{report:?}");
    assert!(report.answer.unwrap_err().unreachable);
}

#[tokio::test]
async fn a_vendor_that_stores_it_all_the_same_is_told() {
    let server = Server::start([ok(r#"{"Response":{"MessageId":"71:1:0:0","RequestId":"r"}}"#)]).await;
    let report = tdmq(&tencent(&server.url)).await.unwrap();
    assert_eq!((report.verdict, report.status), (ProbeVerdict::Stored, Some(200)));
    assert_eq!(report.answer.unwrap().message_id, "71:1:0:0");
}

#[tokio::test]
async fn what_is_missing_is_an_error_and_nothing_is_asked() {
    let emulator = emulator(Config::default()).await;
    let url = emulator.url();
    let problem = tdmq(&with(&tencent(&url), &[("TDMQ_REGION", "")])).await.unwrap_err();
    assert_eq!(problem.variable, "TDMQ_REGION");
    let problem = dms(&with(&huawei(&url), &[("ROCKETMQ_INSTANCE_ID", "x")])).await.unwrap_err();
    assert_eq!(problem.variable, "ROCKETMQ_INSTANCE_ID");
    assert!(emulator.requests().is_empty());
}
