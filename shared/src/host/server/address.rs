//! Listening address of the server, from the environment.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use crate::env::{Env, EnvProblem};

/// Variables with the address, and with the port alone.
pub(in crate::host) const LISTEN: &str = "LISTEN";
pub(in crate::host) const PORT: &str = "PORT";

const DEFAULT: &str = "127.0.0.1:9000";

/// Host of every interface, IPv4 and IPv6. Elsewhere than on Unix such a socket takes IPv6 alone.
const EVERY: &str = if cfg!(unix) { "[::]" } else { "0.0.0.0" };

/// Reads the address from `LISTEN`; without it, every interface on `PORT`, which a container platform
/// (Knative and similar) sets to the port that it sends requests to. A `LISTEN` without a host (`:8080`,
/// `8080`) is every interface too. Returns the problem with the variable that counts.
pub fn address(env: &Env) -> Result<String, EnvProblem> {
    if let Some(listen) = env.get(LISTEN) {
        let port = listen.strip_prefix(':').unwrap_or(&listen);
        if is_port(port) {
            return Ok(format!("{EVERY}:{port}"));
        }
        return match wrong(&listen) {
            Some(message) => Err(EnvProblem { variable: LISTEN, message }),
            None => Ok(listen),
        };
    }
    let Some(port) = env.get(PORT) else { return Ok(DEFAULT.to_owned()) };
    if is_port(&port) {
        return Ok(format!("{EVERY}:{port}"));
    }
    let message = "is not a port: write a number from 0 to 65535, such as 8080".to_owned();
    Err(EnvProblem { variable: PORT, message })
}

/// Returns true if only this machine can call a server on `address`.
pub(in crate::host) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("localhost")),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Returns the problem with `listen` if it is not an address with a port. A host name is accepted: it is
/// resolved later.
fn wrong(listen: &str) -> Option<String> {
    if listen.parse::<SocketAddr>().is_ok() {
        return None;
    }
    let message = match listen.rsplit_once(':') {
        Some((name, port)) if is_port(port) => {
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
            if is_name {
                return None;
            }
            "is not an address and a port: write :8080 for every address, or one as in 127.0.0.1:8080, an IPv6 \
             address in brackets as in [::1]:8080, and no http:// before them"
                .to_owned()
        }
        _ => "has no port from 0 to 65535 at its end: write :8080, or an address, a colon and a port, as in \
             127.0.0.1:8080"
            .to_owned(),
    };
    Some(message)
}

/// Explains why the system refuses the address, and what to do.
pub(in crate::host) fn refused(error: &Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another process has the port: end that one, or set LISTEN (or PORT) to another port".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "this process may not use so low a port: set LISTEN (or PORT) to a port of 1024 or higher"
                .to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have the address: set LISTEN to one of its addresses, or to :8080 (your \
             port) for all of them"
                .to_owned()
        }
        _ => format!("{error}: set LISTEN to an address of this machine and a port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_names_the_port_and_listen_wins() {
        let of = |listen: &str, port: &str| address(&Env::of([("LISTEN", listen), ("PORT", port)])).unwrap();
        assert_eq!(of("", ""), "127.0.0.1:9000");
        assert_eq!(of("", "8080"), format!("{EVERY}:8080"));
        assert_eq!(of(":8080", "1"), format!("{EVERY}:8080"));
        assert_eq!(of("8080", "1"), format!("{EVERY}:8080"));
        assert_eq!(of("127.0.0.1:8000", "none"), "127.0.0.1:8000");
        for sound in ["[::]:8080", "localhost:0", "hookmq.internal:80", "0.0.0.0:65535"] {
            assert_eq!(of(sound, ""), sound);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (listen, told) in [
            (":", "has no port from 0 to 65535"),
            (":99999", "has no port from 0 to 65535"),
            ("99999", "has no port from 0 to 65535"),
            ("+80", "has no port from 0 to 65535"),
            ("::1:8080", "an IPv6 address in brackets"),
            ("http://127.0.0.1:80", "no http://"),
            ("127.0.0.1", "has no port from 0 to 65535"),
            ("127.0.0.1:", "has no port from 0 to 65535"),
            ("127.0.0.1:99999", "has no port from 0 to 65535"),
            ("127.0.0.1:+80", "has no port from 0 to 65535"),
        ] {
            let problem = address(&Env::of([("LISTEN", listen)])).unwrap_err();
            assert_eq!(problem.variable, "LISTEN");
            assert!(problem.message.contains(told), "{listen}: {problem}");
        }
        for port in ["http", "70000", "-1", "+80", "tcp://10.0.0.1:80"] {
            let problem = address(&Env::of([("PORT", port)])).unwrap_err();
            assert!(
                problem.to_string().starts_with("PORT is not a port: write a number"),
                "{port}: {problem}"
            );
        }
    }

    #[test]
    fn only_an_address_of_this_machine_is_its_own() {
        assert!(
            ["127.0.0.1:80", "[::1]:80", "localhost:80", "127.9.0.1:1"].iter().all(|own| is_loopback(own))
        );
        assert!(["0.0.0.0:80", "[::]:80", "localhost.test:80", ""].iter().all(|other| !is_loopback(other)));
    }
}
