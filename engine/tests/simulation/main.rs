//! Queue, sender and backend in a simulated world: crashes, restarts, partitions, a disk that fails, is full or slow,
//! each from a seed. What was accepted arrives, and no series leaves its order.
//!
//! More seeds: `STEADYLINE_SEEDS=10000 cargo test -p steadyline-engine --test simulation`. One again:
//! `STEADYLINE_SEED=17 cargo test -p steadyline-engine --test simulation what_was_accepted`.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod backend;
mod disk;
mod nature;
mod pipeline;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend::Received;
use nature::Nature;
use pipeline::Producer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How long the world is against us, and how long it then takes at most until all is well.
const STORM: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_secs(240);

/// A bug planted to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    None,
    NotSynced,
    FolderNotSynced,
    CursorFirst,
    SeriesInTwoLanes,
}

/// What one world came to.
struct End {
    crashes: u32,
    accepted: usize,
    spread: usize,
}

/// Runs the world of a seed; the error says what went wrong in it.
fn world(seed: u64, plant: Plant) -> Result<End, String> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(seed).tick_duration(Duration::from_millis(20)).simulation_duration(Duration::MAX);
    builder.max_message_latency(Duration::from_millis(300));
    let disk = builder.fs();
    disk.sync_probability([0.0, 0.05, 0.5][dice.random_range(0..3)]);
    if dice.random_bool(0.3) {
        disk.io_error_probability(0.001);
    }
    if dice.random_bool(0.3) {
        disk.capacity(48 << 10);
    }
    let mut sim = builder.build();
    let nature = Nature::of(seed);
    let (received, producer) = (Arc::new(Mutex::new(Received::default())), Arc::new(Mutex::new(Producer::new(nature))));
    let judge = Arc::clone(&received);
    sim.host("backend", move || backend::serve(seed, Arc::clone(&judge)));
    let told = Arc::clone(&producer);
    sim.host("pipeline", move || pipeline::live(seed, plant, Arc::clone(&told)));
    let mut crashes = 0;
    while sim.elapsed() < STORM {
        sim.step().map_err(|error| error.to_string())?;
        match dice.random_range(0..1000) {
            0..4 if sim.is_host_running("pipeline") => {
                crashes += 1;
                sim.crash("pipeline");
            }
            4..14 if !sim.is_host_running("pipeline") => sim.bounce("pipeline"),
            14..17 => sim.partition("pipeline", "backend"),
            from @ 17.. if from - 17 < nature.recovers => sim.repair("pipeline", "backend"),
            _ => {}
        }
    }
    sim.repair("pipeline", "backend");
    if !sim.is_host_running("pipeline") {
        sim.bounce("pipeline");
    }
    producer.lock().unwrap().done = true;
    let missing = || {
        let (producer, received) = (producer.lock().unwrap(), received.lock().unwrap());
        producer.points().filter(|(series, value)| !received.has(*series, *value)).count()
    };
    while missing() > 0 || held(&producer) > 0 {
        if sim.elapsed() > STORM + CALM {
            return Err(format!("{} accepted points never arrived, {} are held", missing(), held(&producer)));
        }
        for _ in 0..50 {
            sim.step().map_err(|error| error.to_string())?;
        }
    }
    let out_of_order = &received.lock().unwrap().out_of_order;
    if !out_of_order.is_empty() {
        return Err(format!("out of order: {out_of_order:?}"));
    }
    let producer = producer.lock().unwrap();
    let balance = producer.shared.as_ref().map(|shared| shared.books.read()[0].tally.balance());
    match balance.filter(|balance| balance.missing() != 0 || !balance.dropped.is_empty()) {
        Some(balance) => Err(format!("the books do not add up: {balance:?}")),
        None => Ok(End { crashes, accepted: producer.accepted.len(), spread: producer.spread }),
    }
}

fn held(producer: &Mutex<Producer>) -> u64 {
    let producer = producer.lock().unwrap();
    producer.shared.as_ref().map_or(0, |shared| shared.books.read()[0].tally.balance().held)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn what_was_accepted_arrives_in_order_whatever_happens() {
    let seeds = match variable("STEADYLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("STEADYLINE_SEEDS").unwrap_or(300),
    };
    let (mut crashes, mut accepted, mut spread, mut wrong) = (0, 0, 0, Vec::new());
    for seed in seeds.clone() {
        match world(seed, Plant::None) {
            Ok(end) => {
                (crashes, accepted, spread) = (crashes + end.crashes, accepted + end.accepted, spread + end.spread);
            }
            Err(error) => wrong.push(format!("STEADYLINE_SEED={seed}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {seeds:?} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    let count = (seeds.end - seeds.start) as usize;
    println!("{count} worlds: {crashes} crashes, {accepted} batches accepted, {spread} times in several lanes");
    assert!(
        count == 1 || (crashes as usize > count && accepted > 20 * count && spread > count),
        "{crashes} crashes, {accepted} accepted, {spread} times in several lanes"
    );
}

#[test]
fn the_simulation_finds_planted_bugs() {
    for plant in [Plant::NotSynced, Plant::FolderNotSynced, Plant::CursorFirst, Plant::SeriesInTwoLanes] {
        let found = (0..60).find(|seed| world(*seed, plant).is_err());
        assert!(found.is_some(), "{plant:?} was not found");
    }
}
