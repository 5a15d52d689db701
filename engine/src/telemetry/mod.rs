//! How the process is watched. One reading over books, instruments and queues; OpenTelemetry's SDK around it for those
//! who scrape and those who are sent to; the same reading as data for a pipeline; and traces, by choice.
//! The Collector's names where it has one (`otelcol_*`), ours beside them (`steadyline_*`).
//!
//! | room | what lives there |
//! |---|---|
//! | [`reading`], [`families`], `process` | what is counted, read at once |
//! | `sdk`, `resource` | observable instruments over a reading; which process it is |
//! | `serve`, `exposition` | scraped: Prometheus' formats |
//! | `push`, `otlp` | sent: OTLP over gRPC and HTTP |
//! | [`own`] | down a pipeline: the receiver `internal` |
//! | [`traces`] | spans, and their ids for logs |

mod exposition;
pub mod families;
mod otlp;
pub mod own;
mod process;
mod push;
pub mod reading;
mod resource;
mod sdk;
mod serve;
pub mod traces;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use steadyline_component::StartError;
use steadyline_http::Serving;

pub use families::{Families, Family, Series};
pub use own::OwnData;
pub use reading::Reading;
pub use traces::{Span, Traces, current_ids};

use crate::build::Shared;
use crate::config::{Level, MetricsTelemetry, PrometheusReader, Reader, TelemetryConfig};
use push::Pusher;
use sdk::Collector;

/// How long the last of it may take to get out when the process stops.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// What shows and sends the process's own telemetry while it runs.
#[derive(Debug, Default)]
pub struct Telemetry {
    collector: Option<Arc<Collector>>,
    serving: Vec<Serving>,
    pushers: Vec<Pusher>,
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Listens and sends as config says.
    ///
    /// # Errors
    /// An address that config names cannot be listened on, or an exporter cannot be made. The default address is left
    /// alone if it is taken: two processes on one machine are no mistake.
    pub async fn start(config: &TelemetryConfig, shared: &Shared) -> Result<Telemetry, StartError> {
        let resource = resource::of_process(&config.resource);
        shared.own.set_resource(resource::that_stays(&config.resource));
        let spans = shared.traces.start(&config.traces, resource.clone(), &shared.clock)?;
        let mut telemetry = Telemetry { spans, ..Telemetry::default() };
        if config.metrics.level != Level::None {
            let collector = Arc::new(Collector::new(shared.reading.clone(), resource));
            telemetry.collector = Some(Arc::clone(&collector));
            telemetry.start_readers(&config.metrics, &collector, shared).await?;
        }
        Ok(telemetry)
    }

    async fn start_readers(
        &mut self,
        config: &MetricsTelemetry,
        collector: &Arc<Collector>,
        shared: &Shared,
    ) -> Result<(), StartError> {
        let Some(readers) = &config.readers else {
            match serve::listen(&PrometheusReader::default(), collector).await {
                Ok(server) => self.serving.push(server),
                Err(error) => tracing::warn!("own metrics are not served: {error}"),
            }
            return Ok(());
        };
        for reader in readers {
            match reader {
                Reader::Pull(pull) => {
                    self.serving.push(serve::listen(&pull.exporter.prometheus, collector).await?);
                }
                Reader::Periodic(periodic) => self.pushers.push(Pusher::start(periodic, collector, &shared.clock)?),
            }
        }
        Ok(())
    }

    /// Where own metrics can be scraped.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.serving.iter().map(Serving::address).collect()
    }

    /// Sends what is left, for a bounded time, and closes the listeners.
    pub async fn stop(self) {
        let pushers = self.pushers.into_iter().map(|pusher| pusher.stop(LAST_FLUSH));
        let serving = self.serving.into_iter().map(|server| server.stop(Duration::from_secs(1)));
        let spans = async {
            let Some(provider) = self.spans else { return };
            // It blocks; whoever waits here is bounded all the same.
            let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_FLUSH));
            if !matches!(tokio::time::timeout(LAST_FLUSH, flushed).await, Ok(Ok(Ok(())))) {
                tracing::warn!("the last of the own traces could not be sent within {LAST_FLUSH:?}");
            }
        };
        let (pushers, serving) = (futures_util::future::join_all(pushers), futures_util::future::join_all(serving));
        futures_util::future::join3(pushers, serving, spans).await;
        if let Some(collector) = self.collector {
            collector.stop();
        }
    }
}
