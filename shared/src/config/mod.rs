//! Configuration from `hooks.toml` and the environment (see `docs/configuration.md`).
//!
//! Loading never fails. All mistakes are reported together, with file and line. A broken hook answers HTTP
//! 503 while the sound ones serve, because a failing initialization would take every hook down.

mod hook;
mod keeping;
mod keys;
mod plan;
mod published;
mod rate;
mod rotation;
mod syntax;
mod target;
mod topics;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::files::unreadable;
use crate::hops::Hops;
use crate::queue::Target;
pub use crate::reader::{Mistake, Severity};
use crate::reader::{Mistakes, Table};
use crate::readiness::ReadinessRule;
use crate::secret::Secret;
use crate::source::{Blueprint, MAX_BODY, TokenNames};
pub use hook::Hook;
pub use keeping::{Keeping, Mode, Oversize};
pub use published::is_published;
pub use rate::{Excess, Rate};
pub use rotation::Rotation;
pub use target::Named;

/// Name of the variable with the text of the hooks.
pub const HOOKS: &str = "HOOKS";
/// Name of the variable with the path of the file of hooks.
pub const HOOKS_FILE: &str = "HOOKS_FILE";
/// Name of the variable with the path that stands before each hook's.
pub const BASE_PATH: &str = "BASE_PATH";
/// Name of the variable with the URI of this service in each message's `source`.
pub const SOURCE_URI: &str = "SOURCE_URI";

/// Text of the workspace's own `hooks.toml` at build time, because SAM's build copies only the binary.
const BUILT_IN: &str = include_str!("../../../hooks.toml");

/// Upper bound on the length of `SOURCE_URI`, in bytes.
const MAX_SOURCE_URI: usize = 512;

/// Upper bound on the size of a hooks file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Policy for the sample secrets of this repository, which are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Refusal of sample secrets, wherever real webhooks arrive.
    Refused,
    /// Acceptance of sample secrets, in the demo, in tests, and in local invokes that ask for it.
    Accepted,
}

/// Inputs for reading a hooks file.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    /// Environment for `env:` references and the variables of `docs/configuration.md`.
    pub env: &'r Env,
    /// Policy for sample secrets.
    pub samples: Samples,
    /// Secrets that replace those of every hook: the command line's `--secret`.
    pub secrets: Option<&'r [Secret]>,
    /// True if requests arrive over HTTP, possibly through a proxy. A hook that admits private networks, to
    /// which a proxy may belong, is then broken until `TRUST_PROXIES` is set. If false, such a hook only gets
    /// a warning, on an HTTP host.
    pub over_http: bool,
}

impl<'r> Reading<'r> {
    /// Returns the inputs of a function: `secrets` is `None` and `over_http` is false.
    pub fn new(env: &'r Env, samples: Samples) -> Self {
        Self { env, samples, secrets: None, over_http: false }
    }
}

/// Configuration of a function, with sound and broken hooks.
#[derive(Debug)]
pub struct Config {
    /// Prefix that the trigger puts before hook paths: empty, or `/something`.
    pub base_path: String,
    /// Prefix of the CloudEvents `source`.
    pub source_uri: String,
    /// Origin of the hooks: a path, a variable, or the built-in file.
    pub file: String,
    /// Mistakes in the hooks file.
    pub mistakes: Vec<Mistake>,
    /// Problems of the environment that do not concern a target or a store and do not end the process.
    pub problems: Vec<EnvProblem>,
    /// Sound targets of the hooks file.
    pub targets: Vec<Named>,
    hooks: Vec<Entry>,
    /// True if every hook's path is known. If false, an unknown path may be that of a broken hook.
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    path: String,
    /// Hook, or `None` if it is broken.
    hook: Option<Hook>,
}

/// Result of looking up a path.
#[derive(Debug)]
pub enum Lookup<'c> {
    /// Sound hook at the path.
    Hook(&'c Hook),
    /// Name of a broken hook, or `?` if the path may belong to a hook that could not be read.
    Broken(&'c str),
    /// Path without a hook.
    Unknown,
}

impl Config {
    /// Finds the hooks text (`HOOKS`, `HOOKS_FILE`, `hooks.toml` beside the binary or in the folder where the
    /// process starts, the built-in one) and reads it.
    pub fn load(with: Reading<'_>) -> Self {
        if let Some(text) = with.env.text(HOOKS) {
            return Self::parse(HOOKS, &text, with);
        }
        let is_file = |path: &PathBuf| path.is_file();
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("hooks.toml")).filter(is_file);
        let here = || Some(PathBuf::from("./hooks.toml")).filter(is_file);
        match with.env.get(HOOKS_FILE).map(PathBuf::from).or_else(beside).or_else(here) {
            Some(path) => Self::read(&path, with),
            None => Self::parse("hooks.toml (built in)", BUILT_IN, with),
        }
    }

    /// Reads a hooks file from disk. An unreadable file is a mistake.
    pub fn read(path: &std::path::Path, with: Reading<'_>) -> Self {
        use std::io::Read as _;
        let name = path.display().to_string();
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_string(&mut text));
        let unreadable = match read {
            Ok(_) if text.len() as u64 <= MAX_FILE => return Self::parse(&name, &text, with),
            Ok(_) => "the file is over 1 MiB".to_owned(),
            Err(e) => format!("cannot read the file: {}", unreadable(e.kind())),
        };
        let mistakes = Mistakes::new(name, "");
        mistakes.error(0, "", unreadable);
        Self::new(with.env, Vec::new(), Vec::new(), mistakes, false)
    }

    /// Reads hooks from `text`. `file` is the name under which mistakes are reported.
    ///
    /// ```
    /// use hookmq_shared::config::{Config, Lookup, Reading, Samples};
    /// use hookmq_shared::env::Env;
    ///
    /// let hooks = r#"
    /// [hooks.github]
    /// source = "github"
    /// secrets = ["env:GITHUB_SECRET"]
    /// topic = "tenant/webhooks/{event}"
    ///
    /// [hooks.stripe]
    /// source = "strype"
    /// secrets = ["env:STRIPE_SECRET"]
    /// topic = "tenant/webhooks/stripe"
    /// "#;
    /// let env = Env::of([("GITHUB_SECRET", "a long random text"), ("STRIPE_SECRET", "whsec_of_stripe")]);
    /// let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
    ///
    /// // The mistake breaks the one hook, and the other is served.
    /// let mistake = config.mistakes[0].to_string();
    /// assert!(mistake.starts_with("hooks.toml:8: error: hooks.stripe.source: "), "{mistake}");
    /// assert!(matches!(config.lookup("/github"), Lookup::Hook(hook) if hook.name == "github"));
    /// assert!(matches!(config.lookup("/stripe"), Lookup::Broken("stripe")));
    /// assert!(matches!(config.lookup("/gitlab"), Lookup::Unknown));
    /// ```
    pub fn parse(file: &str, text: &str, with: Reading<'_>) -> Self {
        let mistakes = Mistakes::new(file, text);
        let usable = syntax::usable(text, &mistakes);
        // The usable part parses without errors, so nothing is recovered here.
        let (document, _) = DeTable::parse_recoverable(&usable.text);
        let mut hooks = Vec::new();
        let root = Table::new(&mistakes, "", 0, document.get_ref());
        let targets = target::read_all(&root);
        let before = mistakes.errors();
        let tables = root.table("hooks").map(|table| table.named_tables()).unwrap_or_default();
        root.finish();
        let mut complete = usable.is_all && mistakes.errors() == before;
        let tokens = Arc::new(token_names(file, document.get_ref()));
        for (name, table) in tables {
            let before = mistakes.errors();
            let path = hook::path(&name, &table);
            complete &= path.is_some();
            let path = path.unwrap_or_else(|| format!("/{}", name.value));
            let hook = hook::read(&name, &path, &table, with, &targets, &tokens);
            let offset = table.place("path");
            table.finish();
            let sound = mistakes.errors() == before && !usable.is_spoiled(name.value);
            let hook = hook.filter(|_| sound);
            hooks.push((offset, Entry { name: name.value.to_owned(), path, hook }));
        }
        refuse_shared_paths(&mut hooks, &mistakes);
        if hooks.is_empty() && mistakes.errors() == 0 {
            mistakes.warning(0, "hooks", "there is no hook: add a [hooks.NAME] table");
        }
        let hooks = hooks.into_iter().map(|(_, entry)| entry).collect();
        Self::new(with.env, targets, hooks, mistakes, complete)
    }

    fn new(env: &Env, targets: Vec<Named>, hooks: Vec<Entry>, mistakes: Mistakes, complete: bool) -> Self {
        let base_path = env.get(BASE_PATH).unwrap_or_default();
        let base_path = base_path.trim_matches('/');
        let source_uri = env.get(SOURCE_URI).unwrap_or_default().trim_end_matches('/').to_owned();
        let mut problems = Vec::new();
        problems.extend(ReadinessRule::from_env(env).err());
        problems.extend(Hops::from_env(env).err());
        let (mut hooks, mut complete) = (hooks, complete);
        if source_uri.len() > MAX_SOURCE_URI || !source_uri.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!("is not a URI of up to {MAX_SOURCE_URI} bytes, so no message can carry it");
            problems.push(EnvProblem { variable: SOURCE_URI, message });
            // Otherwise every delivery would get a 422, which is for faults of the sender.
            (hooks, complete) = (Vec::new(), false);
        }
        Self {
            base_path: if base_path.is_empty() { String::new() } else { format!("/{base_path}") },
            source_uri,
            file: mistakes.file().to_owned(),
            mistakes: mistakes.into_sorted(),
            problems,
            targets,
            hooks,
            complete,
        }
    }

    /// Returns a request's path without `BASE_PATH` and without a slash at its end. Several slashes count as
    /// one: an address that ends with a slash and a path make `//github`.
    pub fn below_base<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if path.contains("//") {
            let mut single = String::with_capacity(path.len());
            for segment in path.split('/').filter(|segment| !segment.is_empty()) {
                single.extend(["/", segment]);
            }
            return single.strip_prefix(self.base_path.as_str()).unwrap_or(&single).to_owned().into();
        }
        let path = path.strip_prefix(self.base_path.as_str()).unwrap_or(path);
        path.strip_suffix('/').unwrap_or(path).into()
    }

    /// Looks up the hook at a request's path, which still contains `BASE_PATH`.
    pub fn lookup(&self, path: &str) -> Lookup<'_> {
        let path = self.below_base(path);
        match self.hooks.iter().find(|entry| entry.path == path) {
            Some(Entry { hook: Some(hook), .. }) => Lookup::Hook(hook),
            Some(entry) => Lookup::Broken(&entry.name),
            None if self.complete => Lookup::Unknown,
            None => Lookup::Broken("?"),
        }
    }

    /// Returns the target's entry in the hooks file, or `None` for a target that the environment defines.
    fn named(&self, target: &Target) -> Option<&Named> {
        self.targets.iter().find(|named| named.target == *target)
    }

    /// Returns the context for a target's client: the function's context, with the variables that the target
    /// sets.
    pub fn context_of(&self, target: &Target, context: &Context) -> Context {
        let env = self.named(target).map_or_else(|| context.env.clone(), |named| named.env(&context.env));
        Context { env, ..context.clone() }
    }

    /// Describes a problem of a target's environment under the name that the user gave the setting.
    pub fn locate(&self, target: &Target, problem: &EnvProblem) -> String {
        self.named(target).map_or_else(|| problem.to_string(), |named| named.locate(problem))
    }

    /// Returns true if the problem is in the hooks file, not in the environment.
    pub fn is_own(&self, target: &Target, problem: &EnvProblem) -> bool {
        self.named(target).is_some_and(|named| named.is_own(problem))
    }

    /// Returns the sound hooks.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter_map(|entry| entry.hook.as_ref())
    }

    /// Returns the names of all hooks, sound and broken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hooks.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the names of the broken hooks, or `-` if the names are not known either.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        let named = self.hooks.iter().filter(|entry| entry.hook.is_none()).map(|entry| entry.name.as_str());
        named.chain((!self.complete && self.hooks.is_empty()).then_some("-"))
    }

    /// Returns the hook of that name, if it is sound.
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.hooks().find(|hook| hook.name == name)
    }

    /// Returns the largest body that any hook takes, in bytes. A broken hook counts with the default, because
    /// its deliveries must get a 503, not a 413 that makes the sender drop them. A configuration without
    /// hooks also counts with the default, so that its answer is a 404.
    pub fn max_body(&self) -> usize {
        let sound = self.hooks().map(|hook| hook.max_body).max().unwrap_or(0);
        let is_whole = self.complete && self.hooks.iter().all(|entry| entry.hook.is_some());
        if is_whole && sound > 0 { sound } else { sound.max(MAX_BODY) }
    }

    /// Returns true if the hooks file has errors. Warnings do not count.
    pub fn has_mistakes(&self) -> bool {
        self.mistakes.iter().any(|m| m.severity == Severity::Error)
    }

    /// Returns true if the hooks file or the environment has errors.
    pub fn has_errors(&self) -> bool {
        !self.problems.is_empty() || self.has_mistakes()
    }
}

/// Collects the names of the tokens in the hooks' own `[verify]` tables. Mistakes are ignored here; they are
/// reported when each hook is read.
fn token_names(file: &str, document: &DeTable<'_>) -> TokenNames {
    let unheard = Mistakes::new(file, "");
    let mut tokens = TokenNames::default();
    let hooks = Table::new(&unheard, "", 0, document).table("hooks");
    for (_, hook) in hooks.map(|table| table.named_tables()).unwrap_or_default() {
        if let Some(Ok(own)) = hook.table("verify").map(Blueprint::custom) {
            own.teach(&mut tokens);
        }
    }
    tokens
}

/// Reports hooks that share a path and marks them all as broken.
fn refuse_shared_paths(hooks: &mut [(usize, Entry)], mistakes: &Mistakes) {
    let paths: Vec<(String, String)> =
        hooks.iter().map(|(_, entry)| (entry.path.clone(), entry.name.clone())).collect();
    for (i, (offset, entry)) in hooks.iter_mut().enumerate() {
        let other = paths.iter().enumerate().find(|(other, (path, _))| *other != i && *path == entry.path);
        if let Some((_, (path, name))) = other {
            let message = format!("the hook {name} has the path {path} too: give each its own");
            mistakes.error(*offset, &format!("hooks.{}.path", entry.name), message);
            entry.hook = None;
        }
    }
}

#[cfg(test)]
mod tests;
