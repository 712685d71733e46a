//! Registry of one server's connections with their states. It keeps room for one more connection at all
//! times.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::weakest::{Facts, Flow, Rank, State, Times, share};
use crate::sort::{sort, sort_by};

/// Divisor for the number of weakest connections that one search finds, because a search looks at every
/// connection. Dawdling connections among them are all closed at once; each of the others is closed when one
/// more connection arrives.
const BATCH: usize = 64;

/// Time after which a search is repeated: other connections may have become weaker.
const LOOKED: Duration = Duration::from_millis(5);

/// Upper bound on the bytes of all arriving heads together. Most heads arrive in one piece and are not
/// counted here.
const HEAD_BYTES: usize = 16 * 1024 * 1024;

/// Reasons for a connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Expiry of the time limit of the connection's state.
    Late,
    /// Need of other connections for room.
    Full,
    /// Need of other requests for the bytes of the connection's body.
    Bytes,
    /// Stop of the server, after its time for answers.
    Stopping,
}

/// Connections of one server, up to a fixed number.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    inner: Mutex<Inner>,
    /// Notification that a connection has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// Number of live connections of each peer: those that were not told to end.
    peers: HashMap<IpAddr, usize>,
    live: usize,
    head_bytes: usize,
    /// Candidates from the last search, the weakest last. `looked` is the time of that
    /// search.
    weakest: Vec<(Rank, u64)>,
    looked: Option<Instant>,
    /// True if, at the last search, more than half of all connections waited for a genuine sender's next
    /// request.
    are_many: bool,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    /// Bytes that came while a request was being served: they belong to the next request.
    ahead: u64,
    told: watch::Sender<Option<Told>>,
}

/// Handle of one connection's entry; dropping the handle removes the entry.
#[derive(Debug)]
pub(super) struct Conn {
    all: Arc<Connections>,
    id: u64,
    peer: IpAddr,
    told: watch::Receiver<Option<Told>>,
    /// True if the connection ends unless unread bytes have arrived.
    is_closing: AtomicBool,
    /// True if an answer was given before the whole request had arrived.
    is_unread: AtomicBool,
}

impl Connections {
    /// Creates the registry with room for `most` connections. At most that many are served at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, inner: Mutex::default(), ended: Notify::new() })
    }

    /// Enters a new connection. If there is no room, the weakest is told to end; the registry exceeds its
    /// limit by one only while every other connection is being served.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Arc<Conn> {
        let now = Instant::now();
        let mut inner = self.inner();
        // Connections that were told to end may have gone on because bytes had arrived.
        while inner.live >= self.most && inner.make_room(self.most, now) {}
        let id = inner.next;
        inner.next += 1;
        let (told, receiver) = watch::channel(None);
        let facts = Facts { peer, state: State::New, flow: Flow::new(now), held: 0, is_proven: false };
        inner.entries.insert(id, Entry { facts, ahead: 0, told });
        inner.count(peer);
        drop(inner);
        let (is_closing, is_unread) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Conn { all: Arc::clone(self), id, peer, told: receiver, is_closing, is_unread })
    }

    /// Tells every overdue connection to end.
    pub(super) fn sweep(&self, times: &Times) {
        let now = Instant::now();
        self.tell_those(Told::Late, |facts| facts.is_overdue(now, times));
    }

    /// Tells every connection to end whose request has not arrived.
    pub(super) fn stop(&self) {
        self.tell_those(Told::Stopping, |facts| !matches!(facts.state, State::Service | State::Linger));
    }

    fn tell_those(&self, why: Told, which: impl Fn(&Facts) -> bool) {
        let mut inner = self.inner();
        let those = |(id, entry): (&u64, &Entry)| {
            (entry.told.borrow().is_none() && which(&entry.facts)).then_some(*id)
        };
        let those: Vec<u64> = inner.entries.iter().filter_map(those).collect();
        for id in those {
            inner.tell(id, why);
        }
    }

    /// Makes room for `needed` more bytes of a body of `asker`. Returns true if that many bytes will be free
    /// soon.
    pub(super) fn make_bytes(&self, mut needed: usize, room: usize, asker: &Conn) -> bool {
        let now = Instant::now();
        let mut inner = self.inner();
        let mut by_peer: HashMap<IpAddr, usize> = HashMap::new();
        for entry in inner.entries.values() {
            *by_peer.entry(entry.facts.peer).or_default() += entry.facts.held;
        }
        let most = share(room, by_peer.len());
        let is_over = |facts: &Facts| by_peer.get(&facts.peer).is_some_and(|held| *held > most);
        let rank = |facts: &Facts| facts.rank_of_bytes(now, is_over(facts));
        let mut ranked = inner.ranked(rank);
        sort(&mut ranked);
        let mut given = Vec::new();
        for (_, id) in ranked {
            if needed == 0 || id == asker.id {
                break;
            }
            needed = needed.saturating_sub(inner.entries.get(&id).map_or(0, |entry| entry.facts.held));
            given.push(id);
        }
        // Connections that were told to end earlier give their bytes back as well.
        let leaving = inner.entries.values().filter(|entry| entry.told.borrow().is_some());
        needed = needed.saturating_sub(leaving.map(|entry| entry.facts.held).sum());
        if needed > 0 {
            return false;
        }
        for id in given {
            inner.tell(id, Told::Bytes);
        }
        true
    }

    /// Tells the weakest connection to give its descriptor back: there are fewer descriptors than expected.
    pub(super) fn shrink(&self) {
        self.inner().make_room(self.most, Instant::now());
    }

    /// Returns the number of connections, those that were told to end included.
    pub(super) fn count(&self) -> usize {
        self.inner().entries.len()
    }

    /// Waits until all connections are gone.
    pub(super) async fn gone(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&mut self, peer: IpAddr) {
        self.live += 1;
        *self.peers.entry(peer).or_default() += 1;
    }

    fn discount(&mut self, peer: IpAddr) {
        self.live = self.live.saturating_sub(1);
        if let Some(n) = self.peers.get_mut(&peer) {
            *n -= 1;
            if *n == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Returns the connections that can give way, with their ranks.
    fn ranked(&self, rank: impl Fn(&Facts) -> Option<Rank>) -> Vec<(Rank, u64)> {
        let rank = |(id, entry): (&u64, &Entry)| {
            let is_here = entry.told.borrow().is_none();
            is_here.then(|| rank(&entry.facts)).flatten().map(|rank| (rank, *id))
        };
        self.entries.iter().filter_map(rank).collect()
    }

    /// Tells the weakest connection to end. Returns true if there was a connection that can give way.
    fn make_room(&mut self, most: usize, now: Instant) -> bool {
        let fair = share(most, self.peers.len());
        let is_over = |facts: &Facts| self.peers.get(&facts.peer).is_some_and(|n| *n > fair);
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOKED) {
            self.weakest.clear();
            let kept =
                self.entries.values().filter(|e| e.facts.is_kept() && e.told.borrow().is_none()).count();
            self.are_many = kept > most / 2;
        }
        // A connection that has become stronger since the search stays.
        let is_weak = |(rank, id): &(Rank, u64)| {
            let entry = self.entries.get(id).filter(|entry| entry.told.borrow().is_none());
            entry
                .and_then(|entry| entry.facts.rank(now, is_over(&entry.facts), self.are_many))
                .is_some_and(|is| is.0 <= rank.0)
        };
        while self.weakest.last().is_some_and(|weakest| !is_weak(weakest)) {
            self.weakest.pop();
        }
        if self.weakest.is_empty() {
            self.weakest = self.look(most, |facts| facts.rank(now, is_over(facts), self.are_many));
            self.looked = Some(now);
        }
        let Some(((tier, ..), id)) = self.weakest.pop() else { return false };
        self.tell(id, Told::Full);
        while tier == 0
            && let Some(((0, ..), id)) = self.weakest.last().copied()
        {
            self.weakest.pop();
            self.tell(id, Told::Full);
        }
        true
    }

    /// Searches for the weakest connections; the very weakest is the last.
    fn look(&self, most: usize, rank: impl Fn(&Facts) -> Option<Rank>) -> Vec<(Rank, u64)> {
        let mut ranked = self.ranked(rank);
        let batch = (most / BATCH).max(1).min(ranked.len());
        if batch < ranked.len() {
            ranked.select_nth_unstable(batch);
            ranked.truncate(batch);
        }
        sort_by(&mut ranked, &|a, b| b.cmp(a));
        ranked
    }

    fn tell(&mut self, id: u64, told: Told) {
        let Some(entry) = self.entries.get(&id) else { return };
        let peer = entry.facts.peer;
        if entry.told.send_replace(Some(told)).is_none() {
            self.discount(peer);
        }
    }

    /// Releases the bytes of a head that has been read or does not grow further.
    fn head_ends(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.facts.state == State::Head) else {
            return;
        };
        let held = std::mem::take(&mut entry.facts.held);
        self.head_bytes = self.head_bytes.saturating_sub(held);
    }

    fn head_grows(&mut self, id: u64, bytes: usize, now: Instant) {
        self.head_bytes += bytes;
        if self.head_bytes > HEAD_BYTES {
            let heads =
                |facts: &Facts| (facts.state == State::Head).then(|| facts.rank(now, false, false)).flatten();
            let weakest = self.ranked(heads).into_iter().min().map_or(id, |(_, id)| id);
            self.tell(weakest, Told::Full);
        }
    }
}

impl Conn {
    fn with<T>(&self, change: impl FnOnce(&mut Entry, Instant) -> T) -> Option<T> {
        self.all.inner().entries.get_mut(&self.id).map(|entry| change(entry, Instant::now()))
    }

    /// Counts arrived bytes, for the flow of the request that they belong to.
    pub(super) fn arrived(&self, bytes: usize) {
        // Arriving bytes revoke an order to end that the connection got while it was quiet.
        if matches!(self.state(), State::New | State::Idle) {
            self.spare();
        }
        let (now, mut inner) = (Instant::now(), self.all.inner());
        let Some(entry) = inner.entries.get_mut(&self.id) else { return };
        let facts = &mut entry.facts;
        if facts.state == State::Service {
            entry.ahead += bytes as u64;
            return;
        }
        facts.flow.add(bytes as u64, now);
        if facts.state == State::Head {
            facts.held += bytes;
            inner.head_grows(self.id, bytes, now);
        }
    }

    /// Sets the connection's state, with a new flow where the state begins one.
    pub(super) fn goes_to(&self, state: State) {
        self.all.inner().head_ends(self.id);
        self.with(|entry, now| {
            if matches!(state, State::Idle | State::Linger) {
                entry.facts.held = 0;
            }
            match state {
                State::Idle if entry.ahead > 0 => {
                    let mut flow = Flow::new(now);
                    flow.add(std::mem::take(&mut entry.ahead), now);
                    (entry.facts.state, entry.facts.flow) = (State::Head, flow);
                    return;
                }
                State::Idle | State::Linger => entry.facts.flow = Flow::new(now),
                _ => {}
            }
            entry.facts.state = state;
        });
    }

    /// Notes that the connection's answer cannot be written, or can be written again. A sender that does not
    /// read is treated like one that has left.
    pub(super) fn sticks(&self, is_stuck: bool) {
        match (self.state(), is_stuck) {
            (State::Idle, true) => self.goes_to(State::Linger),
            (State::Linger, false) => self.goes_to(State::Idle),
            _ => {}
        }
    }

    /// Sets the number of body bytes that are held for the connection.
    pub(super) fn holds(&self, bytes: usize) {
        self.with(|entry, _| entry.facts.held = bytes);
    }

    /// Returns the connection's state.
    pub(super) fn state(&self) -> State {
        self.with(|entry, _| entry.facts.state).unwrap_or(State::Idle)
    }

    /// Returns the time since the connection's flow began.
    pub(super) fn age(&self) -> std::time::Duration {
        self.with(|entry, now| entry.facts.flow.age(now)).unwrap_or_default()
    }

    /// Waits until the connection is told to end, and returns the reason.
    pub(super) async fn told(&self) -> Told {
        let mut told = self.told.clone();
        // The sender is in the entry, which exists as long as this handle.
        let value = told.wait_for(Option::is_some).await.ok().and_then(|told| *told);
        value.unwrap_or(Told::Full)
    }

    /// Returns true if the connection was told to end for the reason `why`.
    pub(super) fn was_told(&self, why: Told) -> bool {
        *self.told.borrow() == Some(why)
    }

    /// Returns the address of the peer.
    pub(super) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Notes that an answer was given before the whole request had arrived.
    pub(super) fn leaves_unread(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Lets the connection end unless unread bytes have arrived.
    pub(super) fn close_if_quiet(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Lets the connection go on because bytes have arrived: it is live again, and a quiet one begins a head.
    pub(super) fn spare(&self) {
        self.is_closing.store(false, Ordering::Relaxed);
        let mut inner = self.all.inner();
        let Some(entry) = inner.entries.get_mut(&self.id) else { return };
        if matches!(entry.facts.state, State::New | State::Idle) {
            (entry.facts.state, entry.facts.flow) = (State::Head, Flow::new(Instant::now()));
        }
        if entry.told.send_replace(None).is_some() {
            inner.count(self.peer);
        }
    }

    /// Notes that a request of the connection was answered with an ack.
    pub(super) fn proves_genuine(&self) {
        self.with(|entry, _| entry.facts.is_proven = true);
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut inner = self.all.inner();
        inner.head_ends(self.id);
        if let Some(entry) = inner.entries.remove(&self.id)
            && entry.told.borrow().is_none()
        {
            inner.discount(self.peer);
        }
        drop(inner);
        self.all.ended.notify_waiters();
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
