//! `hookmq sign`: prints a request of a provider, signed now; on demand a broken one.

use std::io::Read as _;
use std::path::PathBuf;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::env::Env;
use hookmq_shared::http::Request;
use hookmq_shared::source::{Draft, Settings, Source, Tamper};

use crate::trigger::{Signed, Trigger};
use crate::{Exit, complain, print, verify};

/// The arguments that describe the request, common to `sign` and `send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Recipe {
    /// The preset
    #[arg(long, value_name = "PRESET")]
    pub source: String,
    /// The secret, or a reference (`env:NAME`, `file:PATH`); for a public-key source the private key's seed
    #[arg(long, value_name = "VALUE")]
    pub secret: Vec<String>,
    /// A parameter of the preset
    #[arg(long, value_name = "NAME=VALUE", value_parser = verify::pair)]
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
    recipe: Recipe,
    /// The request's path, and query if any; default: /tdmq/PRESET
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
    let target = args.path.clone().unwrap_or_else(|| format!("/tdmq/{}", args.recipe.source));
    let request = match args.recipe.request(&target, args.url.clone()) {
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
    print(&signed.print(args.trigger))
}

impl Recipe {
    /// Builds the request to `target` (a path, and a query if any), or returns every mistake in the
    /// arguments.
    pub(crate) fn request(&self, target: &str, url: Option<String>) -> Result<Request, Vec<String>> {
        let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
        let env = Env::process();
        let settings = Settings {
            secrets: verify::secrets(&self.secret, &env).map_err(|e| one(&e))?,
            params: verify::params(&self.param, &env).map_err(|e| one(&e))?,
            url,
        };
        let source = Source::preset(&self.source, settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
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
