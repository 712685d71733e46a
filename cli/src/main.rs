//! The `hookmq` command: runs the demo, checks a configuration, looks sources up, signs, sends and verifies
//! webhooks, and probes a process.
//!
//! Exit codes: 0 success, 1 a negative result (a rejected request, a failed demo), 2 a configuration error, 3
//! no answer (`send`).

#![expect(clippy::print_stderr, reason = "a command line prints")]

mod asyncapi;
mod batch;
mod behind;
mod check;
mod client;
mod demo;
mod events;
mod health;
mod limits;
mod live;
mod redrive;
mod samples;
mod send;
mod sign;
mod signals;
mod sources;
#[cfg(test)]
mod tests;
mod torture;
mod trial;
mod trigger;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use hookmq_shared::queue::Vendor;

/// Verified webhooks in, durable queue messages out
#[derive(Parser)]
#[command(name = "hookmq", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send every sample through both forwarders to local emulators of both vendors
    Demo(behind::Args),
    /// Run emulators of both vendors until Ctrl-C, after the deliveries of demo
    Dev(behind::Args),
    /// Check a hooks file and the environment, and print every mistake
    Check(check::Args),
    /// Ask the process in this container if it serves, for a HEALTHCHECK; exit code 0 or 1
    Health(health::Args),
    /// Print the sample events, signed now, with the expected result of each, as JSON lines
    Events(events::Args),
    /// Print the limits of the platforms that functions are deployed on, each with its document
    Limits(limits::Args),
    /// Print a request of a provider or for a hook, signed now, or a deliberately broken one
    Sign(sign::Args),
    /// Send a request of a provider or for a hook, signed now, or a deliberately broken one
    Send(send::Args),
    /// List the providers, or print all details of one
    Sources(sources::Args),
    /// Send the deliveries that the forwarders spilled, list them, or verify quarantined requests once more
    Redrive(redrive::Args),
    /// Prove that every acknowledged delivery is in the queue, despite any fault on the way
    Torture(torture::Args),
    /// Verify a request as a function would: from the options, or piped in as `sign` prints it
    Verify(verify::Args),
    /// Print the version
    Version,
}

/// Result of a command, which becomes its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Good,
    Bad,
    Configuration,
    /// Missing answer to a request, which tells nothing of the deployment.
    Silent,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Bad => 1,
            Exit::Configuration => 2,
            Exit::Silent => 3,
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    // These two end by themselves what they have started.
    if !matches!(command, Command::Dev(_) | Command::Torture(_))
        && let Err(error) = signals::end_process()
    {
        complain(format_args!("SIGTERM may not end this process: {error}"));
    }
    match command {
        Command::Demo(args) => demo::demo(&args).await,
        Command::Dev(args) => demo::dev(&args).await,
        Command::Check(args) => check::run(&args).await,
        Command::Health(args) => health::run(&args).await,
        Command::Events(args) => events::run(&args),
        Command::Limits(args) => limits::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Send(args) => send::run(&args).await,
        Command::Sources(args) => sources::run(&args),
        Command::Redrive(args) => redrive::run(&args).await,
        Command::Torture(args) => torture::run(args).await,
        Command::Verify(args) => verify::run(&args),
        Command::Version => {
            say!("hookmq {}", env!("CARGO_PKG_VERSION"));
            Exit::Good
        }
    }
    .into()
}

/// A `println!` that ignores a closed pipe (`| head`) instead of panicking.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Builds the parser of a vendor's name for a command line.
pub(crate) fn vendors() -> impl TypedValueParser<Value = Vendor> {
    PossibleValuesParser::new(Vendor::ALL.map(Vendor::as_str))
        .try_map(|name| Vendor::named(&name).ok_or("is not the name of a vendor"))
}

/// Prints an error to standard error with the prefix `hookmq: `, as every command does.
fn complain(error: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "hookmq: {error}");
}

/// Prints output of any length; a reader that closes the pipe early (`| head`) is not an error.
fn print(output: &[u8]) -> Exit {
    match std::io::stdout().write_all(output) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(error);
            Exit::Bad
        }
        _ => Exit::Good,
    }
}
