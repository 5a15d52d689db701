//! Components that the OpenTelemetry Collector has and this distribution has not, each with what to do instead.
//! A config that comes from there is told so, type by type, and not just that a word is unknown.

use steadyline_component::Kind::{self, Connector, Exporter, Extension, Processor, Receiver};

/// (kind, types, what to do instead).
pub(crate) const ELSEWHERE: &[(Kind, &[&str], &str)] = &[
    (
        Receiver,
        &["awsecscontainermetrics", "ecs_observer"],
        "task metrics come from Container Insights; scrape the containers themselves with the receiver `prometheus`",
    ),
    (
        Receiver,
        &["kubeletstats", "k8s_cluster", "k8sobjects", "k8s_events", "docker_stats", "podman_stats"],
        "scrape kubelet, cAdvisor or kube-state-metrics with the receiver `prometheus`",
    ),
    (
        Receiver,
        &["jaeger", "zipkin", "opencensus", "skywalking", "awsxray", "datadog"],
        "let the application send OTLP, which every OpenTelemetry SDK does, to the receiver `otlp`",
    ),
    (
        Receiver,
        &["statsd", "carbon", "collectd", "influxdb", "signalfx", "splunk_hec", "wavefront"],
        "let the application send OTLP, or expose Prometheus metrics and scrape them with the receiver `prometheus`",
    ),
    (
        Receiver,
        &["filelog", "file_log", "journald", "syslog", "tcplog", "udplog", "windowseventlog", "fluentforward"],
        "logs come in by OTLP only: keep the log agent that reads them and let it send OTLP to the receiver `otlp`",
    ),
    (
        Receiver,
        &["mysql", "postgresql", "mongodb", "redis", "rabbitmq", "kafkametrics", "nginx", "apache"],
        "scrape the Prometheus exporter of that system with the receiver `prometheus`, or ask it by `sqlquery` or `exec`",
    ),
    (
        Receiver,
        &["kafka", "awss3", "googlecloudpubsub", "azureeventhub"],
        "there is no such consumer; send OTLP to the receiver `otlp`",
    ),
    (Receiver, &["prometheus_simple"], "use the receiver `prometheus` with one scrape config"),
    (
        Processor,
        &[
            "transform",
            "metricstransform",
            "metrics_transform",
            "metricsgeneration",
            "deltatorate",
            "span",
            "redaction",
            "schema",
        ],
        "statements are not supported yet: `attributes`, `resource`, `filter` and `labels` do the usual changes of names and labels",
    ),
    (
        Processor,
        &["interval"],
        "use `lastvalue`: it keeps the newest value of each series and publishes it on its interval",
    ),
    (
        Processor,
        &["k8sattributes", "k8s_attributes"],
        "name pod and node by variables of the downward API and add them with the processor `resource`",
    ),
    (
        Processor,
        &["tail_sampling", "probabilistic_sampler"],
        "sample where the traces are made: the SDK's sampler, or the backend's",
    ),
    (Processor, &["routing"], "use several pipelines with a `filter` each"),
    (
        Exporter,
        &["awsemf", "awsxray", "awscloudwatchlogs"],
        "CloudWatch and X-Ray take OTLP: use the exporter `otlphttp` with the extension `sigv4auth`",
    ),
    (
        Exporter,
        &[
            "jaeger",
            "zipkin",
            "opencensus",
            "loki",
            "tempo",
            "datadog",
            "splunk_hec",
            "sapm",
            "signalfx",
            "coralogix",
            "newrelic",
        ],
        "that backend takes OTLP: use the exporter `otlp` or `otlphttp`",
    ),
    (Exporter, &["loadbalancing"], "put a load balancer in front of the backends"),
    (
        Exporter,
        &["kafka", "pulsar", "awss3", "clickhouse", "elasticsearch", "opensearch"],
        "send OTLP to a collector next to that store",
    ),
    (Exporter, &["nop"], "use `debug` with `verbosity: basic`"),
    (
        Connector,
        &["spanmetrics", "span_metrics", "servicegraph", "routing", "exceptions", "sum"],
        "the connector `count` counts spans and records by attribute",
    ),
    (Extension, &["pprof", "zpages"], "remove it: rates, queues and drops are metrics, on port 8888 by default"),
    (Extension, &["memory_ballast"], "remove it: there is no garbage collector to keep busy"),
    (
        Extension,
        &["memory_limiter"],
        "use the processor `memory_limiter`, which bounds the data in flight before it is decoded",
    ),
    (Extension, &["db_storage", "redis_storage"], "use `file_storage`, or `dynamodb_storage` where there is no disk"),
    (
        Extension,
        &["awsproxy", "ecs_observer", "ecs_task_observer", "k8s_observer", "docker_observer", "host_observer"],
        "there are no observers: give the receiver `prometheus` its targets by `file_sd_configs`, `http_sd_configs` or `dns_sd_configs`",
    ),
    (
        Extension,
        &["oauth2client", "oidc", "asap", "googleclientauth", "azure_auth"],
        "use `bearertokenauth` with a token file, or `basicauth`",
    ),
    (Extension, &["k8s_leader_elector"], "use the extension `leader`, which keeps its lease in a DynamoDB table"),
    (Extension, &["opamp"], "configs are files and variables; there is no remote control"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_is_listed_that_is_built_in_or_twice() {
        let mut seen = std::collections::BTreeSet::new();
        let registry = crate::Registry::new(crate::standard());
        for (kind, types, advice) in ELSEWHERE {
            assert!(!advice.is_empty());
            for name in *types {
                assert!(registry.find(*kind, name).is_none(), "{} {name} is built in", kind.name());
                assert!(seen.insert((*kind, *name)), "{} {name} stands twice", kind.name());
            }
        }
    }
}
