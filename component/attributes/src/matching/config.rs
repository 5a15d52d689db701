//! The config of include and exclude, and what is wrong with it.

use std::fmt;

use regex::RegexSet;
use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use steadyline_component::config::{path_index, path_join};
use steadyline_telemetry::Signal;

use super::Match;
use super::test::{AttributeTest, LibraryTest, SeverityTest, Texts, ValueTest};
use crate::Problems;
use crate::value::Constant;

/// Which items are meant. Of what is given all must hold; of a list of names, kinds, services or libraries one element must
/// fit, of a list of attributes all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchConfig {
    /// How texts are compared.
    pub match_type: MatchType,
    /// Tunes a cache that is not needed here; has no effect.
    #[serde(default)]
    pub regexp: Option<RegexpConfig>,
    /// Metrics: their names.
    #[serde(default)]
    pub metric_names: Vec<String>,
    /// Traces: the names of spans.
    #[serde(default)]
    pub span_names: Vec<String>,
    /// Traces: the kinds of spans: `SPAN_KIND_SERVER`, ...
    #[serde(default)]
    pub span_kinds: Vec<String>,
    /// Logs: bodies that are text.
    #[serde(default)]
    pub log_bodies: Vec<String>,
    /// Logs: the severity as text.
    #[serde(default)]
    pub log_severity_texts: Vec<String>,
    /// Logs: the least severity as a number.
    #[serde(default)]
    pub log_severity_number: Option<SeverityConfig>,
    /// Attributes of the point, span or record.
    #[serde(default)]
    pub attributes: Vec<AttributeConfig>,
    /// Attributes of the resource.
    #[serde(default)]
    pub resources: Vec<AttributeConfig>,
    /// Instrumentation scopes.
    #[serde(default)]
    pub libraries: Vec<LibraryConfig>,
    /// The resource's `service.name`.
    #[serde(default)]
    pub services: Vec<String>,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchType {
    /// Equal, and of the same type.
    Strict,
    /// By a regular expression that matches somewhere in the text; values that are no text are compared as text.
    Regexp,
}

/// The Collector's cache of regular expressions. Accepted; there is no cache here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegexpConfig {
    /// Has no effect.
    pub cacheenabled: bool,
    /// Has no effect.
    pub cachemaxnumentries: usize,
}

/// An attribute that must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeConfig {
    /// Its key.
    pub key: String,
    /// Its value; absent: any. With `regexp` a regular expression, else text, a number or a bool of the same type.
    #[serde(default)]
    pub value: Option<Constant>,
}

/// An instrumentation scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LibraryConfig {
    /// Its name.
    pub name: String,
    /// Its version; absent: any, empty: none.
    #[serde(default)]
    pub version: Option<String>,
}

/// A least severity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeverityConfig {
    /// The least severity: 1 to 24, or a name such as `WARN` or `ERROR2`.
    #[serde(deserialize_with = "severity")]
    #[schemars(with = "String")]
    pub min: i32,
    /// Whether records without a severity number fit.
    #[serde(default)]
    pub match_undefined: bool,
}

/// The names of the six ranges of severities, four numbers each.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// The number of a severity's name, with or without the prefix that OTLP gives it.
pub(crate) fn severity_number(name: &str) -> Option<i32> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SEVERITY_NUMBER_").unwrap_or(&name);
    let (at, base) = SEVERITIES.iter().enumerate().find(|(_, base)| name.starts_with(**base))?;
    let step = match &name[base.len()..] {
        "" => 0,
        "2" => 1,
        "3" => 2,
        "4" => 3,
        _ => return None,
    };
    Some(at as i32 * 4 + 1 + step)
}

fn severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    struct SeverityVisitor;
    impl Visitor<'_> for SeverityVisitor {
        type Value = i32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("1 to 24, or a name: TRACE, DEBUG, INFO, WARN, ERROR, FATAL, each perhaps with 2, 3 or 4")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i32, E> {
            i32::try_from(number)
                .ok()
                .filter(|number| (1..=24).contains(number))
                .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i32, E> {
            self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<i32, E> {
            severity_number(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
        }
    }
    deserializer.deserialize_any(SeverityVisitor)
}

/// What the keys of a [`MatchConfig`] are called where it is written, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Spelling {
    /// `attributes`.
    pub attributes: &'static str,
    /// `resources`.
    pub resources: &'static str,
    /// `log_bodies`.
    pub bodies: &'static str,
    /// `log_severity_texts`.
    pub severity_texts: &'static str,
}

impl Spelling {
    /// The keys as they are called here.
    pub const PLAIN: Spelling = Spelling {
        attributes: "attributes",
        resources: "resources",
        bodies: "log_bodies",
        severity_texts: "log_severity_texts",
    };
}

impl MatchConfig {
    /// A config in which nothing is given yet.
    pub fn new(match_type: MatchType) -> MatchConfig {
        MatchConfig {
            match_type,
            regexp: None,
            metric_names: Vec::new(),
            span_names: Vec::new(),
            span_kinds: Vec::new(),
            log_bodies: Vec::new(),
            log_severity_texts: Vec::new(),
            log_severity_number: None,
            attributes: Vec::new(),
            resources: Vec::new(),
            libraries: Vec::new(),
            services: Vec::new(),
        }
    }

    /// Whether nothing is given to match by.
    pub fn is_empty(&self) -> bool {
        *self == MatchConfig { regexp: self.regexp.clone(), ..MatchConfig::new(self.match_type) }
    }

    /// Compiles the config at `path` for a signal. What is wrong is noted; the result counts only if nothing is.
    pub fn compile(&self, signal: Signal, path: &str, spelling: Spelling, problems: &mut Problems) -> Match {
        if self.regexp.is_some() {
            let what = "this tunes a cache of the Collector's and has no effect: expressions are matched directly";
            problems.warning(path_join(path, "regexp"), what);
        }
        self.check_signal(signal, path, problems);
        if self.is_empty() {
            problems.error(path, "there is nothing to match by");
        }
        let mut compiler = Compiler { match_type: self.match_type, path, problems };
        let names = if signal == Signal::Metrics {
            compiler.texts("metric_names", &self.metric_names)
        } else {
            compiler.texts("span_names", &self.span_names)
        };
        Match {
            names,
            attributes: compiler.attributes(spelling.attributes, &self.attributes),
            resources: compiler.attributes(spelling.resources, &self.resources),
            libraries: compiler.libraries(&self.libraries),
            services: compiler.texts("services", &self.services),
            kinds: compiler.kinds(&self.span_kinds),
            bodies: compiler.texts(spelling.bodies, &self.log_bodies),
            severity_texts: compiler.texts(spelling.severity_texts, &self.log_severity_texts),
            severity_number: self
                .log_severity_number
                .map(|severity| SeverityTest { min: severity.min, match_undefined: severity.match_undefined }),
        }
    }

    /// A key that says nothing about the pipeline's signal is a slip.
    fn check_signal(&self, signal: Signal, path: &str, problems: &mut Problems) {
        let given = [
            ("metric_names", !self.metric_names.is_empty(), Signal::Metrics),
            ("span_names", !self.span_names.is_empty(), Signal::Traces),
            ("span_kinds", !self.span_kinds.is_empty(), Signal::Traces),
            ("log_bodies", !self.log_bodies.is_empty(), Signal::Logs),
            ("log_severity_texts", !self.log_severity_texts.is_empty(), Signal::Logs),
            ("log_severity_number", self.log_severity_number.is_some(), Signal::Logs),
        ];
        for (key, _, of) in given.into_iter().filter(|(_, given, of)| *given && *of != signal) {
            let message = format!("`{key}` is about {of}, but this instance stands in a pipeline of {signal}");
            problems.error(path_join(path, key), message);
        }
    }
}

struct Compiler<'a> {
    match_type: MatchType,
    path: &'a str,
    problems: &'a mut Problems,
}

impl Compiler<'_> {
    fn texts(&mut self, key: &str, texts: &[String]) -> Option<Texts> {
        if texts.is_empty() {
            return None;
        }
        let path = path_join(self.path, key);
        match self.match_type {
            MatchType::Strict => Some(Texts::Strict(texts.iter().cloned().collect())),
            MatchType::Regexp => {
                for (at, pattern) in texts.iter().enumerate() {
                    self.problems.regex(&path_index(&path, at), pattern);
                }
                RegexSet::new(texts).ok().map(Texts::Regexp)
            }
        }
    }

    fn kinds(&mut self, kinds: &[String]) -> Option<Texts> {
        use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
        if self.match_type == MatchType::Strict {
            let path = path_join(self.path, "span_kinds");
            for (at, kind) in kinds.iter().enumerate().filter(|(_, kind)| SpanKind::from_str_name(kind).is_none()) {
                let expected = "SPAN_KIND_SERVER, _CLIENT, _PRODUCER, _CONSUMER, _INTERNAL and _UNSPECIFIED";
                self.problems
                    .error(path_index(&path, at), format!("`{kind}` is no kind of span; there are {expected}"));
            }
        }
        self.texts("span_kinds", kinds)
    }

    fn attributes(&mut self, key: &str, attributes: &[AttributeConfig]) -> Vec<AttributeTest> {
        let list = path_join(self.path, key);
        let tests = attributes.iter().enumerate().map(|(at, attribute)| {
            let path = path_index(&list, at);
            if attribute.key.is_empty() {
                self.problems.error(path_join(&path, "key"), "the key of an attribute is not empty");
            }
            let value = attribute.value.as_ref().and_then(|value| self.value(&path_join(&path, "value"), value));
            AttributeTest { key: attribute.key.clone(), value }
        });
        tests.collect()
    }

    fn value(&mut self, path: &str, value: &Constant) -> Option<ValueTest> {
        match (self.match_type, value) {
            (MatchType::Strict, value) => Some(ValueTest::Equals(value.fixed())),
            (MatchType::Regexp, Constant::Text(pattern)) => self.problems.regex(path, pattern).map(ValueTest::Matches),
            (MatchType::Regexp, _) => {
                self.problems
                    .error(path, "with `match_type: regexp` a value is a regular expression: put it in quotes");
                None
            }
        }
    }

    fn libraries(&mut self, libraries: &[LibraryConfig]) -> Vec<LibraryTest> {
        let list = path_join(self.path, "libraries");
        let mut tests = Vec::new();
        for (at, library) in libraries.iter().enumerate() {
            let path = path_index(&list, at);
            let mut inner = Compiler { match_type: self.match_type, path: &path, problems: self.problems };
            let name = inner.texts("name", std::slice::from_ref(&library.name));
            let version = match library.version.as_deref() {
                None => None,
                // As a regular expression it would match every version.
                Some("") => Some(Texts::Strict([String::new()].into())),
                Some(version) => inner.texts("version", &[version.to_owned()]),
            };
            tests.extend(name.map(|name| LibraryTest { name, version }));
        }
        tests
    }
}
