//! Fuzz target for answers of both vendors: one byte chooses the status, the rest is the body.
#![no_main]

use hookmq_shared::net::answer::Answer;
use hookmq_shared::queue::failure::Private;
use hookmq_shared::queue::{rocketmq, tdmq};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((status, body)) = data.split_first() else { return };
    let status = [200, 201, 302, 400, 401, 404, 429, 500, 504][usize::from(*status) % 9];
    let answer = Answer { status, headers: Default::default(), body: body.to_vec().into() };
    let private = Private { secrets: &["secret"], message: None };
    for accepted in [tdmq::wire::read(&answer, &private), rocketmq::wire::read(&answer, &private)] {
        // A receipt needs a success and an id.
        if let Ok(accepted) = accepted {
            assert!((200..300).contains(&status) && !accepted.message_id.trim().is_empty());
        }
    }
});
