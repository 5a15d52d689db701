//! From config to exporter: every check that needs no network, so that `validate` finds what would fail later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use steadyline_component::{Authenticator, CreateContext, Exporter};
use steadyline_config::path_join;
use steadyline_http::{Client, ConfigProblem};
use steadyline_prometheus::{TranslationStrategy, label_name};

use crate::config::{Config, ProtobufMessage};
use crate::encoder::RemoteWriteEncoder;
use crate::endpoint::Endpoint;
use crate::sender::{RemoteWriteSender, is_reserved};

/// The exporter of a config; `None` after errors.
pub(crate) fn exporter(config: &Config, context: &mut CreateContext<'_>) -> Option<Exporter> {
    let endpoint = Endpoint::parse(&config.endpoint).map_err(|words| context.error("endpoint", words)).ok();
    check_names(config, context);
    check_limits(config, context);
    check_headers(config, context);
    let external = external_labels(config, context);
    let auth = authenticator(config, endpoint.as_ref(), context);
    let client = Client::build(&config.client_options(), context.clock);
    let client = client.map_err(|problems| ConfigProblem::report(problems, context)).ok();
    if let Some(endpoint) = &endpoint {
        warn_about_amp(config, endpoint, context);
    }
    let (endpoint, external, auth, client) = (endpoint?, external?, auth?, client?);
    let fell_back = Arc::new(AtomicBool::new(false));
    let settings = config.settings(external);
    let protocol = settings.protocol;
    let join_limit = config.join_limit();
    let encoder = RemoteWriteEncoder::new(settings, Arc::clone(&fell_back), context.clock.clone(), context.meter);
    let sender = RemoteWriteSender::new(client, endpoint, auth, protocol, fell_back, context.meter, join_limit);
    Some(Exporter::Queued { encoder: Box::new(encoder), sender: Arc::new(sender), delivery: config.delivery() })
}

fn check_names(config: &Config, context: &mut CreateContext<'_>) {
    if !config.strategy().escapes() && config.protobuf_message == ProtobufMessage::V1 {
        let strategy = config.strategy().as_str();
        context.error(
            "translation_strategy",
            format!("`{strategy}` keeps characters that remote write 1.0 does not allow; set `protobuf_message: io.prometheus.write.v2.Request`, or choose one that escapes"),
        );
    }
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b == b':';
    if !config.namespace.is_empty() && config.strategy().escapes() && !config.namespace.bytes().any(is_legal) {
        context.error("namespace", "the namespace has no character that a Prometheus name may keep");
    }
}

fn check_limits(config: &Config, context: &mut CreateContext<'_>) {
    let least = 10_000;
    for (key, size) in [
        ("max_batch_size_bytes", config.max_batch_size_bytes),
        ("max_request_size_bytes", config.max_request_size_bytes),
    ] {
        if size.bytes() < least {
            context.error(key, format!("{size} bytes hold hardly one series; at least {least}"));
        }
        if size.bytes() > 1 << 30 {
            context.error(key, "a request can have 1 GiB at most");
        }
    }
    if !(1..=100_000).contains(&config.max_samples_per_send) {
        context.error("max_samples_per_send", "a request holds 1 to 100,000 samples");
    }
}

fn check_headers(config: &Config, context: &mut CreateContext<'_>) {
    for name in config.headers.keys() {
        let path = path_join("headers", name);
        if is_reserved(name) {
            context.warning(&path, format!("remote write prescribes `{name}`; what is set here has no effect"));
        }
    }
}

/// The external labels under their final names; `None` after errors.
fn external_labels(config: &Config, context: &mut CreateContext<'_>) -> Option<Vec<(String, String)>> {
    let mut named: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    let mut is_good = true;
    for (key, value) in &config.external_labels {
        let path = path_join("external_labels", key);
        let mut name = String::new();
        let problem = match label_name(&mut name, key, config.strategy(), false) {
            Err(error) => Some(format!("`{key}` cannot be a label: {error}")),
            Ok(()) if matches!(name.as_str(), "__name__" | "le" | "quantile") => {
                Some(format!("the label `{name}` belongs to the format"))
            }
            Ok(()) => {
                named.get(&name).map(|(other, _)| format!("`{other}` and `{key}` both become the label `{name}`"))
            }
        };
        if let Some(problem) = problem {
            context.error(&path, problem);
            is_good = false;
            continue;
        }
        if value.is_empty() {
            context.warning(&path, "an empty label is no label; it is not sent");
            continue;
        }
        named.insert(name, (key, value));
    }
    is_good.then(|| named.into_iter().map(|(name, (_, value))| (name, value.to_owned())).collect())
}

/// The authenticator, if one is named; the outer `None` after errors.
fn authenticator(
    config: &Config,
    endpoint: Option<&Endpoint>,
    context: &mut CreateContext<'_>,
) -> Option<Option<Arc<dyn Authenticator>>> {
    let Some(auth) = &config.auth else { return Some(None) };
    let found = context.authenticator("auth.authenticator", &auth.authenticator)?;
    if let Some(Err(words)) = endpoint.map(|endpoint| found.validate(&endpoint.uri)) {
        context.error("auth.authenticator", words);
        return None;
    }
    Some(Some(found))
}

fn warn_about_amp(config: &Config, endpoint: &Endpoint, context: &mut CreateContext<'_>) {
    if endpoint.workspace.is_none() {
        if matches!(endpoint.uri.path(), "" | "/") {
            context.warning("endpoint", "the URL has no path; Prometheus takes remote write at `/api/v1/write`");
        }
        return;
    }
    if config.auth.is_none() {
        context.warning(
            "auth",
            "Amazon Managed Prometheus takes signed requests only; set `auth: {authenticator: sigv4auth}`",
        );
    }
    if let Some(name) = config.headers.keys().find(|name| name.eq_ignore_ascii_case("x-scope-orgid")) {
        let path = path_join("headers", name);
        context.error(
            &path,
            format!("Amazon Managed Prometheus refuses requests with `{name}`; the URL names the workspace"),
        );
    }
    if config.protobuf_message == ProtobufMessage::V2 {
        context.warning("protobuf_message", "Amazon Managed Prometheus documents remote write 1.0 only");
    }
    if config.send_exemplars {
        context.warning("send_exemplars", "Amazon Managed Prometheus does not keep exemplars, and may count them");
    }
    if config.max_request_size_bytes.bytes() > 1_000_000 {
        context.warning("max_request_size_bytes", "Amazon Managed Prometheus refuses requests of more than 1 MB");
    }
    let is_utf8 = matches!(
        config.strategy(),
        TranslationStrategy::NoUtf8EscapingWithSuffixes | TranslationStrategy::NoTranslation
    );
    if is_utf8 {
        context.warning("translation_strategy", "Amazon Managed Prometheus refuses names that are not escaped");
    }
}
