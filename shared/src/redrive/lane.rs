//! One hook's part in a run: the page in hand, and the next one, which is listed while this one is sent.

use std::collections::VecDeque;

use super::walk::{Waiting, Walk};

/// A page's deliveries that are due, oldest first, and what it was listed after.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) ready: VecDeque<Waiting>,
    pub(super) place: Option<String>,
}

/// One hook's part in a run.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) hook: String,
    in_hand: Sheet,
    ahead: Option<Sheet>,
    /// Away while it lists.
    walk: Option<Walk>,
    is_asked: bool,
}

impl Lane {
    pub(super) fn new(hook: &str, walk: Walk) -> Self {
        let hook = hook.to_owned();
        Self { hook, in_hand: Sheet::default(), ahead: None, walk: Some(walk), is_asked: false }
    }

    /// Lends the walk to whoever lists the next page.
    pub(super) fn lend(&mut self) -> Option<Walk> {
        self.is_asked = false;
        self.walk.take()
    }

    /// Gets it back with what is due of the page; without it, that is the page of a walk that was never lent.
    pub(super) fn arrived(&mut self, walk: Option<Walk>, ready: Vec<Waiting>) {
        let place = walk.as_ref().or(self.walk.as_ref()).and_then(Walk::place);
        self.walk = walk.or_else(|| self.walk.take());
        self.ahead = Some(Sheet { ready: ready.into(), place });
    }

    /// Takes the next page in hand if this one is done; whether there is something to send.
    pub(super) fn advance(&mut self) -> bool {
        if self.in_hand.ready.is_empty()
            && let Some(ahead) = self.ahead.take()
        {
            self.in_hand = ahead;
        }
        !self.in_hand.ready.is_empty()
    }

    /// The next delivery of the page in hand.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.in_hand.ready.pop_front()
    }

    /// Whether the next page is to be listed, and nobody has been asked for that.
    pub(super) fn asks(&mut self) -> bool {
        let asks = self.ahead.is_none() && !self.is_asked && self.walk.as_ref().is_some_and(|w| !w.is_over());
        self.is_asked |= asks;
        asks
    }

    /// Whether everything has been listed.
    pub(super) fn is_over(&self) -> bool {
        self.walk.as_ref().is_some_and(Walk::is_over)
    }

    /// Where the next run goes on: at the page in hand. `None` if this one has been everywhere.
    pub(super) fn cursor(&self) -> Option<String> {
        let is_done = self.is_over() && self.in_hand.ready.is_empty() && self.ahead.is_none();
        self.in_hand.place.clone().filter(|_| !is_done)
    }

    /// What is left of it, at the end of the run.
    pub(super) fn left(self) -> impl Iterator<Item = Waiting> {
        self.in_hand.ready.into_iter().chain(self.ahead.into_iter().flat_map(|sheet| sheet.ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::redrive::Options;
    use crate::store::Entry;

    fn waiting(name: &str) -> Waiting {
        let entry = Entry { name: name.to_owned(), size: 1, modified: Timestamp::from_unix(0) };
        Waiting { entry, states: Vec::new() }
    }

    fn walk(after: &str) -> Walk {
        Walk::new("tdmq", "hook", &Options::default(), Some(after).filter(|after| !after.is_empty()))
    }

    #[test]
    fn the_next_page_is_asked_for_at_once_and_the_next_run_begins_at_the_one_in_hand() {
        let mut lane = Lane::new("hook", walk("1"));
        lane.arrived(None, vec![waiting("2")]);
        assert!(lane.advance() && lane.asks());
        assert!(!lane.asks(), "once");
        assert!(lane.lend().is_some() && lane.lend().is_none() && !lane.is_over());
        lane.arrived(Some(walk("3")), vec![waiting("4")]);
        assert_eq!(lane.cursor().as_deref(), Some("1"), "what was listed ahead is not handled yet");
        assert!(!lane.asks(), "one page ahead is enough");
        assert!(lane.pop().is_some() && lane.advance());
        assert_eq!(lane.cursor().as_deref(), Some("3"));
        assert!(lane.asks());
        assert_eq!(lane.left().count(), 1);
    }

    #[test]
    fn a_page_with_nothing_to_send_is_passed() {
        let mut lane = Lane::new("hook", walk("1"));
        lane.arrived(None, Vec::new());
        assert!(!lane.advance() && lane.asks());
        assert_eq!(lane.cursor().as_deref(), Some("1"));
        let back = lane.lend();
        assert!(!lane.advance() && !lane.asks(), "it is being listed");
        lane.arrived(back, Vec::new());
        assert!(!lane.advance() && lane.asks());
    }
}
