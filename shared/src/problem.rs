//! Problem documents (RFC 9457) for refused requests.

use crate::http::Response;
use crate::json;

/// Reason of a refusal, as the sender sees it (see `docs/configuration.md`).
///
/// A sender learns the kind of problem and the request's id, and nothing else: causes are in the log. Only
/// faults of the request are 4xx, and the 429 that a hook asks for. Each fault of the service is a 503,
/// because senders drop a delivery after a 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Unreadable request (400): broken framing or wrong base64, for example.
    Malformed,
    /// Missing, wrong or stale signature (401). All three get the same answer.
    Unauthorized,
    /// Wrong signature, or wrong token of a handshake (403), for senders that expect this status instead of
    /// 401.
    Forbidden,
    /// Path that does not belong to a hook (404).
    NotFound,
    /// Method that the hook does not take (405). Holds the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// Body that did not arrive in time (408).
    Timeout,
    /// Body over the hook's `max_body`, or message over the limit of the queue (413).
    TooLarge,
    /// Body with a content coding that the hook does not take (415).
    UnsupportedCoding,
    /// Verified delivery that cannot become a message (422).
    Unprocessable,
    /// Delivery over the hook's rate (429), for senders that want this status instead of 503.
    TooManyRequests {
        /// Value of `Retry-After`, in seconds.
        retry_after: u32,
    },
    /// Too many or too large header fields (431).
    HeadersTooLarge,
    /// Fault of the service or of the vendor (503).
    Unavailable {
        /// Value of `Retry-After`, in seconds.
        retry_after: u32,
    },
}

impl Problem {
    /// Returns the HTTP status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::UnsupportedCoding => 415,
            Self::Unprocessable => 422,
            Self::TooManyRequests { .. } => 429,
            Self::HeadersTooLarge => 431,
            Self::Unavailable { .. } => 503,
        }
    }

    /// Returns the stable name that follows `urn:hookmq:problem:` in `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "no-such-hook",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::Timeout => "request-timeout",
            Self::TooLarge => "too-large",
            Self::UnsupportedCoding => "unsupported-content-coding",
            Self::Unprocessable => "unprocessable",
            Self::TooManyRequests { .. } => "too-many-requests",
            Self::HeadersTooLarge => "headers-too-large",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request cannot be read",
            Self::Unauthorized => "The request is not authentic",
            Self::Forbidden => "The request is not allowed",
            Self::NotFound => "There is no such hook",
            Self::MethodNotAllowed(_) => "The hook does not take this method",
            Self::Timeout => "The request took too long to arrive",
            Self::TooLarge => "The request is too large",
            Self::UnsupportedCoding => "The request is compressed in a way that is not taken here",
            Self::Unprocessable => "The delivery cannot become a message",
            Self::TooManyRequests { .. } => "The hook takes no more deliveries right now; try again",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::Unavailable { .. } => "The delivery cannot be stored right now; try again",
        }
    }

    /// Builds the answer. `request_id` is the UUID that the request's log line carries too.
    ///
    /// ```
    /// use hookmq_shared::problem::Problem;
    ///
    /// let response = Problem::Unavailable { retry_after: 5 }.response("a-uuid");
    /// assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    ///
    /// let problem: serde_json::Value = serde_json::from_str(&response.body)?;
    /// assert_eq!(problem["type"], "urn:hookmq:problem:unavailable");
    /// assert_eq!(problem["instance"], "urn:uuid:a-uuid");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn response(self, request_id: &str) -> Response {
        let mut body = format!(
            r#"{{"type":"urn:hookmq:problem:{}","title":"{}","status":{},"instance":"#,
            self.name(),
            self.title(),
            self.status()
        );
        json::write_string(&mut body, &format!("urn:uuid:{request_id}"));
        body.push('}');
        let response = Response::new(self.status(), "application/problem+json", body);
        match self {
            Self::Unauthorized => response.with("www-authenticate", "Webhook"),
            Self::MethodNotAllowed(allow) => response.with("allow", allow),
            Self::Unavailable { retry_after } | Self::TooManyRequests { retry_after } => {
                response.with("retry-after", retry_after.to_string())
            }
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_and_names_the_request() {
        let response = Problem::Unavailable { retry_after: 5 }.response("1-\"2");
        assert_eq!(response.status, 503);
        assert_eq!(response.header("retry-after"), Some("5"));
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["type"], "urn:hookmq:problem:unavailable");
        assert_eq!(body["instance"], "urn:uuid:1-\"2");
        let limited = Problem::TooManyRequests { retry_after: 7 }.response("x");
        assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
        assert_eq!(Problem::MethodNotAllowed("POST").response("x").header("allow"), Some("POST"));
    }
}
