//! What users read when a config cannot be.

use steadyline_component::testkit::create;
use steadyline_receiver_prometheus::PrometheusFactory;

fn wrong(yaml: &str) -> String {
    match create::<PrometheusFactory>(yaml) {
        Ok(_) => panic!("it was accepted: {yaml}"),
        Err(text) => text,
    }
}

fn job(keys: &str) -> String {
    format!("config: {{scrape_configs: [{{job_name: a, static_configs: [{{targets: ['h:1']}}], {keys}}}]}}")
}

#[test]
fn a_collector_config_as_it_is_written_everywhere() {
    let yaml = r#"
config:
  global:
    scrape_interval: 30s
    scrape_timeout: 10s
    external_labels: {cluster: x}
  scrape_configs:
    - job_name: otel
      scrape_interval: 10s
      static_configs:
        - targets: ["0.0.0.0:8888"]
          labels: {team: a}
      relabel_configs:
        - source_labels: [__address__]
          regex: '(.*):\d+'
          replacement: $$1
          target_label: host
      metric_relabel_configs:
        - source_labels: [__name__]
          regex: '.*grpc_io.*'
          action: drop
    - job_name: pods
      honor_labels: true
      metrics_path: /federate
      params:
        'match[]': ['{job="x"}']
      basic_auth: {username: a, password: b}
      tls_config: {insecure_skip_verify: true}
      file_sd_configs:
        - files: [/etc/targets/*.json]
      http_sd_configs:
        - url: http://allocator/jobs/a/targets
      dns_sd_configs:
        - names: [tasks.app]
          type: A
          port: 8080
"#;
    if let Err(text) = create::<PrometheusFactory>(yaml) {
        panic!("{text}");
    }
}

#[test]
fn each_error_names_its_key() {
    for (yaml, path, words) in [
        ("".to_string(), "config.scrape_configs", "there is no job"),
        ("config: {scrape_configs: [{}]}".into(), "config.scrape_configs[0].job_name", "a job needs a name"),
        (
            "config: {scrape_configs: [{job_name: a}, {job_name: a}]}".into(),
            "config.scrape_configs[1].job_name",
            "unique",
        ),
        (
            "config: {global: {scrape_timeout: 2m}, scrape_configs: [{job_name: a}]}".into(),
            "config.global.scrape_timeout",
            "longer",
        ),
        (
            "config: {global: {scrape_interval: 0s}, scrape_configs: [{job_name: a}]}".into(),
            "config.global.scrape_interval",
            "zero",
        ),
        (
            "config: {global: {external_labels: {'': x}}, scrape_configs: [{job_name: a}]}".into(),
            "config.global.external_labels[\"\"]",
            "label",
        ),
        (job("scrape_timeout: 2m"), "config.scrape_configs[0].scrape_timeout", "longer than the interval"),
        (job("scrape_interval: 0s"), "config.scrape_configs[0].scrape_interval", "zero"),
        (
            job("scrape_protocols: [OpenMetricsText1.0.0, OpenMetricsText1.0.0]"),
            "config.scrape_configs[0].scrape_protocols[1]",
            "twice",
        ),
        (job("scrape_protocols: [Telepathy]"), "config.scrape_configs[0].scrape_protocols[0]", "PrometheusProto"),
        (
            job("scrape_native_histograms: true, scrape_protocols: [PrometheusText0.0.4]"),
            "config.scrape_configs[0].scrape_protocols",
            "PrometheusProto",
        ),
        (
            job("metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8"),
            "config.scrape_configs[0].metric_name_escaping_scheme",
            "legacy",
        ),
        (
            job("relabel_configs: [{action: keep}, {regex: '('}]"),
            "config.scrape_configs[0].relabel_configs[1].regex",
            "",
        ),
        (
            job("metric_relabel_configs: [{action: hashmod, target_label: x}]"),
            "config.scrape_configs[0].metric_relabel_configs[0].modulus",
            "modulus",
        ),
        (
            job("basic_auth: {username: a}, authorization: {credentials: b}"),
            "config.scrape_configs[0].authorization",
            "`basic_auth` is given too",
        ),
        (
            job("basic_auth: {username: a, password: b, password_file: /c}"),
            "config.scrape_configs[0].basic_auth.password",
            "`password_file` is given too",
        ),
        (job("authorization: {type: basic}"), "config.scrape_configs[0].authorization.type", "use `basic_auth`"),
        (job("oauth2: {token_url: nowhere}"), "config.scrape_configs[0].oauth2.client_id", "id of a client"),
        (job("oauth2: {client_id: a, token_url: nowhere}"), "config.scrape_configs[0].oauth2.token_url", "URL"),
        (job("tls_config: {cert_file: /a}"), "config.scrape_configs[0].tls_config.cert_file", "`key_file` or `key`"),
        (job("tls_config: {ca: nonsense}"), "config.scrape_configs[0].tls_config.ca", "PEM"),
        (job("proxy_url: 'ftp://x'"), "config.scrape_configs[0].proxy_url", "expected a URL"),
        (job("no_proxy: x"), "config.scrape_configs[0].no_proxy", "no `proxy_url`"),
        (
            job("http_headers: {Accept: {values: [x]}}"),
            "config.scrape_configs[0].http_headers.Accept",
            "set by the scrape",
        ),
        (job("http_headers: {a b: {values: [x]}}"), "config.scrape_configs[0].http_headers.a b", "not a name"),
        (
            job("file_sd_configs: [{files: [/a/*/b.json]}]"),
            "config.scrape_configs[0].file_sd_configs[0].files[0]",
            "last part",
        ),
        (
            job("file_sd_configs: [{files: [/a/b.txt]}]"),
            "config.scrape_configs[0].file_sd_configs[0].files[0]",
            ".json",
        ),
        (job("http_sd_configs: [{url: x}]"), "config.scrape_configs[0].http_sd_configs[0].url", "URL"),
        (
            job("http_sd_configs: [{url: 'http://x', tls_config: {key_file: /k}}]"),
            "config.scrape_configs[0].http_sd_configs[0].tls_config.key_file",
            "certificate",
        ),
        (job("dns_sd_configs: [{names: [x], type: A}]"), "config.scrape_configs[0].dns_sd_configs[0].port", "port"),
        (job("dns_sd_configs: [{type: SRV}]"), "config.scrape_configs[0].dns_sd_configs[0].names", "at least one"),
        (
            "config: {scrape_configs: [{job_name: a, static_configs: [{targets: ['http://h:1/m']}]}]}".into(),
            "config.scrape_configs[0].static_configs[0].targets[0]",
            "without scheme",
        ),
        (
            "config: {scrape_configs: [{job_name: a, static_configs: [{labels: {__name__: x}}]}]}".into(),
            "config.scrape_configs[0].static_configs[0].labels.__name__",
            "label",
        ),
    ] {
        let text = wrong(&yaml);
        let line = text.lines().find(|line| line.contains(&format!("prometheus.{path}:")));
        assert!(line.is_some_and(|line| line.contains(words)), "{yaml}\nwanted {path}: {words}\n{text}");
    }
}

#[test]
fn keys_of_prometheus_and_the_collector_that_are_not_supported_say_what_to_do() {
    for (yaml, path, words) in [
        (
            job("kubernetes_sd_configs: [{role: pod}]"),
            "config.scrape_configs[0].kubernetes_sd_configs",
            "http_sd_configs",
        ),
        (job("ec2_sd_configs: []"), "config.scrape_configs[0].ec2_sd_configs", "http_sd_configs"),
        (
            job("native_histogram_bucket_limit: 10"),
            "config.scrape_configs[0].native_histogram_bucket_limit",
            "remove it",
        ),
        ("config: {remote_write: [], scrape_configs: []}".into(), "config.remote_write", "prometheusremotewrite"),
        ("config: {rule_files: [], scrape_configs: []}".into(), "config.rule_files", "backend"),
        ("config: {global: {evaluation_interval: 1m}}".into(), "config.global.evaluation_interval", "backend"),
        ("target_allocator: {endpoint: x}".into(), "target_allocator", "http_sd_configs"),
        ("api_server: {enabled: true}".into(), "api_server", "remove it"),
    ] {
        let text = wrong(&yaml);
        let line = text.lines().find(|line| line.contains(&format!("error[unsupported-key] prometheus.{path}:")));
        assert!(line.is_some_and(|line| line.contains(words)), "{yaml}\n{text}");
    }
}

#[test]
fn secrets_are_in_no_message() {
    let text =
        wrong(&job("basic_auth: {username: 'a:b', password: hunter2}, http_headers: {X: {secrets: [\"hun\\nter2\"]}}"));
    assert!(!text.contains("hunter2") && !text.contains("ter2"), "{text}");
}
