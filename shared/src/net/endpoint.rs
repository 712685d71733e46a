//! Endpoints of APIs: scheme, host and port, nothing else.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::{fmt, mem};

use http::Uri;
use http::uri::{Authority, Scheme};

/// Reason for which a URL is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Text that is not an absolute `http` or `https` URL.
    #[error("is not a URL: write it as https://host or https://host:port")]
    NotAUrl,
    /// URL with credentials.
    #[error("has a user name in it: credentials have variables of their own")]
    UserInfo,
    /// URL with a query, or with a path that the client chooses itself.
    #[error("has a query, or a path where none is taken: write it as https://host or https://host:port")]
    NotBare,
    /// URL without TLS: requests would be readable on the way.
    #[error("is not https: use https, or set ALLOW_HTTP_ENDPOINTS=1 if that is meant")]
    PlainText,
}

/// Scheme, host and port of an API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    https: bool,
    /// Host and port in lower case, without the scheme's default port: byte for byte the `Host` that is
    /// signed.
    authority: Authority,
}

impl Endpoint {
    /// Parses `https://host[:port]`. Plain `http` is taken for loopback addresses, and for others if
    /// `allow_http` is set.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, EndpointError> {
        match Self::parse_with_path(text, allow_http)? {
            (endpoint, path) if path.is_empty() => Ok(endpoint),
            _ => Err(EndpointError::NotBare),
        }
    }

    /// Parses a URL with a path like [`parse`](Self::parse) (`OS_AUTH_URL`, `S3_ENDPOINT`), and returns the path without a
    /// final slash.
    pub fn parse_with_path(text: &str, allow_http: bool) -> Result<(Self, String), EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::NotAUrl)?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(EndpointError::NotAUrl),
        };
        let authority = uri.authority().ok_or(EndpointError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(EndpointError::NotBare);
        }
        let default_port = if https { 443 } else { 80 };
        let host = authority.host().to_ascii_lowercase();
        let authority = match authority.port_u16().filter(|port| *port != default_port) {
            Some(port) => format!("{host}:{port}"),
            None if authority.as_str().len() > host.len() && authority.port_u16().is_none() => {
                return Err(EndpointError::NotAUrl); // `host:` and `host:99999`
            }
            None => host,
        };
        let authority = authority.parse().map_err(|_| EndpointError::NotAUrl)?;
        let endpoint = Self { https, authority };
        if !https && !allow_http && !endpoint.is_loopback() {
            return Err(EndpointError::PlainText);
        }
        Ok((endpoint, uri.path().trim_end_matches('/').to_owned()))
    }

    /// Returns the value of the `Host` header.
    pub fn host(&self) -> &str {
        self.authority.as_str()
    }

    /// Returns host, without the brackets of an IPv6 address, and port to connect to.
    pub(crate) fn place(&self) -> (&str, u16) {
        let port = self.authority.port_u16().unwrap_or(if self.https { 443 } else { 80 });
        (self.authority.host().trim_matches(['[', ']']), port)
    }

    /// Returns true if the endpoint speaks TLS.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Returns true if the endpoint is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Builds a URL to connect to.
    pub(crate) fn uri(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.https { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Endpoints of one API: the one in use, and those that take its place in turn while it cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) current: Endpoint,
    others: VecDeque<Endpoint>,
}

impl Endpoints {
    /// Parses endpoints with commas between them; the first is in use.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, EndpointError> {
        let mut all = text.split(',').map(|text| Endpoint::parse(text.trim(), allow_http));
        let current = all.next().unwrap_or(Err(EndpointError::NotAUrl))?;
        Ok(Self { current, others: all.collect::<Result<_, _>>()? })
    }

    /// Returns the number of endpoints besides the one in use.
    pub(crate) fn others(&self) -> usize {
        self.others.len()
    }

    /// Goes on to the next endpoint.
    pub(crate) fn turn(&mut self) {
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(mem::replace(&mut self.current, next));
        }
    }

    /// Goes on to `endpoint` if it is one of these.
    pub(crate) fn turn_to(&mut self, endpoint: &Endpoint) {
        if self.others.contains(endpoint) {
            while self.current != *endpoint {
                self.turn();
            }
        }
    }
}

impl From<Endpoint> for Endpoints {
    fn from(current: Endpoint) -> Self {
        Self { current, others: VecDeque::new() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_they_are_signed() {
        for (text, shown, host) in [
            (
                "https://TDMQ.tencentcloudapi.com",
                "https://tdmq.tencentcloudapi.com",
                "tdmq.tencentcloudapi.com",
            ),
            ("https://a.example:443/", "https://a.example", "a.example"),
            ("https://a.example:8443", "https://a.example:8443", "a.example:8443"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9", "127.0.0.1:9"),
            ("http://[::1]:9/", "http://[::1]:9", "[::1]:9"),
            ("http://localhost", "http://localhost", "localhost"),
        ] {
            let endpoint = Endpoint::parse(text, false).unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.host()), (shown, host));
            assert_eq!(endpoint.uri().to_string(), format!("{shown}/"));
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        use EndpointError::{NotAUrl, NotBare, PlainText, UserInfo};
        for (text, want) in [
            ("", NotAUrl),
            ("a.example", NotAUrl),
            ("ftp://a.example", NotAUrl),
            ("https://", NotAUrl),
            ("https://a.example:", NotAUrl),
            ("https://a.example:99999", NotAUrl),
            ("https://a b", NotAUrl),
            ("https://u:p@a.example", UserInfo),
            ("https://a.example/v2", NotBare),
            ("https://a.example?x", NotBare),
            ("https://a.example/#x", NotBare),
            ("http://a.example", PlainText),
            ("http://127.0.0.1.example", PlainText),
        ] {
            assert_eq!(Endpoint::parse(text, false), Err(want), "{text}");
        }
        assert!(Endpoint::parse("http://a.example", true).is_ok());
        let (endpoint, path) = Endpoint::parse_with_path("https://iam.example:443/v3/", false).unwrap();
        assert_eq!((endpoint.host(), path.as_str()), ("iam.example", "/v3"));
    }
}
