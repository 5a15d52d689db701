//! Of several equal processes one polls: a lease in a DynamoDB table.
