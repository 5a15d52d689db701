//! A poll of a whole table: the real poller and the real AWS SDK against pages that were rendered before.
//! `cargo bench -p steadyline-benches --bench poll -- --items 100000 --rounds 5`
//!
//! This process is the table; each figure comes from a process of its own that does nothing but poll, so that serving is
//! not counted. Items have 500 bytes as DynamoDB counts them, and arrive whole, as they do from an index.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use steadyline_benches::args;
use steadyline_benches::meter::resident_bytes;
use steadyline_component::receiver::Intake;
use steadyline_component::testkit::{TestExtensions, create_with};
use steadyline_component::{
    Batch, Budget, Clock, Header, Meter, Output, PassEnd, PollOutput, Polling, SendError, Shutdown, Tick, Until,
    async_trait,
};
use steadyline_receiver_dynamodb::DynamoDb;

/// What an item may cost the client on a quiet core, in microseconds of CPU.
const GOAL: f64 = 9.0;
/// By how much more a poll of the largest table may grow the process than one of a tenth of it: some pages, not the table.
const MAX_GROWTH: u64 = 8 << 20;
/// How many processes each mapping is measured in.
const TURNS: usize = 3;
/// Items of a page.
const PAGE: usize = 1000;
/// The size of an item as DynamoDB counts it: names and values.
const ITEM_BYTES: usize = 500;
const STEPS: [&str; 8] = [
    "pixel_installed",
    "pixel_receiving",
    "pixel_verified",
    "pixel_complete",
    "index_created",
    "index_associated",
    "docs_added",
    "pixel_customized",
];

fn main() {
    match std::env::args().skip_while(|arg| arg != "--poll-at").nth(1) {
        Some(url) => println!("{}", poll_here(&url)),
        None => measure_all(),
    }
}

fn measure_all() {
    let (items, rounds) = (args::number("items", 100_000).next_multiple_of(PAGE), args::number("rounds", 5));
    let table = Table::render(items);
    println!(
        "poll: {items} items of {ITEM_BYTES} bytes ({} as JSON), {PAGE} a page, 2 metrics; mean and best of {} passes",
        table.bytes() / items,
        TURNS * rounds
    );
    let url = table.serve();
    println!("{:34} {:>12} {:>12} {:>12} {:>12}", "client", "us CPU/item", "best pass", "own thread", "us wall/item");
    // In turns, so that a busy moment of the machine does not fall on one of them alone.
    let mut costs = Mapping::ALL.map(|_| Vec::new());
    for _ in 0..TURNS {
        for (mapping, costs) in Mapping::ALL.into_iter().zip(&mut costs) {
            costs.push(poll_elsewhere(&url, mapping, items, rounds));
        }
    }
    let best: Vec<f64> = Mapping::ALL.iter().zip(&costs).map(|(mapping, costs)| row(*mapping, costs)).collect();
    let own = costs[0].iter().map(|cost| cost.own / cost.mean).sum::<f64>() / TURNS as f64;
    println!(
        "own thread: mapping, building batches, freeing items; the other {:.0} % is the SDK's",
        (1.0 - own) * 100.0
    );
    println!("goal {GOAL} us/item: {}", if best[0] <= GOAL { "met" } else { "MISSED" });
    report_memory(&url, items);
}

/// Prints what a mapping costs; the best pass.
fn row(mapping: Mapping, costs: &[Cost]) -> f64 {
    let mean = |of: fn(&Cost) -> f64| costs.iter().map(of).sum::<f64>() / costs.len() as f64;
    let best = costs.iter().map(|cost| cost.best).fold(f64::INFINITY, f64::min);
    let (cpu, own, wall) = (mean(|cost| cost.mean), mean(|cost| cost.own), mean(|cost| cost.wall));
    println!("{:34} {cpu:>12.2} {best:>12.2} {own:>12.2} {wall:>12.2}", mapping.title());
    best
}

/// The first pass of a process over a hundredth, a tenth and the whole of the table.
fn report_memory(url: &str, items: usize) {
    let sizes = [items / 100, items / 10, items].map(|items| items.next_multiple_of(PAGE));
    let peaks = sizes.map(|items| poll_elsewhere(url, Mapping::Declarative, items, 0).grown);
    for (items, grown) in sizes.iter().zip(peaks) {
        println!("resident memory grows by {:6.1} MiB at most in a first poll of {items} items", mib(grown));
    }
    let with_table = peaks[2].saturating_sub(peaks[1]);
    assert!(with_table <= MAX_GROWTH, "a larger table takes {:.1} MiB more", mib(with_table));
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What is made of the items.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mapping {
    /// The worked example.
    Declarative,
    /// Every item is left out: what remains is the SDK.
    Nothing,
    /// The same as `Declarative`, with the values as expressions that are not run natively.
    Cel,
    /// The same as `Declarative`, where the identity does not repeat the key, so that duplicates are looked for.
    Duplicates,
}

impl Mapping {
    const ALL: [Mapping; 4] = [Mapping::Declarative, Mapping::Nothing, Mapping::Cel, Mapping::Duplicates];

    fn title(self) -> &'static str {
        match self {
            Mapping::Declarative => "declarative mapping",
            Mapping::Nothing => "no mapping",
            Mapping::Cel => "CEL",
            Mapping::Duplicates => "declarative, duplicates looked for",
        }
    }

    fn yaml(self) -> String {
        let filter = match self {
            Mapping::Nothing => "\"false\"",
            _ => r#"status in ["visited", "registered", "submitted", "completed"] || size(completed_steps) > 0"#,
        };
        let (completed, total) = match self {
            Mapping::Cel => (
                "'completed_steps.filter(step, step in lists.steps).size()'".to_owned(),
                "'lists.steps.map(step, step).size()'".to_owned(),
            ),
            _ => ("{size: completed_steps}".to_owned(), "{count_of: steps}".to_owned()),
        };
        let identity = if self == Mapping::Duplicates { "visible_account_id" } else { "system_account_id" };
        format!(
            "index: gsi1\nkey: [system_account_id]\nwhere: {filter}\nidentity: {{account_id: {identity}}}\n\
             resource: {{env: dev}}\nlists: {{steps: [{}]}}\nmetrics:\n\
             - {{name: completed_steps, unit: '{{step}}', value: {completed}}}\n\
             - {{name: total_steps, unit: '{{step}}', value: {total}}}\n",
            STEPS.join(", ")
        )
    }

    /// The points of a pass and the sum of their values.
    fn expected(self, items: usize) -> Sums {
        match self {
            Mapping::Nothing => Sums::default(),
            _ => Sums {
                points: 2 * items as u64,
                completed: (0..items).map(|item| completed(item).len() as u64).sum(),
                total: (items * STEPS.len()) as u64,
            },
        }
    }
}

/// What a process that polled says of itself.
struct Cost {
    /// Microseconds of CPU of the process for each item.
    mean: f64,
    /// The same in the best pass.
    best: f64,
    /// The part of the thread that polls; requests and answers are other threads' work.
    own: f64,
    wall: f64,
    /// By how many bytes the first pass grew the process at most.
    grown: u64,
}

fn poll_elsewhere(url: &str, mapping: Mapping, items: usize, rounds: usize) -> Cost {
    let at = Mapping::ALL.iter().position(|known| *known == mapping).expect("it is one of all");
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--poll-at", url, "--mapping", &at.to_string()])
        .args(["--items", &items.to_string(), "--rounds", &rounds.to_string()])
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>().expect("figures are numbers"));
    let mut next = || numbers.next().expect("there are five figures");
    Cost { mean: next(), best: next(), own: next(), wall: next(), grown: next() as u64 }
}

/// Polls; the five figures of [`Cost`]. One pass warms up.
fn poll_here(url: &str) -> String {
    let (items, rounds) = (args::number("items", 0), args::number("rounds", 0));
    let mapping = Mapping::ALL[args::number("mapping", 0)];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let mut poller = Poll::new(url, mapping, items);
    let before = resident_bytes();
    runtime.block_on(poller.pass());
    let grown = peak_bytes().saturating_sub(before);
    let (mut all, mut best) = (Duration::ZERO, Duration::MAX);
    let (own, start) = (cpu(ClockId::ThreadCPUTime), Instant::now());
    for _ in 0..rounds {
        let before = cpu(ClockId::ProcessCPUTime);
        runtime.block_on(poller.pass());
        let cost = cpu(ClockId::ProcessCPUTime) - before;
        all += cost;
        best = best.min(cost);
    }
    let (own, wall) = (cpu(ClockId::ThreadCPUTime) - own, start.elapsed());
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / items as f64;
    let rounds = rounds.max(1) as f64;
    let [all, own, wall] = [all, own, wall].map(|time| micros(time) / rounds);
    format!("{all} {} {own} {wall} {grown}", micros(best))
}

/// A poller, and what it must come to.
struct Poll {
    polling: Polling,
    clock: Clock,
    sink: Arc<Sink>,
    epoch: u64,
    expected: Sums,
}

impl Poll {
    fn new(url: &str, mapping: Mapping, items: usize) -> Poll {
        let clock = Clock::system();
        let yaml = format!(
            "table: table-{items}\nendpoint: {url}\nregion: us-east-1\naccess_key_id: bench\nsecret_access_key: bench\n{}",
            mapping.yaml()
        );
        let polling = create_with::<DynamoDb>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default())
            .unwrap_or_else(|text| panic!("{text}"));
        let sink = Arc::new(Sink { budget: Budget::new(256 << 20), sums: Mutex::default() });
        Poll { polling, clock, sink, epoch: 0, expected: mapping.expected(items) }
    }

    async fn pass(&mut self) {
        self.epoch += 1;
        let now = self.clock.now();
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = now.mono + Duration::from_secs(300);
        let tick = Tick { epoch: self.epoch, time: now.unix_nanos, deadline, last_complete: None, shutdown };
        let output = PollOutput::new(Output::new(self.sink.clone()), Header::default());
        let end = self.polling.poller.poll(&tick, &output).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(end, PassEnd::Complete);
        let sums = std::mem::take(&mut *self.sink.sums.lock().expect("nothing panics while it adds"));
        assert_eq!(sums, self.expected, "every item gave its points");
    }
}

/// What came of the mapping's metrics.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    points: u64,
    completed: u64,
    total: u64,
}

/// Adds up what the poller sends, and lets go of it.
struct Sink {
    budget: Budget,
    sums: Mutex<Sums>,
}

#[async_trait]
impl Intake for Sink {
    async fn send(&self, batch: Batch, _: Until) -> Result<(), SendError> {
        let metrics = batch.as_metrics().expect("pollers send metrics");
        let mut sums = self.sums.lock().expect("nothing panics while it adds");
        for (_, _, metric) in metrics.iter() {
            let points = metrics.points_of(metric);
            let sum = points.iter().filter_map(|point| point.as_f64()).sum::<f64>() as u64;
            match metrics.text(metric.name) {
                "completed_steps" => sums.completed += sum,
                "total_steps" => sums.total += sum,
                _ => continue,
            }
            sums.points += points.len() as u64;
        }
        Ok(())
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn refused(&self, reason: &'static str, _: u64) {
        panic!("a poller refuses nothing: {reason}");
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The most memory that was ever resident, as Linux tells it; 0 elsewhere.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn completed(item: usize) -> &'static [&'static str] {
    &STEPS[..1 + item % STEPS.len()]
}

/// The pages of a table, as JSON without what follows the items.
struct Table {
    pages: Vec<Vec<u8>>,
}

impl Table {
    fn render(items: usize) -> Table {
        let page = |page: usize| {
            let items: Vec<String> = (page * PAGE..(page + 1) * PAGE).map(item).collect();
            format!("{{\"Count\":{PAGE},\"ScannedCount\":{PAGE},\"Items\":[{}]", items.join(",")).into_bytes()
        };
        Table { pages: (0..items / PAGE).map(page).collect() }
    }

    fn bytes(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    /// Answers on a thread for each connection until the process ends; the URL.
    fn serve(self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let table = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let table = Arc::clone(&table);
                // A client that goes away ends its connection.
                std::thread::spawn(move || table.answer_all(&stream));
            }
        });
        url
    }

    fn answer_all(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = (BufReader::new(stream), stream);
        while let Some(request) = read_body(&mut reader)? {
            let page = number_after(&request, "\"page ").map_or(0, |last| last + 1);
            let pages = number_after(&request, "\"table-").unwrap_or_default() / PAGE;
            let tail = tail(page, page + 1 == pages);
            let length = self.pages[page].len() + tail.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: {page}\r\nContent-Length: {length}\r\n\r\n"
            );
            writer.write_all(head.as_bytes())?;
            writer.write_all(&self.pages[page])?;
            writer.write_all(tail.as_bytes())?;
        }
        Ok(())
    }
}

/// What follows the items of a page: what it cost, and the key to go on from.
fn tail(page: usize, is_last: bool) -> String {
    let next = match is_last {
        true => String::new(),
        false => format!(
            ",\"LastEvaluatedKey\":{{\"system_account_id\":{{\"S\":\"acct-{page:012}\"}},\"gsi1pk\":{{\"S\":\"ACCOUNT\"}},\"gsi1sk\":{{\"S\":\"page {page}\"}}}}"
        ),
    };
    format!(",\"ConsumedCapacity\":{{\"TableName\":\"table\",\"CapacityUnits\":62.5}}{next}}}")
}

fn item(number: usize) -> String {
    let steps: Vec<String> = completed(number).iter().map(|step| format!("\"{step}\"")).collect();
    let status = ["visited", "registered", "submitted", "completed"][number % 4];
    let text = |name: &'static str, value: String| (name, "S", format!("\"{value}\""));
    let mut attributes = vec![
        text("system_account_id", format!("acct-{number:012}")),
        ("visible_account_id", "N", format!("\"{}\"", 10_000 + number)),
        text("account_name", format!("Harbour and Pine {number}")),
        text("status", status.to_owned()),
        ("completed_steps", "SS", format!("[{}]", steps.join(","))),
        text("contact_email", format!("ops@harbour{number}.example")),
        text("created_at", "2026-03-02T09:14:07Z".to_owned()),
        text("updated_at", "2026-05-11T17:40:51Z".to_owned()),
        text("gsi1pk", "ACCOUNT".to_owned()),
        text("gsi1sk", format!("2026-03-02#acct-{number:012}")),
    ];
    let quotes = |value: &String| value.matches(['"', ',', '[', ']']).count();
    let size: usize = attributes.iter().map(|(name, _, value)| name.len() + value.len() - quotes(value)).sum();
    attributes.push(text("notes", "n".repeat(ITEM_BYTES - size - "notes".len())));
    let attributes: Vec<String> =
        attributes.iter().map(|(name, kind, value)| format!("\"{name}\":{{\"{kind}\":{value}}}")).collect();
    format!("{{{}}}", attributes.join(","))
}

/// The body of the next request; `None` at the end of the connection.
fn read_body(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<String>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or_default();
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

fn number_after(text: &str, mark: &str) -> Option<usize> {
    let rest = &text[text.find(mark)? + mark.len()..];
    rest[..rest.find('"')?].parse().ok()
}
