//! Where targets come from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::Duration;

use super::http::with_http_keys;

/// Targets that share labels; also what files and servers list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// Each as `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// Targets that are listed in files, JSON or YAML: a list of `{targets: [...], labels: {...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileSdConfig {
    /// Paths ending in `.json`, `.yml` or `.yaml`; the last part may have `*`, `?` and `[...]`.
    pub files: Vec<String>,
    /// All files are read again after so long, and each soon after it changed.
    pub refresh_interval: Duration,
}

impl Default for FileSdConfig {
    fn default() -> Self {
        FileSdConfig { files: Vec::new(), refresh_interval: Duration::from_secs(300) }
    }
}

with_http_keys! {
    /// Targets that a server lists, as JSON: a list of `{targets: [...], labels: {...}}`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct HttpSdConfig {
        /// Where.
        pub url: String = String::new(),
        /// How often the server is asked. When it fails, the last list stays in force.
        pub refresh_interval: Duration = Duration::from_secs(60),
    }
}

/// Targets that DNS lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DnsSdConfig {
    /// The names to ask for.
    pub names: Vec<String>,
    /// The kind of records.
    #[serde(rename = "type")]
    pub kind: DnsRecord,
    /// The port of the targets, where the records do not say it.
    pub port: Option<u16>,
    /// How often DNS is asked. When it fails, the last answer stays in force.
    pub refresh_interval: Duration,
}

impl Default for DnsSdConfig {
    fn default() -> Self {
        DnsSdConfig { names: Vec::new(), kind: DnsRecord::Srv, port: None, refresh_interval: Duration::from_secs(30) }
    }
}

/// A kind of DNS records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsRecord {
    /// Host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
}
