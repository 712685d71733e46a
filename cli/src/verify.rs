//! `hookmq verify`: tells if a function would accept a request, and if not, why.
//!
//! The request is described by `-H`, `--body` and `--method`, or piped in as `hookmq sign` prints it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use clap::ArgGroup;
use hookmq_shared::clock::{Clock, Timestamp};
use hookmq_shared::config::{Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::secret::{Secret, SecretRef};
use hookmq_shared::source::{BuildError, Settings, Source, VerifyOutcome};
use toml::de::DeTable;

use crate::{Exit, batch, check, complain, trigger};

#[derive(clap::Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(["hook", "source", "verify", "batch"])),
    override_usage = "hookmq verify [OPTIONS] <--hook <NAME>|--source <PRESET>|--verify <FILE>>"
)]
pub(crate) struct Args {
    /// A hook of the hooks file
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// The hooks file; default: the one that a function would read
    #[arg(long, value_name = "FILE", requires = "hook")]
    hooks: Option<PathBuf>,
    /// A preset
    #[arg(long, value_name = "PRESET")]
    source: Option<String>,
    /// A TOML file with a `[verify]` table
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,
    /// The secret, or a reference (`env:NAME`, `file:PATH`); replaces the hook's own
    #[arg(long, value_name = "VALUE")]
    secret: Vec<String>,
    /// A parameter of the preset; not with --hook, which has its own
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "hook")]
    param: Vec<(String, String)>,
    /// The time of receipt, in Unix seconds; default: now
    #[arg(long, value_name = "UNIX")]
    at: Option<i64>,
    /// The request's method; default: POST
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// The public URL that was called
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A header field of the request
    #[arg(short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The request's body; - for standard input; default: empty
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Print the step that failed and the string that was signed, with the secret masked
    #[arg(long)]
    explain: bool,
    /// Verify many requests of presets, one JSON object a line on standard input
    #[arg(long, hide = true, exclusive = true)]
    batch: bool,
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn run(args: &Args) -> Exit {
    if args.batch {
        return batch::run();
    }
    let source = match source(args) {
        Ok(source) => source,
        Err(errors) => {
            errors.iter().for_each(complain);
            return Exit::Configuration;
        }
    };
    let request = match request(args) {
        Ok(request) => request,
        Err(error) => {
            complain(error);
            return Exit::Configuration;
        }
    };
    let at = args.at.map_or_else(|| Clock::system().now(), Timestamp::from_unix);
    let explanation = source.explain(&request, at);
    let told = explanation.to_string();
    if args.explain {
        crate::print(told.as_bytes());
    } else if let Some(verdict) = told.lines().next() {
        crate::say!("{verdict}");
    }
    match explanation.outcome {
        VerifyOutcome::Rejected(..) => Exit::Bad,
        VerifyOutcome::Verified(_) | VerifyOutcome::Handshake(_) => Exit::Good,
    }
}

/// Builds the source that the arguments describe, or returns every mistake in them.
fn source(args: &Args) -> Result<Arc<Source>, Vec<String>> {
    let env = Env::process();
    let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let secrets = secrets(&args.secret, &env).map_err(|e| one(&e))?;
    let settings = Settings {
        secrets: secrets.clone(),
        params: params(&args.param, &env).map_err(|e| one(&e))?,
        url: args.url.clone(),
    };
    if let Some(preset) = &args.source {
        return Source::preset(preset, settings).map(Arc::new).map_err(|errors| as_options(&errors));
    }
    if let Some(file) = &args.verify {
        return of_file(file, settings).map(Arc::new);
    }
    let name = args.hook.as_deref().unwrap_or_default();
    of_hook(name, args.hooks.as_deref(), &secrets, &env).map(|(source, _)| source)
}

/// Returns the source of a hook of the hooks file, and its path on a function; `secrets`, if any, replace the
/// hook's own.
pub(crate) fn of_hook(
    name: &str,
    hooks: Option<&Path>,
    secrets: &[Secret],
    env: &Env,
) -> Result<(Arc<Source>, String), Vec<String>> {
    let with = Reading {
        env,
        samples: Samples::Accepted,
        secrets: if secrets.is_empty() { None } else { Some(secrets) },
        over_http: false,
    };
    let config = check::hooks(hooks, with);
    let hook = config.hook(name).ok_or_else(|| {
        let mut errors: Vec<String> = config.mistakes.iter().map(ToString::to_string).collect();
        errors.push(format!("there is no valid hook named {name}"));
        errors
    })?;
    let source = hook.source.current().ok_or_else(|| {
        vec![format!("only a running function can read the secrets of {name}: pass --secret and --source")]
    })?;
    Ok((source, format!("{}{}", config.base_path, hook.path)))
}

/// Builds a source from a TOML file with a `[verify]` table.
pub(crate) fn of_file(file: &Path, settings: Settings) -> Result<Source, Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| vec![format!("{}: {e}", file.display())])?;
    custom(&file.display().to_string(), &text, settings)
}

/// Builds a source from the file's `[verify]` table, or from the whole file if it has no such table.
fn custom(file: &str, text: &str, settings: Settings) -> Result<Source, Vec<String>> {
    let mistakes = Mistakes::new(file, text);
    let document = DeTable::parse(text).map_err(|e| vec![format!("{file}: {e}")])?;
    let root = Table::new(&mistakes, "", 0, document.get_ref());
    let table = if root.has("verify") { root.table("verify") } else { Some(root) };
    let built = table.ok_or_else(Vec::new).and_then(|table| Source::custom(table, settings));
    built.map_err(|errors| {
        let found = mistakes.into_sorted();
        found.iter().map(ToString::to_string).chain(as_options(&errors)).collect()
    })
}

/// Writes mistakes in settings in the words of the command line, not of a hooks file.
pub(crate) fn as_options(errors: &[BuildError]) -> Vec<String> {
    let told = |BuildError { key, message }: &BuildError| match key.split_once('.') {
        Some(("params", name)) if message.starts_with("missing: ") => {
            format!("--param {name}=VALUE is {message}")
        }
        Some(("params", name)) => format!("--param {name}: {message}"),
        _ => match key.as_str() {
            "secrets" if message.starts_with("missing") => {
                "--secret is missing: write --secret env:NAME, or the secret itself".to_owned()
            }
            "url" => "--url is missing: the sender signs the address, so write it as it is set at the sender"
                .to_owned(),
            "source" => format!("--source: {message}"),
            key if key.starts_with("secrets") => format!("--secret: {message}"),
            _ => format!("{key}: {message}"),
        },
    };
    errors.iter().map(told).collect()
}

pub(crate) fn secrets(values: &[String], env: &Env) -> Result<Vec<Secret>, Box<dyn Error>> {
    let resolve = |value: &String| Ok(SecretRef::parse_or_literal(value)?.resolve(env)?);
    values.iter().map(resolve).collect()
}

pub(crate) fn params(
    pairs: &[(String, String)],
    env: &Env,
) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut params = BTreeMap::new();
    for (name, value) in pairs {
        let read = SecretRef::parse_or_literal(value).and_then(|reference| reference.resolve(env));
        let value = read.map_err(|error| format!("--param {name}: {error}"))?;
        let text = value.expose_str().ok_or_else(|| format!("{name} is not UTF-8 text"))?;
        params.insert(name.clone(), text.to_owned());
    }
    Ok(params)
}

fn request(args: &Args) -> Result<Request, Box<dyn Error>> {
    let mut body = Vec::new();
    let is_described = args.method.is_some() || !args.header.is_empty() || args.body.is_some();
    if !is_described && !std::io::stdin().is_terminal() {
        std::io::stdin().read_to_end(&mut body)?;
        if !body.is_empty() {
            return Ok(trigger::read(&body)?);
        }
    }
    match args.body.as_deref() {
        None => {}
        Some(file) if file.as_os_str() == "-" => drop(std::io::stdin().read_to_end(&mut body)?),
        Some(file) => body = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?,
    }
    let headers = args.header.iter().map(|(name, value)| (name, value.clone())).collect();
    described(args.method.as_deref(), args.url.as_deref(), headers, body)
}

/// Builds a request from its parts; the path and the query are those of the public URL.
pub(crate) fn described(
    method: Option<&str>,
    url: Option<&str>,
    headers: Headers,
    body: Vec<u8>,
) -> Result<Request, Box<dyn Error>> {
    let url: http::Uri = url.unwrap_or("/").parse()?;
    Ok(Request {
        method: method.unwrap_or("POST").to_ascii_uppercase(),
        path: url.path().to_owned(),
        raw_query: url.query().unwrap_or_default().to_owned(),
        headers,
        body: Bytes::from(body),
        request_id: String::new(),
        received: tokio::time::Instant::now(),
        source_ip: None,
        deadline: None,
    })
}
