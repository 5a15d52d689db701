//! The `file` exporter: writes OTLP requests to a file, as JSON lines or protobuf.
//!
//! ```yaml
//! exporters:
//!   file: {path: ./telemetry.jsonl}
//!   file/archive:
//!     path: /var/lib/steadyline/telemetry.bin
//!     format: proto
//!     compression: zstd
//!     create_directory: true
//!     rotation: {max_megabytes: 10, max_days: 3, max_backups: 5}
//! ```
//!
//! | `format`, `compression` | the file |
//! |---|---|
//! | `json`, none | a request a line, by the OTLP/JSON rules: ids in hex, 64-bit integers as text |
//! | `proto`, or `zstd` | each request, compressed by itself if so configured, behind its length: four bytes, big endian |
//!
//! Those are the Collector's forms, and its receiver for such files reads them. A file that is neither appended to nor
//! rotated is emptied at start, as it does. All signals of one exporter go into one file.
//!
//! Rotation renames the file before a request would make it larger than `max_megabytes`, to
//! `telemetry-2026-11-21T14-30-00.000.jsonl` and the like, and deletes what `max_backups` and `max_days` do not keep.
//!
//! Requests wait in a queue, and each is written as a whole: what a full disk cut off is taken back. A request that could
//! not be written is tried again by `retry_on_failure`; what is given up is counted and logged like a backend's refusal.
//! Writing is done on threads of its own, so that a slow disk holds up this exporter and nothing else.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backups;
mod config;
mod encoder;
mod output;
mod sender;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability};

pub use config::{Config, FileCompression, FileFormat, Rotation};
use encoder::FileEncoder;
use output::OutputFile;
use sender::FileSender;

/// The factory.
pub const FACTORY: Factory = Factory::exporter::<FileFactory>();

/// Makes `file` exporters.
#[derive(Debug)]
pub struct FileFactory;

impl Component for FileFactory {
    type Config = Config;
    type Made = Exporter;
    const SPEC: Spec = Spec {
        name: "file",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Writes OTLP requests to a file, as JSON lines or protobuf.",
        unsupported: &[
            ("group_by", "all data goes into one file; use a pipeline and an exporter for each file"),
            ("encoding", "files are written as OTLP; choose `format: json` or `format: proto`"),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Exporter> {
        let options = config.check(context)?;
        let encoder = FileEncoder::new(&config, context.signal);
        let output = OutputFile::shared(context.id.as_str(), options, context.clock);
        let encoder = encoder.map_err(|message| context.error("compression", message)).ok();
        let output = output.map_err(|message| context.error("path", message)).ok();
        let sender = Arc::new(FileSender::new(output?));
        Some(Exporter::Queued { encoder: Box::new(encoder?), sender, delivery: config.delivery() })
    }
}
