//! When the process ends, for work that has begun: deadlines are cut to it, so that what is under way is kept
//! or answered, never cut off.

use std::future::{Future, pending};

use tokio::sync::watch;
use tokio::time::Instant;

tokio::task_local! {
    static STOPPING: Stopping;
}

/// Until when work in hand must be done, once that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping(Option<watch::Receiver<Option<Instant>>>);

impl Stopping {
    /// Known as soon as it is sent.
    pub(crate) const fn new(end: watch::Receiver<Option<Instant>>) -> Self {
        Self(Some(end))
    }

    /// Of the work in hand: a task that it spawns does not have it.
    pub(crate) fn in_hand() -> Self {
        STOPPING.try_with(Self::clone).unwrap_or_default()
    }

    /// Gives it to this work.
    pub(crate) async fn to<F: Future>(self, work: F) -> F::Output {
        STOPPING.scope(self, work).await
    }

    /// The deadline, or the end that is known by now, whichever is first.
    pub(crate) fn cut(&self, deadline: Instant) -> Instant {
        let end = self.0.as_ref().and_then(|end| *end.borrow());
        end.map_or(deadline, |end| end.min(deadline))
    }

    /// Whether the end is known.
    pub(crate) fn is_announced(&self) -> bool {
        self.0.as_ref().is_some_and(|end| end.borrow().is_some())
    }

    /// Waits until the end is known.
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
