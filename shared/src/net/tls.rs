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
use crate::env::{Env, EnvProblem};

/// Open connection, with or without TLS.
pub type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Any error of the connectors in this module.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Variable with a file of root certificates, beside those of the web.
pub(super) const CA_FILE: &str = "TLS_CA_FILE";

/// Variable with the address of a proxy.
pub(super) const PROXY: &str = "HTTPS_PROXY";

/// Maker of connections by the environment's settings (`TLS_CA_FILE`, `HTTPS_PROXY`).
#[derive(Clone)]
pub struct Connector {
    direct: HttpsConnector<Tcp>,
    /// Connector through the proxy, only for `https`, and never for loopback.
    tunnel: Option<HttpsConnector<Tcp>>,
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
        let proxy = env.get(PROXY).map(|url| Proxy::parse(&url)).transpose()?;
        let connector = |proxy| {
            let tcp = Tcp { names: names.clone(), proxy };
            let builder = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&tls));
            builder.https_or_http().enable_http1().wrap_connector(tcp)
        };
        let tunnel = proxy.map(|proxy| connector(Some(Arc::new(proxy))));
        Ok(Self { direct: connector(None), tunnel, names })
    }

    /// Connects to an endpoint, its TLS handshake included.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let connector = match &self.tunnel {
            Some(tunnel) if is_tunnelled(endpoint) => tunnel,
            _ => &self.direct,
        };
        connector.clone().call(endpoint.uri()).await.map_err(ConnectError::of)
    }

    /// Returns true if a proxy makes the connection.
    pub(crate) fn tunnels(&self, endpoint: &Endpoint) -> bool {
        self.tunnel.is_some() && is_tunnelled(endpoint)
    }

    /// Resolves the addresses to which a connection would be made.
    pub(crate) async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = endpoint.place();
        self.names.resolve(host, port).await
    }
}

fn is_tunnelled(endpoint: &Endpoint) -> bool {
    endpoint.is_https() && !endpoint.is_loopback()
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
            .map_err(|e| wrong(format!("names {path}, which cannot be read: {}", e.kind())))?;
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
