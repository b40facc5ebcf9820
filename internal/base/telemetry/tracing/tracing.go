package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Counts are how many spans were recorded, and what became of them. Spans that are neither sent nor lost are still
// waiting, or found the queue full.
type Counts struct{ Recorded, Sent, Lost atomic.Uint64 }

// Tracer makes spans and sends them. It is safe for concurrent use; a nil *Tracer
// makes none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	client   *client
	counts   *Counts
}

const defaultService = "weir"

// New makes a tracer, which must be closed with Close. It returns nil if tracing is not wanted. It opens no connection.
// An error is about the settings.
func New(o Options, counts *Counts, log *slog.Logger) (*Tracer, error) {
	if !o.Wanted() {
		return nil, nil
	}
	sample, err := newSampler(o)
	if err != nil {
		return nil, err
	}
	c, err := newClient(o, counts, log)
	if err != nil {
		return nil, err
	}
	about, err := about(o)
	if err != nil {
		return nil, err
	}
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sample), sdk.WithIDGenerator(ids{}), sdk.WithResource(about),
		sdk.WithBatcher(otlptrace.NewUnstarted(c)),
	)
	return &Tracer{
		provider: provider, client: c, counts: counts,
		tracer: provider.Tracer("github.com/weir-gateway/weir", trace.WithInstrumentationVersion(o.Version)),
	}, nil
}

// about returns the attributes of this process that all spans carry. The config's service name takes precedence over
// the environment's.
func about(o Options) (*resource.Resource, error) {
	options := []resource.Option{
		resource.WithAttributes(attribute.String("service.name", defaultService), attribute.String("service.version", o.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv(),
	}
	if o.Service != "" {
		options = append(options, resource.WithAttributes(attribute.String("service.name", o.Service)))
	}
	r, err := resource.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// Begin begins the span of a request, and continues the trace that it belongs to.
func (t *Tracer) Begin(r *http.Request, x *exchange.Exchange) {
	if t == nil {
		return
	}
	ctx, span := t.tracer.Start(extract(r.Context(), exchange.RequestHead(r)), methodOf(r.Method),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.Start))
	x.Trace = &part{tracer: t, ctx: ctx, span: span, id: span.SpanContext().TraceID().String()}
	if span.IsRecording() {
		t.counts.Recorded.Add(1)
		span.SetAttributes(received(r, x)...)
	}
}

// End ends the span of a request that Begin has begun.
func (t *Tracer) End(r *http.Request, x *exchange.Exchange, o exchange.Outcome) {
	if t == nil {
		return
	}
	p, ok := x.Trace.(*part)
	if !ok {
		return
	}
	if p.span.IsRecording() {
		if name := routeOf(x.Route); name != "" {
			p.span.SetName(methodOf(r.Method) + " " + name)
		}
		p.span.SetAttributes(answered(x, o)...)
		judge(p.span, o.Status, x.Fault)
	}
	p.span.End(trace.WithTimestamp(x.Start.Add(o.Took)))
}

// Close sends the remaining spans until ctx ends.
func (t *Tracer) Close(ctx context.Context) {
	_ = t.provider.Shutdown(ctx) // the client has logged what was lost
	t.client.giveUp()
}

// part is a request's part of a trace. It implements exchange.Trace.
type part struct {
	tracer *Tracer
	ctx    context.Context //nolint:containedctx // what OpenTelemetry knows a parent by
	span   trace.Span
	id     string
}

// ID returns the trace's id.
func (p *part) ID() string { return p.id }

// Step begins the span of a step. If nothing is recorded, the step has no span, and its calls belong directly to the
// request.
func (p *part) Step(name, of string) (below exchange.Trace, end func(exchange.Settled)) {
	if !p.span.IsRecording() {
		return p, func(exchange.Settled) {}
	}
	p.tracer.counts.Recorded.Add(1)
	ctx, span := p.tracer.tracer.Start(p.ctx, "step "+name, trace.WithTimestamp(time.Now()),
		trace.WithAttributes(attribute.String("weir.step", name), attribute.String("weir.composition", of)))
	return &part{tracer: p.tracer, ctx: ctx, span: span, id: p.id}, func(s exchange.Settled) {
		settled(span, s)
		span.End()
	}
}

// Call begins the span of a call to a backend.
func (p *part) Call(c exchange.Call) (end func(exchange.Attempt)) {
	_, span := p.tracer.tracer.Start(p.ctx, c.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(time.Now()))
	inject(c.Head, span.SpanContext())
	if c.XRay != nil {
		c.XRay(xray(span.SpanContext()))
	}
	if !span.IsRecording() {
		return func(exchange.Attempt) { span.End() }
	}
	p.tracer.counts.Recorded.Add(1)
	span.SetAttributes(called(c)...)
	return func(a exchange.Attempt) {
		ended(span, a)
		span.End()
	}
}
