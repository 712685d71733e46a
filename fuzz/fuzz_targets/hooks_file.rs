//! Fuzz target for `hooks.toml`: any text gives hooks and mistakes, each mistake with a line of the file.
#![no_main]

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::env::Env;
use hookmq_shared::queue::{Target, Vendor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let env = Env::of([("SECRET", "0123456789abcdef0123")]);
    let config = Config::parse("hooks.toml", text, Reading::new(&env, Samples::Refused));
    for mistake in &config.mistakes {
        assert!((1..=text.lines().count() + 1).contains(&mistake.line));
    }
    let _ = config.lookup("/github");
    // A hook that is served has a target, and a topic at each named target.
    for hook in config.hooks() {
        for target in Vendor::ALL.into_iter().flat_map(|vendor| hook.targets(vendor)) {
            let own = Vendor::ALL.map(Target::from).contains(&target);
            assert!(own || hook.recipe(&target, "").is_some(), "{target}");
        }
    }
});
