//! An embedded DynamoDB for demos and tests, seeded from a file, with a script of changes.
