//! One hook's deliveries, page by page: what is due is known from the listing.
//!
//! Two listings are read side by side, of the deliveries and of their states in `retry/`, whose names
//! begin alike. Stores list in the order of names, and then each state meets its delivery; where one lists
//! in another order, a state that comes too early is remembered, and one that comes too late costs a send
//! before its time.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::list::older;
use super::options::Options;
use super::shard::Shard;
use crate::clock::Timestamp;
use crate::sabotage::{Safeguard, is_pulled};
use crate::spill::{Folder, State};
use crate::store::{Entry, Foreign, Store, StoreError};

/// States that are remembered before their deliveries are listed.
const MAX_STATES: usize = 20_000;

/// States without a delivery that are removed with one page.
const MAX_ORPHANS: usize = 50;

/// A delivery as the listings tell it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its object.
    pub entry: Entry,
    /// What is known of when it is tried next.
    pub states: Vec<State>,
}

impl Waiting {
    /// Whether it may be tried now; `None` if only the content of its state says so.
    pub fn is_due(&self, now: Timestamp) -> Option<bool> {
        self.states.iter().max().map_or(Some(true), |newest| newest.is_due(now))
    }

    /// When it is tried next, if it was tried in vain and its state's name says so.
    pub fn next(&self) -> Option<Timestamp> {
        self.states.iter().max().and_then(|newest| newest.next)
    }
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// From where it began to the end.
    First,
    /// From the beginning to where it began.
    Second,
    Over,
}

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// After this digest; at the beginning without one.
    After(Option<String>),
    /// By the token of the last page.
    By(String),
    /// Nowhere: it has ended.
    End,
}

impl Next {
    fn of(token: Option<String>) -> Self {
        token.map_or(Self::End, Self::By)
    }

    /// The token for a listing of what begins with `prefix`.
    fn token(&self, store: &Store, prefix: &str) -> Option<String> {
        match self {
            Self::After(digest) => digest.as_ref().map(|digest| store.after(&format!("{prefix}{digest}"))),
            Self::By(token) => Some(token.clone()),
            Self::End => None,
        }
    }
}

/// The way through one hook's deliveries.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    retry_prefix: String,
    shard: Shard,
    since: Option<Timestamp>,
    /// The digest that the last page was listed after.
    page: Option<String>,
    /// Where the listings go on, by the store's own tokens; a round that begins has none yet.
    next: Next,
    next_states: Next,
    /// What the shard's first digest comes after.
    start: Option<String>,
    /// Where the walk began, if not at the beginning: it goes round to there.
    began: Option<String>,
    round: Round,
    /// The last digest of the page before.
    last: Option<String>,
    states: BTreeMap<String, Vec<State>>,
    last_state: Option<String>,
    /// States that seem to have no delivery.
    suspects: Vec<State>,
    has_all_states: bool,
    /// Where names have been seen out of order, nothing is concluded from what is missing.
    is_ordered: bool,
    has_states: bool,
}

/// A page of a walk.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) waiting: Vec<Waiting>,
    /// States whose deliveries are gone.
    orphans: Vec<State>,
    /// What was listed besides and is no object.
    pub(super) foreign: Foreign,
}

impl Walk {
    /// Through a hook's deliveries for the target, after `cursor`.
    pub(super) fn new(target: &str, hook: &str, options: &Options, cursor: Option<&str>) -> Self {
        let folder = options.folder();
        let prefix = folder.prefix(target, Some(hook));
        let start = before(options.shard).map(|digit| format!("{digit}zzz"));
        let began = cursor.map(str::to_owned);
        let page = began.clone().or_else(|| start.clone());
        Self {
            retry_prefix: Folder::Retry.prefix(target, Some(hook)),
            shard: options.shard,
            since: options.since,
            next: Next::After(page.clone()),
            next_states: Next::After(page.clone()),
            last: page.clone(),
            page,
            prefix,
            start,
            began,
            round: Round::First,
            states: BTreeMap::new(),
            last_state: None,
            suspects: Vec::new(),
            has_all_states: options.dead,
            is_ordered: true,
            has_states: !options.dead,
        }
    }

    /// What the last page was listed after: where a run goes on that handles it.
    pub(super) fn place(&self) -> Option<String> {
        let page = if is_pulled(Safeguard::CursorPassesHandled) { &self.last } else { &self.page };
        page.clone()
    }

    /// Whether everything has been listed.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.round, Round::Over)
    }

    /// The next page with something on it; an empty one at the end.
    pub(super) async fn turn(
        &mut self,
        store: &Store,
        limit: usize,
        deadline: Instant,
    ) -> Result<Leaf, StoreError> {
        let leaf = self.peek(store, limit, deadline).await?;
        for orphan in leaf.orphans.iter().take(MAX_ORPHANS) {
            // Its delivery was sent; a failure leaves it for the next run.
            let _ = store.delete(&orphan.name, deadline).await;
        }
        Ok(leaf)
    }

    /// As [`turn`](Self::turn), and nothing in the store is changed.
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
        let token = self.next.token(store, &self.prefix);
        let page = store.list(&self.prefix, token.as_deref(), limit, deadline).await?;
        let digest = |entry: Option<&Entry>| entry?.name.strip_prefix(&self.prefix).map(str::to_owned);
        let (first, last) = (digest(page.entries.first()), digest(page.entries.last()));
        let is_end = page.next.is_none();
        if let (Some(first), Some(before)) = (&first, &self.last) {
            self.is_ordered &= first > before;
        }
        if self.has_states {
            let until = last.as_deref().filter(|_| !is_end);
            self.read_states(store, until, limit, deadline).await?;
        }
        self.page.clone_from(&self.last);
        self.next = Next::of(page.next);
        let mut leaf = Leaf { foreign: page.foreign, ..Leaf::default() };
        for entry in page.entries {
            let Some(digest) = entry.name.strip_prefix(&self.prefix) else { continue };
            let states = self.states.remove(digest).unwrap_or_default();
            // The second round ends where the first one began.
            let is_round = self.round == Round::Second
                && self.is_ordered
                && self.began.as_deref().is_some_and(|began| digest > began);
            let is_wanted = !is_round
                && self.shard.takes(digest)
                && self.since.is_none_or(|since| entry.modified >= since);
            if is_wanted {
                leaf.waiting.push(Waiting { entry, states });
            }
        }
        leaf.waiting.sort_by(|a, b| older(&a.entry, &b.entry));
        // The next page tells whether this store lists in the order of names, as the end does.
        let suspects = self.suspects(last.as_deref().filter(|_| !is_end));
        let earlier = std::mem::replace(&mut self.suspects, suspects);
        if self.is_ordered {
            leaf.orphans = earlier;
            if is_end {
                leaf.orphans.append(&mut self.suspects);
            }
        }
        self.last = last.or_else(|| self.last.take());
        self.go_on(is_end);
        Ok(leaf)
    }

    /// States that no delivery between the last two pages' ends has: of those before, the deliveries were
    /// in hand, and what was written since may be this run's.
    fn suspects(&mut self, until: Option<&str>) -> Vec<State> {
        if !self.is_ordered {
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

    /// Reads states up to that of the delivery `until`; all that are left without one.
    async fn read_states(
        &mut self,
        store: &Store,
        until: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let is_enough = |last: &Option<String>| match (until, last) {
            (Some(until), Some(last)) => last.as_str() > until,
            _ => false,
        };
        while !self.has_all_states && !is_enough(&self.last_state) && self.states.len() < MAX_STATES {
            let token = self.next_states.token(store, &self.retry_prefix);
            let page = store.list(&self.retry_prefix, token.as_deref(), limit, deadline).await?;
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

    /// Round once more to where the walk began, or over.
    fn go_on(&mut self, is_end: bool) {
        let is_past_shard = self.is_ordered
            && self
                .last
                .as_deref()
                .zip(self.shard.range().1)
                .is_some_and(|(last, end)| last >= end.to_string().as_str());
        let is_round = self.round == Round::Second
            && self.is_ordered
            && self.last.as_deref().zip(self.began.as_deref()).is_some_and(|(last, began)| last >= began);
        if is_end || is_past_shard {
            let goes_round = self.began.is_some() && self.round == Round::First;
            if goes_round && !is_pulled(Safeguard::CursorPassesHandled) {
                self.round = Round::Second;
                self.next = Next::After(self.start.clone());
                self.next_states = Next::After(self.start.clone());
                self.last = self.start.clone();
                self.last_state = None;
                self.has_all_states = !self.has_states;
                self.states.clear();
            } else {
                self.round = Round::Over;
            }
        } else if is_round {
            self.round = Round::Over;
        }
    }
}

/// The digit before the first one of a shard.
fn before(shard: Shard) -> Option<char> {
    let first = shard.range().0.to_digit(16)?;
    char::from_digit(first.checked_sub(1)?, 16)
}

/// Moves what is due to the front of the run, oldest first, and tells of the rest.
pub(super) fn due(leaf: Leaf, now: Timestamp, everything: bool) -> (Vec<Waiting>, Vec<Waiting>) {
    leaf.waiting.into_iter().partition(|waiting| everything || waiting.is_due(now) != Some(false))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
