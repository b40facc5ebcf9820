package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Telemetry says what operators learn about the gateway's work.
type Telemetry struct {
	Metrics   MetricsAccess
	AccessLog AccessLog
	Traces    Traces
}

// MetricsAccess says who may read the metrics, in addition to those who may read everything in the admin API.
type MetricsAccess struct {
	Open  bool    // everybody who can reach the admin API
	Token *Secret // permits reading the metrics, and nothing else
	Origin
}

// Destinations of access logs that are not files.
const (
	ToStderr = "stderr"
	ToStdout = "stdout"
	Off      = "off"
)

// AccessLog describes the access log, which has one line for each request.
type AccessLog struct {
	To      string   // ToStderr, ToStdout, Off, or the path of a file
	Format  string   // of accesslog.Formats; "": text, or the format of the program's own log
	Fields  []string // of accesslog.FieldNames; nil: its DefaultFields
	Headers []string // of the request
	// ResponseHeaders are headers of the response.
	ResponseHeaders []string
	Sample          float64 // the share of requests, 0 to 1
	Origin
}

// OrDefault returns a, or the default if a is the zero value. Objects have no such section.
func (a AccessLog) OrDefault() AccessLog {
	if a.To == "" {
		return DefaultTelemetry().AccessLog
	}
	return a
}

// Traces describes the spans that are sent to a collector. The environment (OTEL_...) decides what the zero value
// leaves open.
type Traces struct {
	To      string // the collector's URL; "": that of the environment, Off: none
	Headers map[string]Secret
	Service string
	Sample  *float64 // the share of traces that begin here, 0 to 1
	Believe string   // of tracing.Believes; "": proxies
	Origin
}

// DefaultTelemetry is the telemetry of a config that sets none.
func DefaultTelemetry() Telemetry {
	return Telemetry{AccessLog: AccessLog{To: ToStderr, Sample: 1}}
}

// telemetryForm is `telemetry`.
type telemetryForm struct {
	Metrics   *metricsForm   `doc:"metrics" help:"the clients that may read /metrics on the admin API"`
	Traces    *tracesForm    `doc:"traces" help:"the URL of a collector that accepts OTLP over HTTP, or off" example:"http://localhost:4318"`
	AccessLog *accessLogForm `doc:"access_log" help:"one line for each request, written to stderr, stdout or the path of a file; or off" example:"stdout"`
}

// metricsForm is `metrics`: the word open, or a map.
type metricsForm struct {
	Open  bool    `doc:"open" help:"whether anyone who can reach the admin API may read them" example:"true"`
	Token *Secret `doc:"token" help:"a token that lets a client read them, and nothing else" example:"${env:WEIR_METRICS_TOKEN}"`
	At    doc.Pos `doc:"-,pos"`
}

func (m *metricsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	m.At = n.Pos
	if n.Kind != doc.Scalar {
		doc.Decode(n, (*plainMetrics)(m), ps)
		return
	}
	if m.Open = n.Value == "open" && !n.Quoted; !m.Open {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("metrics is %q", n.Value), Why: "it says who may read them from other machines", Fix: "write open, or a map with a token"})
	}
}

// accessLogForm is `access_log`: the destination alone, or a map.
type accessLogForm struct {
	To              string    `doc:"to" help:"stderr, stdout, off, or the path of a file" example:"/var/log/weir/access.log"`
	Format          string    `doc:"format" help:"text, json, common or combined" example:"json"`
	Fields          []string  `doc:"fields,oneormany" help:"the fields of a line, in this order" example:"[time, method, path, status, took]"`
	Headers         []string  `doc:"headers,oneormany" help:"header fields of the request to add" example:"[X-Tenant]"`
	ResponseHeaders []string  `doc:"response_headers,oneormany" help:"header fields of the response to add" example:"[Content-Type]"`
	Sample          ratioForm `doc:"sample" help:"the share of requests to log; failed requests are always logged" example:"10%"`
	At              doc.Pos   `doc:"-,pos"`
}

func (a *accessLogForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*a = accessLogForm{To: ToStderr, Sample: 1, At: n.Pos}
	if n.Kind == doc.Scalar {
		doc.Decode(n, &a.To, ps)
	} else {
		doc.Decode(n, (*plainAccessLog)(a), ps)
	}
	if a.To == "" {
		ps.Add(doc.Problem{Pos: n.Pos, What: "the access log goes nowhere", Fix: "write stderr, stdout, the path of a file, or off for none"})
	}
	if n.Kind == doc.Map {
		a.check(n, ps)
	}
}

// check checks the format and the names of fields.
func (a *accessLogForm) check(n *doc.Node, ps *doc.Problems) {
	known := accesslog.Formats()
	if a.Format != "" && !slices.Contains(known, a.Format) {
		ps.Add(doc.Problem{
			Pos: n.Get("format").Pos, What: fmt.Sprintf("there is no format %q", a.Format),
			Why: "valid values are " + strings.Join(known, ", "), Fix: suggest(a.Format, known, ""),
		})
	}
	fixed := a.Format == accesslog.Common || a.Format == accesslog.Combined
	for _, key := range []string{"fields", "headers", "response_headers"} {
		if given := n.Get(key); fixed && given != nil {
			ps.Add(doc.Problem{
				Pos: given.Pos, What: fmt.Sprintf("the format %s has fields of its own", a.Format),
				Why: "its readers know the fields by their position", Fix: "remove " + key + ", or write the format json or text",
			})
		}
	}
	eachText(n.Get("fields"), func(name string, pos doc.Pos) {
		if names := accesslog.FieldNames(); !slices.Contains(names, name) {
			ps.Add(doc.Problem{
				Pos: pos, What: fmt.Sprintf("an access log has no field %q", name),
				Why: "valid fields are " + strings.Join(names, ", "), Fix: suggest(name, names, "a header field stands in headers or response_headers"),
			})
		}
	})
	for _, key := range []string{"headers", "response_headers"} {
		eachText(n.Get(key), func(name string, pos doc.Pos) {
			if !httpx.IsToken(name) {
				ps.Add(doc.Problem{Pos: pos, What: fmt.Sprintf("%q is not the name of a header field", name), Fix: "for example `headers: [X-Tenant]`"})
			}
		})
	}
}

// tracesForm is `traces`: the destination alone, or a map.
type tracesForm struct {
	To      string            `doc:"to" help:"the URL of a collector that accepts OTLP over HTTP; /v1/traces is appended to its path" example:"http://localhost:4318"`
	Headers map[string]Secret `doc:"headers" help:"header fields that the collector requires" example:"{ Authorization: \"Bearer ${env:OTLP_TOKEN}\" }"`
	Service string            `doc:"service" help:"the name of this service in traces" example:"edge"`
	Sample  *ratioForm        `doc:"sample" help:"the share of traces that begin here" example:"5%"`
	Believe string            `doc:"believe" help:"the peers whose decision to sample a trace is followed: proxies, everyone or nobody" example:"everyone"`
	At      doc.Pos           `doc:"-,pos"`
}

func (t *tracesForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	t.At = n.Pos
	if n.Kind == doc.Scalar {
		n = n.Under("to")
	}
	doc.Decode(n, (*plainTraces)(t), ps)
	at := n
	if to := n.Get("to"); to != nil {
		at = to
	}
	if u, err := url.Parse(t.To); t.To != "" && t.To != Off && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("%q is not the URL of a collector", t.To), Why: "traces are sent by OTLP over HTTP", Fix: "for example http://localhost:4318, or off"})
	}
	if known := tracing.Believes(); t.Believe != "" && !slices.Contains(known, t.Believe) {
		ps.Add(doc.Problem{
			Pos: n.Get("believe").Pos, What: fmt.Sprintf("believe is %q", t.Believe), Why: "it says whose word counts on whether a trace is sampled",
			Fix: "write one of " + strings.Join(known, ", "),
		})
	}
	if headers := n.Get("headers"); n.Kind == doc.Map && headers != nil {
		for _, e := range headers.Entries {
			if !httpx.IsToken(e.Key) {
				ps.Add(doc.Problem{Pos: e.KeyPos, What: fmt.Sprintf("%q is not the name of a header field", e.Key)})
			}
		}
	}
}

func (t *tracesForm) traces() Traces {
	made := Traces{To: t.To, Headers: t.Headers, Service: t.Service, Believe: t.Believe, Origin: Origin{Pos: t.At}}
	if t.Sample != nil {
		share := float64(*t.Sample)
		made.Sample = &share
	}
	return made
}

// eachText calls f with the texts of a list, or with a single text.
func eachText(n *doc.Node, f func(text string, pos doc.Pos)) {
	switch {
	case n == nil:
	case n.Kind == doc.Scalar:
		f(n.Value, n.Pos)
	case n.Kind == doc.List:
		for _, item := range n.Items {
			if item.Kind == doc.Scalar {
				f(item.Value, item.Pos)
			}
		}
	}
}

// ratioForm is a share that may be small: 10%, 0.5%.
type ratioForm float64

const (
	ratioPattern   = `^\d{1,3}(\.\d{1,4})?%$`
	wholeInPercent = 100
)

func (r *ratioForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	digits, percent := strings.CutSuffix(n.Value, "%")
	value, err := strconv.ParseFloat(digits, 64)
	if n.Kind != doc.Scalar || !percent || err != nil || strings.Trim(digits, "0123456789.") != "" || value < 0 || value > wholeInPercent {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not a share", n.Value), Why: "a share is a number of percents from 0% to 100%", Fix: "for example `sample: 10%`"})
		return
	}
	*r = ratioForm(value / wholeInPercent)
}

func (r ratioForm) EncodeDoc() *doc.Node {
	const digits = 6 // of a percentage: four, and the loss from the division
	text := strconv.FormatFloat(float64(r)*wholeInPercent, 'g', digits, 64)
	return &doc.Node{Kind: doc.Scalar, Value: text + "%"}
}

// telemetry takes the settings from a file. Paths are relative to the file.
func (l *loader) telemetry(f *telemetryForm) {
	if f == nil {
		return
	}
	t := &l.cfg.Telemetry
	if m := f.Metrics; m != nil {
		t.Metrics = MetricsAccess{Open: m.Open, Token: m.Token, Origin: Origin{Pos: m.At}}
	}
	if f.Traces != nil {
		t.Traces = f.Traces.traces()
	}
	if a := f.AccessLog; a != nil {
		t.AccessLog = AccessLog{
			To: destination(a.To, a.At), Format: a.Format, Fields: a.Fields, Headers: a.Headers, ResponseHeaders: a.ResponseHeaders,
			Sample: float64(a.Sample), Origin: Origin{Pos: a.At},
		}
	}
}

func destination(to string, at doc.Pos) string {
	if slices.Contains([]string{"", ToStderr, ToStdout, Off}, to) || filepath.IsAbs(to) {
		return to
	}
	return filepath.Join(folderOf(at), to)
}

// telemetry prints the telemetry settings.
func (e expander) telemetry(t Telemetry) *doc.Node {
	f := newFields()
	if m := t.Metrics; m.Open || m.Token != nil {
		own := newFields()
		own.put("open", doc.EncodeNode(m.Open), m.comment())
		if m.Token != nil {
			own.put("token", m.Token.EncodeDoc(), "")
		}
		f.put("metrics", &own.Node, "")
	}
	f.put("access_log", e.accessLog(t.AccessLog), "")
	f.put("traces", e.traces(t.Traces), "")
	return &f.Node
}

// traces prints the settings of traces; nil if there are none.
func (expander) traces(t Traces) *doc.Node {
	if t.Origin == (Origin{}) {
		return nil
	}
	f := newFields()
	f.put("to", doc.EncodeNode(t.To), t.comment())
	f.text("service", t.Service, "")
	if t.Sample != nil {
		f.put("sample", ratioForm(*t.Sample).EncodeDoc(), "")
	}
	f.text("believe", t.Believe, "")
	if t.Headers != nil {
		f.put("headers", doc.EncodeNode(t.Headers), "")
	}
	return &f.Node
}

func (expander) accessLog(a AccessLog) *doc.Node {
	a = a.OrDefault()
	f := newFields()
	from := a.comment()
	if from == "" {
		from = builtIn
	}
	f.text("to", a.To, from)
	f.text("format", a.Format, "")
	f.texts("fields", a.Fields, "")
	f.texts("headers", a.Headers, "")
	f.texts("response_headers", a.ResponseHeaders, "")
	f.put("sample", ratioForm(a.Sample).EncodeDoc(), builtInIf(a.Sample == 1))
	return &f.Node
}
