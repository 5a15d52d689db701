// Command sender is an application for tests, instrumented with OpenTelemetry's SDK for Go: every kind of metric with an
// exemplar, spans with events and links, log records of every type of value. Sends all of it once, by gRPC or by HTTP as
// protobuf, and ends with 0 if the SDK says that everything was taken.
//
//	sender grpc 127.0.0.1:4317 gzip [--delta]
//	sender http http://127.0.0.1:4318 none [--delta]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const wait = 30 * time.Second

type exporters struct {
	metrics sdkmetric.Exporter
	traces  sdktrace.SpanExporter
	logs    sdklog.Exporter
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: sender grpc|http ENDPOINT gzip|none [--delta]")
		os.Exit(2)
	}
	// What an exporter cannot return it reports here.
	var reported []error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { reported = append(reported, err) }))
	err := run(os.Args[1], os.Args[2], os.Args[3] == "gzip", slices.Contains(os.Args[4:], "--delta"))
	if err = errors.Join(append(reported, err)...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(protocol, endpoint string, gzip, delta bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	to, err := connect(ctx, protocol, endpoint, gzip, delta)
	if err != nil {
		return err
	}
	service := resource.NewSchemaless(
		attribute.String("service.name", "shop"),
		attribute.String("service.instance.id", "1"),
		attribute.StringSlice("process.command_args", []string{"a", "b"}),
	)
	// The span goes first: its context makes the exemplars.
	within, err := sendTraces(ctx, to.traces, service)
	return errors.Join(err, sendMetrics(ctx, within, to.metrics, service), sendLogs(ctx, within, to.logs, service))
}

func connect(ctx context.Context, protocol, endpoint string, gzip, delta bool) (to exporters, err error) {
	temporality := sdkmetric.DefaultTemporalitySelector
	if delta {
		temporality = sdkmetric.DeltaTemporalitySelector
	}
	var failed [3]error
	if protocol == "grpc" {
		metrics := []otlpmetricgrpc.Option{otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithEndpoint(endpoint),
			otlpmetricgrpc.WithTemporalitySelector(temporality)}
		traces := []otlptracegrpc.Option{otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(endpoint)}
		logs := []otlploggrpc.Option{otlploggrpc.WithInsecure(), otlploggrpc.WithEndpoint(endpoint)}
		if gzip {
			metrics = append(metrics, otlpmetricgrpc.WithCompressor("gzip"))
			traces = append(traces, otlptracegrpc.WithCompressor("gzip"))
			logs = append(logs, otlploggrpc.WithCompressor("gzip"))
		}
		to.metrics, failed[0] = otlpmetricgrpc.New(ctx, metrics...)
		to.traces, failed[1] = otlptracegrpc.New(ctx, traces...)
		to.logs, failed[2] = otlploggrpc.New(ctx, logs...)
		return to, errors.Join(failed[:]...)
	}
	endpoint = strings.TrimPrefix(endpoint, "http://")
	metrics := []otlpmetrichttp.Option{otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithEndpoint(endpoint),
		otlpmetrichttp.WithTemporalitySelector(temporality)}
	traces := []otlptracehttp.Option{otlptracehttp.WithInsecure(), otlptracehttp.WithEndpoint(endpoint)}
	logs := []otlploghttp.Option{otlploghttp.WithInsecure(), otlploghttp.WithEndpoint(endpoint)}
	if gzip {
		metrics = append(metrics, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		traces = append(traces, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		logs = append(logs, otlploghttp.WithCompression(otlploghttp.GzipCompression))
	}
	to.metrics, failed[0] = otlpmetrichttp.New(ctx, metrics...)
	to.traces, failed[1] = otlptracehttp.New(ctx, traces...)
	to.logs, failed[2] = otlploghttp.New(ctx, logs...)
	return to, errors.Join(failed[:]...)
}

func sendMetrics(ctx, within context.Context, to sdkmetric.Exporter, service *resource.Resource) error {
	exponential := sdkmetric.NewView(sdkmetric.Instrument{Name: "exponential"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(service), sdkmetric.WithView(exponential),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(to, sdkmetric.WithInterval(time.Hour))))
	meter := provider.Meter("app", metric.WithInstrumentationVersion("1.2.3"),
		metric.WithSchemaURL("https://example.com/schema"), metric.WithInstrumentationAttributes(attribute.Int("level", 2)))

	requests, e1 := meter.Int64Counter("requests", metric.WithUnit("1"), metric.WithDescription("requests served"))
	open, e2 := meter.Float64UpDownCounter("open", metric.WithUnit("{connection}"))
	temperature, e3 := meter.Float64Gauge("temperature", metric.WithUnit("Cel"))
	latency, e4 := meter.Float64Histogram("latency", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 1, 10))
	spread, e5 := meter.Float64Histogram("exponential")
	_, e6 := meter.Int64ObservableCounter("ticks", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(1<<53 + 1)
		return nil
	}))
	if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
		return err
	}
	requests.Add(within, 3, metric.WithAttributes(attribute.String("text", "a\"b\\c\nü"), attribute.Bool("bool", true),
		attribute.Int("int", -3), attribute.Float64("double", 0.5), attribute.StringSlice("list", []string{"a", "b"})))
	open.Add(ctx, -2, metric.WithAttributes(attribute.String("pool", "a")))
	temperature.Record(ctx, 21.5, metric.WithAttributes(attribute.String("room", "x")))
	// One value a bucket: which of two becomes the exemplar is left to chance.
	for _, value := range []float64{0.05, 0.5, 5, 50} {
		latency.Record(within, value, metric.WithAttributes(attribute.String("route", "/")))
		spread.Record(within, value-1, metric.WithAttributes(attribute.String("route", "/")))
	}
	spread.Record(within, 0, metric.WithAttributes(attribute.String("route", "/")))
	return errors.Join(provider.ForceFlush(ctx), provider.Shutdown(ctx))
}

// sendTraces returns the context of a span that is sampled.
func sendTraces(ctx context.Context, to sdktrace.SpanExporter, service *resource.Resource) (context.Context, error) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(service), sdktrace.WithBatcher(to))
	tracer := provider.Tracer("app", trace.WithInstrumentationVersion("1.2.3"))
	within, parent := tracer.Start(ctx, "parent", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.route", "/x"), attribute.Int("n", 5), attribute.Float64Slice("list", []float64{0.5, -1})))
	_, child := tracer.Start(within, "child", trace.WithLinks(
		trace.Link{SpanContext: parent.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("why", "test")}}))
	child.AddEvent("half way", trace.WithAttributes(attribute.Float64("done", 0.5)))
	child.SetStatus(codes.Error, "it broke")
	child.End()
	parent.End()
	return within, errors.Join(provider.ForceFlush(ctx), provider.Shutdown(ctx))
}

func sendLogs(ctx, within context.Context, to sdklog.Exporter, service *resource.Resource) error {
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(service), sdklog.WithProcessor(sdklog.NewBatchProcessor(to)))
	logger := provider.Logger("app", log.WithInstrumentationVersion("1.2.3"))
	var plain, rich log.Record
	plain.SetTimestamp(time.Now())
	plain.SetSeverity(log.SeverityInfo)
	plain.SetSeverityText("INFO")
	plain.SetBody(attribute.StringValue("plain words"))
	plain.AddAttributes(attribute.String("step", "OrgCreated"), attribute.Int("number", 7))
	rich.SetEventName("device.registered")
	rich.SetSeverity(log.SeverityError2)
	rich.SetBody(attribute.MapValue(
		attribute.KeyValue{Key: "raw", Value: attribute.ByteSliceValue([]byte{0, 255, 128})},
		attribute.KeyValue{Key: "list", Value: attribute.SliceValue(attribute.Int64Value(-1), attribute.BoolValue(false))},
		attribute.Float64("double", 1e300)))
	logger.Emit(ctx, plain)
	logger.Emit(within, rich)
	return errors.Join(provider.ForceFlush(ctx), provider.Shutdown(ctx))
}
