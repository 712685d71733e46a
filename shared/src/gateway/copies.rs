//! Memory for the copies that are made of deliveries. The host bounds the bytes of the bodies; this module
//! bounds the bytes of the copies.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::delivery::{Content, Delivery};
use crate::message::{MAX_TEXT, Recipe};

/// Upper bound on the copies that exist at a time, in bytes. With 64 MiB of bodies and the memory of the
/// process itself, a function of 256 MB stays below 200 MB.
const BYTES: usize = 80 << 20;

/// Bytes that one permit of the semaphore stands for.
const UNIT: usize = 4096;

/// Upper bound on the text of a small message, in bytes. A delivery with a small message does not wait for
/// room, and its body is not read to find its size. The copies of 256 such deliveries take at most 32 MiB.
const SMALL: usize = 32 << 10;

/// Allowance in bytes for the header fields, the attributes and the members around them.
const ENVELOPE: usize = 2 * crate::http::MAX_HEADER_BYTES;

/// Room for copies, shared by all requests.
#[derive(Debug)]
pub(super) struct Copies(Arc<Semaphore>);

/// Part of the room that one lane holds, given back when it is dropped.
pub(super) struct Held(#[expect(dead_code, reason = "held, and not looked at")] Option<OwnedSemaphorePermit>);

impl Default for Copies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES / UNIT)))
    }
}

impl Copies {
    /// Waits for room for the copies of a delivery on one lane, and returns `None` if there is none before
    /// `until`. A lane that needs more than the whole room gets all of it, and has it alone.
    pub(super) async fn hold(&self, bytes: usize, until: Instant) -> Option<Held> {
        if bytes <= SMALL {
            return Some(Held(None));
        }
        let units = u32::try_from(bytes.min(BYTES).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let permit = timeout_at(until, Arc::clone(&self.0).acquire_many_owned(units)).await.ok()?.ok()?;
        Some(Held(Some(permit)))
    }
}

/// Returns an upper bound on the copies that a lane makes, in bytes, beside the body as it was received. The
/// copies are the message, and either the request or the record for the store. The request is the message as
/// a JSON string, and the client keeps one request; the record holds body and message.
pub(super) fn weight(delivery: &Delivery, recipe: &Recipe<'_>, has_store: bool) -> usize {
    let Content { body, original, .. } = &**delivery;
    let encrypted = original.as_ref().map_or(0, Bytes::len);
    let base64 = |length: usize| length.div_ceil(3) * 4;
    let keeps_original = recipe.keeps_original_of(delivery);
    if Recipe::at_most(delivery, keeps_original) <= SMALL {
        return SMALL;
    }
    let text = Recipe::least(delivery, keeps_original) + ENVELOPE;
    // No message is made of a larger text.
    let text = if text <= MAX_TEXT + ENVELOPE { text } else { ENVELOPE };
    // Quotes and backslashes take two bytes instead of one; control characters are escaped in the text
    // already.
    let request = 2 * text;
    let record = if has_store { base64(body.len()) + base64(encrypted) } else { 0 };
    // A decrypted body is a copy too.
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
                check_topic: |_| Ok(()),
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
