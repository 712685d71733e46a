//! `hookmq sign`: prints a request of a provider, signed now; on demand a broken one.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::ArgGroup;
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::env::Env;
use hookmq_shared::http::Request;
use hookmq_shared::source::{Draft, Settings, Source, Tamper};

use crate::trigger::{Signed, Trigger};
use crate::{Exit, complain, print, verify};

/// The arguments that describe the request, common to `sign` and `send`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["hook", "source", "verify"])))]
pub(crate) struct Recipe {
    /// A hook of the hooks file
    #[arg(long, value_name = "NAME")]
    pub hook: Option<String>,
    /// The hooks file; default: the one that a function would read
    #[arg(long, value_name = "FILE", requires = "hook")]
    pub hooks: Option<PathBuf>,
    /// A preset
    #[arg(long, value_name = "PRESET")]
    pub source: Option<String>,
    /// A TOML file with a `[verify]` table
    #[arg(long, value_name = "FILE")]
    pub verify: Option<PathBuf>,
    /// The secret, or a reference (`env:NAME`, `file:PATH`); for a public-key source the private key's seed;
    /// replaces the hook's own
    #[arg(long, value_name = "VALUE")]
    pub secret: Vec<String>,
    /// A parameter of the preset; not with --hook, which has its own
    #[arg(long, value_name = "NAME=VALUE", value_parser = verify::pair, conflicts_with = "hook")]
    pub param: Vec<(String, String)>,
    /// The event's name; default: the preset's sample
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// The request's body; - for standard input; default: the preset's sample
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// Break the request: flip a bit of the body or of the signature, sign it (validly) with an old
    /// timestamp, or sign it with another secret
    #[arg(long, value_name = "body|signature|timestamp|secret", value_parser = tamper)]
    pub tamper: Option<Tamper>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) recipe: Recipe,
    /// The request's path, and query if any; default: /tdmq/PRESET, the hook's path, or /hook
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The public URL, for schemes that sign it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print the event of this trigger, or HTTP
    #[arg(long, value_enum, default_value = "http")]
    trigger: Trigger,
}

fn tamper(text: &str) -> Result<Tamper, String> {
    let known = || format!("write {}", Tamper::ALL.map(Tamper::as_str).join(", "));
    Tamper::ALL.into_iter().find(|tamper| tamper.as_str() == text).ok_or_else(known)
}

pub(crate) fn run(args: &Args) -> Exit {
    let request = match args.recipe.request(args.path.as_deref(), args.url.clone()) {
        Ok(request) => request,
        Err(errors) => {
            errors.iter().for_each(complain);
            return Exit::Configuration;
        }
    };
    let signed = Signed {
        method: &request.method,
        path: &request.path,
        raw_query: &request.raw_query,
        headers: &request.headers,
        body: &request.body,
        at: Clock::system().now(),
    };
    let exit = print(&signed.print(args.trigger));
    if std::io::stdout().is_terminal() {
        // A body has no line end of its own, and the prompt would stand behind it.
        crate::say!();
    }
    exit
}

/// Path of a request for a `[verify]` table that no hook has.
const OWN: &str = "/hook";

impl Recipe {
    /// Returns the source, and the path at which a function has it, or every mistake in the arguments.
    fn source(&self, url: Option<String>) -> Result<(Arc<Source>, String), Vec<String>> {
        let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
        let env = Env::process();
        let secrets = verify::secrets(&self.secret, &env).map_err(|e| one(&e))?;
        if let Some(hook) = &self.hook {
            return verify::of_hook(hook, self.hooks.as_deref(), &secrets, &env);
        }
        let preset = self.source.as_deref().unwrap_or_default();
        let params = verify::params(&self.param, &env).map_err(|e| one(&e))?;
        let settings = Settings { secrets, params, url };
        if let Some(file) = &self.verify {
            return Ok((Arc::new(verify::of_file(file, settings)?), OWN.to_owned()));
        }
        let source = Source::preset(preset, settings).map_err(|errors| verify::as_options(&errors))?;
        Ok((Arc::new(source), format!("/tdmq/{preset}")))
    }

    /// Builds the request to `target` (a path, and a query if any; `None` for the source's own), or returns
    /// every mistake in the arguments.
    pub(crate) fn request(&self, target: Option<&str>, url: Option<String>) -> Result<Request, Vec<String>> {
        let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
        let (source, own) = self.source(url)?;
        let target = target.unwrap_or(&own);
        let body = match self.body.as_deref() {
            None => None,
            Some(file) if file.as_os_str() == "-" => {
                let mut body = Vec::new();
                std::io::stdin().read_to_end(&mut body).map_err(|e| one(&e))?;
                Some(Bytes::from(body))
            }
            Some(file) => {
                Some(std::fs::read(file).map_err(|e| vec![format!("{}: {e}", file.display())])?.into())
            }
        };
        let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let draft = Draft {
            path: path.to_owned(),
            raw_query: raw_query.to_owned(),
            body,
            event: self.event.clone(),
            tamper: self.tamper,
            ..Draft::default()
        };
        let request = source.sign(draft, 0, Clock::system().now(), &Random::system()).map_err(|e| one(&e))?;
        if let Some(key) = source.public_key(0) {
            eprintln!("the public key, which verifies it: {key}");
        }
        Ok(request)
    }
}
