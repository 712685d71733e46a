//! What a host knows of itself when it is asked.

/// What one HTTP server holds, and may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Requests being served.
    pub(crate) requests: usize,
    /// Bytes of bodies.
    pub(crate) bytes: usize,
    /// Connections of senders.
    pub(crate) connections: usize,
    pub(crate) most_requests: usize,
    pub(crate) most_bytes: usize,
    pub(crate) most_connections: usize,
    /// Connections that were not served, by kind.
    pub(crate) not_served: Vec<(&'static str, u64)>,
    /// Log lines that did not fit.
    pub(crate) log_lines_dropped: u64,
}
