//! How far the clock of this machine is from that of AWS, read off the `Date` of an answer.
//! Signatures that are five minutes off are refused; samples from a wrong clock are refused or, worse, taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use steadyline_component::{CheckRow, Verdict};

/// What AWS' clock shows more than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// In whole seconds; negative: our clock is ahead.
    pub seconds: i64,
}

/// Beyond this a signature is refused.
const REFUSED: Duration = Duration::from_secs(300);

/// A `Date` has whole seconds and the way back takes time: less than this says nothing.
const TOLERATED: Duration = Duration::from_secs(15);

impl Skew {
    /// Between a moment that AWS names and ours.
    pub fn between(theirs: SystemTime, ours: SystemTime) -> Skew {
        let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let seconds = match theirs.duration_since(ours) {
            Ok(behind) => whole(behind),
            Err(error) => -whole(error.duration()),
        };
        Skew { seconds }
    }

    /// The skew as a row of what `check` prints.
    pub fn row(self) -> CheckRow {
        let off = self.seconds.unsigned_abs();
        let (verdict, advice) = match off {
            _ if off < TOLERATED.as_secs() => (Verdict::Pass, ""),
            _ if off < REFUSED.as_secs() => (Verdict::Warn, "set the clock by NTP: samples carry its time"),
            _ => (Verdict::Fail, "set the clock by NTP: AWS refuses signatures that are five minutes off"),
        };
        let detail = if verdict == Verdict::Pass { "agrees with that of AWS".to_owned() } else { self.to_string() };
        CheckRow { what: "clock".to_owned(), verdict, detail, advice: advice.to_owned() }
    }
}

impl std::fmt::Display for Skew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = if self.seconds > 0 { "behind" } else { "ahead of" };
        write!(f, "the clock of this machine is {} s {side} that of AWS", self.seconds.unsigned_abs())
    }
}

/// Reads the `Date` off every answer of the SDK calls that it is attached to.
#[derive(Debug, Clone)]
pub(crate) struct DateProbe(Arc<AtomicI64>);

const UNKNOWN: i64 = i64::MIN;

impl Default for DateProbe {
    fn default() -> Self {
        DateProbe(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl DateProbe {
    /// What the last answer said, if it had a date.
    pub(crate) fn skew(&self) -> Option<Skew> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != UNKNOWN).then_some(Skew { seconds })
    }
}

impl Intercept for DateProbe {
    fn name(&self) -> &'static str {
        "DateProbe"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let theirs = context.response().headers().get("date").and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(theirs) = theirs {
            self.0.store(Skew::between(theirs, SystemTime::now()).seconds, Ordering::Relaxed);
        }
        Ok(())
    }
}
