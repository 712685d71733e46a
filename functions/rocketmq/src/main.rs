//! Function that verifies webhooks, sends them to RocketMQ, and acknowledges them once DMS has stored them.

use std::process::ExitCode;

use hookmq_shared::host;
use hookmq_shared::queue::Vendor;

fn main() -> ExitCode {
    host::main(host::run(Vendor::Rocketmq))
}
