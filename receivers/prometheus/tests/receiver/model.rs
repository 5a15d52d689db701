//! What is remembered of a target changes what a scrape costs, never what comes of it: long runs of bodies at random, each
//! compared with the same body read by somebody who remembers nothing.

use std::collections::BTreeSet;

use steadyline_receiver_prometheus::offline::Offline;
use steadyline_scrape::Format;

use crate::common::exposed;

/// Small numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn body(&mut self) -> String {
        let mut families: Vec<u64> = (0..8).filter(|_| self.below(4) > 0).collect();
        if self.below(3) == 0 {
            families.reverse();
        }
        families.into_iter().map(|family| self.family(family)).collect()
    }

    fn family(&mut self, family: u64) -> String {
        let mut text = String::new();
        if family % 3 == 2 {
            text += &format!("# TYPE h{family} histogram\n");
            for n in 0..3 {
                if self.below(4) > 0 {
                    let count = self.below(100);
                    text += &format!(
                        "h{family}_bucket{{n=\"{n}\",le=\"1\"}} {count}\nh{family}_bucket{{le=\"+Inf\",n=\"{n}\"}} {0}\nh{family}_sum{{n=\"{n}\"}} 1\nh{family}_count{{n=\"{n}\"}} {0}\n",
                        count + 1
                    );
                }
            }
            return text;
        }
        if self.below(10) > 0 {
            let kind = if self.below(20) == 0 { "gauge" } else { "counter" };
            text += &format!("# HELP m{family} About {family}.\n# TYPE m{family} {kind}\n");
        }
        for n in 0..6 {
            match self.below(8) {
                0 | 1 => {}
                2 => text += &format!("m{family}{{ x = \"\\\"\" , n=\"{n}\",empty=\"\" }} {}\n", self.below(1000)),
                3 => text += &format!("m{family}{{x=\"\\\"\",n=\"{n}\"}} 1\nm{family}{{n=\"{n}\",x=\"\\\"\"}} 2\n"),
                _ => text += &format!("m{family}{{n=\"{n}\",x=\"\\\"\"}} {}\n", self.below(1000)),
            }
        }
        text
    }
}

/// Name and labels of a line, without kind and value.
fn identity(line: &str) -> String {
    let line = ["counter ", "histogram "].iter().find_map(|kind| line.strip_prefix(kind)).unwrap_or(line);
    let end = line.rfind(' ').unwrap_or(line.len());
    line[..end].to_string()
}

#[test]
fn memory_changes_nothing_and_every_end_is_marked_once() {
    for seed in 1..=40u64 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        let mut remembering = Offline::new("j", "i");
        let mut before: BTreeSet<String> = BTreeSet::new();
        for turn in 0..60 {
            let (mut body, time) = (dice.body(), 1_700_000_000_000 + turn * 1000);
            let is_broken = dice.below(10) == 0;
            if is_broken {
                body += "broken{\n";
            }
            let (batches, result) = remembering.scrape(body.as_bytes(), Format::Text, time);
            let (fresh, fresh_result) = Offline::new("j", "i").scrape(body.as_bytes(), Format::Text, time);
            assert_eq!(result, fresh_result);
            assert_eq!(result.is_err(), is_broken);
            let found: Vec<String> = batches.iter().flat_map(exposed).collect();
            let expected: Vec<String> = fresh.iter().flat_map(exposed).collect();
            // A type that is told once is remembered, so kinds may differ; the text of a stale histogram differs, too.
            let is_end = |line: &&String| line.ends_with(" stale");
            let there: Vec<String> = found.iter().filter(|line| !is_end(line)).map(|line| identity(line)).collect();
            assert_eq!(
                there,
                expected.iter().map(|line| identity(line)).collect::<Vec<_>>(),
                "seed {seed} turn {turn}"
            );
            let now: BTreeSet<String> = there.into_iter().collect();
            let ended: Vec<String> = found.iter().filter(is_end).map(|line| identity(line)).collect();
            let gone: BTreeSet<String> = before.difference(&now).cloned().collect();
            assert_eq!(ended.len(), gone.len(), "seed {seed} turn {turn}: {ended:?}");
            assert_eq!(ended.into_iter().collect::<BTreeSet<_>>(), gone, "seed {seed} turn {turn}");
            before = now;
        }
    }
}

#[test]
fn bytes_changed_at_random_break_a_scrape_at_most() {
    let good = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {a=\"b\"} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 1\n# TYPE c counter\nc_total{x=\"1\"} 1 1.5\nc_created{x=\"1\"} 1\n# EOF\n";
    let mut dice = Dice(7);
    let mut target = Offline::new("j", "i");
    let (mut kept, mut refused) = (0, 0);
    for turn in 0..3000 {
        let mut body = good.as_bytes().to_vec();
        for _ in 0..dice.below(4) {
            if body.is_empty() {
                break;
            }
            let at = dice.below(body.len() as u64) as usize;
            match dice.below(3) {
                0 => body[at] = dice.below(256) as u8,
                1 => drop(body.remove(at)),
                _ => body.truncate(at.max(1)),
            }
        }
        let format = [Format::Text, Format::OpenMetrics, Format::Protobuf][dice.below(3) as usize];
        let (batches, result) = target.scrape(&body, format, 1_700_000_000_000 + turn);
        let lines: Vec<String> = batches.iter().flat_map(crate::common::lines).collect();
        assert_eq!(lines.last().map(String::as_str), Some(if result.is_ok() { "up 1" } else { "up 0" }));
        if result.is_ok() { kept += 1 } else { refused += 1 }
    }
    assert!(kept > 300 && refused > 300, "{kept} {refused}");
    let (batches, result) = target.scrape(good.as_bytes(), Format::OpenMetrics, 1_800_000_000_000);
    assert_eq!(result, Ok(()));
    let there: Vec<String> = batches.iter().flat_map(exposed).filter(|line| !line.ends_with("stale")).collect();
    assert_eq!(there.len(), 2, "{there:?}");
}

/// Found by fuzzing: the value was lost, and its end marked.
#[test]
fn a_value_in_front_of_the_type_that_makes_it_part_of_a_group_goes_by_itself() {
    let mut target = Offline::new("j", "i");
    let mut scrape = |body: &str, time: i64| -> Vec<String> {
        let (batches, _) = target.scrape(body.as_bytes(), Format::Text, time);
        batches.iter().flat_map(exposed).collect()
    };
    let page = "a_sum 17\na_count 2\n# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 18\na_count 3\n";
    let there = scrape(page, 1_700_000_000_000);
    assert_eq!(there, ["a_sum 17", "a_count 2", r#"a{quantile="0.5"} 1"#]);
    let ended = scrape("b 1\n", 1_700_000_015_000);
    assert_eq!(ended, ["b 1", "a_sum stale", "a_count stale", r#"a{quantile="0.5"} stale"#]);
}
