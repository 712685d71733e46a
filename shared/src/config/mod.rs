//! Configuration: `hooks.toml` and the environment (contract 2.2 and 2.3).
//!
//! Loading never fails. Every mistake is reported at once, with file and line; a broken hook answers
//! 503 while the sound ones serve, because an init that fails would take every hook down.

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

use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use crate::context::Context;
use crate::env::{Env, EnvProblem};
use crate::hops::Hops;
use crate::queue::Target;
pub use crate::reader::{Mistake, Severity};
use crate::reader::{Mistakes, Table};
use crate::readiness::Rule;
use crate::secret::Secret;
use crate::source::TokenNames;
pub use hook::Hook;
pub use keeping::{Keeping, Mode, Oversize};
pub use published::is_published;
pub use rate::{Excess, Rate};
pub use rotation::Rotation;
pub use target::Named;

/// The workspace's own `hooks.toml` at build time: SAM's build copies only the binary.
const BUILT_IN: &str = include_str!("../../../hooks.toml");

/// Longest `SOURCE_URI`, in bytes.
const MAX_SOURCE_URI: usize = 512;

/// Largest hooks file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Whether the sample secrets of this repository are accepted: everybody knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Anywhere that real webhooks come in.
    Refused,
    /// In the demo, in tests, and where a local invoke asks for it.
    Accepted,
}

/// What a hooks file is read with.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    /// For `env:` references and the variables of contract 2.2.
    pub env: &'r Env,
    /// Whether sample secrets are accepted.
    pub samples: Samples,
    /// Take the place of every hook's own: the command line's `--secret`.
    pub secrets: Option<&'r [Secret]>,
    /// Whether requests will come over HTTP, where a proxy may stand between: then a hook that believes the
    /// address of whoever connects is broken until `TRUST_PROXIES` says who that is. Elsewhere it is warned of.
    pub over_http: bool,
}

impl<'r> Reading<'r> {
    /// As a function reads it.
    pub fn new(env: &'r Env, samples: Samples) -> Self {
        Self { env, samples, secrets: None, over_http: false }
    }
}

/// All hooks of a function, the sound and the broken.
#[derive(Debug)]
pub struct Config {
    /// Prefix that the trigger puts before hook paths: empty, or `/something`.
    pub base_path: String,
    /// Prefix of the CloudEvents `source`.
    pub source_uri: String,
    /// Where the hooks were read: a path, a variable, or what is built in.
    pub file: String,
    /// Everything wrong with the hooks file.
    pub mistakes: Vec<Mistake>,
    /// Everything wrong with the environment that is not a target's or a store's, and ends no process.
    pub problems: Vec<EnvProblem>,
    /// The sound targets of the hooks file.
    pub targets: Vec<Named>,
    hooks: Vec<Entry>,
    /// Whether every hook's path is known; if not, an unknown path may be that of a broken hook.
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    path: String,
    /// `None`: broken.
    hook: Option<Hook>,
}

/// What is configured at a path.
#[derive(Debug)]
pub enum Lookup<'c> {
    /// A sound hook.
    Hook(&'c Hook),
    /// A hook with mistakes, or perhaps one: not all of the file could be understood.
    Broken(&'c str),
    /// Nothing.
    Unknown,
}

impl Config {
    /// Finds the hooks text (`HOOKS`, `HOOKS_FILE`, `hooks.toml` beside the binary, the built-in one)
    /// and reads it.
    pub fn load(with: Reading<'_>) -> Self {
        if let Some(text) = with.env.text("HOOKS") {
            return Self::parse("HOOKS", &text, with);
        }
        let beside = || {
            let path = std::env::current_exe().ok()?.parent()?.join("hooks.toml");
            path.is_file().then_some(path)
        };
        match with.env.get("HOOKS_FILE").map(PathBuf::from).or_else(beside) {
            Some(path) => Self::read(&path, with),
            None => Self::parse("hooks.toml (built in)", BUILT_IN, with),
        }
    }

    /// Reads a hooks file.
    pub fn read(path: &std::path::Path, with: Reading<'_>) -> Self {
        use std::io::Read as _;
        let name = path.display().to_string();
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_string(&mut text));
        let unreadable = match read {
            Ok(_) if text.len() as u64 <= MAX_FILE => return Self::parse(&name, &text, with),
            Ok(_) => "the file is over 1 MiB".to_owned(),
            Err(e) => format!("cannot read the file: {e}"),
        };
        let mistakes = Mistakes::new(name, "");
        mistakes.error(0, "", unreadable);
        Self::new(with.env, Vec::new(), Vec::new(), mistakes, false)
    }

    /// Reads hooks from `text`; `file` is the name that mistakes are reported under.
    pub fn parse(file: &str, text: &str, with: Reading<'_>) -> Self {
        let mistakes = Mistakes::new(file, text);
        let usable = syntax::usable(text, &mistakes);
        // It parses, so nothing is recovered here.
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
            table.finish();
            let sound = mistakes.errors() == before && !usable.is_spoiled(name.value);
            let hook = hook.filter(|_| sound);
            hooks.push((name.offset, Entry { name: name.value.to_owned(), path, hook }));
        }
        refuse_shared_paths(&mut hooks, &mistakes);
        if hooks.is_empty() && mistakes.errors() == 0 {
            mistakes.warning(0, "hooks", "there is no hook: add a [hooks.NAME] table");
        }
        let hooks = hooks.into_iter().map(|(_, entry)| entry).collect();
        Self::new(with.env, targets, hooks, mistakes, complete)
    }

    fn new(env: &Env, targets: Vec<Named>, hooks: Vec<Entry>, mistakes: Mistakes, complete: bool) -> Self {
        let base_path = env.get("BASE_PATH").unwrap_or_default();
        let base_path = base_path.trim_matches('/');
        let source_uri = env.get("SOURCE_URI").unwrap_or_default().trim_end_matches('/').to_owned();
        let mut problems = Vec::new();
        problems.extend(Rule::from_env(env).err());
        problems.extend(Hops::from_env(env).err());
        let (mut hooks, mut complete) = (hooks, complete);
        if source_uri.len() > MAX_SOURCE_URI || !source_uri.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!("is no URI of {MAX_SOURCE_URI} bytes at most: no message can carry it");
            problems.push(EnvProblem { variable: "SOURCE_URI", message });
            // Else every delivery would be a 422, which is for faults of the sender.
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

    /// What is configured at the path of a request, `BASE_PATH` still in it.
    pub fn lookup(&self, path: &str) -> Lookup<'_> {
        let path = path.strip_prefix(self.base_path.as_str()).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        match self.hooks.iter().find(|entry| entry.path == path) {
            Some(Entry { hook: Some(hook), .. }) => Lookup::Hook(hook),
            Some(entry) => Lookup::Broken(&entry.name),
            None if self.complete => Lookup::Unknown,
            None => Lookup::Broken("?"),
        }
    }

    /// What the hooks file says of the target; nothing of those that are the environment's own.
    fn named(&self, target: &Target) -> Option<&Named> {
        self.targets.iter().find(|named| named.target == *target)
    }

    /// What the target's client is given: the function's context, with the variables that the target sets.
    pub fn context_of(&self, target: &Target, context: &Context) -> Context {
        let env = self.named(target).map_or_else(|| context.env.clone(), |named| named.env(&context.env));
        Context { env, ..context.clone() }
    }

    /// What is wrong with a target's environment, under the name that the user gave it.
    pub fn locate(&self, target: &Target, problem: &EnvProblem) -> String {
        self.named(target).map_or_else(|| problem.to_string(), |named| named.locate(problem))
    }

    /// Whether that stands in the hooks file, and not in the environment.
    pub fn is_own(&self, target: &Target, problem: &EnvProblem) -> bool {
        self.named(target).is_some_and(|named| named.is_own(problem))
    }

    /// The sound hooks.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter_map(|entry| entry.hook.as_ref())
    }

    /// The names of all hooks, the sound and the broken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hooks.iter().map(|entry| entry.name.as_str())
    }

    /// The names of the broken hooks; `-` where not even the names are known.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        let named = self.hooks.iter().filter(|entry| entry.hook.is_none()).map(|entry| entry.name.as_str());
        named.chain((!self.complete && self.hooks.is_empty()).then_some("-"))
    }

    /// The hook of that name, if it is sound.
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.hooks().find(|hook| hook.name == name)
    }

    /// The largest body that any hook takes, in bytes. A broken hook counts with the default: its
    /// deliveries must get its 503, not a 413 that makes the sender drop them. So does no hook at all,
    /// for its 404.
    pub fn max_body(&self) -> usize {
        let sound = self.hooks().map(|hook| hook.max_body).max().unwrap_or(0);
        let is_whole = self.complete && self.hooks.iter().all(|entry| entry.hook.is_some());
        if is_whole && sound > 0 { sound } else { sound.max(hook::MAX_BODY) }
    }

    /// Whether there are errors in the hooks file (warnings do not count).
    pub(crate) fn has_mistakes(&self) -> bool {
        self.mistakes.iter().any(|m| m.severity == Severity::Error)
    }

    /// Whether there are errors there or in the environment.
    pub fn has_errors(&self) -> bool {
        !self.problems.is_empty() || self.has_mistakes()
    }
}

/// What the hooks' own sources call their tokens. What is wrong is told where each hook is read.
fn token_names(file: &str, document: &DeTable<'_>) -> TokenNames {
    let unheard = Mistakes::new(file, "");
    let mut tokens = TokenNames::default();
    let hooks = Table::new(&unheard, "", 0, document).table("hooks");
    for (_, hook) in hooks.map(|table| table.named_tables()).unwrap_or_default() {
        hook.table("verify").into_iter().for_each(|verify| tokens.learn(verify));
    }
    tokens
}

/// Two hooks with one path: neither is right.
fn refuse_shared_paths(hooks: &mut [(usize, Entry)], mistakes: &Mistakes) {
    let paths: Vec<String> = hooks.iter().map(|(_, entry)| entry.path.clone()).collect();
    for (i, (offset, entry)) in hooks.iter_mut().enumerate() {
        if paths.iter().enumerate().any(|(other, path)| other != i && *path == entry.path) {
            let message = format!("another hook has the path {} too: give each its own", entry.path);
            mistakes.error(*offset, &format!("hooks.{}.path", entry.name), message);
            entry.hook = None;
        }
    }
}

#[cfg(test)]
mod tests;
