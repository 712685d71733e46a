//! The outside world, injected: environment, time and randomness.

use crate::clock::{Clock, Random};
use crate::env::Env;

/// What every part that is not pure is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// Environment variables, read live.
    pub env: Env,
    /// Wall time.
    pub clock: Clock,
    /// Jitter and request ids.
    pub random: Random,
}

impl Context {
    /// The process's own.
    pub fn system() -> Self {
        Self { env: Env::process(), clock: Clock::system(), random: Random::system() }
    }
}
