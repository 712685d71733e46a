//! `hookmq redrive`: work on the spill store by hand. It uses the functions' own environment: `SPILL_URL`,
//! and the credentials of the queue that the deliveries are sent to.

mod output;
mod progress;
mod quarantine;
mod report;
mod show;
mod store;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::num::NonZero;
use std::time::Duration;

use hookmq_shared::clock::Timestamp;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::queue::Vendor;
use hookmq_shared::reader::parse_duration;
use hookmq_shared::redrive::{Options, RedriveJob};
use hookmq_shared::shard::Shard;
use serde_json::json;
use tokio::time::Instant;

use crate::{Exit, check, complain};
use progress::Progress;
use store::{Patience, Place, Trouble};

/// Upper bound on the duration of a manual run; the next run continues where this one ended.
const LONGEST: Duration = Duration::from_secs(60 * 60);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(after_help = "\
Exit codes:
  0  nothing is left that could have been sent
  1  something is left: it failed, is not due yet, or was not reached
  2  nothing could be done: a wrong setting, also one that --dry-run finds, or a store that does not answer")]
pub(crate) struct Args {
    /// Only deliveries for this vendor
    #[arg(long, value_name = "VENDOR", value_parser = crate::vendors())]
    vendor: Option<Vendor>,
    /// Only deliveries for this target of hooks.toml
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only deliveries of this hook
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Only the delivery with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only deliveries that were kept within this time, such as 30m or 24h
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Duration>,
    /// Only this share of the deliveries, such as 3/8: the fourth of eight
    #[arg(long, value_name = "N/OF", value_parser = Shard::parse, default_value = "0/1", hide_default_value = true)]
    shard: Shard,
    /// List the waiting deliveries, why they wait, and when each is tried next; change nothing
    #[arg(long, conflicts_with = "dry_run")]
    list: bool,
    /// Print what a run would do with each delivery, and why it waits; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Deliveries in dead/, which no run sends by itself, with messages built with the current hooks.toml
    #[arg(long)]
    dead: bool,
    /// Also deliveries that failed and are not due yet
    #[arg(long)]
    now: bool,
    /// Build each message again with the current hooks.toml, regardless of the failure
    #[arg(long)]
    render: bool,
    /// Requests that failed verification, instead of deliveries; with --reverify or --list
    #[arg(long, conflicts_with_all = ["dead", "dry_run", "now", "render", "id", "target", "shard"])]
    quarantine: bool,
    /// Verify the requests with the current secrets, as of their receipt, and send those that pass
    #[arg(long, requires = "quarantine")]
    reverify: bool,
    /// Print JSON: an object a line for --list and --dry-run, one object for a run or an error
    #[arg(long)]
    json: bool,
    /// Upper bound on concurrent sends per target
    #[arg(long, default_value = "32")]
    concurrency: NonZero<usize>,
    /// Upper bound on sends per second and target; default: the vendor's limit
    #[arg(long)]
    rate: Option<NonZero<u32>>,
    /// Time to wait for a store that does not answer: at first, for each page of a listing and for each
    /// object; a send to the queue has its own time limit
    #[arg(long, value_name = "TIME", value_parser = patience, default_value = "10s")]
    patience: Duration,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time such as 30m or 24h".to_owned())
}

/// Parses a duration that is not zero, because no store answers at once.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    let some = parse_duration(text).filter(|time| !time.is_zero());
    some.ok_or_else(|| "write a time over 0, such as 10s or 500ms".to_owned())
}

/// Runs the command; `--help` lists its exit codes.
pub(crate) async fn run(args: &Args) -> Exit {
    let context = Context::system();
    let options = args.options(&context);
    let config = || check::hooks(None, Reading::new(&context.env, Samples::Accepted));
    let done = if args.quarantine {
        quarantine::run(args, &options, config(), &context).await
    } else {
        spilled(args, &options, config(), &context).await
    };
    done.unwrap_or_else(|error| {
        let told = error.to_string();
        told.lines().for_each(complain);
        if args.json {
            // A program that reads standard output learns of the error there.
            let line = json!({ "error": told.lines().collect::<Vec<_>>().join("; ") });
            if let Err(error) = output::write(&output::visible(&format!("{line}\n"))) {
                complain(error);
            }
        }
        Exit::Configuration
    })
}

impl Args {
    fn options(&self, context: &Context) -> Options {
        let before = |age: Duration| {
            let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_unix_millis(context.clock.now().unix_millis().saturating_sub(millis))
        };
        Options {
            vendor: self.vendor,
            target: self.target.clone(),
            hook: self.hook.clone(),
            id: self.id.clone(),
            since: self.since.map(before),
            dead: self.dead,
            now: self.now,
            render: self.render,
            concurrency: self.concurrency.get(),
            rate: self.rate.map(NonZero::get),
            shard: self.shard,
            patience: self.patience,
        }
    }

    fn patience(&self) -> Patience {
        Patience::of(self.patience)
    }
}

async fn spilled(args: &Args, options: &Options, config: Config, context: &Context) -> Fallible<Exit> {
    let job = RedriveJob::new(config, context)?;
    store::ask(job.store(), options.folder(), args.patience(), &|words| complain(words)).await?;
    let deadline = Instant::now() + LONGEST;
    let trouble = |error| Trouble::of(job.store(), error);
    if let Some(unknown) = job.unknown(options, deadline).await.map_err(trouble)? {
        return Err(unknown.into());
    }
    if args.list || args.dry_run {
        let form =
            show::Form { is_json: args.json, has_plan: args.dry_run, is_dead: args.dead, is_now: args.now };
        return Ok(show::all(&job, options, form, context, deadline).await.map_err(trouble)?);
    }
    let progress = Progress::begin(!args.json);
    let observe = |target: &_, summary: &_, is_listed| progress.tell(target, summary, is_listed);
    let report = job.run_observed(options, deadline, &observe).await;
    progress.end();
    if let Some(id) = &args.id
        && report::is_empty(&report)
    {
        let (folder, other) =
            if args.dead { ("dead/", "spill/, without --dead") } else { ("spill/", "dead/, with --dead") };
        return Err(format!(
            "no delivery in {folder} has the id {id}: it may be in {other}, or sent already"
        )
        .into());
    }
    let text = if args.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        let mut text = report::words(&report, options, context.clock.now(), &Place::of(job.store()));
        // A run that has moved deliveries to dead/ names the command already.
        if !report::has_buried(&report) {
            text.push_str(show::dead(&job, options, deadline).await);
        }
        text
    };
    let exit = report::exit(&report);
    output::write(&output::visible(&text))?;
    Ok(exit)
}
