//! Request and answer in the form that all triggers share.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

/// Upper bound on the number of header fields of a request. No sender needs more, and gateways pass about as
/// many.
pub const MAX_HEADERS: usize = 100;
/// Upper bound on the names and values of a request's header fields, in bytes. See [`MAX_HEADERS`].
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Returns true if FunctionGraph or Tencent SCF use the header field to describe the function, including its
/// credentials. Clients may send such fields too, so they are never taken from a sender.
pub(crate) fn is_platform_header(name: &str) -> bool {
    const PREFIXES: [&str; 2] = ["x-cff-", "x-scf-"];
    PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|n| n.eq_ignore_ascii_case(prefix)))
}

/// Returns true if a header field of this name can be in a request: the platforms' are removed from it.
pub(crate) fn can_arrive(name: &str) -> bool {
    is_field_name(name) && !is_platform_header(name)
}

/// Returns true if a header field can have this name (RFC 9110 5.1).
pub(crate) fn is_field_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Header fields in the order received, with names in lower case.
///
/// A gateway may pass two fields of the same name, or two spellings of a name. Both are kept, so that a
/// verifier can refuse an ambiguous request. Values are bytes, since some senders do not send UTF-8.
///
/// ```
/// use hookmq_shared::http::Headers;
///
/// let headers: Headers = [("X-Id", "1"), ("X-Signature", "a"), ("x-signature", "b")].into_iter().collect();
/// assert_eq!(headers.one_str("x-id"), Some("1"));
/// assert_eq!(headers.one("X-Signature"), None);
/// assert_eq!(headers.all("X-Signature").count(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Bytes)>);

impl Headers {
    /// Returns an empty list of header fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: impl Into<Bytes>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Returns all values of `name`, in order. The case of `name` does not matter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_ref())
    }

    /// Returns the value of `name` if there is exactly one such field.
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Returns the value of `name` if there is exactly one such field and its value is UTF-8.
    pub fn one_str<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        std::str::from_utf8(self.one(name)?).ok()
    }

    /// Returns all fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_ref()))
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all fields of this name. The case of `name` does not matter.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Removes the fields that a platform adds for the function.
    #[must_use]
    pub(crate) fn without_platforms(mut self) -> Self {
        self.0.retain(|(name, _)| !is_platform_header(name));
        self
    }

    /// Returns the bytes of all names and values.
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

/// Names only, since values may be credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Webhook request, in the same form for every trigger.
#[derive(Clone)]
pub struct Request {
    /// Method as received, such as `POST`.
    pub method: String,
    /// Path as the gateway matched it, without an API stage and including `BASE_PATH`.
    pub path: String,
    /// Query as received, without `?`. Order and encoding are unchanged if the trigger keeps them.
    pub raw_query: String,
    /// Header fields as the trigger passes them.
    pub headers: Headers,
    /// Body of the request, after decoding a trigger's base64.
    pub body: Bytes,
    /// Id of the request, from the platform or generated here. It appears in the log and in a problem's
    /// `instance`.
    pub request_id: String,
    /// Time at which the request began to arrive. All time limits count from here.
    pub received: Instant,
    /// Address of the client, as the platform or the socket reports it. A header field counts only if a proxy
    /// named in `TRUST_PROXIES` wrote it, since clients can send any field. `None` if the trigger does not
    /// report the address (an ALB puts it in a header only) or if it cannot be determined.
    pub source_ip: Option<IpAddr>,
    /// Time at which the platform stops the function or stops waiting, or `None` if the platform does not
    /// say.
    pub deadline: Option<Instant>,
}

/// Summary without query and body, since both may hold a token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, headers, body, request_id, .. } = self;
        write!(f, "Request({method} {path}, {headers:?}, {} bytes, {request_id})", body.len())
    }
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Header fields, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body, which is always UTF-8 text.
    pub body: String,
    /// True if the answer acknowledges a delivery, so that its sender is genuine.
    pub is_ack: bool,
}

impl Response {
    /// Creates an answer with a body of the given type. An empty body gets no content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let body = body.into();
        let headers =
            if body.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        Self { status, headers, body, is_ack: false }
    }

    /// Appends a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the value of the first field of that name, which must be in lower case.
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
