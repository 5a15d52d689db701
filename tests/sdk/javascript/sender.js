// An application for tests, instrumented with OpenTelemetry's SDK for JavaScript: every kind of metric, spans with events
// and links, log records of every type of value. Sends all of it once and ends with 0 if the SDK says that everything was
// taken. `http` sends JSON, `proto` protobuf by HTTP.
//
//     sender.js grpc 127.0.0.1:4317 gzip [--delta]
//     sender.js http http://127.0.0.1:4318 none [--delta]
"use strict";

const { SpanKind, SpanStatusCode, ROOT_CONTEXT, trace, diag, DiagLogLevel } = require("@opentelemetry/api");
const { SeverityNumber } = require("@opentelemetry/api-logs");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { LoggerProvider, BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { AggregationTemporality, AggregationType, MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const [protocol, endpoint, compression, temporality] = process.argv.slice(2);
const failures = [];
// What an exporter cannot return it reports here.
const report = (...words) => failures.push(words.map(String).join(" "));
const ignore = () => {};
diag.setLogger({ error: report, warn: report, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);

function exporter(signal, type, options = {}) {
  const module = require(`@opentelemetry/exporter-${signal}-otlp-${protocol}`);
  const url = protocol === "grpc" ? `http://${endpoint}` : `${endpoint}/v1/${signal === "trace" ? "traces" : signal}`;
  return new module[type]({ url, compression, ...options });
}

async function sendMetrics(resource) {
  const temporalityPreference = temporality === "--delta" ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE;
  const reader = new PeriodicExportingMetricReader({
    exporter: exporter("metrics", "OTLPMetricExporter", { temporalityPreference }),
    exportIntervalMillis: 3_600_000,
  });
  const views = [{ instrumentName: "exponential", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }];
  const provider = new MeterProvider({ resource, readers: [reader], views });
  const meter = provider.getMeter("app", "1.2.3", { schemaUrl: "https://example.com/schema" });
  const attributes = { text: 'a"b\\c\nü', bool: true, int: -3, double: 0.5, list: ["a", "b"] };
  meter.createCounter("requests", { unit: "1", description: "requests served" }).add(3, attributes);
  meter.createUpDownCounter("open", { unit: "{connection}" }).add(-2, { pool: "a" });
  meter.createGauge("temperature", { unit: "Cel" }).record(21.5, { room: "x" });
  const latency = meter.createHistogram("latency", { unit: "s", advice: { explicitBucketBoundaries: [0.1, 1, 10] } });
  const spread = meter.createHistogram("exponential");
  for (const value of [0, 0.05, 0.5, 5, 50]) {
    latency.record(value, { route: "/" });
    spread.record(value, { route: "/" });
  }
  meter.createObservableCounter("ticks").addCallback((result) => result.observe(Number.MAX_SAFE_INTEGER));
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendTraces(resource) {
  const spanProcessors = [new BatchSpanProcessor(exporter("trace", "OTLPTraceExporter"))];
  const provider = new BasicTracerProvider({ resource, spanProcessors });
  const tracer = provider.getTracer("app", "1.2.3");
  const attributes = { "http.route": "/x", n: 5, list: [0.5, -1] };
  const parent = tracer.startSpan("parent", { kind: SpanKind.SERVER, attributes }, ROOT_CONTEXT);
  const links = [{ context: parent.spanContext(), attributes: { why: "test" } }];
  const child = tracer.startSpan("child", { links }, trace.setSpan(ROOT_CONTEXT, parent));
  child.addEvent("half way", { done: 0.5 });
  child.setStatus({ code: SpanStatusCode.ERROR, message: "it broke" });
  child.end();
  parent.end();
  await provider.forceFlush();
  await provider.shutdown();
  return parent;
}

async function sendLogs(resource, span) {
  const processors = [new BatchLogRecordProcessor({ exporter: exporter("logs", "OTLPLogExporter") })];
  const provider = new LoggerProvider({ resource, processors });
  const logger = provider.getLogger("app", "1.2.3");
  const plain = { severityNumber: SeverityNumber.INFO, severityText: "INFO", body: "plain words" };
  logger.emit({ ...plain, context: ROOT_CONTEXT, attributes: { step: "OrgCreated", number: 7 } });
  const body = { raw: Uint8Array.from([0, 255, 128]), list: [-1, false], double: 0.25, map: { deep: "ü" } };
  const rich = { eventName: "device.registered", severityNumber: SeverityNumber.ERROR2, body };
  logger.emit({ ...rich, context: trace.setSpan(ROOT_CONTEXT, span) });
  await provider.forceFlush();
  await provider.shutdown();
}

async function main() {
  const list = ["a", "b"];
  const resource = resourceFromAttributes({ "service.name": "shop", "service.instance.id": "1", "process.command_args": list });
  const span = await sendTraces(resource);
  await sendMetrics(resource);
  await sendLogs(resource, span);
}

main().catch(report).finally(() => {
  failures.forEach((words) => console.error(words));
  process.exitCode = failures.length === 0 ? 0 : 1;
});
