//! Lane of one hook in a run: the page in hand, and the next one, which is listed while the first is sent.

use std::collections::VecDeque;

use super::walk::{Waiting, Walk};

/// Due deliveries of a page, oldest first, and the place that the page was listed after.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) ready: VecDeque<Waiting>,
    pub(super) place: Option<String>,
}

/// Lane of one hook in a run.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) hook: String,
    in_hand: Sheet,
    ahead: Option<Sheet>,
    /// Walk through the hook's deliveries; `None` while it is lent to list a page.
    walk: Option<Walk>,
    is_asked: bool,
}

impl Lane {
    pub(super) fn new(hook: &str, walk: Walk) -> Self {
        let hook = hook.to_owned();
        Self { hook, in_hand: Sheet::default(), ahead: None, walk: Some(walk), is_asked: false }
    }

    /// Lends the walk for listing the next page.
    pub(super) fn lend(&mut self) -> Option<Walk> {
        self.is_asked = false;
        self.walk.take()
    }

    /// Takes the walk back, with the due deliveries of the listed page. Without a returned walk, the page is
    /// from the walk that was never lent.
    pub(super) fn arrived(&mut self, walk: Option<Walk>, ready: Vec<Waiting>) {
        let place = walk.as_ref().or(self.walk.as_ref()).and_then(Walk::place);
        self.walk = walk.or_else(|| self.walk.take());
        self.ahead = Some(Sheet { ready: ready.into(), place });
    }

    /// Takes the next page in hand if the current one is done. Returns true if a delivery is ready.
    pub(super) fn advance(&mut self) -> bool {
        if self.in_hand.ready.is_empty()
            && let Some(ahead) = self.ahead.take()
        {
            self.in_hand = ahead;
        }
        !self.in_hand.ready.is_empty()
    }

    /// Returns the next delivery of the page in hand.
    pub(super) fn peek(&self) -> Option<&Waiting> {
        self.in_hand.ready.front()
    }

    /// Takes the next delivery of the page in hand.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.in_hand.ready.pop_front()
    }

    /// Returns true, and notes the request, if the next page has to be listed and was not requested yet.
    pub(super) fn asks(&mut self) -> bool {
        let asks = self.ahead.is_none() && !self.is_asked && self.walk.as_ref().is_some_and(|w| !w.is_over());
        self.is_asked |= asks;
        asks
    }

    /// Returns true if everything has been listed.
    pub(super) fn is_over(&self) -> bool {
        self.walk.as_ref().is_some_and(Walk::is_over)
    }

    /// Returns the place where the next run goes on, which is the page in hand; `None` if this run has
    /// handled everything.
    pub(super) fn cursor(&self) -> Option<String> {
        let is_done = self.is_over() && self.in_hand.ready.is_empty() && self.ahead.is_none();
        self.in_hand.place.clone().filter(|_| !is_done)
    }

    /// Returns the unhandled deliveries, at the end of the run.
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
