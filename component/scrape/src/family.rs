//! How the series of a family are called: which of them is a histogram's sum, which a counter's value.

use steadyline_prometheus::MetricKind;

/// What a series is to its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Member {
    /// Its value; of a summary, a quantile.
    Value,
    /// A bucket of a histogram, up to its label `le`.
    Bucket,
    /// The sum of all observations.
    Sum,
    /// The number of all observations.
    Count,
    /// When the counting began, in seconds.
    Created,
}

/// What the series `name` is to the family of that name and type; `None` if it is not of it.
///
/// In text and protobuf a counter's family has the name of its series; in OpenMetrics the series adds `_total`, and an
/// info adds `_info`.
pub fn member(family: &str, kind: MetricKind, name: &str) -> Option<Member> {
    use MetricKind::{Counter, GaugeHistogram, Histogram, Info, Summary};
    let suffix = name.strip_prefix(family)?;
    Some(match (kind, suffix) {
        (_, "") => Member::Value,
        (Counter, "_total") | (Info, "_info") => Member::Value,
        (Histogram | GaugeHistogram, "_bucket") => Member::Bucket,
        (Histogram | GaugeHistogram | Summary, "_sum") | (GaugeHistogram, "_gsum") => Member::Sum,
        (Histogram | GaugeHistogram | Summary, "_count") | (GaugeHistogram, "_gcount") => Member::Count,
        (Counter | Histogram | Summary, "_created") => Member::Created,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_families() {
        use MetricKind::*;
        let rows = [
            (Counter, "a", Some(Member::Value)),
            (Counter, "a_total", Some(Member::Value)),
            (Counter, "a_created", Some(Member::Created)),
            (Counter, "a_sum", None),
            (Gauge, "a", Some(Member::Value)),
            (Gauge, "a_total", None),
            (Histogram, "a_bucket", Some(Member::Bucket)),
            (Histogram, "a_sum", Some(Member::Sum)),
            (Histogram, "a_count", Some(Member::Count)),
            (Histogram, "a_gsum", None),
            (GaugeHistogram, "a_gsum", Some(Member::Sum)),
            (GaugeHistogram, "a_gcount", Some(Member::Count)),
            (GaugeHistogram, "a_created", None),
            (Summary, "a", Some(Member::Value)),
            (Summary, "a_bucket", None),
            (Summary, "a_created", Some(Member::Created)),
            (Info, "a_info", Some(Member::Value)),
            (StateSet, "a", Some(Member::Value)),
            (Unknown, "a_count", None),
            (Unknown, "b", None),
            (Unknown, "ab", None),
        ];
        for (kind, name, expected) in rows {
            assert_eq!(member("a", kind, name), expected, "{kind:?} {name}");
        }
    }
}
