//! The Collector's HTTP client keys. They stand flat in an exporter's config, beside its own keys, so
//! [`crate::with_client_keys!`] puts them there: docs and defaults are written once, here.

use std::collections::BTreeMap;
use std::time::Duration;

use steadyline_component::factory::AuthConfig;
use steadyline_config::Secret;

use crate::tls::TlsConfig;

/// Declares an exporter's config struct: its own fields, each with its default after `=`, and after them every HTTP
/// client key. One of its own fields must be `timeout: steadyline_config::Duration`. Also implements `Default`, and
/// `client_options()`, which gives [`ClientOptions`].
///
/// ```
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use steadyline_config::Duration;
///
/// steadyline_http::with_client_keys! {
///     /// What the exporter can be told.
///     #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
///     #[serde(default, deny_unknown_fields)]
///     pub struct Config {
///         /// Where to send.
///         pub endpoint: String = String::new(),
///         /// The bound of one attempt.
///         pub timeout: Duration = Duration::from_secs(30),
///     }
/// }
///
/// assert_eq!(Config::default().client_options().max_idle_conns, 100);
/// ```
#[macro_export]
macro_rules! with_client_keys {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty = $default:expr),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
            /// Headers added to every request. Those that the protocol prescribes cannot be changed.
            pub headers: ::std::collections::BTreeMap<String, $crate::__private::Secret>,
            /// How connections are secured.
            pub tls: $crate::TlsConfig,
            /// Who authenticates requests.
            pub auth: Option<$crate::__private::AuthConfig>,
            /// A proxy, `http://` or `socks5://`, with `user:password@` if it asks. Unless given, the variables
            /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment decide.
            pub proxy_url: $crate::__private::Secret,
            /// How many idle connections are kept open.
            pub max_idle_conns: usize,
            /// The same for one host; the smaller of the two counts.
            pub max_idle_conns_per_host: Option<usize>,
            /// An idle connection is closed after so long; 0 = never.
            pub idle_conn_timeout: $crate::__private::Duration,
            /// Closes every connection after one request.
            pub disable_keep_alives: bool,
            /// Speaks HTTP/2 with backends that offer it (over TLS).
            pub force_attempt_http2: bool,
            /// An HTTP/2 connection that is silent for so long during a request is probed by a ping; 0 = never.
            pub http2_read_idle_timeout: $crate::__private::Duration,
            /// A connection that does not answer the ping within this time is closed.
            pub http2_ping_timeout: $crate::__private::Duration,
        }

        impl Default for $name {
            fn default() -> Self {
                let keys = $crate::ClientOptions::default();
                $name {
                    $($field: $default,)*
                    headers: keys.headers,
                    tls: keys.tls,
                    auth: keys.auth,
                    proxy_url: keys.proxy_url,
                    max_idle_conns: keys.max_idle_conns,
                    max_idle_conns_per_host: keys.max_idle_conns_per_host,
                    idle_conn_timeout: keys.idle_conn_timeout.into(),
                    disable_keep_alives: keys.disable_keep_alives,
                    force_attempt_http2: keys.force_attempt_http2,
                    http2_read_idle_timeout: keys.http2_read_idle_timeout.into(),
                    http2_ping_timeout: keys.http2_ping_timeout.into(),
                }
            }
        }

        impl $name {
            /// What an HTTP client is made from.
            pub fn client_options(&self) -> $crate::ClientOptions {
                $crate::ClientOptions {
                    timeout: self.timeout.get(),
                    headers: self.headers.clone(),
                    tls: self.tls.clone(),
                    auth: self.auth.clone(),
                    proxy_url: self.proxy_url.clone(),
                    max_idle_conns: self.max_idle_conns,
                    max_idle_conns_per_host: self.max_idle_conns_per_host,
                    idle_conn_timeout: self.idle_conn_timeout.get(),
                    disable_keep_alives: self.disable_keep_alives,
                    force_attempt_http2: self.force_attempt_http2,
                    http2_read_idle_timeout: self.http2_read_idle_timeout.get(),
                    http2_ping_timeout: self.http2_ping_timeout.get(),
                    ..$crate::ClientOptions::default()
                }
            }
        }
    };
}

/// What a [`crate::Client`] is made from; the keys of [`crate::with_client_keys!`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClientOptions {
    /// From the first byte to the last of one exchange, connecting included; 0 = unbounded.
    pub timeout: Duration,
    /// DNS, TCP and the proxy's consent together, and then again the TLS handshake, must take no longer.
    pub connect_timeout: Duration,
    /// Added to every request.
    pub headers: BTreeMap<String, Secret>,
    /// How connections are secured.
    pub tls: TlsConfig,
    /// Who authenticates; the exporter resolves it and hands it to each call.
    pub auth: Option<AuthConfig>,
    /// A proxy; empty: by the environment.
    pub proxy_url: Secret,
    /// Idle connections kept open.
    pub max_idle_conns: usize,
    /// The same for one host.
    pub max_idle_conns_per_host: Option<usize>,
    /// When an idle connection is closed; 0 = never.
    pub idle_conn_timeout: Duration,
    /// One request a connection.
    pub disable_keep_alives: bool,
    /// Whether HTTP/2 is offered.
    pub force_attempt_http2: bool,
    /// Silence before a ping; 0 = no pings.
    pub http2_read_idle_timeout: Duration,
    /// How long a ping may take.
    pub http2_ping_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            headers: BTreeMap::new(),
            tls: TlsConfig::default(),
            auth: None,
            proxy_url: Secret::default(),
            max_idle_conns: 100,
            max_idle_conns_per_host: None,
            idle_conn_timeout: Duration::from_secs(90),
            disable_keep_alives: false,
            force_attempt_http2: true,
            http2_read_idle_timeout: Duration::from_secs(10),
            http2_ping_timeout: Duration::from_secs(15),
        }
    }
}

/// HTTP client keys of the Collector that have no counterpart here, for [`steadyline_component::Spec::unsupported`].
pub const UNSUPPORTED_CLIENT_KEYS: [(&str, &str); 13] = [
    ("read_buffer_size", "buffers size themselves; remove it"),
    ("write_buffer_size", "buffers size themselves; remove it"),
    ("max_conns_per_host", "each shard has one request in flight: use `sending_queue.num_consumers`"),
    ("cookies", "cookies are never kept; remove it"),
    ("middlewares", "there are no HTTP middlewares; use `auth` and `headers`"),
    ("tls.cipher_suites", "only safe suites are offered, in the library's order; remove it"),
    ("tls.include_insecure_cipher_suites", "insecure suites are never offered; remove it"),
    ("tls.curve_preferences", "only safe curves are offered, in the library's order; remove it"),
    ("tls.tpm", "keys in a TPM are not supported; use `key_file`"),
    ("http_client", "the keys stand directly in the exporter; move them up"),
    ("sending_queue.block_on_overflow", "a full queue holds its source back; for a branch beside others see `on_full`"),
    ("sending_queue.wait_for_result", "set `wait_for_result` at the receiver, where there is somebody who waits"),
    ("sending_queue.batch", "put the processor `batch` in front; requests are cut to what the backend takes"),
];

/// [`UNSUPPORTED_CLIENT_KEYS`] and an exporter's own; `ALL` is the sum of both lengths.
pub const fn with_unsupported<const OWN: usize, const ALL: usize>(
    own: [(&'static str, &'static str); OWN],
) -> [(&'static str, &'static str); ALL] {
    assert!(ALL == OWN + UNSUPPORTED_CLIENT_KEYS.len(), "ALL is the sum of both lengths");
    let mut all = [("", ""); ALL];
    let mut i = 0;
    while i < ALL {
        all[i] = if i < OWN { own[i] } else { UNSUPPORTED_CLIENT_KEYS[i - OWN] };
        i += 1;
    }
    all
}
