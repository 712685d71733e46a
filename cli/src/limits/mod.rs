//! `hookmq limits`: the limits of the platforms that functions are deployed on, which `check --deploy` judges by.

mod judge;
mod page;
mod table;
mod variables;

pub(crate) use judge::{Judged, judge};
pub(crate) use table::{Limits, LimitsError, Place};
pub(crate) use variables::{EnvFile, Settings};

use serde_json::Value;

use crate::{Exit, complain, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the limits of this platform, or of one of its triggers; default: of all
    #[arg(value_name = "PLATFORM[/TRIGGER]")]
    place: Option<Place>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Print the text of docs/limits.md
    #[arg(long, conflicts_with_all = ["json", "place"])]
    markdown: bool,
}

pub(crate) fn run(args: &Args) -> Exit {
    let limits = match Limits::read() {
        Ok(limits) => limits,
        Err(error) => {
            complain(error);
            return Exit::Configuration;
        }
    };
    let shown = limits.shown(args.place.as_ref());
    let text = if args.json {
        format!("{:#}\n", shown.iter().map(|limit| limit.to_json()).collect::<Value>())
    } else if args.markdown {
        page::markdown(&limits)
    } else {
        page::plain(&shown)
    };
    print(text.as_bytes())
}
