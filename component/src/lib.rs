//! What a component author sees. Depends on the data in flight and on config, never on the engine.
//! A component is a folder with a factory; everything around it (queues, retries, timers, accounting) is the engine's.
//!
//! | room | what lives there |
//! |---|---|
//! | [`batch`] | data with its header: source, pass, receipts, permit |
//! | [`poller`], [`receiver`] | how data comes in |
//! | [`processor`], [`connector`] | how it changes on the way |
//! | [`exporter`] | how it leaves: encoder, sender, outcome; or a sink |
//! | [`extension`] | what others name in config: authenticators, endpoints, health |
//! | [`factory`] | name, aliases, typed config, create; the context a factory gets |
//! | [`clock`] | time that tests control |
//! | [`tally`], [`meter`], [`status`] | what is counted, measured and reported |
//! | [`storage`] | what outlives the process, and patience while it cannot be kept |
//! | [`quiet`], [`losses`] | what data can provoke in the log: bounded, and counted |
//! | [`own`] | the process's own metrics as data, its own traces carried on |
//! | [`testkit`] | component tests that read as tables: config, in, out |

pub mod batch;
pub mod budget;
pub mod check;
pub mod clock;
pub mod connector;
pub mod delivery;
pub mod exporter;
pub mod extension;
pub mod factory;
pub mod leadership;
pub mod losses;
pub mod meter;
pub mod own;
pub mod poller;
pub mod processor;
pub mod quiet;
pub mod receiver;
pub mod status;
pub mod storage;
pub mod tally;
pub mod testkit;

pub use async_trait::async_trait;
pub use batch::{Batch, Data, Header, Pass, PassEnd};
pub use budget::{Budget, Permit};
pub use check::{CheckRow, IamStatement, Verdict};
pub use clock::{Clock, Now};
pub use connector::{Connector, Outlook, Router};
pub use delivery::{Receipt, SettleError, Settlement};
pub use exporter::{Attempt, Block, Encoded, Encoder, Exporter, JoinLimit, Outcome, Payload, Sender, Sink};
pub use extension::{Adaptable, AuthError, Authenticator, AwsEndpoint, Extension, Refusal, ServerAuthenticator};
pub use factory::{CreateContext, Factory, Kind, RepeatEffect, Spec, Stability, TemporalityEffect};
pub use leadership::{Leadership, Term};
pub use losses::{Loss, Losses};
pub use meter::{Instrument, Meter};
pub use own::{OwnMetrics, TraceParent};
pub use poller::{PollError, PollOutput, Poller, Polling, Schedule, Tick};
pub use processor::{Processor, Work};
pub use quiet::{LogPause, LogWindow};
pub use receiver::{Output, Outputs, Receiver, SendError, Shutdown, Until};
pub use status::{Board, ComponentStatus, Status};
pub use storage::{Area, Change, Folder, Owner, Storage, StorageError, StorageHealth};
pub use tally::Tally;

pub use steadyline_config as config;
pub use steadyline_telemetry as telemetry;

/// Why a component could not start: a sentence for people that says what failed and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl StartError {
    /// A start error from anything that prints.
    pub fn new(message: impl std::fmt::Display) -> Self {
        StartError(message.to_string())
    }
}

/// What a component gets when it starts.
#[derive(Debug, Clone)]
pub struct Host {
    /// The process's clock.
    pub clock: Clock,
    /// How all components fare; for health and pages.
    pub board: Board,
    /// Fires when the process stops.
    pub shutdown: Shutdown,
}
