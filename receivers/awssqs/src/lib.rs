//! Events from SQS queues.
