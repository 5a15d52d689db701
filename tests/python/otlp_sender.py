"""An application for tests, instrumented with OpenTelemetry's SDK for Python: every kind of metric, spans with events and
links, log records with and without a trace. Sends all of it once, by gRPC or by HTTP as protobuf, and ends with 0 if the
SDK says that everything was taken.

    otlp_sender.py grpc 127.0.0.1:4317 gzip
    otlp_sender.py http http://127.0.0.1:4318 none
"""

import argparse
import logging
import sys

from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context


def exporters(options):
    """The SDK's exporters for (metrics, traces, logs)."""
    if options.protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        compression = grpc.Compression.Gzip if options.compression == "gzip" else grpc.Compression.NoCompression
        common = {"endpoint": options.endpoint, "insecure": True, "compression": compression}
        endpoints = [{}, {}, {}]
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        common = {"compression": Compression(options.compression)}
        endpoints = [{"endpoint": f"{options.endpoint}/v1/{signal}"} for signal in ("metrics", "traces", "logs")]
    temporality = None
    if options.delta:
        temporality = {kind: AggregationTemporality.DELTA for kind in (Counter, Histogram, UpDownCounter)}
    return (
        OTLPMetricExporter(**common, **endpoints[0], preferred_temporality=temporality),
        OTLPSpanExporter(**common, **endpoints[1]),
        OTLPLogExporter(**common, **endpoints[2]),
    )


def send_metrics(exporter, resource):
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    exponential = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], resource=resource, views=[exponential])
    meter = provider.get_meter("app", "1.2.3", schema_url="https://example.com/schema")
    attributes = {"text": "a\"b\\c\nü", "bool": True, "int": -3, "double": 0.5, "list": ["a", "b"]}
    meter.create_counter("requests", unit="1", description="requests served").add(3, attributes)
    meter.create_up_down_counter("open", unit="{connection}").add(-2, {"pool": "a"})
    histogram = meter.create_histogram("latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1, 10])
    exponential = meter.create_histogram("exponential")
    for value in (0.05, 0.5, 5.0, 50.0):
        histogram.record(value, {"route": "/"})
        exponential.record(value, {"route": "/"})
    meter.create_observable_gauge("temperature", [lambda _: [Observation(21.5, {"room": "x"})]], unit="Cel")
    meter.create_observable_counter("ticks", [lambda _: [Observation(7)]])
    flushed = provider.force_flush()
    provider.shutdown()
    return flushed


def send_traces(exporter, resource):
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app", "1.2.3")
    parent = tracer.start_span("parent", kind=SpanKind.SERVER, attributes={"http.route": "/x", "n": 5})
    child = tracer.start_span("child", context=set_span_in_context(parent), links=[Link(parent.get_span_context(), {"why": "test"})])
    child.add_event("half way", {"done": 0.5})
    child.set_status(Status(StatusCode.ERROR, "it broke"))
    child.end()
    parent.end()
    flushed = provider.force_flush()
    provider.shutdown()
    return flushed


def send_logs(exporter, resource):
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.getLogger("app")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.info("plain words", extra={"step": "OrgCreated", "number": 7})
    logger.error("with a %s", "value")
    flushed = provider.force_flush()
    provider.shutdown()
    return flushed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=("grpc", "http"))
    parser.add_argument("endpoint")
    parser.add_argument("compression", choices=("gzip", "none"))
    parser.add_argument("--delta", action="store_true")
    options = parser.parse_args()
    resource = Resource({"service.name": "shop", "service.instance.id": "1", "host.cpus": 4})
    metrics, spans, logs = exporters(options)
    sent = send_metrics(metrics, resource)
    sent = send_traces(spans, resource) and sent
    sent = send_logs(logs, resource) and sent
    return 0 if sent else 1


if __name__ == "__main__":
    sys.exit(main())
