//! Fuzz target for events of Lambda's triggers.
#![no_main]

use hookmq_shared::host::trigger::{Invocation, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let invocation = Invocation { request_id: "r".to_owned(), deadline: None };
    if let Ok(incoming) = read(text, invocation)
        && let Err(refusal) = incoming.request
    {
        let _ = incoming.trigger.answer(&refusal);
    }
});
