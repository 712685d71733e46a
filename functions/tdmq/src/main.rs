//! Function that verifies webhooks, sends them to TDMQ for Pulsar, and acknowledges them once Tencent Cloud
//! has stored them.

use std::process::ExitCode;

use hookmq_shared::host;
use hookmq_shared::queue::Vendor;

fn main() -> ExitCode {
    host::main(host::run(Vendor::Tdmq))
}
