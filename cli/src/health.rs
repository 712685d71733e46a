//! `hookmq health`: a probe of the process in the same container, for images without a shell and without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::env::Env;
use hookmq_shared::host::server;
use hookmq_shared::http::Headers;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::{Exit, client, complain};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ask if the process can serve a hook (/_/ready), not only if it runs (/_/health)
    #[arg(long)]
    ready: bool,
    /// The process's address; default: LISTEN or PORT, as the process itself reads them
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Time to wait for the answer
    #[arg(long, value_name = "TIME", value_parser = crate::redrive::patience, default_value = "5s")]
    within: Duration,
}

/// Runs the command. Every failure is exit code 1, because Docker gives no other one a meaning.
pub(crate) async fn run(args: &Args) -> Exit {
    match timeout(args.within, probe(args)).await {
        Ok(Ok(())) => Exit::Good,
        Ok(Err(reason)) => {
            complain(reason);
            Exit::Bad
        }
        Err(_) => {
            complain("the process does not answer in time");
            Exit::Bad
        }
    }
}

async fn probe(args: &Args) -> Result<(), String> {
    let address = match &args.address {
        Some(address) => address.clone(),
        None => server::address(&Env::process()).map_err(|problem| problem.to_string())?,
    };
    let bound = lookup_host(&address).await.map_err(|error| format!("{address}: {error}"))?;
    let path = if args.ready { "/_/ready" } else { "/_/health" };
    let mut reason = format!("{address} has no address");
    for address in bound.flat_map(reachable) {
        let answer = client::send(address, "GET", path, &Headers::new(), Bytes::new()).await;
        match answer {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => {
                return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
            }
            Err(error) => reason = format!("{address}: {error}"),
        }
    }
    Err(reason)
}

/// Returns the addresses at which a process that is bound to `address` can be reached from its machine: a
/// process that takes every address is asked by way of the loopback.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip, address.port());
    match address.ip() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            vec![at(Ipv6Addr::LOCALHOST.into()), at(Ipv4Addr::LOCALHOST.into())]
        }
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![at(Ipv4Addr::LOCALHOST.into())],
        _ => vec![address],
    }
}
