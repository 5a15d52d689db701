//! Targets that do everything wrong: a failed scrape, said why, counted, and nothing else disturbed.

use std::time::Duration;

use steadyline_http::testkit::{Backend, Reply, nobody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{INTERVAL, Rig, exposed, job, target};

/// The counter of failed scrapes by their only reason.
fn failed(rig: &Rig) -> Vec<(String, f64)> {
    let all = rig.meter.read();
    let failed = all.iter().filter(|i| i.name == "prometheus_scrapes_failed");
    failed.map(|i| (i.labels.iter().find(|(name, _)| name == "reason").unwrap().1.clone(), i.value())).collect()
}

async fn fails(config: &str, reason: &str) {
    let rig = Rig::start(config).await;
    let lines = rig.scrape().await;
    assert_eq!(lines[1..], ["up 0"], "{reason}");
    assert_eq!(failed(&rig), [(reason.to_string(), 1.0)]);
}

async fn answering(reply: Reply) -> Backend {
    Backend::start(move |_, _| reply.clone()).await
}

#[tokio::test]
async fn answers_that_are_no_exposition() {
    let text = |reply: Reply| reply.with("content-type", "text/plain");
    for (reply, reason) in [
        (text(Reply::status(404, "not here")), "status"),
        (Reply::status(200, "a 1\n"), "content_type"),
        (Reply::status(200, "<html>").with("content-type", "text/html"), "content_type"),
        (text(Reply::status(200, "a{b=\"\u{fffd}")), "parse"),
        (text(Reply::status(200, "a 1")).with("content-encoding", "gzip"), "encoding"),
        (text(Reply::status(200, "a 1")).with("content-encoding", "br"), "encoding"),
        (Reply::CloseMidResponse, "closed"),
    ] {
        let backend = answering(reply).await;
        fails(&job(&backend, ""), reason).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_text() {
    let mut response = http::Response::new(bytes::Bytes::from_static(b"a{b=\"\xff\xfe\"} 1\n"));
    response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let backend = answering(Reply::Answer(response)).await;
    fails(&job(&backend, ""), "parse").await;
}

#[tokio::test]
async fn nobody_listens() {
    let address = nobody().await.replace("http://", "");
    let config = format!(
        "config: {{scrape_configs: [{{job_name: test, scrape_interval: 10s, static_configs: [{{targets: [\"{address}\"]}}]}}]}}"
    );
    fails(&config, "connect").await;
}

#[tokio::test]
async fn a_type_that_is_unknown_may_have_a_fallback() {
    let backend = answering(Reply::status(200, "a 1\n")).await;
    let rig = Rig::start(&job(&backend, "fallback_scrape_protocol: PrometheusText0.0.4")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1"]);
}

#[tokio::test]
async fn limits_fail_the_scrape() {
    let body = "a{x=\"1\",y=\"2\"} 1\nb 2\n";
    for (keys, reason) in [
        ("sample_limit: 1", "sample_limit"),
        ("label_limit: 4", "label_limit"),
        ("label_name_length_limit: 3", "label_limit"),
        ("label_value_length_limit: 2", "label_limit"),
        ("body_size_limit: 10B", "body_size_limit"),
        (
            "metric_name_validation_scheme: legacy\nmetric_relabel_configs: [{target_label: a.b, replacement: c}]",
            "parse",
        ),
        ("metric_relabel_configs: [{regex: __name__, action: labeldrop}]", "parse"),
    ] {
        let backend = target(&[body]).await;
        fails(&job(&backend, keys), reason).await;
    }
    let backend = target(&[body]).await;
    let keys = "sample_limit: 2\nlabel_limit: 5\nlabel_name_length_limit: 8\nbody_size_limit: 1KiB\nextra_scrape_metrics: true";
    let rig = Rig::start(&job(&backend, keys)).await;
    let metrics = rig.scrape_whole().await;
    assert_eq!(exposed(&metrics).len(), 2);
    let report = steadyline_component::testkit::render(&metrics);
    for expected in ["scrape_timeout_seconds 10 ", "scrape_sample_limit 2 ", "scrape_body_size_bytes 21 "] {
        assert!(report.iter().any(|line| line.starts_with(expected)), "{expected}: {report:?}");
    }
}

#[tokio::test]
async fn too_many_targets_all_fail() {
    let backends = [target(&["a 1\n"]).await, target(&["a 1\n"]).await];
    let keys = format!(
        "target_limit: 1\nstatic_configs: [{{targets: [\"{}\", \"{}\"]}}]",
        backends[0].address, backends[1].address
    );
    let config = job(&backends[0], &keys).replacen(
        &format!("      static_configs: [{{targets: [\"{}\"]}}]\n", backends[0].address),
        "",
        1,
    );
    let rig = Rig::start(&config).await;
    rig.clock.advance(INTERVAL);
    rig.intake.wait_for(2).await;
    assert_eq!(failed(&rig), [("target_limit".to_string(), 2.0)]);
    assert!(backends.iter().all(|backend| backend.requests().is_empty()));
}

/// A target of which each connection, after its first request, is what `answer` makes of it.
async fn raw_target<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(TcpStream) -> F + Copy + Send + 'static,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                answer(stream).await;
            });
        }
    });
    (address, task)
}

/// A target that sends a head and then `piece` again and again, as long as anybody reads.
async fn endless(piece: &'static [u8], pause: Duration) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    raw_target(move |mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        while stream.write_all(piece).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

fn job_at(address: std::net::SocketAddr, keys: &str) -> String {
    format!(
        "config:\n  scrape_configs:\n    - job_name: test\n      scrape_interval: 10s\n      static_configs: [{{targets: [\"{address}\"]}}]\n      {keys}\n"
    )
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_the_limit_and_at_a_quarter_of_the_memory() {
    let (address, task) = endless(&[b'a'; 16 * 1024], Duration::ZERO).await;
    fails(&job_at(address, "body_size_limit: 100KiB"), "body_size_limit").await;
    let rig = Rig::with_budget(&job_at(address, ""), 1 << 20).await;
    assert_eq!(rig.scrape().await[1..], ["up 0"]);
    assert_eq!(failed(&rig), [("body_size_limit".to_string(), 1.0)]);
    rig.memory_is_given_back().await;
    task.abort();
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_at_the_timeout() {
    let (address, task) = endless(b"a 1\n", Duration::from_millis(5)).await;
    let rig = Rig::start(&job_at(address, "scrape_timeout: 2s")).await;
    rig.clock.advance(INTERVAL);
    rig.settle().await;
    // The scrape is under way; the clock reaches its timeout.
    while rig.intake.take().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        rig.clock.advance(Duration::from_millis(100));
        assert!(rig.clock.now().mono < INTERVAL * 10, "it was not given up");
        if failed(&rig) == [("timeout".to_string(), 1.0)] {
            break;
        }
    }
    assert_eq!(failed(&rig)[0].0, "timeout");
    task.abort();
}

#[tokio::test]
async fn gzip_is_read_and_its_bombs_are_not() {
    use std::io::Write;
    let packed = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let reply = |body: Vec<u8>| {
        let mut response = http::Response::new(bytes::Bytes::from(body));
        response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        Reply::Answer(response)
    };
    let backend = answering(reply(packed(b"a 1\n"))).await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1"]);
    assert_eq!(backend.requests()[0].header("accept-encoding"), "gzip");

    let bomb = answering(reply(packed(&vec![b'\n'; 8 << 20]))).await;
    fails(&job(&bomb, "body_size_limit: 1MiB"), "body_size_limit").await;
    let plain = target(&["a 1\n"]).await;
    let rig = Rig::start(&job(&plain, "enable_compression: false")).await;
    rig.scrape().await;
    assert_eq!(plain.requests()[0].header("accept-encoding"), "identity");
}

#[tokio::test]
async fn a_connection_that_the_target_closes_between_scrapes_costs_nothing() {
    // Each connection answers once, takes one more request, and is closed without a word.
    let (address, task) = raw_target(|mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\na 1\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let rig = Rig::start(&job_at(address, "")).await;
    for _ in 0..4 {
        assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
    }
    task.abort();
}
