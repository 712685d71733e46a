//! Race for one connection to any of several addresses ([RFC 8305]): an address that drops all packets costs
//! a quarter of a second, for any family and at any position in the list.
//!
//! [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};

/// Time after which the next address is tried ("Connection Attempt Delay"). It is tried at once if the one
/// before has failed.
const STAGGER: Duration = Duration::from_millis(250);

/// Upper bound on the addresses of one name that are tried: each may hold a socket until one of them answers.
const MAX_ADDRESSES: usize = 16;

/// Upper bound on the failures in an error's text: one is often too few, and many say nothing more.
const MAX_TOLD: usize = 3;

/// Connects to the first address that answers. The error lists addresses with their failures.
pub(super) async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, String> {
    let mut next = interleaved(addresses).into_iter().take(MAX_ADDRESSES).peekable();
    let (mut running, mut failures) = (FuturesUnordered::new(), Vec::new());
    loop {
        if let Some(address) = next.next() {
            let attempt = connect(address);
            running.push(async move { (address, attempt.await) });
        }
        let until = Instant::now() + STAGGER;
        loop {
            let ended = tokio::select! {
                ended = running.next() => ended,
                () = sleep_until(until), if next.peek().is_some() => break,
            };
            match ended {
                Some((_, Ok(connected))) => return Ok(connected),
                Some((address, Err(error))) => {
                    failures.push(format!("{address}: {error}"));
                    if next.peek().is_some() {
                        break;
                    }
                }
                None => return Err(told(&failures)),
            }
        }
    }
}

fn told(failures: &[String]) -> String {
    let told = failures.iter().take(MAX_TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    match failures.len() {
        0 => "the name has no address".to_owned(),
        1..=MAX_TOLD => told,
        number => format!("{told}; and {} more", number - MAX_TOLD),
    }
}

/// Orders the addresses by the system's preference, but with alternating families, beginning with the family
/// of the first (RFC 8305, 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first =
        |address: &&SocketAddr| addresses.first().is_some_and(|f| f.is_ipv4() == address.is_ipv4());
    let (mut first, mut other) =
        (addresses.iter().filter(is_first), addresses.iter().filter(|a| !is_first(a)));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(first.next());
        order.extend(other.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| format!("{text}:9").parse().unwrap()).collect()
    }

    /// Simulates an address: its digits decide on its behaviour.
    async fn act(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.to_string() {
            dead if dead.contains("10.0.0.") || dead.contains("dead") => pending().await,
            refused if refused.contains("10.0.1.") => Err(io::ErrorKind::ConnectionRefused.into()),
            slow if slow.contains("10.0.2.") => {
                sleep(Duration::from_secs(1)).await;
                Ok(address)
            }
            _ => Ok(address),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_everything_costs_a_quarter_of_a_second() {
        for (names, millis) in [
            (&["10.0.0.1", "127.0.0.1"][..], 250),
            (&["10.0.0.1", "10.0.0.2", "127.0.0.1"], 500),
            (&["[::dead]", "[::dead:1]", "127.0.0.1"], 250),
            (&["10.0.0.1", "10.0.1.1", "127.0.0.1"], 250),
            (&["10.0.1.1", "127.0.0.1"], 0),
            (&["127.0.0.1", "10.0.0.1"], 0),
            // The earlier address may answer after all.
            (&["10.0.2.1", "10.0.0.1"], 1000),
        ] {
            let begun = Instant::now();
            let won = race(&addresses(names), act).await;
            assert!(won.is_ok(), "{names:?}");
            assert_eq!(begun.elapsed(), Duration::from_millis(millis), "{names:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_named_that_failed() {
        let none = race(&addresses(&["10.0.1.1", "10.0.1.2"]), act).await.unwrap_err();
        assert!(none.contains("10.0.1.1:9: ") && none.contains("10.0.1.2:9: "), "{none}");
        let many: Vec<String> = (0..9).map(|number| format!("10.0.1.{number}")).collect();
        let many = race(&addresses(&many.iter().map(String::as_str).collect::<Vec<_>>()), act).await;
        assert!(many.unwrap_err().ends_with("; and 6 more"));
        assert_eq!(race(&[], act).await.unwrap_err(), "the name has no address");
    }

    #[test]
    fn families_take_turns() {
        let order = |texts: &[&str]| {
            let order = interleaved(&addresses(texts));
            order.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["[::1]", "[::2]", "1.1.1.1", "1.1.1.2"]), ["::1", "1.1.1.1", "::2", "1.1.1.2"]);
        assert_eq!(order(&["1.1.1.1", "1.1.1.2", "[::1]"]), ["1.1.1.1", "::1", "1.1.1.2"]);
    }
}
