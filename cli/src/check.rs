//! `hookmq check`: reports every mistake at once, each with its line; with `--live`, also the answer of each
//! vendor.

use std::path::Path;

use hookmq_shared::config::{Config, Hook, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::{Env, EnvProblem};
use hookmq_shared::host;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::{Client, Queue as _, Target, Vendor};
use hookmq_shared::spill::Spill;

use crate::{Exit, live};

/// Reads the named file, else the one that a function would read; `hooks.toml` in the current directory takes
/// the place of the built-in file.
pub(crate) fn hooks(file: Option<&Path>, with: Reading<'_>) -> Config {
    let here = Path::new("hooks.toml");
    let is_elsewhere = ["HOOKS", "HOOKS_FILE"].iter().any(|name| with.env.get(name).is_some());
    match file {
        Some(file) => Config::read(file, with),
        None if !is_elsewhere && here.is_file() => Config::read(here, with),
        None => Config::load(with),
    }
}

pub(crate) async fn run(file: Option<&Path>, base: Option<&str>, is_live: bool) -> Exit {
    let context = Context::system();
    let with = Reading::new(&context.env, Samples::Refused);
    let mut config = hooks(file, with);
    config.problems.extend(host::done_without(&context.env));
    for mistake in &config.mistakes {
        crate::say!("{mistake}");
    }
    let fatal = host::fatal(&context.env);
    for problem in config.problems.iter().chain(&fatal) {
        crate::say!("environment: error: {problem}");
    }
    let mut errors = config.has_errors() || !fatal.is_empty();
    // Only a function sends, and it has its own environment, so a variable that is missing in this one is
    // worth a note. A variable that is set and wrong is wrong for a function too. A variable that a target's
    // own table sets belongs to the file.
    for target in targets(&config) {
        let own = config.context_of(&target, &context);
        for problem in Client::new(target.vendor(), own.clone()).problems() {
            let place = if config.is_own(&target, &problem) { "error" } else { place(&own.env, &problem) };
            errors |= place != NOTE;
            crate::say!("{place}: {}", config.locate(&target, &problem));
        }
    }
    let (spill, quarantine) = (Spill::from_env(&context), Quarantine::from_env(&context));
    let key = spill.as_ref().ok().and_then(|spill| spill.as_ref()?.store().problem());
    for problem in [spill.err(), key, quarantine.err()].into_iter().flatten() {
        let place = place(&context.env, &problem);
        errors |= place != NOTE;
        crate::say!("{place}: {problem}");
    }
    if let Some(base) = base {
        print!("{}", addresses(&config, base));
    }
    let sound = config.hooks().count();
    let hooks = if sound == 1 { "hook" } else { "hooks" };
    crate::say!("{sound} {hooks} OK{}", if errors { ", and errors" } else { "" });
    let mut exit = Exit::Good;
    if is_live {
        let (told, met) = live::run(&config, &context).await;
        print!("{told}");
        exit = met;
    }
    if errors { Exit::Configuration } else { exit }
}

const NOTE: &str = "environment: note";

/// Returns the label of an environment problem: an error if the variable is set and wrong, a note if it is
/// missing, because the deployment may set it.
fn place(env: &Env, problem: &EnvProblem) -> &'static str {
    if env.get(problem.variable).is_some() { "environment: error" } else { NOTE }
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
    let base = base.trim_end_matches('/');
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
    fn addresses_are_whole() {
        let hooks = "[hooks.a]\nsource = \"none\"\ntopic = { tdmq = \"a/b/c\", rocketmq = \"a_b\" }\n\
                     [hooks.b]\nsource = \"none\"\ntopic = \"a_b\"\npath = \"/b/c\"\n";
        let env = Env::of([("", "")]);
        let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
        for base in ["https://x.example/tdmq", "https://x.example/tdmq/"] {
            assert_eq!(
                addresses(&config, base),
                "a: https://x.example/tdmq/a (tdmq, rocketmq)\nb: https://x.example/tdmq/b/c (rocketmq)\n"
            );
        }
    }
}
