//! State in a DynamoDB table, across restarts and invocations.
