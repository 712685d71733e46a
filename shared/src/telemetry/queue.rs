//! Log that never blocks its callers: a thread writes the lines. Lines that do not fit while the reader of
//! the log stalls are dropped and counted.
//!
//! Only servers use the queue. A function's sandbox is frozen after its answer, so a line that was not
//! written by then would be late by an event or lost.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Upper bound on the lines that wait to be written, in bytes.
const ROOM: usize = 4 * 1024 * 1024;

/// Queue of the process to standard output.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Lines of this process that did not fit.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of lines that did not fit since the start of the process.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until the lines so far are written, but not longer than `most`.
pub(crate) fn flush(most: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(most);
    }
}

enum Item {
    Line(Vec<u8>),
    /// Request for a signal once all lines before it are written.
    Mark(Sender<()>),
}

/// Queue of lines for a writer thread.
#[derive(Clone, Debug)]
pub(super) struct LineQueue {
    lines: Sender<Item>,
    waiting: Arc<AtomicUsize>,
    room: usize,
    dropped: &'static AtomicU64,
}

impl LineQueue {
    /// Returns the queue of the process, or `None` if the writer thread cannot start.
    pub(super) fn to_stdout() -> Option<Self> {
        let queue = Self::new(io::stdout(), ROOM, &DROPPED).ok()?;
        Some(QUEUE.get_or_init(|| queue).clone())
    }

    fn new(out: impl Write + Send + 'static, room: usize, dropped: &'static AtomicU64) -> io::Result<Self> {
        let ((lines, taken), waiting) = (channel(), Arc::<AtomicUsize>::default());
        let written = Arc::clone(&waiting);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&taken, &written, out, dropped))?;
        Ok(Self { lines, waiting, room, dropped })
    }

    fn flush(&self, most: Duration) {
        let (mark, passed) = channel();
        if self.lines.send(Item::Mark(mark)).is_ok() {
            // Without the signal in time, the remaining lines are given up.
            let _ = passed.recv_timeout(most);
        }
    }

    fn put(&self, line: &[u8]) {
        let before = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let fits = before + line.len() <= self.room;
        if !(fits && self.lines.send(Item::Line(line.to_vec())).is_ok()) {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(lines: &Receiver<Item>, waiting: &AtomicUsize, mut out: impl Write, dropped: &AtomicU64) {
    let mut told = 0;
    while let Ok(item) = lines.recv() {
        match item {
            Item::Line(line) => {
                if out.write_all(&line).is_err() {
                    // The count is the only place to report that: a further line would be lost too.
                    dropped.fetch_add(1, Ordering::Relaxed);
                    told += 1;
                }
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let count = dropped.load(Ordering::Relaxed);
                if count > told && waiting.load(Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        lines = count - told,
                        "log lines were dropped: their reader did not keep up"
                    );
                    told = count;
                }
            }
            Item::Mark(mark) => {
                let _ = out.flush();
                // The requester may have stopped waiting.
                let _ = mark.send(());
            }
        }
    }
}

impl Write for &LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for LineQueue {
    type Writer = &'q Self;

    fn make_writer(&'q self) -> &'q Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    /// Writer that takes a line whenever the test allows it.
    struct Reader(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After the end of the test the channels are closed.
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader() -> (Reader, SyncSender<()>, Receiver<Vec<u8>>) {
        let ((go, told), (put, written)) = (sync_channel(100), channel());
        (Reader(told, put), go, written)
    }

    #[test]
    fn a_reader_that_stands_still_keeps_nobody() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (reader, go, written) = reader();
        let queue = LineQueue::new(reader, 30, &LOST).unwrap();
        for n in 0..5 {
            (&queue).write_all(format!("line {n:4}\n").as_bytes()).unwrap();
        }
        assert_eq!(LOST.load(Ordering::Relaxed), 2, "there is room for three");
        queue.flush(Duration::ZERO);
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        let lines: Vec<_> = (0..3).map(|_| String::from_utf8(written.recv().unwrap()).unwrap()).collect();
        assert_eq!(lines, ["line    0\n", "line    1\n", "line    2\n"]);
        queue.flush(Duration::from_secs(60));
        go.send(()).unwrap();
        (&queue).write_all(b"again\n").unwrap();
        assert_eq!(written.recv().unwrap(), b"again\n");
    }
}
