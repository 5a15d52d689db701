//! Factories: name, aliases, stability, typed config, create. The config structs are the single source of truth;
//! their doc comments, defaults and bounds become schema, reference page and error messages.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node, Unsupported, decode_with};
use steadyline_telemetry::Signal;

use crate::clock::Clock;
use crate::connector::{Connector, SignalPair};
use crate::exporter::Exporter;
use crate::extension::{Authenticator, AwsEndpoint, Extension, ServerAuthenticator};
use crate::leadership::Leadership;
use crate::meter::Meter;
use crate::own::OwnMetrics;
use crate::poller::Polling;
use crate::processor::Processor;
use crate::receiver::Receiver;
use crate::storage::{Owner, Storage};

/// What a component is, as config sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Under `receivers`.
    Receiver,
    /// Under `processors`.
    Processor,
    /// Under `exporters`.
    Exporter,
    /// Under `connectors`.
    Connector,
    /// Under `extensions`.
    Extension,
}

impl Kind {
    /// The section of the config: `receivers`, ...
    pub fn section(self) -> &'static str {
        match self {
            Kind::Receiver => "receivers",
            Kind::Processor => "processors",
            Kind::Exporter => "exporters",
            Kind::Connector => "connectors",
            Kind::Extension => "extensions",
        }
    }

    /// The word for one of them: `receiver`, ...
    pub fn name(self) -> &'static str {
        self.section().strip_suffix('s').unwrap_or_default()
    }
}

/// How much its users may rely on a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Keys and behaviour may change.
    Alpha,
    /// Keys stay, details may change.
    Beta,
    /// Neither changes without notice and a migration.
    Stable,
}

impl Stability {
    /// The Collector's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Stability::Alpha => "alpha",
            Stability::Beta => "beta",
            Stability::Stable => "stable",
        }
    }
}

/// What is known about a component without making one.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The type in ids: `dynamodb`, `prometheusremotewrite`.
    pub name: &'static str,
    /// Other spellings of the type that mean the same.
    pub aliases: &'static [&'static str],
    /// How much users may rely on it.
    pub stability: Stability,
    /// Which signals it takes or gives; empty for extensions and connectors.
    pub signals: &'static [Signal],
    /// One sentence: what it does.
    pub summary: &'static str,
    /// Keys that the Collector has and we do not, each with what to do instead.
    pub unsupported: &'static [(&'static str, &'static str)],
}

/// What a component does to the temporality of sums and histograms, or wants of it; for checks of the graph at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TemporalityEffect {
    /// It passes on what comes.
    #[default]
    Keeps,
    /// What it makes of cumulative ones, or by itself, is deltas.
    GivesDelta,
    /// No delta comes out of it.
    GivesCumulative,
    /// It drops deltas, counted: its backend knows cumulative ones only.
    NeedsCumulative,
}

/// What a component does to points that nobody sent anew, or wants of them; for checks of the graph at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepeatEffect {
    /// It passes on what comes.
    #[default]
    Keeps,
    /// It gives points again that it was not told again.
    Repeats,
    /// It takes every point for news.
    NeedsNews,
}

/// A factory as the registry holds it.
#[derive(Clone, Copy)]
pub struct Factory {
    /// What is known without making one.
    pub spec: Spec,
    /// What it makes.
    pub kind: Kind,
    /// What it does to temporality.
    pub temporality: TemporalityEffect,
    /// What it does to points that nobody sent anew.
    pub repeats: RepeatEffect,
    /// The schema of its config, its definitions in the given generator.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes a config and makes nothing: what is wrong with it, and which of it is secret, is in the diagnostics.
    pub decode: fn(&Node, &str, &mut Diagnostics),
    /// How it makes one.
    pub build: Build,
}

/// Decodes the config at the context's node and makes a component; `None` after errors, which are in the diagnostics.
type Make<T> = fn(&mut CreateContext<'_>) -> Option<T>;

/// How a factory makes its component.
#[derive(Clone, Copy)]
pub enum Build {
    /// A receiver that is polled.
    Poller(Make<Polling>),
    /// A receiver that runs.
    Receiver(Make<Box<dyn Receiver>>),
    /// A receiver that is polled or runs, as its config says.
    Source(Make<Source>),
    /// A processor.
    Processor(Make<Box<dyn Processor>>),
    /// An exporter.
    Exporter(Make<Exporter>),
    /// A connector, and the pairs of signals it can join.
    Connector(Make<Box<dyn Connector>>, &'static [SignalPair]),
    /// An extension.
    Extension(Make<Arc<dyn Extension>>),
}

/// A receiver of either kind.
pub enum Source {
    /// Read on a cadence.
    Polled(Polling),
    /// Runs by itself.
    Running(Box<dyn Receiver>),
}

/// A factory as a component's author writes it. `create` does no I/O and looks at nothing but its arguments, so that
/// `validate` can run it; what needs the world waits for `start`.
pub trait Component: 'static {
    /// The typed config. Unknown keys denied, defaults by `#[serde(default)]`, no `flatten`, no `untagged`.
    type Config: DeserializeOwned + JsonSchema;
    /// What it makes: [`Polling`], `Box<dyn Receiver>`, `Box<dyn Processor>`, [`Exporter`], `Arc<dyn Extension>`.
    type Made;
    /// What is known without making one.
    const SPEC: Spec;
    /// What it does to the temporality of sums and histograms.
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::Keeps;
    /// What it does to points that nobody sent anew.
    const REPEATS: RepeatEffect = RepeatEffect::Keeps;

    /// Makes one; `None` after having reported errors to the context.
    fn create(config: Self::Config, context: &mut CreateContext<'_>) -> Option<Self::Made>;
}

fn make<C: Component>(context: &mut CreateContext<'_>) -> Option<C::Made> {
    let config = decode_with(context.node, &context.path, &Unsupported(C::SPEC.unsupported), context.diagnostics)?;
    C::create(config, context)
}

fn decode_only<C: Component>(node: &Node, path: &str, diagnostics: &mut Diagnostics) {
    let unsupported = Unsupported(C::SPEC.unsupported);
    drop(decode_with::<C::Config>(node, path, &unsupported, diagnostics));
}

fn schema<C: Component>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<C::Config>()
}

impl Factory {
    /// The factory of a polled receiver.
    pub const fn poller<C: Component<Made = Polling>>() -> Factory {
        Factory::new::<C>(Kind::Receiver, Build::Poller(make::<C>))
    }

    /// The factory of a receiver.
    pub const fn receiver<C: Component<Made = Box<dyn Receiver>>>() -> Factory {
        Factory::new::<C>(Kind::Receiver, Build::Receiver(make::<C>))
    }

    /// The factory of a receiver whose config says whether it is polled.
    pub const fn source<C: Component<Made = Source>>() -> Factory {
        Factory::new::<C>(Kind::Receiver, Build::Source(make::<C>))
    }

    /// The factory of a processor.
    pub const fn processor<C: Component<Made = Box<dyn Processor>>>() -> Factory {
        Factory::new::<C>(Kind::Processor, Build::Processor(make::<C>))
    }

    /// The factory of an exporter.
    pub const fn exporter<C: Component<Made = Exporter>>() -> Factory {
        Factory::new::<C>(Kind::Exporter, Build::Exporter(make::<C>))
    }

    /// The factory of a connector that joins the given pairs of signals.
    pub const fn connector<C: Component<Made = Box<dyn Connector>>>(pairs: &'static [SignalPair]) -> Factory {
        Factory::new::<C>(Kind::Connector, Build::Connector(make::<C>, pairs))
    }

    /// The factory of an extension.
    pub const fn extension<C: Component<Made = Arc<dyn Extension>>>() -> Factory {
        Factory::new::<C>(Kind::Extension, Build::Extension(make::<C>))
    }

    const fn new<C: Component>(kind: Kind, build: Build) -> Factory {
        Factory {
            spec: C::SPEC,
            kind,
            temporality: C::TEMPORALITY,
            repeats: C::REPEATS,
            schema: schema::<C>,
            decode: decode_only::<C>,
            build,
        }
    }
}

impl std::fmt::Debug for Factory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.spec.name)
    }
}

/// What a factory gets besides its config.
pub struct CreateContext<'a> {
    /// The component's id.
    pub id: &'a ComponentId,
    /// The id of the pipeline that a processor stands in; empty for other kinds.
    pub pipeline: &'a str,
    /// The signal of this instance; for receivers that run, the first of those that list it; metrics for extensions.
    pub signal: Signal,
    /// The process's clock.
    pub clock: &'a Clock,
    /// For instruments; already labelled with kind and id.
    pub meter: &'a Meter,
    /// The process's own metrics.
    pub own_metrics: &'a Arc<dyn OwnMetrics>,
    /// Where the component's config stands.
    pub node: &'a Node,
    /// The path of `node`: `exporters.otlp/x`.
    pub path: String,
    /// Where errors and warnings go.
    pub diagnostics: &'a mut Diagnostics,
    /// Whom to ask for extensions.
    pub extensions: &'a mut dyn Extensions,
}

/// Finds and makes extensions; implemented by the engine and by the test kit.
pub trait Extensions {
    /// The extension of this id, made now if it was not. `None` if there is none of this id or it could not be made
    /// (its own errors are in the diagnostics then).
    fn resolve(&mut self, id: &ComponentId, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Extension>>;
    /// The ids that config has.
    fn ids(&self) -> Vec<String>;
    /// Bounds the process's memory budget; of several bounds the lowest holds.
    fn limit_memory(&mut self, _bytes: u64) {}
    /// The same, as so many per cent of the container's memory limit, or of the machine's memory if there is none.
    fn limit_memory_share(&mut self, _percent: u32) {}
    /// The pipelines that list this connector as a receiver, those that are not enabled included.
    fn fed_by(&self, _connector: &ComponentId) -> Vec<ComponentId> {
        Vec::new()
    }
}

impl CreateContext<'_> {
    /// Reports an error about the value at `relative`, a path below the component (`auth.authenticator`).
    pub fn error(&mut self, relative: &str, message: impl Into<String>) {
        self.report(relative, Diagnostic::error("invalid-value", message));
    }

    /// Reports a warning about the value at `relative`.
    pub fn warning(&mut self, relative: &str, message: impl Into<String>) {
        self.report(relative, Diagnostic::warning("questionable-value", message));
    }

    /// Reports any diagnostic about the value at `relative`.
    pub fn report(&mut self, relative: &str, diagnostic: Diagnostic) {
        let diagnostic = diagnostic.at_node(self.node, &self.path, relative);
        self.diagnostics.push(diagnostic);
    }

    /// The extension named at `relative`, as an authenticator.
    pub fn authenticator(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn Authenticator>> {
        let extension = self.extension(relative, id)?;
        let found = extension.as_authenticator();
        if found.is_none() {
            self.error(relative, format!("extension `{id}` does not authenticate outgoing requests"));
        }
        found
    }

    /// The extension named at `relative`, as a doorkeeper of incoming requests.
    pub fn server_authenticator(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn ServerAuthenticator>> {
        let extension = self.extension(relative, id)?;
        let found = extension.as_server_authenticator();
        if found.is_none() {
            self.error(relative, format!("extension `{id}` does not check incoming requests"));
        }
        found
    }

    /// The extension named at `relative`, as an AWS endpoint on this machine.
    pub fn aws_endpoint(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn AwsEndpoint>> {
        let extension = self.extension(relative, id)?;
        let found = extension.as_aws_endpoint();
        if found.is_none() {
            self.error(relative, format!("extension `{id}` is not an AWS service on this machine"));
        }
        found
    }

    /// The extension named at `relative`, as a place for state.
    pub fn storage(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn Storage>> {
        let extension = self.extension(relative, id)?;
        let found = extension.as_storage();
        if found.is_none() {
            self.error(relative, format!("extension `{id}` does not store anything"));
        }
        found
    }

    /// Whose state this component's is.
    pub fn owner(&self, kind: Kind) -> Owner {
        let place = if kind == Kind::Processor { self.pipeline.to_string() } else { self.signal.to_string() };
        Owner { kind: kind.name(), id: self.id.to_string(), place }
    }

    /// The extension named at `relative`, as a lease.
    pub fn leadership(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn Leadership>> {
        let extension = self.extension(relative, id)?;
        let found = extension.as_leadership();
        if found.is_none() {
            self.error(relative, format!("extension `{id}` does not decide who leads"));
        }
        found
    }

    /// Whether config has an extension of this id.
    pub fn has_extension(&self, id: &str) -> bool {
        self.extensions.ids().iter().any(|known| known == id)
    }

    fn extension(&mut self, relative: &str, id: &ComponentId) -> Option<Arc<dyn Extension>> {
        let ids = self.extensions.ids();
        if !ids.iter().any(|known| known == id.as_str()) {
            let known = if ids.is_empty() { "none".to_string() } else { ids.join(", ") };
            let diagnostic = Diagnostic::error("unknown-reference", format!("there is no extension `{id}`"))
                .with_expected(format!("the id of an extension under `extensions`: {known}"))
                .with_suggestion(id.as_str(), ids.iter().map(String::as_str));
            self.report(relative, diagnostic);
            return None;
        }
        self.extensions.resolve(id, self.diagnostics)
    }
}

/// The config block that names an authenticator: `auth: {authenticator: sigv4auth/amp}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The id of the extension that authenticates requests.
    pub authenticator: ComponentId,
}
