//! Sender of a request that arrives through proxies (`TRUST_PROXIES`).
//!
//! A trusted proxy knows the address that connected to it and appends that address to `X-Forwarded-For` or
//! `Forwarded`. If the address is a trusted proxy too, the entry before it counts, and so on from right to
//! left. The entries to the left of the first foreign address were written by that address, and are not
//! reliable.
//!
//! ```text
//! X-Forwarded-For: 203.0.113.9 (claimed), 198.51.100.1, 10.0.0.2     from 10.0.0.1     TRUST_PROXIES=10.0.0.0/8
//!                                         └ the sender  └ trusted         └ trusted
//! ```
//!
//! In case of doubt the sender has no address, and then no network lets the request in.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::cidr::Cidr;
use crate::env::{Env, EnvProblem};

const VARIABLE: &str = "TRUST_PROXIES";

/// Proxies between senders and the HTTP host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hops {
    /// Unset `TRUST_PROXIES`: the peer counts as the sender, which is wrong behind a proxy.
    #[default]
    Unknown,
    /// Direct connections: the peer is the sender.
    None,
    /// Networks of the proxies. A peer outside these networks is the sender.
    At(Vec<Cidr>),
}

impl Hops {
    /// Parses `TRUST_PROXIES`. The error says what is wrong with the value.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        let Some(text) = env.get(VARIABLE) else { return Ok(Self::Unknown) };
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        let wrong = |message| EnvProblem { variable: VARIABLE, message };
        let parts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
        let ranges: Result<Vec<_>, _> = parts.map(Cidr::parse).collect();
        match ranges {
            Ok(ranges) if !ranges.is_empty() => Ok(Self::At(ranges)),
            Ok(_) => {
                Err(wrong("does not name a proxy: write \"10.0.0.0/8, 192.0.2.1\" or \"none\"".to_owned()))
            }
            Err(error) => Err(wrong(format!("has an entry that is not a proxy's address: {error}"))),
        }
    }

    /// Returns the address of the sender of a request from `peer`, or `None` if it cannot be determined.
    pub(crate) fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let Self::At(trusted) = self else { return Some(peer) };
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
        if !is_trusted(peer) {
            return Some(peer);
        }
        // A proxy that writes one of the fields passes the other through unchanged, so the sender may have
        // written the other. If a request has both fields, they must agree.
        let fields = |name| headers.contains_key(name).then(|| headers.get_all(name).iter().rev());
        let plain =
            fields("x-forwarded-for").map(|lines| foreign(lines, |line| Some(plain(line)), is_trusted));
        let forwarded = fields("forwarded").map(|lines| foreign(lines, forwarded, is_trusted));
        match (plain, forwarded) {
            (Some(one), Some(other)) => one.filter(|_| one == other),
            (one, other) => one.or(other).flatten(),
        }
    }
}

/// Returns the last address that is not trusted. `lines` holds the field's lines, the last one first, and
/// `read` splits a line into hops.
fn foreign<'h>(
    lines: impl Iterator<Item = &'h http::HeaderValue>,
    read: impl Fn(&str) -> Option<Vec<&str>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    for line in lines {
        for hop in read(line.to_str().ok()?)?.into_iter().rev() {
            let address = address(hop)?;
            if !is_trusted(address) {
                return Some(address);
            }
        }
    }
    None
}

/// Splits a line of `X-Forwarded-For` into hops.
fn plain(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

/// Splits a line of `Forwarded` (RFC 7239) into the `for` of each element. Returns `None` for a line that
/// violates the grammar, because an open quotation mark of the sender would swallow the hop that the proxy
/// appended.
fn forwarded(line: &str) -> Option<Vec<&str>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let mut hop = None;
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find([',', ';']).unwrap_or(after.len())),
            };
            // An escaped quotation mark would end the value elsewhere.
            if value.contains(['\\', '"']) {
                return None;
            }
            if name.trim().eq_ignore_ascii_case("for") && hop.replace(value.trim()).is_some() {
                return None;
            }
            rest = after.trim_start();
            match rest.strip_prefix(';') {
                Some(next) => rest = next,
                None => break,
            }
        }
        hops.push(hop?);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.is_empty().then_some(hops),
        }
    }
}

/// Parses an address, with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = text.parse().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
#[path = "hops_tests.rs"]
mod tests;
