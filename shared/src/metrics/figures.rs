//! State of an HTTP host at the time of a scrape.

/// Current load and limits of an HTTP server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Requests in progress.
    pub(crate) requests: usize,
    /// Bytes of bodies in memory.
    pub(crate) bytes: usize,
    /// Open connections of senders.
    pub(crate) connections: usize,
    pub(crate) most_requests: usize,
    pub(crate) most_bytes: usize,
    pub(crate) most_connections: usize,
    /// Connections that HTTP did not serve, by kind.
    pub(crate) not_served: Vec<(&'static str, u64)>,
    /// Log lines that were dropped because the queue was full.
    pub(crate) log_lines_dropped: u64,
}
