//! Tests of `settings`.

use super::*;

fn read(url: &str, vars: &[(&str, &str)]) -> Result<S3Settings, EnvProblem> {
    S3Settings::read("SPILL_URL", url.strip_prefix("s3:").unwrap(), &Env::of(vars.iter().copied()))
}

#[test]
fn buckets_are_where_their_vendors_have_them() {
    for (url, vars, want) in [
        (
            "s3://b-1",
            &[("S3_REGION", "eu-west-1")][..],
            ("https://b-1.s3.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ),
        (
            "s3://b-1/",
            &[("AWS_REGION", "eu-west-1")],
            ("https://b-1.s3.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ),
        (
            "s3://b.1",
            &[("AWS_DEFAULT_REGION", "eu-west-1")],
            ("https://s3.eu-west-1.amazonaws.com", "/b.1", "eu-west-1"),
        ),
        (
            "s3://b-1",
            &[("S3_REGION", "cn-north-1"), ("AWS_REGION", "x")],
            ("https://b-1.s3.cn-north-1.amazonaws.com.cn", "", "cn-north-1"),
        ),
        (
            "s3://b-1",
            &[("S3_REGION", "eu-west-1"), ("S3_FORCE_PATH_STYLE", "1")],
            ("https://s3.eu-west-1.amazonaws.com", "/b-1", "eu-west-1"),
        ),
        (
            "s3://hooks-1250000000",
            &[("S3_ENDPOINT", "https://cos.ap-guangzhou.myqcloud.com"), ("AWS_REGION", "eu-west-1")],
            ("https://hooks-1250000000.cos.ap-guangzhou.myqcloud.com", "", "ap-guangzhou"),
        ),
        (
            "s3://hooks-1250000000",
            &[("S3_ENDPOINT", "https://hooks-1250000000.cos.ap-guangzhou.myqcloud.com")],
            ("https://hooks-1250000000.cos.ap-guangzhou.myqcloud.com", "", "ap-guangzhou"),
        ),
        (
            "s3://hooks-1",
            &[("S3_ENDPOINT", "https://cos-internal.ap-guangzhou.tencentcos.cn")],
            ("https://hooks-1.cos-internal.ap-guangzhou.tencentcos.cn", "", "ap-guangzhou"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "https://obs.eu-de.otc.t-systems.com")],
            ("https://hooks.obs.eu-de.otc.t-systems.com", "", "eu-de"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "https://s3.dualstack.eu-west-1.amazonaws.com")],
            ("https://hooks.s3.dualstack.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "https://store.example:9000"), ("AWS_REGION", "eu-west-1")],
            ("https://hooks.store.example:9000", "", "eu-west-1"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "http://127.0.0.1:9000")],
            ("http://127.0.0.1:9000", "/hooks", "us-east-1"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "https://[2001:db8::1]:9")],
            ("https://[2001:db8::1]:9", "/hooks", "us-east-1"),
        ),
        ("s3://hooks", &[("S3_ENDPOINT", "https://10.0.0.1")], ("https://10.0.0.1", "/hooks", "us-east-1")),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "http://localhost:9")],
            ("http://localhost:9", "/hooks", "us-east-1"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "http://minio:9000"), ("ALLOW_HTTP_ENDPOINTS", "1")],
            ("http://minio:9000", "/hooks", "us-east-1"),
        ),
        (
            "s3://hooks",
            &[("S3_ENDPOINT", "http://store.example"), ("ALLOW_HTTP_ENDPOINTS", "1"), ("S3_REGION", "a-b")],
            ("http://hooks.store.example", "", "a-b"),
        ),
    ] {
        let settings = read(url, vars).unwrap_or_else(|e| panic!("{url} {vars:?}: {e}"));
        let endpoint = settings.endpoint.to_string();
        assert_eq!((endpoint.as_str(), settings.base.as_str(), settings.region.as_str()), want, "{vars:?}");
    }
}

#[test]
fn what_is_wrong_is_said_of_the_variable_that_it_is_in() {
    let region = ("S3_REGION", "eu-west-1");
    for (url, vars, variable) in [
        ("s3://b-1", &[][..], "S3_REGION"),
        ("s3://b-1", &[("S3_REGION", "eu.west")], "S3_REGION"),
        ("s3://b-1", &[("AWS_REGION", "evil.example/")], "AWS_REGION"),
        ("s3://b-1", &[("S3_ENDPOINT", "http://store.example")], "S3_ENDPOINT"),
        ("s3://b-1", &[("S3_ENDPOINT", "https://store.example/x")], "S3_ENDPOINT"),
        ("s3://b-1", &[("S3_ENDPOINT", "store.example")], "S3_ENDPOINT"),
        ("s3:b-1", &[region], "SPILL_URL"),
        ("s3://", &[region], "SPILL_URL"),
        ("s3:///p", &[region], "SPILL_URL"),
        ("s3://ab", &[region], "SPILL_URL"),
        ("s3://B-1", &[region], "SPILL_URL"),
        ("s3://b..1", &[region], "SPILL_URL"),
        ("s3://b-1-", &[region], "SPILL_URL"),
        ("s3://10.0.0.1", &[region], "SPILL_URL"),
        ("s3://user:secret@b-1", &[region], "SPILL_URL"),
        ("s3://b-1:9000/p", &[region], "SPILL_URL"),
        ("s3://b-1//p", &[region], "SPILL_URL"),
        ("s3://b-1/p/../q", &[region], "SPILL_URL"),
        ("s3://b-1/p?x", &[region], "SPILL_URL"),
        ("s3://b-1/p q", &[region], "SPILL_URL"),
    ] {
        let problem = read(url, vars).unwrap_err();
        assert_eq!(problem.variable, variable, "{url} {vars:?}");
        assert!(!problem.message.contains("secret"), "{problem}");
    }
    assert_eq!(read("s3://b-1/A_b/c.d-e/", &[region]).unwrap().to_string(), "s3://b-1/A_b/c.d-e");
}

#[test]
fn credentials_are_of_one_family_and_the_vendors_first() {
    let all = [
        ("AWS_ACCESS_KEY_ID", "aws"),
        ("AWS_SECRET_ACCESS_KEY", "k"),
        ("AWS_SESSION_TOKEN", "t"),
        ("TENCENTCLOUD_SECRETID", "tencent"),
        ("TENCENTCLOUD_SECRETKEY", "k"),
        ("OTC_SDK_AK", "huawei"),
        ("OTC_SDK_SK", "k"),
    ];
    let found = |settings: &S3Settings, env: &Env| {
        settings.credentials(Keyring::trusting(env, &crate::vault::Vault::new(env)))
    };
    let id = |endpoint: &str, more: &[(&str, &str)]| {
        let settings = read("s3://hooks", &[("S3_ENDPOINT", endpoint)]).unwrap();
        let found = found(&settings, &Env::of(all.iter().chain(more).copied())).unwrap();
        (found.id, found.token.is_some())
    };
    let [cos, obs, other] =
        ["https://cos.ap-guangzhou.myqcloud.com", "https://obs.eu-de.otc.t-systems.com", "https://10.0.0.1"];
    assert_eq!(id(cos, &[]), ("tencent".to_owned(), false));
    assert_eq!(id(obs, &[]), ("huawei".to_owned(), false));
    assert_eq!(id(other, &[]), ("aws".to_owned(), true));
    let own = [("S3_ACCESS_KEY_ID", "own"), ("S3_SECRET_ACCESS_KEY", "k")];
    for endpoint in [cos, obs, other] {
        assert_eq!(id(endpoint, &own), ("own".to_owned(), false));
    }
    let settings = read("s3://hooks", &[("S3_ENDPOINT", cos)]).unwrap();
    let aws = found(&settings, &Env::of(all.into_iter().take(3))).unwrap();
    assert_eq!(aws.id, "aws");
    let problem = found(&settings, &Env::of([("A", "b")])).unwrap_err();
    assert_eq!(problem.variable, "S3_ACCESS_KEY_ID");
    let half = found(&settings, &Env::of([("S3_ACCESS_KEY_ID", "own")])).unwrap_err();
    assert_eq!(half.variable, "S3_SECRET_ACCESS_KEY");
}

#[test]
fn a_wrong_name_is_not_called_a_wrong_url() {
    let env = Env::of([("S3_REGION", "r")]);
    for (rest, told) in
        [("//x/y", NOT_A_BUCKET), ("//A_b", NOT_A_BUCKET), ("//", NOT_A_URL), ("x", NOT_A_URL)]
    {
        let wrong = S3Settings::read("SPILL_URL", rest, &env).err().unwrap();
        assert_eq!(wrong.message, told, "{rest}");
    }
}
