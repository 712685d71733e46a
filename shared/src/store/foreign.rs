//! Foreign entries among the objects of a store.

/// Entries of a listing that this crate did not make: links, and names that objects do not have. They are
/// passed over and counted, so that they are not taken for waiting deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Number of foreign entries.
    pub count: usize,
    /// Name of the first foreign entry, as its maker wrote it.
    pub example: Option<String>,
}

impl Foreign {
    /// Counts a foreign entry, and keeps the first one's name.
    pub(super) fn add(&mut self, name: &str) {
        self.count += 1;
        self.example.get_or_insert_with(|| name.to_owned());
    }

    /// Adds the counts of another listing.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }

    /// Returns true if the listing had only objects and folders of this crate.
    pub const fn is_none(&self) -> bool {
        self.count == 0
    }
}
