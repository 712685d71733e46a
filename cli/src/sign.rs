//! `hookmq sign`: a valid request of a provider, signed now.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::env::Env;
use hookmq_shared::source::{Draft, Settings, Source};

use crate::trigger::{Signed, Trigger};
use crate::{Exit, complain, verify};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The preset
    #[arg(long, value_name = "PRESET")]
    source: String,
    /// The secret, or a reference (`env:NAME`, `file:PATH`); for a public-key source the private key's seed
    #[arg(long, value_name = "VALUE")]
    secret: Vec<String>,
    /// A parameter of the preset
    #[arg(long, value_name = "NAME=VALUE", value_parser = verify::pair)]
    param: Vec<(String, String)>,
    /// The event's name; default: the preset's sample
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The request's body; - for standard input; default: the preset's sample
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The request's path, and query if any; default: /tdmq/PRESET
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The public URL, for schemes that sign it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print it as the event of this trigger, or as HTTP
    #[arg(long, value_enum, default_value = "http")]
    trigger: Trigger,
}

pub(crate) fn run(args: &Args) -> Exit {
    match signed(args) {
        Ok(text) => match std::io::stdout().write_all(&text) {
            Ok(()) => Exit::Good,
            Err(error) => {
                complain(error);
                Exit::Bad
            }
        },
        Err(errors) => {
            errors.iter().for_each(complain);
            Exit::Configuration
        }
    }
}

fn signed(args: &Args) -> Result<Vec<u8>, Vec<String>> {
    let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let env = Env::process();
    let settings = Settings {
        secrets: verify::secrets(&args.secret, &env).map_err(|e| one(&e))?,
        params: verify::params(&args.param, &env).map_err(|e| one(&e))?,
        url: args.url.clone(),
    };
    let source = Source::preset(&args.source, settings)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let body = match args.body.as_deref() {
        None => None,
        Some(file) if file.as_os_str() == "-" => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body).map_err(|e| one(&e))?;
            Some(Bytes::from(body))
        }
        Some(file) => Some(std::fs::read(file).map_err(|e| vec![format!("{}: {e}", file.display())])?.into()),
    };
    let target = args.path.clone().unwrap_or_else(|| format!("/tdmq/{}", args.source));
    let (path, raw_query) = target.split_once('?').unwrap_or((&target, ""));
    let draft = Draft {
        path: path.to_owned(),
        raw_query: raw_query.to_owned(),
        body,
        event: args.event.clone(),
        ..Draft::default()
    };
    let now = Clock::system().now();
    let request = source.sign(draft, 0, now, &Random::system()).map_err(|e| one(&e))?;
    if let Some(key) = source.public_key(0) {
        eprintln!("the public key, which verifies it: {key}");
    }
    let signed = Signed {
        method: &request.method,
        path: &request.path,
        raw_query: &request.raw_query,
        headers: &request.headers,
        body: &request.body,
        at: now,
    };
    Ok(signed.print(args.trigger))
}
