//! An application with OpenTelemetry's own SDK sends deltas through the binary to remote write.

use std::process::Command;

use crate::common::backend::Backend;
use crate::common::process::output;
use crate::common::steadyline::Launch;
use crate::common::tools::{python, script};
use crate::common::wait::{free_port, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn deltas_reach_remote_write_as_cumulative_series_and_the_rest_under_the_translated_names() {
    let backend = Backend::willing().await;
    let port = free_port();
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{port}\"}}}}}}
processors:
  deltatocumulative:
  batch:
exporters:
  prometheusremotewrite: {{endpoint: \"{}\"}}
service:
  pipelines:
    metrics: {{receivers: [otlp], processors: [deltatocumulative, batch], exporters: [prometheusremotewrite]}}
",
        backend.url()
    );
    let mut steadyline = Launch::new(&config).run().await;
    // Two runs of one application: a counter that knows nothing of the run before goes on by its deltas.
    for _ in 0..2 {
        // It has traces and logs as well, and is told that nobody wants them.
        let mut command = Command::new(python());
        let endpoint = format!("127.0.0.1:{port}");
        let arguments = ["grpc", &endpoint, "gzip", "--delta"];
        let (_, _, words) = output(command.arg(script("otlp_sender.py")).args(arguments), None).await;
        assert!(words.contains("UNIMPLEMENTED"), "{words}");
    }
    let last = |name: &str| {
        let taken = backend.taken();
        let series = taken.iter().find(|(labels, _)| labels["__name__"] == name);
        series.map(|(labels, samples)| (labels.clone(), samples.last().unwrap().value))
    };
    until_true("both runs", async || last("requests_total").is_some_and(|(_, value)| value == 6.0)).await;
    let (labels, _) = last("requests_total").unwrap();
    assert_eq!((labels["job"].as_str(), labels["instance"].as_str()), ("shop", "1"));
    assert_eq!((labels["bool"].as_str(), labels["double"].as_str()), ("true", "0.5"));
    assert_eq!(last("latency_seconds_count").unwrap().1, 8.0);
    assert_eq!(last("temperature_celsius").unwrap().1, 21.5);
    assert_eq!(last("open").unwrap().1, -4.0);
    let books = steadyline.finish().await;
    assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0);
}
