//! Tests of hooks that trust the source address, on the HTTP host: behind a proxy, that address is the
//! proxy's unless the proxy is named.

use hookmq_shared::config::{Config, Reading, Samples, Severity};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::host::server::{Limits, Server};
use tokio::net::TcpStream;

use crate::kit::host::{Double, exchange};

/// Returns the source address that a server on loopback assigns to a request with these fields.
async fn sender(trust: &str, fields: &str) -> Option<String> {
    let env = Env::of([("TRUST_PROXIES", trust)]);
    let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap().trusting(&env);
    let (address, double) = (server.local_addr(), Double::new(64));
    tokio::spawn(server.serve(double.clone(), Context::system().random, std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, format!("GET /a HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
    double.requests()[0].source_ip.map(|address| address.to_string())
}

#[tokio::test]
async fn a_named_proxy_tells_who_it_was() {
    let spoofed = "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n";
    for (trust, fields, want) in [
        ("", spoofed, Some("127.0.0.1")),
        ("none", spoofed, Some("127.0.0.1")),
        ("10.0.0.0/8", spoofed, Some("127.0.0.1")),
        ("nonsense", spoofed, Some("127.0.0.1")),
        ("127.0.0.0/8", spoofed, Some("192.0.2.1")),
        ("127.0.0.1, 192.0.2.0/24", spoofed, Some("203.0.113.9")),
        ("127.0.0.1", "Forwarded: for=203.0.113.9, for=\"[2001:db8::1]:80\"\r\n", Some("2001:db8::1")),
        ("127.0.0.1", "X-Forwarded-For: 203.0.113.9\r\nx-forwarded-for: 192.0.2.1\r\n", Some("192.0.2.1")),
        ("127.0.0.1", "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=192.0.2.1\r\n", None),
        ("127.0.0.1", "", None),
    ] {
        assert_eq!(sender(trust, fields).await.as_deref(), want, "{trust}: {fields}");
    }
}

/// Reads a hook with this verifier; returns true if the hook is sound, and the mistakes with their lines.
fn read(verify: &str, variables: &[(&str, &str)], over_http: bool) -> (bool, Vec<(Severity, String)>) {
    let env = Env::of(variables.iter().copied().chain([("S", "0123456789abcdef")]));
    let text = format!("[hooks.h]\ntopic = \"topic_h\"\n{verify}\n");
    let reading = Reading { over_http, ..Reading::new(&env, Samples::Refused) };
    let config = Config::parse("f", &text, reading);
    let told = config.mistakes.iter().filter(|mistake| mistake.message.contains("TRUST_PROXIES"));
    let told = told.map(|mistake| (mistake.severity, format!("{}:{}", mistake.line, mistake.key))).collect();
    (config.hook("h").is_some(), told)
}

#[test]
fn a_hook_that_lets_a_proxy_in_lets_everybody_in() {
    let of =
        |cidr: &str| format!("verify = {{ kind = \"network\", cidrs = [\"203.0.113.0/24\", \"{cidr}\"] }}");
    let with_token = |cidr: &str, rule: &str| {
        format!(
            "secrets = [\"env:S\"]\nverify = {{ kind = \"{rule}\", verify = [{{ kind = \"network\", cidrs = \
             [\"{cidr}\"] }}, {{ kind = \"token\", from = \"header:X\" }}] }}"
        )
    };
    let place = "3:hooks.h.verify".to_owned();
    let error = || vec![(Severity::Error, place.clone())];
    let warning = || vec![(Severity::Warning, place.clone())];
    for cidr in
        ["127.0.0.0/8", "10.1.2.3", "172.16.0.0/12", "192.168.0.0/16", "::1", "fd00::/8", "128.0.0.0/1"]
    {
        let hook = of(cidr);
        assert_eq!(read(&hook, &[], true), (false, error()), "{cidr}");
        assert_eq!(read(&hook, &[], false), (true, warning()), "a tool does not know where: {cidr}");
        assert_eq!(read(&hook, &[("AWS_LAMBDA_RUNTIME_API", "x")], false), (true, vec![]), "{cidr}");
        for trust in ["none", "10.0.0.0/8", "192.0.2.1"] {
            assert_eq!(read(&hook, &[("TRUST_PROXIES", trust)], true), (true, vec![]), "{cidr} {trust}");
        }
        assert_eq!(read(&hook, &[("TRUST_PROXIES", "everybody")], true), (false, error()), "{cidr}");
    }
    assert_eq!(read(&of("198.51.100.0/24"), &[], true), (true, vec![]));
    assert_eq!(read(&of("198.51.100.0/24"), &[("TRUST_PROXIES", "everybody")], true), (false, error()));
    for rule in ["all", "any"] {
        let (is_sound, told) = read(&with_token("10.0.0.0/8", rule), &[], true);
        assert_eq!((is_sound, told.len()), (false, 1), "{rule}: {told:?}");
        assert_eq!(read(&with_token("203.0.113.0/24", rule), &[], true), (true, vec![]), "{rule}");
    }
    let token = "secrets = [\"env:S\"]\nverify = { kind = \"token\", from = \"header:X\" }";
    assert_eq!(
        read(token, &[("TRUST_PROXIES", "everybody")], true),
        (true, vec![]),
        "it asks nobody who connects"
    );
}
