//! Resource use of this process, as Linux reports it. Other systems report nothing.

use std::fs;

/// Ticks per second in `/proc`. The value is part of the kernel's interface and does not depend on the
/// kernel's own clock rate.
const TICKS: f64 = 100.0;

/// Values under the names of Prometheus' client libraries; `None` if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) started: Option<f64>,
    pub(super) cpu: Option<f64>,
    pub(super) resident: Option<f64>,
    pub(super) open_fds: Option<f64>,
    pub(super) max_fds: Option<f64>,
}

impl Process {
    /// Reads the current values from `/proc`.
    pub(super) fn now() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let process = Self::of(
            &text("/proc/self/stat"),
            &text("/proc/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
        );
        // The folder that is being read is an open descriptor itself.
        let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1));
        let open_fds = open.and_then(|n| u32::try_from(n).ok()).map(f64::from);
        Self { open_fds, ..process }
    }

    fn of(stat: &str, system: &str, status: &str, limits: &str) -> Self {
        // The program's name, in parentheses, may contain blanks. Field 3 follows.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        let after = |text: &str, name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))?;
            rest.split_ascii_whitespace().next()?.parse::<f64>().ok()
        };
        Self {
            started: after(system, "btime").zip(ticks(22)).map(|(boot, since)| boot + since),
            cpu: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            resident: after(status, "VmRSS:").map(|kib| kib * 1024.0),
            open_fds: None,
            max_fds: after(limits, "Max open files"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_tells_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 12345 1 2 3";
        let status = "Name:\tx\nVmRSS:\t    1024 kB\n";
        let limits =
            "Limit  Soft  Hard\nMax open files            1024                 4096                 files\n";
        let process = Process::of(stat, "cpu 1 2\nbtime 1700000000\n", status, limits);
        assert_eq!(
            process,
            Process {
                started: Some(1_700_000_123.45),
                cpu: Some(3.0),
                resident: Some(1_048_576.0),
                open_fds: None,
                max_fds: Some(1024.0),
            }
        );
        assert_eq!(Process::of("", "", "", ""), Process::default());
    }
}
