//! Opening connections: TCP, TLS, and a proxy where there is one.

use std::sync::Arc;

use base64::Engine as _;
use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::EnvProblem;
use super::endpoint::Endpoint;
use crate::env::Env;

/// An open connection.
pub type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Any error of the connectors below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The only crypto of the forwarders, behind one function: another one is a change here.
fn crypto() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Opens connections as the environment says (`TLS_CA_FILE`, `HTTPS_PROXY`).
#[derive(Clone)]
pub struct Connector {
    direct: HttpsConnector<HttpConnector>,
    /// Only for `https`, and never for loopback.
    tunnel: Option<HttpsConnector<Tunnel<HttpConnector>>>,
}

impl Connector {
    /// Reads the environment; what is wrong with it.
    pub fn new(env: &Env) -> Result<Self, EnvProblem> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without it, a request in two writes waits for a delayed acknowledgement: 40 ms.
        tcp.set_nodelay(true);
        let tls = tls_config(env)?;
        let tunnel = match env.get("HTTPS_PROXY") {
            Some(url) => Some(tunnel(&url, tcp.clone())?),
            None => None,
        };
        Ok(Self { tunnel: tunnel.map(|tunnel| over(tunnel, tls.clone())), direct: over(tcp, tls) })
    }

    /// Connects, with the TLS handshake done.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, BoxError> {
        match &self.tunnel {
            Some(tunnel) if is_tunnelled(endpoint) => tunnel.clone().call(endpoint.uri()).await,
            _ => self.direct.clone().call(endpoint.uri()).await,
        }
    }
}

impl Connector {
    /// Whether a proxy is asked to connect.
    pub(super) fn tunnels(&self, endpoint: &Endpoint) -> bool {
        self.tunnel.is_some() && is_tunnelled(endpoint)
    }
}

fn is_tunnelled(endpoint: &Endpoint) -> bool {
    endpoint.is_https() && !endpoint.is_loopback()
}

fn over<T>(inner: T, tls: ClientConfig) -> HttpsConnector<T> {
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(inner)
}

/// TLS 1.2 and 1.3; the web's roots, and those of `TLS_CA_FILE`.
fn tls_config(env: &Env) -> Result<ClientConfig, EnvProblem> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = env.get("TLS_CA_FILE") {
        let wrong = |message| EnvProblem { variable: "TLS_CA_FILE", message };
        let pem = std::fs::read(&path)
            .map_err(|e| wrong(format!("names {path}, which cannot be read: {}", e.kind())))?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            certificate.ok().and_then(|c| roots.add(c).ok()).ok_or_else(|| {
                wrong(format!("names {path}, which holds something that is no certificate: it takes PEM"))
            })?;
        }
        if roots.len() == before {
            return Err(wrong(format!("names {path}, which holds no certificate: it takes PEM")));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto()))
        .with_safe_default_protocol_versions()
        .map_err(|e| EnvProblem { variable: "TLS_CA_FILE", message: format!("is of no use: {e}") })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// `http://[user:password@]host:port`, with or without the scheme.
fn tunnel(url: &str, tcp: HttpConnector) -> Result<Tunnel<HttpConnector>, EnvProblem> {
    let wrong = || EnvProblem {
        variable: "HTTPS_PROXY",
        message: "is not a proxy's URL: write it as http://[user:password@]host:port".to_owned(),
    };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    let (user, host) = match authority.as_str().rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority.as_str()),
    };
    let tunnel = Tunnel::new(format!("http://{host}").parse().map_err(|_| wrong())?, tcp);
    let Some(user) = user else { return Ok(tunnel) };
    let decoded: Vec<u8> = percent_decode_str(user).collect();
    let basic = base64::engine::general_purpose::STANDARD.encode(decoded);
    let value = HeaderValue::try_from(format!("Basic {basic}")).map_err(|_| wrong())?;
    Ok(tunnel.with_auth(value))
}
