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

    /// The way through its deliveries, if that is not away.
    pub(super) fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut()
    }

    /// Lends the walk to whoever lists the next page.
    pub(super) fn lend(&mut self) -> Option<Walk> {
        self.is_asked = false;
        self.walk.take()
    }

    /// Gets it back, with what was listed.
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
