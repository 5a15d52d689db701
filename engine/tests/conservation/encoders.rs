//! Encoders that fall over: an exporter whose encoder does, and its books after that.

use steadyline_component::factory::Component;
use steadyline_component::tally::Balance;
use steadyline_component::*;

use crate::support::{BackendFactory, NameConfig, send, stage, until};
use crate::{assert_whole, config, delivered, is_retryable, spec, start};

/// An exporter with a queue whose encoder leaves `odd` points out, merges `twin`s into others, makes one of its own for
/// each `seed`, and falls over at `boom`, in the middle of all that.
pub(crate) struct TouchyFactory;

struct Touchy(Box<dyn Encoder>);

impl Component for TouchyFactory {
    type Config = NameConfig;
    type Made = Exporter;
    const SPEC: Spec = spec("touchy");

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Exporter> {
        match BackendFactory::create(config, context)? {
            Exporter::Queued { encoder, sender, delivery } => {
                Some(Exporter::Queued { encoder: Box::new(Touchy(encoder)), sender, delivery })
            }
            direct => Some(direct),
        }
    }
}

impl Encoder for Touchy {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let mut one = |line: &str, blocks: &mut Vec<Block>| {
            let point = Batch::metrics(testkit::metrics(line));
            self.0.encode(&point, shards, &mut Encoded { blocks, tally: encoded.tally });
        };
        for line in batch.as_metrics().map(testkit::render).unwrap_or_default() {
            match line.split_once([' ', '{']).map_or("", |(word, _)| word) {
                "odd" => encoded.tally.dropped("unsupported", 1),
                "twin" => encoded.tally.merged(1),
                "boom" => panic!("boom"),
                word => {
                    one(&line, encoded.blocks);
                    if word == "seed" {
                        encoded.tally.created("plant", 1);
                        one("plant 1", encoded.blocks);
                    }
                }
            }
        }
    }
}

/// Whatever it had counted of the batch in hand, and whatever others bring at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_books_of_an_encoder_that_panics_in_the_middle_of_mixed_points_are_exact() {
    const SENDERS: u64 = 4;
    const ROUNDS: u64 = 40;
    let yaml = config(
        "",
        "touchy: {name: mixed}",
        "metrics/a: {receivers: [source], exporters: [touchy]}, \
         metrics/b: {receivers: [source/b], exporters: [touchy]}",
    );
    let yaml = yaml.replace("receivers: {source:", "receivers: {source/b: {name: mixed}, source:");
    let (running, shared) = start(&yaml).await;
    until("both sources run", || stage("mixed").outputs.lock().unwrap().len() == 2).await;
    let outputs = stage("mixed").outputs.lock().unwrap().clone();
    let senders = outputs.iter().cycle().take(SENDERS as usize).map(|out| {
        let out = out.clone();
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let whole = "a 1\ncounter c 2\nodd 1\ndelta d 3\ntwin 1\nseed 1\nb 1";
                send(&out, whole, Until::Settled).await.unwrap();
                let broken = "a 1\ncounter c 2\nodd 1\ntwin 1\nseed 1\nboom 1\nodd 2\ndelta d 3";
                let sent = send(&out, broken, Until::Settled).await;
                assert!(is_retryable(&sent), "{sent:?}");
            }
        })
    });
    for sender in futures_util::future::join_all(senders).await {
        sender.unwrap();
    }
    running.shutdown().await;
    let books = shared.books.read();
    let account = books.iter().find(|account| account.id == "touchy").unwrap();
    let batches = SENDERS * ROUNDS;
    let expected = Balance {
        incoming: (7 + 8) * batches,
        outgoing: 6 * batches,
        merged: batches,
        created: [("plant".into(), batches)].into(),
        dropped: [("unsupported".into(), batches), ("panicked".into(), 8 * batches)].into(),
        ..Balance::default()
    };
    assert_eq!(account.tally.balance(), expected);
    assert_eq!(delivered("mixed").len() as u64, 6 * batches);
    assert_whole(&shared, &[]);
}
