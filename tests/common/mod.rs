//! What the end-to-end tests share: the built binary, the servers that it talks to, and ways to make them fail.
//! Nothing here waits for a time to pass: everything waits for a condition, with a deadline.

pub mod backend;
pub mod books;
pub mod dice;
pub mod dynamodb;
pub mod exposition;
pub mod faults;
pub mod grpc;
pub mod http;
pub mod judge;
pub mod onboarding;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod remote_write;
pub mod rising;
pub mod scraped;
pub mod server;
pub mod steadyline;
pub mod tools;
pub mod tunnel;
pub mod wait;
