//! How far a run is, on a terminal and nowhere else.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::queue::Target;
use hookmq_shared::redrive::{Reverified, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// While the store is still being listed nobody knows how much there is: the numbers grow, and a bar would
/// promise an end.
const GROWING: &str = "{spinner} {pos} done of {len} found so far, {per_sec}, {elapsed} | {msg}";

/// Once all has been listed.
const COUNTED: &str = "[{bar:30}] {pos} of {len}, {per_sec}, {eta} left | {msg}";

/// What is drawn again and again.
pub(super) struct Progress {
    bar: ProgressBar,
    parts: Mutex<Parts>,
}

/// What has been told of, and whether it is counted to its end as it is drawn.
#[derive(Default)]
struct Parts {
    by_target: BTreeMap<String, Part>,
    is_counted: bool,
}

/// A target's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    found: usize,
    /// Sent, and what came to another end.
    done: usize,
    sent: usize,
    failed: usize,
    is_listed: bool,
}

impl Progress {
    /// On standard error if that is a terminal; hidden unless `is_wanted`.
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

    /// Tells what has been done for a target, and whether all of that has been listed.
    pub(super) fn tell(&self, target: &Target, summary: &Summary, is_listed: bool) {
        let Summary { found, sent, repeated, dead, failed, waiting, corrupt, store_errors, .. } = *summary;
        let done = sent + repeated + dead + failed + waiting + corrupt + store_errors;
        let part = Part { found, done, sent: sent + repeated, failed, is_listed };
        let all = self.join(target.name(), part);
        self.bar.set_message(format!("{} sent, {} failed", all.sent, all.failed));
    }

    /// Tells how many requests have been verified again, and whether all have been listed.
    pub(super) fn verified(&self, done: &Reverified, is_listed: bool) {
        let Reverified { found, accepted, rejected, failed, unreadable, .. } = *done;
        let seen = accepted + rejected + failed + unreadable;
        self.join("", Part { found, done: seen, sent: accepted, failed, is_listed });
        self.bar.set_message(format!("{accepted} accepted, {rejected} rejected"));
    }

    /// Takes it away.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }

    /// Moves the bar; what all parts are together.
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

/// The style of a template, which a test holds to be sound.
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
