//! From config to receiver: every check that needs no network, each error at its key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderValue, Uri};
use steadyline_component::CreateContext;
use steadyline_http::ConfigProblem;
use steadyline_prometheus::is_legal_label_name;
use steadyline_prometheus::names::Escaping;
use steadyline_scrape::relabel::{RelabelConfig, Rules};
use steadyline_scrape::{Histograms, ScrapeProtocol, accept_header};

use crate::config::{
    Config, DnsRecord, DnsSdConfig, FileSdConfig, GlobalConfig, HttpKeys, HttpSdConfig, NameEscaping, NameValidation,
    ScrapeConfig, StaticConfig,
};
use crate::discovery::{DnsProvider, FileProvider, Provider, ServerProvider, is_pattern, system_resolver};
use crate::http::{HttpClient, client, is_http};
use crate::ingest::Reading;
use crate::job::{Job, Meters, Plan};
use crate::series;
use crate::target::TargetDefaults;

const GLOBAL: &str = "config.global";

/// The jobs of a config; `None` after errors.
pub(crate) fn plans(config: &Config, context: &mut CreateContext<'_>) -> Option<Vec<Plan>> {
    let global = &config.config.global;
    if config.config.scrape_configs.is_empty() {
        context.error("config.scrape_configs", "there is no job: nothing would be scraped");
    }
    if global.scrape_interval.is_zero() {
        context.error(&format!("{GLOBAL}.scrape_interval"), "the interval cannot be zero");
    }
    if global.scrape_timeout.is_some_and(|timeout| timeout > global.scrape_interval) {
        context.error(&format!("{GLOBAL}.scrape_timeout"), "the timeout is longer than `scrape_interval`");
    }
    twice(&global.scrape_protocols, &format!("{GLOBAL}.scrape_protocols"), context);
    for name in global.external_labels.keys().filter(|name| !is_label(name, global.metric_name_validation_scheme)) {
        let path = steadyline_config::path_join(&format!("{GLOBAL}.external_labels"), name);
        context.error(&path, format!("`{name}` is not a name that a label can have"));
    }
    let mut names = BTreeSet::new();
    let mut plans = Vec::new();
    for (at, scrape) in config.config.scrape_configs.iter().enumerate() {
        let path = format!("config.scrape_configs[{at}]");
        if scrape.job_name.is_empty() {
            context.error(&format!("{path}.job_name"), "a job needs a name");
        } else if !names.insert(scrape.job_name.as_str()) {
            let message = format!("there is another job `{}`; names of jobs are unique", scrape.job_name);
            context.error(&format!("{path}.job_name"), message);
        }
        plans.extend(Builder { config, global, scrape, path, context }.plan());
    }
    (plans.len() == config.config.scrape_configs.len() && !context.diagnostics.has_errors()).then_some(plans)
}

fn is_label(name: &str, validation: NameValidation) -> bool {
    let is_legal = validation == NameValidation::Utf8 || is_legal_label_name(name);
    !name.is_empty() && name != steadyline_scrape::NAME && is_legal
}

fn twice(protocols: &[ScrapeProtocol], path: &str, context: &mut CreateContext<'_>) {
    for (at, protocol) in protocols.iter().enumerate() {
        if protocols[..at].contains(protocol) {
            context.error(&format!("{path}[{at}]"), "this protocol is listed twice");
        }
    }
}

struct Builder<'a, 'c> {
    config: &'a Config,
    global: &'a GlobalConfig,
    scrape: &'a ScrapeConfig,
    path: String,
    context: &'a mut CreateContext<'c>,
}

impl Builder<'_, '_> {
    fn plan(mut self) -> Option<Plan> {
        let (interval, timeout) = self.times();
        let relabel = self.rules("relabel_configs", &self.scrape.relabel_configs);
        let metric_relabel = self.rules("metric_relabel_configs", &self.scrape.metric_relabel_configs);
        let keys = self.scrape.http_keys();
        let client = self.client("", &keys);
        let headers = self.headers();
        let providers = self.providers();
        self.check();
        let defaults = TargetDefaults {
            job: self.scrape.job_name.clone(),
            interval,
            timeout,
            scheme: self.scrape.scheme.as_str(),
            path: self.scrape.metrics_path.clone(),
            params: self.scrape.params.clone(),
            relabel: relabel?,
        };
        let name = &self.scrape.job_name;
        let meter = self.context.meter;
        let discovery_failures = meter.counter(
            "prometheus_discovery_failures",
            "Failures to find targets; those known before stay.",
            &[("job", name)],
        );
        let job = Job {
            defaults,
            client: client?,
            headers: headers?,
            fallback: self.scrape.fallback_scrape_protocol,
            reading: self.reading(metric_relabel?),
            body_size_limit: self.scrape.body_size_limit.unwrap_or(self.global.body_size_limit).bytes(),
            target_limit: self.scrape.target_limit.unwrap_or(self.global.target_limit),
            extra_metrics: self.scrape.extra_scrape_metrics.unwrap_or(self.global.extra_scrape_metrics),
            meters: Meters::new(meter, name),
        };
        Some(Plan { job: Arc::new(job), providers: providers?, discovery_failures })
    }

    fn error(&mut self, key: &str, message: impl Into<String>) {
        self.context.error(&format!("{}.{key}", self.path), message);
    }

    fn times(&mut self) -> (Duration, Duration) {
        let interval = self.scrape.scrape_interval.unwrap_or(self.global.scrape_interval).get();
        if interval.is_zero() && self.scrape.scrape_interval.is_some() {
            self.error("scrape_interval", "the interval cannot be zero");
        }
        if self.scrape.scrape_timeout.is_some_and(|timeout| timeout.get() > interval) {
            self.error("scrape_timeout", format!("the timeout is longer than the interval of {interval:?}"));
        }
        if self.scrape.scrape_timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.error("scrape_timeout", "the timeout cannot be zero");
        }
        let global = self.global.scrape_timeout.map_or(Duration::from_secs(10), |timeout| timeout.get());
        let timeout = self.scrape.scrape_timeout.map_or(global.min(interval), |timeout| timeout.get());
        (interval, timeout)
    }

    fn rules(&mut self, key: &str, configs: &[RelabelConfig]) -> Option<Rules> {
        let wrong = match Rules::new(configs) {
            Ok(rules) => return Some(rules),
            Err(wrong) => wrong,
        };
        for (below, message) in wrong {
            self.error(&format!("{key}{below}"), message);
        }
        None
    }

    fn client(&mut self, below: &str, keys: &HttpKeys) -> Option<HttpClient> {
        let base = if below.is_empty() { self.path.clone() } else { format!("{}.{below}", self.path) };
        let made = client(keys, self.context.clock);
        let at_its_place = |p: ConfigProblem| ConfigProblem { path: format!("{base}.{}", p.path), ..p };
        made.map_err(|problems| {
            ConfigProblem::report(problems.into_iter().map(at_its_place).collect(), self.context);
        })
        .ok()
    }

    fn validation(&self) -> NameValidation {
        self.scrape.metric_name_validation_scheme.unwrap_or(self.global.metric_name_validation_scheme)
    }

    fn is_native(&self) -> bool {
        self.scrape.scrape_native_histograms.unwrap_or(self.global.scrape_native_histograms)
    }

    /// The headers of every scrape.
    fn headers(&mut self) -> Option<HeaderMap> {
        let of_job = &self.scrape.scrape_protocols;
        twice(of_job, &format!("{}.scrape_protocols", self.path), self.context);
        let default: &[ScrapeProtocol] =
            if self.is_native() { &ScrapeProtocol::DEFAULT_NATIVE } else { &ScrapeProtocol::DEFAULT };
        let chosen = [of_job.as_slice(), &self.global.scrape_protocols].into_iter().find(|list| !list.is_empty());
        let is_native_without = chosen.is_some_and(|list| !list.contains(&ScrapeProtocol::PrometheusProto));
        if self.is_native() && is_native_without {
            let message = "native histograms come by `PrometheusProto` only; add it, as the first";
            self.error("scrape_protocols", message);
        }
        let escaping = self.escaping();
        let accept = accept_header(chosen.unwrap_or(default), escaping);
        let encoding = if self.scrape.enable_compression { "gzip" } else { "identity" };
        let mut headers = HeaderMap::new();
        // Made of fixed words only.
        headers.insert(ACCEPT, HeaderValue::try_from(accept).ok()?);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        Some(headers)
    }

    fn escaping(&mut self) -> Escaping {
        let escaping = self.scrape.metric_name_escaping_scheme.or(self.global.metric_name_escaping_scheme);
        let is_legacy = self.validation() == NameValidation::Legacy;
        if is_legacy && escaping == Some(NameEscaping::AllowUtf8) {
            let message = "`metric_name_validation_scheme: legacy` refuses what this asks for";
            self.error("metric_name_escaping_scheme", message);
        }
        match escaping {
            Some(NameEscaping::AllowUtf8) => Escaping::AllowUtf8,
            Some(NameEscaping::Underscores) => Escaping::Underscores,
            Some(NameEscaping::Dots) => Escaping::Dots,
            Some(NameEscaping::Values) => Escaping::Values,
            None if is_legacy => Escaping::Underscores,
            None => Escaping::AllowUtf8,
        }
    }

    fn reading(&self, relabel: Rules) -> Reading {
        let (scrape, global) = (self.scrape, self.global);
        let external: Vec<(String, String)> = global.external_labels.clone().into_iter().collect();
        let classic = scrape.always_scrape_classic_histograms.unwrap_or(global.always_scrape_classic_histograms);
        Reading {
            rules: series::Rules {
                target: Arc::default(),
                honor_labels: scrape.honor_labels,
                relabel,
                external: external.into(),
                legacy_names: self.validation() == NameValidation::Legacy,
                trim_suffixes: self.config.trim_metric_suffixes,
                label_limit: scrape.label_limit.unwrap_or(global.label_limit),
                label_name_length_limit: scrape.label_name_length_limit.unwrap_or(global.label_name_length_limit),
                label_value_length_limit: scrape.label_value_length_limit.unwrap_or(global.label_value_length_limit),
            },
            honor_timestamps: scrape.honor_timestamps,
            track_timestamps: scrape.track_timestamps_staleness,
            sample_limit: scrape.sample_limit.unwrap_or(global.sample_limit),
            histograms: match (self.is_native(), classic) {
                (false, _) => Histograms::Classic,
                (true, false) => Histograms::Native,
                (true, true) => Histograms::Both,
            },
        }
    }

    fn check(&mut self) {
        let names: Vec<&String> = self.scrape.params.keys().filter(|name| name.is_empty()).collect();
        if !names.is_empty() {
            self.error("params", "a parameter needs a name");
        }
        let lists = self.scrape.static_configs.len()
            + self.scrape.file_sd_configs.len()
            + self.scrape.http_sd_configs.len()
            + self.scrape.dns_sd_configs.len();
        if lists == 0 {
            let message = "the job has no targets: give `static_configs`, `file_sd_configs`, `http_sd_configs` or `dns_sd_configs`";
            let path = self.path.clone();
            self.context.warning(&path, message);
        }
    }

    fn providers(&mut self) -> Option<Vec<Provider>> {
        let scrape = self.scrape;
        let mut all = vec![self.static_provider(&scrape.static_configs)];
        for (at, config) in scrape.file_sd_configs.iter().enumerate() {
            all.push(self.file_provider(&format!("file_sd_configs[{at}]"), config));
        }
        for (at, config) in scrape.http_sd_configs.iter().enumerate() {
            all.push(self.server_provider(&format!("http_sd_configs[{at}]"), config));
        }
        for (at, config) in scrape.dns_sd_configs.iter().enumerate() {
            all.push(self.dns_provider(&format!("dns_sd_configs[{at}]"), config));
        }
        all.into_iter().collect()
    }

    fn static_provider(&mut self, groups: &[StaticConfig]) -> Option<Provider> {
        let mut is_good = true;
        for (at, group) in groups.iter().enumerate() {
            for (target_at, target) in group.targets.iter().enumerate() {
                if target.is_empty() || target.contains('/') {
                    let message = format!("`{target}` is not a target: expected `host:port` without scheme and path");
                    self.error(&format!("static_configs[{at}].targets[{target_at}]"), message);
                    is_good = false;
                }
            }
            is_good &= self.labels(&format!("static_configs[{at}].labels"), &group.labels);
        }
        is_good.then(|| Provider::Static(groups.to_vec()))
    }

    fn labels(&mut self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        let validation = self.validation();
        let wrong: Vec<&String> = labels.keys().filter(|name| !is_label(name, validation)).collect();
        for name in &wrong {
            self.error(
                &steadyline_config::path_join(key, name),
                format!("`{name}` is not a name that a label can have"),
            );
        }
        wrong.is_empty()
    }

    fn file_provider(&mut self, key: &str, config: &FileSdConfig) -> Option<Provider> {
        let mut is_good = true;
        if config.files.is_empty() {
            self.error(&format!("{key}.files"), "expected at least one file");
            is_good = false;
        }
        for (at, file) in config.files.iter().enumerate() {
            let is_list = [".json", ".yml", ".yaml"].iter().any(|end| file.ends_with(end));
            if !is_list || !is_pattern(file) {
                let message = format!(
                    "`{file}`: expected a path that ends in `.json`, `.yml` or `.yaml`, with `*` in its last part only"
                );
                self.error(&format!("{key}.files[{at}]"), message);
                is_good = false;
            }
        }
        is_good.then(|| Provider::File(FileProvider::new(config)))
    }

    fn server_provider(&mut self, key: &str, config: &HttpSdConfig) -> Option<Provider> {
        let client = self.client(key, &config.http_keys());
        let url: Option<Uri> = config.url.parse().ok().filter(is_http);
        if url.is_none() {
            self.error(&format!("{key}.url"), format!("`{}` is not an http or https URL", config.url));
        }
        if config.refresh_interval.is_zero() {
            self.error(&format!("{key}.refresh_interval"), "the interval cannot be zero");
        }
        Some(Provider::Server(Box::new(ServerProvider::new(client?, url?, config.refresh_interval.get()))))
    }

    fn dns_provider(&mut self, key: &str, config: &DnsSdConfig) -> Option<Provider> {
        let mut is_good = true;
        if config.names.is_empty() {
            self.error(&format!("{key}.names"), "expected at least one name");
            is_good = false;
        }
        if config.kind != DnsRecord::Srv && config.port.is_none() {
            self.error(&format!("{key}.port"), "records of this type do not say the port; give it");
            is_good = false;
        }
        if config.refresh_interval.is_zero() {
            self.error(&format!("{key}.refresh_interval"), "the interval cannot be zero");
            is_good = false;
        }
        is_good.then(|| Provider::Dns(DnsProvider::new(config.clone(), Arc::new(system_resolver))))
    }
}
