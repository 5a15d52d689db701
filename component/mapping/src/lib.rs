//! From items and documents to points: the mapping language of polled tables, messages and JSON.
