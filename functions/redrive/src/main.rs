//! Scheduled function that sends spilled deliveries to their queue, page by page. A delivery is deleted only
//! after a receipt.

use std::process::ExitCode;

use hookmq_shared::host;

fn main() -> ExitCode {
    host::main(host::redrive())
}
