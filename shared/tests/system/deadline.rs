//! Tests of a stalling vendor: the answer is sent within the sender's deadline, and the delivery is kept or
//! refused.

use std::collections::BTreeSet;
use std::time::Duration;

use hookmq_shared::source::{preset_info, preset_names};

use crate::kit::stalled::answer;

#[tokio::test(start_paused = true)]
async fn every_preset_is_answered_within_its_senders_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let deadlines: BTreeSet<Duration> =
        preset_names().map(|name| preset_info(name).unwrap().deadline).collect();
    assert!(deadlines.len() > 3, "{deadlines:?}");
    for deadline in deadlines {
        let (took, status) = answer(deadline, Some(&url)).await;
        assert!(took < deadline, "{took:?} of {deadline:?}");
        assert_eq!(status, 200, "{deadline:?}");
        let (took, status) = answer(deadline, None).await;
        assert!(took < deadline, "{took:?} of {deadline:?} without a store");
        assert_eq!(status, 503, "{deadline:?}");
    }
}
