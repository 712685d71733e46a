//! Signed requests as events of a trigger or as HTTP: printing and reading.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum as _;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::host::cloud::AWS;
use hookmq_shared::host::trigger::{self, Invocation};
use hookmq_shared::http::{Headers, Request};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// Output form of a signed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Trigger {
    /// API Gateway HTTP API, payload 2.0
    HttpApi,
    /// API Gateway REST API, payload 1.0
    RestApi,
    /// Lambda function URL
    FunctionUrl,
    /// Application Load Balancer, single-value headers
    Alb,
    /// Application Load Balancer, multi-value headers
    AlbMulti,
    /// An HTTP/1.1 request
    Http,
}

impl Trigger {
    /// Returns the trigger whose name ends the file name of a sample event.
    pub(crate) fn of_event(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".json")?;
        let is_its = |trigger: &&Self| {
            trigger.to_possible_value().is_some_and(|value| stem.ends_with(&format!("-{}", value.get_name())))
        };
        Self::value_variants().iter().find(is_its).copied()
    }
}

/// A signed request, ready to be printed.
#[derive(Debug)]
pub(crate) struct Signed<'r> {
    pub method: &'r str,
    pub path: &'r str,
    pub raw_query: &'r str,
    pub headers: &'r Headers,
    pub body: &'r [u8],
    pub at: Timestamp,
}

/// Parses a request from any of the printed forms: an event of a trigger, or HTTP/1.1.
pub(crate) fn read(text: &[u8]) -> Result<Request, String> {
    if text.first() == Some(&b'{') {
        let invocation = Invocation { request_id: String::new(), deadline: None };
        let incoming = trigger::read_bytes(&AWS, text, invocation).map_err(|e| e.to_string())?;
        return incoming.request.map_err(|refusal| refusal.body);
    }
    http(text).ok_or_else(|| "standard input is neither an HTTP/1.1 request nor a trigger's event".to_owned())
}

fn http(text: &[u8]) -> Option<Request> {
    let mut rest = text;
    let mut line = || {
        let (line, tail) = rest.split_at(rest.iter().position(|b| *b == b'\n')?);
        rest = tail.get(1..)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    };
    let start = std::str::from_utf8(line()?).ok()?;
    let [method, target, "HTTP/1.1"] = start.split(' ').collect::<Vec<_>>()[..] else { return None };
    let mut headers = Headers::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':')?);
        let value = Bytes::copy_from_slice(value.get(1..)?.trim_ascii());
        headers.push(std::str::from_utf8(name).ok()?, value);
    }
    // A shell may add bytes after the body, which `content-length` cuts off.
    let length = headers.one_str("content-length").and_then(|length| length.parse().ok());
    let body = length.and_then(|length| rest.get(..length)).unwrap_or(rest);
    let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        raw_query: raw_query.to_owned(),
        headers,
        body: Bytes::copy_from_slice(body),
        request_id: String::new(),
        received: tokio::time::Instant::now(),
        source_ip: None,
        deadline: None,
    })
}

const HOST: &str = "hooks.example.com";
const REQUEST_ID: &str = "c6af9ac6-7b61-41e6-9a41-93e8deadbeef";
const SOURCE_IP: &str = "203.0.113.9";

impl Signed<'_> {
    /// Formats the request for the trigger, as bytes, because the body of an HTTP request need not be text.
    pub(crate) fn print(&self, trigger: Trigger) -> Vec<u8> {
        let event = match trigger {
            Trigger::Http => return self.http(),
            Trigger::HttpApi => {
                self.payload_2("api-id.execute-api.eu-central-1.amazonaws.com", "ANY /{hook+}")
            }
            Trigger::FunctionUrl => self.payload_2("url-id.lambda-url.eu-central-1.on.aws", "$default"),
            Trigger::RestApi => self.rest_api(),
            Trigger::Alb => self.alb(false),
            Trigger::AlbMulti => self.alb(true),
        };
        format!("{event:#}\n").into_bytes()
    }

    fn http(&self) -> Vec<u8> {
        let query = if self.raw_query.is_empty() { String::new() } else { format!("?{}", self.raw_query) };
        let mut out =
            format!("{} {}{query} HTTP/1.1\r\nhost: {HOST}\r\n", self.method, self.path).into_bytes();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "host") {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(self.body);
        out
    }

    /// Builds the payload 2.0 event of an HTTP API or a function URL.
    fn payload_2(&self, domain: &str, route: &str) -> Value {
        let (body, is_base64) = self.body_text();
        json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": self.path,
            "rawQueryString": self.raw_query,
            "headers": self.joined_headers(),
            "requestContext": {
                "accountId": "123456789012",
                "apiId": domain.split('.').next(),
                "domainName": domain,
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": SOURCE_IP,
                    "userAgent": "sample",
                },
                "requestId": REQUEST_ID,
                "routeKey": route,
                "stage": "$default",
                "timeEpoch": self.at.unix_millis(),
            },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    fn rest_api(&self) -> Value {
        let (body, is_base64) = self.body_text();
        let has_query = !self.raw_query.is_empty();
        json!({
            "resource": "/{hook+}",
            "path": self.path,
            "httpMethod": self.method,
            "headers": self.joined_headers(),
            "multiValueHeaders": self.listed_headers(),
            "queryStringParameters": has_query.then(|| self.query(true).into_iter().collect::<Value>()),
            "multiValueQueryStringParameters": has_query.then(|| self.listed_query(true)),
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "api-id",
                "httpMethod": self.method,
                "identity": { "sourceIp": SOURCE_IP },
                "path": format!("/prod{}", self.path),
                "requestId": REQUEST_ID,
                "requestTimeEpoch": self.at.unix_millis(),
                "stage": "prod",
            },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    fn alb(&self, multi: bool) -> Value {
        let (body, is_base64) = self.body_text();
        let group =
            "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/hooks/0123456789abcdef";
        let mut event = json!({
            "requestContext": { "elb": { "targetGroupArn": group } },
            "httpMethod": self.method,
            "path": self.path,
            "body": body,
            "isBase64Encoded": is_base64,
        });
        if multi {
            event["multiValueHeaders"] = self.listed_headers();
            event["multiValueQueryStringParameters"] = self.listed_query(false);
        } else {
            event["headers"] = self.joined_headers();
            event["queryStringParameters"] = self.query(false).into_iter().collect();
        }
        event
    }

    /// Returns the body as text if it is UTF-8, as a gateway does, else in base64; true stands for base64.
    fn body_text(&self) -> (String, bool) {
        match std::str::from_utf8(self.body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (STANDARD.encode(self.body), true),
        }
    }

    /// Returns the pairs of the query: decoded, as a REST API passes them, or raw, as a load balancer does.
    fn query(&self, decoded: bool) -> Vec<(String, String)> {
        let text = |text: &str| {
            if decoded { percent_decode_str(text).decode_utf8_lossy().into_owned() } else { text.to_owned() }
        };
        let pairs = self.raw_query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(n, v)| (text(n), text(v)))
            .collect()
    }

    fn listed_query(&self, decoded: bool) -> Value {
        let mut map = Map::new();
        for (name, value) in self.query(decoded) {
            let values = map.entry(name).or_insert_with(|| json!([]));
            values.as_array_mut().into_iter().for_each(|values| values.push(value.clone().into()));
        }
        Value::Object(map)
    }

    fn joined_headers(&self) -> Value {
        let mut map = Map::new();
        for (name, values) in self.header_values() {
            map.insert(name, Value::from(values.join(",")));
        }
        Value::Object(map)
    }

    fn listed_headers(&self) -> Value {
        Value::Object(self.header_values().into_iter().map(|(name, values)| (name, json!(values))).collect())
    }

    fn header_values(&self) -> Vec<(String, Vec<String>)> {
        let mut fields: Vec<(String, Vec<String>)> = vec![("host".to_owned(), vec![HOST.to_owned()])];
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "host") {
            let value = String::from_utf8_lossy(value).into_owned();
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => fields.push((name.to_owned(), vec![value])),
            }
        }
        fields
    }
}
