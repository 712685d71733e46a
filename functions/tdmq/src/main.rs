//! Webhooks to TDMQ for Pulsar: verified, sent, and acknowledged once Tencent Cloud has stored them.

use hookmq_shared::host::{self, HostError};
use hookmq_shared::queue::Vendor;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), HostError> {
    host::run(Vendor::Tdmq).await
}
