//! Trials of the stores as a forwarder and a redriver use them: write, read and delete a small object.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::context::Context;
use hookmq_shared::quarantine;
use hookmq_shared::spill::{self, PROBE};
use hookmq_shared::store::{Store, StoreError};
use tokio::time::Instant;

use crate::Exit;

/// The environment variables that name a store.
const VARIABLES: [&str; 2] = [spill::VARIABLE, quarantine::VARIABLE];

/// Time limit of one call to a store.
const LIMIT: Duration = Duration::from_secs(10);

/// Tries each store with a valid URL; the other ones are reported elsewhere without a call.
pub(super) async fn run(context: &Context) -> Vec<(String, Exit)> {
    let mut tried = Vec::new();
    for variable in VARIABLES {
        let Some(url) = context.env.get(variable) else { continue };
        if let Ok(store) = Store::open(variable, &url, context) {
            tried.push(ask(variable, &store, context).await);
        }
    }
    tried
}

async fn ask(variable: &str, store: &Store, context: &Context) -> (String, Exit) {
    let deadline = || Instant::now() + LIMIT;
    let mut text = format!("{variable}: {}\n", store.place());
    let mut line = |name: &str, told: &dyn Display| {
        let _ = writeln!(text, "  {name:<12} {told}");
    };
    let bytes = Bytes::from(format!("{} {}", context.clock.now().rfc3339(), context.random.uuid()));
    let begun = Instant::now();
    if let Err(error) = store.put(PROBE, bytes.clone(), deadline()).await {
        line("write", &format_args!("failed: {error}"));
        line("verdict", &"bad: deliveries that the queue does not take would be refused");
        line("what to do", &advice(&error));
        return (text, Exit::Bad);
    }
    line("write", &format_args!("{PROBE} in {} ms", begun.elapsed().as_millis()));
    let (read, is_read) = match store.get(PROBE, deadline()).await {
        Ok(Some(found)) if found == bytes => ("as it was written".to_owned(), true),
        // A trial of a running function overwrites the same object.
        Ok(Some(_)) => ("another process has overwritten it meanwhile".to_owned(), true),
        Ok(None) => ("failed: it is not there".to_owned(), false),
        Err(StoreError::Denied(_)) => ("not allowed, but a redriver needs it".to_owned(), true),
        Err(error) => (format!("failed: {error}"), false),
    };
    line("read", &read);
    let (deleted, is_deleted) = match store.delete(PROBE, deadline()).await {
        Ok(()) => ("done".to_owned(), true),
        Err(StoreError::Denied(_)) => ("not allowed, but a redriver needs it".to_owned(), true),
        Err(error) => (format!("failed: {error}"), false),
    };
    line("delete", &deleted);
    if is_read && is_deleted {
        line("verdict", &"good: it accepts writes");
        (text, Exit::Good)
    } else {
        line("verdict", &"bad: it accepts writes, but a redriver could not send what is written");
        (text, Exit::Bad)
    }
}

fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Denied(_) => {
            "let the key, or this user, write there: to probe/, spill/, dead/, claims/ and sent/"
        }
        StoreError::Config(_) => "correct the bucket, region, endpoint or credentials",
        StoreError::Full(_) => "make room, or raise the quota",
        StoreError::Unreachable(_) | StoreError::TimedOut => {
            "correct the endpoint, or open the way to it: name resolution, routes, firewalls, HTTPS_PROXY, TLS_CA_FILE"
        }
        StoreError::Throttled(_) => "try again later",
        StoreError::Name(_) | StoreError::TooLarge | StoreError::Corrupt(_) | StoreError::Other(_) => {
            "see the message: for a folder, check that it is one, on a disk that can be written to"
        }
    }
}
