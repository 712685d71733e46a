//! Injected dependencies on the outside world: environment, time and randomness.

use crate::clock::{Clock, Random};
use crate::env::Env;

/// Dependencies of all code that is not pure.
#[derive(Clone, Debug)]
pub struct Context {
    /// Environment variables, read from the process on each call.
    pub env: Env,
    /// Wall clock.
    pub clock: Clock,
    /// Random bits for jitter and request ids.
    pub random: Random,
}

impl Context {
    /// Returns the context of the running process: its environment, the system clock and the system's random
    /// bits.
    pub fn system() -> Self {
        Self { env: Env::process(), clock: Clock::system(), random: Random::system() }
    }
}
