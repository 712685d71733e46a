//! A meeting point, at which requests wait until a given number of them has arrived.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Number of waiting requests, and of groups that went on.
#[derive(Default)]
struct State {
    waiting: usize,
    groups: u64,
}

#[derive(Default)]
pub(crate) struct Gathering {
    state: Mutex<State>,
    gone: watch::Sender<u64>,
}

/// A waiting request, which no longer counts if its client leaves.
struct Waiter<'a> {
    at: &'a Gathering,
    group: u64,
}

impl Gathering {
    /// Waits until `size` callers wait, including this one; then all of them continue.
    pub(crate) async fn wait(&self, size: usize) {
        let mut gone = self.gone.subscribe();
        let waiter = {
            let mut state = self.state();
            let group = state.groups;
            state.waiting += 1;
            if state.waiting >= size {
                *state = State { waiting: 0, groups: group + 1 };
                self.gone.send_replace(group + 1);
                return;
            }
            Waiter { at: self, group }
        };
        // The sender lives as long as `self`.
        let _ = gone.wait_for(|groups| *groups > waiter.group).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.at.state();
        if state.groups == self.group {
            state.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    /// Returns true if the future is ready when polled once.
    async fn is_done(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn they_go_on_together_and_who_left_does_not_count() {
        let gathering = Gathering::default();
        let mut first = pin!(gathering.wait(2));
        assert!(!is_done(first.as_mut()).await);
        {
            let mut leaves = pin!(gathering.wait(3));
            assert!(!is_done(leaves.as_mut()).await);
        }
        let mut alone = pin!(gathering.wait(3));
        assert!(!is_done(alone.as_mut()).await, "one of three has left");
        let mut last = pin!(gathering.wait(2));
        assert!(is_done(last.as_mut()).await);
        assert!(is_done(first.as_mut()).await && is_done(alone.as_mut()).await);
        // The next group starts with no waiting request.
        let mut next = pin!(gathering.wait(2));
        assert!(!is_done(next.as_mut()).await);
    }
}
