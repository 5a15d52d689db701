//! Messages a second and processor time a message: through the SDK against the fake, and of our own alone.
//!
//! `cargo run --release -p steadyline-receiver-awssqs --features testkit --example throughput [messages]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with};
use steadyline_component::{Board, Clock, Host, Meter, Receiver, Shutdown};
use steadyline_receiver_awssqs::AwsSqs;
use steadyline_receiver_awssqs::testkit::FakeSqs;

const TYPES: &str = "
region: us-east-1
access_key_id: AKID
secret_access_key: secret
single_consumer: true
temporality: delta
pollers: 16
spans: none
types:
  request:
    required: {account: string, index: string, status: string, durationMs: number}
    attributes: {account: account, index: index, status: status}
    metrics:
      - {name: search_requests, type: sum}
      - {name: search_duration, type: histogram, value: durationMs / 1000, buckets: [0.01, 0.1, 1, 10]}
      - {name: search_last, value: durationMs}
";

fn body(number: usize) -> String {
    json!({"type": "request", "account": format!("a{}", number % 100), "index": "i", "status": "ok", "durationMs": number % 500})
        .to_string()
}

/// The processor time of this thread.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn made(url: &str) -> (Box<dyn Receiver>, Host, Shutdown, steadyline_component::receiver::ShutdownTrigger) {
    let clock = Clock::system();
    let yaml = format!("queue_url: {url}\n{TYPES}");
    let receiver = create_with::<AwsSqs>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default()).unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let host = Host { clock: clock.clone(), board: Board::new(clock), shutdown: shutdown.clone() };
    (receiver, host, shutdown, trigger)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn main() {
    let messages: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200_000);
    own(messages);
    with_sdk(messages);
}

/// Reading, mapping, counting and building batches, without SQS.
fn own(messages: usize) {
    let events: Vec<Vec<u8>> = (0..messages / 10)
        .map(|batch| {
            let record = |number: usize| {
                json!({"messageId": format!("m{number}"), "body": body(number), "eventSourceARN": "arn:aws:sqs:us-east-1:1:events",
                    "attributes": {"SentTimestamp": "1790000000000", "ApproximateReceiveCount": "1"}})
            };
            let records: Vec<_> = (batch * 10..batch * 10 + 10).map(record).collect();
            json!({ "Records": records }).to_string().into_bytes()
        })
        .collect();
    runtime().block_on(async {
        let (mut receiver, host, _, _trigger) = made("https://sqs.us-east-1.amazonaws.com/1/events");
        let intake = TestIntake::new(1 << 30);
        let outputs = intake.outputs(&[Signal::Metrics]);
        let began = processor();
        for event in &events {
            receiver.invoke(event, &outputs, &host).await.unwrap().unwrap();
            drop(intake.take());
        }
        let each = (processor() - began).as_secs_f64() * 1e6 / messages as f64;
        println!("of our own: {each:.2} us of processor a message, in batches of ten");
    });
}

/// Everything, on one thread; the fake has another.
fn with_sdk(messages: usize) {
    let (ready, url) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let fake = FakeSqs::start().await;
            let url = fake.queue("events", Duration::from_secs(600));
            (0..messages).for_each(|number| drop(fake.send("events", body(number))));
            ready.send((url, fake)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let (url, fake) = url.recv().unwrap();
    runtime().block_on(async {
        let (mut receiver, host, shutdown, trigger) = made(&url);
        receiver.start(&host).await.unwrap();
        let intake = TestIntake::new(1 << 30);
        let outputs = intake.outputs(&[Signal::Metrics]);
        let (began, used) = (Instant::now(), processor());
        let task = tokio::spawn(async move { receiver.run(outputs, shutdown).await.unwrap() });
        while fake.deleted("events").len() < messages {
            drop(intake.take());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (took, used) = (began.elapsed().as_secs_f64(), (processor() - used).as_secs_f64());
        println!(
            "with the SDK: {:.0} messages/s, {:.1} us of processor a message",
            messages as f64 / took,
            used * 1e6 / messages as f64
        );
        trigger.fire();
        task.await.unwrap();
    });
}
