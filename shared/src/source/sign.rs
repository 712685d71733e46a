//! Signing as a provider does.
use super::*;
/// todo
#[derive(Clone, Debug)]
pub struct Draft;
/// todo
#[derive(Clone, Debug)]
pub struct SignError;
