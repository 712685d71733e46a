//! `hookmq check`: every mistake at once, each with its line.

use std::path::Path;

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::queue::{Queue, Vendor, rocketmq, tdmq};

use crate::Exit;

pub(crate) fn run(file: Option<&Path>) -> Exit {
    let context = Context::system();
    let with = Reading::new(&context.env, Samples::Refused);
    let config = match file {
        Some(file) => Config::read(file, with),
        None => Config::load(with),
    };
    for mistake in &config.mistakes {
        println!("{mistake}");
    }
    for problem in &config.problems {
        println!("environment: error: {problem}");
    }
    let tdmq = tdmq::Client::new(context.clone()).problems();
    let rocketmq = rocketmq::Client::new(context.clone()).problems();
    for (vendor, problems) in [(Vendor::Tdmq, tdmq), (Vendor::Rocketmq, rocketmq)] {
        // Only a function sends, and it has an environment of its own: here this is worth knowing
        // where some of it is set.
        let uses = config.hooks().filter(|hook| hook.recipe(vendor, "").is_some()).count();
        if uses > 0 {
            for problem in problems {
                println!("environment: note: the {} function needs {problem}", vendor.as_str());
            }
        }
    }
    let errors = config.has_errors();
    println!("{} sound hook(s){}", config.hooks().count(), if errors { ", and errors" } else { "" });
    if errors { Exit::Configuration } else { Exit::Good }
}
