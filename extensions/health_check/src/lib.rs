//! Live and ready, over HTTP.
