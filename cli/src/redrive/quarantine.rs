//! Quarantined requests, which failed verification: their names, times and sizes. Their content may hold a
//! live token and is never shown.

use std::collections::BTreeSet;

use hookmq_shared::config::Config;
use hookmq_shared::context::Context;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::Vendor;
use hookmq_shared::redrive::{Options, QuarantinePages, Unknown, reverify_observed};
use hookmq_shared::spill::Folder;
use hookmq_shared::store::{Entry, Foreign, StoreError};
use serde_json::json;
use tokio::time::Instant;

use super::progress::Progress;
use super::show;
use super::store::{self, Trouble};
use super::{Args, Fallible, LONGEST, output};
use crate::{Exit, complain};

pub(super) async fn run(args: &Args, options: &Options, config: Config, context: &Context) -> Fallible<Exit> {
    let quarantine = Quarantine::from_env(context)?.ok_or("QUARANTINE_URL is not set")?;
    let trouble = |error| Trouble::of(quarantine.store(), error);
    store::ask(quarantine.store(), Folder::Quarantine, args.patience(), &|words| complain(words)).await?;
    let deadline = Instant::now() + LONGEST;
    if let Some(unknown) = unknown(&quarantine, options, &config, deadline).await.map_err(trouble)? {
        return Err(unknown.into());
    }
    if !args.reverify {
        let (mut count, mut foreign) = (0, Foreign::default());
        for vendor in vendors(options) {
            let mut pages = QuarantinePages::new(vendor, &quarantine, options);
            while let Some(entries) = pages.next(deadline).await.map_err(trouble)? {
                count += entries.len();
                let lines: String = entries.iter().map(|entry| line(entry, args.json)).collect();
                if !output::write(&lines)? {
                    return Ok(Exit::Good);
                }
            }
            foreign.join(pages.foreign().clone());
        }
        if !args.json {
            output::write(&format!("{count} {}\n", if count == 1 { "request" } else { "requests" }))?;
        }
        if let Some(words) = show::foreign(&foreign) {
            complain(words);
        }
        return Ok(Exit::Good);
    }
    let vendor = args.vendor.ok_or("say whose with --vendor: one function's hooks, secrets and queue")?;
    let gateway = Gateway::connect(config, vendor, context);
    let progress = Progress::begin(!args.json);
    let observe = |done: &_, is_listed| progress.verified(done, is_listed);
    let done = reverify_observed(&gateway, &quarantine, options, deadline, &observe).await;
    progress.end();
    let done = done.map_err(trouble)?;
    if args.json {
        output::write(&format!("{}\n", json!({ vendor.as_str(): { "done": &done } })))?;
    } else {
        output::write(&format!(
            "{}: {} in quarantine: {} accepted, {} still not authentic, {} not decided, {} unreadable\n",
            vendor.as_str(),
            done.found,
            done.accepted,
            done.rejected,
            done.failed,
            done.unreadable
        ))?;
    }
    Ok(if done.failed + done.unreadable == 0 { Exit::Good } else { Exit::Bad })
}

fn vendors(options: &Options) -> impl Iterator<Item = Vendor> {
    Vendor::ALL.into_iter().filter(|vendor| options.vendor.is_none_or(|only| only == *vendor))
}

/// Returns an error if neither hooks.toml nor the quarantine has the hook that was asked for.
async fn unknown(
    quarantine: &Quarantine,
    options: &Options,
    config: &Config,
    deadline: Instant,
) -> Result<Option<Unknown>, StoreError> {
    if options.hook.is_none() {
        return Ok(None);
    }
    let mut known: BTreeSet<String> = config.names().map(str::to_owned).collect();
    for vendor in vendors(options) {
        let prefix = Folder::Quarantine.prefix(vendor.as_str(), None);
        let soon = deadline.min(Instant::now() + options.patience);
        known.extend(quarantine.store().folders(&prefix, soon).await?.names);
    }
    Ok(Unknown::hook(options, known))
}

fn line(entry: &Entry, is_json: bool) -> String {
    let Entry { name, size, modified } = entry;
    if is_json {
        format!("{}\n", json!({ "object": name, "size": size, "kept": modified.rfc3339() }))
    } else {
        format!("{} {size:>9} {name}\n", modified.rfc3339())
    }
}
