//! State and queues in a folder, across restarts.
