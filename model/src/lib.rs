//! A model of everything that can happen to a delivery.
//!
//! Senders, forwarders, redrivers, the store, the vendor, the clock and an operator take turns in every
//! order. Each of them may fail, lie or die between any two effects, and after each step every promise must
//! hold. The shipped code makes all decisions: the steps of a delivery
//! ([`Course`](hookmq_shared::carry::Course), [`Terms::of`](hookmq_shared::carry::Terms::of)), the turns of
//! the hooks ([`Turns`](hookmq_shared::redrive::turns::Turns)), due deliveries
//! ([`Waiting::is_due`](hookmq_shared::redrive::Waiting::is_due)), and also the length of a wait, the meaning
//! of an answer, the check of a signature, and the names of objects ([`Oracle`]). Only the effects of the
//! steps are the model's own ([`trip`]); a test compares them with the real driver, effect by effect.
//!
//! The explorer itself is a dependency of the tests and the example only.
#![expect(clippy::struct_excessive_bools, reason = "a state is made of facts, each of its own")]
#![expect(clippy::trivially_copy_pass_by_ref, reason = "a setting is as small as it is by chance")]

mod actions;
mod oracle;
mod plans;
mod promises;
mod setting;
pub mod state;
pub mod trip;

pub use actions::{Action, Limits, System, Who};
pub use oracle::Oracle;
pub use plans::{Plan, seen_by};
pub use promises::{PROMISES, Promise, ROUNDS};
pub use setting::{Body, Condition, Setting};
pub use state::{Form, State, Trip};
pub use trip::{Choice, Effect};
