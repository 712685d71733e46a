//! Walk through one hook's deliveries, page by page: the listing tells which deliveries are due.
//!
//! Two listings are read in parallel, the deliveries and their states in `retry/`, whose names begin alike.
//! Stores usually list in the order of names, and then each state meets its delivery. If a store lists in
//! another order, a state that comes too early is remembered, and a state that comes too late costs a send
//! before its time.
//!
//! No delivery is left out because of an assumed order: a shard is listed by each of its digits, and a walk
//! that goes round stops early only if pages have come in the order of names.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::list::older;
use super::options::Options;
use crate::clock::Timestamp;
use crate::sabotage::{Safeguard, is_pulled};
use crate::shard::Shard;
use crate::sort::sort_by;
use crate::spill::{Folder, State};
use crate::store::{Entry, Foreign, Store, StoreError};

/// Upper bound on the states remembered before their deliveries are listed, in pages.
const MAX_STATES: usize = 20;

/// Upper bound on the states without a delivery that are removed per page.
const MAX_ORPHANS: usize = 50;

/// Delivery as the listings describe it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Entry of the delivery's object.
    pub entry: Entry,
    /// States of the delivery, which tell the time of its next attempt.
    pub states: Vec<State>,
}

impl Waiting {
    /// Returns true if the delivery may be tried now; `None` if only its state's content has the time.
    pub fn is_due(&self, now: Timestamp) -> Option<bool> {
        self.states.iter().max().map_or(Some(true), |newest| newest.is_due(now))
    }

    /// Returns the time of the next attempt, if an attempt failed and the state's name has the time.
    pub fn next(&self) -> Option<Timestamp> {
        self.states.iter().max().and_then(|newest| newest.next)
    }
}

/// Listing that is a part of a walk: the digests with the same first digit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// First digit of the digests; empty for all digests.
    digit: String,
    /// Digest that the listing begins after.
    after: Option<String>,
    /// Digest at which the listing ends, if not at the end of the names: the walk's first part has covered
    /// the rest.
    until: Option<String>,
}

/// Order in which a store lists, from the pages seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Presumed order of names: no second page has been seen yet.
    Unknown,
    /// Order of names: a page has come behind the name that it was listed after.
    Names,
    /// Order of the store's own: nothing is concluded from missing names.
    Own,
}

/// Position at which a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// Position after this digest; the beginning if it is `None`.
    After(Option<String>),
    /// Token of the last page, as the store gave it.
    By(String),
    /// End of the listing.
    End,
}

impl Next {
    fn of(token: Option<String>) -> Self {
        token.map_or(Self::End, Self::By)
    }

    /// Returns the token for a listing of the names that begin with `prefix`.
    fn token(&self, store: &Store, prefix: &str) -> Option<String> {
        match self {
            Self::After(digest) => digest.as_ref().map(|digest| store.after(&format!("{prefix}{digest}"))),
            Self::By(token) => Some(token.clone()),
            Self::End => None,
        }
    }
}

/// State of the walk through one hook's deliveries.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    retry_prefix: String,
    shard: Shard,
    since: Option<Timestamp>,
    /// Digest that the last page was listed after; `from` is the same for the next page.
    page: Option<String>,
    from: Option<String>,
    /// Positions of the two listings, as the store's own tokens; a part that begins has none yet.
    next: Next,
    next_states: Next,
    /// Parts that are still to be listed, the current one first.
    parts: VecDeque<Part>,
    /// Last digest of the part's previous page.
    last: Option<String>,
    states: BTreeMap<String, Vec<State>>,
    last_state: Option<String>,
    /// States that seem to have no delivery.
    suspects: Vec<State>,
    has_all_states: bool,
    order: Order,
    has_states: bool,
}

/// Page of a walk.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) waiting: Vec<Waiting>,
    /// States whose deliveries are gone.
    orphans: Vec<State>,
    /// Foreign entries of the listing.
    pub(super) foreign: Foreign,
}

impl Walk {
    /// Begins a walk through a hook's deliveries for the target, after `cursor`.
    pub(super) fn new(target: &str, hook: &str, options: &Options, cursor: Option<&str>) -> Self {
        let mut walk = Self {
            prefix: options.folder().prefix(target, Some(hook)),
            retry_prefix: Folder::Retry.prefix(target, Some(hook)),
            shard: options.shard,
            since: options.since,
            page: cursor.map(str::to_owned),
            from: None,
            next: Next::End,
            next_states: Next::End,
            parts: parts(options.shard, cursor),
            last: None,
            states: BTreeMap::new(),
            last_state: None,
            suspects: Vec::new(),
            has_all_states: options.dead,
            order: Order::Unknown,
            has_states: !options.dead,
        };
        walk.begin();
        walk
    }

    /// Begins the first of the remaining parts, if there is one.
    fn begin(&mut self) {
        let Some(Part { digit, after, .. }) = self.parts.front() else { return };
        // A run that ends here makes the next run go on here: a digit sorts before all digests that begin
        // with it.
        self.from = after.clone().or_else(|| Some(digit.clone()).filter(|digit| !digit.is_empty()));
        self.last.clone_from(after);
        self.next = Next::After(after.clone());
        self.next_states = Next::After(after.clone());
        self.last_state = None;
        self.has_all_states = !self.has_states;
        self.states.clear();
        self.suspects.clear();
    }

    /// Returns the digest that the last page was listed after: a run that handles this page next goes on
    /// there.
    pub(super) fn place(&self) -> Option<String> {
        let page = if is_pulled(Safeguard::CursorPassesHandled) { &self.last } else { &self.page };
        page.clone()
    }

    /// Forgets the states that are remembered for the next page, which is to be listed later, and reads them
    /// again then. A store with an order of its own does not tell them once more.
    pub(super) fn rest(&mut self) {
        self.suspects = Vec::new();
        if self.states.is_empty() {
            return;
        }
        self.states = BTreeMap::new();
        if self.order != Order::Own {
            self.next_states = Next::After(self.last.clone());
            self.last_state = None;
            self.has_all_states = !self.has_states;
        }
    }

    /// Returns the number of remembered states.
    pub(super) fn remembered(&self) -> usize {
        self.states.values().map(Vec::len).sum::<usize>() + self.suspects.len()
    }

    /// Returns true if everything has been listed.
    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty()
    }

    /// Lists the next page that is not empty, or an empty one at the end, and removes states without a
    /// delivery.
    pub(super) async fn turn(
        &mut self,
        store: &Store,
        limit: usize,
        deadline: Instant,
    ) -> Result<Leaf, StoreError> {
        let leaf = self.peek(store, limit, deadline).await?;
        for orphan in leaf.orphans.iter().take(MAX_ORPHANS) {
            // The state's delivery was sent; a failure leaves the state for the next run.
            let _ = store.delete(&orphan.name, deadline).await;
        }
        Ok(leaf)
    }

    /// Lists a page like [`turn`](Self::turn), without any change in the store.
    pub(super) async fn peek(
        &mut self,
        store: &Store,
        limit: usize,
        deadline: Instant,
    ) -> Result<Leaf, StoreError> {
        let mut leaf = Leaf::default();
        while leaf.waiting.is_empty() && leaf.orphans.is_empty() && !self.is_over() {
            let foreign = std::mem::take(&mut leaf.foreign);
            leaf = self.page(store, limit, deadline).await?;
            leaf.foreign.join(foreign);
        }
        Ok(leaf)
    }

    async fn page(&mut self, store: &Store, limit: usize, deadline: Instant) -> Result<Leaf, StoreError> {
        let Some(Part { digit, until: round, .. }) = self.parts.front().cloned() else {
            return Ok(Leaf::default());
        };
        let token = self.next.token(store, &self.prefix);
        let prefix = format!("{}{digit}", self.prefix);
        let page = store.list(&prefix, token.as_deref(), limit, deadline).await?;
        // An empty page that is not the end says nothing about names: the listing goes on behind it.
        if page.entries.is_empty() && page.next.is_some() {
            self.next = Next::of(page.next);
            return Ok(Leaf { foreign: page.foreign, ..Leaf::default() });
        }
        let digest = |entry: Option<&Entry>| entry?.name.strip_prefix(&self.prefix).map(str::to_owned);
        let (first, last) = (digest(page.entries.first()), digest(page.entries.last()));
        let is_end = page.next.is_none();
        let behind = first.as_ref().zip(self.last.as_ref()).map(|(first, before)| first > before);
        if behind == Some(false) || !page.entries.is_sorted_by(|one, next| one.name < next.name) {
            self.order = Order::Own;
        } else if behind.is_some() && self.order == Order::Unknown {
            self.order = Order::Names;
        }
        if self.has_states {
            let until = last.as_deref().filter(|_| !is_end);
            self.read_states(store, &digit, until, limit, deadline).await?;
        }
        self.page.clone_from(&self.from);
        self.next = Next::of(page.next);
        let mut leaf = Leaf { foreign: page.foreign, ..Leaf::default() };
        for entry in page.entries {
            let Some(digest) = entry.name.strip_prefix(&self.prefix) else { continue };
            let states = self.states.remove(digest).unwrap_or_default();
            let is_met = self.order == Order::Names && round.as_deref().is_some_and(|round| digest > round);
            let is_wanted =
                !is_met && self.shard.takes(digest) && self.since.is_none_or(|since| entry.modified >= since);
            if is_wanted {
                leaf.waiting.push(Waiting { entry, states });
            }
        }
        sort_by(&mut leaf.waiting, &|a, b| older(&a.entry, &b.entry));
        // The next page shows if this store lists in the order of names, and so does the end.
        let suspects = self.suspects(last.as_deref().filter(|_| !is_end));
        let earlier = std::mem::replace(&mut self.suspects, suspects);
        if self.order != Order::Own {
            leaf.orphans = earlier;
            if is_end {
                leaf.orphans.append(&mut self.suspects);
            }
        }
        self.last = last.or_else(|| self.last.take());
        self.from = self.last.clone().or_else(|| self.from.take());
        let is_round = self.order == Order::Names && round.is_some() && self.last >= round;
        if is_end || is_round {
            self.parts.pop_front();
            self.begin();
        }
        Ok(leaf)
    }

    /// Returns the states between the ends of the last two pages that have no delivery. States before that
    /// range are left out because their deliveries were in hand, and states behind it may be written by this
    /// run.
    fn suspects(&mut self, until: Option<&str>) -> Vec<State> {
        if self.order == Order::Own {
            return Vec::new();
        }
        let after = self.last.as_deref();
        let is_behind = |name: &str| until.is_none_or(|until| name <= until);
        let passed: Vec<String> = self.states.keys().filter(|name| is_behind(name)).cloned().collect();
        let mut orphans = Vec::new();
        for name in passed {
            let states = self.states.remove(&name).unwrap_or_default();
            if after.is_none_or(|after| name.as_str() > after) && self.shard.takes(&name) {
                orphans.extend(states);
            }
        }
        orphans
    }

    /// Reads states up to the delivery `until`, or all remaining ones if it is `None`.
    async fn read_states(
        &mut self,
        store: &Store,
        digit: &str,
        until: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let prefix = format!("{}{digit}", self.retry_prefix);
        let is_enough = |last: &Option<String>| match (until, last) {
            (Some(until), Some(last)) => last.as_str() > until,
            _ => false,
        };
        while !self.has_all_states && !is_enough(&self.last_state) && self.states.len() < MAX_STATES * limit {
            let token = self.next_states.token(store, &self.retry_prefix);
            let page = store.list(&prefix, token.as_deref(), limit, deadline).await?;
            for entry in page.entries {
                let Some(rest) = entry.name.strip_prefix(&self.retry_prefix) else { continue };
                let digest = rest.split('.').next().unwrap_or(rest).to_owned();
                self.last_state = Some(digest.clone());
                self.states.entry(digest).or_default().push(State::read(&entry.name));
            }
            self.next_states = Next::of(page.next);
            self.has_all_states = self.next_states == Next::End;
        }
        Ok(())
    }
}

/// Returns the parts of a walk through a shard that begins after `cursor`: from there to the end, and then
/// round to the start.
fn parts(shard: Shard, cursor: Option<&str>) -> VecDeque<Part> {
    let whole = |digit: &String| Part { digit: digit.clone(), after: None, until: None };
    let digits = shard.digits();
    let at = cursor.and_then(|cursor| digits.iter().position(|digit| cursor.starts_with(digit.as_str())));
    let (Some(cursor), Some(at)) = (cursor, at) else { return digits.iter().map(whole).collect() };
    let (before, behind) = digits.split_at(at);
    let goes_round = !is_pulled(Safeguard::CursorPassesHandled);
    let mut parts: VecDeque<Part> = behind.iter().map(whole).collect();
    parts.extend(before.iter().filter(|_| goes_round).map(whole));
    // A cursor that is a digit is at the beginning of that digit's part.
    if let Some(first) = parts.front_mut().filter(|first| first.digit != cursor) {
        let round = Part { until: Some(cursor.to_owned()), ..first.clone() };
        first.after = Some(cursor.to_owned());
        parts.extend(Some(round).filter(|_| goes_round));
    }
    parts
}

/// Splits a page into due and early deliveries; with `everything`, all count as due.
pub(super) fn due(leaf: Leaf, now: Timestamp, everything: bool) -> (Vec<Waiting>, Vec<Waiting>) {
    leaf.waiting.into_iter().partition(|waiting| everything || waiting.is_due(now) != Some(false))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
