//! Process of a function, from its start to its end.

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use super::HostError;
use crate::env::Env;
use crate::telemetry;

/// Answer to `--help` and `--version`.
const ABOUT: &str = concat!(
    "hookmq ",
    env!("CARGO_PKG_VERSION"),
    ": the settings are environment variables, see docs/configuration.md and `hookmq check`"
);

/// Time for the log's reader to take the last lines.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Runs a function's future, [`run`](super::run) or [`redrive`](super::redrive), to its end as the body of
/// `main`. The reason why a function cannot start, or ends too soon, is a line of the log.
///
/// Work that a file system keeps blocked is not awaited: a read of a secret's file or of a store's folder may
/// hang for ever, and its result has not been promised to anyone.
pub fn main(function: impl Future<Output = Result<(), HostError>>) -> ExitCode {
    if asks(std::env::args().nth(1).as_deref()) {
        // Nothing can be done about a closed output.
        let _ = writeln!(std::io::stdout(), "{ABOUT}");
        return ExitCode::SUCCESS;
    }
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

/// Returns true if the first argument asks for help or for the version. Runtimes and their emulators start a function
/// with arguments of their own, so all others are ignored.
fn asks(first: Option<&str>) -> bool {
    matches!(first, Some("--help" | "-h" | "--version" | "-V"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_given_and_a_runtimes_arguments_are_ignored() {
        assert!(["--help", "-h", "--version", "-V"].iter().all(|first| asks(Some(first))));
        assert!(!asks(None) && !asks(Some("index.handler")) && !asks(Some("bootstrap")));
        assert!(ABOUT.contains(env!("CARGO_PKG_VERSION")) && ABOUT.contains("hookmq check"));
    }
}
