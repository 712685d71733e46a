//! What lies among the objects and is none.

/// Entries of a listing that no store of ours has made: links, and names that objects do not have.
/// They are passed over, and counted, so that nobody believes them to be deliveries that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// How many.
    pub count: usize,
    /// The first one's name, as its maker wrote it.
    pub example: Option<String>,
}

impl Foreign {
    /// Counts one more.
    pub(super) fn add(&mut self, name: &str) {
        self.count += 1;
        self.example.get_or_insert_with(|| name.to_owned());
    }

    /// Counts those of another listing, too.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }

    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.count == 0
    }
}
