//! Places where the next run goes on, in an object of the store: a backlog may take many runs, and each
//! begins where the last one ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::shard::Shard;
use crate::spill::Folder;
use crate::store::{Store, StoreError};

/// Places of one target's hooks. The cursor is only a hint: a run always goes round to where it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Digest after which each hook's deliveries are listed, by the hook's name.
    #[serde(default)]
    pub(super) hooks: BTreeMap<String, String>,
    /// Hook that the next run begins with, if a run has not reached all hooks; the others follow in the order
    /// of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<String>,
}

impl Cursor {
    /// Returns the object's name. A hook's name has no dot, so the object is not among the states of any
    /// hook.
    fn name(target: &str, shard: Shard) -> String {
        format!("{}cursor.{}-{}", Folder::Retry.prefix(target, None), shard.index(), shard.of())
    }

    /// Puts the hooks, which are in the order of their names, in the order in which a run begins with them.
    pub(super) fn arrange(&self, hooks: &mut [String]) {
        if let Some(first) = &self.first {
            let at = hooks.partition_point(|hook| hook < first);
            hooks.rotate_left(at);
        }
    }

    /// Reads the cursor of the last run. If that fails the cursor is empty, and the run begins at the
    /// beginning.
    pub(super) async fn read(store: &Store, target: &str, shard: Shard, deadline: Instant) -> Self {
        match store.get(&Self::name(target, shard), deadline).await {
            Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(to = target, %error, "cannot read where the last run ended");
                Self::default()
            }
        }
    }

    /// Writes the cursor, or removes an earlier run's cursor if the run has handled everything.
    pub(super) async fn write(
        &self,
        store: &Store,
        target: &str,
        shard: Shard,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let name = Self::name(target, shard);
        if *self == Self::default() {
            return store.delete(&name, deadline).await;
        }
        // Strings always serialise.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.put(&name, bytes.into(), deadline).await
    }
}
