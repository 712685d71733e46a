//! Forms of the answers that the triggers expect.

use std::collections::BTreeMap;

use aws_lambda_events::alb::AlbTargetGroupResponse;
use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::Trigger;
use crate::host::header_map;
use crate::http::Response;

/// Return value of the function for one request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "named as the triggers are")]
pub enum TriggerAnswer {
    HttpApi(ApiGatewayV2httpResponse),
    RestApi(ApiGatewayProxyResponse),
    Alb(AlbTargetGroupResponse),
    Plain(Plain),
}

/// Answer for SCF, FunctionGraph and VPC Lattice. FunctionGraph needs all four members, and VPC Lattice takes
/// a description of the status too.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plain {
    is_base64_encoded: bool,
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    headers: BTreeMap<&'static str, String>,
    body: String,
}

impl Trigger {
    /// Renders the answer in this trigger's form: bodies as text, header fields in the same one of the two
    /// maps as in the event (an ALB refuses the other one).
    pub fn answer(self, response: &Response) -> TriggerAnswer {
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let status_code = i64::from(status.as_u16());
        let headers = header_map(response);
        let body = Some(Body::Text(response.body.clone()));
        match self {
            Self::HttpApi => {
                let mut answer = ApiGatewayV2httpResponse::default();
                (answer.status_code, answer.headers, answer.body) = (status_code, headers, body);
                TriggerAnswer::HttpApi(answer)
            }
            Self::RestApi { multi_value } => {
                let mut answer = ApiGatewayProxyResponse::default();
                (answer.status_code, answer.body) = (status_code, body);
                (answer.headers, answer.multi_value_headers) = split(headers, multi_value);
                TriggerAnswer::RestApi(answer)
            }
            Self::Plain | Self::Lattice => {
                // As for other triggers, an invalid header field is left out.
                let is_field = |value: &str| value.bytes().all(|b| (b' '..=b'~').contains(&b));
                let mut headers = BTreeMap::new();
                for (name, value) in response.headers.iter().filter(|(_, value)| is_field(value)) {
                    headers.insert(*name, value.clone());
                }
                TriggerAnswer::Plain(Plain {
                    is_base64_encoded: false,
                    status_code: status.as_u16(),
                    status_description: (self == Self::Lattice).then(|| status.to_string()),
                    headers,
                    body: response.body.clone(),
                })
            }
            Self::Alb { multi_value } => {
                let mut answer = AlbTargetGroupResponse::default();
                (answer.status_code, answer.body) = (status_code, body);
                (answer.headers, answer.multi_value_headers) = split(headers, multi_value);
                answer.status_description = Some(status.to_string());
                TriggerAnswer::Alb(answer)
            }
        }
    }
}

fn split(headers: HeaderMap, multi_value: bool) -> (HeaderMap, HeaderMap) {
    if multi_value { (HeaderMap::new(), headers) } else { (headers, HeaderMap::new()) }
}
