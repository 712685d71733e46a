//! SIGTERM and SIGINT, which the kernel ignores in the first process of a container unless the process
//! handles them: without this, a container that runs a command would only end by SIGKILL.

use std::process;
use std::thread;

use hookmq_shared::host::server::{Stop, stop_signal};
use tokio::runtime::Builder;

/// Ends the process when one of the signals comes, with the status that a shell gives such an end. A command
/// may work for a long time without a pause, so a thread of its own waits.
pub(crate) fn end_process() -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // The handlers are in place before the command begins.
    let stop = {
        let _inside = runtime.enter();
        stop_signal()?
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let code = match runtime.block_on(stop) {
            Stop::Leaving => 128 + 15,
            Stop::Now => 128 + 2,
        };
        process::exit(code)
    })?;
    Ok(())
}
