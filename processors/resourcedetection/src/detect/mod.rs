//! The detectors: each asks one place and says what it found, that it is not there, or that it failed.
//! Not being there is no failure.

pub(crate) mod ec2;
pub(crate) mod ecs;
pub(crate) mod eks;
pub(crate) mod env;
pub(crate) mod lambda;
pub(crate) mod system;

use std::time::Duration;

use regex::RegexSet;
use thiserror::Error;

use crate::attribute::Attribute;
use crate::config::{Ec2Config, SystemConfig, Wanted};
use crate::fetch::FetchError;
use crate::machine::Machine;

/// Names of attributes, and whether they are added by default.
pub(crate) type Known = &'static [(&'static str, bool)];

/// Who is asked, and how.
#[derive(Debug, Clone)]
pub(crate) enum Detector {
    Env,
    System(SystemConfig),
    Ecs(Wanted),
    Ec2(Ec2Config, RegexSet),
    Eks(Wanted),
    Lambda(Wanted),
}

/// Why a detector gave nothing.
#[derive(Debug, Error)]
pub(crate) enum DetectError {
    /// The machine is not there; says how that shows. Not a failure.
    #[error("{0}")]
    Absent(String),
    /// It may be there, and could not say.
    #[error("{0}")]
    Failed(String),
}

impl From<FetchError> for DetectError {
    fn from(error: FetchError) -> Self {
        DetectError::Failed(error.to_string())
    }
}

impl Detector {
    /// Its name in config.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Detector::Env => "env",
            Detector::System(_) => "system",
            Detector::Ecs(_) => "ecs",
            Detector::Ec2(..) => "ec2",
            Detector::Eks(_) => "eks",
            Detector::Lambda(_) => "lambda",
        }
    }

    /// What it means that it did not answer in time. Instance metadata that does not is not there.
    pub(crate) fn late(&self, timeout: Duration) -> DetectError {
        let message = format!("no answer within {timeout:?}");
        match self {
            Detector::Ec2(config, _) if !config.fail_on_missing_metadata => DetectError::Absent(message),
            _ => DetectError::Failed(message),
        }
    }

    /// Asks, for about so long at most.
    pub(crate) async fn detect(&self, machine: &Machine, timeout: Duration) -> Result<Vec<Attribute>, DetectError> {
        match self {
            Detector::Env => env::detect(machine),
            Detector::System(config) => Ok(system::detect(machine, config, timeout).await),
            Detector::Ecs(wanted) => ecs::detect(machine, wanted, timeout).await,
            Detector::Ec2(config, tags) => ec2::detect(machine, config, tags, timeout).await,
            Detector::Eks(wanted) => eks::detect(machine, wanted, timeout).await,
            Detector::Lambda(wanted) => lambda::detect(machine, wanted),
        }
    }
}

/// Gathers attributes that are wanted and known.
struct Gathered<'a> {
    wanted: &'a Wanted,
    attributes: Vec<Attribute>,
}

impl<'a> Gathered<'a> {
    fn new(wanted: &'a Wanted) -> Gathered<'a> {
        Gathered { wanted, attributes: Vec::new() }
    }

    /// Adds a text, unless it is empty.
    fn text(&mut self, name: &str, text: impl AsRef<str>) {
        if !text.as_ref().is_empty() && self.wanted.has(name) {
            self.attributes.push(Attribute::text(name, text));
        }
    }

    /// Adds a list, unless it is empty.
    fn list(&mut self, name: &str, texts: Vec<String>) {
        if !texts.is_empty() && self.wanted.has(name) {
            self.attributes.push(Attribute::list(name, texts));
        }
    }
}
