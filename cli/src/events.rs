//! `hookmq events`: the sample events, signed now, with the expected result of each.

use std::error::Error;

use hookmq_shared::clock::Clock;
use hookmq_shared::http::Request;
use serde::Serialize;
use serde_json::Value;

use crate::samples::{self, EVENTS, Expect};
use crate::trial::{Trial, trials};
use crate::trigger::{Signed, Trigger};
use crate::{Exit, complain, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of files in events/; default: all
    file: Vec<String>,
    /// Path prefix in front of the hook's name in the request
    #[arg(long, value_name = "PATH", default_value = "/tdmq")]
    base_path: String,
    /// Print the hooks of the sample events, as TOML
    #[arg(long, conflicts_with_all = ["file", "base_path"])]
    hooks: bool,
}

/// One line of the output: a signed event and its expected result.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    hook: &'a str,
    /// True for an event that was changed after it was signed.
    forged: bool,
    /// Expected HTTP status of the answer.
    status: u16,
    /// True if the event must be stored in the queue.
    stored: bool,
    /// Expected data of the stored message; empty if none is stored.
    data: &'a str,
    event: Value,
}

pub(crate) fn run(args: &Args) -> Exit {
    if args.hooks {
        return print(samples::hooks().as_bytes());
    }
    if let Some(unknown) = args.file.iter().find(|name| EVENTS.iter().all(|(file, ..)| file != *name)) {
        complain(format!("events/{unknown} is not a sample event of this build"));
        return Exit::Configuration;
    }
    let mut out = Vec::new();
    for (file, expect, text) in EVENTS {
        if !args.file.is_empty() && !args.file.iter().any(|name| name == file) {
            continue;
        }
        if let Err(error) = lines(file, *expect, text, &args.base_path, &mut out) {
            complain(format!("events/{file}: {error}"));
            return Exit::Bad;
        }
    }
    print(&out)
}

fn lines(
    file: &str,
    expect: Expect,
    text: &str,
    base_path: &str,
    out: &mut Vec<u8>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let trigger = Trigger::of_event(file).ok_or("its name does not end with a trigger's name")?;
    for Trial { hook, request, carried, status, stored } in trials(text, expect)? {
        let Request { method, raw_query, headers, body, .. } = &request;
        let path = format!("{base_path}/{hook}");
        let at = Clock::system().now();
        let event = Signed { method, path: &path, raw_query, headers, body, at }.print(trigger);
        let line = Line {
            file,
            hook: &hook,
            forged: status == 401,
            status,
            stored,
            data: if stored { &carried } else { "" },
            event: serde_json::from_slice(&event)?,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.push(b'\n');
    }
    Ok(())
}
