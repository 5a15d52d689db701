//! Sends to the first of several pipelines that works.
