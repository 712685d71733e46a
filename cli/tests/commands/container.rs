//! Tests of the command line as a container runs it: `hookmq health` for a HEALTHCHECK, and the signals that
//! the kernel ignores in a container's first process unless they are handled.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

fn health(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
    command.arg("health").args(arguments).env_clear().envs(variables.iter().copied());
    let done = command.output().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}

/// Starts a process that is alive and not ready, on every address, and returns its port.
fn unready() -> String {
    let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            while stream.read_line(&mut String::new()).unwrap() > 2 {}
            let answer = match line.as_str() {
                "GET /_/health HTTP/1.1\r\n" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "GET /_/ready HTTP/1.1\r\n" => "HTTP/1.1 503 X\r\nContent-Length: 6\r\n\r\nbroken",
                _ => "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
            };
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

#[test]
fn a_container_asks_its_own_process() {
    let port = unready();
    let all = format!(":{port}");
    let one = format!("127.0.0.1:{port}");
    let name = format!("localhost:{port}");
    for variables in [
        &[("PORT", port.as_str())],
        &[("LISTEN", all.as_str())],
        &[("LISTEN", port.as_str())],
        &[("LISTEN", one.as_str())],
        &[("LISTEN", name.as_str())],
    ] {
        assert_eq!(health(&[], variables), (Some(0), String::new()), "{variables:?}");
        let (code, told) = health(&["--ready"], variables);
        assert_eq!(code, Some(1), "{variables:?}: {told}");
        assert!(told.contains("503") && told.contains("broken"), "{told}");
    }
    assert_eq!(health(&["--address", &one], &[("LISTEN", "127.0.0.1:1")]).0, Some(0));
}

#[test]
fn a_process_that_does_not_answer_is_not_healthy() {
    // The system accepts the connection, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (address.to_string(), silent)).unwrap();
    for (arguments, variables, told) in [
        (&["--within", "200ms"][..], &[("LISTEN", silent.0.as_str())], "does not answer in time"),
        (&[], &[("LISTEN", "127.0.0.1:1")], "127.0.0.1:1"),
        (&[], &[("LISTEN", "http://x")], "LISTEN has no port"),
    ] {
        let (code, text) = health(arguments, variables);
        assert!(code == Some(1) && text.contains(told), "{variables:?}: {code:?} {text}");
    }
}

/// A status instead of an end by the signal shows that the signal was handled.
#[cfg(unix)]
#[test]
fn a_signal_ends_a_command_whatever_it_does() {
    use std::process::Stdio;
    for (signal, status) in [("-TERM", 143), ("-INT", 130)] {
        // It waits for a request at standard input, which is a call that blocks.
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
        command.args(["verify", "--source", "github", "--secret=a-secret-of-my-own"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // `wait` would close the input, and the command would end by itself.
        let input = child.stdin.take();
        let handled = format!("/proc/{}/status", child.id());
        // The handlers are there once the kernel shows them; elsewhere than on Linux a while must do.
        for _ in 0..200 {
            let caught = std::fs::read_to_string(&handled).ok().and_then(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
                u64::from_str_radix(&line, 16).ok()
            });
            if caught.is_some_and(|caught| caught & (1 << 14) != 0 && caught & 2 != 0) {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal}");
        drop(input);
    }
}
