//! Tests of the hooks' own body limits, also for a body without an announced length.

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::server::{Limits, Server};
use hookmq_shared::queue::Vendor;
use tokio::net::TcpStream;

use crate::kit::host::exchange;

const HOOKS: &str = "\
[hooks.small]\nsource = \"none\"\ntopic = \"t/n/a\"\nmax_body = \"1KiB\"\n\
[hooks.large]\nsource = \"none\"\ntopic = \"t/n/a\"\nmax_body = \"2MiB\"\n";

#[tokio::test]
async fn a_chunked_body_is_refused_where_it_passes_its_own_hooks_limit() {
    let context = Context { env: Env::of([("HOOKS", HOOKS)]), ..Context::system() };
    let gateway =
        Gateway::connect(Config::load(Reading::new(&context.env, Samples::Refused)), Vendor::Tdmq, &context);
    let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(gateway, context.random.clone(), std::future::pending()));
    let begun = |path: &str, bytes: usize| {
        let body = "x".repeat(bytes);
        format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n")
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, begun("/small", 1025).as_bytes()).await;
    assert_eq!(answer.status, 413, "its end is not waited for");
    // No vendor is configured, so a body that is read to its end gets a 503.
    for (path, bytes) in [("/small", 1024), ("/large", 1025), ("/large", 100_000)] {
        let whole = begun(path, bytes) + "0\r\n\r\n";
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(exchange(&mut stream, whole.as_bytes()).await.status, 503, "{path} {bytes}");
    }
}
