//! Tests of secrets that change while a function runs.

use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::service::Service as _;
use hookmq_shared::source::{Draft, Settings, Source};

use crate::kit::rotation::{KEY, NEW, OLD, World, github, log, pass, signed, signed_as};
use crate::kit::source::{NOW, random, request};

#[tokio::test]
async fn a_new_secret_is_read_by_the_first_delivery_that_needs_it() {
    let secrets = r#""plain:another-secret-0123456789", "file:DIR/s""#;
    let world = World::start(&[("s", OLD)], &github("changed", secrets)).await;
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 200);
    world.write("s", NEW);
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 200, "nothing asks for the new one yet");
    // Of many requests at once, one reads the secret, and the others wait for it.
    let calls = (0..4).map(|_| {
        let gateway = world.gateway.clone();
        tokio::spawn(async move { gateway.call(signed("changed", NEW)).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 401, "it is configured no more");

    let log = log("changed");
    let told = log.iter().filter(|line| line.contains("the secrets were read again and have changed"));
    assert_eq!(told.count(), 1, "{log:?}");
    assert_eq!(log.iter().filter(|line| line.contains("\"secret\":1")).count(), 6, "{log:?}");
}

#[tokio::test]
async fn forged_requests_read_once_in_thirty_seconds() {
    let hooks = [github("flood", r#""file:DIR/s""#), github("calm", r#""file:DIR/s""#)].concat();
    let world = World::start(&[("s", OLD)], &hooks).await;
    assert_eq!(world.deliver(&signed("flood", "forged-0123456789")).await, 401);
    world.write("s", NEW);
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 401, "it was read a moment ago");
    assert_eq!(world.deliver(&signed("calm", NEW)).await, 200, "each hook for itself");
    pass(29).await;
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 401);
    pass(2).await;
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 200);
}

#[tokio::test]
async fn what_no_secret_cures_reads_nothing() {
    let hooks = "[hooks.precise]\nsource = \"standard-webhooks\"\ntopic = \"a/b/c\"\n\
                 secrets = [\"file:DIR/s\"]\n";
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let world = World::start(&[("s", KEY)], hooks).await;
    let good = |secret| signed_as("standard-webhooks", "precise", secret);
    let whole = good(KEY);
    let others = whole.headers.iter().filter(|(name, _)| *name != "webhook-signature");
    let headers = others.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let unsigned = Request { headers, ..whole.clone() };
    let settings = Settings { secrets: vec![Secret::new(KEY)], ..Settings::default() };
    let draft = Draft { path: "/precise".to_owned(), ..Draft::default() };
    let signer = Source::preset("standard-webhooks", settings).unwrap();
    let stale = signer.sign(draft, 0, NOW.shifted(-3_600_000), &random()).unwrap();
    for refused in [unsigned, stale] {
        assert_eq!(world.deliver(&refused).await, 401);
    }
    world.write("s", other);
    assert_eq!(world.deliver(&good(other)).await, 200, "it was not read for them");
}

#[tokio::test]
async fn a_broken_secret_never_replaces_a_sound_one() {
    let hooks = "[hooks.robust]\nsource = \"standard-webhooks\"\ntopic = \"a/b/c\"\n\
                 secrets = [\"file:DIR/a\", \"file:DIR/b\"]\n";
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let world = World::start(&[("a", KEY), ("b", KEY)], hooks).await;
    let good = |secret| signed_as("standard-webhooks", "robust", secret);
    for (broken, told) in [
        ("", "the secret is empty"),
        (" \n", "the secret is empty"),
        ("hookmq-sample-bearer-token", "this is a sample secret"),
        ("whsec_this is not base64", "is not a key of this source"),
    ] {
        world.write("a", broken);
        world.write("b", broken);
        let answer = world.deliver(&good(other)).await;
        assert_eq!(answer, 503, "{broken:?}: the sender may have a newer one, and is to come again");
        assert!(log("robust").iter().any(|line| line.contains(told)), "{told}");
        assert_eq!(world.deliver(&good(KEY)).await, 200, "{broken:?}");
        pass(31).await;
    }
    std::fs::remove_file(world.path("a")).unwrap();
    assert_eq!(world.deliver(&good(other)).await, 503);
    assert_eq!(world.deliver(&good(KEY)).await, 200);
    pass(31).await;
    // A secret that cannot be read does not prevent the change of another one.
    world.write("b", other);
    assert_eq!(world.deliver(&good(other)).await, 200);
    assert_eq!(world.deliver(&good(KEY)).await, 200);
}

#[tokio::test]
async fn parameters_change_too() {
    let hooks = "[hooks.feishu]\nsource = \"feishu\"\ntopic = \"a/b/c\"\nsecrets = [\"plain:an-encrypt-key-01234\"]\n\
                 params = { verification_token = \"file:DIR/token\" }\n";
    let world = World::start(&[("token", OLD)], hooks).await;
    let challenge = |token: &str| {
        let body = format!(r#"{{"challenge":"c-1","token":"{token}","type":"url_verification"}}"#);
        let headers = serde_json::json!([["content-type", "application/json"]]);
        Request { path: "/feishu".to_owned(), ..request("POST", &headers, body.into_bytes()) }
    };
    assert_eq!(world.deliver(&challenge(OLD)).await, 200);
    world.write("token", NEW);
    assert_eq!(world.deliver(&challenge(NEW)).await, 200);
    assert_eq!(world.deliver(&challenge(OLD)).await, 401);
}

#[tokio::test]
async fn one_of_several_verifiers_gets_its_new_secret() {
    let hooks = "[hooks.several]\ntopic = \"a/b/c\"\nsecrets = [\"plain:the-first-token-0123\", \"file:DIR/s\"]\n\
                 [hooks.several.verify]\nkind = \"any\"\nverify = [\n\
                 { kind = \"token\", from = \"header:X-A\", secrets = [0] },\n\
                 { kind = \"token\", from = \"header:X-B\", secrets = [1] },\n]\n";
    let world = World::start(&[("s", OLD)], hooks).await;
    let with = |header: &str, token: &str| {
        let headers: Headers = [(header.to_owned(), token.to_owned())].into_iter().collect();
        let request = request("POST", &serde_json::json!([]), b"{}".to_vec());
        Request { path: "/several".to_owned(), headers, ..request }
    };
    assert_eq!(world.deliver(&with("x-b", OLD)).await, 200);
    world.write("s", NEW);
    assert_eq!(world.deliver(&with("x-b", NEW)).await, 200);
    assert_eq!(world.deliver(&with("x-a", "the-first-token-0123")).await, 200);
    assert_eq!(world.deliver(&with("x-b", OLD)).await, 401);
}

/// A replaced secret is refused even on a quiet hook, where no refused request triggers a reading of the new
/// secret.
#[tokio::test]
async fn a_replaced_secret_is_refused_on_a_quiet_hook() {
    for (hook, quiet) in [("quiet-5", 240), ("quiet-60", 3600), ("quiet-days", 200_000)] {
        let world = World::start(&[("s", OLD)], &github(hook, r#""file:DIR/s""#)).await;
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 200);
        world.write("s", NEW);
        pass(quiet).await;
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 401, "{hook}");
        assert_eq!(world.deliver(&signed(hook, NEW)).await, 200, "{hook}");
    }
}

#[tokio::test]
async fn a_replaced_secret_is_refused_on_a_busy_hook() {
    let world = World::with_slow_queue(&[("s", OLD)], &github("busy", r#""file:DIR/s""#)).await;
    world.write("s", NEW);
    let mut accepted = 0;
    while world.deliver(&signed("busy", OLD)).await == 200 {
        accepted += 10;
        pass(10).await;
    }
    assert!((110..=160).contains(&accepted), "read beside a delivery after two minutes: {accepted}");
}

#[tokio::test]
async fn a_parameter_and_one_of_two_secrets_grow_old_too() {
    let feishu = "[hooks.old-token]\nsource = \"feishu\"\ntopic = \"a/b/c\"\nsecrets = [\"plain:an-encrypt-key-01234\"]\n\
                  params = { verification_token = \"file:DIR/token\" }\n";
    let hooks =
        [feishu, &github("old-second", r#""plain:another-secret-0123456789", "file:DIR/token""#)].concat();
    let world = World::start(&[("token", OLD)], &hooks).await;
    world.write("token", NEW);
    pass(240).await;
    let body = format!(r#"{{"challenge":"c-1","token":"{OLD}","type":"url_verification"}}"#);
    let headers = serde_json::json!([["content-type", "application/json"]]);
    let challenge = Request { path: "/old-token".to_owned(), ..request("POST", &headers, body.into_bytes()) };
    assert_eq!(world.deliver(&challenge).await, 401);
    assert_eq!(world.deliver(&signed("old-second", OLD)).await, 401);
    assert_eq!(world.deliver(&signed("old-second", "another-secret-0123456789")).await, 200);
}

/// Returns true if `/_/ready` reports that the hook's secrets cannot be read.
fn is_told(world: &World) -> bool {
    let readiness = world.gateway.readiness();
    assert!(readiness.is_ready(), "only a request has them read again");
    format!("{readiness:?}").contains("the hook's secrets cannot be read")
}

/// A secret is used for ten minutes after its file was deleted, emptied or filled with an invalid value.
#[tokio::test]
async fn a_secret_that_is_gone_is_used_for_ten_minutes() {
    for (hook, left) in [("gone", None), ("blank", Some(" ")), ("sample", Some("hookmq-sample-bearer-token"))]
    {
        let world = World::start(&[("s", OLD)], &github(hook, r#""file:DIR/s""#)).await;
        match left {
            None => std::fs::remove_file(world.path("s")).unwrap(),
            Some(text) => world.write("s", text),
        }
        pass(500).await;
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 200, "{hook}: somebody may be about to write it");
        assert!(log(hook).iter().any(|line| line.contains("the old one stays in use")), "{hook}");
        assert!(!is_told(&world), "{hook}: it serves");
        let before = log(hook).len();
        pass(101).await;
        assert!(is_told(&world), "{hook}: known without a request");
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 503, "{hook}");
        pass(6).await;
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 503, "{hook}");
        let since = log(hook).split_off(before);
        assert!(!since.iter().any(|line| line.contains("the old one stays")), "{since:?}");
        assert!(since.iter().any(|line| line.contains("too old to be used any longer")), "{since:?}");
        let stopped = since.iter().filter(|line| line.contains("the hook serves nothing until"));
        assert_eq!(stopped.count(), 1, "{since:?}");
        world.write("s", NEW);
        assert_eq!(world.deliver(&signed(hook, NEW)).await, 503, "{hook}: it was read a moment ago");
        pass(5).await;
        assert_eq!(world.deliver(&signed(hook, OLD)).await, 401, "{hook}");
        assert_eq!(world.deliver(&signed(hook, NEW)).await, 200, "{hook}");
        let again = log(hook).into_iter().filter(|line| line.contains("the hook serves again"));
        assert_eq!(again.count(), 1, "{hook}");
        assert!(!is_told(&world), "{hook}");
    }
}
