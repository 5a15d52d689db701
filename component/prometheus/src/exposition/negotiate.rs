//! Which format a scraper gets, from its `Accept` header.

use crate::names::Escaping;

/// The formats that can be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text 0.0.4; 1.0.0 where UTF-8 names are allowed.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily` messages, each behind its length.
    Protobuf,
}

/// A format, and how it shows names that are not classic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Format {
    /// How families are written.
    pub encoding: Encoding,
    /// How names are shown.
    pub escaping: Escaping,
}

impl Format {
    /// The value of the `Content-Type` header. Underscores are what every scraper expects, and so are not mentioned.
    pub fn content_type(self) -> &'static str {
        use Encoding::{OpenMetrics, Protobuf, Text};
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        match (self.encoding, self.escaping) {
            (Text, Underscores) => "text/plain; version=0.0.4; charset=utf-8",
            (Text, AllowUtf8) => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            (Text, Dots) => "text/plain; version=1.0.0; charset=utf-8; escaping=dots",
            (Text, Values) => "text/plain; version=1.0.0; charset=utf-8; escaping=values",
            (OpenMetrics, Underscores) => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            (OpenMetrics, AllowUtf8) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
            (OpenMetrics, Dots) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots",
            (OpenMetrics, Values) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values",
            (Protobuf, Underscores) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
            (Protobuf, AllowUtf8) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=allow-utf-8"
            }
            (Protobuf, Dots) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=dots"
            }
            (Protobuf, Values) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=values"
            }
        }
    }
}

/// The format that an `Accept` header prefers among all that can be written; text 0.0.4 where it names none of them.
pub fn negotiate(accept: &str) -> Format {
    negotiate_among(accept, &[Encoding::Text, Encoding::OpenMetrics, Encoding::Protobuf])
}

/// As [`negotiate`], for an exporter that offers less. Higher `q` wins, then what stands first; `q=0` is a refusal.
/// Text needs no offer: a scraper that finds nothing else gets it rather than an error.
pub fn negotiate_among(accept: &str, offered: &[Encoding]) -> Format {
    let mut best: Option<(Format, f32)> = None;
    for range in accept.split(',') {
        let Some((format, quality)) = parse(range) else {
            continue;
        };
        let offered = format.encoding == Encoding::Text || offered.contains(&format.encoding);
        if offered && quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format).unwrap_or_default()
}

/// The parameters of a media range that matter here.
#[derive(Default)]
struct Params<'a> {
    version: Option<&'a str>,
    proto: Option<&'a str>,
    encoding: Option<&'a str>,
    escaping: Escaping,
}

fn parse(range: &str) -> Option<(Format, f32)> {
    let mut parts = range.split(';');
    let media = parts.next()?.trim();
    let mut params = Params::default();
    let mut quality = 1.0;
    for part in parts {
        let (key, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "q" => quality = value.parse::<f32>().ok()?,
            "version" => params.version = Some(value),
            "proto" => params.proto = Some(value),
            "encoding" => params.encoding = Some(value),
            "escaping" => params.escaping = Escaping::parse(value).unwrap_or_default(),
            _ => {}
        }
    }
    Some((format(media, &params)?, quality))
}

fn format(media: &str, params: &Params<'_>) -> Option<Format> {
    let (encoding, escaping) = match media.to_ascii_lowercase().as_str() {
        "*/*" | "text/*" => (Encoding::Text, Escaping::Underscores),
        "text/plain" => match params.version {
            None | Some("0.0.4") => (Encoding::Text, Escaping::Underscores),
            Some("1.0.0") => (Encoding::Text, params.escaping),
            Some(_) => return None,
        },
        "application/openmetrics-text" => match params.version {
            None | Some("1.0.0") => (Encoding::OpenMetrics, params.escaping),
            Some(_) => return None,
        },
        "application/vnd.google.protobuf" => {
            let families = params.proto == Some("io.prometheus.client.MetricFamily");
            if !families || params.encoding != Some("delimited") {
                return None;
            }
            (Encoding::Protobuf, params.escaping)
        }
        _ => return None,
    };
    Some(Format { encoding, escaping })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encoding::{OpenMetrics, Protobuf, Text};

    #[test]
    fn scrapers_get_what_they_prefer() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let rows: &[(&str, Encoding, Escaping)] = &[
            ("", Text, Escaping::Underscores),
            ("*/*", Text, Escaping::Underscores),
            ("text/html", Text, Escaping::Underscores),
            ("text/plain", Text, Escaping::Underscores),
            ("text/plain;version=0.0.4", Text, Escaping::Underscores),
            ("text/plain;version=1.0.0;escaping=values", Text, Escaping::Values),
            ("text/plain;version=0.0.4;escaping=allow-utf-8", Text, Escaping::Underscores),
            ("application/openmetrics-text;version=1.0.0", OpenMetrics, Escaping::Underscores),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics, Escaping::Underscores),
            ("application/openmetrics-text;version=0.0.1,*/*;q=0.1", Text, Escaping::Underscores),
            ("application/openmetrics-text;version=2.0.0", Text, Escaping::Underscores),
            (prometheus3, OpenMetrics, Escaping::AllowUtf8),
            (proto, Protobuf, Escaping::Underscores),
            ("application/vnd.google.protobuf", Text, Escaping::Underscores),
            ("text/plain;q=0.5,application/openmetrics-text;q=0.7", OpenMetrics, Escaping::Underscores),
            ("text/plain;q=0.5,application/openmetrics-text;q=0.5", Text, Escaping::Underscores),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", Text, Escaping::Underscores),
            ("application/openmetrics-text;q=nonsense,,;", Text, Escaping::Underscores),
            ("application/openmetrics-text;q=NaN", Text, Escaping::Underscores),
            ("application/openmetrics-text;escaping=dots", OpenMetrics, Escaping::Dots),
            ("application/openmetrics-text;escaping=new", OpenMetrics, Escaping::Underscores),
        ];
        for (accept, encoding, escaping) in rows {
            let expected = Format { encoding: *encoding, escaping: *escaping };
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
        assert_eq!(negotiate_among(proto, &[OpenMetrics]).encoding, Text);
        assert_eq!(negotiate_among(prometheus3, &[Text]).escaping, Escaping::AllowUtf8);
    }

    #[test]
    fn what_is_answered_can_be_asked_for() {
        for encoding in [Text, OpenMetrics, Protobuf] {
            for escaping in [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                let format = Format { encoding, escaping };
                assert_eq!(negotiate(format.content_type()), format);
            }
        }
    }
}
