package tracing_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is a receiver of OTLP over HTTP.
type collector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []*tracepb.Span
	service string
	heads   []http.Header
	answers []int // statuses to give, in this order, before 200
	reject  bool
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) receive(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	data, _ := io.ReadAll(body)
	c.heads = append(c.heads, r.Header)
	if len(c.answers) > 0 {
		w.WriteHeader(c.answers[0])
		c.answers = c.answers[1:]
		return
	}
	var sent tracepb.TracesData
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(data, &sent) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if c.reject {
		_, _ = w.Write([]byte{0x0a, 0x02, 0x08, 0x01}) // partial_success { rejected_spans: 1 }
	}
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				c.service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// world is a tracer whose spans go to a collector.
type world struct {
	t         *testing.T
	collector *collector
	tracer    *tracing.Tracer
	counts    tracing.Counts
	log       bytes.Buffer
}

func environment(list map[string]string) func(string) string {
	return func(name string) string { return list[name] }
}

func newWorld(t *testing.T, o tracing.Options) *world {
	t.Helper()
	w := &world{t: t, collector: newCollector(t)}
	if o.To == "" && (o.Getenv == nil || o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "") {
		o.To = w.collector.URL
	}
	if o.Getenv == nil {
		o.Getenv = environment(nil)
	}
	o.Version, o.ReadFile = "test", os.ReadFile
	var err error
	if w.tracer, err = tracing.New(o, &w.counts, slog.New(slog.NewTextHandler(&w.log, nil))); err != nil {
		t.Fatal(err)
	}
	return w
}

// end sends what is left and gives the spans by name.
func (w *world) end() map[string]*tracepb.Span {
	w.t.Helper()
	w.tracer.Close(w.t.Context())
	w.collector.mu.Lock()
	defer w.collector.mu.Unlock()
	byName := map[string]*tracepb.Span{}
	for _, s := range w.collector.spans {
		byName[s.GetName()] = s
	}
	return byName
}

func request(fields ...string) (*http.Request, *exchange.Exchange) {
	r := httptest.NewRequest(http.MethodGet, "/orders/7?token=swordfish", nil)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	x := &exchange.Exchange{
		ID: "0af7651916cd43dd8448eb211c80319c", Start: time.Now(), Host: "shop.dev", Path: "/orders/7", Route: "GET /orders/{id}", Backend: "orders",
		Client: exchange.Client{Scheme: "https", IP: netip.MustParseAddr("192.0.2.7"), Peer: netip.MustParseAddrPort("10.0.0.1:4711")},
	}
	return exchange.With(r, x), x
}

// attributes are those of a span as texts.
func attributes(s *tracepb.Span) map[string]string {
	list := map[string]string{}
	for _, a := range s.GetAttributes() {
		text := a.GetValue().GetStringValue()
		if n := a.GetValue().GetIntValue(); n != 0 {
			text = a.GetValue().String()
		}
		list[a.GetKey()] = text
	}
	return list
}

func TestARequestIsASpanAndEachAttemptIsOneBelow(t *testing.T) {
	w := newWorld(t, tracing.Options{Service: "edge"})
	r, x := request("User-Agent", "curl/8")
	w.tracer.Begin(r, x)
	head := exchange.MapHead(http.Header{"Traceparent": {"of the client"}, "Tracestate": {"of=it"}})
	var aws string
	end := x.Trace.Call(exchange.Call{
		Method: "GET", Backend: "orders", Address: "10.0.0.3:8080", URL: "http://10.0.0.3:8080/orders/7", Again: 1, Head: head,
		XRay: func(id string) { aws = id },
	})
	end(exchange.Attempt{Endpoint: "10.0.0.3:8080", Status: 503})
	x.Trace.Call(exchange.Call{Method: "PUT", Head: exchange.MapHead(http.Header{})})(exchange.Attempt{Err: &exchange.SendError{Dial: true, Err: errors.New("refused")}})
	x.Fault = fault.BackendUnreachable.New("")
	w.tracer.End(r, x, exchange.Outcome{Status: 502, Written: 10, Took: time.Millisecond})
	spans := w.end()
	server, client, failed := spans["GET /orders/{id}"], spans["GET"], spans["PUT"]
	if server == nil || client == nil || failed == nil || w.collector.service != "edge" {
		t.Fatalf("got %v of %q", spans, w.collector.service)
	}
	if server.GetKind() != tracepb.Span_SPAN_KIND_SERVER || client.GetKind() != tracepb.Span_SPAN_KIND_CLIENT || !bytes.Equal(client.GetParentSpanId(), server.GetSpanId()) {
		t.Errorf("server %v, client %v", server, client)
	}
	for span, want := range map[*tracepb.Span]map[string]string{
		server: {
			"http.request.method": "GET", "url.scheme": "https", "url.path": "/orders/7", "server.address": "shop.dev", "client.address": "192.0.2.7",
			"network.peer.address": "10.0.0.1", "network.peer.port": "int_value:4711", "network.protocol.version": "1.1", "user_agent.original": "curl/8",
			"http.route": "/orders/{id}", "http.response.status_code": "int_value:502", "weir.backend": "orders", "weir.problem": "backend-unreachable",
			"error.type": "backend-unreachable", "weir.request_id": x.ID,
		},
		client: {
			"http.request.method": "GET", "server.address": "10.0.0.3", "server.port": "int_value:8080", "url.full": "http://10.0.0.3:8080/orders/7",
			"http.request.resend_count": "int_value:1", "http.response.status_code": "int_value:503", "error.type": "503", "peer.service": "orders",
		},
		failed: {"error.type": "backend-unreachable"},
	} {
		got := attributes(span)
		for key, value := range want {
			if strings.ReplaceAll(got[key], " ", "") != value {
				t.Errorf("%s: %s is %q, want %q", span.GetName(), key, got[key], value)
			}
		}
		if span.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("%s is %v", span.GetName(), span.GetStatus())
		}
		for _, value := range got {
			if strings.Contains(value, "swordfish") {
				t.Errorf("%s holds the query: %q", span.GetName(), value)
			}
		}
	}
	id := x.ID // a trace that begins here has the request's id
	if x.Trace.ID() != id || !strings.HasPrefix(head.Get("Traceparent"), "00-"+id+"-") || !strings.HasSuffix(head.Get("Traceparent"), "-01") || head.Get("Tracestate") != "" {
		t.Errorf("trace %s, sent %q %q", x.Trace.ID(), head.Get("Traceparent"), head.Get("Tracestate"))
	}
	if want := "Root=1-" + id[:8] + "-" + id[8:] + ";Parent="; !strings.HasPrefix(aws, want) || !strings.HasSuffix(aws, ";Sampled=1") {
		t.Errorf("for AWS: %q", aws)
	}
	if w.counts.Recorded.Load() != 3 || w.counts.Sent.Load() != 3 || w.counts.Lost.Load() != 0 {
		t.Errorf("%d recorded, %d sent, %d lost", w.counts.Recorded.Load(), w.counts.Sent.Load(), w.counts.Lost.Load())
	}
}

func TestAStepIsASpanBetween(t *testing.T) {
	w := newWorld(t, tracing.Options{})
	r, x := request()
	w.tracer.Begin(r, x)
	below, end := x.Trace.Step("news", "home")
	head := exchange.MapHead(http.Header{})
	below.Call(exchange.Call{Method: "GET", Backend: "news", Head: head})(exchange.Attempt{Status: 500})
	_, failed := below.Step("deep", "inner")
	failed(exchange.Settled{Outcome: exchange.StepFailed, Err: fault.BackendTimeout.New(""), Cached: true})
	end(exchange.Settled{Outcome: exchange.StepElse, Err: errors.New("it answered 500"), Elements: 3})
	w.tracer.End(r, x, exchange.Outcome{Status: 200, Took: time.Millisecond})
	spans := w.end()
	server, step, call, deep := spans["GET /orders/{id}"], spans["step news"], spans["GET"], spans["step deep"]
	if server == nil || step == nil || call == nil || deep == nil || w.counts.Recorded.Load() != 4 {
		t.Fatalf("got %v, %d recorded", spans, w.counts.Recorded.Load())
	}
	if !bytes.Equal(step.GetParentSpanId(), server.GetSpanId()) || !bytes.Equal(call.GetParentSpanId(), step.GetSpanId()) ||
		!bytes.Equal(deep.GetParentSpanId(), step.GetSpanId()) || step.GetKind() != tracepb.Span_SPAN_KIND_INTERNAL {
		t.Errorf("server %v, step %v, call %v, deep %v", server, step, call, deep)
	}
	if id := below.ID(); id != x.ID || !strings.HasPrefix(head.Get("Traceparent"), "00-"+id+"-") {
		t.Errorf("trace %s, sent %q", id, head.Get("Traceparent"))
	}
	if step.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_UNSET || deep.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("step %v, deep %v", step.GetStatus(), deep.GetStatus())
	}
	for span, want := range map[*tracepb.Span]map[string]string{
		step: {
			"weir.step": "news", "weir.composition": "home", "weir.step.outcome": "else", "weir.step.error": "it answered 500", "error.type": "_OTHER",
			"weir.step.elements": "int_value:3",
		},
		deep: {"weir.step": "deep", "weir.composition": "inner", "weir.step.outcome": "failed", "error.type": "backend-timeout"},
	} {
		got := attributes(span)
		for key, value := range want {
			if strings.ReplaceAll(got[key], " ", "") != strings.ReplaceAll(value, " ", "") {
				t.Errorf("%s: %s is %q, want %q", span.GetName(), key, got[key], value)
			}
		}
		if _, cached := got["weir.step.cached"]; cached != (span == deep) {
			t.Errorf("%s: cached is %v", span.GetName(), cached)
		}
	}
}

func TestWhatIsNotSampledHasNoSpansOfSteps(t *testing.T) {
	none := 0.0
	w := newWorld(t, tracing.Options{Sample: &none})
	r, x := request()
	w.tracer.Begin(r, x)
	below, end := x.Trace.Step("news", "home")
	end(exchange.Settled{Outcome: exchange.StepOK})
	if below != x.Trace {
		t.Error("the calls of a step have a span between them and the request that nobody records")
	}
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	if spans := w.end(); len(spans) != 0 || w.counts.Recorded.Load() != 0 {
		t.Errorf("got %v", spans)
	}
}

func TestWhatIsNoFaultOfTheServerIsNone(t *testing.T) {
	w := newWorld(t, tracing.Options{})
	r, x := request()
	r.Method, x.ID, x.Route = "BREW", "mine", ""
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 404, Took: time.Millisecond})
	span := w.end()["HTTP"]
	if span == nil || span.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Fatalf("got %v", span)
	}
	if a := attributes(span); a["http.request.method"] != "_OTHER" || a["http.request.method_original"] != "BREW" {
		t.Errorf("got %v", a)
	}
	if len(x.Trace.ID()) != 32 || x.Trace.ID() == "mine" {
		t.Errorf("the trace is %q", x.Trace.ID())
	}
}

const (
	parentID = "4bf92f3577b34da6a3ce929d0e0e4736"
	sampled  = "00-" + parentID + "-00f067aa0ba902b7-01"
	dropped  = "00-" + parentID + "-00f067aa0ba902b7-00"
)

func TestATraceIsContinuedAndItsSamplingBelievedOfWhomTheConfigNames(t *testing.T) {
	all, none := 1.0, 0.0
	for name, c := range map[string]struct {
		options  tracing.Options
		trusted  bool
		fields   []string
		recorded bool
		trace    string // "": a new one
	}{
		"a trusted proxy samples":              {tracing.Options{Sample: &none}, true, []string{"Traceparent", sampled}, true, parentID},
		"a trusted proxy drops":                {tracing.Options{Sample: &all}, true, []string{"Traceparent", dropped}, false, parentID},
		"a stranger samples":                   {tracing.Options{Sample: &none}, false, []string{"Traceparent", sampled}, false, parentID},
		"a stranger drops":                     {tracing.Options{Sample: &all}, false, []string{"Traceparent", dropped}, true, parentID},
		"a stranger who is believed":           {tracing.Options{Sample: &none, Believe: tracing.BelieveEveryone}, false, []string{"Traceparent", sampled}, true, parentID},
		"a trusted proxy who is not":           {tracing.Options{Sample: &none, Believe: tracing.BelieveNobody}, true, []string{"Traceparent", sampled}, false, parentID},
		"the sampler does not look at parents": {tracing.Options{Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "always_on"})}, true, []string{"Traceparent", dropped}, true, parentID},
		"the sampler looks at parents":         {tracing.Options{Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_always_off"})}, true, []string{"Traceparent", sampled}, true, parentID},
		"always off":                           {tracing.Options{Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "always_off"})}, true, nil, false, ""},
		"no share":                             {tracing.Options{Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"})}, false, nil, false, ""},
		"nobody asks":                          {tracing.Options{}, false, nil, true, ""},
		"what cannot be parsed":                {tracing.Options{}, false, []string{"Traceparent", "00-zz-00f067aa0ba902b7-01"}, true, ""},
		"two of them":                          {tracing.Options{}, false, []string{"Traceparent", sampled, "Traceparent", sampled}, true, ""},
		"a state without a parent":             {tracing.Options{}, false, []string{"Tracestate", "a=b"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			r, x := request(append(c.fields, "Tracestate", "vendor=1")...)
			x.Client.Trusted = c.trusted
			w.tracer.Begin(r, x)
			head := exchange.MapHead(http.Header{})
			x.Trace.Call(exchange.Call{Method: "GET", Head: head})(exchange.Attempt{Status: 200})
			w.tracer.End(r, x, exchange.Outcome{Status: 200})
			if spans := w.end(); (len(spans) == 2) != c.recorded || len(spans) == 1 {
				t.Errorf("recorded are %v", spans)
			}
			trace, flags := parentID, "00"
			if c.trace == "" {
				trace = x.ID
			}
			if c.recorded {
				flags = "01"
			}
			if got := head.Get("Traceparent"); x.Trace.ID() != trace || !strings.HasPrefix(got, "00-"+trace+"-") || !strings.HasSuffix(got, "-"+flags) {
				t.Errorf("the backend gets %q of %s", got, x.Trace.ID())
			}
			if state := head.Get("Tracestate"); (state == "vendor=1") != (c.trace != "") {
				t.Errorf("the backend gets the state %q", state)
			}
		})
	}
}

func TestTheEnvironmentSaysWhereTo(t *testing.T) {
	for name, c := range map[string]struct {
		to     string
		list   map[string]string
		wanted bool
	}{
		"nothing":                   {"", nil, false},
		"an endpoint":               {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, true},
		"one of traces":             {"", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/x"}, true},
		"switched off by name":      {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, false},
		"switched off as a whole":   {"http://c:4318", map[string]string{"OTEL_SDK_DISABLED": "true"}, false},
		"switched off by a config":  {"off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, false},
		"a config":                  {"http://c:4318", nil, true},
		"a config over another one": {"http://c:4318", map[string]string{"OTEL_TRACES_EXPORTER": "none"}, true},
	} {
		o := tracing.Options{To: c.to, Getenv: environment(c.list)}
		if o.Wanted() != c.wanted {
			t.Errorf("%s: wanted is %v", name, !c.wanted)
		}
	}
}

func TestVariablesAndSettingsMeet(t *testing.T) {
	c := newCollector(t)
	w := &world{t: t, collector: c}
	var err error
	w.tracer, err = tracing.New(tracing.Options{
		Headers: map[string]string{"X-Own": "config"}, Version: "test", ReadFile: os.ReadFile,
		Getenv: environment(map[string]string{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.URL + "/v1/traces", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
			"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20a%3Db, X-Own=environment", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_EXPORTER_OTLP_TIMEOUT": "5000", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		}),
	}, &w.counts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	if len(w.end()) != 1 || len(c.heads) != 1 {
		t.Fatalf("got %v", c.heads)
	}
	h := c.heads[0]
	if h.Get("Authorization") != "Bearer a=b" || h.Get("X-Own") != "config" || h.Get("Content-Encoding") != "gzip" || h.Get("User-Agent") != "Weir/test" {
		t.Errorf("got %v", h)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for want, o := range map[string]tracing.Options{
		"write a URL such as":            {To: "collector:4318"},
		"the endpoint of traces":         {To: "http://a b"},
		"OTEL_TRACES_SAMPLER is":         {Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "sometimes"})},
		"OTEL_TRACES_SAMPLER_ARG":        {Getenv: environment(map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "5"})},
		"port 4318":                      {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})},
		"write gzip or none":             {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"})},
		"a list of name=value":           {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "Authorization"})},
		"percent-encoded":                {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "A=%zz"})},
		"OTEL_EXPORTER_OTLP_CERTIFICATE": {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/missing"})},
		"OTEL_EXPORTER_OTLP_CLIENT_":     {Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/missing"})},
		"OTEL_RESOURCE_ATTRIBUTES":       {Getenv: nil},
	} {
		if o.To == "" {
			o.To = "http://127.0.0.1:1"
		}
		if o.Getenv == nil {
			o.Getenv = environment(nil)
		}
		if strings.HasPrefix(want, "OTEL_RESOURCE") { // read by the SDK itself
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense")
		}
		o.ReadFile = os.ReadFile
		if tracer, err := tracing.New(o, new(tracing.Counts), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			if err == nil {
				tracer.Close(t.Context())
			}
			t.Errorf("%s: got %v", want, err)
		}
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "")
	}
}

func TestACollectorThatIsBusyIsAskedAgain(t *testing.T) {
	w := newWorld(t, tracing.Options{})
	w.collector.answers = []int{503}
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	if len(w.end()) != 1 || len(w.collector.heads) != 2 || w.counts.Sent.Load() != 1 {
		t.Errorf("asked %d times, %d sent", len(w.collector.heads), w.counts.Sent.Load())
	}
}

func TestWhatACollectorRefusesIsLostAndToldOnce(t *testing.T) {
	w := newWorld(t, tracing.Options{})
	w.collector.answers = []int{401}
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	if len(w.end()) != 0 || len(w.collector.heads) != 1 || w.counts.Lost.Load() != 1 || strings.Count(w.log.String(), "spans cannot be sent") != 1 {
		t.Errorf("asked %d times, %d lost, log: %s", len(w.collector.heads), w.counts.Lost.Load(), w.log.String())
	}
}

// TestARedirectIsNotFollowed: what is sent has a key that is the collector's alone.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newCollector(t)
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/v1/traces", http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	w := newWorld(t, tracing.Options{To: moved.URL, Getenv: environment(map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "x-key=swordfish"})})
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	w.end()
	if len(elsewhere.heads) > 0 || w.counts.Lost.Load() != 1 || !strings.Contains(w.log.String(), "307") {
		t.Errorf("sent elsewhere: %v; %d lost, log: %s", elsewhere.heads, w.counts.Lost.Load(), w.log.String())
	}
}

func TestSpansThatACollectorRejectsAreLost(t *testing.T) {
	w := newWorld(t, tracing.Options{})
	w.collector.reject = true
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	w.end()
	if w.counts.Lost.Load() != 1 || w.counts.Sent.Load() != 0 {
		t.Errorf("%d lost, %d sent", w.counts.Lost.Load(), w.counts.Sent.Load())
	}
}

func TestAnEndIsNotWaitedForWithoutEnd(t *testing.T) {
	w := newWorld(t, tracing.Options{To: "http://127.0.0.1:1"})
	r, x := request()
	w.tracer.Begin(r, x)
	w.tracer.End(r, x, exchange.Outcome{Status: 200})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w.tracer.Close(ctx)
}

func TestWithoutATracerNothingHappensAndCostsNothing(t *testing.T) {
	tracer, err := tracing.New(tracing.Options{Getenv: environment(nil)}, new(tracing.Counts), slog.New(slog.DiscardHandler))
	if tracer != nil || err != nil {
		t.Fatalf("got %v, %v", tracer, err)
	}
	r, x := request()
	if n := testing.AllocsPerRun(100, func() {
		tracer.Begin(r, x)
		tracer.End(r, x, exchange.Outcome{Status: 200})
	}); n > 0 || x.Trace != nil {
		t.Errorf("%.0f allocations, trace %v", n, x.Trace)
	}
}

func TestSharesAreKept(t *testing.T) {
	half := 0.5
	w := newWorld(t, tracing.Options{Sample: &half})
	for i := range 200 {
		r, x := request()
		x.ID = ""     // ids of their own
		if i%2 == 0 { // strangers' traces, all with one id
			r.Header.Set("Traceparent", sampled)
		}
		w.tracer.Begin(r, x)
		w.tracer.End(r, x, exchange.Outcome{Status: 200})
	}
	w.tracer.Close(t.Context())
	if n := w.counts.Recorded.Load(); n < 50 || n > 150 {
		t.Errorf("%d of 200 were recorded", n)
	}
	w.collector.mu.Lock()
	defer w.collector.mu.Unlock()
	ofOne := slices.DeleteFunc(w.collector.spans, func(s *tracepb.Span) bool { return !strings.HasPrefix(parentID, string(hexOf(s.GetTraceId()))) })
	if n := len(ofOne); n < 20 || n > 80 {
		t.Errorf("%d of 100 with an id of their client's choice were recorded", n)
	}
}

func hexOf(id []byte) []byte {
	const digits = "0123456789abcdef"
	var out []byte
	for _, b := range id {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return out
}

func FuzzWhatClientsSendIsReadSafely(f *testing.F) {
	f.Add(sampled, "a=b,c=d")
	f.Add("00-00000000000000000000000000000000-0000000000000000-00", ",,=")
	tracer, err := tracing.New(tracing.Options{To: "http://127.0.0.1:1", Sample: new(float64), Getenv: environment(nil)}, new(tracing.Counts), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { tracer.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, parent, state string) {
		r, x := request()
		r.Header["Traceparent"], r.Header["Tracestate"] = []string{parent}, []string{state}
		tracer.Begin(r, x)
		head := exchange.MapHead(http.Header{})
		x.Trace.Call(exchange.Call{Head: head})(exchange.Attempt{})
		tracer.End(r, x, exchange.Outcome{})
		if got := head.Get("Traceparent"); len(got) != len(sampled) || strings.ContainsAny(head.Get("Tracestate"), "\r\n") {
			t.Errorf("sent %q, %q", got, head.Get("Tracestate"))
		}
	})
}
