//! The functions as real processes, which the run kills, restarts and freezes.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::Fallible;

/// Time limit for the start of a process, generous for a busy machine.
const START: Duration = Duration::from_secs(60);

/// Range of listening ports, below the range that systems use for outgoing connections, which could otherwise
/// take the port of a dead process.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A process of a function; after a kill, a new one takes its place.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    binary: PathBuf,
    env: Vec<(String, String)>,
    log: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// Number of processes started so far, which tells each process from the next.
    started: u64,
    /// Exit statuses of the processes that ended by themselves.
    ended: Vec<ExitStatus>,
}

impl Process {
    /// Describes a process of the binary with this environment and `LISTEN`, without starting it.
    pub(super) fn new(
        name: String,
        binary: PathBuf,
        mut env: Vec<(String, String)>,
        log: Option<PathBuf>,
        port: u16,
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        env.push(("LISTEN".to_owned(), address.to_string()));
        Self { name, address, binary, env, log, state: Mutex::default() }
    }

    /// Kills the running process, if any, and starts a new one.
    pub(super) fn restart(&self) -> io::Result<()> {
        self.replace(Command::new(&self.binary))
    }

    /// Restarts the process with an upper bound on the size of the files that it writes, in blocks of 512
    /// bytes. The store then behaves as on a full disk.
    pub(super) fn restart_with_full_disk(&self, blocks: u64) -> io::Result<()> {
        let mut command = Command::new("/bin/sh");
        // With the signal ignored, the write fails with an error instead.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\"");
        command.args(["-c", &script]).arg(&self.binary);
        self.replace(command)
    }

    fn replace(&self, mut command: Command) -> io::Result<()> {
        let mut state = self.state();
        end(&mut state);
        let output = || match &self.log {
            Some(path) => log(path).map(Stdio::from),
            None => Ok(Stdio::null()),
        };
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
        state.child = Some(command.spawn()?);
        state.started += 1;
        Ok(())
    }

    pub(super) fn kill(&self) {
        end(&mut self.state());
    }

    /// Stops the process with SIGSTOP, wherever it is, and continues it after `time`.
    pub(super) async fn freeze(&self, time: Duration) -> io::Result<()> {
        let Some((pid, started)) = self.pid() else { return Ok(()) };
        signal("STOP", pid)?;
        sleep(time).await;
        // Only this object waits for the child, so until then the system does not reuse the process id.
        match self.pid() {
            Some((_, now)) if now == started => signal("CONT", pid),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> Option<(u32, u64)> {
        let state = self.state();
        state.child.as_ref().map(|child| (child.id(), state.started))
    }

    /// Restarts the process if it ended by itself, and records its exit status.
    pub(super) fn look_after(&self) -> io::Result<()> {
        let mut state = self.state();
        let Some(child) = state.child.as_mut() else { return Ok(()) };
        let Some(status) = child.try_wait()? else { return Ok(()) };
        state.ended.push(status);
        drop(state);
        self.restart()
    }

    /// Returns the exit statuses of the processes that ended by themselves, with the process's name.
    pub(super) fn ended(&self) -> Vec<String> {
        self.state().ended.iter().map(|status| format!("{}: {status}", self.name)).collect()
    }

    /// Waits until the process accepts connections; fails if it ends, or after [`START`].
    pub(super) async fn is_up(&self) -> Fallible<()> {
        let end = Instant::now() + START;
        loop {
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            let has_ended = match self.state().child.as_mut().map(Child::try_wait) {
                Some(Ok(Some(status))) => Some(status),
                _ => None,
            };
            if let Some(status) = has_ended {
                return Err(format!("{} ended: {status}; see its log (--keep)", self.name).into());
            }
            if Instant::now() > end {
                return Err(format!("{} does not come up", self.name).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(state: &mut State) {
    if let Some(mut child) = state.child.take() {
        // The process may have ended already.
        drop(child.kill());
        drop(child.wait());
    }
}

fn signal(name: &str, pid: u32) -> io::Result<()> {
    let script = format!("kill -{name} {pid}");
    let status = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status()?;
    // The process may be gone, which is not an error.
    let _ = status;
    Ok(())
}

fn log(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Finds `count` different ports that are free now.
pub(super) fn free_ports(count: usize) -> Fallible<Vec<u16>> {
    // Runs at the same time begin at different ports.
    let first = PORTS.start + u16::try_from(std::process::id() % 500).unwrap_or_default() * 20;
    let all = (first..PORTS.end).chain(PORTS.start..first);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = all.filter(is_free).take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err("there are no free ports".into()) }
}
