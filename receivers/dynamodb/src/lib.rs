//! Polls a DynamoDB table and turns its items into gauges.
