//! `hookmq redrive`: the spill store by hand. It takes the functions' own environment: `SPILL_URL`, and
//! the credentials of the queue whose deliveries are sent.

use std::error::Error;
use std::time::Duration;

use clap::ValueEnum;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::Vendor;
use hookmq_shared::reader::parse_duration;
use hookmq_shared::redrive::{Job, Options, TargetReport, list_quarantined, reverify};
use hookmq_shared::store::Entry;
use tokio::time::Instant;

use crate::{Exit, check, complain};

/// A run by hand ends by itself after this much; another one goes on where it ended.
const LONGEST: Duration = Duration::from_secs(60 * 60);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// Only what is for this vendor
    #[arg(long)]
    vendor: Option<VendorName>,
    /// Only what is for this target of hooks.toml
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only this hook's
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Only what was kept within this time, such as 30m or 24h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Duration>,
    /// List what is there and do nothing
    #[arg(long, conflicts_with = "dry_run")]
    list: bool,
    /// Tell what would be sent, and why it is there; do nothing
    #[arg(long)]
    dry_run: bool,
    /// What lies in dead/, which no run sends by itself, instead of what waits in spill/
    #[arg(long)]
    dead: bool,
    /// Also what was tried in vain and is not due yet
    #[arg(long)]
    now: bool,
    /// Requests that failed verification, instead of deliveries; with --reverify or --list
    #[arg(long, conflicts_with_all = ["dead", "dry_run", "now"])]
    quarantine: bool,
    /// Verify them with today's secrets, as of their receipt, and send those that pass
    #[arg(long, requires = "quarantine")]
    reverify: bool,
    /// Sends of one target at a time
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Sends of one target a second at most; by default what its vendor takes
    #[arg(long)]
    rate: Option<u32>,
    /// Make each message anew by today's hooks.toml, whatever failed
    #[arg(long)]
    render: bool,
    /// Only the delivery of this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VendorName {
    Tdmq,
    Rocketmq,
}

impl VendorName {
    const fn vendor(self) -> Vendor {
        match self {
            Self::Tdmq => Vendor::Tdmq,
            Self::Rocketmq => Vendor::Rocketmq,
        }
    }
}

fn since(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time such as 30m or 24h".to_owned())
}

/// Exit code 1 if something is left that should have been sent.
pub(crate) async fn run(args: &Args) -> Exit {
    let context = Context::system();
    let options = args.options(&context);
    let config = || check::hooks(None, Reading::new(&context.env, Samples::Accepted));
    let done = if args.quarantine {
        quarantine(args, &options, config(), &context).await
    } else {
        spilled(args, &options, config(), &context).await
    };
    done.unwrap_or_else(|error| {
        complain(error);
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
            vendor: self.vendor.map(VendorName::vendor),
            target: self.target.clone(),
            hook: self.hook.clone(),
            since: self.since.map(before),
            dead: self.dead,
            now: self.now,
            concurrency: self.concurrency,
            rate: self.rate,
            render: self.render,
            id: self.id.clone(),
            ..Options::default()
        }
    }
}

async fn spilled(args: &Args, options: &Options, config: Config, context: &Context) -> Fallible<Exit> {
    let job = Job::new(config, context)?;
    let deadline = Instant::now() + LONGEST;
    if args.list {
        print_entries(&job.list(options, deadline).await?);
        return Ok(Exit::Good);
    }
    if args.dry_run {
        let entries = job.list(options, deadline).await?;
        for entry in &entries {
            match job.read(&entry.name, deadline).await? {
                Some(record) => {
                    let topic = record.message.as_ref().map_or("(no message yet)", |m| m.topic.as_str());
                    let (delivery, error) = (&record.delivery, &record.error);
                    println!(
                        "{} {} {} to {topic}: {} after {} attempt(s): {}",
                        delivery.received_at.rfc3339(),
                        delivery.hook,
                        delivery.id,
                        error.errorclass,
                        error.errorattempts,
                        error.errormessage
                    );
                }
                None => println!("{}: gone, or no whole delivery", entry.name),
            }
        }
        println!("{} delivery(ies) would be sent", entries.len());
        return Ok(Exit::Good);
    }
    let report = job.run(options, deadline).await;
    let mut is_done = true;
    if report.0.is_empty() {
        return Err("there is no such target: hooks.toml names them".into());
    }
    for (target, report) in report.0 {
        match report {
            TargetReport::Done(summary) => {
                is_done &= summary.left() == 0;
                println!("{target:<8} {}", serde_json::to_string(&summary)?);
            }
            TargetReport::Error(error) => {
                is_done = false;
                println!("{target:<8} {error}");
            }
        }
    }
    Ok(if is_done { Exit::Good } else { Exit::Bad })
}

/// Names, times and sizes: the content may hold a live token and is never shown.
async fn quarantine(args: &Args, options: &Options, config: Config, context: &Context) -> Fallible<Exit> {
    let quarantine = Quarantine::from_env(context)?.ok_or("QUARANTINE_URL is not set")?;
    if !args.reverify {
        let deadline = Instant::now() + LONGEST;
        let mut entries = Vec::new();
        for vendor in
            Vendor::ALL.into_iter().filter(|vendor| options.vendor.is_none_or(|only| only == *vendor))
        {
            entries.extend(list_quarantined(vendor, &quarantine, options, deadline).await?);
        }
        print_entries(&entries);
        return Ok(Exit::Good);
    }
    let vendor =
        args.vendor.ok_or("say whose with --vendor: one function's hooks, secrets and queue")?.vendor();
    let gateway = Gateway::connect(config, vendor, context);
    let done = reverify(&gateway, &quarantine, options, Instant::now() + LONGEST).await?;
    println!("{:<8} {}", vendor.as_str(), serde_json::to_string(&done)?);
    Ok(if done.failed + done.unreadable == 0 { Exit::Good } else { Exit::Bad })
}

fn print_entries(entries: &[Entry]) {
    for Entry { name, size, modified } in entries {
        println!("{} {size:>9} {name}", modified.rfc3339());
    }
    println!("{} object(s)", entries.len());
}
