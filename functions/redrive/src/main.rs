//! Spilled deliveries to their queue: scheduled, page by page, deleted only after a receipt.

use hookmq_shared::host::{self, HostError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), HostError> {
    host::redrive().await
}
