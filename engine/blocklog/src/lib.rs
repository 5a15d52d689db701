//! Wire blocks in a segmented log on disk: the queue that outlives the process.
