//! How far a run is, on a terminal and nowhere else.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookmq_shared::queue::Target;
use hookmq_shared::redrive::{Reverified, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget};

/// The line that is written again and again.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Found, sent and failed of each target.
    counts: Mutex<BTreeMap<String, [usize; 3]>>,
}

impl Progress {
    /// On standard error if that is a terminal; hidden unless `is_wanted`.
    pub(super) fn begin(is_wanted: bool) -> Self {
        let is_shown = is_wanted && stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(indicatif::ProgressStyle::default_spinner());
        if is_shown {
            bar.set_message("reading the store");
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, counts: Mutex::default() }
    }

    /// Tells what has been done for a target.
    pub(super) fn tell(&self, target: &Target, summary: &Summary) {
        if self.bar.is_hidden() {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let done = summary.sent + summary.repeated;
        counts.insert(target.name().to_owned(), [summary.found, done, summary.failed]);
        let of = |at: usize| counts.values().map(|counts| counts[at]).sum::<usize>();
        self.bar.set_message(format!("{} found, {} sent, {} failed", of(0), of(1), of(2)));
    }

    /// Tells how many requests have been verified again.
    pub(super) fn verified(&self, done: &Reverified) {
        let Reverified { found, accepted, rejected, failed, unreadable } = done;
        let seen = accepted + rejected + failed + unreadable;
        self.bar.set_message(format!("{seen} of {found}: {accepted} accepted, {rejected} rejected"));
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}
