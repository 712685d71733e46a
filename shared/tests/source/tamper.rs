//! Tests of deliberately broken requests: each is rejected for the broken part, and has no other defect.

use hookmq_shared::source::{
    Draft, Rejection, STALE, SignError, Tamper, VerifyOutcome, VerifyStep, preset_info, preset_names,
};

use crate::kit::source::{NOW, custom, pair, random, settings};

fn draft(tamper: Tamper) -> Draft {
    Draft { tamper: Some(tamper), ..Draft::default() }
}

#[test]
fn every_tampered_request_is_refused() {
    for name in preset_names() {
        let info = preset_info(name).unwrap();
        let (verifier, signer) = pair(name);
        for tamper in Tamper::ALL {
            // The kind does not tell for another private key, or for several verifiers.
            let applies = match (tamper, info.kind) {
                (Tamper::Body, _) => Some(info.covers_body),
                (Tamper::Timestamp, _) => Some(info.max_age.is_some()),
                (_, "none" | "network") | (Tamper::Signature, "token") => Some(false),
                (_, "any" | "all") | (Tamper::Secret, "ecdsa" | "rsa" | "jwt") => None,
                _ => Some(true),
            };
            let request = match signer.sign(draft(tamper), 0, NOW, &random()) {
                Ok(request) => request,
                Err(error) => {
                    assert_eq!(error, SignError::Tamper(tamper), "{name}");
                    assert_ne!(applies, Some(true), "{name} {tamper:?}");
                    continue;
                }
            };
            assert_ne!(applies, Some(false), "{name} {tamper:?}");
            let outcome = verifier.explain(&request, NOW).outcome;
            let VerifyOutcome::Rejected(step, rejection) = outcome else {
                panic!("{name} {tamper:?}: {outcome:?}")
            };
            match tamper {
                Tamper::Signature => {
                    assert_eq!((step, rejection), (VerifyStep::Signature, Rejection::NoMatch), "{name}");
                }
                Tamper::Timestamp => {
                    // A token contains its own time of issue.
                    let at = if info.kind == "jwt" { VerifyStep::Token } else { VerifyStep::Timestamp };
                    assert_eq!((step, rejection), (at, Rejection::Stale), "{name}");
                    let millis = i64::try_from((STALE + info.max_age.unwrap()).as_millis()).unwrap();
                    let then = verifier.explain(&request, NOW.shifted(-millis)).outcome;
                    assert_eq!(then, VerifyOutcome::Verified(Some(0)), "{name}: valid, only too old");
                }
                Tamper::Secret => assert_eq!(rejection, Rejection::NoMatch, "{name}"),
                Tamper::Body => {}
            }
        }
    }
}

/// A tampered body differs in one bit: with that bit flipped back, the request is valid again.
#[test]
fn a_tampered_body_differs_in_one_bit() {
    for name in preset_names().filter(|name| preset_info(name).unwrap().covers_body) {
        let (verifier, signer) = pair(name);
        let request = signer.sign(draft(Tamper::Body), 0, NOW, &random()).unwrap();
        let is_valid = |place: usize| {
            let mut request = request.clone();
            let mut body = request.body.to_vec();
            body[place] ^= 1;
            request.body = body.into();
            !matches!(verifier.explain(&request, NOW).outcome, VerifyOutcome::Rejected(..))
        };
        assert_eq!((0..request.body.len()).filter(|place| is_valid(*place)).count(), 1, "{name}");
    }
}

#[test]
fn what_cannot_be_broken_says_why() {
    let (_, github) = pair("github");
    let empty = Draft { body: Some("".into()), ..draft(Tamper::Body) };
    assert_eq!(github.sign(empty, 0, NOW, &random()).unwrap_err(), SignError::Tamper(Tamper::Body));
    let error = github.sign(draft(Tamper::Timestamp), 0, NOW, &random()).unwrap_err();
    assert_eq!(error.to_string(), "timestamp cannot be broken: this source has no timestamp to set back");
    // A timestamp in the user's own body cannot be set back.
    let table = r#"
        kind = "hmac"
        hash = "sha256"
        signature = { from = "header:S", encoding = "hex" }
        signed = ["{body}"]
        timestamp = { from = "json:at", unit = "s" }
    "#;
    let source = custom(table, settings(&serde_json::json!(["key"]))).unwrap();
    let body = format!(r#"{{"at":{}}}"#, NOW.unix());
    let own = |tamper| Draft { body: Some(body.clone().into()), ..draft(tamper) };
    let error = |tamper| source.sign(own(tamper), 0, NOW, &random()).err();
    assert_eq!(error(Tamper::Timestamp), Some(SignError::Tamper(Tamper::Timestamp)));
    assert_eq!(error(Tamper::Secret), Some(SignError::Tamper(Tamper::Secret)), "no preset");
    assert_eq!(error(Tamper::Body), None);
}
