//! What the receiver can be told: a Prometheus configuration, as far as it is about scraping.
//! Keys, defaults and meanings are Prometheus' own; the little that is the Collector's or ours says so.

mod discovery;
mod http;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{ByteSize, Duration};
use steadyline_scrape::ScrapeProtocol;
use steadyline_scrape::relabel::RelabelConfig;

pub use discovery::{DnsRecord, DnsSdConfig, FileSdConfig, HttpSdConfig, StaticConfig};
pub use http::{Authorization, BasicAuth, HeaderValues, HttpKeys, OAuth2, TlsKeys, TlsVersionName};

use http::with_http_keys;

/// The receiver's config.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What would be Prometheus' configuration file.
    pub config: PrometheusConfig,
    /// Takes `_total` and the unit's word off the end of metric names; an exporter that adds suffixes puts them back.
    /// A key of the Collector's.
    pub trim_metric_suffixes: bool,
}

/// The parts of a Prometheus configuration that are about scraping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Defaults for all jobs.
    pub global: GlobalConfig,
    /// The jobs.
    pub scrape_configs: Vec<ScrapeConfig>,
}

/// Defaults for all jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalConfig {
    /// How often targets are scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take; 10 s, or the interval if that is shorter, unless given.
    pub scrape_timeout: Option<Duration>,
    /// What targets are asked to speak, the best first.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// Labels for every series that has no label of that name.
    pub external_labels: BTreeMap<String, String>,
    /// The largest body of a scrape, uncompressed; 0 = as much as a quarter of the memory budget, which is the most in
    /// any case. `1MB` is 1,000,000 bytes; Prometheus means 1 MiB by it.
    pub body_size_limit: ByteSize,
    /// The most series of a scrape after relabelling; 0 = any number. A scrape with more fails.
    pub sample_limit: u64,
    /// The most targets of a job; 0 = any number. The scrapes of a job with more all fail.
    pub target_limit: u64,
    /// The most labels of a series; 0 = any number. A scrape with a series that has more fails.
    pub label_limit: u64,
    /// The longest label name in bytes; 0 = any length. A scrape with a longer one fails.
    pub label_name_length_limit: u64,
    /// The longest label value in bytes; 0 = any length. A scrape with a longer one fails.
    pub label_value_length_limit: u64,
    /// Asks for native histograms, by the protobuf format.
    pub scrape_native_histograms: bool,
    /// Takes the buckets of a histogram also where it is native.
    pub always_scrape_classic_histograms: bool,
    /// Which characters names may have.
    pub metric_name_validation_scheme: NameValidation,
    /// How targets are asked to write names with other characters.
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    /// Also reports `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes`.
    pub extra_scrape_metrics: bool,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        GlobalConfig {
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: None,
            scrape_protocols: Vec::new(),
            external_labels: BTreeMap::new(),
            body_size_limit: ByteSize::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            scrape_native_histograms: false,
            always_scrape_classic_histograms: false,
            metric_name_validation_scheme: NameValidation::Utf8,
            metric_name_escaping_scheme: None,
            extra_scrape_metrics: false,
        }
    }
}

with_http_keys! {
    /// One job: targets that are scraped alike.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct ScrapeConfig {
        /// The job's name, the label `job` of its series. Unique.
        pub job_name: String = String::new(),
        /// How often; the global one unless given.
        pub scrape_interval: Option<Duration> = None,
        /// How long a scrape may take, from connecting to the last byte; the global one unless given.
        pub scrape_timeout: Option<Duration> = None,
        /// What targets are asked to speak, the best first; the global ones unless given.
        pub scrape_protocols: Vec<ScrapeProtocol> = Vec::new(),
        /// How a body is read whose content type is missing or unknown. Unless given, such a scrape fails.
        pub fallback_scrape_protocol: Option<ScrapeProtocol> = None,
        /// The path to scrape.
        pub metrics_path: String = "/metrics".to_string(),
        /// Parameters of the URL.
        pub params: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// `http` or `https`.
        pub scheme: Scheme = Scheme::Http,
        /// Where a series has a label of its target's: true keeps the exposed one, false calls it `exported_<name>`.
        pub honor_labels: bool = false,
        /// Keeps timestamps that targets expose.
        pub honor_timestamps: bool = true,
        /// Marks series that vanish as stale also where they had timestamps of their own.
        pub track_timestamps_staleness: bool = false,
        /// Asks for gzip.
        pub enable_compression: bool = true,
        /// The largest body, uncompressed; the global one unless given.
        pub body_size_limit: Option<ByteSize> = None,
        /// The most series after relabelling; the global one unless given.
        pub sample_limit: Option<u64> = None,
        /// The most targets; the global one unless given.
        pub target_limit: Option<u64> = None,
        /// The most labels of a series; the global one unless given.
        pub label_limit: Option<u64> = None,
        /// The longest label name; the global one unless given.
        pub label_name_length_limit: Option<u64> = None,
        /// The longest label value; the global one unless given.
        pub label_value_length_limit: Option<u64> = None,
        /// Asks for native histograms; the global one unless given.
        pub scrape_native_histograms: Option<bool> = None,
        /// Takes the buckets of native histograms, too; the global one unless given.
        #[serde(alias = "scrape_classic_histograms")]
        pub always_scrape_classic_histograms: Option<bool> = None,
        /// Which characters names may have; the global one unless given.
        pub metric_name_validation_scheme: Option<NameValidation> = None,
        /// How names with other characters are written; the global one unless given.
        pub metric_name_escaping_scheme: Option<NameEscaping> = None,
        /// Also reports `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes`; the global one
        /// unless given.
        pub extra_scrape_metrics: Option<bool> = None,
        /// Targets that are listed here.
        pub static_configs: Vec<StaticConfig> = Vec::new(),
        /// Targets that are listed in files.
        pub file_sd_configs: Vec<FileSdConfig> = Vec::new(),
        /// Targets that an HTTP server lists.
        pub http_sd_configs: Vec<HttpSdConfig> = Vec::new(),
        /// Targets that DNS lists.
        pub dns_sd_configs: Vec<DnsSdConfig> = Vec::new(),
        /// How the labels of targets are rewritten, before they are scraped.
        pub relabel_configs: Vec<RelabelConfig> = Vec::new(),
        /// How the labels of series are rewritten, after they are scraped.
        pub metric_relabel_configs: Vec<RelabelConfig> = Vec::new(),
    }
}

/// How targets are spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As a URL and the label `__scheme__` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Which characters names of metrics and labels may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NameValidation {
    /// Any.
    #[default]
    Utf8,
    /// ASCII letters, digits, `_`, and `:` in metrics. A scrape with any other name fails.
    Legacy,
}

/// How names with other characters are written by targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NameEscaping {
    /// As they are.
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// Each such character as `_`.
    Underscores,
    /// Dots as `_dot_`, others as `__`.
    Dots,
    /// Behind `U__`, each such character as its code point.
    Values,
}

impl NameEscaping {
    /// As the `Accept` header says it.
    pub fn as_str(self) -> &'static str {
        match self {
            NameEscaping::AllowUtf8 => "allow-utf-8",
            NameEscaping::Underscores => "underscores",
            NameEscaping::Dots => "dots",
            NameEscaping::Values => "values",
        }
    }
}
