//! What the plan refuses and what it warns of, each at its place.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use steadyline_component::Clock;
use support::*;

fn findings(yaml: &str) -> String {
    graph(yaml, Clock::manual(0)).err().unwrap_or_default()
}

#[test]
fn everything_wrong_is_said_at_once_and_with_its_line() {
    let yaml = "\
receivers:
  source:
  sauce:
exporters:
  backend: {nam: x}
bogus: 1
service:
  extensions: [health_check]
  pipelines:
    metrics:
      receivers: [source, sorce]
      processors: [batch]
      exporters: [backend, backend]
    metric/typo: {receivers: [source], exporters: [backend]}
    traces: {receivers: [source], exporters: [backend]}
    metrics/empty: {receivers: [], exporters: []}
";
    assert_eq!(
        findings(yaml),
        "\
3 unknown-type receivers.sauce: there is no receiver of type `sauce`
3 unused-component receivers.sauce: receiver `sauce` is used by no pipeline and will not run
5 unknown-key exporters.backend.nam: unknown key `nam`
6 unknown-key bogus: unknown section `bogus`
8 unknown-reference service.extensions[0]: there is no extension `health_check`
11 unknown-reference service.pipelines.metrics.receivers[1]: there is no receiver `sorce`
12 unknown-reference service.pipelines.metrics.processors[0]: there is no processor `batch`
13 duplicate-reference service.pipelines.metrics.exporters[1]: `backend` stands twice in one list
14 unknown-signal service.pipelines.metric/typo: `metric` is not a signal
15 wrong-signal service.pipelines.traces.receivers[0]: receiver `source` does not do traces
15 wrong-signal service.pipelines.traces.exporters[0]: exporter `backend` does not do traces
16 missing-field service.pipelines.metrics/empty.receivers: the pipeline has no receiver
16 missing-field service.pipelines.metrics/empty.exporters: the pipeline has no exporter"
    );
}

#[test]
fn a_disabled_pipeline_needs_nothing() {
    let yaml = "\
receivers: {source: , source/other: {name: \"${env:NOT_SET}\"}}
exporters: {backend: }
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [source], exporters: [backend]}
    metrics/other: {enabled: false, receivers: [source/other], exporters: [backend]}
";
    let graph = graph(yaml, Clock::manual(0)).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!(graph.pipelines.len(), 1);
    let enabled = yaml.replace("enabled: false", "enabled: true");
    assert!(findings(&enabled).contains("1 unset-variable receivers.source/other.name"), "{}", findings(&enabled));
}

#[test]
fn no_service_and_no_pipelines() {
    assert_eq!(findings("receivers: {source: }\n"), "1 missing-field service: there is no `service` section");
    let none = findings("service: {pipelines: {}}\n");
    assert_eq!(none, "1 missing-field service.pipelines: there is no pipeline, so there is nothing to run");
}

#[tokio::test]
async fn a_component_that_cannot_start_stops_the_start() {
    let broken = "{fail_start: true}";
    for (receiver, processor, message) in [
        (broken, "", "receiver `source` could not start: the port is taken"),
        ("", broken, "processor `halves` could not start: nobody answers"),
    ] {
        let yaml = format!(
            "receivers: {{source: {receiver}}}\nprocessors: {{halves: {processor}}}\nexporters: {{backend: }}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
             pipelines: {{metrics: {{receivers: [source], processors: [halves], exporters: [backend]}}}}\n"
        );
        let graph = graph(&yaml, Clock::manual(0)).unwrap_or_else(|text| panic!("{text}"));
        let error = graph.start().await.err().unwrap();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn connectors_must_join_and_must_not_form_a_cycle() {
    let yaml = |pipelines: &str| {
        format!(
            "receivers: {{source: }}\nexporters: {{backend: }}\nconnectors: {{join/a: , join/b: }}\nservice:\n  pipelines:\n{pipelines}"
        )
    };
    let cycle = yaml(
        "    metrics/1: {receivers: [source, join/b], exporters: [join/a]}\n    metrics/2: {receivers: [join/a], exporters: [join/b, backend]}\n",
    );
    assert_eq!(
        findings(&cycle),
        "6 cycle service.pipelines.metrics/1: pipelines feed each other in a cycle: metrics/1 -> metrics/2 -> metrics/1"
    );
    let dangling = yaml("    metrics/1: {receivers: [source], exporters: [join/a, backend]}\n");
    assert_eq!(
        findings(&dangling),
        "3 dangling-connector connectors.join/a: connector `join/a` is an exporter of metrics/1 and a receiver of no enabled pipeline\n\
         3 unused-component connectors.join/b: connector `join/b` is used by no pipeline and will not run"
    );
}

#[test]
fn deltas_on_their_way_to_a_backend_that_drops_them_are_told_at_load() {
    let check = |pipelines: &str| {
        findings(&format!(
            "receivers: {{source: }}\nprocessors: {{to_delta: , to_cumulative: }}\nconnectors: {{join: }}\n\
             exporters: {{backend: , wants_cumulative: , broken: }}\nservice:\n  pipelines:\n{pipelines}"
        ))
    };
    let warned = |pipelines: &str| check(pipelines).contains("delta-to-cumulative");
    let said =
        check("    metrics: {receivers: [source], processors: [to_delta], exporters: [backend, wants_cumulative]}\n");
    assert!(
        said.contains(
            "7 delta-to-cumulative service.pipelines.metrics.exporters[1]: `to_delta` gives delta sums and histograms, and \
             `wants_cumulative` cannot send them: each would be dropped and counted"
        ),
        "{said}"
    );
    for (processors, expected) in
        [("", false), ("to_delta", true), ("to_delta, to_cumulative", false), ("to_cumulative, to_delta", true)]
    {
        let line = format!(
            "    metrics: {{receivers: [source], processors: [{processors}], exporters: [wants_cumulative]}}\n"
        );
        assert_eq!(warned(&line), expected, "{processors}");
    }
    // Through a connector that keeps what it is given, once around the corner and once mended there.
    let first = "    metrics/1: {receivers: [source], processors: [to_delta], exporters: [join]}\n";
    assert!(warned(&format!("{first}    metrics/2: {{receivers: [join], exporters: [wants_cumulative]}}\n")));
    let mended = "    metrics/2: {receivers: [join], processors: [to_cumulative], exporters: [wants_cumulative]}\n";
    assert!(!warned(&format!("{first}{mended}")));
}

#[test]
fn one_bad_processor_does_not_hide_the_next() {
    let yaml = "receivers: {source: }\nprocessors: {halves/a: {nam: x}, halves/b: {wiat: y}}\nexporters: {backend: }\n\
                service:\n  pipelines:\n    metrics: {receivers: [source], processors: [halves/a, halves/b], exporters: [backend]}\n";
    let said = findings(yaml);
    assert!(said.contains("processors.halves/a.nam") && said.contains("processors.halves/b.wiat"), "{said}");
}
