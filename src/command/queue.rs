//! `queue`: what the disk queues of exporters hold. All but `purge` only reads, and may run beside the process that has
//! the queues open.

mod export;
mod purge;
mod select;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};
use steadyline_blocklog::{Inspected, Inspection, RealDisk, inspect};

use super::{Failure, data, message};
use select::{Queue, Which};

/// Arguments of `queue`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A line for each queue: what waits in it, since when, and what was found damaged.
    Ls {
        #[command(flatten)]
        which: Which,
        /// In which notation.
        #[arg(long, value_enum, default_value_t)]
        output: Notation,
    },
    /// Show the first blocks that wait, in the order in which they were accepted.
    Peek {
        #[command(flatten)]
        which: Which,
        /// How many blocks of each queue.
        #[arg(long, short = 'n', default_value_t = 10)]
        blocks: usize,
        /// Show what would be sent, too: in hexadecimal, or as it is, and then nothing else (the bodies of requests, still
        /// compressed, one behind the other).
        #[arg(long, value_enum)]
        payload: Option<PayloadAs>,
        /// In which notation.
        #[arg(long, value_enum, default_value_t)]
        output: Notation,
    },
    /// Copy everything that waits to a new folder: a file for each block, and `manifest.jsonl` with a line for each.
    Export {
        #[command(flatten)]
        which: Which,
        /// The folder to make; one that exists must be empty.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Delete everything that waits, for good. Refused while a process has the queue open.
    Purge {
        #[command(flatten)]
        which: Which,
        /// Delete the copies of damaged records, too.
        #[arg(long)]
        quarantined: bool,
        /// Without this it is only said what would be deleted.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Notation {
    /// A table for people.
    #[default]
    Text,
    /// JSON.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PayloadAs {
    /// Hexadecimal digits.
    Hex,
    /// The bytes themselves.
    Raw,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Ls { which, output } => {
            let seen = look(&which.queues()?)?;
            data(&if *output == Notation::Json { pretty(&seen.iter().map(summary).collect())? } else { table(&seen) })
        }
        Command::Peek { which, blocks, payload, output } => peek(&look(&which.queues()?)?, *blocks, *payload, *output),
        Command::Export { which, to } => {
            let (blocks, skipped) = export::export(&look(&which.queues()?)?, to)?;
            message(&format!("steadyline: {blocks} blocks copied to {}", to.display()));
            if skipped > 0 {
                message(&format!("steadyline: {skipped} were delivered meanwhile, or are damaged, and were left out"));
            }
            Ok(())
        }
        Command::Purge { which, quarantined, yes } => purge::purge(&which.queues()?, *quarantined, *yes),
    }
}

/// A queue with what it holds.
type Seen = (Queue, Inspection<RealDisk>);

fn look(queues: &[Queue]) -> Result<Vec<Seen>, Failure> {
    let look = |queue: &Queue| {
        let inspection = inspect(RealDisk, &queue.folder);
        anyhow::Ok((
            queue.clone(),
            inspection.with_context(|| format!("cannot look into the queue of {}", queue.name()))?,
        ))
    };
    Ok(queues.iter().map(look).collect::<anyhow::Result<_>>()?)
}

/// Nanoseconds since the Unix epoch as a time of day.
fn time(nanoseconds: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    time.map_or_else(|_| nanoseconds.to_string(), |time| format!("{time:.3}"))
}

fn ages(inspection: &Inspection<RealDisk>) -> Option<(u64, u64)> {
    let times = || inspection.records.iter().map(|record| record.meta.accepted);
    Some((times().min()?, times().max()?))
}

fn summary((queue, seen): &Seen) -> Value {
    let ages = ages(seen);
    let damaged: Vec<String> = seen.damaged.iter().map(ToString::to_string).collect();
    json!({
        "exporter": queue.exporter,
        "place": queue.place,
        "folder": queue.folder.display().to_string(),
        "in_use": queue.is_in_use(),
        "blocks": seen.pending.records,
        "items": seen.pending.items,
        "bytes": seen.pending.bytes,
        "disk_bytes": seen.disk_bytes,
        "oldest": ages.map(|ages| time(ages.0)),
        "newest": ages.map(|ages| time(ages.1)),
        "damaged": damaged,
        "quarantined": {"copies": seen.quarantine.0, "bytes": seen.quarantine.1},
    })
}

fn table(seen: &[Seen]) -> String {
    let head = ["QUEUE", "BLOCKS", "ITEMS", "BYTES", "OLDEST", "NEWEST", "DAMAGED", "QUARANTINED", "FOLDER"];
    let mut rows = vec![head.map(str::to_string)];
    for (queue, seen) in seen {
        let ages = ages(seen);
        let age = |time: Option<u64>| time.map_or("-".to_string(), self::time);
        rows.push([
            queue.name(),
            seen.pending.records.to_string(),
            seen.pending.items.to_string(),
            seen.pending.bytes.to_string(),
            age(ages.map(|ages| ages.0)),
            age(ages.map(|ages| ages.1)),
            seen.damaged.len().to_string(),
            seen.quarantine.0.to_string(),
            queue.folder.display().to_string(),
        ]);
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn pretty(document: &Value) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

/// What is known of a block, for `peek` and for the manifest of `export`.
fn described(queue: &Queue, record: &Inspected) -> Value {
    let meta = &record.meta;
    let (earliest, latest) = meta.time_range;
    let sample = |nanoseconds| (meta.time_range != (0, 0)).then(|| time(nanoseconds));
    json!({
        "exporter": queue.exporter,
        "place": queue.place,
        "sequence": meta.seq,
        "shard": meta.shard,
        "generation": meta.generation,
        "items": meta.items,
        "bytes": record.bytes,
        "uncompressed_bytes": meta.uncompressed,
        "protocol": meta.protocol,
        "accepted": time(meta.accepted),
        "earliest": sample(earliest),
        "latest": sample(latest),
        "leased": meta.leased,
    })
}

fn peek(seen: &[Seen], most: usize, payload: Option<PayloadAs>, output: Notation) -> Result<(), Failure> {
    let (mut blocks, mut rows) = (Vec::new(), Vec::new());
    let head = ["QUEUE", "SEQUENCE", "SHARD", "ITEMS", "BYTES", "PROTOCOL", "ACCEPTED", "PAYLOAD"];
    for (queue, seen) in seen {
        for record in seen.records.iter().take(most) {
            let bytes = if payload.is_some() { seen.payload(record)? } else { None };
            if payload.is_some() && bytes.is_none() {
                let why = "it was delivered meanwhile, or is damaged";
                message(&format!("steadyline: block {} of {} cannot be shown: {why}", record.meta.seq, queue.name()));
            }
            if payload == Some(PayloadAs::Raw) {
                raw(&bytes.unwrap_or_default())?;
                continue;
            }
            let hex = bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            let meta = &record.meta;
            rows.push([
                queue.name(),
                meta.seq.to_string(),
                meta.shard.to_string(),
                meta.items.to_string(),
                record.bytes.to_string(),
                meta.protocol.to_string(),
                time(meta.accepted),
                hex.clone().unwrap_or_default(),
            ]);
            let mut block = described(queue, record);
            if let Some(hex) = hex {
                block["payload"] = hex.into();
            }
            blocks.push(block);
        }
    }
    match (payload, output) {
        (Some(PayloadAs::Raw), _) => Ok(()),
        (_, Notation::Json) => data(&pretty(&blocks.into())?),
        _ => {
            let mut head = head.map(str::to_string);
            if payload.is_none() {
                head[7].clear();
            }
            rows.insert(0, head);
            data(&aligned(&rows))
        }
    }
}

fn raw(bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests;
