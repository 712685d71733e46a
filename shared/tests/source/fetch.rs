//! Tests of the documents that verification fetches and calls, over real sockets: a proxy stands for the
//! providers' hosts.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::secret::Secret;
use hookmq_shared::service::Service as _;
use hookmq_shared::source::{Draft, Settings, Source};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::kit::server::{Server, ok};
use crate::kit::source::{P256_KEY, RSA_KEY, custom, params_for, settings};

const OTHER_KEY: &str = include_str!("../vectors/keys/rsa_other.pem");
const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

/// Behaviour of the providers for a request.
#[derive(Clone)]
enum Step {
    Answer(u16, String),
    /// An answer of the host with this name; all other hosts fail.
    Only(&'static str, String),
    /// An answer to all requests, once this number of them has arrived.
    Together(usize, String),
    /// A token for whoever has the password, and this answer for whoever has the token. A second token is
    /// another one.
    Lends(u16, String),
    /// Refusal of every password.
    LendsNothing,
    /// Silence, until the client gives up.
    Hang,
    Close,
}

/// A proxy that stands for every host of the Internet: it accepts all tunnels and speaks TLS itself.
struct Providers {
    proxy: String,
    ca_file: PathBuf,
    /// Host, path and query of each request.
    seen: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Providers {
    fn start(step: Step) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let hosts = [
            "sns.us-east-1.amazonaws.com",
            "sns.us-west-2.amazonaws.com",
            "www.googleapis.com",
            "mnstest.oss-cn-hangzhou.aliyuncs.com",
            "api.ebay.com",
        ];
        let leaf = CertificateParams::new(hosts.map(str::to_owned)).unwrap().signed_by(&key, &ca).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (config, record) = (Arc::new(config), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, record, step) = (config.clone(), record.clone(), step.clone());
                std::thread::spawn(move || serve(stream.unwrap(), config, &record, &step));
            }
        });
        Self { proxy, ca_file, seen, _dir: dir }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn head(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Vec<String>>, step: &Step) {
    let mut reader = BufReader::new(stream);
    let connect = head(&mut reader).unwrap();
    let host = connect.split([' ', ':']).nth(1).unwrap().to_owned();
    let mut stream = reader.into_inner();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
    while let Some(request) = head(&mut stream) {
        let mut words = request.split(' ');
        let method = words.next().unwrap();
        seen.lock().unwrap().push(format!("{host}{}", words.next().unwrap()));
        if method == "POST" {
            assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
            let length = request.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let scope = "https%3A%2F%2Fapi%2Eebay%2Ecom%2Foauth%2Fapi%5Fscope";
            assert_eq!(
                String::from_utf8(body).unwrap(),
                format!("grant_type=client_credentials&scope={scope}")
            );
        } else {
            assert_eq!(method, "GET");
        }
        let token = || seen.lock().unwrap().iter().filter(|seen| seen.ends_with("token")).count();
        let lent = format!(r#"{{"access_token":"token-{}","expires_in":7200}}"#, token());
        let answer = match step {
            Step::Lends(..) if method == "POST" => {
                let basic = BASE64_STANDARD.encode("ebay-client:ebay-client-secret");
                let is_client = request.contains(&format!("authorization: Basic {basic}\r\n"));
                Some(if is_client { (200, lent.as_str()) } else { (401, "") })
            }
            Step::Lends(status, body) => {
                let is_lent = request.contains(&format!("authorization: Bearer token-{}\r\n", token()));
                Some(if is_lent { (*status, body.as_str()) } else { (403, "") })
            }
            Step::LendsNothing => Some((if method == "POST" { 401 } else { 200 }, "{}")),
            Step::Only(only, body) if *only == host => Some((200, body.as_str())),
            Step::Only(..) => Some((500, "")),
            Step::Answer(status, body) => Some((*status, body.as_str())),
            Step::Together(count, body) => {
                while seen.lock().unwrap().len() < *count {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Some((200, body.as_str()))
            }
            Step::Hang | Step::Close => None,
        };
        match (answer, step) {
            (Some((status, body)), _) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.get_mut().write_all((head + body).as_bytes()).unwrap();
            }
            (None, Step::Hang) => drop(stream.read(&mut [0])),
            (None, _) => return,
        }
    }
}

/// A hook with two senders, each of which publishes its keys.
const EITHER: &str = r#"
[hooks.either]
topic = "a/b/c"
deadline = "2s"
[hooks.either.verify]
kind = "any"
[[hooks.either.verify.verify]]
kind = "jwt"
algorithm = "RS256"
from = "header:X-One"
secrets = []
jwks = "https://sns.us-east-1.amazonaws.com/keys"
[[hooks.either.verify.verify]]
kind = "jwt"
algorithm = "RS256"
from = "header:X-Two"
secrets = []
jwks = "https://www.googleapis.com/keys"
"#;

/// A hook whose sender compresses and publishes its keys.
const CODED: &str = r#"
[hooks.coded]
topic = "a/b/c"
deadline = "2s"
[hooks.coded.verify]
kind = "jwt"
algorithm = "RS256"
from = "header:X-Two"
jwks = "https://www.googleapis.com/keys"
content_coding = "decoded"
"#;

const EBAY: &str = r#"
[hooks.ebay]
source = "ebay"
topic = "a/b/c"
url = "https://example.com/ebay"
params = { api = "api.ebay.com", client_id = "ebay-client", client_secret = "env:EBAY_SECRET", verification_token = "env:EBAY_TOKEN" }
"#;

struct World {
    providers: Providers,
    queue: Server,
    gateway: Gateway<Client>,
}

impl World {
    /// Starts a gateway with a hook for each of the presets and without any key; the queue stores every
    /// message.
    async fn start(step: Step) -> Self {
        Self::at(Clock::system(), step).await
    }

    /// Starts such a gateway with this clock.
    async fn at(clock: Clock, step: Step) -> Self {
        let providers = Providers::start(step);
        let queue = Server::start(vec![ok(STORED); 12]).await;
        let env = Env::of([
            ("TENCENTCLOUD_SECRET_ID", "id"),
            ("TENCENTCLOUD_SECRET_KEY", "key"),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", &queue.url),
            ("HTTPS_PROXY", &providers.proxy),
            ("TLS_CA_FILE", providers.ca_file.to_str().unwrap()),
            ("EBAY_SECRET", "ebay-client-secret"),
            ("EBAY_TOKEN", "71745723-d031-455c-bfa5-f90d11b4f20a"),
        ]);
        let hook = |preset: &str| {
            let params: Vec<_> = params_for(preset).iter().map(|(k, v)| format!("{k} = {v:?}")).collect();
            let params = params.join(", ");
            format!(
                "[hooks.{preset}]\nsource = \"{preset}\"\ntopic = \"a/b/c\"\ndeadline = \"2s\"\n\
                 params = {{ {params} }}\n"
            )
        };
        let hooks = ["aws-sns", "google-pubsub", "aliyun-mns"].map(hook).concat() + EITHER + CODED + EBAY;
        let config = Config::parse("hooks.toml", &hooks, Reading::new(&env, Samples::Accepted));
        assert!(config.mistakes.iter().all(|mistake| !mistake.to_string().contains("error")));
        let context = Context { env, clock, random: Random::system() };
        let gateway = Gateway::new(config, Client::new(context.clone()), context);
        Self { providers, queue, gateway }
    }

    async fn deliver(&self, request: &Request) -> Response {
        // Signing with SHA-1 takes time, which must not count for the request.
        self.gateway.call(Request { received: tokio::time::Instant::now(), ..request.clone() }).await
    }

    fn stored(&self) -> usize {
        self.queue.seen().len()
    }

    /// Lets a large body wait for a key. A second one is then refused at once, and a small one waits too. Returns the
    /// status of the first.
    async fn lets_wait(&self, large: &Request, small: &Request) -> tokio::task::JoinHandle<u16> {
        let (gateway, first) = (self.gateway.clone(), large.clone());
        let first = tokio::spawn(async move { gateway.call(first).await.status });
        while self.providers.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = self.deliver(large).now_or_never().expect("refused at once");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
        assert!(self.deliver(small).now_or_never().is_none(), "a small body waits too");
        first
    }
}

fn signer(preset: &str) -> Source {
    let settings =
        Settings { secrets: vec![Secret::new(RSA_KEY)], params: params_for(preset), ..Settings::default() };
    Source::preset(preset, settings).unwrap()
}

/// Signs a push of Alibaba Cloud MNS now.
fn pushed() -> Request {
    let draft = Draft { path: "/aliyun-mns".into(), ..Draft::default() };
    signer("aliyun-mns").sign(draft, 0, Clock::system().now(), &Random::system()).unwrap()
}

/// Signs a request of the preset now, after `change` has edited its JSON body.
fn signed(preset: &str, change: impl FnOnce(&mut Value)) -> Request {
    let signer = signer(preset);
    let now = Clock::system().now();
    let sample = signer.sign(Draft::default(), 0, now, &Random::system()).unwrap();
    let mut body: Value = serde_json::from_slice(&sample.body).unwrap();
    change(&mut body);
    let draft = Draft { path: format!("/{preset}"), body: Some(body.to_string().into()), ..Draft::default() };
    signer.sign(draft, 0, now, &Random::system()).unwrap()
}

fn certificate(key: &str) -> String {
    let params = CertificateParams::new(Vec::new()).unwrap();
    params.self_signed(&KeyPair::from_pem(key).unwrap()).unwrap().pem()
}

const CERTIFICATE: &str = "sns.us-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";

#[tokio::test]
async fn a_certificate_is_fetched_once() {
    let world = World::start(Step::Answer(200, certificate(RSA_KEY))).await;
    let request = signed("aws-sns", |_| {});
    let at_once = futures(&world, &request, 4).await;
    assert_eq!(at_once, [200; 4]);
    assert_eq!(world.deliver(&request).await.status, 200);
    assert_eq!(world.providers.seen(), [CERTIFICATE]);
    assert_eq!(world.stored(), 5);
    // Another address has another certificate.
    let other = signed("aws-sns", |body| {
        body["SigningCertURL"] = json!("https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem");
    });
    assert_eq!(world.deliver(&other).await.status, 200);
    assert_eq!(world.providers.seen().len(), 2);
}

async fn futures(world: &World, request: &Request, count: usize) -> Vec<u16> {
    let calls = (0..count).map(|_| {
        let (gateway, request) = (world.gateway.clone(), request.clone());
        tokio::spawn(async move { gateway.call(request).await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.unwrap());
    }
    statuses
}

#[tokio::test]
async fn a_failure_to_fetch_is_not_the_senders_fault() {
    for step in [
        Step::Answer(404, String::new()),
        Step::Answer(500, certificate(RSA_KEY)),
        Step::Answer(302, certificate(RSA_KEY)),
        Step::Answer(200, "x".repeat(64 * 1024 + 1)),
        Step::Answer(200, "<html>not a certificate</html>".to_owned()),
        Step::Hang,
        Step::Close,
    ] {
        let world = World::start(step).await;
        let request = signed("aws-sns", |_| {});
        // A failure is remembered for a short time, so that a flood of requests is not passed on.
        for _ in 0..2 {
            let answer = world.deliver(&request).await;
            assert_eq!(answer.status, 503);
            assert!(answer.header("retry-after").is_some());
        }
        assert_eq!(world.providers.seen(), [CERTIFICATE]);
        assert_eq!(world.stored(), 0);
    }
}

/// A request with a valid signature gets a 503 if the provider's certificate has expired.
#[tokio::test]
async fn an_expired_certificate_is_not_the_senders_fault() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let old = params.self_signed(&KeyPair::from_pem(RSA_KEY).unwrap()).unwrap().pem();
    let world = World::start(Step::Answer(200, old)).await;
    let answer = world.deliver(&signed("aws-sns", |_| {})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    let mut forged = signed("aws-sns", |_| {});
    forged.body = String::from_utf8_lossy(&forged.body).replace("Hello from SNS", "Bye from SNS").into();
    assert_eq!(world.deliver(&forged).await.status, 401);
    assert_eq!(world.stored(), 0);
}

#[tokio::test]
async fn a_forgery_has_the_status_that_its_sender_knows() {
    let world = World::start(Step::Answer(200, certificate(OTHER_KEY))).await;
    let answer = world.deliver(&pushed()).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (403, None));
    assert!(answer.body.contains("urn:hookmq:problem:forbidden"), "{}", answer.body);
    let unsigned = Request { headers: [("date", "x")].into_iter().collect(), ..pushed() };
    assert_eq!(world.deliver(&unsigned).await.status, 403);
    // A failure of the fetch is not the sender's fault.
    let down = World::start(Step::Answer(500, String::new())).await;
    assert_eq!(down.deliver(&pushed()).await.status, 503);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_not_the_senders_fault() {
    let world =
        World::at(Clock::fixed(Timestamp::from_unix(0)), Step::Answer(200, certificate(RSA_KEY))).await;
    assert_eq!(world.deliver(&signed("aws-sns", |_| {})).await.status, 503);
    assert_eq!((world.providers.seen().len(), world.stored()), (0, 0));
}

#[tokio::test]
async fn what_is_not_authentic_is_fetched_for_in_vain_or_not_at_all() {
    let world = World::start(Step::Answer(200, certificate(OTHER_KEY))).await;
    assert_eq!(world.deliver(&signed("aws-sns", |_| {})).await.status, 401);
    assert_eq!(world.providers.seen().len(), 1);
    for (member, value) in [
        ("SigningCertURL", "https://evil.example/SimpleNotificationService-0.pem"),
        (
            "SigningCertURL",
            "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
        ),
        ("SigningCertURL", "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem"),
        ("TopicArn", "arn:aws:sns:us-west-2:999999999999:Other"),
    ] {
        let request = signed("aws-sns", |_| {});
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body[member] = json!(value);
        let other = Request { body: body.to_string().into(), ..request };
        assert_eq!(world.deliver(&other).await.status, 401, "{member}");
    }
    assert_eq!((world.providers.seen().len(), world.stored()), (1, 0));
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_a_call() {
    let confirmation = || {
        signed("aws-sns", |body| {
            body["Type"] = json!("SubscriptionConfirmation");
            body["Token"] = json!("tok");
            body["SubscribeURL"] =
                json!("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=tok");
        })
    };
    // Both requests get the same answer: the certificate also serves as the answer to the confirmation.
    let world = World::start(Step::Answer(200, certificate(RSA_KEY))).await;
    let answer = world.deliver(&confirmation()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "nothing of the call's answer is passed on");
    let called = "sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=tok";
    assert_eq!(world.providers.seen(), [CERTIFICATE, called]);
    assert_eq!(world.stored(), 0);
    // Without a valid signature, no address is called.
    let mut forged = confirmation();
    forged.body = String::from_utf8_lossy(&forged.body).replace("tok", "kot").into();
    assert_eq!(world.deliver(&forged).await.status, 401);
    assert_eq!(world.providers.seen().len(), 2);
}

#[tokio::test]
async fn an_unknown_key_id_fetches_once_and_is_refused() {
    let keys = json!({ "keys": [{ "kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB" }] });
    let world = World::start(Step::Answer(200, keys.to_string())).await;
    let request = signed("google-pubsub", |_| {});
    for _ in 0..3 {
        assert_eq!(world.deliver(&request).await.status, 401);
    }
    assert_eq!(world.providers.seen(), ["www.googleapis.com/oauth2/v3/certs"]);
}

/// The deliveries of one sender are accepted while the host of the other sender is down.
#[tokio::test]
async fn each_of_several_verifiers_has_its_own_document() {
    let table = "kind = \"jwt\"\nalgorithm = \"RS256\"\nfrom = \"header:X-Two\"";
    let signer = custom(table, settings(&json!([RSA_KEY]))).unwrap();
    let (now, random) = (Clock::system().now(), Random::system());
    let draft = Draft { path: "/either".to_owned(), ..Draft::default() };
    let mut request = signer.sign(draft, 0, now, &random).unwrap();
    request.headers.push("X-One", request.headers.one("x-two").unwrap().to_vec());
    // The modulus of 2048 bits stands between its sign byte and the exponent.
    let pem = signer.public_key(0).unwrap();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(text).unwrap();
    let n = BASE64_URL_SAFE_NO_PAD.encode(&der[der.len() - 5 - 256..der.len() - 5]);
    let keys = json!({ "keys": [{ "kty": "RSA", "n": n, "e": "AQAB" }] }).to_string();
    let world = World::start(Step::Only("www.googleapis.com", keys.clone())).await;
    assert_eq!(world.deliver(&request).await.status, 200);
    assert_eq!(world.providers.seen(), ["sns.us-east-1.amazonaws.com/keys", "www.googleapis.com/keys"]);
    assert_eq!(world.stored(), 1);
    // Neither document has the key; the host that is down may have it later.
    let world = World::start(Step::Only("www.googleapis.com", r#"{"keys":[]}"#.to_owned())).await;
    assert_eq!(world.deliver(&request).await.status, 503);
    let world = World::start(Step::Answer(200, r#"{"keys":[]}"#.to_owned())).await;
    assert_eq!(world.deliver(&request).await.status, 401);
}

/// Two documents are fetched from a host at a time; further requests wait for their turn, at least eight of
/// them.
#[tokio::test]
async fn many_certificates_are_fetched_in_turn() {
    let world = World::start(Step::Together(2, certificate(RSA_KEY))).await;
    let calls = (0..8).map(|number| {
        let gateway = world.gateway.clone();
        let request = signed("aws-sns", |body| {
            body["SigningCertURL"] =
                json!(format!("https://sns.us-west-2.amazonaws.com/SimpleNotificationService-{number}.pem"));
        });
        tokio::spawn(async move { gateway.call(request).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(world.providers.seen().len(), 8);
}

/// Requests that wait for a key are not verified, and their bodies leave room for those of other requests.
#[tokio::test]
async fn large_bodies_that_wait_for_a_key_are_bounded() {
    let world = World::start(Step::Hang).await;
    let of_size = |size| signed("aws-sns", |body| body["Message"] = json!("x".repeat(size)));
    let (large, small) = (of_size(5 << 20), of_size(10));
    let mut other = pushed();
    other.body = large.body.clone();
    let first = world.lets_wait(&large, &small).await;
    assert!(world.deliver(&other).now_or_never().is_none(), "and so does one of another hook");
    assert_eq!(first.await.unwrap(), 503);
}

/// A body counts as it is held, which is decompressed.
#[tokio::test]
async fn compressed_bodies_that_wait_for_a_key_are_bounded() {
    let world = World::start(Step::Hang).await;
    let table = "kind = \"jwt\"\nalgorithm = \"RS256\"\nfrom = \"header:X-Two\"";
    let sender = custom(table, settings(&json!([RSA_KEY]))).unwrap();
    let draft = Draft { path: "/coded".to_owned(), ..Draft::default() };
    let signed = sender.sign(draft, 0, Clock::system().now(), &Random::system()).unwrap();
    let of_size = |size| {
        let body = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; size], 9);
        let mut request = Request { body: body.into(), ..signed.clone() };
        request.headers.push("Content-Encoding", "deflate");
        request
    };
    let (large, small) = (of_size(5 << 20), of_size(10));
    assert!(large.body.len() < 10_000);
    let first = world.lets_wait(&large, &small).await;
    assert_eq!(first.await.unwrap(), 503);
}

const EBAY_TOKEN: &str = "api.ebay.com/identity/v1/oauth2/token";

/// Returns the key that eBay's API publishes, as it writes it.
fn ebays_key(key: &str) -> String {
    let public = ebay(key).public_key(0).unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----{public}-----END PUBLIC KEY-----");
    json!({ "key": pem, "algorithm": "ECDSA", "digest": "SHA1" }).to_string()
}

fn ebay(key: &str) -> Source {
    let url = Some("https://example.com/ebay".to_owned());
    let settings = Settings { secrets: vec![Secret::new(key)], params: params_for("ebay"), url };
    Source::preset("ebay", settings).unwrap()
}

/// Signs a notification of eBay, by the key with this id.
fn notified(id: &str) -> Request {
    let draft = Draft { path: "/ebay".into(), ..Draft::default() };
    let request = ebay(P256_KEY).sign(draft, 0, Clock::system().now(), &Random::system()).unwrap();
    let header = request.headers.one_str("x-ebay-signature").unwrap();
    let mut object: Value = serde_json::from_slice(&BASE64_STANDARD.decode(header).unwrap()).unwrap();
    object["kid"] = json!(id);
    let header = BASE64_STANDARD.encode(object.to_string());
    let headers = [("content-type", "application/json".to_owned()), ("x-ebay-signature", header)];
    Request { headers: headers.into_iter().collect(), ..request }
}

fn ebays_address(id: &str) -> String {
    format!("api.ebay.com/commerce/notification/v1/public_key/{id}")
}

#[tokio::test]
async fn a_key_behind_a_login_is_fetched_once() {
    let world = World::start(Step::Lends(200, ebays_key(P256_KEY))).await;
    for _ in 0..3 {
        assert_eq!(world.deliver(&notified("9936261a-7d7b")).await.status, 204);
    }
    assert_eq!(world.providers.seen(), [EBAY_TOKEN.to_owned(), ebays_address("9936261a-7d7b")]);
    assert_eq!(world.stored(), 3);
    // The token serves for another key.
    assert_eq!(world.deliver(&notified("other")).await.status, 204);
    assert_eq!(world.providers.seen()[2..], [ebays_address("other")]);
    let mut forged = notified("other");
    forged.body = String::from_utf8_lossy(&forged.body).replace("test_user", "best_user").into();
    assert_eq!(world.deliver(&forged).await.status, 401);
    assert_eq!((world.providers.seen().len(), world.stored()), (3, 4));
}

#[tokio::test]
async fn an_id_without_a_key_is_refused_and_a_host_that_fails_is_not_the_senders_fault() {
    let unknown = World::start(Step::Lends(404, "{}".to_owned())).await;
    assert_eq!(unknown.deliver(&notified("none")).await.status, 401);
    for id in ["", "..", "a/b", "a?b", "a%2fb", &"a".repeat(65)] {
        assert_eq!(unknown.deliver(&notified(id)).await.status, 401, "{id}");
    }
    assert_eq!(unknown.providers.seen(), [EBAY_TOKEN.to_owned(), ebays_address("none")]);
    let point = "BGYYcVyrUfkzr7Q24EzwpEqH9NqoAQeyLGDsn++opRMSf7qQGv7yiCoXjqAsjqXC5ouLdG+LnqW+yy45jK/dBVI=";
    for (status, body) in [
        (500, ebays_key(P256_KEY)),
        (429, ebays_key(P256_KEY)),
        (401, ebays_key(P256_KEY)),
        (200, "<html>".to_owned()),
        (200, json!({ "key": point }).to_string()),
        (200, json!({ "key": RSA_KEY }).to_string()),
    ] {
        let world = World::start(Step::Lends(status, body.clone())).await;
        for _ in 0..2 {
            assert_eq!(world.deliver(&notified("k")).await.status, 503, "{status} {body}");
        }
        assert_eq!((world.providers.seen().len(), world.stored()), (2, 0));
    }
    let other = World::start(Step::Lends(200, ebays_key(include_str!("../vectors/keys/p256.pem")))).await;
    assert_eq!(other.deliver(&notified("k")).await.status, 401);
}

#[tokio::test]
async fn without_a_token_no_key_is_asked_for() {
    let world = World::start(Step::LendsNothing).await;
    for id in ["a", "b", "c"] {
        assert_eq!(world.deliver(&notified(id)).await.status, 503);
    }
    assert_eq!(world.providers.seen(), [EBAY_TOKEN], "a failure is remembered");
}

/// Strangers can name ids without end, and the provider counts the calls.
#[tokio::test]
async fn ids_that_nobody_knows_are_asked_for_at_a_bounded_rate() {
    let world = World::start(Step::Lends(404, "{}".to_owned())).await;
    let mut statuses = Vec::new();
    for number in 0..100 {
        statuses.push(world.deliver(&notified(&number.to_string())).await.status);
    }
    assert_eq!(statuses[..30], [401; 30]);
    assert_eq!(statuses[99], 503);
    let asked = world.providers.seen().len() - 1;
    assert!((30..50).contains(&asked), "{asked}");
}
