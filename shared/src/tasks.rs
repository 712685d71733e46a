//! Tasks that go on without their caller.

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

/// Spawns a boxed task. Boxing gives all tasks one type; each further type would add the runtime's code for a
/// task, some two kilobytes of a function's zip.
pub(crate) fn spawn(task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    tokio::spawn(task)
}
