//! Memory for what is made of deliveries: the host bounds the bytes of their bodies, this those of the copies.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::delivery::{Content, Delivery};
use crate::message::MAX_TEXT;
use crate::message::Recipe;

/// Bytes of all copies that exist at a time. With 64 MiB of bodies, and what the process needs itself, a
/// function of 256 MB stays below 200.
const BYTES: usize = 80 << 20;

/// What is counted.
const UNIT: usize = 4096;

/// One whose message takes no more waits for nobody, and its body is not read for its size: 256 of them take at
/// most 32 MiB.
const SMALL: usize = 32 << 10;

/// Header fields, attributes and the members around them.
const ENVELOPE: usize = 2 * crate::http::MAX_HEADER_BYTES;

/// Room for copies, shared by all requests.
#[derive(Debug)]
pub(super) struct Copies(Arc<Semaphore>);

/// One lane's part, given back when it is dropped.
pub(super) struct Held(#[expect(dead_code, reason = "held, and not looked at")] Option<OwnedSemaphorePermit>);

impl Default for Copies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES / UNIT)))
    }
}

impl Copies {
    /// Waits for room for what is made of a delivery on one lane; `None` if there is none before `until`.
    /// One that needs more than all of it has it alone.
    pub(super) async fn hold(&self, bytes: usize, until: Instant) -> Option<Held> {
        if bytes <= SMALL {
            return Some(Held(None));
        }
        let units = u32::try_from(bytes.min(BYTES).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let permit = timeout_at(until, Arc::clone(&self.0).acquire_many_owned(units)).await.ok()?.ok()?;
        Some(Held(Some(permit)))
    }
}

/// The bytes of copies that a lane makes at most, beside the body as it was received: the message, and either
/// the request, which is the message as a JSON string and of which the client keeps one, or the record for the
/// store, which holds body and message.
pub(super) fn weight(delivery: &Delivery, recipe: &Recipe<'_>, has_store: bool) -> usize {
    let Content { body, original, .. } = &**delivery;
    let encrypted = original.as_ref().map_or(0, Bytes::len);
    let base64 = |length: usize| length.div_ceil(3) * 4;
    let keeps_original = recipe.keeps_original_of(delivery);
    if Recipe::at_most(delivery, keeps_original) <= SMALL {
        return SMALL;
    }
    let text = Recipe::least(delivery, keeps_original) + ENVELOPE;
    // Of a larger one none is made.
    let text = if text <= MAX_TEXT + ENVELOPE { text } else { ENVELOPE };
    // Quotes and backslashes take two bytes for one; control characters are escaped in it already.
    let request = 2 * text;
    let record = if has_store { base64(body.len()) + base64(encrypted) } else { 0 };
    // What was decrypted is a copy too.
    let plaintext = if encrypted > 0 { body.len() } else { 0 };
    plaintext + text + request + record
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::message::tests::delivery;
    use crate::message::{Format, Template};

    #[tokio::test(start_paused = true)]
    async fn copies_wait_for_each_other_and_small_ones_for_nobody() {
        let copies = Copies::default();
        let soon = Instant::now() + std::time::Duration::from_secs(1);
        let huge = copies.hold(usize::MAX, soon).await.unwrap();
        assert!(copies.hold(SMALL + 1, soon).await.is_none(), "not in time");
        assert!(copies.hold(SMALL, soon).now_or_never().is_some());
        drop(huge);
        let later = Instant::now() + std::time::Duration::from_secs(1);
        let several: Vec<_> = (0..10).map(|_| copies.hold(8 << 20, later).now_or_never()).collect();
        assert!(several.iter().all(|held| matches!(held, Some(Some(_)))));
        assert!(copies.hold(8 << 20, later).now_or_never().is_none());
    }

    #[test]
    fn what_is_made_is_counted_whole() {
        let topic = Template::parse("t").unwrap();
        for (body, kind) in [
            ("\u{1}".repeat(4000), "text/plain"),
            (format!("[{}1]", "\"\",".repeat(5000)), "application/json"),
            ("x".repeat(1000), "text/plain"),
            ("\u{1}".repeat(400_000), "text/plain"),
            ("\u{1}".repeat(6 << 20), "text/plain"),
            ("\"\\".repeat(500_000), "text/plain"),
            (format!("[{}1]", "\"\",".repeat(300_000)), "application/json"),
            ("\u{e9}".repeat(700_000), "application/json"),
        ] {
            let delivery = delivery(body.as_bytes(), Some(kind));
            let recipe = Recipe {
                topic: &topic,
                is_topic: |_| true,
                format: Format::CloudEvents,
                keep_original: false,
                key: None,
                tag: None,
                source_uri: "",
                type_prefix: None,
            };
            let message = recipe.render(&delivery).ok();
            let text = message.as_ref().map_or(0, |message| message.text.len());
            let request = message.as_ref().map_or(0, |message| crate::json::string_len(&message.text));
            let record = delivery.body.len().div_ceil(3) * 4;
            for (has_store, made) in [(false, text + request), (true, text + request.max(record + request))] {
                let counted = weight(&delivery, &recipe, has_store);
                if counted == SMALL {
                    assert!(text <= SMALL && made <= 4 * SMALL, "{made}");
                    continue;
                }
                assert!(made <= counted, "{made} of {counted}");
                assert!(counted <= 3 * (made + ENVELOPE), "{made} of {counted}");
            }
        }
    }
}
