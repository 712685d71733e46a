//! `hookmq check`: reports every mistake at once, each with its line; with `--live`, also the answer of each
//! vendor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::config::{Config, HOOKS, HOOKS_FILE, Hook, Reading, Samples, Severity};
use hookmq_shared::context::Context;
use hookmq_shared::env::{Env, EnvProblem};
use hookmq_shared::host;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::{Client, Queue as _, Target, Vendor};
use hookmq_shared::spill::Spill;

use crate::limits::{EnvFile, Judged, Limits, LimitsError, Place, Settings, judge};
use crate::{Exit, asyncapi, complain, live};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; default: the one that a function would read
    file: Option<PathBuf>,
    /// Print the address of each hook of a deployment with this base address, which has no hook's path
    #[arg(long, value_name = "BASE")]
    url: Option<String>,
    /// Also ask each vendor, with one signed call that stores nothing, and print its answer. Try each
    /// store as well: write a small object, then read and delete it where that is allowed
    #[arg(long)]
    live: bool,
    /// Read the variables from this file, one NAME=VALUE a line, and none from the environment
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Also judge the hooks and the variables by the limits of this platform (lambda, scf,
    /// functiongraph-huawei, functiongraph-otc, http) and trigger
    #[arg(long, value_name = "PLATFORM[/TRIGGER]")]
    deploy: Option<Place>,
    /// Region of the deployment, for --deploy
    #[arg(long, requires = "deploy")]
    region: Option<String>,
    /// Print the channels and messages of the hooks as an AsyncAPI 3 document, and nothing else
    #[arg(long, conflicts_with_all = ["url", "live", "deploy"])]
    asyncapi: bool,
}

/// Reads the named file, else the one that a function would read in this folder and environment.
pub(crate) fn hooks(file: Option<&Path>, with: Reading<'_>) -> Config {
    match file {
        Some(file) => Config::read(file, with),
        None => Config::load(with),
    }
}

pub(crate) async fn run(args: &Args) -> Exit {
    let (file, base) = (args.file.as_deref(), args.url.as_deref());
    let env_file = match args.env_file.as_deref().map(EnvFile::read).transpose() {
        Ok(env_file) => env_file,
        Err(error) => {
            complain(error);
            return Exit::Configuration;
        }
    };
    let env = env_file.as_ref().map_or_else(Env::process, |env_file| Env::of(env_file.variables()));
    let (env, asked) = env.watched();
    let context = Context { env, ..Context::system() };
    let with = Reading::new(&context.env, Samples::Refused);
    let config = hooks(file, with);
    if args.asyncapi {
        return described(&config);
    }
    for mistake in &config.mistakes {
        crate::say!("{mistake}");
    }
    let other = [HOOKS, HOOKS_FILE].into_iter().find(|name| context.env.get(name).is_some());
    if let (Some(variable), Some(_)) = (other, file) {
        crate::say!("{NOTE}: {variable} is set: a function reads that in place of {}", config.file);
    }
    let wrong = host::survey(&context, |context| of_stores_and_hooks(file, context));
    for problem in &wrong {
        crate::say!("environment: error: {problem}");
    }
    let mut errors = config.has_mistakes() || !wrong.is_empty();
    // Only a function sends, and it has its own environment, so a variable that is missing in this one is
    // worth a note. A variable that is set and wrong is wrong for a function too, and was told above. A
    // variable that a target's own table sets belongs to the file.
    let missing = host::incomplete(&context.env);
    for problem in &missing {
        crate::say!("{NOTE}: {problem}");
    }
    let told: Vec<_> = wrong.iter().chain(&missing).map(|problem| problem.variable).collect();
    let is_told = |problem: &EnvProblem| told.contains(&problem.variable);
    for target in targets(&config) {
        let own = config.context_of(&target, &context);
        for problem in Client::new(target.vendor(), own.clone()).problems() {
            let is_own = config.is_own(&target, &problem);
            if is_own || !is_told(&problem) {
                errors |= is_own;
                crate::say!("{}: {}", if is_own { "error" } else { NOTE }, config.locate(&target, &problem));
            }
        }
    }
    tell_windows(&config);
    let mut noted: Vec<EnvProblem> = Vec::new();
    for problem in of_stores_and_hooks(file, &context) {
        if !is_told(&problem) && !noted.contains(&problem) {
            crate::say!("{NOTE}: {problem}");
            noted.push(problem);
        }
    }
    tell_authorities(&context.env);
    if let Some(place) = &args.deploy {
        let text = text_of(&config.file, &context.env);
        match judged(place, args.region.as_deref(), (&config, &text), env_file.as_ref(), asked.found()) {
            Ok(Judged { lines, has_errors }) => {
                for line in lines {
                    crate::say!("{line}");
                }
                errors |= has_errors;
            }
            Err(error) => {
                complain(error);
                errors = true;
            }
        }
    }
    match base.map(address).transpose() {
        Ok(base) => {
            crate::print(base.map(|base| addresses(&config, base)).unwrap_or_default().as_bytes());
        }
        Err(fault) => {
            complain(format_args!("--url {}: {fault}", base.unwrap_or_default()));
            errors = true;
        }
    }
    if let Some(told) = codings(&config) {
        crate::say!("{told}");
    }
    let sound = config.hooks().count();
    let hooks = if sound == 1 { "hook" } else { "hooks" };
    crate::say!("{sound} {hooks} OK in {}{}", config.file, if errors { ", and errors" } else { "" });
    let mut exit = Exit::Good;
    if args.live {
        let (told, met) = live::run(&config, &context).await;
        crate::print(told.as_bytes());
        exit = met;
    }
    if errors { Exit::Configuration } else { exit }
}

/// Prints the channels and messages of the hooks, if all of them are sound.
fn described(config: &Config) -> Exit {
    let mut mistakes =
        config.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error).peekable();
    if mistakes.peek().is_some() || config.broken().next().is_some() {
        mistakes.for_each(complain);
        complain("a document would lack the broken hooks: mend them first");
        return Exit::Configuration;
    }
    crate::print(format!("{:#}\n", asyncapi::document(config)).as_bytes())
}

/// Notes the hooks whose sender may repeat a request that is then too old.
fn tell_windows(config: &Config) {
    for hook in config.hooks() {
        if let Some(window) = hook.source.current().and_then(|source| source.open_window()) {
            crate::say!(
                "{}: note: hooks.{}: the sender's retries are not documented: one that is signed once and over {} s old \
                 is refused, unless window is longer",
                config.file,
                hook.name,
                window.as_secs()
            );
        }
    }
}

/// Warns of authorities whose certificates cannot be verified here.
fn tell_authorities(env: &Env) {
    if let Some(path) = env.get("TLS_CA_FILE")
        && has_p521(&std::fs::read_to_string(path).unwrap_or_default())
    {
        crate::say!(
            "environment: warning: TLS_CA_FILE has a certificate with a key of P-521, which verifies nothing here: \
             have the authority use RSA, P-256, P-384 or Ed25519"
        );
    }
}

/// Describes what travels of a compressed body, if there is a hook.
fn codings(config: &Config) -> Option<String> {
    let inflates = |hook: &&Hook| hook.source.current().is_some_and(|source| source.decompresses());
    let (unpacked, rest): (Vec<_>, Vec<_>) = config.hooks().partition(inflates);
    let names = |hooks: &[&Hook]| hooks.iter().map(|hook| &*hook.name).collect::<Vec<_>>().join(", ");
    let as_received = "verified and forwarded as received, with their Content-Encoding";
    let decompressed = "decompressed, verified and forwarded without it (gzip, deflate; others are a 415)";
    match (unpacked.is_empty(), rest.is_empty()) {
        (true, true) => None,
        (true, false) => Some(format!("note: compressed bodies are {as_received}")),
        (false, true) => Some(format!("note: compressed bodies are {decompressed}")),
        (false, false) => Some(format!(
            "note: compressed bodies are {as_received}; those to {} are {decompressed}",
            names(&unpacked)
        )),
    }
}

/// Judges the hooks and the variables by the limits of a place.
fn judged(
    place: &Place,
    region: Option<&str>,
    hooks: (&Config, &str),
    env_file: Option<&EnvFile>,
    asked: BTreeMap<String, String>,
) -> Result<Judged, LimitsError> {
    let limits = Limits::read()?;
    let settings = Settings::collect(env_file, asked, (&hooks.0.file, hooks.1));
    Ok(judge(&limits, place, region, hooks, &settings))
}

/// Returns the text of the hooks file for its lines; empty if it cannot be read, which is told already.
fn text_of(file: &str, env: &Env) -> String {
    if file == HOOKS { env.text(HOOKS) } else { std::fs::read_to_string(file).ok() }.unwrap_or_default()
}

/// Returns true if a certificate in PEM names the curve P-521, by its number 1.3.132.0.35.
fn has_p521(pem: &str) -> bool {
    const NUMBER: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks.filter_map(|block| block.split("-----END").next()).any(|block| {
        let text: String = block.split_whitespace().collect();
        let der = STANDARD.decode(text).unwrap_or_default();
        der.windows(NUMBER.len()).any(|window| window == NUMBER)
    })
}

/// Label of a variable that is missing, because the deployment may set it.
const NOTE: &str = "environment: note";

/// Returns the problems of the environment that concern all hooks, or a store that is named.
fn of_stores_and_hooks(file: Option<&Path>, context: &Context) -> Vec<EnvProblem> {
    let mut problems = hooks(file, Reading::new(&context.env, Samples::Refused)).problems;
    if file.is_some() || context.env.get(HOOKS).is_some() {
        problems.extend(unread(&context.env));
    }
    let (spill, quarantine) = (Spill::from_env(context), Quarantine::from_env(context));
    let key = spill.as_ref().ok().and_then(|spill| spill.as_ref()?.store().problem());
    problems.extend([spill.err(), key, quarantine.err()].into_iter().flatten());
    problems
}

/// Returns the problem of `HOOKS_FILE` where another file is checked in its place.
fn unread(env: &Env) -> Option<EnvProblem> {
    let path = env.get(HOOKS_FILE)?;
    let message = format!("names {path}, which cannot be read");
    std::fs::read_to_string(&path).is_err().then_some(EnvProblem { variable: HOOKS_FILE, message })
}

/// Checks the base address of a deployment, and returns it without a slash at its end.
fn address(base: &str) -> Result<&str, &'static str> {
    const FORM: &str = "is not the base address of a deployment: write https://host/path, without ? and #";
    let uri: http::Uri = base.parse().map_err(|_| FORM)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_whole = uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none();
    if is_http && is_whole && !base.contains('#') { Ok(base.trim_end_matches('/')) } else { Err(FORM) }
}

/// Returns every target that a hook's deliveries may go to, and also the named targets that no hook uses.
pub(crate) fn targets(config: &Config) -> Vec<Target> {
    let named = config.targets.iter().map(|named| named.target.clone());
    let used = |vendor: &Vendor| {
        let target = Target::from(*vendor);
        config
            .hooks()
            .any(|hook| hook.targets(*vendor).contains(&target) && hook.recipe(&target, "").is_some())
    };
    Vendor::ALL.into_iter().filter(used).map(Target::from).chain(named).collect()
}

/// Formats the address to enter at each provider, for a deployment with this base.
fn addresses(config: &Config, base: &str) -> String {
    let line = |hook: &Hook| {
        let mut queues: Vec<Target> = Vec::new();
        for target in Vendor::ALL.into_iter().flat_map(|vendor| hook.targets(vendor)) {
            if hook.recipe(&target, "").is_some() && !queues.contains(&target) {
                queues.push(target);
            }
        }
        let queues: Vec<&str> = queues.iter().map(Target::name).collect();
        format!("{}: {base}{} ({})\n", hook.name, hook.path, queues.join(", "))
    };
    config.hooks().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_address_without_a_query() {
        for base in
            ["notaurl", "http://", "ftp://x", "https://x/tdmq?x=1", "https://x/#f", "https://x y", "/tdmq"]
        {
            assert!(address(base).is_err(), "{base}");
        }
        assert_eq!(address("http://127.0.0.1:9000/"), Ok("http://127.0.0.1:9000"));
    }

    #[test]
    fn a_root_with_a_key_of_p521_is_noticed() {
        let pem = |der: &[u8]| {
            let text = STANDARD.encode(der);
            let (first, rest) = text.split_at(4);
            format!("x\n-----BEGIN CERTIFICATE-----\n{first}\n{rest}\n-----END CERTIFICATE-----\n")
        };
        let p521 = [0x30, 0x10, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03];
        let p384 = [0x30, 0x10, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03];
        assert!(has_p521(&(pem(&p384) + &pem(&p521))));
        assert!(!has_p521(&pem(&p384)) && !has_p521("") && !has_p521("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn addresses_are_whole() {
        let hooks = "[hooks.a]\nsource = \"none\"\ntopic = { tdmq = \"a/b/c\", rocketmq = \"a_b\" }\n\
                     [hooks.b]\nsource = \"none\"\ntopic = \"a_b\"\npath = \"/b/c\"\n";
        let env = Env::of([("", "")]);
        let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
        for base in ["https://x.example/tdmq", "https://x.example/tdmq/"] {
            assert_eq!(
                addresses(&config, address(base).unwrap()),
                "a: https://x.example/tdmq/a (tdmq, rocketmq)\nb: https://x.example/tdmq/b/c (rocketmq)\n"
            );
        }
    }
}
