//! Trials: a sample event as its provider would send it now, a forged twin, and the expected result of each.

use std::error::Error;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::host::trigger::{self, Invocation};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{Draft, Source, Verdict, preset_info};

use crate::samples::{Expect, Sample};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A request for one forwarder, with its expected result.
#[derive(Debug)]
pub(crate) struct Trial {
    pub hook: String,
    pub request: Request,
    /// Expected data of the message: the request's body, without any token that stands in it.
    pub carried: String,
    pub status: u16,
    pub stored: bool,
}

/// Makes the trials of a sample event: the event as its provider would send it now, and its forged twin.
pub(crate) fn trials(event: &str, expect: Expect) -> Fallible<Vec<Trial>> {
    let invocation = Invocation { request_id: String::new(), deadline: None };
    let incoming = trigger::read(event, invocation)?;
    let request = incoming.request.map_err(|refusal| refusal.body)?;
    let hook = request.path.strip_prefix("/tdmq/").ok_or("its path is not /tdmq/HOOK")?.to_owned();
    let sample = Sample::of(&hook).ok_or("its hook does not belong to a sample")?;
    let info = preset_info(&hook)?;
    let signer = sample.signer().ok_or("its sample secret does not fit the preset")?;
    // An event with a timestamp is too old by now; all others stay valid as they are stored.
    let request = match (info.max_age, expect) {
        // The timestamp may stand in the body, so the sample is filled in again.
        (Some(_), Expect::Stored) => sign(&signer, None)?,
        (Some(_), Expect::Handshake) if info.kind != "digest" => sign(&signer, Some(request.body))?,
        _ => request,
    };
    let status = signer.ack_status();
    let stored = expect == Expect::Stored;
    let mut carried = String::from_utf8(request.body.to_vec())?;
    if signer.decrypts()
        && let Verdict::Verified(event) = signer.check(&hook, request.clone(), Clock::system().now())
    {
        carried = String::from_utf8(event.body.to_vec())?;
    }
    if info.kind == "token" {
        carried = carried.replace(sample.secret, "[verified]");
    }
    let mut trials = vec![Trial { hook: hook.clone(), request: request.clone(), carried, status, stored }];
    if info.kind != "none" && stored {
        let request = forge(sample, request, info.covers_body)?;
        trials.push(Trial { hook, request, carried: String::new(), status: 401, stored: false });
    }
    Ok(trials)
}

fn sign(signer: &Source, body: Option<Bytes>) -> Fallible<Request> {
    let draft = Draft { body, ..Draft::default() };
    Ok(signer.sign(draft, 0, Clock::system().now(), &Random::system())?)
}

/// Forges a request: changes its body if the signature covers it, else its token.
fn forge(sample: &Sample, request: Request, covers_body: bool) -> Fallible<Request> {
    if covers_body {
        let body = [&request.body[..], b" "].concat().into();
        return Ok(Request { body, ..request });
    }
    let wrong = Sample { secret: "hookmq:not-the-secret", ..*sample };
    let signer = wrong.signer().ok_or("cannot forge")?;
    let headers: Headers = [("content-type", "application/json")].into_iter().collect();
    let draft = Draft { body: Some(request.body), headers, ..Draft::default() };
    match signer.sign(draft, 0, Clock::system().now(), &Random::system()) {
        Ok(forged) => Ok(forged),
        // The token stands in the body, which holds the right one.
        Err(_) => Ok(signer.sign(Draft::default(), 0, Clock::system().now(), &Random::system())?),
    }
}
