//! Process of a function, from its start to its end.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use super::HostError;
use crate::env::Env;
use crate::telemetry;

/// Time for the log's reader to take the last lines.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Runs a function's future, [`run`](super::run) or [`redrive`](super::redrive), to its end as the body of
/// `main`. The reason why a function cannot start, or ends too soon, is a line of the log.
///
/// Work that a file system keeps blocked is not awaited: a read of a secret's file or of a store's folder may
/// hang for ever, and its result has not been promised to anyone.
pub fn main(function: impl Future<Output = Result<(), HostError>>) -> ExitCode {
    let ended = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(function);
            // The work given up here may log lines too.
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
