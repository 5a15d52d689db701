//! JSON documents over HTTP, polled.
