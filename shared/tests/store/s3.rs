//! Tests of a bucket as an object store: signatures, requests, and every failure of a store.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::queue::credentials::Credentials;
use hookmq_shared::secret::Secret;
use hookmq_shared::store::s3::sign::{Head, path, query, sign};
use hookmq_shared::store::{MAX_OBJECT, MAX_PAGE, Store, StoreError, Written};
use tokio::time::Instant;

use crate::kit::server::{Seen, Server, Step, Wall, seconds, status};

const NAME: &str = "spill/tdmq/github/00ff";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "session/token+1=";

/// Opens a store at a server, with waits of zero length.
fn open(server: &Server, clock: Clock) -> Store {
    with(server, clock, &[])
}

fn with(server: &Server, clock: Clock, more: &[(&str, &str)]) -> Store {
    let vars = [
        ("S3_ENDPOINT", server.url.as_str()),
        ("S3_REGION", "eu-west-1"),
        ("S3_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("S3_SECRET_ACCESS_KEY", SECRET),
    ];
    let env = Env::of(vars.iter().chain(more).copied());
    let context = Context { env, clock, random: Random::from_fn(|| 0) };
    Store::open("SPILL_URL", "s3://hooks/pre/fix", &context).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn etag() -> Step {
    Step::Answer(200, vec![("ETag", "\"0cc175b9\"".to_owned())], String::new())
}

fn error(code: u16, name: &str) -> Step {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{name}</Code><Message>why {SECRET} \
         {TOKEN}</Message><RequestId>1</RequestId></Error>"
    );
    status(code, &body)
}

fn has_condition(seen: &[Seen]) -> Vec<bool> {
    seen.iter().map(|seen| seen.header("if-none-match") == Some("*")).collect()
}

/// The signatures of AWS's examples are reproduced:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
#[test]
fn signatures_come_out_as_aws_published_them() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const WELCOME: &str = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let credentials =
        Credentials { id: "AKIAIOSFODNN7EXAMPLE".into(), key: Secret::new(SECRET), token: None };
    let time = Timestamp::parse_basic("20130524T000000Z").unwrap();
    let date = ("date", "Fri, 24 May 2013 00:00:00 GMT");
    let storage = ("x-amz-storage-class", "REDUCED_REDUNDANCY");
    for (method, file, fields, more, payload, names, want) in [
        (
            "GET",
            "/test.txt",
            &[][..],
            &[("range", "bytes=0-9")][..],
            EMPTY,
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            &[],
            &[date, storage],
            WELCOME,
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            &[("lifecycle", "")],
            &[],
            EMPTY,
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            &[("prefix", "J"), ("max-keys", "2")],
            &[],
            EMPTY,
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let common = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-content-sha256", payload),
        ];
        let headers = [&common[..], more].concat();
        let (path, query) = (path(file), query(fields));
        let head = Head { method, path: &path, query: &query, headers: &headers, payload };
        let signature = sign(&head, &credentials, "us-east-1", time);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={names},Signature={want}"
        );
        assert_eq!(signature.authorization, authorization, "{}", signature.canonical_request);
    }
}

#[tokio::test]
async fn a_write_is_signed_conditional_and_checked_by_the_store() {
    let server = Server::start([etag(), etag()]).await;
    let store = with(&server, Wall::new().clock(), &[("S3_SESSION_TOKEN", TOKEN)]);
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    assert_eq!(store.put(NAME, bytes("b"), seconds(30)).await, Ok(()));
    let seen = server.seen();
    assert_eq!(has_condition(&seen), [true, false]);
    assert_eq!(seen[0].line, "PUT /hooks/pre/fix/spill/tdmq/github/00ff HTTP/1.1");
    assert_eq!(seen[0].body, "a");
    for (name, value) in [
        ("content-length", "1"),
        ("content-md5", "DMF1ucDxtqgxw5niaXcmYQ=="),
        ("x-amz-content-sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("x-amz-date", "20231114T221320Z"),
        ("x-amz-security-token", TOKEN),
    ] {
        assert_eq!(seen[0].header(name), Some(value), "{name}");
    }
    let signed =
        "SignedHeaders=content-md5;host;if-none-match;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
    let authorization = seen[0].header("authorization").unwrap();
    assert!(authorization.contains(signed), "{authorization}");
    assert!(authorization.contains("/20231114/eu-west-1/s3/aws4_request,"), "{authorization}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_object_that_is_there_is_left_there() {
    let server = Server::start([error(412, "PreconditionFailed"), error(412, "PreconditionFailed")]).await;
    let store = open(&server, Wall::new().clock());
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Existed));
    // Without the condition, a 412 has no meaning.
    assert!(matches!(store.put(NAME, bytes("a"), seconds(30)).await, Err(StoreError::Other(_))));
}

#[tokio::test]
async fn a_store_without_conditions_is_written_to_without() {
    let server = Server::start([error(501, "NotImplemented"), etag(), etag()]).await;
    let store = open(&server, Wall::new().clock());
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    // The store is asked only once with the condition.
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    assert_eq!(has_condition(&server.seen()), [true, false, false]);
    // Without a condition in the request, the error refers to another missing function.
    server.then([error(501, "NotImplemented")]);
    let error = store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err();
    assert!(matches!(error, StoreError::Other(_)) && server.seen().len() == 4, "{error}");
}

/// A store or a gateway that does not know the condition says so with a status of its own.
#[tokio::test]
async fn a_condition_that_is_refused_is_left_out() {
    const BODY: &str = include_str!("../cases/host/s3/if-none-match-400.xml");
    for refusal in [
        status(400, BODY),
        status(401, ""),
        error(403, "AccessDenied"),
        // What becomes of the signature if a proxy takes the field away.
        error(403, "SignatureDoesNotMatch"),
        status(403, "<html>"),
        status(404, "not here"),
        error(405, "MethodNotAllowed"),
        status(406, ""),
        status(417, ""),
    ] {
        let server = Server::start([refusal, etag(), etag()]).await;
        let store = open(&server, Wall::new().clock());
        for _ in 0..2 {
            assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
        }
        assert_eq!(has_condition(&server.seen()), [true, false, false], "once is enough");
    }

    // A request that is also refused without the condition was not refused because of it.
    let server = Server::start([status(400, BODY), status(400, BODY), etag()]).await;
    let store = open(&server, Wall::new().clock());
    let error = store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err();
    assert!(matches!(error, StoreError::Other(_)), "{error}");
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    assert_eq!(has_condition(&server.seen()), [true, false, true]);
    server.then([status(400, BODY)]);
    assert!(matches!(store.put(NAME, bytes("a"), seconds(30)).await, Err(StoreError::Other(_))));
    assert_eq!(server.seen().len(), 4, "there is nothing to leave out");
}

/// A conflict that does not end is resolved by a look at the object, which may exist already.
#[tokio::test]
async fn a_conflict_that_does_not_end_is_looked_into() {
    let found = || Step::Raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".into());
    for code in ["ConcurrentModification", "OperationAborted", ""] {
        let server = Server::start([error(409, code), found()]).await;
        let store = open(&server, Wall::new().clock());
        let soon = Instant::now() + Duration::from_millis(900);
        assert_eq!(store.put_new(NAME, bytes("a"), soon).await, Ok(Written::Existed), "{code}");
        assert!(server.seen()[1].line.starts_with("HEAD "));
        for absent in [status(404, ""), status(403, "")] {
            server.then([error(409, code), absent]);
            let soon = Instant::now() + Duration::from_millis(900);
            let error = store.put_new(NAME, bytes("a"), soon).await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        }
        // A replacing write is not done because an object exists.
        let before = server.seen().len();
        server.then([error(409, code)]);
        let soon = Instant::now() + Duration::from_millis(900);
        assert!(store.put(NAME, bytes("a"), soon).await.is_err(), "{code}");
        assert_eq!(server.seen().len(), before + 1);
    }
}

/// A listing in another order than S3's leaves out no object.
#[tokio::test]
async fn a_listing_in_an_order_of_its_own_is_taken_as_it_comes() {
    let server = Server::start([listing(true, &["spill/c", "spill/a"]), listing(false, &["spill/b"])]).await;
    let store = open(&server, Wall::new().clock());
    let first = store.list("spill/", None, MAX_PAGE, seconds(30)).await.unwrap();
    let names: Vec<_> = first.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((names, first.next.as_deref()), (vec!["spill/a", "spill/c"], Some("pre/fix/spill/a")));
    let second = store.list("spill/", first.next.as_deref(), MAX_PAGE, seconds(30)).await.unwrap();
    assert_eq!((second.entries.len(), second.next), (1, None));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_does() {
    let slow = Step::Answer(
        503,
        vec![("Retry-After", "0".to_owned())],
        "<Error><Code>SlowDown</Code></Error>".into(),
    );
    for step in [
        slow,
        error(409, "ConditionalRequestConflict"),
        error(409, "OperationAborted"),
        error(409, "ConcurrentModification"),
        status(409, ""),
        status(408, ""),
        status(423, "locked"),
        status(425, "too early"),
        error(500, "InternalError"),
        error(400, "RequestTimeout"),
        error(400, "BadDigest"),
        error(400, "XAmzContentSHA256Mismatch"),
        status(502, "<html>"),
        status(504, ""),
        status(429, ""),
        status(200, ""), // no ETag
        Step::Answer(200, vec![("ETag", " ".to_owned())], String::new()),
        Step::Drop,
        Step::Reset,
        Step::Raw("HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nab".into()),
        Step::Raw("nonsense\r\n\r\n".into()),
    ] {
        let server = Server::start([step.clone(), step, etag()]).await;
        let store = open(&server, Wall::new().clock());
        assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert_eq!(has_condition(&seen), [true; 3]);
        // Each attempt after a failure uses a new connection.
        assert_eq!(server.connections(), 3);
    }
}

#[tokio::test]
async fn a_write_that_was_stored_though_its_answer_was_lost_is_found_there() {
    let server = Server::start([Step::Drop, error(412, "PreconditionFailed")]).await;
    let store = open(&server, Wall::new().clock());
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Existed));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again_and_tells_what_it_is() {
    use StoreError::{Config, Denied, Full, Other, TooLarge};
    type Is = fn(&StoreError) -> bool;
    // Each with the attempts that a write of a new object makes: two if the cause may be its condition.
    let cases: [(Step, Is, usize); 15] = [
        (error(403, "AccessDenied"), |e| matches!(e, Denied(_)), 2),
        (error(403, "SignatureDoesNotMatch"), |e| matches!(e, Denied(_)), 2),
        (error(403, "InvalidAccessKeyId"), |e| matches!(e, Denied(_)), 1),
        (error(400, "ExpiredToken"), |e| matches!(e, Denied(_)), 1),
        (status(403, ""), |e| matches!(e, Denied(_)), 2),
        (status(401, "<html>"), |e| matches!(e, Denied(_)), 2),
        (error(404, "NoSuchBucket"), |e| matches!(e, Config(_)), 1),
        (status(404, "not here"), |e| matches!(e, Config(_)), 2),
        (error(301, "PermanentRedirect"), |e| matches!(e, Config(_)), 1),
        (error(400, "AuthorizationHeaderMalformed"), |e| matches!(e, Config(_)), 1),
        (error(403, "QuotaExceeded"), |e| matches!(e, Full(_)), 1),
        (status(507, ""), |e| matches!(e, Full(_)), 1),
        (error(400, "EntityTooLarge"), |e| matches!(e, TooLarge), 1),
        (error(418, "InvalidRequest"), |e| matches!(e, Other(_)), 2),
        (status(204, ""), |e| matches!(e, Other(_)), 1),
    ];
    for (step, is, attempts) in cases {
        for (is_new, attempts) in [(false, 1), (true, attempts)] {
            let server = Server::start([step.clone(), step.clone()]).await;
            let store = with(&server, Wall::new().clock(), &[("S3_SESSION_TOKEN", TOKEN)]);
            let error = if is_new {
                store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err()
            } else {
                store.put(NAME, bytes("a"), seconds(30)).await.unwrap_err()
            };
            assert!(is(&error), "{error:?}");
            assert!(!error.is_retryable(), "{error:?}");
            assert_eq!(server.seen().len(), attempts, "{error}");
            let text = format!("{error} {error:?} {store:?}");
            assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        }
    }
}

#[tokio::test]
async fn the_region_of_a_bucket_elsewhere_is_told() {
    for headers in [vec![("x-amz-bucket-region", "ap-south-1".to_owned())], Vec::new()] {
        let body =
            "<Error><Code>PermanentRedirect</Code><Message>m</Message><Region>ap-south-1</Region></Error>";
        let server = Server::start([Step::Answer(301, headers, body.to_owned())]).await;
        let error = open(&server, Wall::new().clock()).get(NAME, seconds(30)).await.unwrap_err();
        assert!(error.to_string().contains("the bucket is in ap-south-1: set S3_REGION"), "{error}");
    }
}

/// Each store has its own code for a region that it does not know.
#[tokio::test]
async fn a_refused_region_names_the_variable() {
    const OSS: &str = "<Error><Code>InvalidArgument</Code><Message>Invalid signing region in Authorization \
                       header.</Message><EC>0002-00000226</EC></Error>";
    for step in [
        error(400, "InvalidRegionName"),
        error(400, "AuthorizationHeaderMalformed"),
        error(403, "InvalidRegion"),
        status(400, OSS),
    ] {
        let server = Server::start([step]).await;
        let error =
            open(&server, Wall::new().clock()).put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err();
        let is_told = matches!(&error, StoreError::Config(text) if text.contains("set S3_REGION"));
        assert!(is_told && server.seen().len() == 1, "{error:?}");
    }
    // Another wrong argument is not about the region.
    let server = Server::start([status(400, &OSS.replace("226", "225"))]).await;
    let error = open(&server, Wall::new().clock()).get(NAME, seconds(30)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Other(text) if !text.contains("S3_REGION")), "{error:?}");
}

#[tokio::test]
async fn a_failure_has_the_stores_ids_of_the_request() {
    let body = "<Error><Code>AccessDenied</Code><Message>m</Message><RequestId>REQ1</RequestId></Error>";
    let of_aws = || vec![("x-amz-request-id", "REQ1".to_owned()), ("x-amz-id-2", "aG9zdA==".to_owned())];
    for (headers, body, ids) in [
        (of_aws(), body, "(request REQ1 aG9zdA==)"),
        (of_aws(), "", "(request REQ1 aG9zdA==)"),
        (vec![], body, "(request REQ1)"),
        (vec![("x-cos-request-id", "NWY=".to_owned())], "", "(request NWY=)"),
        (vec![("x-obs-request-id", "0000".to_owned())], "<html>", "(request 0000)"),
    ] {
        let server = Server::start([Step::Answer(403, headers, body.to_owned())]).await;
        let error = open(&server, Wall::new().clock()).get(NAME, seconds(30)).await.unwrap_err();
        assert!(error.to_string().ends_with(ids), "{error}");
    }
}

/// A young bucket redirects for a while: the request is signed for the other host, once.
#[tokio::test]
async fn a_temporary_redirect_is_followed_once_within_the_domain() {
    let moved = |to: &str| {
        let body = "<Error><Code>TemporaryRedirect</Code><Message>m</Message></Error>";
        Step::Answer(307, vec![("Location", to.to_owned())], body.to_owned())
    };
    let there = Server::start([etag()]).await;
    let server = Server::start([moved(&there.url)]).await;
    let store = open(&server, Wall::new().clock());
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    let (first, second) = (&server.seen()[0], &there.seen()[0]);
    assert_eq!((&first.line, &first.body), (&second.line, &second.body));
    assert_eq!(second.header("host"), there.url.strip_prefix("http://"));
    assert_ne!(first.header("authorization"), second.header("authorization"), "the host is signed");

    // A second redirect, and one to a stranger, end the call.
    server.then([moved(&there.url)]);
    there.then([moved(&server.url)]);
    let error = store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err();
    assert!(matches!(error, StoreError::Config(_)), "{error:?}");
    server.then([moved(&there.url.replace("127.0.0.1", "127.0.0.2"))]);
    let error = store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap_err();
    assert!(matches!(error, StoreError::Config(_)), "{error:?}");
    assert_eq!((server.seen().len(), there.seen().len()), (3, 2));
}

#[tokio::test]
async fn a_store_below_a_path_is_asked_there() {
    let server = Server::start([etag(), listing(false, &["spill/a"])]).await;
    let endpoint = format!("{}/storage/v1/s3", server.url);
    let store = with(&server, Wall::new().clock(), &[("S3_ENDPOINT", &endpoint)]);
    store.put(NAME, bytes("a"), seconds(30)).await.unwrap();
    store.list("spill/", None, MAX_PAGE, seconds(30)).await.unwrap();
    let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines[0], "PUT /storage/v1/s3/hooks/pre/fix/spill/tdmq/github/00ff HTTP/1.1");
    assert!(lines[1].starts_with("GET /storage/v1/s3/hooks/?"), "{}", lines[1]);
}

/// A bucket's owner may refuse writes without certain fields. They are signed, and no read has them.
#[tokio::test]
async fn a_write_has_the_fields_that_the_owner_demands() {
    let server = Server::start([etag(), Step::Answer(404, vec![], String::new())]).await;
    let fields = "X-Amz-Server-Side-Encryption: aws:kms; x-amz-tagging: a=b&c=d;";
    let store = with(&server, Wall::new().clock(), &[("S3_WRITE_HEADERS", fields)]);
    store.put_new(NAME, bytes("a"), seconds(30)).await.unwrap();
    let _ = store.head(NAME, seconds(30)).await;
    let [put, head] = &server.seen()[..] else { panic!("two requests") };
    let names = ["x-amz-server-side-encryption", "x-amz-tagging"];
    assert_eq!(names.map(|name| put.header(name)), [Some("aws:kms"), Some("a=b&c=d")]);
    assert_eq!(names.map(|name| head.header(name)), [None; 2]);
    let signed = |seen: &Seen| names.map(|name| seen.header("authorization").unwrap().contains(name));
    assert_eq!((signed(put), signed(head)), ([true; 2], [false; 2]));
}

/// A store that has no host for each bucket is reached by a path.
#[tokio::test]
async fn a_bucket_without_a_host_names_the_switch() {
    let server = Server::start([]).await;
    let vars = [("S3_ENDPOINT", "https://minio.invalid.test:9000")];
    for (more, is_told) in [(None, true), (Some(("S3_FORCE_PATH_STYLE", "1")), false)] {
        let vars: Vec<_> = vars.into_iter().chain(more).collect();
        let store = with(&server, Wall::new().clock(), &vars);
        let soon = Instant::now() + Duration::from_secs(2);
        let error = store.get(NAME, soon).await.unwrap_err();
        assert_eq!(error.to_string().contains("set S3_FORCE_PATH_STYLE=1"), is_told, "{error}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_by_the_stores() {
    let skewed = || {
        let Step::Answer(code, _, body) = error(403, "RequestTimeTooSkewed") else { unreachable!() };
        Step::Answer(code, vec![("Date", "Wed, 15 Nov 2023 00:13:20 GMT".to_owned())], body)
    };
    let server = Server::start([skewed(), etag(), etag()]).await;
    let store = open(&server, Wall::new().clock());
    for _ in 0..2 {
        assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    }
    let dates: Vec<_> = server.seen().iter().map(|s| s.header("x-amz-date").unwrap().to_owned()).collect();
    assert_eq!(dates, ["20231114T221320Z", "20231115T001320Z", "20231115T001320Z"]);

    // A second error about skew is not the clock's fault, and one without a date gives no time.
    for steps in [vec![skewed(), skewed()], vec![error(403, "RequestTimeTooSkewed")]] {
        let attempts = steps.len();
        let server = Server::start(steps).await;
        let error = open(&server, Wall::new().clock()).put(NAME, bytes("a"), seconds(30)).await.unwrap_err();
        assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
        assert_eq!(server.seen().len(), attempts);
    }
}

/// Opens a store whose first attempts have the access key `old`: it becomes `new` with this reading of the clock,
/// which each signature makes after the attempt has got its credentials.
fn renewing(server: &Server, dir: &Path, reading: usize) -> Store {
    let file = dir.join("id");
    std::fs::write(&file, "old").unwrap();
    let id = format!("file:{}", file.display());
    let vars =
        [("S3_ENDPOINT", server.url.as_str()), ("S3_ACCESS_KEY_ID", &id), ("S3_SECRET_ACCESS_KEY", SECRET)];
    let readings = AtomicUsize::new(0);
    let clock = Clock::from_fn(move || {
        if readings.fetch_add(1, Ordering::Relaxed) + 1 == reading {
            std::fs::write(&file, "new").unwrap();
        }
        Timestamp::from_unix(1_700_000_000)
    });
    let context = Context { env: Env::of(vars), clock, random: Random::from_fn(|| 0) };
    Store::open("SPILL_URL", "s3://hooks", &context).unwrap()
}

/// Returns of each request if it was signed with the access key `new`.
fn is_renewed(server: &Server) -> Vec<bool> {
    let is_new = |seen: &Seen| seen.header("authorization").unwrap().contains("Credential=new/");
    server.seen().iter().map(is_new).collect()
}

#[tokio::test]
async fn renewed_credentials_are_used_at_once() {
    let server = Server::start([error(400, "ExpiredToken"), etag(), error(403, "InvalidAccessKeyId")]).await;
    let dir = tempfile::tempdir().unwrap();
    let store = renewing(&server, dir.path(), 1);
    assert_eq!(store.put(NAME, bytes("a"), seconds(30)).await, Ok(()));
    assert_eq!(is_renewed(&server), [false, true]);
    // The credentials have not changed since, so there is no further attempt.
    assert!(matches!(store.put(NAME, bytes("a"), seconds(30)).await, Err(StoreError::Denied(_))));
    assert_eq!(server.seen().len(), 3);
}

/// A refusal of old credentials says nothing of the condition.
#[tokio::test]
async fn credentials_are_renewed_before_a_condition_is_left_out() {
    let denied = || error(403, "AccessDenied");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start([denied(), etag(), etag()]).await;
    let store = renewing(&server, dir.path(), 1);
    for _ in 0..2 {
        assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    }
    assert_eq!(is_renewed(&server), [false, true, true]);
    assert_eq!(has_condition(&server.seen()), [true, true, true]);

    let server = Server::start([denied(), denied(), etag(), etag()]).await;
    let store = renewing(&server, dir.path(), 1);
    for _ in 0..2 {
        assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    }
    assert_eq!(is_renewed(&server), [false, true, true, true]);
    assert_eq!(has_condition(&server.seen()), [true, true, false, false]);

    // Credentials that come after the condition was left out would make it seem to have been the cause.
    let server = Server::start([denied(), denied(), etag()]).await;
    let store = renewing(&server, dir.path(), 2);
    assert!(matches!(store.put_new(NAME, bytes("a"), seconds(30)).await, Err(StoreError::Denied(_))));
    assert_eq!(store.put_new(NAME, bytes("a"), seconds(30)).await, Ok(Written::Created));
    assert_eq!(is_renewed(&server), [false, false, true]);
    assert_eq!(has_condition(&server.seen()), [true, false, true]);
}

#[tokio::test]
async fn an_object_is_read_whole_or_not_at_all() {
    let whole = |body: &str| Step::Answer(200, vec![("ETag", "\"x\"".to_owned())], body.to_owned());
    let cut = |head: &str, body: &str| Step::Raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (steps, attempts) in [
        (vec![whole("hello")], 1),
        (vec![cut("Transfer-Encoding: chunked", chunked)], 1),
        (vec![cut("Content-Length: 5", "hel"), whole("hello")], 2),
        (vec![cut("Transfer-Encoding: chunked", "5\r\nhello\r\n"), whole("hello")], 2),
        (vec![cut("Connection: close", "hel"), whole("hello")], 2),
        (vec![Step::Reset, Step::Drop, error(503, "SlowDown"), whole("hello")], 4),
    ] {
        let server = Server::start(steps).await;
        let read = open(&server, Wall::new().clock()).get(NAME, seconds(30)).await;
        assert_eq!(read, Ok(Some(bytes("hello"))));
        assert_eq!(server.seen().len(), attempts);
    }
    let server = Server::start([error(404, "NoSuchKey"), error(404, "NoSuchBucket"), whole("")]).await;
    let store = open(&server, Wall::new().clock());
    assert_eq!(store.get(NAME, seconds(30)).await, Ok(None));
    assert!(matches!(store.get(NAME, seconds(30)).await, Err(StoreError::Config(_))));
    assert_eq!(store.get(NAME, seconds(30)).await, Ok(Some(Bytes::new())));
    assert_eq!(server.seen()[0].line, "GET /hooks/pre/fix/spill/tdmq/github/00ff HTTP/1.1");
    let huge = format!("Content-Length: {}", MAX_OBJECT + 1);
    server.then([cut(&huge, &"x".repeat(MAX_OBJECT + 1))]);
    assert_eq!(store.get(NAME, seconds(30)).await, Err(StoreError::TooLarge));
}

#[tokio::test]
async fn head_and_delete_tell_what_is_there() {
    let head = |fields: &str| Step::Raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
    let length = "Content-Length: 77";
    let modified = "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT";
    let server = Server::start([
        head(modified),
        head(&format!("{length}\r\n{modified}")),
        head(length),
        status(404, ""),
    ])
    .await;
    let store = open(&server, Wall::new().clock());
    let entry = store.head(NAME, seconds(30)).await.unwrap().unwrap();
    assert_eq!((entry.name.as_str(), entry.size, entry.modified.unix()), (NAME, 77, 1_700_000_000));
    let entry = store.head(NAME, seconds(30)).await.unwrap().unwrap();
    assert_eq!((entry.size, entry.modified.unix()), (77, 0), "without a time it is there all the same");
    assert_eq!(store.head(NAME, seconds(30)).await, Ok(None));
    assert_eq!(server.seen().len(), 4, "one without a length is asked for again");

    server.then([
        Step::Raw("HTTP/1.1 204 No Content\r\n\r\n".into()),
        error(404, "NoSuchKey"),
        error(500, "InternalError"),
        status(200, ""),
        error(403, "AccessDenied"),
        error(404, "NoSuchBucket"),
    ]);
    for _ in 0..3 {
        assert_eq!(store.delete(NAME, seconds(30)).await, Ok(()));
    }
    assert!(matches!(store.delete(NAME, seconds(30)).await, Err(StoreError::Denied(_))));
    assert!(matches!(store.delete(NAME, seconds(30)).await, Err(StoreError::Config(_))));
    assert_eq!(server.seen()[4].line, "DELETE /hooks/pre/fix/spill/tdmq/github/00ff HTTP/1.1");
}

fn listing(is_truncated: bool, names: &[&str]) -> Step {
    let object = |name: &&str| {
        format!(
            "<Contents><Key>pre/fix/{name}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>\
             <ETag>&quot;x&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    };
    let objects: String = names.iter().map(object).collect();
    status(
        200,
        &format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{objects}</ListBucketResult>"),
    )
}

#[tokio::test]
async fn listings_go_on_where_the_last_one_ended() {
    let server = Server::start([listing(true, &["spill/a", "spill/b"]), listing(false, &["spill/c"])]).await;
    let store = open(&server, Wall::new().clock());
    let first = store.list("spill/", None, MAX_PAGE, seconds(30)).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("pre/fix/spill/b"));
    let second = store.list("spill/", first.next.as_deref(), MAX_PAGE, seconds(30)).await.unwrap();
    assert_eq!((second.entries.len(), second.next), (1, None));
    assert_eq!(first.entries[0].name, "spill/a");
    let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /hooks/?max-keys=1000&prefix=pre%2Ffix%2Fspill%2F HTTP/1.1",
            "GET /hooks/?marker=pre%2Ffix%2Fspill%2Fb&max-keys=1000&prefix=pre%2Ffix%2Fspill%2F HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn a_listing_that_lies_is_refused() {
    for lie in [
        listing(true, &[]),
        listing(true, &["spill/a"]), // again and again
        status(200, "<html>login</html>"),
        status(200, ""),
        status(200, "<ListBucketResult><IsTruncated>false</IsTruncated>"),
        status(200, "<!DOCTYPE x><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
    ] {
        let server = Server::start([lie]).await;
        let store = open(&server, Wall::new().clock());
        let lied = store.list("spill/", Some("pre/fix/spill/a"), MAX_PAGE, seconds(30)).await;
        assert!(matches!(&lied, Err(StoreError::Corrupt(_))), "{lied:?}");
        assert_eq!(server.seen().len(), 1);
    }
    // A listing that was cut short does not count.
    let cut = Step::Raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>".into());
    let server = Server::start([cut, listing(false, &["spill/b"])]).await;
    let page = open(&server, Wall::new().clock()).list("spill/", None, MAX_PAGE, seconds(30)).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test]
async fn without_an_answer_the_deadline_is_the_end() {
    let server = Server::start([Step::Hang]).await;
    let store = open(&server, Wall::new().clock());
    let begun = Instant::now();
    let late = store.put_new(NAME, bytes("a"), begun + Duration::from_secs(1)).await;
    assert_eq!(late, Err(StoreError::TimedOut));
    assert_eq!(store.put_new(NAME, bytes("a"), begun).await, Err(StoreError::TimedOut));
    assert_eq!(server.seen().len(), 1);

    // The port has no listener any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let vars = [("S3_ENDPOINT", url.as_str()), ("S3_ACCESS_KEY_ID", "a"), ("S3_SECRET_ACCESS_KEY", "b")];
    let context =
        Context { env: Env::of(vars), clock: Wall::new().clock(), random: Random::from_fn(|| 1 << 24) };
    let store = Store::open("SPILL_URL", "s3://hooks", &context).unwrap();
    let error = store.put_new(NAME, bytes("a"), Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_is_opened_ahead_is_the_one_used() {
    let server = Server::start([etag()]).await;
    let store = open(&server, Wall::new().clock());
    store.prewarm().await;
    // The client may be connected before the server has accepted.
    while server.connections() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen().len(), 0);
    store.put(NAME, bytes("a"), seconds(30)).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_missing_in_the_environment_is_told() {
    let server = Server::start([]).await;
    let open = |vars: &[(&str, &str)]| {
        let env = Env::of([("S3_ENDPOINT", server.url.as_str())].iter().chain(vars).copied());
        let context = Context { env, clock: Wall::new().clock(), random: Random::from_fn(|| 0) };
        Store::open("SPILL_URL", "s3://hooks/p", &context).unwrap()
    };
    let key = ("S3_SECRET_ACCESS_KEY", SECRET);
    let id = ("S3_ACCESS_KEY_ID", "a");
    for (vars, variable) in [
        (&[][..], "S3_ACCESS_KEY_ID"),
        (&[key][..], "S3_ACCESS_KEY_ID"),
        (&[id, key, ("TLS_CA_FILE", "/nowhere/ca.pem")], "TLS_CA_FILE"),
    ] {
        let store = open(vars);
        let found = store.problem().map_or("TLS_CA_FILE", |problem| problem.variable);
        assert_eq!(found, variable);
        let error = store.get(NAME, seconds(30)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Config(text) if text.contains(variable)), "{error:?}");
    }
    let store = open(&[id, key]);
    assert_eq!(store.problem(), None);
    assert_eq!(format!("{store:?}"), "Store(s3://hooks/p)");
    assert_eq!(server.seen().len(), 0);
    for name in ["../a", "/a", "a//b", "A"] {
        assert!(matches!(store.get(name, seconds(30)).await, Err(StoreError::Name(_))), "{name}");
    }
    let over = Bytes::from(vec![b'x'; MAX_OBJECT + 1]);
    assert_eq!(store.put_new(NAME, over, seconds(30)).await, Err(StoreError::TooLarge));
}
