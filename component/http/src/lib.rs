//! HTTP plumbing that components share: a client with TLS, proxies and compression, and a small server.
//! Knows no protocol above HTTP; what a status means to a protocol is decided where the protocol is.
//!
//! | room | what lives there |
//! |---|---|
//! | [`client`] | one request, one [`Answer`] or [`TransportError`] |
//! | [`keys`] | the Collector's HTTP client keys, for exporters' config structs |
//! | [`tls`] | the `tls` block, and rustls made from it |
//! | [`connect`] | dialling: DNS, TCP, proxies, TLS, each failing under its own name |
//! | [`compress`] | gzip, zstd, deflate |
//! | [`headers`] | configured headers, `Retry-After` |
//! | [`door`] | the server side of a receiver: connections, their limits and their end; bodies are the receiver's |
//! | [`listen`] | ports and unix sockets |
//! | [`server_tls`] | the `tls` block of a server |
//! | [`decompress`] | bodies of strangers, opened within bounds |
//! | [`cors`] | which web pages may send |
//! | [`server`] | a bounded server for health checks and pull endpoints |
//! | [`watched`] | a secret in a file that is renewed |
//! | `testkit` | a scripted backend for tests (cargo feature `testkit`) |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod compress;
pub mod connect;
pub mod cors;
pub mod decompress;
pub mod door;
pub mod error;
pub mod headers;
pub mod keys;
pub mod listen;
pub mod server;
pub mod server_tls;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod tls;
pub mod watched;

pub use client::{Answer, Client};
pub use compress::{Compression, CompressionParams, Compressor};
pub use connect::{Connector, TargetConnector, Versions, peer_of};
pub use cors::{Cors, CorsConfig};
pub use decompress::{OpenError, Packing};
pub use door::{Door, DoorOptions};
pub use error::{ConfigProblem, TransportError, TransportErrorKind};
pub use headers::{is_refusal, retry_after};
pub use keys::{ClientOptions, UNSUPPORTED_CLIENT_KEYS, with_unsupported};
pub use listen::Transport;
pub use server::{Server, ServerOptions, Serving};
pub use server_tls::ServerTlsConfig;
pub use tls::{TlsConfig, TlsVersion};
pub use watched::WatchedSecret;

/// What requests call themselves unless config says otherwise.
pub const USER_AGENT: &str = concat!("steadyline/", env!("CARGO_PKG_VERSION"));

// What the macro of `keys` needs in the crates that use it.
#[doc(hidden)]
pub mod __private {
    pub use steadyline_component::factory::AuthConfig;
    pub use steadyline_config::{Duration, Secret};
}
