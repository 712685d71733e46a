//! The request and answer every trigger is reduced to.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

/// Most header fields of a request, and most bytes of their names and values: beyond any sender, and
/// about what gateways pass.
pub const MAX_HEADERS: usize = 100;
/// See [`MAX_HEADERS`].
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Whether a header field is one in which FunctionGraph or Tencent SCF tell a function of itself, its
/// credentials among them. A client may send such fields as well, so no sender's can be among them.
pub(crate) fn is_platform_header(name: &str) -> bool {
    const PREFIXES: [&str; 2] = ["x-cff-", "x-scf-"];
    PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|n| n.eq_ignore_ascii_case(prefix)))
}

/// Header fields in the order received, names in lower case.
///
/// A gateway may hand over two fields of one name, or two spellings of one name; both are kept,
/// so that a verifier can refuse what is ambiguous. Values are bytes: not every sender's are UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Bytes)>);

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field after those already there.
    pub fn push(&mut self, name: &str, value: impl Into<Bytes>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Every value of `name` (any case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_ref())
    }

    /// The value of `name` when there is exactly one field of it.
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// As [`one`](Self::one), when it is UTF-8 text.
    pub fn one_str<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        std::str::from_utf8(self.one(name)?).ok()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_ref()))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without the fields that a platform writes into a request for the function.
    #[must_use]
    pub(crate) fn without_platforms(mut self) -> Self {
        self.0.retain(|(name, _)| !is_platform_header(name));
        self
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(n, v)| n.len() + v.len()).sum()
    }
}

impl<N: AsRef<str>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in fields {
            headers.push(name.as_ref(), value);
        }
        headers
    }
}

/// Names only: values may be credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// One webhook request, whichever trigger brought it.
#[derive(Clone)]
pub struct Request {
    /// `POST`, upper case as received.
    pub method: String,
    /// The path as the gateway matched it, without an API stage; `BASE_PATH` is still in it.
    pub path: String,
    /// The query as received, without `?`; order and encoding untouched where the trigger keeps them.
    pub raw_query: String,
    /// Header fields.
    pub headers: Headers,
    /// The body's own bytes, base64 of the trigger undone.
    pub body: Bytes,
    /// The platform's id of this request, or ours: in the log and in a problem's `instance`.
    pub request_id: String,
    /// When it began to arrive: all time limits count from here.
    pub received: Instant,
    /// Who connected, as the platform or the socket says it, and never from a header field, which anybody can
    /// write, unless a proxy named in `TRUST_PROXIES` wrote it. `None` where the trigger does not say (an ALB puts
    /// it in a header only), or nobody can tell.
    pub source_ip: Option<IpAddr>,
    /// When the platform will stop waiting for (or running) us; `None` if it does not say.
    pub deadline: Option<Instant>,
}

/// Neither query nor body: both may hold a token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, headers, body, request_id, .. } = self;
        write!(f, "Request({method} {path}, {headers:?}, {} bytes, {request_id})", body.len())
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body; always UTF-8 text.
    pub body: String,
}

impl Response {
    /// An answer with a body of the given type. An empty body gets no content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let body = body.into();
        let headers =
            if body.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        Self { status, headers, body }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The first field of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_fields_are_ambiguous() {
        let headers: Headers = [("X-Sig", "a"), ("x-sig", "b"), ("X-Id", "1")].into_iter().collect();
        assert_eq!(headers.one("X-SIG"), None);
        assert_eq!(headers.one_str("x-ID"), Some("1"));
        assert_eq!(headers.all("x-sig").count(), 2);
        assert_eq!(headers.size(), 17);
    }

    #[test]
    fn debug_shows_neither_values_nor_bodies() {
        let request = Request {
            method: "POST".into(),
            path: "/h".into(),
            raw_query: "token=hunter2".into(),
            headers: [("Authorization", "hunter2")].into_iter().collect(),
            body: "hunter2".into(),
            request_id: "r".into(),
            deadline: None,
            received: Instant::now(),
            source_ip: None,
        };
        assert_eq!(format!("{request:?}"), r#"Request(POST /h, ["authorization"], 7 bytes, r)"#);
    }
}
