//! Which formats a scraper asks for, and which one it gets.
//! The `Accept` header and the rules for `Content-Type` are those of Prometheus 3.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_prometheus::names::Escaping;
use thiserror::Error;

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics 0.0.1 and 1.0.0.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

/// A protocol that a scraper offers, by its name in `scrape_protocols`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ScrapeProtocol {
    /// Protobuf, the only one with native histograms.
    PrometheusProto,
    /// OpenMetrics 0.0.1.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    /// OpenMetrics 1.0.0.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
    /// The text format with classic names.
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
    /// The text format with UTF-8 names in quotes.
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
}

impl ScrapeProtocol {
    /// What is asked for if nothing is configured.
    pub const DEFAULT: [Self; 4] =
        [Self::OpenMetricsText1_0_0, Self::OpenMetricsText0_0_1, Self::PrometheusText1_0_0, Self::PrometheusText0_0_4];
    /// The same with native histograms.
    pub const DEFAULT_NATIVE: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// How its bodies are read.
    pub fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Format::OpenMetrics,
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Format::Text,
        }
    }

    fn media_range(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
        }
    }

    fn is_escaped(self) -> bool {
        matches!(self, Self::OpenMetricsText1_0_0 | Self::PrometheusText1_0_0)
    }
}

/// The value of the `Accept` header: the protocols, the first one preferred, and anything else rather than an error.
/// `escaping` is how the target shall show names that are not classic.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let mut header = String::new();
    let mut weight = ScrapeProtocol::DEFAULT_NATIVE.len() + 1;
    for protocol in protocols {
        header.push_str(protocol.media_range());
        if protocol.is_escaped() {
            header.push_str(";escaping=");
            header.push_str(escaping_name(escaping));
        }
        // Writing into a string cannot fail.
        let _ = write!(header, ";q=0.{weight},");
        weight = weight.saturating_sub(1).max(1);
    }
    let _ = write!(header, "*/*;q=0.{weight}");
    header
}

fn escaping_name(escaping: Escaping) -> &'static str {
    match escaping {
        Escaping::AllowUtf8 => "allow-utf-8",
        Escaping::Underscores => "underscores",
        Escaping::Dots => "dots",
        Escaping::Values => "values",
    }
}

/// A target answers in no format that can be read. The scrape fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentTypeError {
    /// No `Content-Type` at all.
    #[error("the target sends no Content-Type: set `fallback_scrape_protocol` to say how to read it")]
    Missing,
    /// Not a media type.
    #[error("cannot read the target's Content-Type `{0}`: set `fallback_scrape_protocol` to say how to read it")]
    Malformed(String),
    /// Some other media type.
    #[error(
        "the target's Content-Type `{0}` is no exposition format: set `fallback_scrape_protocol` to say how to read it"
    )]
    Unknown(String),
    /// Protobuf, but not the messages that a scraper reads.
    #[error("the target sends protobuf as `{0}`, which is not delimited MetricFamily messages")]
    Protobuf(String),
}

impl Format {
    /// The format that a target's `Content-Type` names; text without a version is text 0.0.4. `fallback` is for a type that
    /// is missing, unknown or malformed.
    ///
    /// # Errors
    /// There is no format, and no fallback.
    pub fn from_content_type(
        content_type: Option<&str>,
        fallback: Option<ScrapeProtocol>,
    ) -> Result<Self, ContentTypeError> {
        match named(content_type.unwrap_or_default()) {
            Ok(format) => Ok(format),
            Err(error @ ContentTypeError::Protobuf(_)) => Err(error),
            Err(error) => fallback.map(ScrapeProtocol::format).ok_or(error),
        }
    }
}

fn named(content_type: &str) -> Result<Format, ContentTypeError> {
    if content_type.trim().is_empty() {
        return Err(ContentTypeError::Missing);
    }
    let (media, params) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media = media.trim().to_ascii_lowercase();
    let shown = || crate::error::shown(content_type.as_bytes());
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
    };
    if !media.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub)) {
        return Err(ContentTypeError::Malformed(shown()));
    }
    match media.as_str() {
        "text/plain" => Ok(Format::Text),
        "application/openmetrics-text" => Ok(Format::OpenMetrics),
        "application/vnd.google.protobuf" if is_delimited(params) => Ok(Format::Protobuf),
        "application/vnd.google.protobuf" => Err(ContentTypeError::Protobuf(shown())),
        _ => Err(ContentTypeError::Unknown(shown())),
    }
}

fn is_delimited(params: &str) -> bool {
    params.split(';').filter_map(|param| param.split_once('=')).all(|(key, value)| {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "proto" => value == "io.prometheus.client.MetricFamily",
            "encoding" => value == "delimited",
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_header(
                &[ScrapeProtocol::PrometheusProto, ScrapeProtocol::PrometheusText1_0_0],
                Escaping::Underscores
            ),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             text/plain;version=1.0.0;escaping=underscores;q=0.5,*/*;q=0.4"
        );
        assert_eq!(accept_header(&[], Escaping::Dots), "*/*;q=0.6");
        assert!(accept_header(&ScrapeProtocol::DEFAULT_NATIVE, Escaping::Values).ends_with(",*/*;q=0.1"));
    }

    #[test]
    fn what_is_answered() {
        let rows: &[(&str, Option<Format>)] = &[
            ("text/plain", Some(Format::Text)),
            ("text/plain; charset=utf-8", Some(Format::Text)),
            ("TEXT/Plain; version=0.0.4", Some(Format::Text)),
            ("text/plain; version=1.0.0; escaping=allow-utf-8", Some(Format::Text)),
            ("application/openmetrics-text", Some(Format::OpenMetrics)),
            ("application/openmetrics-text; version=0.0.1", Some(Format::OpenMetrics)),
            ("application/vnd.google.protobuf", Some(Format::Protobuf)),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Some(Format::Protobuf),
            ),
            ("application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily\"", Some(Format::Protobuf)),
            ("application/vnd.google.protobuf; encoding=text", None),
            ("application/vnd.google.protobuf; proto=other.Message; encoding=delimited", None),
            ("application/json", None),
            ("text/html; charset=utf-8", None),
            ("text", None),
            ("text/", None),
            ("text /plain", None),
            ("", None),
        ];
        for (content_type, expected) in rows {
            assert_eq!(Format::from_content_type(Some(content_type), None).ok(), *expected, "{content_type}");
        }
    }

    #[test]
    fn a_fallback_stands_in_for_what_says_nothing() {
        let fallback = Some(ScrapeProtocol::OpenMetricsText1_0_0);
        for content_type in [None, Some(""), Some(" "), Some("text/html"), Some("nonsense")] {
            assert_eq!(Format::from_content_type(content_type, fallback), Ok(Format::OpenMetrics), "{content_type:?}");
            let error = Format::from_content_type(content_type, None).expect_err("no fallback");
            assert!(error.to_string().contains("fallback_scrape_protocol"), "{error}");
        }
        assert_eq!(Format::from_content_type(Some("text/plain"), fallback), Ok(Format::Text));
        let text = Some("application/vnd.google.protobuf; encoding=text");
        assert!(Format::from_content_type(text, fallback).is_err());
    }

    #[test]
    fn protocols_have_prometheus_names() {
        let names = [
            "PrometheusProto",
            "OpenMetricsText1.0.0",
            "OpenMetricsText0.0.1",
            "PrometheusText1.0.0",
            "PrometheusText0.0.4",
        ];
        for (protocol, name) in ScrapeProtocol::DEFAULT_NATIVE.iter().zip(names) {
            assert_eq!(serde_json::to_string(protocol).unwrap(), format!("\"{name}\""));
        }
    }
}
