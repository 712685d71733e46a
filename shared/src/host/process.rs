//! A function's process, from its beginning to its end.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use super::HostError;
use crate::env::Env;
use crate::telemetry;

/// For the log's reader to take what is written at the end.
const LAST_LINES: Duration = Duration::from_millis(200);

/// What a function's `main` is: runs [`run`](super::run) or [`redrive`](super::redrive) to its end. Why it cannot
/// start, or ended too soon, is a line of the log.
///
/// What a file system keeps waiting is not waited for: a file of a secret, or a folder of a store, may hang for
/// ever, and nobody was told that it is done.
pub fn main(function: impl Future<Output = Result<(), HostError>>) -> ExitCode {
    let ended = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(function);
            // What it gives up has lines too.
            runtime.shutdown_background();
            ended
        }
        Err(error) => {
            telemetry::init(&Env::process());
            Err(HostError::Start(error))
        }
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "the process ends");
    }
    telemetry::flush(LAST_LINES);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
