//! Opening of connections: TCP, TLS, and a proxy if one is set.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::ciphers::provider;
use super::endpoint::Endpoint;
use super::fault::ConnectError;
use super::names::Names;
use super::race::race;
use super::tunnel::Proxy;
use crate::cidr::holds;
use crate::env::{Env, EnvProblem};
use crate::files::unreadable;

/// Open connection, with or without TLS.
pub type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Any error of the connectors in this module.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Variable with a file of root certificates, beside those of the web.
pub(super) const CA_FILE: &str = "TLS_CA_FILE";

/// Variables with the address of a proxy: the first one that is set counts.
pub(crate) const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables with the hosts that are reached without the proxy.
const EXEMPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Maker of connections by the environment's settings (`TLS_CA_FILE`, the variables of proxies, `NO_PROXY`).
#[derive(Clone)]
pub struct Connector {
    direct: HttpsConnector<Tcp>,
    /// Connector through the proxy, only for `https` and never for loopback, and the hosts that do without it.
    tunnel: Option<(HttpsConnector<Tcp>, Arc<str>)>,
    names: Names,
}

impl Connector {
    /// Reads the settings; fails with the problem of a wrong one.
    pub fn new(env: &Env) -> Result<Self, EnvProblem> {
        Self::over(env, Names::chosen())
    }

    /// Reads the settings, and resolves hosts with the resolver `names`.
    pub(crate) fn over(env: &Env, names: Names) -> Result<Self, EnvProblem> {
        let tls = Arc::new(tls_config(env)?);
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, env.get(name)?)));
        let proxy = first(&PROXIES).map(|(name, url)| Proxy::parse(name, &url)).transpose()?;
        let connector = |proxy| {
            let tcp = Tcp { names: names.clone(), proxy };
            let builder = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&tls));
            builder.https_or_http().enable_http1().wrap_connector(tcp)
        };
        let exempt = first(&EXEMPT).map_or_else(String::new, |(_, hosts)| hosts).into();
        let tunnel = proxy.map(|proxy| (connector(Some(Arc::new(proxy))), exempt));
        Ok(Self { direct: connector(None), tunnel, names })
    }

    /// Connects to an endpoint, its TLS handshake included.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let connector = match &self.tunnel {
            Some((tunnel, _)) if self.tunnels(endpoint) => tunnel,
            _ => &self.direct,
        };
        connector.clone().call(endpoint.uri()).await.map_err(ConnectError::of)
    }

    /// Returns true if a proxy makes the connection.
    pub(crate) fn tunnels(&self, endpoint: &Endpoint) -> bool {
        let (host, _) = endpoint.place();
        endpoint.is_https()
            && !endpoint.is_loopback()
            && self.tunnel.as_ref().is_some_and(|(_, exempt)| !is_exempt(exempt, host))
    }

    /// Resolves the addresses to which a connection would be made.
    pub(crate) async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = endpoint.place();
        self.names.resolve(host, port).await
    }
}

/// Returns true if `NO_PROXY` lists the host: by its domain, by its network, or by `*`.
fn is_exempt(list: &str, host: &str) -> bool {
    let address = host.parse().ok();
    list.split(',').map(str::trim).any(|entry| match address {
        _ if entry == "*" => true,
        Some(address) => holds(entry, address),
        None => {
            let domain = entry.strip_prefix('.').unwrap_or(entry);
            let start = host.len().checked_sub(domain.len());
            let is_at = |start: usize| {
                host.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
                    && (start == 0 || host.as_bytes().get(start - 1) == Some(&b'.'))
            };
            !domain.is_empty() && start.is_some_and(is_at)
        }
    })
}

/// Returns the problems of entries in `NO_PROXY` that exempt no host.
#[cfg(feature = "catalog")]
pub(crate) fn problems(env: &Env) -> impl Iterator<Item = EnvProblem> {
    let is_domain = |entry: &str| entry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    let is_entry = move |entry: &str| {
        let first = entry.split('/').next().unwrap_or_default();
        entry == "*" || is_domain(entry) || first.parse().is_ok_and(|first| holds(entry, first))
    };
    EXEMPT.into_iter().filter_map(move |variable| {
        let list = env.get(variable)?;
        let wrong = list.split(',').map(str::trim).find(|entry| !is_entry(entry))?;
        let message = format!(
            "has the entry {wrong:?}, which exempts no host: write domains, addresses, networks such as 10.0.0.0/8, or \
             \"*\", with commas between them"
        );
        Some(EnvProblem { variable, message })
    })
}

/// Connector of the TCP connection below TLS or plain HTTP.
#[derive(Clone)]
struct Tcp {
    names: Names,
    proxy: Option<Arc<Proxy>>,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { names, proxy } = self.clone();
        async move {
            let host = uri.host().unwrap_or_default();
            let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            let port = uri.port_u16().unwrap_or(default_port);
            let stream = match proxy {
                Some(proxy) => proxy.connect(&names, host, port).await?,
                None => connect(&names, host.trim_matches(['[', ']']), port).await?,
            };
            Ok(TokioIo::new(stream))
        }
        .boxed()
    }
}

/// Connects to one of a host's addresses.
pub(super) async fn connect(names: &Names, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = names.resolve(host, port).await.map_err(ConnectError::Passing)?;
    connect_to(&addresses).await.map_err(ConnectError::Passing)
}

/// Connects to the first of several addresses that answers.
pub(crate) async fn connect_to(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let stream = race(addresses, TcpStream::connect).await?;
    // Without the option, a request in two writes waits 40 ms for a delayed acknowledgement.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Builds the configuration of TLS 1.2 and 1.3 with the web's root certificates, and those of `TLS_CA_FILE`.
fn tls_config(env: &Env) -> Result<ClientConfig, EnvProblem> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = env.get(CA_FILE) {
        let wrong = |message| EnvProblem { variable: CA_FILE, message };
        let pem = std::fs::read(&path)
            .map_err(|e| wrong(format!("names {path}, which cannot be read: {}", unreadable(e.kind()))))?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            certificate.ok().and_then(|c| roots.add(c).ok()).ok_or_else(|| {
                wrong(format!(
                    "names {path}, which holds something other than certificates: write them as PEM"
                ))
            })?;
        }
        if roots.len() == before {
            return Err(wrong(format!("names {path}, which holds no certificate: write it as PEM")));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| EnvProblem { variable: CA_FILE, message: format!("cannot be used: {e}") })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;

    use super::*;

    /// hyper-util reads `NO_PROXY` in the same way; its reader would be 8 kB of a function. Only `*` differs: it
    /// stands for addresses here, too, as it does for curl.
    #[test]
    fn hosts_are_exempt_as_other_programs_have_them() {
        let lists = [
            "",
            ",",
            " , ",
            "*",
            "example.com",
            ".example.com",
            "EXAMPLE.com , other.test",
            "a.example.com",
            "xample.com",
            "com",
            "..com",
            "*.example.com",
            "10.0.0.0/8",
            "10.1.2.3/8",
            "10.0.0.1",
            "10.0.0.1/32",
            "0.0.0.0/0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/x",
            "2001:db8::/32",
            "2001:db8::1",
            "::/0",
            "::ffff:10.0.0.1",
            "example.com:443",
            "[2001:db8::1]",
            "10.",
            "example.com,10.0.0.0/8",
        ];
        let hosts = [
            "example.com",
            "a.example.com",
            "b.a.Example.com",
            "notexample.com",
            "com",
            "other.test",
            "10.0.0.1",
            "10.9.9.9",
            "11.0.0.1",
            "[2001:db8::1]",
            "[2001:db9::1]",
            "[::ffff:10.0.0.1]",
            "x",
        ];
        let mut met = [0, 0];
        for (list, host) in lists.iter().flat_map(|list| hosts.map(|host| (list, host))) {
            let matcher = Matcher::builder().https("http://proxy").no(*list).build();
            let url: Uri = format!("https://{host}/").parse().unwrap();
            let address = host.trim_matches(['[', ']']);
            let is_all = *list == "*" && address.parse::<std::net::IpAddr>().is_ok();
            let theirs = matcher.intercept(&url).is_none() || is_all;
            assert_eq!(is_exempt(list, address), theirs, "{list:?} {host}");
            met[usize::from(theirs)] += 1;
        }
        assert!(met.iter().all(|count| *count >= 50), "{met:?}");
    }
}
