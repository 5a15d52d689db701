//! The processor: what is known of the machine goes on every resource.
//! Until detectors have answered, and where they found nothing, batches pass as they are.

use steadyline_component::{Batch, Data, Host, Processor, SettleError, StartError, Work, async_trait};

use crate::apply;
use crate::detection::{Detected, Detection};

/// Adds what the machine says about itself.
#[derive(Debug)]
pub(crate) struct ResourceDetection {
    /// Until the start.
    detection: Option<Detection>,
    detected: Detected,
    overrides: bool,
}

impl ResourceDetection {
    pub(crate) fn new(detection: Detection, overrides: bool) -> ResourceDetection {
        ResourceDetection { detected: detection.detected(), detection: Some(detection), overrides }
    }
}

#[async_trait]
impl Processor for ResourceDetection {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        match self.detection.take() {
            Some(detection) => detection.start(host).await,
            None => Ok(()),
        }
    }

    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        let attributes = self.detected.attributes();
        match &mut batch.data {
            Data::Metrics(metrics) => apply::to_metrics(metrics, &attributes, self.overrides),
            Data::Opaque(opaque) => match apply::to_opaque(opaque, &attributes, self.overrides) {
                Ok(described) => *opaque = described,
                Err(error) => {
                    work.tally.dropped("malformed", batch.items());
                    let refusal = SettleError::Final(format!("a resource is not what OTLP says: {error}"));
                    batch.header.receipts.iter().for_each(|receipt| receipt.fail(refusal.clone()));
                    return;
                }
            },
        }
        work.emit(batch);
    }
}
