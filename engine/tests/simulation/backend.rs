//! The backend: takes requests over the simulated network, slowly, with faults, and notes every line it was ever given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

/// What the backend was given, over all its lives: it is the judge, and does not crash.
#[derive(Debug, Default)]
pub(crate) struct Received {
    series: BTreeMap<u32, BTreeSet<u64>>,
    /// What must never happen.
    pub(crate) out_of_order: Vec<String>,
}

impl Received {
    /// Takes in `series value` lines. One that is older than the newest must have been there before.
    fn take(&mut self, request: &str) {
        for line in request.split(';') {
            let (series, value) = line.split_once(' ').unwrap();
            let (series, value) = (series.parse().unwrap(), value.parse().unwrap());
            let known: &mut BTreeSet<u64> = self.series.entry(series).or_default();
            if known.last().is_some_and(|newest| value < *newest) && !known.contains(&value) {
                self.out_of_order.push(format!("series {series}: {value} came after {:?}", known.last()));
            }
            known.insert(value);
        }
    }

    pub(crate) fn has(&self, series: u32, value: u64) -> bool {
        self.series.get(&series).is_some_and(|known| known.contains(&value))
    }
}

/// Serves for ever.
pub(crate) async fn serve(seed: u64, received: Arc<Mutex<Received>>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", 80)).await?;
    let dice = Arc::new(Mutex::new(StdRng::seed_from_u64(seed ^ 0xbac)));
    loop {
        let (stream, _) = listener.accept().await?;
        let (received, dice) = (Arc::clone(&received), Arc::clone(&dice));
        // A sender that goes away in the middle is its own loss.
        tokio::spawn(async move { answer(stream, &received, &dice).await.ok() });
    }
}

async fn answer(mut stream: TcpStream, received: &Mutex<Received>, dice: &Mutex<StdRng>) -> std::io::Result<()> {
    let length = stream.read_u32().await? as usize;
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    let (fate, delay) = {
        let mut dice = dice.lock().unwrap();
        (dice.random_range(0..100), dice.random_range(0..40_u64).pow(2))
    };
    tokio::time::sleep(Duration::from_millis(delay)).await;
    if fate < 10 {
        return stream.write_u8(b'r').await;
    }
    received.lock().unwrap().take(std::str::from_utf8(&request).unwrap());
    if fate < 20 {
        // Taken, and the answer is lost.
        return Ok(());
    }
    stream.write_u8(b'd').await
}
