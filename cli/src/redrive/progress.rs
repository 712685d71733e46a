//! The progress bar of a run, shown on a terminal only.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::queue::Target;
use hookmq_shared::redrive::{Reverified, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Template while the store is still being listed: the total is not known yet, so it shows growing numbers
/// instead of a bar, which would promise an end.
const GROWING: &str = "{spinner} {pos} done of {len} found so far, {per_sec}, {elapsed} | {msg}";

/// Template once everything has been listed.
const COUNTED: &str = "[{bar:30}] {pos} of {len}, {per_sec}, {eta} left | {msg}";

/// Progress of a run, drawn repeatedly until the run ends.
pub(super) struct Progress {
    bar: ProgressBar,
    parts: Mutex<Parts>,
}

/// The progress of each target, and whether the bar is drawn with a final total.
#[derive(Default)]
struct Parts {
    by_target: BTreeMap<String, Part>,
    is_counted: bool,
}

/// Progress of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    found: usize,
    /// Deliveries that are finished, sent or not.
    done: usize,
    sent: usize,
    failed: usize,
    is_listed: bool,
}

impl Progress {
    /// Creates the progress bar on standard error if that is a terminal; hidden unless `is_wanted`.
    pub(super) fn begin(is_wanted: bool) -> Self {
        let is_shown = is_wanted && stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let progress = Self::on(target);
        if is_shown {
            progress.bar.set_message("reading the store");
            progress.bar.enable_steady_tick(Duration::from_millis(200));
        }
        progress
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(style(GROWING));
        Self { bar, parts: Mutex::default() }
    }

    /// Updates the counts of a target; `is_listed` is set once all its deliveries have been listed.
    pub(super) fn tell(&self, target: &Target, summary: &Summary, is_listed: bool) {
        let Summary { found, sent, repeated, dead, failed, waiting, corrupt, store_errors, .. } = *summary;
        let done = sent + repeated + dead + failed + waiting + corrupt + store_errors;
        let part = Part { found, done, sent: sent + repeated, failed, is_listed };
        let all = self.join(target.name(), part);
        self.bar.set_message(format!("{} sent, {} failed", all.sent, all.failed));
    }

    /// Updates the counts of verified requests; `is_listed` is set once all requests have been listed.
    pub(super) fn verified(&self, done: &Reverified, is_listed: bool) {
        let Reverified { found, accepted, rejected, failed, unreadable, .. } = *done;
        let seen = accepted + rejected + failed + unreadable;
        self.join("", Part { found, done: seen, sent: accepted, failed, is_listed });
        self.bar.set_message(format!("{accepted} accepted, {rejected} rejected"));
    }

    /// Removes the bar from the terminal.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }

    /// Stores the part of one target, moves the bar, and returns the sum of all parts.
    fn join(&self, name: &str, part: Part) -> Part {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.by_target.insert(name.to_owned(), part);
        let whole = Part { is_listed: true, ..Part::default() };
        let all = parts.by_target.values().fold(whole, |all, part| Part {
            found: all.found + part.found,
            done: all.done + part.done,
            sent: all.sent + part.sent,
            failed: all.failed + part.failed,
            is_listed: all.is_listed && part.is_listed,
        });
        if parts.is_counted != all.is_listed {
            parts.is_counted = all.is_listed;
            self.bar.set_style(style(if all.is_listed { COUNTED } else { GROWING }));
        }
        self.bar.set_length(all.found as u64);
        self.bar.set_position(all.done as u64);
        all
    }
}

/// Builds the style of a template; a test ensures that both templates are valid.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use hookmq_shared::queue::Vendor;

    use super::*;

    #[test]
    fn a_bar_is_drawn_once_everything_has_been_listed() {
        for template in [GROWING, COUNTED] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let progress = Progress::on(ProgressDrawTarget::hidden());
        let tell = |vendor: Vendor, found, sent, is_listed| {
            let summary = Summary { found, sent, ..Summary::default() };
            progress.tell(&vendor.into(), &summary, is_listed);
            (progress.bar.length(), progress.bar.position(), progress.parts.lock().unwrap().is_counted)
        };
        assert_eq!(tell(Vendor::Tdmq, 0, 0, false), (Some(0), 0, false));
        assert_eq!(tell(Vendor::Rocketmq, 0, 0, false), (Some(0), 0, false));
        assert_eq!(tell(Vendor::Tdmq, 1000, 400, true), (Some(1000), 400, false), "another is being listed");
        assert_eq!(tell(Vendor::Rocketmq, 20, 1, false), (Some(1020), 401, false));
        assert_eq!(tell(Vendor::Rocketmq, 30, 2, true), (Some(1030), 402, true));
        let left = Summary { found: 1000, sent: 500, dead: 1, failed: 2, waiting: 497, ..Summary::default() };
        progress.tell(&Vendor::Tdmq.into(), &left, true);
        assert_eq!(progress.bar.position(), 1002, "what was left is done with");
    }
}
