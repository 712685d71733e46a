//! The vendors' real answers by class, which the program's own readers parse.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::net::answer::Answer;
use hookmq_shared::queue::{Class, Vendor};

use crate::rng::Rng;

/// Answers of one vendor's API.
pub(crate) struct Codes {
    pub(crate) vendor: Vendor,
    /// Builds the answer to a message that is stored under this id.
    pub(crate) stored: fn(&str) -> Answer,
    /// Draws an answer with an error of the class.
    refused: fn(Class, &mut Rng) -> Answer,
    /// Builds an error answer about a part that every request has.
    pub(crate) everywhere: fn() -> Answer,
    /// Body of a 200 answer of the API's form that names no message.
    nothing: &'static str,
}

pub(crate) static TDMQ: Codes = Codes {
    vendor: Vendor::Tdmq,
    stored: |id| answer(200, format!("{{\"Response\":{{\"MessageId\":\"{id}\",\"RequestId\":\"r\"}}}}")),
    refused: |class, rng| {
        let code = rng.pick(tdmq(class));
        answer(
            200,
            format!(
                "{{\"Response\":{{\"Error\":{{\"Code\":\"{code}\",\"Message\":\"m\"}},\"RequestId\":\"r\"}}}}"
            ),
        )
    },
    everywhere: || {
        let body = r#"{"Response":{"Error":{"Code":"UnsupportedRegion","Message":"m"},"RequestId":"r"}}"#;
        answer(200, body.to_owned())
    },
    nothing: "{\"Response\":{\"RequestId\":\"r\"}}",
};

pub(crate) static ROCKETMQ: Codes = Codes {
    vendor: Vendor::Rocketmq,
    stored: |id| answer(200, format!("{{\"msg_id\":\"{id}\",\"queue_id\":1}}")),
    refused: |class, rng| {
        let (status, code, text) = rng.pick(rocketmq(class));
        answer(status, format!("{{\"error_code\":\"{code}\",\"error_msg\":\"{text}\",\"request_id\":\"r\"}}"))
    },
    everywhere: || answer(404, r#"{"error_code":"DMS.00404022","error_msg":"no instance"}"#.to_owned()),
    nothing: "{\"queue_id\":1,\"message\":\"ok\"}",
};

impl Codes {
    /// Builds an error answer of the class.
    pub(crate) fn error(&self, class: Class, now: Timestamp, rng: &mut Rng) -> Answer {
        let mut answer = (self.refused)(class, rng);
        let mut header = |name: &'static str, text: String| {
            if let Ok(value) = text.parse() {
                answer.headers.insert(name, value);
            }
        };
        header("date", now.http_date());
        if class == Class::Throttle && rng.happens(400) {
            // Some vendors ask for a longer wait than is reasonable.
            header("retry-after", rng.pick(&["1", "2", "30", "900", "86400", "31536000"]).to_owned());
        }
        answer
    }

    /// Builds a 200 answer that names no message.
    pub(crate) fn lie(&self, rng: &mut Rng) -> Answer {
        let bodies = ["", "<html>welcome</html>", "{\"status\":\"ok\"}", self.nothing];
        answer(200, bodies[rng.below(4)].to_owned())
    }
}

fn answer(status: u16, body: String) -> Answer {
    Answer { status, body: body.into(), ..Answer::default() }
}

const fn tdmq(class: Class) -> &'static [&'static str] {
    match class {
        Class::TooLarge => &["FailedOperation.MaxMessageSizeError", "RequestSizeLimitExceeded"],
        Class::Permanent => &["InternalError.IllegalMessage"],
        Class::Config => {
            &["ResourceNotFound", "InvalidParameterValue.TopicNotFound", "FailedOperation.TopicTypeError"]
        }
        Class::Auth => &["AuthFailure.SignatureFailure", "AuthFailure.SecretIdNotFound"],
        Class::Permission => &["AuthFailure.UnauthorizedOperation", "UnauthorizedOperation"],
        Class::Quota => &["LimitExceeded", "ResourceUnavailable.FundRequired"],
        Class::AuthRefresh => &["AuthFailure.TokenFailure"],
        Class::ClockSkew => &["AuthFailure.SignatureExpire"],
        Class::Throttle => &["RequestLimitExceeded"],
        Class::Transient => &["ResourceUnavailable", "FailedOperation.CreateProducerError"],
        Class::Ambiguous => &["FailedOperation.SendMessageTimeoutError", "FailedOperation.SendMsgFailed"],
    }
}

/// Returns the possible statuses, codes and texts of a class.
const fn rocketmq(class: Class) -> &'static [(u16, &'static str, &'static str)] {
    match class {
        Class::TooLarge => &[(400, "DMS.10540011", "too large")],
        Class::Permanent => &[(400, "DMS.10240009", "message"), (400, "DMS.10540012", "message")],
        Class::Config => &[(404, "DMS.00404099", "no such topic"), (400, "DMS.00400950", "no such topic")],
        Class::Auth => &[(401, "APIG.0301", "verify aksk signature fail")],
        Class::Permission => &[(403, "DMS.00403001", "not for you")],
        Class::Quota => &[(400, "DMS.10240020", "full"), (402, "DMS.00402001", "pay")],
        Class::AuthRefresh => &[(401, "APIG.0307", "token")],
        Class::ClockSkew => &[(401, "APIG.0301", "signature expired")],
        Class::Throttle => &[(429, "DMS.00400973", "slow down"), (429, "APIG.0308", "slow down")],
        Class::Transient => &[(400, "DMS.00400017", "busy"), (409, "DMS.00409001", "conflict")],
        Class::Ambiguous => &[(504, "DMS.00504001", "time-out"), (408, "DMS.00408001", "time-out")],
    }
}

#[cfg(test)]
mod tests {
    use hookmq_shared::queue::failure::{Private, Scope};

    use super::*;

    #[test]
    fn each_answer_is_of_its_class() {
        let now = Timestamp::from_unix(1_772_323_200);
        for codes in [&TDMQ, &ROCKETMQ] {
            let spec = codes.vendor.spec();
            let read = |answer: &Answer| (spec.read)(answer, &Private::default());
            for seed in 0..20 {
                let mut rng = Rng::of(seed, 0);
                for class in Class::ALL {
                    let failure = read(&codes.error(class, now, &mut rng)).unwrap_err();
                    assert_eq!(failure.class, class, "{}", spec.name);
                }
                assert!(read(&codes.lie(&mut rng)).unwrap_err().unread, "{}", spec.name);
                assert!(read(&(codes.everywhere)()).unwrap_err().scope == Scope::Api, "{}", spec.name);
            }
            assert_eq!(read(&(codes.stored)("1:0:1")).unwrap().message_id, "1:0:1");
        }
    }
}
