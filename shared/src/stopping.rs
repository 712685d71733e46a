//! End of the process, as far as it concerns work in progress. Deadlines are cut to the end, so that a
//! delivery in progress is kept or answered, never cut off.

use std::future::{Future, pending};

use tokio::sync::watch;
use tokio::time::Instant;

tokio::task_local! {
    static STOPPING: Stopping;
}

/// Moment at which work in progress must be done, once the host announces that moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping(Option<watch::Receiver<Option<Instant>>>);

impl Stopping {
    /// Wraps the channel through which the host announces the end.
    pub(crate) const fn new(end: watch::Receiver<Option<Instant>>) -> Self {
        Self(Some(end))
    }

    /// Returns the value given to the current task. A task that it spawns does not inherit the value.
    pub(crate) fn in_hand() -> Self {
        STOPPING.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs `work` with this value in scope.
    pub(crate) async fn to<F: Future>(self, work: F) -> F::Output {
        STOPPING.scope(self, work).await
    }

    /// Returns the deadline, or the announced end of the process if that is earlier.
    pub(crate) fn cut(&self, deadline: Instant) -> Instant {
        let end = self.0.as_ref().and_then(|end| *end.borrow());
        end.map_or(deadline, |end| end.min(deadline))
    }

    /// Returns true if the end is announced.
    pub(crate) fn is_announced(&self) -> bool {
        self.0.as_ref().is_some_and(|end| end.borrow().is_some())
    }

    /// Waits until the end is announced. Without a channel it never returns.
    pub(crate) async fn announced(&self) -> Instant {
        if let Some(end) = &self.0
            && let Ok(end) = end.clone().wait_for(Option::is_some).await
            && let Some(end) = *end
        {
            return end;
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_deadline_and_end_counts() {
        let (end, known) = watch::channel(None);
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let work = async {
            let before = Stopping::in_hand().cut(late);
            let announced = Stopping::in_hand().announced().await;
            (before, announced, Stopping::in_hand().cut(late), Stopping::in_hand().cut(now))
        };
        let announce = async { end.send_replace(Some(soon)) };
        let (seen, _) = tokio::join!(Stopping::new(known).to(work), announce);
        assert_eq!(seen, (late, soon, soon, now));
        assert_eq!(Stopping::in_hand().cut(late), late, "nobody stops");
    }
}
