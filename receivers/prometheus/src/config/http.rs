//! The keys that Prometheus has wherever it is an HTTP client: of targets, of service discovery, of OAuth 2 servers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::Secret;

/// Declares a config struct: its own fields, each with its default after `=`, and after them every HTTP key. Also
/// implements `Default`, and `http_keys()`.
macro_rules! with_http_keys {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty = $default:expr),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
            /// User name and password.
            pub basic_auth: Option<$crate::config::BasicAuth>,
            /// A token or the like in the header `Authorization`.
            pub authorization: Option<$crate::config::Authorization>,
            /// A token that an OAuth 2 server gives for client credentials.
            pub oauth2: Option<$crate::config::OAuth2>,
            /// The old spelling of `authorization: {credentials: ...}`.
            pub bearer_token: ::steadyline_config::Secret,
            /// The old spelling of `authorization: {credentials_file: ...}`.
            pub bearer_token_file: String,
            /// How connections are secured.
            pub tls_config: $crate::config::TlsKeys,
            /// A proxy, `http://` or `socks5://`.
            pub proxy_url: ::steadyline_config::Secret,
            /// Hosts, addresses and networks that `proxy_url` is not for, separated by commas.
            pub no_proxy: String,
            /// Asks the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` which proxy to use.
            pub proxy_from_environment: bool,
            /// Follows redirects, at most ten.
            pub follow_redirects: bool,
            /// Speaks HTTP/2 where the peer has it (over TLS).
            pub enable_http2: bool,
            /// Further headers of every request.
            pub http_headers: ::std::collections::BTreeMap<String, $crate::config::HeaderValues>,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $default,)*
                    basic_auth: None,
                    authorization: None,
                    oauth2: None,
                    bearer_token: Default::default(),
                    bearer_token_file: String::new(),
                    tls_config: Default::default(),
                    proxy_url: Default::default(),
                    no_proxy: String::new(),
                    proxy_from_environment: false,
                    follow_redirects: true,
                    enable_http2: true,
                    http_headers: Default::default(),
                }
            }
        }

        impl $name {
            /// The HTTP keys alone.
            pub fn http_keys(&self) -> $crate::config::HttpKeys {
                $crate::config::HttpKeys {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    oauth2: self.oauth2.clone(),
                    bearer_token: self.bearer_token.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    tls_config: self.tls_config.clone(),
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    http_headers: self.http_headers.clone(),
                }
            }
        }
    };
}
pub(super) use with_http_keys;

/// What an HTTP client is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpKeys {
    /// User name and password.
    pub basic_auth: Option<BasicAuth>,
    /// The header `Authorization`.
    pub authorization: Option<Authorization>,
    /// A token from an OAuth 2 server.
    pub oauth2: Option<OAuth2>,
    /// A bearer token.
    pub bearer_token: Secret,
    /// A file that holds it.
    pub bearer_token_file: String,
    /// How connections are secured.
    pub tls_config: TlsKeys,
    /// A proxy.
    pub proxy_url: Secret,
    /// What it is not for.
    pub no_proxy: String,
    /// Whether the environment names the proxy.
    pub proxy_from_environment: bool,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered.
    pub enable_http2: bool,
    /// Further headers.
    pub http_headers: BTreeMap<String, HeaderValues>,
}

/// User name and password (RFC 7617), each given or in a file that is read again when it changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// The user name.
    pub username: String,
    /// A file that holds the user name.
    pub username_file: String,
    /// The password.
    pub password: Secret,
    /// A file that holds the password.
    pub password_file: String,
}

/// The header `Authorization`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// Its first word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rest.
    pub credentials: Secret,
    /// A file that holds the rest; read again when it changes.
    pub credentials_file: String,
}

impl Default for Authorization {
    fn default() -> Self {
        Authorization { kind: "Bearer".to_string(), credentials: Secret::default(), credentials_file: String::new() }
    }
}

/// A token for client credentials (RFC 6749, section 4.4): fetched when first needed, kept until it expires.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth2 {
    /// Who asks.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// A file that holds the secret; read again when it changes.
    pub client_secret_file: String,
    /// What for.
    pub scopes: Vec<String>,
    /// Where tokens are given.
    pub token_url: String,
    /// Further parameters of the request for a token.
    pub endpoint_params: BTreeMap<String, String>,
    /// How connections to `token_url` are secured.
    pub tls_config: TlsKeys,
    /// A proxy on the way to `token_url`.
    pub proxy_url: Secret,
    /// Hosts, addresses and networks that `proxy_url` is not for, separated by commas.
    pub no_proxy: String,
    /// Asks the environment which proxy to use.
    pub proxy_from_environment: bool,
}

/// How connections are secured, in Prometheus' spelling.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsKeys {
    /// PEM certificates of the authorities that are trusted, instead of the system's.
    pub ca: String,
    /// A file with them.
    pub ca_file: String,
    /// Our own PEM certificate chain, for peers that ask for one.
    pub cert: String,
    /// A file with it.
    pub cert_file: String,
    /// Its private key, PEM.
    pub key: Secret,
    /// A file with it.
    pub key_file: String,
    /// The name that the peer's certificate must have, if it is not the host of the URL.
    pub server_name: String,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
    /// The oldest version of TLS.
    pub min_version: Option<TlsVersionName>,
    /// The newest version of TLS.
    pub max_version: Option<TlsVersionName>,
}

/// A version of TLS that is still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TlsVersionName {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The values of one header: those given, those that are secret, those in files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValues {
    /// Values.
    pub values: Vec<String>,
    /// Values that are not to be shown.
    pub secrets: Vec<Secret>,
    /// Files that hold one value each; read again when they change.
    pub files: Vec<String>,
}
