//! Faults of the vendor: maps each kind of fault to faults of the emulator.

use hookmq_emulator::{Fault, FaultKind, Known, Vendor as Service};
use hookmq_shared::queue::Vendor;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::hooks::Hook;
use super::rng::Rng;

/// The kinds of vendor faults, with the weight of each in the draw.
pub(super) const VENDOR_FAULTS: &[(&str, u64)] = &[
    ("latency", 5),
    ("stall", 3),
    ("throttle", 4),
    ("transient", 5),
    ("ambiguous", 6),
    ("permanent", 4),
    ("config", 2),
    ("auth", 1),
    ("auth-refresh", 2),
    ("permission", 2),
    ("quota", 1),
    ("too-large", 1),
    ("cut-before", 5),
    ("cut-after", 6),
    ("truncated", 4),
    ("lying", 5),
    ("clock", 3),
];

/// Draws one to three faults of this kind, with successful requests between them.
pub(super) fn draw(name: &str, vendor: Vendor, hooks: &[Hook], rng: &mut Rng) -> Vec<Fault> {
    let service = service(vendor);
    let mut plan = Vec::new();
    for _ in 0..rng.range(1, 3) {
        if let Some(kind) = kind(name, vendor, rng) {
            let is_of_iam = matches!(kind, FaultKind::ExpireTokens | FaultKind::OutdateTokens);
            let fault = Fault::new(kind).times(times(name, rng));
            let fault = if is_of_iam { fault } else { fault.vendor(service) };
            plan.push(match name {
                // These faults stop a topic for half a minute, so they hit one topic instead of all in turn.
                "config" | "permission" => match rng.pick(hooks, |hook| hook.share) {
                    Some(hook) => fault.topic(hook.topic(vendor)),
                    None => fault,
                },
                _ => fault,
            });
        }
        plan.push(Fault::new(FaultKind::Pass).vendor(service).times(rng.range(1, 8)));
    }
    plan
}

/// Returns the emulator's service that stands in for the vendor; a test holds that each vendor has one.
fn service(vendor: Vendor) -> Service {
    Service::named(vendor.as_str()).unwrap_or(Service::Tdmq)
}

/// Draws a lasting fault of one topic: writing is not permitted, the topic is gone, or its broker is down.
pub(super) fn outage(hook: &Hook, vendor: Vendor, rng: &mut Rng) -> Option<Fault> {
    let name = rng.pick(&["config", "permission", "transient"], |_| 1).copied()?;
    Some(Fault::new(kind(name, vendor, rng)?).vendor(service(vendor)).topic(hook.topic(vendor)).times(0))
}

/// Draws a lasting fault of the whole vendor: the account has run out, or connections end without an answer.
/// The flag is true if each delivery then waits for its deadline.
pub(super) fn down(vendor: Vendor, rng: &mut Rng) -> Option<(Fault, bool)> {
    let name = rng.pick(&["cut-before", "quota"], |_| 1).copied()?;
    let fault = Fault::new(kind(name, vendor, rng)?).vendor(service(vendor)).times(0);
    Some((fault, name == "cut-before"))
}

/// Draws faults that refuse a body as too large and then fail the message that refers to it, so that messages
/// with references wait in the store.
pub(super) fn referring(vendor: Vendor, rng: &mut Rng) -> Vec<Fault> {
    let mut plan = Vec::new();
    for _ in 0..rng.range(2, 4) {
        for (name, times) in [("too-large", rng.range(1, 3)), ("quota", rng.range(2, 6))] {
            plan.extend(kind(name, vendor, rng).map(|kind| Fault::new(kind).times(times)));
        }
    }
    plan.into_iter().map(|fault| fault.vendor(service(vendor))).collect()
}

/// Draws the number of requests that a fault hits.
fn times(name: &str, rng: &mut Rng) -> u64 {
    let most = match name {
        // Each of these faults also stops the requests after it.
        "auth" | "config" | "permission" => 1,
        // Each of these faults delays a request.
        "stall" => 8,
        "latency" | "clock" => 60,
        _ => 20,
    };
    rng.range(1, most)
}

fn kind(name: &str, vendor: Vendor, rng: &mut Rng) -> Option<FaultKind> {
    let is_one = rng.happens(500);
    let known = service(vendor).spec().errors.iter().find(|(class, _)| *class == name);
    match known.map(|(_, known)| *known) {
        Some(Known::Error { code, status, message, may_store }) => {
            return Some(FaultKind::Error {
                code: code.to_owned(),
                status: StatusCode::from_u16(status).ok(),
                message: (!message.is_empty()).then(|| message.to_owned()),
                headers: HeaderMap::new(),
                stored: may_store && is_one,
            });
        }
        Some(Known::Tokens) if is_one => return Some(FaultKind::OutdateTokens),
        Some(Known::Tokens) => return Some(FaultKind::ExpireTokens),
        None => {}
    }
    Some(match name {
        "latency" => FaultKind::LatencyMs(rng.range(1, 900)),
        "stall" if is_one => FaultKind::LatencyMs(rng.range(1500, 4000)),
        "stall" => FaultKind::Hang,
        "throttle" => FaultKind::Throttle,
        "cut-before" => {
            if is_one {
                FaultKind::Reset
            } else {
                FaultKind::Close
            }
        }
        "cut-after" => {
            if is_one {
                FaultKind::StoredReset
            } else {
                FaultKind::StoredNoAnswer
            }
        }
        "truncated" if is_one => FaultKind::SlowBodyMs(rng.range(50, 3000)),
        "truncated" => FaultKind::Truncate,
        "lying" => lie(vendor, rng),
        "clock" => {
            let off = rng.range(400, 7200).cast_signed();
            FaultKind::ClockOffsetS(if is_one { off } else { -off })
        }
        _ => return None,
    })
}

/// Draws an answer that is not one of the API's, or that says nothing.
fn lie(vendor: Vendor, rng: &mut Rng) -> FaultKind {
    let raw = |status, body: &str| FaultKind::Raw {
        status,
        content_type: HeaderValue::from_static("text/html"),
        body: body.to_owned(),
    };
    let spec = service(vendor).spec();
    match rng.range(0, 6) {
        0 => raw(StatusCode::OK, "<html>all is well</html>"),
        1 => raw(StatusCode::OK, ""),
        2 => raw(StatusCode::BAD_GATEWAY, "<html>"),
        3 => FaultKind::Redirect(HeaderValue::from_static("https://example.invalid/")),
        4 if spec.has_error_msg() => FaultKind::ErrorMsg("send failed".to_owned()),
        5 if spec.has_error_msg() => FaultKind::Legacy("InternalError".to_owned()),
        _ => FaultKind::NoId,
    }
}

/// Returns true if a request that was stored despite this fault may lack an answer that says so.
pub(super) fn hides_a_receipt(fault: &str) -> bool {
    matches!(
        fault,
        "latency_ms" | "error" | "stored_reset" | "stored_no_answer" | "truncate" | "slow_body_ms"
    )
}

#[cfg(test)]
mod tests {
    use super::super::hooks::hooks;
    use super::*;

    #[test]
    fn every_kind_makes_faults_for_every_vendor() {
        for (name, weight) in VENDOR_FAULTS {
            for vendor in Vendor::ALL {
                assert_eq!(service(vendor).spec().name, vendor.as_str());
                let mut rng = Rng::of(1, *weight);
                let drawn: Vec<Fault> =
                    (0..20).flat_map(|_| draw(name, vendor, hooks(0), &mut rng)).collect();
                // A vendor without tokens has no token to renew.
                assert!(drawn.iter().any(|fault| fault.fault != FaultKind::Pass), "{name}");
                assert!(drawn.iter().all(|fault| fault.times > 0), "{name} would never end");
            }
        }
    }
}
