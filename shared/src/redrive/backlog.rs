//! Backlog of one hook in a run: the page in hand, and the next one, which is listed while the first is sent.

use std::collections::VecDeque;

use super::walk::{Waiting, Walk};

/// Due deliveries of a page, oldest first, and the place that the page was listed after.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) ready: VecDeque<Waiting>,
    pub(super) place: Option<String>,
}

/// Backlog of one hook in a run.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) hook: String,
    in_hand: Sheet,
    ahead: Option<Sheet>,
    /// Walk through the hook's deliveries; `None` while it is lent to list a page.
    walk: Option<Walk>,
    is_asked: bool,
    /// True once a page has been listed, or could not be.
    is_reached: bool,
}

impl Backlog {
    /// Creates the backlog of a hook whose walk has not begun. A run that does not reach it leaves its place.
    pub(super) fn new(hook: &str, walk: Walk) -> Self {
        let hook = hook.to_owned();
        let in_hand = Sheet { place: walk.place(), ..Sheet::default() };
        Self { hook, in_hand, ahead: None, walk: Some(walk), is_asked: false, is_reached: false }
    }

    /// Notes that a page of the hook has been listed, or could not be.
    pub(super) const fn reach(&mut self) {
        self.is_reached = true;
    }

    /// Returns true if a page of the hook has been listed, or could not be.
    pub(super) const fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// Returns the number of deliveries and states in hand.
    pub(super) fn weight(&self) -> usize {
        let sheets = [Some(&self.in_hand), self.ahead.as_ref()].into_iter().flatten();
        let sheets: usize =
            sheets.flat_map(|sheet| &sheet.ready).map(|waiting| 1 + waiting.states.len()).sum();
        sheets + self.walk.as_ref().map_or(0, Walk::remembered)
    }

    /// Lets the walk forget what it remembers, until it is lent.
    pub(super) fn rest(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.rest();
        }
    }

    /// Returns true if the walk is neither lent nor given away.
    pub(super) const fn has_walk(&self) -> bool {
        self.walk.is_some()
    }

    /// Gives away the deliveries in hand, and the walk: the next run goes on at the page in hand.
    pub(super) fn give_way(&mut self) -> Vec<Waiting> {
        self.walk = None;
        let ahead = self.ahead.take().map(|sheet| sheet.ready).unwrap_or_default();
        std::mem::take(&mut self.in_hand.ready).into_iter().chain(ahead).collect()
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
        let mut backlog = Backlog::new("hook", walk("1"));
        backlog.arrived(None, vec![waiting("2")]);
        assert!(backlog.advance() && backlog.asks());
        assert!(!backlog.asks(), "once");
        assert!(backlog.lend().is_some() && backlog.lend().is_none() && !backlog.is_over());
        backlog.arrived(Some(walk("3")), vec![waiting("4")]);
        assert_eq!(backlog.cursor().as_deref(), Some("1"), "what was listed ahead is not handled yet");
        assert!(!backlog.asks(), "one page ahead is enough");
        assert!(backlog.pop().is_some() && backlog.advance());
        assert_eq!(backlog.cursor().as_deref(), Some("3"));
        assert!(backlog.asks());
        assert_eq!(backlog.left().count(), 1);
    }

    #[test]
    fn a_page_with_nothing_to_send_is_passed() {
        let mut backlog = Backlog::new("hook", walk("1"));
        backlog.arrived(None, Vec::new());
        assert!(!backlog.advance() && backlog.asks());
        assert_eq!(backlog.cursor().as_deref(), Some("1"));
        let back = backlog.lend();
        assert!(!backlog.advance() && !backlog.asks(), "it is being listed");
        backlog.arrived(back, Vec::new());
        assert!(!backlog.advance() && backlog.asks());
    }
}
