//! What a scrape of many series costs, from the last byte of its body to its batches: CPU time per series.
//! `cargo run --release -p steadyline-receiver-prometheus --example scrape_cost [series] [scrapes]`

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use steadyline_receiver_prometheus::offline::Offline;
use steadyline_scrape::Format;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (series, scrapes) = (number(100_000), number(10));
    let bodies: Vec<String> = (0..2).map(|turn| body(series, turn)).collect();
    let mut target = Offline::new("app", "127.0.0.1:8080");
    let mut spent = Duration::ZERO;
    let mut first = Duration::ZERO;
    for turn in 0..=scrapes {
        let text = bodies[turn % bodies.len()].as_bytes();
        let started = cpu_time();
        let (batches, result) = target.scrape(text, Format::Text, 1_700_000_000_000 + turn as i64 * 15_000);
        let took = cpu_time() - started;
        result.map_err(std::io::Error::other)?;
        // Gauges and counters, and the five series of the report.
        let points: usize = batches.iter().map(|batch| batch.points()).sum();
        assert_eq!(points, series + 5);
        if turn == 0 { first = took } else { spent += took }
    }
    let per_series = |span: Duration, times: usize| span.as_secs_f64() * 1e6 / (series * times.max(1)) as f64;
    writeln!(
        std::io::stdout(),
        "{series} series, {} bytes: first scrape {:.3} us a series, then {:.3} us a series",
        bodies[0].len(),
        per_series(first, 1),
        per_series(spent, scrapes),
    )
}

/// What this process has used so far: on a machine that others use too, the wall clock says nothing.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// As many series with five labels, a hundred to a family, every other family a counter.
fn body(series: usize, turn: usize) -> String {
    let mut text = String::new();
    for at in 0..series {
        let family = at / 100;
        let kind = if family.is_multiple_of(2) { "counter" } else { "gauge" };
        if at.is_multiple_of(100) {
            let _ = write!(text, "# HELP metric_{family}_total What it counts.\n# TYPE metric_{family}_total {kind}\n");
        }
        let _ = writeln!(
            text,
            "metric_{family}_total{{method=\"GET\",path=\"/api/v1/things/{at}\",status=\"200\",zone=\"eu-central-1\",node=\"node-{}\"}} {}",
            at % 50,
            at * 7 + turn,
        );
    }
    text
}
