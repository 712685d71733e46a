//! The functions as real processes, which are killed, started again, and stopped in the middle.

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

/// For a process to come up, on a machine that has much else to do.
const START: Duration = Duration::from_secs(60);

/// Ports are looked for here: below those that systems give to outgoing connections, which could take a
/// port while its process is dead.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A function's process; there is always one, but for the moments between two.
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
    /// Processes so far: tells one from the next.
    started: u64,
    /// How it ended, each time without being told to.
    ended: Vec<ExitStatus>,
}

impl Process {
    /// Of that program, with that environment and `LISTEN`; not started yet.
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

    /// Starts it, instead of the one that runs, which is killed.
    pub(super) fn restart(&self) -> io::Result<()> {
        self.replace(Command::new(&self.binary))
    }

    /// The same, with a limit to the files that it may write: for the store, a disk that is full. A block
    /// has 512 bytes.
    pub(super) fn restart_with_full_disk(&self, blocks: u64) -> io::Result<()> {
        let mut command = Command::new("/bin/sh");
        // Ignored, the signal becomes an error of the write.
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

    /// Stops it for that time, in the middle of whatever it does.
    pub(super) async fn freeze(&self, time: Duration) -> io::Result<()> {
        let Some((pid, started)) = self.pid() else { return Ok(()) };
        signal("STOP", pid)?;
        sleep(time).await;
        // Until it is waited for, which only this object does, nobody else can have its number.
        match self.pid() {
            Some((_, now)) if now == started => signal("CONT", pid),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> Option<(u32, u64)> {
        let state = self.state();
        state.child.as_ref().map(|child| (child.id(), state.started))
    }

    /// Starts it again if it ended by itself, which is counted.
    pub(super) fn look_after(&self) -> io::Result<()> {
        let mut state = self.state();
        let Some(child) = state.child.as_mut() else { return Ok(()) };
        let Some(status) = child.try_wait()? else { return Ok(()) };
        state.ended.push(status);
        drop(state);
        self.restart()
    }

    /// How it ended, each time without being told to.
    pub(super) fn ended(&self) -> Vec<String> {
        self.state().ended.iter().map(|status| format!("{}: {status}", self.name)).collect()
    }

    /// Waits until it takes connections.
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
        // It may have ended already.
        drop(child.kill());
        drop(child.wait());
    }
}

fn signal(name: &str, pid: u32) -> io::Result<()> {
    let script = format!("kill -{name} {pid}");
    let status = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status()?;
    // It may be gone.
    let _ = status;
    Ok(())
}

fn log(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Ports that are free now, each another one.
pub(super) fn free_ports(count: usize) -> Fallible<Vec<u16>> {
    // Runs side by side begin at different places.
    let first = PORTS.start + u16::try_from(std::process::id() % 500).unwrap_or_default() * 20;
    let all = (first..PORTS.end).chain(PORTS.start..first);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = all.filter(is_free).take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err("there are no free ports".into()) }
}
