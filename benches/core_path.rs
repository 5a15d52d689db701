//! The core path: OTLP bytes -> batch -> labels -> lastvalue -> remote write bytes with snappy, on one core.
//! `cargo bench -p steadyline-benches --bench core_path -- --series 100000 --rounds 20`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadyline_benches::alloc::Counting;
use steadyline_benches::load::{POINTS, Template, templates};
use steadyline_benches::meter::{Stage, resident_bytes};
use steadyline_benches::{args, remote_write};
use steadyline_component::testkit::create;
use steadyline_component::{Batch, Block, Data, Encoded, Encoder, Exporter, Header, Now, Processor, Tally, Work};
use steadyline_exporter_prometheusremotewrite::PrometheusRemoteWriteFactory;
use steadyline_processor_labels::LabelsFactory;
use steadyline_processor_lastvalue::LastValueFactory;
use steadyline_telemetry::{Limits, Metrics};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds before measuring: the first makes the series, the others find their buffers grown.
const WARM_UP: usize = 3;
/// What the whole path may cost on a quiet core, in microseconds a point.
const GOAL: f64 = 0.4;
/// Allocations of a batch are shared by its points; more than this would be one for each of some points.
const MAX_ALLOCATIONS: f64 = 0.1;
const LABELS: [&str; 6] =
    ["__name__", "account_id", "cloud_region", "consumer_group", "messaging_destination_name", "messaging_system"];

fn main() {
    let (series, rounds) = (args::number("series", 100_000), args::number("rounds", 20));
    let load = templates(series);
    let series = load.len() * POINTS;
    let mut path = Path::new();
    for round in 0..WARM_UP {
        path.round(&load, round);
    }
    let mut costs = Costs::default();
    for round in WARM_UP..WARM_UP + rounds {
        path.round(&load, round);
        costs.add(&path.costs);
    }
    path.check(series, WARM_UP + rounds - 1);
    let limit = limit(&load, &path.blocks, rounds);
    report(&costs, &limit, &path, series, rounds);
}

/// The stages with what they keep.
struct Path {
    labels: Step,
    lastvalue: Step,
    encoder: Box<dyn Encoder>,
    encoded: Tally,
    /// What the last round cost.
    costs: Costs,
    /// What the last round gave.
    blocks: Vec<Block>,
    /// Batches that came to the encoder in the last round.
    batches: usize,
    source: Arc<str>,
}

/// A processor and its books.
struct Step {
    processor: Box<dyn Processor>,
    tally: Tally,
}

#[derive(Default)]
struct Costs {
    decode: Stage,
    labels: Stage,
    lastvalue: Stage,
    encode: Stage,
}

impl Costs {
    fn stages(&self) -> [(&'static str, &Stage); 4] {
        [
            ("OTLP bytes -> batch", &self.decode),
            ("labels", &self.labels),
            ("lastvalue", &self.lastvalue),
            ("remote write, snappy", &self.encode),
        ]
    }

    fn add(&mut self, other: &Costs) {
        self.decode.add(&other.decode);
        self.labels.add(&other.labels);
        self.lastvalue.add(&other.lastvalue);
        self.encode.add(&other.encode);
    }
}

impl Step {
    fn new(processor: Result<Box<dyn Processor>, String>) -> Step {
        let processor = processor.unwrap_or_else(|text| panic!("{text}"));
        Step { processor, tally: Tally::default() }
    }

    /// One call, measured; the books are kept as the engine keeps them.
    fn call(
        &mut self,
        stage: &mut Stage,
        incoming: u64,
        now: Now,
        out: &mut Vec<Batch>,
        call: impl FnOnce(&mut dyn Processor, &mut Work<'_>),
    ) {
        let before = out.len();
        self.tally.incoming(incoming);
        stage.measure(|| call(&mut *self.processor, &mut Work { now, tally: &self.tally, out }));
        self.tally.outgoing(out[before..].iter().map(Batch::items).sum());
    }

    fn check_books(&self) {
        self.tally.set_held(self.processor.held());
        let balance = self.tally.balance();
        assert_eq!(balance.missing(), 0, "conservation: {balance:?}");
        assert!(balance.dropped.is_empty(), "nothing is lost on this path: {balance:?}");
    }
}

impl Path {
    fn new() -> Path {
        let exporter = create::<PrometheusRemoteWriteFactory>(
            "{endpoint: http://127.0.0.1:9/api/v1/write, disable_scope_info: true}",
        );
        let Exporter::Queued { encoder, .. } = exporter.unwrap_or_else(|text| panic!("{text}")) else {
            panic!("remote write goes through a queue")
        };
        Path {
            labels: Step::new(create::<LabelsFactory>("{translation_strategy: UnderscoreEscapingWithoutSuffixes}")),
            lastvalue: Step::new(create::<LastValueFactory>("{}")),
            encoder,
            encoded: Tally::default(),
            costs: Costs::default(),
            blocks: Vec::new(),
            batches: 0,
            source: Arc::from("otlp"),
        }
    }

    /// Every series once, ten seconds after the round before.
    fn round(&mut self, load: &[Template], round: usize) {
        self.costs = Costs::default();
        self.blocks.clear();
        self.batches = 0;
        let start = Duration::from_secs(10 * (round as u64 + 1));
        let each = Duration::from_millis(500) / load.len() as u32;
        let step = step(load.len());
        for at in 0..load.len() {
            let now = at_time(start + each * at as u32);
            // Senders keep their own order, but not that among each other.
            let request = load[(at * step + round * round) % load.len()].request(now.unix_nanos, round as f64);
            self.request(request, now);
        }
        while let Some(at) = self.lastvalue.processor.wake_at().filter(|at| *at < start + Duration::from_secs(9)) {
            let now = at_time(at.max(start + Duration::from_millis(500)));
            let mut out = Vec::new();
            self.lastvalue.call(&mut self.costs.lastvalue, 0, now, &mut out, |processor, work| processor.wake(work));
            self.encode(out);
        }
        self.labels.check_books();
        self.lastvalue.check_books();
    }

    fn request(&mut self, request: Bytes, now: Now) {
        let limits = Limits::default();
        let metrics = self.costs.decode.measure(|| Metrics::decode(request, &limits)).expect("the request is OTLP");
        let header = Header { source: Arc::clone(&self.source), ..Header::default() };
        let batch = Batch { header, data: Data::Metrics(metrics) };
        let (mut labelled, mut out) = (Vec::with_capacity(4), Vec::with_capacity(4));
        let items = batch.items();
        self.labels.call(&mut self.costs.labels, items, now, &mut labelled, |processor, work| {
            processor.process(batch, work);
        });
        for batch in labelled {
            let items = batch.items();
            self.lastvalue.call(&mut self.costs.lastvalue, items, now, &mut out, |processor, work| {
                processor.process(batch, work);
            });
        }
        self.encode(out);
    }

    fn encode(&mut self, batches: Vec<Batch>) {
        for batch in batches {
            self.batches += 1;
            let mut encoded = Encoded { blocks: &mut self.blocks, tally: &self.encoded };
            self.costs.encode.measure(|| self.encoder.encode(&batch, 1, &mut encoded));
        }
    }

    fn check(&self, series: usize, round: usize) {
        let items: u64 = self.blocks.iter().map(|block| block.items).sum();
        assert_eq!(items, series as u64, "points delivered = points offered");
        let payloads = self.blocks.iter().map(|block| &block.payload.bytes()[..]);
        remote_write::check(payloads, series, round as f64, &LABELS);
    }
}

/// A step that visits each of `count` requests once before it comes round.
fn step(count: usize) -> usize {
    let is_coprime = |step: &usize| (2..=count).all(|d| !step.is_multiple_of(d) || !count.is_multiple_of(d));
    (37..).find(is_coprime).unwrap_or(1)
}

fn at_time(mono: Duration) -> Now {
    Now { mono, unix_nanos: 1_700_000_000_000_000_000 + mono.as_nanos() as u64 }
}

/// What nothing on this path can go below: the input read and copied once, the output copied and compressed once.
struct Limit {
    read: Stage,
    copy_in: Stage,
    copy_out: Stage,
    snappy: Stage,
    input: usize,
    output: usize,
    compressed: usize,
}

fn limit(load: &[Template], blocks: &[Block], rounds: usize) -> Limit {
    let inputs: Vec<Bytes> = load.iter().map(|template| template.request(1, 1.0)).collect();
    let payloads: Vec<&[u8]> = blocks.iter().map(|block| &block.payload.bytes()[..]).collect();
    let outputs: Vec<Vec<u8>> = payloads
        .iter()
        .map(|block| snap::raw::Decoder::new().decompress_vec(block).expect("blocks are snappy"))
        .collect();
    let mut limit = Limit {
        read: Stage::default(),
        copy_in: Stage::default(),
        copy_out: Stage::default(),
        snappy: Stage::default(),
        input: inputs.iter().map(Bytes::len).sum(),
        output: outputs.iter().map(Vec::len).sum(),
        compressed: payloads.iter().map(|block| block.len()).sum(),
    };
    let longest = inputs.iter().map(Bytes::len).chain(outputs.iter().map(Vec::len)).max().unwrap_or_default();
    let mut buffer = vec![0; longest];
    let mut snappy = snap::raw::Encoder::new();
    let mut compressed = vec![0; snap::raw::max_compress_len(longest)];
    for _ in 0..rounds {
        limit.read.measure(|| {
            for input in &inputs {
                let words = input.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
                black_box(words.fold(0, u64::wrapping_add));
            }
        });
        limit.copy_in.measure(|| copy_all(inputs.iter().map(|bytes| &bytes[..]), &mut buffer));
        limit.copy_out.measure(|| copy_all(outputs.iter().map(|bytes| &bytes[..]), &mut buffer));
        limit.snappy.measure(|| {
            for output in &outputs {
                let len = snappy.compress(output, &mut compressed).expect("the buffer is large enough");
                black_box(&compressed[..len]);
            }
        });
    }
    limit
}

fn copy_all<'a>(all: impl Iterator<Item = &'a [u8]>, buffer: &mut [u8]) {
    for bytes in all {
        buffer[..bytes.len()].copy_from_slice(bytes);
        black_box(&buffer[..bytes.len()]);
    }
}

fn report(costs: &Costs, limit: &Limit, path: &Path, series: usize, rounds: usize) {
    let points = (series * rounds) as u64;
    println!("core path: {points} points = {rounds} rounds of {series} series, requests of {POINTS}, 5 attributes");
    println!(
        "           {} batches and {} blocks a round; a point is {} bytes in, {} out, {} compressed",
        path.batches,
        path.blocks.len(),
        limit.input / series,
        limit.output / series,
        limit.compressed / series
    );
    println!("{:24} {:>9} {:>9} {:>12} {:>12}", "", "us/point", "us wall", "allocs/point", "bytes/point");
    let mut total = Stage::default();
    for (name, stage) in costs.stages() {
        row(name, stage, points);
        total.add(stage);
    }
    row("in all", &total, points);
    println!("limit of the same run:");
    let mut floor = Stage::default();
    let parts = [
        ("read the input", &limit.read),
        ("copy the input", &limit.copy_in),
        ("copy the output", &limit.copy_out),
        ("snappy", &limit.snappy),
    ];
    for (name, stage) in parts {
        row(name, stage, points);
        floor.add(stage);
    }
    let floor = floor.micros_per(points) - limit.copy_in.micros_per(points);
    let all = total.micros_per(points);
    println!("the path costs {:.1} times its limit (read, copy out, snappy: {floor:.3} us)", all / floor);
    println!("goal {GOAL} us/point: {}", if all <= GOAL { "met" } else { "MISSED" });
    println!("resident at the end: {} MiB, the load included", resident_bytes() >> 20);
    let per_point = total.allocations.count as f64 / points as f64;
    assert!(per_point <= MAX_ALLOCATIONS, "{per_point:.3} allocations a point");
}

fn row(name: &str, stage: &Stage, points: u64) {
    println!(
        "{name:24} {:>9.4} {:>9.4} {:>12.5} {:>12.1}",
        stage.micros_per(points),
        stage.wall.as_secs_f64() * 1e6 / points as f64,
        stage.allocations.count as f64 / points as f64,
        stage.allocations.bytes as f64 / points as f64
    );
}
