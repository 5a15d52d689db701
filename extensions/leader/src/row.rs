//! The lease's row, and what a table must be able to do with it.

use async_trait::async_trait;
use steadyline_aws::AwsFailure;

/// The row. Every write replaces one row by the next: `counter` is always one more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// Who leads; nobody after a release.
    pub(crate) holder: Option<String>,
    /// Counts the writes.
    pub(crate) counter: u64,
    /// Counts the terms.
    pub(crate) fence: u64,
    /// What the holder's samples were stamped with at that write, milliseconds since the Unix epoch.
    pub(crate) line_time: u64,
    /// The highest timestamp that the holder may send before its next write, milliseconds since the Unix epoch.
    pub(crate) reserved_until: u64,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It took effect.
    Yes,
    /// The row is another one by now.
    Refused,
}

/// Where the row is.
#[async_trait]
pub(crate) trait LeaseTable: Send + Sync {
    /// The row as it is, or that there is none. Sees every write that was answered before.
    ///
    /// # Errors
    /// The table does not say.
    async fn read(&self) -> Result<Option<Row>, AwsFailure>;

    /// Replaces the row whose counter is `expected`, or makes it if `None` is and there is none.
    ///
    /// # Errors
    /// The table does not say: it may have taken effect all the same.
    async fn write(&self, expected: Option<u64>, row: &Row) -> Result<Written, AwsFailure>;
}
