//! Spilled deliveries to their queue: scheduled, page by page, deleted only after a receipt.

use std::process::ExitCode;

use hookmq_shared::host;

fn main() -> ExitCode {
    host::main(host::redrive())
}
