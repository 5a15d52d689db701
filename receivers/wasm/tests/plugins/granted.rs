//! What plugins may do, and what they cannot.

use std::net::TcpListener;

use steadyline_http::testkit::{Backend, Reply};

use crate::common::make;

fn host(backend: &Backend) -> String {
    backend.url().strip_prefix("http://").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_system_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let mut made = make(&format!("{{do: look, address: '{address}'}}"), "");
    assert_eq!(made.complete().await, ["found{n=\"1\"} 0 @60"]);
    assert!(listener.accept().is_err(), "nobody came");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_the_hosts() {
    let line = make("{do: clock}", "").complete().await.remove(0);
    let seen: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(seen) < 120, "{seen} {now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_allowed_are_asked_with_the_hosts_credentials() {
    let backend = Backend::start(|request, _| {
        assert_eq!(request.header("authorization"), "Bearer s3cret");
        Reply::status(203, "")
    })
    .await;
    let rest = format!("http: {{allow: ['{}'], headers: {{authorization: Bearer s3cret}}}}", host(&backend));
    let mut made = make(&format!("{{do: http, url: '{}/x'}}", backend.url()), &rest);
    assert_eq!(made.complete().await, ["status{n=\"1\"} 203 @60"]);
    assert_eq!(backend.requests()[0].line, "GET /x");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_not_asked_and_redirects_lead_nowhere() {
    let forbidden = Backend::start(|_, _| Reply::status(200, "")).await;
    let to = forbidden.url();
    let backend = Backend::start(move |_, _| Reply::status(302, "").with("location", &to)).await;
    let rest = format!("http: {{allow: ['{}']}}", host(&backend));
    let mut made = make(&format!("{{do: http, url: '{}'}}", forbidden.url()), &rest);
    let line = made.complete().await.remove(0);
    assert!(line.contains("denied") && line.contains("http.allow") && line.ends_with("held @60"), "{line}");
    let mut made = make(&format!("{{do: http, url: '{}'}}", backend.url()), &rest);
    assert_eq!(made.complete().await, ["status{n=\"1\"} 302 @60"], "an answer like others");
    let mut made = make(&format!("{{do: http, url: '{}'}}", backend.url()), "");
    assert!(made.complete().await[0].contains("denied"), "unless told so, nobody is asked");
    assert_eq!((forbidden.requests().len(), backend.requests().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_bounds() {
    let backend =
        Backend::start(|_, number| if number == 0 { Reply::status(200, &"x".repeat(2000)) } else { Reply::Hang }).await;
    let allow = format!("allow: ['{}']", host(&backend));
    let config = format!("{{do: http, url: '{}'}}", backend.url());
    let mut made = make(&config, &format!("http: {{{allow}, max_body_bytes: 1KiB, timeout: 200ms}}"));
    assert!(made.complete().await[0].contains("too large"));
    assert!(made.complete().await[0].contains("failed: timeout"));
    let config = format!("{{do: requests, requests: 4, url: '{}'}}", backend.url());
    let mut made = make(&config, &format!("http: {{{allow}, max_requests: 2, timeout: 100ms}}"));
    let lines = made.complete().await;
    let denied = lines.iter().filter(|line| line.contains("max_requests")).count();
    assert_eq!((lines.len(), denied), (4, 2), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_ends_with_the_poll() {
    let backend = Backend::start(|_, _| Reply::Hang).await;
    let rest = format!("http: {{allow: ['{}']}}", host(&backend));
    let mut made = make(&format!("{{do: http, url: '{}'}}", backend.url()), &rest);
    made.start().await.unwrap();
    let error = made.poll_within(std::time::Duration::from_millis(1500)).await.unwrap_err();
    assert_eq!((error.reason, made.failures("timeout")), ("timeout", 1.0), "{error}");
}
