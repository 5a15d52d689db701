//! Sources that people poll, side by side in the binary: the machine, a database, a JSON document.

use http::Response;

use crate::common::backend::Backend;
use crate::common::dynamodb::scratch;
use crate::common::process::output;
use crate::common::server::{Reply, Server};
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_a_database_and_a_document() {
    let folder = scratch();
    let file = folder.path().join("shop.db");
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute('create table orders (id integer primary key, status text)')\n\
        db.executemany('insert into orders (status) values (?)', [('open',), ('open',), ('done',)])\n\
        db.commit()";
    let (code, _, words) = output(std::process::Command::new("python3").args(["-c", script]).arg(&file), None).await;
    assert_eq!(code, 0, "{words}");
    let document = Server::start(|_| async {
        Reply::Answer(Response::new(r#"{"queues": [{"name": "in", "depth": 7}, {"name": "out", "depth": 0}]}"#.into()))
    })
    .await;
    let backend = Backend::willing().await;
    let config = format!(
        "
receivers:
  hostmetrics: {{collection_interval: 1s, scrapers: {{cpu: , memory: , load: , processes: }}}}
  sqlquery:
    driver: sqlite
    datasource: {}
    collection_interval: 1s
    queries:
      - sql: select status, count(*) as n from orders group by status
        metrics: [{{metric_name: shop.orders, value_column: n, attribute_columns: [status]}}]
  http_json:
    endpoint: {}/queues
    collection_interval: 1s
    items: queues
    identity: {{queue: name}}
    metrics: [{{name: queue.depth, value: {{attribute: depth}}}}]
exporters:
  prometheusremotewrite: {{endpoint: \"{}\", add_metric_suffixes: false}}
service:
  pipelines:
    metrics: {{receivers: [hostmetrics, sqlquery, http_json], exporters: [prometheusremotewrite]}}
",
        file.display(),
        document.url(),
        backend.url()
    );
    let mut steadyline = Launch::new(&config).run().await;
    let has = |name: &str, label: (&str, &str), value: Option<f64>| {
        backend.taken().iter().any(|(labels, samples)| {
            labels["__name__"] == name
                && labels.get(label.0).is_some_and(|found| found == label.1)
                && samples.len() >= 2
                && value.is_none_or(|value| samples.iter().all(|sample| sample.value == value))
        })
    };
    until_true("two passes of each", async || {
        has("shop_orders", ("status", "open"), Some(2.0))
            && has("shop_orders", ("status", "done"), Some(1.0))
            && has("queue_depth", ("queue", "in"), Some(7.0))
            && has("queue_depth", ("queue", "out"), Some(0.0))
            && has("system_cpu_time", ("state", "user"), None)
            && has("system_memory_usage", ("state", "free"), None)
            && has("system_processes_count", ("status", "running"), None)
            && has("system_cpu_load_average_1m", ("__name__", "system_cpu_load_average_1m"), None)
    })
    .await;
    steadyline.finish().await;
}
