//! Joining and cutting batches, as the `batch` processor does, beside what copying the bytes alone costs.
//! `cargo bench -p steadyline-benches --bench join -- --rounds 300`

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use steadyline_benches::args;
use steadyline_benches::load::{POINTS, templates};
use steadyline_benches::meter::Stage;
use steadyline_telemetry::{Limits, Metrics};

/// What joining may cost on a quiet core, in nanoseconds a point, however small the batches are.
const GOAL: f64 = 40.0;
/// Requests of 1,000 points each.
const REQUESTS: usize = 8;

fn main() {
    let rounds = args::number("rounds", 300);
    let requests: Vec<Bytes> = templates(REQUESTS * POINTS).iter().map(|template| template.request(1, 1.0)).collect();
    let decode = |bytes: Bytes| Metrics::decode(bytes, &Limits::default()).expect("a request of our own");
    let large: Vec<Metrics> = requests.iter().cloned().map(decode).collect();
    let small: Vec<Metrics> =
        large.iter().flat_map(|metrics| metrics.split(8)).map(|piece| decode(piece.encode())).collect();
    let copy = best(rounds, || drop(black_box(requests.concat())));
    println!("copying {} bytes a point: {copy:.1} ns", requests.concat().len() / (REQUESTS * POINTS));
    let mut worst: f64 = 0.0;
    for (what, parts) in [("batches of 1,000 points", &large), ("batches of 8 points", &small)] {
        let cost = best(rounds, || {
            let joined = Metrics::join(parts).expect("far below 4 GiB");
            assert_eq!(joined.points(), REQUESTS * POINTS);
            black_box(joined);
        });
        println!("joining {} {what}: {cost:.1} ns a point", parts.len());
        worst = worst.max(cost);
    }
    let joined = Metrics::join(&large).expect("far below 4 GiB");
    assert_eq!(joined.encode(), requests.concat(), "nobody changed them: the bytes are those that came");
    let cost = best(rounds, || assert_eq!(joined.split(POINTS).len(), REQUESTS));
    println!("cutting {} points into pieces of {POINTS}: {cost:.1} ns a point", joined.points());
    println!("goal {GOAL} ns: {}", if worst <= GOAL { "met" } else { "MISSED" });
}

/// The best of so many rounds, in nanoseconds a point.
fn best(rounds: usize, mut work: impl FnMut()) -> f64 {
    let costs = (0..rounds).map(|_| {
        let mut stage = Stage::default();
        stage.measure(&mut work);
        stage.cpu
    });
    costs.min().unwrap_or(Duration::ZERO).as_secs_f64() * 1e9 / (REQUESTS * POINTS) as f64
}
