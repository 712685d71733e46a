//! The vendors' real answers by class, which the program's own readers parse.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::net::answer::Answer;
use hookmq_shared::queue::{Class, Vendor};

use crate::rng::Rng;

/// Builds the answer to a message that is stored under this id.
pub(crate) fn stored(vendor: Vendor, id: &str) -> Answer {
    match vendor {
        Vendor::Tdmq => {
            answer(200, format!("{{\"Response\":{{\"MessageId\":\"{id}\",\"RequestId\":\"r\"}}}}"))
        }
        Vendor::Rocketmq => answer(200, format!("{{\"msg_id\":\"{id}\",\"queue_id\":1}}")),
    }
}

/// Builds an error answer of the class.
pub(crate) fn error(vendor: Vendor, class: Class, now: Timestamp, rng: &mut Rng) -> Answer {
    let mut answer = match vendor {
        Vendor::Tdmq => {
            let code = rng.pick(tdmq(class));
            answer(
                200,
                format!(
                    "{{\"Response\":{{\"Error\":{{\"Code\":\"{code}\",\"Message\":\"m\"}},\"RequestId\":\"r\"}}}}"
                ),
            )
        }
        Vendor::Rocketmq => {
            let (status, code, text) = rng.pick(rocketmq(class));
            answer(
                status,
                format!("{{\"error_code\":\"{code}\",\"error_msg\":\"{text}\",\"request_id\":\"r\"}}"),
            )
        }
    };
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

/// Builds an error answer about a part that every request has.
pub(crate) fn everywhere(vendor: Vendor) -> Answer {
    match vendor {
        Vendor::Tdmq => answer(
            200,
            r#"{"Response":{"Error":{"Code":"UnsupportedRegion","Message":"m"},"RequestId":"r"}}"#.to_owned(),
        ),
        Vendor::Rocketmq => {
            answer(404, r#"{"error_code":"DMS.00404022","error_msg":"no instance"}"#.to_owned())
        }
    }
}

/// Builds a 200 answer that names no message.
pub(crate) fn lie(vendor: Vendor, rng: &mut Rng) -> Answer {
    let foreign = ["", "<html>welcome</html>", "{\"status\":\"ok\"}"];
    match (rng.below(4), vendor) {
        (3, Vendor::Tdmq) => answer(200, "{\"Response\":{\"RequestId\":\"r\"}}".to_owned()),
        (3, Vendor::Rocketmq) => answer(200, "{\"queue_id\":1,\"message\":\"ok\"}".to_owned()),
        (at, _) => answer(200, foreign[at].to_owned()),
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
    use hookmq_shared::queue::failure::Scope;

    use super::*;
    use hookmq_shared::queue::{rocketmq, tdmq};

    #[test]
    fn each_answer_is_of_its_class() {
        let now = Timestamp::from_unix(1_772_323_200);
        for seed in 0..20 {
            let mut rng = Rng::of(seed, 0);
            for class in Class::ALL {
                let read = tdmq::wire::read(&error(Vendor::Tdmq, class, now, &mut rng), &[]);
                assert_eq!(read.unwrap_err().class, class, "tdmq");
                let read = rocketmq::wire::read(&error(Vendor::Rocketmq, class, now, &mut rng), &[]);
                assert_eq!(read.unwrap_err().class, class, "rocketmq");
            }
            assert!(tdmq::wire::read(&lie(Vendor::Tdmq, &mut rng), &[]).unwrap_err().unread);
            assert!(rocketmq::wire::read(&lie(Vendor::Rocketmq, &mut rng), &[]).unwrap_err().unread);
            assert!(tdmq::wire::read(&everywhere(Vendor::Tdmq), &[]).unwrap_err().scope == Scope::Api);
            assert!(
                rocketmq::wire::read(&everywhere(Vendor::Rocketmq), &[]).unwrap_err().scope == Scope::Api
            );
        }
        assert_eq!(tdmq::wire::read(&stored(Vendor::Tdmq, "1:0:1"), &[]).unwrap().message_id, "1:0:1");
        assert_eq!(
            rocketmq::wire::read(&stored(Vendor::Rocketmq, "1:0:1"), &[]).unwrap().message_id,
            "1:0:1"
        );
    }
}
