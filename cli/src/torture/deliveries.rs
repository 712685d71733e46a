//! Deliveries, each drawn from the seed and its number, so that it can be made again.

use std::sync::Arc;

use bytes::Bytes;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::queue::Vendor;
use hookmq_shared::source::{Draft, SignError, Source, Tamper};

use super::hooks::{Hook, Scheme, Shape};
use super::rng::Rng;
use super::world::Asked;

/// Forged requests per thousand.
const FORGED: u64 = 40;

/// Number of deliveries that share an id, for a sender that numbers batches.
const BATCH: u64 = 24;

/// Upper bound on the filling of an ordinary body, in bytes.
const MAX_BODY: u64 = 2000;

/// The defect of a request that must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    /// The request is changed, stale, or signed with an unknown secret.
    Tampered(Tamper),
    /// The request is signed with a secret that a rotation removed. It is not the last removed secret,
    /// because a running function looks for a new secret only when a request does not match.
    Outdated,
    /// The request is signed with a secret that was never configured.
    Foreign,
    /// The request has no signature.
    Unsigned,
    /// The request is genuine, but its sender disconnects in the middle of the body.
    Torn,
}

/// One delivery, or a forged request.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) number: u64,
    /// Index of the hook in the run's list of hooks.
    pub(super) place: usize,
    pub(super) hook: &'static Hook,
    /// Id of the delivery; empty for a sender that names none.
    pub(super) id: String,
    pub(super) body: Bytes,
    content_type: &'static str,
    pub(super) forgery: Option<Forgery>,
    /// Random numbers for the rest of the delivery, such as time limits and waits.
    pub(super) rng: Rng,
}

impl Delivery {
    pub(super) fn draw(asked: &Asked, number: u64) -> Self {
        let Asked { seed, vendor, hooks, .. } = *asked;
        let mut rng = Rng::of(seed, number + 1);
        let places: Vec<usize> = (0..hooks.len()).collect();
        let place = rng.pick(&places, |place| hooks[*place].share).copied();
        // There is always a hook to pick, because each hook has a share.
        let place = place.unwrap_or_default();
        let hook = &hooks[place];
        let forgery = rng.happens(FORGED).then(|| forgery(&mut rng, hook.scheme));
        let id = match hook {
            Hook { scheme: Scheme::Own, .. } => String::new(),
            Hook { batches: true, .. } if forgery.is_none() => format!("batch-{seed}-{}", number / BATCH),
            _ => format!("{}-{seed}-{number}-{:04x}", hook.name, rng.next() & 0xffff),
        };
        let (content_type, body) = body(&mut rng, hook.shape, vendor, seed, number);
        Self { number, place, hook, id, body: body.into(), content_type, forgery, rng }
    }

    /// Signs the request at the time `now`. `signers` holds the sources of each generation of secrets, first
    /// those that were never configured.
    pub(super) fn sign(&self, signers: &[Vec<Arc<Source>>], now: Timestamp) -> Result<Request, SignError> {
        let generation = match self.forgery {
            Some(Forgery::Foreign) => signers.first(),
            // The last two generations are configured.
            Some(Forgery::Outdated) => signers.iter().nth_back(3),
            _ => signers.last(),
        };
        let source = generation.and_then(|sources| sources.get(self.place)).ok_or(SignError::NoSecret(0))?;
        let mut headers = Headers::new();
        headers.push("content-type", self.content_type);
        let draft = Draft {
            path: format!("/{}", self.hook.name),
            headers,
            body: Some(self.body.clone()),
            id: (self.hook.scheme != Scheme::Own).then(|| self.id.clone()),
            tamper: match self.forgery {
                Some(Forgery::Tampered(tamper)) => Some(tamper),
                _ => None,
            },
            ..Draft::default()
        };
        let mut request = source.sign(draft, 0, now, &self.rng.clone().random())?;
        if self.forgery == Some(Forgery::Unsigned) {
            let is_signature = |name: &str| name.contains("signature");
            request.headers = request.headers.iter().filter(|(name, _)| !is_signature(name)).fold(
                Headers::new(),
                |mut headers, (name, value)| {
                    headers.push(name, value.to_vec());
                    headers
                },
            );
        }
        Ok(request)
    }
}

fn forgery(rng: &mut Rng, scheme: Scheme) -> Forgery {
    let tamper = match (scheme, rng.range(0, 3)) {
        (Scheme::Own, _) => None,
        (_, 0) => Some(Tamper::Body),
        (_, 1) => Some(Tamper::Signature),
        (Scheme::Standard, 2) => Some(Tamper::Timestamp),
        _ => Some(Tamper::Secret),
    };
    match (rng.range(0, 9), tamper) {
        (0, _) => Forgery::Unsigned,
        (1, _) => Forgery::Torn,
        (2 | 3, _) | (_, None) if rng.happens(500) => Forgery::Outdated,
        (2 | 3, _) | (_, None) => Forgery::Foreign,
        (_, Some(tamper)) => Forgery::Tampered(tamper),
    }
}

/// Draws a content type, and a body that differs from that of every other delivery.
fn body(rng: &mut Rng, shape: Shape, vendor: Vendor, seed: u64, number: u64) -> (&'static str, Vec<u8>) {
    let mark = format!("{seed}:{number}:{:016x}", rng.next());
    let length = usize::try_from(rng.range(0, MAX_BODY)).unwrap_or_default();
    let filling = |length: usize| mark.chars().cycle().take(length).collect::<String>();
    // A JSON parser that rewrites its input would change these values.
    let odd = ["1.0", "1e400", "\"\\u00e9\\/\"", "{\"a\":1,\"a\":2}", "[ ]", "\"\u{1F600}\""];
    let odd = rng.pick(&odd, |_| 1).copied().unwrap_or_default();
    let json = |rest: &str, length| {
        format!(
            " {{\"type\":\"user.created\", \"mark\":\"{mark}\",{rest}\"odd\":{odd},\n\"filling\":\"{}\"}} \n",
            filling(length)
        )
    };
    match shape {
        Shape::Json => ("application/json", json("", length).into_bytes()),
        Shape::Text => ("text/plain", format!("{mark} \u{e9}\0\r\n\"{}\t", filling(length)).into_bytes()),
        Shape::Binary => {
            let mut bytes = rng.bytes(length);
            bytes.extend_from_slice(mark.as_bytes());
            bytes.push(0xff);
            ("application/octet-stream", bytes)
        }
        Shape::Large => {
            let length = vendor.spec().max_text + length;
            ("application/json", json("", length).into_bytes())
        }
        Shape::Unfit => {
            let order = if number.is_multiple_of(2) { "\"order\":{\"id\":7}," } else { "" };
            ("application/json", json(order, length).into_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hookmq_shared::source::Verdict;

    use super::super::hooks::{hooks, signers};
    use super::*;

    #[test]
    fn every_delivery_is_accepted_and_every_forgery_refused() {
        let asked = Asked { hooks: hooks(20), ..Asked::of(3, "none") };
        let now = Timestamp::from_unix(1_760_000_000);
        let all: Vec<_> =
            (0..5).map(|generation| signers(asked.hooks, asked.vendor, 3, generation)).collect();
        let accepted = |request: &Request, place: usize| {
            // The new secret and the old one are configured.
            [4, 3].iter().any(|generation: &usize| {
                let source = &all[*generation][place];
                matches!(source.check("hook", request.clone(), now), Verdict::Verified(_))
            })
        };
        let (mut bodies, mut kinds) = (HashSet::new(), HashSet::new());
        for number in 0..3000 {
            let delivery = Delivery::draw(&asked, number);
            assert_eq!(delivery.body, Delivery::draw(&asked, number).body);
            let request = delivery.sign(&all, now).unwrap();
            assert!(bodies.insert(request.body.clone()), "{number}");
            let is_genuine = matches!(delivery.forgery, None | Some(Forgery::Torn));
            assert_eq!(accepted(&request, delivery.place), is_genuine, "{number} {:?}", delivery.forgery);
            kinds.insert((delivery.hook.name, format!("{:?}", delivery.forgery)));
        }
        assert!(kinds.len() > 30, "{kinds:?}");
    }
}
