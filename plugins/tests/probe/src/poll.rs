//! The probe as a receiver.

use std::io::{Read, Write};

use crate::exports::steadyline::plugin::poller::{Data, Guest, Page, Progress, Tick};
use crate::steadyline::plugin::types::{Attribute, Kind, Metric, Number, Point, ResourceMetrics, Value};
use crate::steadyline::plugin::{http, log, state};
use crate::{Probe, bad, begin, count, number, word};

impl Guest for Probe {
    fn start(config: String) -> Result<(), String> {
        begin(config)
    }

    fn poll(tick: Tick) -> Result<Page, String> {
        let calls = count();
        let what = word("do");
        if word("once") == "" || calls == number("at").max(1) {
            bad::be(what);
        }
        let metrics = match what {
            "points" => points(number("points")),
            "kinds" => kinds(),
            "http" => vec![gauge("status", ask(word("url")), calls)],
            "ask" => return Err(ask(word("url")).err().unwrap_or_default()),
            "requests" => (0..number("requests")).map(|n| gauge("status", ask(word("url")), n)).collect(),
            "look" => vec![gauge("found", Ok(look()), calls)],
            "clock" => vec![gauge("now", Ok(now()), calls)],
            "state" | "forget" => {
                let seen = state::get("seen").map_or(0, |bytes| bytes[0]) + 1;
                state::set("seen", &[seen]).map_err(|words| format!("state: {words}"))?;
                assert!(what == "state" || calls < 2, "with what was set");
                vec![gauge("seen", Ok(seen.into()), calls)]
            }
            "fill" => {
                let words = state::set("much", &vec![0; 4 << 20]).expect_err("there is a limit");
                return Err(words);
            }
            "calls" => vec![gauge("calls", Ok(calls as i64), calls)],
            "error" => return Err("the source is away\nfor good".into()),
            "no_text" => return Err(bad::no_text()),
            "no_text_name" => vec![metric(&bad::no_text(), Kind::Gauge, vec![])],
            "no_name" => vec![metric("", Kind::Gauge, vec![])],
            "no_key" => vec![metric("m", Kind::Gauge, vec![point(&[("", "x")], Number::Integer(1))])],
            "other" => vec![metric("m", Kind::Other, vec![])],
            "flood" => return Ok(page(vec![Data::OtlpLogs(vec![0; number("bytes") as usize])])),
            "flood_records" => points(2_000_000),
            "flood_log" => {
                log::write(log::Level::Info, &"x".repeat(number("bytes") as usize));
                vec![]
            }
            "garbage" => return Ok(page(vec![Data::OtlpMetrics(vec![0xff; 100])])),
            "garbage_logs" => return Ok(page(vec![Data::OtlpLogs(vec![0x0a, 0x7f])])),
            "logs" => return Ok(page(vec![Data::OtlpLogs(one_log())])),
            "pages" => {
                let progress = if tick.page < 2 { Progress::More } else { Progress::Partial };
                let data = vec![Data::Metrics(of(vec![gauge("page", Ok(tick.page.into()), calls)]))];
                return Ok(Page { data, progress });
            }
            "more" => return Ok(Page { data: vec![], progress: Progress::More }),
            _ => vec![],
        };
        Ok(page(vec![Data::Metrics(of(metrics))]))
    }
}

fn page(data: Vec<Data>) -> Page {
    Page { data, progress: Progress::Complete }
}

fn of(metrics: Vec<Metric>) -> Vec<ResourceMetrics> {
    vec![ResourceMetrics { resource: vec![], metrics }]
}

fn metric(name: &str, kind: Kind, points: Vec<Point>) -> Metric {
    Metric { name: name.into(), unit: String::new(), description: String::new(), kind, points }
}

fn point(attributes: &[(&str, &str)], value: Number) -> Point {
    let attribute = |(key, value): &(&str, &str)| Attribute { key: (*key).into(), value: Value::Text((*value).into()) };
    Point { attributes: attributes.iter().map(attribute).collect(), value, time: 0, start: 0 }
}

/// A number, or in its place a point that says why there is none.
fn gauge(name: &str, value: Result<i64, String>, n: u64) -> Metric {
    let point = match value {
        Ok(value) => point(&[("n", &n.to_string())], Number::Integer(value)),
        Err(words) => point(&[("error", &words)], Number::Unknown),
    };
    metric(name, Kind::Gauge, vec![point])
}

fn points(count: u64) -> Vec<Metric> {
    let attribute = |key: &str, value: String| Attribute { key: key.into(), value: Value::Text(value) };
    let point = |n: u64| Point {
        attributes: vec![
            attribute("account_id", format!("account-{n:08}")),
            attribute("env", "production".into()),
            attribute("region", "eu-central-1".into()),
            attribute("service", "onboarding".into()),
            attribute("status", "active".into()),
        ],
        value: Number::Double(n as f64),
        time: 0,
        start: 0,
    };
    vec![metric("completed_steps", Kind::Gauge, (0..count).map(point).collect())]
}

fn kinds() -> Vec<Metric> {
    let numbers = [Number::Integer(3), Number::Double(1.5), Number::Unknown, Number::Ended];
    let named = |n: usize, number: Number| point(&[("n", ["a", "b", "c", "d"][n])], number);
    let mut all: Vec<Metric> =
        [("gauge", Kind::Gauge), ("counter", Kind::Counter), ("updown", Kind::UpDown), ("delta", Kind::Delta)]
            .into_iter()
            .map(|(name, kind)| metric(name, kind, vec![point(&[], Number::Integer(1))]))
            .collect();
    all.push(metric(
        "numbers",
        Kind::Gauge,
        numbers.into_iter().enumerate().map(|(n, number)| named(n, number)).collect(),
    ));
    let values = vec![
        Attribute { key: "bool".into(), value: Value::Boolean(true) },
        Attribute { key: "double".into(), value: Value::Double(0.5) },
        Attribute { key: "int".into(), value: Value::Integer(-7) },
    ];
    let dated = Point { attributes: values, value: Number::Integer(1), time: 5_000_000_000, start: 1_000_000_000 };
    all.push(metric("dated", Kind::Counter, vec![dated]));
    all
}

fn ask(url: &str) -> Result<i64, String> {
    let request = http::Request { method: "GET".into(), url: url.into(), headers: vec![], body: vec![] };
    match http::send(&request) {
        Ok(response) => Ok(response.status.into()),
        Err(http::Error::Denied(words)) => Err(format!("denied: {words}")),
        Err(http::Error::Invalid(words)) => Err(format!("invalid: {words}")),
        Err(http::Error::TooLarge) => Err("too large".into()),
        Err(http::Error::Failed(words)) => Err(format!("failed: {words}")),
    }
}

/// How much of the system around can be seen: nothing.
fn look() -> i64 {
    let mut found = 0;
    found += i64::from(std::fs::read_dir("/").is_ok());
    found += i64::from(std::fs::read("/etc/hostname").is_ok());
    found += i64::from(std::fs::write("here", "x").is_ok());
    found += std::env::vars().count() as i64;
    found += std::env::args().count() as i64;
    found += i64::from(std::net::TcpStream::connect(word("address")).is_ok());
    found += i64::from(std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    found += i64::from(std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    found += std::io::stdin().read(&mut [0; 8]).unwrap_or(0) as i64;
    let _ = std::io::stdout().write_all(b"looked around\n");
    found
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// An export request of one log record: resource, scope, record.
fn one_log() -> Vec<u8> {
    vec![0x0a, 0x06, 0x12, 0x04, 0x12, 0x02, 0x10, 0x09]
}
