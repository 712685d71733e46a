//! Refusals, as RFC 9457 problem documents.

use crate::http::Response;
use crate::json;

/// What went wrong, from the sender's point of view (contract 2.4).
///
/// A sender learns the kind and the request's id, nothing else: causes are in the log. Only faults
/// of the request are 4xx, and the 429 that a hook asks for; each fault of ours is a 503, because
/// senders drop what got a 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The request cannot be read: broken framing, wrong base64.
    Malformed,
    /// Missing, wrong or stale signature: one same answer for each.
    Unauthorized,
    /// The same, or a handshake's token is wrong, for senders that want this status.
    Forbidden,
    /// No hook at this path.
    NotFound,
    /// The hook exists, the method is not one of these.
    MethodNotAllowed(&'static str),
    /// The body did not arrive in time.
    Timeout,
    /// Over the hook's `max_body`, or over what the queue takes.
    TooLarge,
    /// Verified, but cannot become a message.
    Unprocessable,
    /// Over the hook's rate, for senders that want this status; try again after so many seconds.
    TooManyRequests {
        /// Seconds for `Retry-After`.
        retry_after: u32,
    },
    /// Too many or too large header fields.
    HeadersTooLarge,
    /// Our own fault, or the vendor's; try again after so many seconds.
    Unavailable {
        /// Seconds for `Retry-After`.
        retry_after: u32,
    },
}

impl Problem {
    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::TooManyRequests { .. } => 429,
            Self::HeadersTooLarge => 431,
            Self::Unavailable { .. } => 503,
        }
    }

    /// The stable name in `type`, `urn:hookmq:problem:NAME`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "no-such-hook",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::Timeout => "request-timeout",
            Self::TooLarge => "too-large",
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
            Self::Unprocessable => "The delivery cannot become a message",
            Self::TooManyRequests { .. } => "The hook takes no more deliveries right now; try again",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::Unavailable { .. } => "The delivery cannot be stored right now; try again",
        }
    }

    /// The answer. `request_id` is a UUID: the log line of this request carries the same.
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
