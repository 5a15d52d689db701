//! Making components from YAML text, and driving processors with a clock that stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_config::{ComponentId, Diagnostics, Environment, Severity, Source, load};
use steadyline_telemetry::{Metrics, Signal};

use super::notation;
use crate::batch::{Batch, Data, Header, Pass, PassEnd};
use crate::clock::Clock;
use crate::extension::Extension;
use crate::factory::{Build, Component, CreateContext, Extensions, Factory};
use crate::meter::Meter;
use crate::own::OwnMetrics;
use crate::processor::{Processor, Work};
use crate::tally::Tally;

/// Extensions that a test made itself, by id.
#[derive(Default)]
pub struct TestExtensions(pub BTreeMap<String, Arc<dyn Extension>>);

impl Extensions for TestExtensions {
    fn resolve(&mut self, id: &ComponentId, _: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        self.0.get(id.as_str()).cloned()
    }

    fn ids(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// Makes a component from the YAML of its body; the error is what a user would read.
///
/// # Errors
/// The rendered diagnostics, if there is an error among them.
pub fn create<C: Component>(yaml: &str) -> Result<C::Made, String> {
    create_with::<C>(yaml, &mut TestExtensions::default(), &Clock::manual(0), &Meter::default())
}

/// Like [`create`], with extensions, a clock and a meter.
///
/// # Errors
/// The rendered diagnostics, if there is an error among them.
pub fn create_with<C: Component>(
    yaml: &str,
    extensions: &mut TestExtensions,
    clock: &Clock,
    meter: &Meter,
) -> Result<C::Made, String> {
    create_in::<C>(Signal::Metrics, yaml, extensions, clock, meter)
}

/// Like [`create`], for a pipeline of the given signal.
///
/// # Errors
/// The rendered diagnostics, if there is an error among them.
pub fn create_for<C: Component>(signal: Signal, yaml: &str) -> Result<C::Made, String> {
    create_in::<C>(signal, yaml, &mut TestExtensions::default(), &Clock::manual(0), &Meter::default())
}

fn create_in<C: Component>(
    signal: Signal,
    yaml: &str,
    extensions: &mut TestExtensions,
    clock: &Clock,
    meter: &Meter,
) -> Result<C::Made, String> {
    with_context::<C, _>(signal, yaml, extensions, clock, meter, |context| {
        let config = steadyline_config::decode_with(
            context.node,
            &context.path,
            &steadyline_config::Unsupported(C::SPEC.unsupported),
            context.diagnostics,
        )?;
        C::create(config, context)
    })
}

fn with_context<C: Component, T>(
    signal: Signal,
    yaml: &str,
    extensions: &mut TestExtensions,
    clock: &Clock,
    meter: &Meter,
    make: impl FnOnce(&mut CreateContext<'_>) -> Option<T>,
) -> Result<T, String> {
    let id: ComponentId = C::SPEC.name.parse().expect("a type is an id");
    let indented: String = yaml.trim_end().lines().map(|line| format!("\n  {line}")).collect();
    let source = Source::inline("test.yaml", format!("{}:{indented}\n", C::SPEC.name));
    let (tree, mut diagnostics) = load(&[source], &[], &NoEnvironment);
    let made = tree.and_then(|tree| {
        let node = tree.root.get(C::SPEC.name).expect("the root has the component");
        let mut context = CreateContext {
            id: &id,
            pipeline: "",
            signal,
            clock,
            meter,
            own_metrics: &(Arc::new(TestOwnMetrics) as Arc<dyn OwnMetrics>),
            node,
            path: C::SPEC.name.to_string(),
            diagnostics: &mut diagnostics,
            extensions,
        };
        make(&mut context)
    });
    match made {
        Some(made) if !diagnostics.has_errors() => Ok(made),
        _ => Err(plain(&diagnostics)),
    }
}

/// The own metrics of a test: one sum, `own_items 1`.
struct TestOwnMetrics;

impl OwnMetrics for TestOwnMetrics {
    fn read(&self, time: u64) -> Metrics {
        notation::metrics(&format!("counter own_items 1 @{}", time / 1_000_000_000))
    }
}

/// One finding a line: severity, rule, path, message, what was expected, help.
fn plain(diagnostics: &Diagnostics) -> String {
    let mut text = String::new();
    for d in diagnostics.sorted() {
        let severity = if d.severity == Severity::Error { "error" } else { "warning" };
        text += &format!("{severity}[{}] {}: {}", d.rule, d.path, d.message);
        text += &d.expected.as_ref().map_or(String::new(), |e| format!("; expected {e}"));
        text += &d.help.as_ref().map_or(String::new(), |h| format!("; {h}"));
        text.push('\n');
    }
    text
}

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
}

/// Drives one processor.
pub struct ProcessorHarness {
    processor: Box<dyn Processor>,
    /// The clock that the processor sees; starts at the Unix epoch plus 1,000,000 s.
    pub clock: Clock,
    /// The processor's books.
    pub tally: Tally,
    /// What came out of the last call, whole.
    pub batches: Vec<Batch>,
    source: Arc<str>,
    identity: Arc<[Arc<str>]>,
}

/// The wall clock at a harness's start, in seconds.
const START: u64 = 1_000_000;

impl ProcessorHarness {
    /// A processor from the YAML of its body.
    ///
    /// # Panics
    /// If the config has an error.
    pub fn new<C: Component<Made = Box<dyn Processor>>>(yaml: &str) -> Self {
        ProcessorHarness::for_signal::<C>(Signal::Metrics, yaml)
    }

    /// Like [`ProcessorHarness::new`], for a pipeline of the given signal.
    ///
    /// # Panics
    /// If the config has an error.
    pub fn for_signal<C: Component<Made = Box<dyn Processor>>>(signal: Signal, yaml: &str) -> Self {
        let clock = Clock::manual(START * 1_000_000_000);
        let processor = create_in::<C>(signal, yaml, &mut TestExtensions::default(), &clock, &Meter::default())
            .unwrap_or_else(|text| panic!("{text}"));
        ProcessorHarness {
            processor,
            clock,
            tally: Tally::default(),
            batches: Vec::new(),
            source: Arc::from("test"),
            identity: Arc::default(),
        }
    }

    /// Batches that follow come from this source, with these identity attributes.
    pub fn source(&mut self, source: &str, identity: &[&str]) -> &mut Self {
        self.source = Arc::from(source);
        self.identity = identity.iter().map(|key| Arc::from(*key)).collect();
        self
    }

    /// Pushes points (see [`super::metrics`]) that belong to no pass; returns the lines that come out at once.
    pub fn push(&mut self, points: &str) -> Vec<String> {
        let header = self.header();
        self.push_batch(Batch { header, data: Data::Metrics(notation::metrics(points)) })
    }

    /// Pushes a whole pass of the source with a 60 s interval: its points, then its end.
    pub fn pass(&mut self, epoch: u64, points: &str, end: PassEnd) -> Vec<String> {
        let interval = Duration::from_secs(60);
        let time = self.clock.now().unix_nanos;
        let pass = Pass { epoch, time, interval, timeout: interval, end: None };
        let header = Header { pass: Some(pass.clone()), ..self.header() };
        let mut lines = self.push_batch(Batch { header, data: Data::Metrics(notation::metrics(points)) });
        let header = Header { pass: Some(Pass { end: Some(end), ..pass }), ..self.header() };
        lines.extend(self.push_batch(Batch { header, data: Data::Metrics(Metrics::default()) }));
        lines
    }

    /// Pushes any batch; returns the lines that come out at once.
    pub fn push_batch(&mut self, batch: Batch) -> Vec<String> {
        self.tally.incoming(batch.items());
        self.call(|processor, work| processor.process(batch, work))
    }

    /// Moves the clock on, waking the processor whenever it wants; returns the lines that came out.
    pub fn advance(&mut self, by: Duration) -> Vec<String> {
        let target = self.clock.now().mono + by;
        let mut lines = Vec::new();
        while let Some(at) = self.processor.wake_at().filter(|at| *at <= target) {
            let left = at.saturating_sub(self.clock.now().mono);
            self.clock.advance(left);
            lines.extend(self.call(|processor, work| processor.wake(work)));
            let next = self.processor.wake_at();
            assert!(next.is_none_or(|next| next > at), "a processor that is woken must not want the same moment again");
        }
        self.clock.advance(target.saturating_sub(self.clock.now().mono));
        lines
    }

    /// Stops the processor; returns the lines that came out.
    pub fn drain(&mut self) -> Vec<String> {
        self.call(|processor, work| processor.drain(work))
    }

    /// The processor itself.
    pub fn processor(&mut self) -> &mut dyn Processor {
        &mut *self.processor
    }

    /// How much was dropped for a reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.tally.balance().dropped.get(reason).copied().unwrap_or_default()
    }

    fn header(&self) -> Header {
        Header { source: Arc::clone(&self.source), identity: Arc::clone(&self.identity), ..Header::default() }
    }

    fn call(&mut self, call: impl FnOnce(&mut dyn Processor, &mut Work<'_>)) -> Vec<String> {
        let mut out = Vec::new();
        call(&mut *self.processor, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut out });
        self.tally.outgoing(out.iter().map(Batch::items).sum());
        self.tally.set_held(self.processor.held());
        let balance = self.tally.balance();
        assert_eq!(balance.missing(), 0, "conservation: {balance:?}");
        self.batches = out;
        self.batches.iter().filter_map(Batch::as_metrics).flat_map(notation::render).collect()
    }
}

/// Whether a factory makes what its kind says; for the test of a registry.
pub fn build_matches_kind(factory: &Factory) -> bool {
    use crate::factory::Kind;
    matches!(
        (factory.kind, factory.build),
        (Kind::Receiver, Build::Poller(_) | Build::Receiver(_) | Build::Source(_))
            | (Kind::Processor, Build::Processor(_))
            | (Kind::Exporter, Build::Exporter(_))
            | (Kind::Connector, Build::Connector(..))
            | (Kind::Extension, Build::Extension(_))
    )
}
