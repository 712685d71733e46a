//! Round trips: `verify` accepts each request that `sign` and `send` make, in every form and for every
//! preset, and rejects each one that they break.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use clap::{CommandFactory as _, ValueEnum as _};
use hookmq_shared::clock::Clock;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::http::Request;
use hookmq_shared::source::{Source, Tamper, VerifyOutcome};

use super::*;
use crate::samples::{SAMPLES, Sample};
use crate::sign::Recipe;
use crate::trigger::{Signed, Trigger};

fn recipe(sample: &Sample, tamper: Option<Tamper>) -> Recipe {
    let secret = sample.seed.unwrap_or(sample.secret);
    Recipe {
        hook: None,
        verify: None,
        hooks: None,
        source: Some(sample.preset.to_owned()),
        secret: if secret.is_empty() { Vec::new() } else { vec![format!("plain:{secret}")] },
        param: sample.params.iter().map(|(n, v)| ((*n).to_owned(), format!("plain:{v}"))).collect(),
        event: None,
        body: None,
        tamper,
    }
}

fn url(sample: &Sample) -> String {
    format!("https://hooks.example.com/tdmq/{}", sample.preset)
}

/// Returns the request that `verify` reads when the output of `sign` is piped to it.
fn piped(request: &Request, trigger: Trigger) -> Request {
    let Request { method, path, raw_query, headers, body, .. } = request;
    let signed = Signed { method, path, raw_query, headers, body, at: Clock::system().now() };
    trigger::read(&signed.print(trigger)).unwrap()
}

fn outcome(verifier: &Source, request: &Request) -> VerifyOutcome {
    verifier.explain(request, Clock::system().now()).outcome
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn verify_accepts_what_sign_prints_and_refuses_what_it_broke() {
    let mut broken = 0;
    for sample in SAMPLES {
        let verifier = sample.signer().unwrap().verifier().unwrap();
        let target = format!("/tdmq/{}", sample.preset);
        let make = |tamper| recipe(sample, tamper).request(Some(&target), Some(url(sample)));
        for trigger in Trigger::value_variants() {
            let request = piped(&make(None).unwrap(), *trigger);
            let outcome = outcome(&verifier, &request);
            assert!(
                matches!(outcome, VerifyOutcome::Verified(_)),
                "{} {trigger:?}: {outcome:?}",
                sample.preset
            );
        }
        for tamper in Tamper::ALL {
            // A source without that part refuses to break it; the tests of sources check that.
            let Ok(request) = make(Some(tamper)) else { continue };
            broken += 1;
            let outcome = outcome(&verifier, &piped(&request, Trigger::Http));
            assert!(
                matches!(outcome, VerifyOutcome::Rejected(..)),
                "{} {tamper:?}: {outcome:?}",
                sample.preset
            );
        }
    }
    assert!(broken > 2 * SAMPLES.len(), "{broken}");
}

#[test]
fn what_is_no_request_is_told() {
    for text in
        ["", "{}", "{", "POST / HTTP/2\n\n", "POST /\n\n", "POST / HTTP/1.1\nA: b\n", "GET  / HTTP/1.1\n\n"]
    {
        assert!(trigger::read(text.as_bytes()).is_err(), "{text:?}");
    }
    let text = "POST /a?b=c HTTP/1.1\nX-A:  1 \nContent-Length: 2\n\nhi\n";
    let request = trigger::read(text.as_bytes()).unwrap();
    assert_eq!((request.path.as_str(), request.raw_query.as_str()), ("/a", "b=c"));
    assert_eq!((request.headers.one_str("x-a"), &*request.body), (Some("1"), &b"hi"[..]));
}

/// Starts a server that answers one request with the status line, and returns the bytes of that request.
fn server(status: &'static str) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            reader.read_until(b'\n', &mut text).unwrap();
        }
        let length = trigger::read(&text).unwrap();
        let length = length.headers.one_str("content-length").map_or(0, |length| length.parse().unwrap());
        reader.by_ref().take(length).read_to_end(&mut text).unwrap();
        write!(reader.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        text
    });
    (format!("http://{address}"), served)
}

async fn send(arguments: &[&str]) -> Exit {
    let cli = Cli::parse_from(["hookmq", "send"].iter().chain(arguments));
    let Command::Send(args) = cli.command else { panic!("{arguments:?}") };
    send::run(&args).await
}

#[tokio::test]
async fn send_sends_and_its_exit_code_is_the_answer() {
    for (source, status, exit) in [
        ("slack", "204 No Content", Exit::Good),
        ("slack", "401 Unauthorized", Exit::Bad),
        ("wechat-mp-plain", "200 OK", Exit::Good),
        ("square", "302 Found", Exit::Bad),
    ] {
        let sample = Sample::of(source).unwrap();
        let (address, served) = server(status);
        // A parameter that is signed right behind the address must be told from a query, so that address gets
        // none.
        let query = if source == "square" { "" } else { "?tenant=1" };
        let address = format!("{address}/hook{query}");
        let public = url(sample);
        let secret = format!("--secret=plain:{}", sample.secret);
        assert_eq!(
            send(&["--source", source, &secret, "--url", &address, "--public-url", &public]).await,
            exit
        );
        let request = trigger::read(&served.join().unwrap()).unwrap();
        assert_eq!(request.path, "/hook");
        assert!(request.raw_query.starts_with(query.trim_start_matches('?')), "{}", request.raw_query);
        let outcome = outcome(&sample.signer().unwrap(), &request);
        assert!(matches!(outcome, VerifyOutcome::Verified(_)), "{source}: {outcome:?}");
    }
}

/// A connection that breaks tells nothing of the request.
#[tokio::test]
async fn send_tells_a_refusal_from_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let broken = thread::spawn(move || drop(listener.accept().unwrap()));
    let github = ["--source", "github", "--secret=plain:a-secret-of-sixteen", "--tamper", "signature"];
    assert_eq!(send(&[&github[..], &["--url", &address]].concat()).await, Exit::Silent);
    broken.join().unwrap();
    let (address, served) = server("401 Unauthorized");
    assert_eq!(send(&[&github[..], &["--url", &address]].concat()).await, Exit::Bad);
    served.join().unwrap();
}

/// The README's own hook can be tried: `send` signs as its `[verify]` table says, with its secret or another.
#[tokio::test]
async fn send_signs_for_a_hook_of_the_file() {
    let readme = include_str!("../../README.md");
    let toml = readme.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let toml = toml.replace("env:ERP_SECRET", "plain:a-secret-of-the-erp");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.toml");
    std::fs::write(&file, &toml).unwrap();
    let hooks = ["--hook", "erp", "--hooks", file.to_str().unwrap()];
    let env = Env::of([("GITHUB_SECRET", "a-secret-of-github")]);
    let config = Config::parse("hooks.toml", &toml, Reading::new(&env, Samples::Refused));
    let verifier = config.hook("erp").unwrap().source.current().unwrap();
    for (more, is_right) in [(&[][..], true), (&["--secret", "plain:another-secret"], false)] {
        let (address, served) = server("200 OK");
        let url = format!("{address}/erp/orders");
        assert_eq!(send(&[&hooks[..], &["--url", &url], more].concat()).await, Exit::Good);
        let request = trigger::read(&served.join().unwrap()).unwrap();
        let outcome = outcome(&verifier, &request);
        assert_eq!(matches!(outcome, VerifyOutcome::Verified(_)), is_right, "{outcome:?}");
    }
    let unknown = ["--hook", "nonesuch", "--hooks", file.to_str().unwrap(), "--url", "http://127.0.0.1/"];
    assert_eq!(send(&unknown).await, Exit::Configuration);
    for wrong in [
        &["--hook", "erp", "--source", "github"][..],
        &["--hooks", "f"],
        &["--hook", "erp", "--param", "a=b"],
    ] {
        let all = ["hookmq", "sign"].iter().chain(wrong);
        assert!(Cli::try_parse_from(all).is_err(), "{wrong:?}");
    }
    // The path is the hook's own.
    let cli = Cli::parse_from(["hookmq", "sign"].iter().chain(&hooks));
    let Command::Sign(args) = cli.command else { panic!("sign") };
    assert_eq!(args.recipe.request(None, None).unwrap().path, "/erp/orders");
}

#[tokio::test]
async fn send_tells_mistakes_from_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let github = ["--source", "github", "--secret=plain:a-secret-of-sixteen"];
    for (more, exit) in [
        (&["--url", &closed][..], Exit::Silent),
        (&["--url", "ftp://127.0.0.1/"], Exit::Configuration),
        (&["--url", "hooks.example.com"], Exit::Configuration),
        (&["--url", &closed, "--tamper", "timestamp"], Exit::Configuration),
        (&["--url", &closed, "--param", "x=y"], Exit::Configuration),
    ] {
        assert_eq!(send(&[&github[..], more].concat()).await, exit, "{more:?}");
    }
}
