//! One hook's deliveries, page by page: what is due is known from the listing.
//!
//! Two listings are read side by side, of the deliveries and of their states in `retry/`, whose names
//! begin alike. Stores list in the order of names, and then each state meets its delivery; where one lists
//! in another order, a state that comes too early is remembered, and one that comes too late costs a send
//! before its time.
//!
//! Nothing is left out because of an order that is only believed in: a shard is listed by each of its digits, and
//! a walk that goes round stops early only where pages have come in the order of names.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::list::older;
use super::options::Options;
use crate::clock::Timestamp;
use crate::sabotage::{Safeguard, is_pulled};
use crate::shard::Shard;
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

/// A listing of a walk: of the digests that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// How they begin; empty for all.
    digit: String,
    /// What it is listed after.
    after: Option<String>,
    /// Where it ends, if not at the end: what comes behind was met by the walk's first part.
    until: Option<String>,
}

/// In which order a store lists, by what has been seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// In that of names, for all that is known: no page has come behind a name yet.
    Unknown,
    /// Pages have come behind the names that they were listed after.
    Names,
    /// In another one: nothing is concluded from what is missing.
    Own,
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
    /// What the last page was listed after, and what the next one is.
    page: Option<String>,
    from: Option<String>,
    /// Where the listings go on, by the store's own tokens; a part that begins has none yet.
    next: Next,
    next_states: Next,
    /// What is still to be listed, the part in hand first.
    parts: VecDeque<Part>,
    /// The last digest of the part's page before.
    last: Option<String>,
    states: BTreeMap<String, Vec<State>>,
    last_state: Option<String>,
    /// States that seem to have no delivery.
    suspects: Vec<State>,
    has_all_states: bool,
    order: Order,
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

    /// Begins the part that is first now, if there is one.
    fn begin(&mut self) {
        let Some(Part { digit, after, .. }) = self.parts.front() else { return };
        // Where the next run goes on that ends here: a digit comes before all that begin with it.
        self.from = after.clone().or_else(|| Some(digit.clone()).filter(|digit| !digit.is_empty()));
        self.last.clone_from(after);
        self.next = Next::After(after.clone());
        self.next_states = Next::After(after.clone());
        self.last_state = None;
        self.has_all_states = !self.has_states;
        self.states.clear();
        self.suspects.clear();
    }

    /// What the last page was listed after: where a run goes on that handles it.
    pub(super) fn place(&self) -> Option<String> {
        let page = if is_pulled(Safeguard::CursorPassesHandled) { &self.last } else { &self.page };
        page.clone()
    }

    /// Whether everything has been listed.
    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty()
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
        let Some(Part { digit, until: round, .. }) = self.parts.front().cloned() else {
            return Ok(Leaf::default());
        };
        let token = self.next.token(store, &self.prefix);
        let prefix = format!("{}{digit}", self.prefix);
        let page = store.list(&prefix, token.as_deref(), limit, deadline).await?;
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
        leaf.waiting.sort_by(|a, b| older(&a.entry, &b.entry));
        // The next page tells whether this store lists in the order of names, as the end does.
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

    /// States that no delivery between the last two pages' ends has: of those before, the deliveries were
    /// in hand, and what was written since may be this run's.
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

    /// Reads states up to that of the delivery `until`; all that are left without one.
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
        while !self.has_all_states && !is_enough(&self.last_state) && self.states.len() < MAX_STATES {
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

/// What a walk through a shard lists that begins after `cursor`: from there on, and then round to there.
fn parts(shard: Shard, cursor: Option<&str>) -> VecDeque<Part> {
    let whole = |digit: &String| Part { digit: digit.clone(), after: None, until: None };
    let digits = shard.digits();
    let at = cursor.and_then(|cursor| digits.iter().position(|digit| cursor.starts_with(digit.as_str())));
    let (Some(cursor), Some(at)) = (cursor, at) else { return digits.iter().map(whole).collect() };
    let (before, behind) = digits.split_at(at);
    let goes_round = !is_pulled(Safeguard::CursorPassesHandled);
    let mut parts: VecDeque<Part> = behind.iter().map(whole).collect();
    parts.extend(before.iter().filter(|_| goes_round).map(whole));
    // A cursor that is a digit is at the beginning of it.
    if let Some(first) = parts.front_mut().filter(|first| first.digit != cursor) {
        let round = Part { until: Some(cursor.to_owned()), ..first.clone() };
        first.after = Some(cursor.to_owned());
        parts.extend(Some(round).filter(|_| goes_round));
    }
    parts
}

/// Moves what is due to the front of the run, oldest first, and tells of the rest.
pub(super) fn due(leaf: Leaf, now: Timestamp, everything: bool) -> (Vec<Waiting>, Vec<Waiting>) {
    leaf.waiting.into_iter().partition(|waiting| everything || waiting.is_due(now) != Some(false))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
