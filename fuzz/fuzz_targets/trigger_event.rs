//! Fuzz target for events of all clouds' triggers.
#![no_main]

use hookmq_shared::host::cloud::CLOUDS;
use hookmq_shared::host::trigger::{Invocation, read_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    for cloud in CLOUDS {
        let invocation = Invocation { request_id: "r".to_owned(), deadline: None };
        if let Ok(incoming) = read_bytes(cloud, event, invocation)
            && let Err(refusal) = incoming.request
        {
            let _ = incoming.trigger.answer(&refusal);
        }
    }
});
