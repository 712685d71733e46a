//! Tests of the identity of a delivery without an id from its sender: the same for a retry, different for
//! another message.

use std::collections::BTreeSet;

use hookmq_shared::clock::{Random, Timestamp};
use hookmq_shared::delivery::Delivery;
use hookmq_shared::http::Request;
use hookmq_shared::queue::Vendor;
use hookmq_shared::source::{Draft, Source, Verdict, preset_names};
use hookmq_shared::spill::Folder;

use crate::kit::source::{NOW, custom, pair, random, settings};

/// Time of a sender's retry; a timestamp of the first try is still valid then.
const LATER: Timestamp = Timestamp::from_unix(1_760_000_047);

fn check(verifier: &Source, request: Request, at: Timestamp) -> Delivery {
    match verifier.check("h", request, at) {
        Verdict::Verified(delivery) => *delivery,
        other => panic!("{other:?}"),
    }
}

fn deliver((verifier, signer): &(Source, Source), draft: Draft, at: Timestamp, random: &Random) -> Delivery {
    check(verifier, signer.sign(draft, 0, at, random).unwrap(), at)
}

fn name(delivery: &Delivery) -> String {
    Folder::Spill.name(&Vendor::Tdmq.into(), delivery)
}

#[test]
fn events_with_equal_bodies_are_several() {
    // The event is in a header field or in the query, and no field names the delivery.
    for preset in ["appwrite", "buildkite", "buildkite-token", "codeup", "gitee", "help-scout", "tencent-im"]
    {
        let (pair, random) = (pair(preset), random());
        let deliver = |event: &str| {
            let draft = Draft { event: Some(event.into()), body: Some("{}".into()), ..Draft::default() };
            deliver(&pair, draft, NOW, &random)
        };
        let deliveries = ["created", "updated", "deleted"].map(deliver);
        assert!(deliveries.iter().all(|delivery| !delivery.id_from_provider), "{preset}");
        let ids: BTreeSet<&str> = deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
        let names: BTreeSet<String> = deliveries.iter().map(name).collect();
        assert_eq!((ids.len(), names.len()), (3, 3), "{preset}");
    }
}

#[test]
fn subjects_with_equal_bodies_are_several() {
    let table = "kind = \"token\"\nfrom = \"header:t\"\nsubject = \"header:about\"";
    let source = custom(table, settings(&serde_json::json!(["k"]))).unwrap();
    let pair = (source.clone(), source);
    let about = |subject: Option<&str>| {
        let headers = subject.map(|subject| ("about".to_owned(), subject.to_owned())).into_iter().collect();
        deliver(&pair, Draft { headers, body: Some("{}".into()), ..Draft::default() }, NOW, &random())
    };
    let ids = [None, Some("a"), Some("b")].map(|subject| about(subject).id.clone());
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 3);
}

/// Presets with a time in the body, which the message carries: a body with another time is another message. A
/// sender that repeats its body gets the same id.
const TIMED_BODIES: [&str; 3] = ["pusher", "tencent-live-md5", "tencent-vod"];

#[test]
fn a_retry_has_the_id_of_the_first_try() {
    let mut queries = BTreeSet::new();
    for preset in preset_names().filter(|preset| !TIMED_BODIES.contains(preset)) {
        let (pair, random) = (pair(preset), random());
        let first = pair.1.sign(Draft::default(), 0, NOW, &random).unwrap();
        let one = check(&pair.0, first.clone(), NOW);
        if one.id_from_provider {
            continue;
        }
        let headers = [("x-retry-count".to_owned(), "1".to_owned())].into_iter().collect();
        let second = pair.1.sign(Draft { headers, ..Draft::default() }, 0, LATER, &random).unwrap();
        if first.raw_query != second.raw_query {
            queries.insert(preset);
        }
        let other = check(&pair.0, second, LATER);
        assert_eq!((&one.id, name(&one)), (&other.id, name(&other)), "{preset}");
    }
    // In these presets the retry has a new query, with time, nonce and signature.
    assert_eq!(queries.into_iter().collect::<Vec<_>>(), ["dingtalk", "tencent-im", "wechat-mp-plain"]);
}

#[test]
fn a_body_with_its_own_time_has_its_own_id() {
    for preset in TIMED_BODIES {
        let (pair, random) = (pair(preset), random());
        let first = pair.1.sign(Draft::default(), 0, NOW, &random).unwrap();
        let again = check(&pair.0, first.clone(), LATER);
        assert_eq!(check(&pair.0, first, NOW).id, again.id, "{preset}");
        assert_ne!(deliver(&pair, Draft::default(), LATER, &random).id, again.id, "{preset}");
    }
}

#[test]
fn what_is_encrypted_anew_is_the_same() {
    // Messages have an id, but the events of WeCom and WeChat have none.
    let event = "<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1</CreateTime>\
                 <MsgType>event</MsgType><Event>EVENT</Event></xml>";
    let json = "{\"EventType\":\"EVENT\",\"UserId\":[\"u\"]}";
    for (preset, body) in [("wecom", event), ("wechat-mp-secure", event), ("dingtalk", json)] {
        let (pair, random) = (pair(preset), random());
        let request = |event: &str, at| {
            let draft = Draft { body: Some(body.replace("EVENT", event).into()), ..Draft::default() };
            pair.1.sign(draft, 0, at, &random).unwrap()
        };
        let (first, second) = (request("subscribe", NOW), request("subscribe", LATER));
        assert!(first.body != second.body && first.raw_query != second.raw_query, "{preset}");
        let (one, other) = (check(&pair.0, first, NOW), check(&pair.0, second, LATER));
        assert!(!one.id_from_provider && one.event.as_deref() == Some("subscribe"), "{preset}");
        assert_eq!((&one.id, name(&one)), (&other.id, name(&other)), "{preset}");
        assert_ne!(check(&pair.0, request("unsubscribe", LATER), LATER).id, one.id, "{preset}");
    }
}

#[test]
fn the_query_is_no_part_of_it() {
    // In plain mode, only the query is signed.
    for (preset, event) in [("wechat-mp-plain", None), ("tencent-im", Some("C2C.CallbackAfterSendMsg"))] {
        let (pair, random) = (pair(preset), random());
        let ids = [(NOW, ""), (LATER, ""), (LATER, "ClientIP=127.0.0.1&openid=o1")].map(|(at, query)| {
            let draft = Draft {
                raw_query: query.to_owned(),
                event: event.map(str::to_owned),
                body: Some("<a/>".into()),
                ..Draft::default()
            };
            deliver(&pair, draft, at, &random).id.clone()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{preset}: {ids:?}");
    }
}
