//! Metrics from SQL queries on PostgreSQL and SQLite.
