//! Tests of `record`.

use super::*;
use crate::message::tests::delivery;

fn record() -> Record {
    let mut delivery = delivery(b"\xff\0{}", Some("text/plain"));
    delivery.content_mut().original = Some(Bytes::from_static(b"sealed"));
    delivery.content_mut().query = "a=b".into();
    let message = Message {
        id: delivery.id.clone(),
        topic: "a/b/c".into(),
        text: "text \u{1F600}".into(),
        key: Some("k".into()),
        tag: None,
        properties: vec![("CE_id".into(), delivery.id.clone())],
    };
    let now = Timestamp::from_unix_millis(1_760_000_000_123);
    Record::new(&Vendor::Rocketmq.into(), &delivery, Some(message), History::other("always", "", now))
}

#[test]
fn what_is_read_is_what_was_written() {
    let record = record();
    let again = Record::parse(&record.to_bytes()).unwrap();
    assert_eq!(again.message, record.message);
    assert_eq!((again.target(), &again.error), (Vendor::Rocketmq.into(), &record.error));
    let (one, other) = (&record.delivery, &again.delivery);
    assert_eq!((&one.body, &one.original, &one.headers), (&other.body, &other.original, &other.headers));
    assert_eq!(
        (one.received_at, one.coverage, &one.query),
        (other.received_at, other.coverage, &other.query)
    );
    assert_eq!(record.to_bytes(), again.to_bytes(), "every field");
}

#[test]
fn a_part_of_an_object_is_none() {
    let bytes = record().to_bytes();
    for length in 0..bytes.len() {
        assert_eq!(Record::parse(&bytes[..length]).err(), Some(RecordError::Malformed), "{length}");
    }
    let text = String::from_utf8(bytes.to_vec()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(Record::parse(text.as_bytes()).err(), Some(RecordError::Version(2)));
}

#[test]
fn failures_add_up() {
    let at = Timestamp::from_unix;
    let error = |attempts, now| History { errorattempts: attempts, ..History::other("x", "", at(now)) };
    let both = error(3, 20).after(&error(2, 10));
    assert_eq!((both.errorattempts, both.errorfirsttime, both.errorlasttime), (5, at(10), at(20)));
}
