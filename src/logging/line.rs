//! How a log line looks: one JSON object, or words for people. Both carry the fields that config wants on every line;
//! JSON also carries the ids of the trace that the line belongs to, if there is one.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use steadyline_engine::telemetry::current_ids;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `{"timestamp": ..., "level": ..., "message": ..., ...}`.
pub(super) struct JsonLine(BTreeMap<String, String>);

impl JsonLine {
    pub(super) fn new(initial: BTreeMap<String, String>) -> Self {
        JsonLine(initial)
    }

    fn object(&self, event: &Event<'_>, ids: Option<(String, String)>) -> Map<String, Value> {
        let mut line = Map::new();
        let mut time = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut time)).is_ok() {
            line.insert("timestamp".into(), time.into());
        }
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.extend(self.0.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
        event.record(&mut Fields(&mut line));
        if let Some((trace, span)) = ids {
            line.insert("trace_id".into(), trace.into());
            line.insert("span_id".into(), span.into());
        }
        line
    }
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", Value::Object(self.object(event, current_ids())))
    }
}

/// Puts an event's fields into an object, each as what it is.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_string(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

/// A line for people, the fields of every line at its end.
pub(super) struct ConsoleLine {
    format: Format<Full>,
    end: String,
}

impl ConsoleLine {
    pub(super) fn new(initial: BTreeMap<String, String>, colour: bool) -> Self {
        let end = initial.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        ConsoleLine { format: Format::default().with_target(false).with_ansi(colour), end }
    }
}

impl<S, N> FormatEvent<S, N> for ConsoleLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.end.is_empty() {
            return self.format.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{}{}", line.trim_end(), self.end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Result, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Layer;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Out {
        type Writer = Out;

        fn make_writer(&'a self) -> Out {
            self.clone()
        }
    }

    fn initial() -> BTreeMap<String, String> {
        [("service".to_string(), "billing".to_string())].into()
    }

    #[test]
    fn json_lines_are_flat_objects_with_typed_fields() {
        let out = Out::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(out.clone()).event_format(JsonLine::new(initial()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.boxed()), || {
            tracing::warn!(items = 3_u64, ok = false, component = %"exporter:x", "it \"broke\"");
        });
        let line: Value = serde_json::from_slice(&out.0.lock().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"it \"broke\"".into()));
        assert_eq!((&line["items"], &line["ok"]), (&3.into(), &false.into()));
        assert_eq!((&line["component"], &line["service"]), (&"exporter:x".into(), &"billing".into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(line.get("trace_id").is_none());
    }

    #[test]
    fn console_lines_end_with_the_fields_of_every_line() {
        let out = Out::default();
        let layer =
            tracing_subscriber::fmt::layer().with_writer(out.clone()).event_format(ConsoleLine::new(initial(), false));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.boxed()), || {
            tracing::info!(items = 3, "done");
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("INFO done items=3 service=billing\n"), "{text}");
    }
}
