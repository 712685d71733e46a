//! Configuration: `hooks.toml` and the environment.

pub mod reader;
