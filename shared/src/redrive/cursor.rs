//! Where the next run goes on, in an object of the store: a backlog may take many runs, and each begins
//! where the last one ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::shard::Shard;
use crate::spill::Folder;
use crate::store::{Store, StoreError};

/// The places of one target's hooks. It is a hint: whatever it says, a run goes round to where it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What to list a hook's deliveries after.
    #[serde(default)]
    pub(super) hooks: BTreeMap<String, String>,
}

impl Cursor {
    /// The object's name. A hook's name has no dot, so that it is among no hook's states.
    fn name(target: &str, shard: Shard) -> String {
        format!("{}cursor.{}-{}", Folder::Retry.prefix(target, None), shard.index(), shard.of())
    }

    /// What the last run left; nothing if it cannot be read, and a run then begins at the beginning.
    pub(super) async fn read(store: &Store, target: &str, shard: Shard, deadline: Instant) -> Self {
        match store.get(&Self::name(target, shard), deadline).await {
            Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(to = target, %error, "cannot read where the last run ended");
                Self::default()
            }
        }
    }

    /// Writes it down, or removes what a run before wrote where there is nothing to go on from.
    pub(super) async fn write(
        &self,
        store: &Store,
        target: &str,
        shard: Shard,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let name = Self::name(target, shard);
        if self.hooks.is_empty() {
            return store.delete(&name, deadline).await;
        }
        // Strings serialise without fail.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.put(&name, bytes.into(), deadline).await
    }
}
