//! Joins pipelines of one signal.
//! Nothing changes on the way.
