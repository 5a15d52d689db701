//! What the exporter can be told, by the Collector's keys, and the rules for names that follow from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{Diagnostic, Duration};
use steadyline_prometheus::{TranslationStrategy, label_name};

/// A page for scrapers that shows the last value of every series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, `host:port`; required. Port 0 takes any free one, which the log names.
    pub endpoint: String,
    /// The path of the page.
    pub path: String,
    /// A prefix for the names of metrics and of `target_info`: `shop` makes `shop_requests_total`. Names that are final
    /// already do not get it.
    pub namespace: String,
    /// Labels that every series gets unless it has one of that name itself.
    pub const_labels: BTreeMap<String, String>,
    /// Shows the event time of each value. Scrapers do better with their own time: a series with explicit times does not
    /// end when it leaves the page.
    pub send_timestamps: bool,
    /// A series that is not heard of for so long is taken off the page.
    pub metric_expiration: Duration,
    /// The most series that are kept. Those that are there keep their places; newcomers are refused and counted.
    #[schemars(range(min = 1))]
    pub max_series: usize,
    /// Whether resource attributes become labels of every series.
    pub resource_to_telemetry_conversion: ResourceConversion,
    /// Accepted for the Collector's sake: OpenMetrics is spoken with whoever asks for it, whatever this says.
    pub enable_open_metrics: bool,
    /// Leaves out the labels `otel_scope_*`, which say what measured a series.
    pub without_scope_info: bool,
    /// How names are translated. Left out: as `add_metric_suffixes` says.
    pub translation_strategy: Option<TranslationStrategy>,
    /// Whether units and types are appended to names (`_seconds`, `_total`): the older way to say `translation_strategy`.
    pub add_metric_suffixes: Option<bool>,
}

/// What becomes of resource attributes besides `job`, `instance` and `target_info`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConversion {
    /// Whether they become labels.
    pub enabled: bool,
    /// Leaves out `service.name`, `service.namespace` and `service.instance.id`, which are in `job` and `instance`.
    pub exclude_service_attributes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            path: "/metrics".to_owned(),
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: Duration::from_secs(300),
            max_series: 500_000,
            resource_to_telemetry_conversion: ResourceConversion::default(),
            enable_open_metrics: false,
            without_scope_info: false,
            translation_strategy: None,
            add_metric_suffixes: None,
        }
    }
}

/// How names and labels are made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) strategy: TranslationStrategy,
    pub(crate) namespace: String,
    /// Names as they will be shown, and values.
    pub(crate) const_labels: Vec<(String, String)>,
    pub(crate) resource: ResourceConversion,
    pub(crate) scope: bool,
}

impl Config {
    /// The rules, or `None` after errors.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Rules> {
        let mut wrong = Vec::new();
        if self.endpoint.is_empty() {
            let missing = Diagnostic::error("missing-field", "`endpoint` is not given");
            wrong.push(("endpoint", missing.with_expected("where to listen, such as `127.0.0.1:9464`")));
        } else if port(&self.endpoint).is_none() {
            let message = format!("`{}` is not an address to listen on", self.endpoint);
            let invalid = Diagnostic::error("invalid-value", message);
            wrong.push(("endpoint", invalid.with_expected("`host:port`, such as `127.0.0.1:9464`, or `:9464`")));
        }
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            let message = format!("`{}` is not the path of a page", self.path);
            let invalid = Diagnostic::error("invalid-value", message);
            wrong.push(("path", invalid.with_expected("a path such as `/metrics`")));
        }
        if self.metric_expiration.is_zero() {
            let message = "every series would be gone at once";
            let invalid = Diagnostic::error("invalid-value", message);
            wrong.push(("metric_expiration", invalid.with_expected("a duration above 0, such as `5m`")));
        }
        if self.max_series == 0 {
            let invalid = Diagnostic::error("invalid-value", "no series could be shown");
            wrong.push(("max_series", invalid.with_expected("a number above 0")));
        }
        if self.translation_strategy.is_some() && self.add_metric_suffixes.is_some() {
            let twice = Diagnostic::error("duplicate-key", "`translation_strategy` is given too");
            wrong.push(("add_metric_suffixes", twice.with_help("remove `add_metric_suffixes`, the older of the two")));
        }
        let strategy = self.strategy();
        let const_labels = self.const_labels(strategy).map_err(|invalid| wrong.push(("const_labels", *invalid)));
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, diagnostic)| context.report(path, diagnostic));
        Some(Rules {
            strategy,
            namespace: self.namespace.clone(),
            const_labels: const_labels.ok()?,
            resource: self.resource_to_telemetry_conversion.clone(),
            scope: !self.without_scope_info,
        })
        .filter(|_| sound)
    }

    fn strategy(&self) -> TranslationStrategy {
        let by_suffixes = match self.add_metric_suffixes {
            Some(false) => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            Some(true) | None => TranslationStrategy::UnderscoreEscapingWithSuffixes,
        };
        self.translation_strategy.unwrap_or(by_suffixes)
    }

    /// The constant labels by the names under which they are shown, sorted.
    fn const_labels(&self, strategy: TranslationStrategy) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let mut shown: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for (key, value) in &self.const_labels {
            let mut name = String::new();
            label_name(&mut name, key, strategy, false)
                .map_err(|error| Diagnostic::error("invalid-value", format!("`{key}` cannot be a label: {error}")))?;
            if let Some((other, _)) = shown.insert(name.clone(), (key, value.clone())) {
                let message = format!("`{other}` and `{key}` would be one label, `{name}`");
                return Err(Diagnostic::error("invalid-value", message).with_help("remove one of them").into());
            }
        }
        Ok(shown.into_iter().map(|(name, (_, value))| (name, value)).collect())
    }
}

fn port(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':')?.1.parse().ok()
}
