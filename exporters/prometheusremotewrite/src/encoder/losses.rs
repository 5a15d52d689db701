//! Points that cannot be sent: each is counted under a reason, and each reason is logged once per interval with an example.

use steadyline_component::losses;

/// Why a point is not sent. In the order of [`losses::Loss::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is no data, but a confirmation by its source.
    Confirmation,
    /// It does not say when.
    NoTimestamp,
    /// It has neither a value nor the "no value" flag.
    NoValue,
    /// A sum or histogram since the last report.
    Delta,
    /// A sum or histogram that does not say since when it counts.
    NoTemporality,
    /// Bounds and counts do not fit.
    MalformedHistogram,
    /// A quantile that is no number.
    MalformedSummary,
    /// An exponential histogram, and native histograms are switched off.
    NativeHistogram,
    /// An exponential histogram below scale -4.
    HistogramTooCoarse,
    /// An exponential histogram without a sum.
    NoSum,
    /// A metric's name has no character that can be kept.
    NoName,
    /// A metric's name is not legal in remote write 1.0.
    IllegalName,
    /// A label's name is not legal in remote write 1.0.
    IllegalLabelName,
    /// Attributes want one label, and the policy is to drop.
    LabelCollision,
    /// A series that does not fit into a request.
    SeriesTooLarge,
}

impl losses::Loss for Loss {
    const ALL: &'static [Loss] = &[
        Loss::Confirmation,
        Loss::NoTimestamp,
        Loss::NoValue,
        Loss::Delta,
        Loss::NoTemporality,
        Loss::MalformedHistogram,
        Loss::MalformedSummary,
        Loss::NativeHistogram,
        Loss::HistogramTooCoarse,
        Loss::NoSum,
        Loss::NoName,
        Loss::IllegalName,
        Loss::IllegalLabelName,
        Loss::LabelCollision,
        Loss::SeriesTooLarge,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn reason(self) -> &'static str {
        match self {
            Loss::Confirmation => "confirmation",
            Loss::NoTimestamp => "no_timestamp",
            Loss::NoValue => "no_value",
            Loss::Delta => "delta",
            Loss::NoTemporality => "no_temporality",
            Loss::MalformedHistogram => "malformed_histogram",
            Loss::MalformedSummary => "malformed_summary",
            Loss::NativeHistogram => "native_histogram",
            Loss::HistogramTooCoarse => "histogram_too_coarse",
            Loss::NoSum => "no_sum",
            Loss::NoName => "no_name",
            Loss::IllegalName => "illegal_name",
            Loss::IllegalLabelName => "illegal_label_name",
            Loss::LabelCollision => "label_collision",
            Loss::SeriesTooLarge => "series_too_large",
        }
    }

    fn is_told(self) -> bool {
        self != Loss::Confirmation
    }
}

// None is missing in the list.
const _: () = assert!(<Loss as losses::Loss>::ALL.len() == Loss::SeriesTooLarge as usize + 1);

impl Loss {
    /// What to do about it, for the log.
    fn advice(self) -> &'static str {
        match self {
            Loss::Confirmation => "",
            Loss::NoTimestamp => "the source must set the points' time",
            Loss::NoValue => "the source must set a value, or the flag that there is none",
            Loss::Delta => {
                "Prometheus knows cumulative data only: add the processor `deltatocumulative`, or configure the source for cumulative temporality"
            }
            Loss::NoTemporality => "the source must say cumulative or delta",
            Loss::MalformedHistogram => {
                "bounds must rise, there must be one count more than bounds, and the counts must sum up to the total"
            }
            Loss::MalformedSummary => "quantiles must be numbers",
            Loss::NativeHistogram => "set `send_native_histograms: true`, or have the source send explicit bounds",
            Loss::HistogramTooCoarse => "the scale must be -4 or more",
            Loss::NoSum => "native histograms need a sum",
            Loss::NoName => "the metric needs a name with a letter or a digit",
            Loss::IllegalName | Loss::IllegalLabelName => {
                "remote write 1.0 takes names of `[a-zA-Z0-9_]` only: choose an escaping `translation_strategy`, or `protobuf_message: io.prometheus.write.v2.Request`"
            }
            Loss::LabelCollision => "rename one of the attributes, or set `on_collision` to `join`, `first` or `last`",
            Loss::SeriesTooLarge => "shorten the attributes, or raise `max_batch_size_bytes`",
        }
    }
}

/// Counts by reason for one batch, and when each reason was last logged.
pub(super) type Losses = losses::Losses<Loss>;

/// The log's line for a reason.
pub(super) fn warn(loss: Loss, points: u64, metric: &str) {
    use losses::Loss as _;
    tracing::warn!(reason = loss.reason(), points, metric, "points cannot be sent: {}", loss.advice());
}
