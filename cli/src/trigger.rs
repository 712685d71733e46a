//! A signed request as a trigger's event, or as HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::Headers;
use serde_json::{Map, Value, json};

/// The form in which a request is printed.
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

/// What is printed.
#[derive(Debug)]
pub(crate) struct Signed<'r> {
    pub method: &'r str,
    pub path: &'r str,
    pub raw_query: &'r str,
    pub headers: &'r Headers,
    pub body: &'r [u8],
    pub at: Timestamp,
}

const HOST: &str = "hooks.example.com";
const REQUEST_ID: &str = "c6af9ac6-7b61-41e6-9a41-93e8deadbeef";
const SOURCE_IP: &str = "203.0.113.9";

impl Signed<'_> {
    /// The request in that form, as bytes: an HTTP request's body may be anything.
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

    /// HTTP API and function URL.
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
        json!({
            "resource": "/{hook+}",
            "path": self.path,
            "httpMethod": self.method,
            "headers": self.joined_headers(),
            "multiValueHeaders": self.listed_headers(),
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
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
        let (headers, query) = if multi {
            (("multiValueHeaders", self.listed_headers()), "multiValueQueryStringParameters")
        } else {
            (("headers", self.joined_headers()), "queryStringParameters")
        };
        event[headers.0] = headers.1;
        event[query] = json!({});
        event
    }

    /// Text stays text, as a gateway hands it over; everything else is base64.
    fn body_text(&self) -> (String, bool) {
        match std::str::from_utf8(self.body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (STANDARD.encode(self.body), true),
        }
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
