//! Points as events in an SQS queue.
