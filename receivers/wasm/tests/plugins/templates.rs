//! The templates that `steadyline plugin new` writes.

use std::path::Path;

use steadyline_http::testkit::{Backend, Reply};
use steadyline_wasm::testkit::{plugin, python_plugin};

use crate::common::{Made, cache, of};

async fn asks_for_queues(component: &Path) {
    let backend = Backend::start(|_, number| match number {
        0 => Reply::status(200, r#"[{"name": "mail", "length": 3}, {"name": "sms", "length": null}]"#),
        1 => Reply::status(200, "<html>"),
        _ => Reply::status(503, ""),
    })
    .await;
    let made = |config: &str| -> Made {
        let host = backend.url().strip_prefix("http://").unwrap().to_owned();
        let yaml = format!(
            "path: {}\ncache_directory: {}\nhttp: {{allow: ['{host}']}}\nconfig: {config}",
            component.display(),
            cache()
        );
        of(&yaml, None)
    };
    let mut queues = made(&format!("{{url: '{}/queues'}}", backend.url()));
    assert_eq!(queues.complete().await, ["queue.length{queue=\"mail\"} 3 @60", "queue.length{queue=\"sms\"} held @60"]);
    let error = queues.fails("plugin_error").await;
    assert!(error.message.contains("the document"), "{error}");
    let error = queues.fails("plugin_error").await;
    assert!(error.message.contains("answers 503"), "{error}");
    let error = made("{}").fails("not_started").await;
    assert!(error.message.contains("config"), "{error}");
    let error = made("{url: 'http://other.example.com/'}").fails("plugin_error").await;
    assert!(error.message.contains("other.example.com"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    asks_for_queues(&plugin("queues")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/wasm.sh builds the Python plugins"]
async fn python() {
    asks_for_queues(&python_plugin("queues")).await;
}
