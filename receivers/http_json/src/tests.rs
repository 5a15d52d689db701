//! Documents from a scripted server.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create, create_with, render};
use steadyline_component::{
    Authenticator, Clock, Extension, Header, Instrument, Meter, PassEnd, Payload, PollError, PollOutput, Polling,
    Shutdown, Tick, async_trait,
};
use steadyline_http::testkit::{Backend, Recorded, Reply};

use crate::HttpJsonFactory;

struct Made {
    polling: Polling,
    clock: Clock,
    meter: Meter,
    lines: Vec<String>,
}

const MAPPING: &str = "identity: {queue: name}\nmetrics: [{name: depth, value: {attribute: depth}}]";

/// Adds a header that says that it was there.
struct Token;

#[async_trait]
impl Authenticator for Token {
    async fn authenticate(
        &self,
        head: &mut http::request::Parts,
        _: &Payload,
    ) -> Result<(), steadyline_component::AuthError> {
        head.headers.insert("authorization", http::HeaderValue::from_static("Bearer token"));
        Ok(())
    }
}

impl Extension for Token {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

fn make(yaml: &str) -> Made {
    let (clock, meter) = (Clock::system(), Meter::default());
    let mut extensions = TestExtensions::default();
    extensions.0.insert("token".into(), Arc::new(Token) as Arc<dyn Extension>);
    let polling =
        create_with::<HttpJsonFactory>(yaml, &mut extensions, &clock, &meter).unwrap_or_else(|words| panic!("{words}"));
    Made { polling, clock, meter, lines: Vec::new() }
}

impl Made {
    async fn poll(&mut self) -> Result<PassEnd, PollError> {
        self.poll_within(Duration::from_secs(60)).await
    }

    async fn poll_within(&mut self, limit: Duration) -> Result<PassEnd, PollError> {
        let intake = TestIntake::new(64 << 20);
        let output = PollOutput::of(intake.outputs(&[Signal::Metrics]), Header::default());
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = self.clock.now().mono + limit;
        let tick = Tick { epoch: 1, time: 60_000_000_000, deadline, last_complete: None, shutdown };
        let end = self.polling.poller.poll(&tick, &output).await;
        self.lines = intake.take().iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect();
        end
    }

    async fn complete(&mut self) -> Vec<String> {
        assert_eq!(self.poll().await.unwrap(), PassEnd::Complete);
        self.lines.clone()
    }

    fn counted(&self, name: &str) -> f64 {
        self.meter.read().iter().filter(|one: &&Arc<Instrument>| one.name == name).map(|one| one.value()).sum()
    }
}

async fn server(script: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static) -> Backend {
    Backend::start(script).await
}

const TWO: &str = r#"{"data": {"queues": [{"name": "a", "depth": 3}, {"name": "b", "depth": "4"}]}}"#;

#[tokio::test]
async fn items_become_points() {
    let backend = server(|_, _| Reply::status(200, TWO)).await;
    let yaml = format!(
        "endpoint: {}/queues\nauth: {{authenticator: token}}\nheaders: {{x-team: blue}}\nitems: data.queues\nresource: {{env: dev}}\n\
         aggregates: [{{name: queues, op: count}}]\n{MAPPING}",
        backend.url()
    );
    let mut made = make(&yaml);
    let expected = [
        "resource{env=\"dev\"}",
        "depth{queue=\"a\"} 3 @60",
        "depth{queue=\"b\"} 4 @60",
        "resource{env=\"dev\"}",
        "queues 2 @60",
    ];
    assert_eq!(made.complete().await, expected);
    let request = &backend.requests()[0];
    assert_eq!((request.line.as_str(), request.header("authorization")), ("GET /queues", "Bearer token"));
    assert_eq!((request.header("accept"), request.header("x-team")), ("application/json", "blue"));
    assert_eq!((made.counted("http_json_items"), made.counted("http_json_pages")), (2.0, 1.0));
    assert_eq!(made.polling.identity.iter().map(|key| &**key).collect::<Vec<_>>(), ["queue"]);
}

#[tokio::test]
async fn entries_of_an_object_by_post() {
    let backend = server(|request, _| {
        assert_eq!((request.line.as_str(), &request.body[..]), ("POST /", &b"{\"all\": true}"[..]));
        assert_eq!(request.header("content-type"), "application/json");
        Reply::status(200, r#"{"a": {"depth": 1}, "b": {"depth": null}, "c": {"other": 1}}"#)
    })
    .await;
    let yaml =
        format!("endpoint: {}\nmethod: post\nbody: '{{\"all\": true}}'\nkey_attribute: name\n{MAPPING}", backend.url());
    let expected = ["depth{queue=\"a\"} 1 @60", "depth{queue=\"b\"} held @60", "depth{queue=\"c\"} held @60"];
    assert_eq!(make(&yaml).complete().await, expected);
}

fn page(name: &str, next: &str) -> String {
    format!(r#"{{"items": [{{"name": "{name}", "depth": 1}}], "next": {next}}}"#)
}

const THREE: [&str; 3] = ["depth{queue=\"a\"} 1 @60", "depth{queue=\"b\"} 1 @60", "depth{queue=\"c\"} 1 @60"];

#[tokio::test]
async fn pages_by_link() {
    let backend = server(|_, number| {
        Reply::status(
            200,
            &match number {
                0 => page("a", "\"?page=2\""),
                1 => page("b", "\"/list?page=3\""),
                _ => page("c", "null"),
            },
        )
    })
    .await;
    let yaml = format!("endpoint: {}/list\nitems: items\npagination: {{next: next}}\n{MAPPING}", backend.url());
    assert_eq!(make(&yaml).complete().await, THREE);
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn pages_by_cursor_and_by_header() {
    let backend = server(|_, number| {
        Reply::status(
            200,
            &match number {
                0 => page("a", "\"c 1\""),
                1 => page("b", "2"),
                _ => page("c", "\"\""),
            },
        )
    })
    .await;
    let yaml = format!(
        "endpoint: {}/list?size=1\nitems: items\npagination: {{cursor: next, parameter: after}}\n{MAPPING}",
        backend.url()
    );
    assert_eq!(make(&yaml).complete().await, THREE);
    for (link, reads_all) in [("</list?p=0>; rel=first, </list?p=N>; rel=\"next\"", true), ("</same>; rel=next", false)]
    {
        let backend = server(move |_, number| {
            let reply = Reply::status(200, &page(["a", "b", "c"][number], "0"));
            if number < 2 { reply.with("link", &link.replace('N', &number.to_string())) } else { reply }
        })
        .await;
        let yaml =
            format!("endpoint: {}/list\nitems: items\npagination: {{link_header: true}}\n{MAPPING}", backend.url());
        let mut made = make(&yaml);
        if reads_all {
            assert_eq!(made.complete().await, THREE);
        } else {
            assert_eq!(made.poll().await.unwrap_err().reason, "repeated_page", "it leads to itself");
        }
    }
}

#[tokio::test]
async fn pages_have_an_end() {
    let backend = server(|_, number| Reply::status(200, &page("a", &format!("\"?page={number}\"")))).await;
    let yaml =
        format!("endpoint: {}\nitems: items\npagination: {{next: next, max_pages: 5}}\n{MAPPING}", backend.url());
    let error = make(&yaml).poll().await.unwrap_err();
    assert!(error.reason == "too_many_pages" && error.message.contains("max_pages"), "{error}");
    assert_eq!(backend.requests().len(), 5);
    let other = server(|_, _| Reply::status(200, &page("a", "\"http://127.0.0.1:1/steal\""))).await;
    let yaml = format!("endpoint: {}\nitems: items\npagination: {{next: next}}\n{MAPPING}", other.url());
    assert!(make(&yaml).poll().await.unwrap_err().message.contains("another host"));
}

#[tokio::test]
async fn what_has_not_changed_is_read_again_from_memory() {
    let backend = server(|request, number| match (number, request.header("if-none-match")) {
        (0, "-") => Reply::status(200, TWO).with("etag", "\"v1\""),
        (1 | 2, "\"v1\"") => Reply::status(304, ""),
        (3, "\"v1\"") => Reply::status(200, r#"{"data": {"queues": []}}"#),
        (4, "-") => Reply::status(200, TWO),
        (number, header) => panic!("request {number} with {header}"),
    })
    .await;
    let yaml = format!("endpoint: {}\nitems: data.queues\nconditional: true\n{MAPPING}", backend.url());
    let mut made = make(&yaml);
    let first = made.complete().await;
    assert_eq!(first.len(), 2);
    assert_eq!((made.complete().await, made.complete().await), (first.clone(), first.clone()));
    assert!(made.complete().await.is_empty());
    assert_eq!(made.complete().await, first);
    assert_eq!(made.counted("http_json_not_modified"), 2.0);
}

#[tokio::test]
async fn failures_say_what_failed() {
    let cases: [(Reply, &str, &str); 9] = [
        (Reply::status(500, "out of order"), "status", "out of order"),
        (Reply::status(401, "who are you"), "access_denied", "`auth`"),
        (Reply::status(429, ""), "throttled", "less often"),
        (Reply::status(302, "").with("location", "/x"), "redirected", "not followed"),
        (Reply::status(304, ""), "redirected", "304"),
        (Reply::status(200, "<html>"), "not_understood", "line 1, column 1"),
        (Reply::status(200, "{}"), "not_understood", "nothing at `data.queues`"),
        (Reply::status(200, &"x".repeat(3000)), "too_large", "max_body_bytes"),
        (Reply::CloseMidResponse, "transport", ""),
    ];
    for (reply, reason, word) in cases {
        let backend = server(move |_, _| reply.clone()).await;
        let yaml =
            format!("endpoint: {}?key=s3cret\nitems: data.queues\nmax_body_bytes: 2KiB\n{MAPPING}", backend.url());
        let mut made = make(&yaml);
        let error = made.poll().await.unwrap_err();
        assert!(error.reason == reason && error.message.contains(word), "{reason}: {error:?}");
        assert!(!error.message.contains("s3cret"), "{error}");
        assert_eq!(made.counted("http_json_poll_errors"), 1.0);
    }
    let nobody = format!("endpoint: {}\n{MAPPING}", steadyline_http::testkit::nobody().await);
    assert_eq!(make(&nobody).poll().await.unwrap_err().reason, "transport");
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let backend = server(|_, _| Reply::Hang).await;
    let yaml = format!("endpoint: {}\nrequest_timeout: 100ms\n{MAPPING}", backend.url());
    assert_eq!(make(&yaml).poll().await.unwrap_err().reason, "timeout");
    let yaml = format!("endpoint: {}\n{MAPPING}", backend.url());
    let error = make(&yaml).poll_within(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.reason == "timeout" && error.message.contains("pages"), "{error}");
}

#[tokio::test]
async fn items_that_cannot_be_mapped_are_held_or_counted() {
    let backend = server(|_, _| {
        Reply::status(200, r#"[{"name": "a", "depth": "many"}, {"depth": 1}, {"name": "b", "depth": 2}]"#)
    })
    .await;
    let mut made = make(&format!("endpoint: {}\n{MAPPING}", backend.url()));
    assert_eq!(made.complete().await, ["depth{queue=\"a\"} held @60", "depth{queue=\"b\"} 2 @60"]);
    assert_eq!(made.counted("http_json_skipped"), 2.0);
}

#[tokio::test]
async fn a_document_may_be_replayed_and_checked() {
    let backend = server(|_, _| Reply::status(200, TWO)).await;
    let mut made = make(&format!("endpoint: {}\nitems: /data/queues\n{MAPPING}", backend.url()));
    let intake = TestIntake::new(1 << 20);
    let output = PollOutput::of(intake.outputs(&[Signal::Metrics]), Header::default());
    let (_trigger, shutdown) = Shutdown::new();
    let tick =
        Tick { epoch: 1, time: 60_000_000_000, deadline: Duration::from_secs(60), last_complete: None, shutdown };
    let document = br#"{"data": {"queues": [{"name": "z", "depth": 9}]}}"#;
    made.polling.poller.replay(document, &tick, &output).await.unwrap();
    let lines: Vec<String> = intake.take().iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect();
    assert_eq!(lines, ["depth{queue=\"z\"} 9 @60"]);
    assert!(made.polling.poller.replay(b"nonsense", &tick, &output).await.is_err());
    let rows = made.polling.poller.check().await;
    assert_eq!((rows[0].verdict, rows[0].detail.as_str()), (steadyline_component::Verdict::Pass, "2 items"));
}

#[test]
fn bad_config_is_refused_in_words() {
    let wrong = |yaml: &str| create::<HttpJsonFactory>(&format!("{yaml}\n{MAPPING}")).err().unwrap();
    for (yaml, word) in [
        ("items: x", "endpoint"),
        ("endpoint: ftp://host/x", "http://"),
        ("endpoint: http://user:pw@host/", "use `auth`"),
        ("endpoint: http://host/\nitems: a..b", "JSON pointer"),
        ("endpoint: http://host/\nbody: x", "post"),
        ("endpoint: http://host/\npagination: {next: a, link_header: true}", "one of `next`"),
        ("endpoint: http://host/\npagination: {cursor: a}", "go together"),
        ("endpoint: http://host/\nconditional: true\npagination: {next: a}", "without pages"),
        ("endpoint: http://host/\ntimeout: 2m", "at most `collection_interval`"),
        ("endpoint: http://host/\nauth: {authenticator: nobody}", "nobody"),
        ("endpoint: http://host/\ntls: {ca_pem: x}", "PEM"),
        ("endpoint: http://host/\nwhere: \"1 +\"", "where"),
        ("endpoint: http://host/\nurl: x", "url"),
    ] {
        let words = wrong(yaml);
        assert!(words.contains(word), "{yaml}: {words}");
    }
    assert!(create::<HttpJsonFactory>("endpoint: http://host/").err().unwrap().contains("metric"));
}
