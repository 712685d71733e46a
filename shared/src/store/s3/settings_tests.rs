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

/// A setting counts before a guess, and a store below a path has its buckets there.
#[test]
fn the_bucket_is_where_the_settings_put_it() {
    let force = ("S3_FORCE_PATH_STYLE", "1");
    for (url, endpoint, more, want) in [
        ("s3://hooks", "https://hooks.example.test", None, ("https://hooks.example.test", "")),
        ("s3://hooks", "https://hooks.example.test", Some(force), ("https://hooks.example.test", "/hooks")),
        (
            "s3://minio",
            "https://minio.default.svc.cluster.local:9000",
            Some(force),
            ("https://minio.default.svc.cluster.local:9000", "/minio"),
        ),
        (
            "s3://hooks",
            "https://abc.supabase.co/storage/v1/s3",
            None,
            ("https://abc.supabase.co", "/storage/v1/s3/hooks"),
        ),
        ("s3://hooks", "https://store.test/s3/", Some(force), ("https://store.test", "/s3/hooks")),
        ("s3://hooks", "https://hooks.store.test/s3", None, ("https://hooks.store.test", "/s3")),
    ] {
        let vars: Vec<_> = [("S3_ENDPOINT", endpoint)].into_iter().chain(more).collect();
        let settings = read(url, &vars).unwrap();
        assert_eq!((settings.endpoint.to_string().as_str(), settings.base.as_str()), want, "{vars:?}");
    }
}

#[test]
fn each_partition_of_aws_has_its_domain() {
    for (region, domain) in [
        ("eu-central-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-northwest-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
        ("eu-isoe-west-1", "cloud.adc-e.uk"),
    ] {
        let settings = read("s3://hooks-1", &[("AWS_REGION", region)]).unwrap();
        assert_eq!(settings.endpoint.to_string(), format!("https://hooks-1.s3.{region}.{domain}"));
        assert_eq!(settings.region, region);
    }
}

#[test]
fn the_region_of_a_store_is_its_own() {
    let lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
    let own = ("AWS_REGION", "eu-central-1");
    // A region that the endpoint names counts everywhere.
    for (host, want) in [
        ("s3.eu-west-2.amazonaws.com", "eu-west-2"),
        ("s3-us-west-2.amazonaws.com", "us-west-2"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bucket.vpce-0a1b-2c3d.s3.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("s3.fr-par.scw.cloud", "fr-par"),
        ("s3.ap-northeast-1.wasabisys.com", "ap-northeast-1"),
        ("s3.eu-de.cloud-object-storage.appdomain.cloud", "eu-de"),
        ("s3.gra.io.cloud.ovh.net", "gra"),
        ("storage.sbg.cloud.ovh.net", "sbg"),
        ("s3.eu-west-par.io.cloud.ovh.net", "eu-west-par"),
        ("0123456789abcdef.r2.cloudflarestorage.com", "auto"),
        ("0123456789abcdef.eu.r2.cloudflarestorage.com", "auto"),
        ("oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
        ("s3.oss-cn-beijing.aliyuncs.com", "cn-beijing"),
        ("nyc3.digitaloceanspaces.com", "nyc3"),
        ("hooks.nyc3.digitaloceanspaces.com", "nyc3"),
        ("sos-ch-gva-2.exo.io", "ch-gva-2"),
        ("fsn1.your-objectstorage.com", "fsn1"),
        ("us-east-1.linodeobjects.com", "us-east-1"),
        ("ns.compat.objectstorage.eu-frankfurt-1.oraclecloud.com", "eu-frankfurt-1"),
        ("tos-s3-cn-beijing.volces.com", "cn-beijing"),
        ("s3.bj.bcebos.com", "bj"),
        ("cos.ap-guangzhou.myqcloud.com", "ap-guangzhou"),
        ("obs.eu-de.otc.t-systems.com", "eu-de"),
    ] {
        let endpoint = format!("https://{host}");
        for vars in [&[own][..], &[own, lambda], &[]] {
            let vars = [&[("S3_ENDPOINT", endpoint.as_str())], vars].concat();
            assert_eq!(read("s3://hooks", &vars).unwrap().region, want, "{vars:?}");
        }
        let vars = [("S3_ENDPOINT", endpoint.as_str()), ("S3_REGION", "set-1"), own, lambda];
        assert_eq!(read("s3://hooks", &vars).unwrap().region, "set-1", "a setting counts before {host}");
    }
    // One that names none takes the environment's, but not a function's of AWS.
    for (host, in_function) in [
        ("cos.accelerate.myqcloud.com", "us-east-1"),
        ("obs.myhuaweicloud.com", "us-east-1"),
        ("storage.googleapis.com", "us-east-1"),
        ("s3.example.com", "us-east-1"),
        ("s3.storage.example.com", "us-east-1"),
        ("minio.example.com:9000", "us-east-1"),
        ("[2001:db8::1]:9", "us-east-1"),
        ("s3.amazonaws.com", "eu-central-1"),
    ] {
        let endpoint = format!("https://{host}");
        let region = |vars: &[(&'static str, &'static str)]| {
            let vars = [&[("S3_ENDPOINT", endpoint.as_str())], vars].concat();
            read("s3://hooks", &vars).unwrap().region
        };
        let by_name = ("AWS_LAMBDA_FUNCTION_NAME", "f");
        assert_eq!([region(&[own, lambda]), region(&[own, by_name])], [in_function; 2], "{host}");
        assert_eq!([region(&[own]), region(&[])], ["eu-central-1", "us-east-1"], "{host}");
        assert_eq!(region(&[("AWS_DEFAULT_REGION", "eu-west-3")]), "eu-west-3", "{host}");
    }
}

#[test]
fn a_redirect_stays_within_the_domain() {
    for (endpoint, location, want) in [
        (
            "https://s3.us-east-1.amazonaws.com",
            "https://hooks.s3-us-west-2.amazonaws.com/k?max-keys=1",
            Some("https://hooks.s3-us-west-2.amazonaws.com"),
        ),
        ("https://s3.us-east-1.amazonaws.com", "https://hooks.example.com/", None),
        ("https://s3.us-east-1.amazonaws.com", "https://amazonaws.com.example.com/", None),
        ("https://s3.us-east-1.amazonaws.com", "http://hooks.s3.amazonaws.com/", None),
        ("https://s3.us-east-1.amazonaws.com", "/k", None),
        ("https://s3.us-east-1.amazonaws.com", "https://u:p@s3.amazonaws.com/", None),
        ("https://s3.cn-north-1.amazonaws.com.cn", "https://evil.com.cn/", None),
        (
            "https://s3.cn-north-1.amazonaws.com.cn",
            "https://s3.cn-northwest-1.amazonaws.com.cn/",
            Some("https://s3.cn-northwest-1.amazonaws.com.cn"),
        ),
        ("http://127.0.0.1:9", "http://127.0.0.1:10/", Some("http://127.0.0.1:10")),
        ("http://127.0.0.1:9", "http://127.0.0.2:9/", None),
        ("https://10.0.0.1", "https://11.0.0.1/", None),
        ("http://localhost:9", "http://localhost/", Some("http://localhost")),
    ] {
        let settings = read("s3://hooks", &[("S3_ENDPOINT", endpoint)]).unwrap();
        let there = settings.redirected(location).map(|there| there.to_string());
        assert_eq!(there.as_deref(), want, "{endpoint} {location}");
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
        ("s3://b-1", &[("S3_ENDPOINT", "https://store.example/x?y")], "S3_ENDPOINT"),
        ("s3://b-1", &[region, ("S3_WRITE_HEADERS", "x-amz-acl")], "S3_WRITE_HEADERS"),
        ("s3://b-1", &[region, ("S3_WRITE_HEADERS", "x-amz-acl:")], "S3_WRITE_HEADERS"),
        ("s3://b-1", &[region, ("S3_WRITE_HEADERS", "host: a.example")], "S3_WRITE_HEADERS"),
        ("s3://b-1", &[region, ("S3_WRITE_HEADERS", "X-Amz-Date: secret")], "S3_WRITE_HEADERS"),
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
        settings.credentials(Keyring::trusting(
            env,
            &crate::vault::Vault::new(env, &crate::clock::Clock::system()),
        ))
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
