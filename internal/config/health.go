package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// The ways of checking whether an endpoint serves.
const (
	CheckHTTP = "http" // a GET that is answered with one of Health.Statuses
	CheckTCP  = "tcp"  // a connection that can be made, including TLS
	CheckGRPC = "grpc" // grpc.health.v1
)

func checks() []string { return []string{CheckHTTP, CheckTCP, CheckGRPC} }

// Health says how Weir checks whether the endpoints of a service serve.
type Health struct {
	Check   string // CheckHTTP, CheckTCP or CheckGRPC
	Path    string // of CheckHTTP, with its query
	Service string // of CheckGRPC; "": the server as a whole
	Host    string // sent as Host; "": the endpoint's address
	Port    int    // 0: the port that requests go to
	Plain   bool   // without the service's TLS; needs a Port
	// Headers are sent with the check.
	Headers  map[string]Secret
	Statuses []StatusRange // of CheckHTTP
	Every    time.Duration
	Within   time.Duration // time for an answer
	Rise     int           // good answers in a row that make an unhealthy endpoint healthy
	Fall     int           // bad answers in a row that make an endpoint unhealthy
	Origin   Origin
}

// StatusRange are the statuses From to To, both included.
type StatusRange struct{ From, To int }

func (r StatusRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// Expects reports whether status is a good answer.
func (h *Health) Expects(status int) bool {
	return slices.ContainsFunc(h.Statuses, func(r StatusRange) bool { return r.From <= status && status <= r.To })
}

// Key describes the check and how its answers count, but not the content of its headers. Checks with the same key and
// the same headers are one check.
func (h *Health) Key() string {
	return fmt.Sprintf("%s %q %q %q %d %t %v %s %s %d %d", h.Check, h.Path, h.Service, h.Host, h.Port, h.Plain, h.Statuses, h.Every, h.Within, h.Rise, h.Fall)
}

// DefaultHealth holds the defaults of a check, which are those of common gateways and orchestrators. A redirect is a
// good answer, because something serves.
func DefaultHealth() Health {
	return Health{
		Check: CheckHTTP, Statuses: []StatusRange{{200, 399}}, Every: 5 * time.Second, Within: 2 * time.Second, Rise: 2, Fall: 3,
	}
}

// Outlier says when an endpoint is ejected because its requests failed. The zero value never ejects one.
type Outlier struct {
	Failures int // in a row; 0: they do not count
	// Rate is the share of failures, in percent of at least Requests requests within the last Window, that ejects an
	// endpoint; 0: it does not count.
	Rate     int
	Requests int
	Window   time.Duration
	Statuses []int         // answers that are failures, in addition to broken connections and timeouts
	Eject    time.Duration // the first time; each further ejection doubles it
	Longest  time.Duration
	Share    int // percent of the endpoints that may be ejected at once; at least one never is
}

// Ejects reports whether o can eject endpoints.
func (o *Outlier) Ejects() bool { return o.Failures > 0 || o.Rate > 0 }

// DefaultOutlier is the outlier of a service that sets none. It does not count a 500, which is often the request's
// fault and would then be every endpoint's.
func DefaultOutlier() *Outlier {
	return &Outlier{
		Failures: 5, Rate: 50, Requests: 20, Window: 10 * time.Second, Statuses: []int{502, 503, 504},
		Eject: 30 * time.Second, Longest: 5 * time.Minute, Share: 50,
	}
}

// Hold says how requests wait for an endpoint while a service has none.
type Hold struct {
	Time     time.Duration // NoTimeout: they do not wait
	Requests int           // at once; further ones do not wait
}

// DefaultHold is the hold of a service that sets none.
func DefaultHold() *Hold { return &Hold{Time: 2 * time.Second, Requests: 1000} }

// DefaultPanic is the percentage of healthy endpoints below which health is not believed.
const DefaultPanic = 50

// healthForm is `health`: a path, tcp, grpc, or a map.
type healthForm struct {
	Check    string            `doc:"check" help:"the kind of check: http, tcp or grpc" example:"grpc"`
	Path     string            `doc:"path" help:"the path that the check requests with GET" example:"/healthz"`
	Service  string            `doc:"service" help:"the gRPC service whose health is checked; the whole server by default" example:"shop.Users"`
	Host     string            `doc:"host" help:"the Host header to send; the endpoint's address by default" example:"users.internal"`
	Port     int               `doc:"port" help:"the port to check; by default the port that requests go to" example:"9000"`
	Plain    bool              `doc:"plain" help:"whether the check is made without TLS; needs port"`
	Headers  map[string]Secret `doc:"headers" help:"header fields of the check's request" example:"{ Authorization: \"Bearer ${env:HEALTH_TOKEN}\" }"`
	Statuses []statusForm      `doc:"statuses,oneormany" help:"statuses that count as healthy; 200-399 by default" example:"[200, 204]"`
	Every    time.Duration     `doc:"every" help:"time between two checks; 5s by default" example:"10s"`
	Timeout  time.Duration     `doc:"timeout" help:"the time for a response; 2s by default" example:"1s"`
	Rise     int               `doc:"rise" help:"successful checks until the endpoint is healthy again; 2 by default" example:"2"`
	Fall     int               `doc:"fall" help:"failed checks until the endpoint is unhealthy; 3 by default" example:"3"`
	Off      bool              `doc:"-"`
	At       doc.Pos           `doc:"-,pos"`
}

func (h *healthForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	h.At = n.Pos
	switch {
	case isNone(n):
		h.Off = true
	case n.Kind == doc.Scalar && strings.HasPrefix(n.Value, "/"):
		h.Path = n.Value
		h.checkQuestion(n.Under("path"), ps)
	case n.Kind == doc.Scalar && slices.Contains(checks(), n.Value) && n.Value != CheckHTTP:
		h.Check = n.Value
	case n.Kind == doc.Scalar:
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("health is %q", n.Value), Why: "it says how endpoints are checked", Fix: "write a path such as /healthz, tcp, grpc, or none"})
	case n.Kind == doc.Map:
		doc.Decode(n, (*plainHealth)(h), ps)
		h.check(n, ps)
	default:
		doc.Decode(n, (*plainHealth)(h), ps)
	}
}

// check reports what is wrong with the form as a whole.
func (h *healthForm) check(n *doc.Node, ps *doc.Problems) {
	if h.Check == "" && h.Path == "" && h.Service != "" {
		h.Check = CheckGRPC
	}
	kind := cmp.Or(h.Check, CheckHTTP)
	add := func(key, what, why, fix string) {
		if at := place(n, key); !ps.Has(at) {
			ps.Add(doc.Problem{Pos: at, What: what, Why: why, Fix: fix})
		}
	}
	switch {
	case !slices.Contains(checks(), kind):
		add("check", fmt.Sprintf("check is %q", h.Check), "it says how endpoints are checked", suggest(h.Check, checks(), "write http, tcp or grpc"))
		return
	case kind == CheckHTTP && h.Path != "" && !strings.HasPrefix(h.Path, "/"):
		add("path", fmt.Sprintf("the path %q does not begin with a slash", h.Path), "", fmt.Sprintf("write `path: /%s`", h.Path))
	case kind == CheckHTTP && h.Path == "" && !ps.Has(place(n, "check")):
		add("path", "the check has no path", "something is asked for by GET", "add `path: /healthz`, or write `check: tcp`")
	}
	for _, key := range []string{"path", "statuses", "service", "host", "headers"} {
		if n.Get(key) != nil && !slices.Contains(asks(kind), key) {
			add(key, fmt.Sprintf("a check of %s has no %s", kind, key), meaning(kind), "remove `"+key+"`, or write `check: "+checkOf(key)+"`")
		}
	}
	if h.Port < 0 || h.Port > maxPort {
		add("port", fmt.Sprintf("%d is no port", h.Port), "", "write 1 to 65535")
	}
	if h.Plain && h.Port == 0 {
		add("plain", "a check without TLS is at the port of the requests", "what answers there speaks TLS", "add `port`, or remove `plain`")
	}
	h.checkQuestion(n, ps)
	h.checkNumbers(n, ps)
}

// asks returns the keys that describe the question of a kind of check.
func asks(kind string) []string {
	switch kind {
	case CheckHTTP:
		return []string{"path", "statuses", "host", "headers"}
	case CheckGRPC:
		return []string{"service", "host", "headers"}
	}
	return nil
}

// meaning says what a kind of check does.
func meaning(kind string) string {
	switch kind {
	case CheckHTTP:
		return "it asks by GET"
	case CheckGRPC:
		return "it asks grpc.health.v1"
	}
	return "it makes a connection, and sends nothing"
}

// checkOf returns the kind of check that a key belongs to.
func checkOf(key string) string {
	if key == "service" {
		return CheckGRPC
	}
	return CheckHTTP
}

// checkQuestion checks that the question can be sent as it is written.
func (h *healthForm) checkQuestion(n *doc.Node, ps *doc.Problems) {
	if _, err := url.ParseRequestURI(h.Path); strings.HasPrefix(h.Path, "/") && (err != nil || strings.Contains(h.Path, "#")) {
		ps.Add(doc.Problem{Pos: place(n, "path"), What: fmt.Sprintf("%q is no path that can be asked for", h.Path), Fix: "write a path such as /healthz, with %23 for a #"})
	}
	if _, err := httpx.NormalizeHost(h.Host); err != nil {
		ps.Add(doc.Problem{Pos: place(n, "host"), What: fmt.Sprintf("%q is no host", h.Host), Fix: "for example `host: users.internal`"})
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		add := func(what, why, fix string) {
			ps.Add(doc.Problem{Pos: place(cmp.Or(n.Get("headers"), n), name), What: what, Why: why, Fix: fix})
		}
		switch {
		case !httpx.IsToken(name):
			add(fmt.Sprintf("%q is not the name of a header field", name), "", "")
		case strings.EqualFold(name, "Host"):
			add("Host stands among the fields", "it is no field of its own", "write `host:` beside `headers`")
		case slices.Contains(ownFields(), strings.ToLower(name)):
			add(fmt.Sprintf("%s is about the connection", name), "the check sets it itself", "remove it")
		}
		for _, part := range h.Headers[name].Parts {
			if !httpx.IsFieldValue(part.Text) {
				add(fmt.Sprintf("the value of %s cannot be sent", name), "it holds a control character", "")
			}
		}
	}
}

// ownFields are the fields that the sender of a request sets itself (RFC 9110 section 7.6.1).
func ownFields() []string {
	return []string{"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
}

// The bounds of a check's numbers.
const (
	maxPort      = 65535
	leastEvery   = 100 * time.Millisecond
	mostEvery    = time.Hour
	leastWithin  = time.Millisecond
	mostWithin   = 5 * time.Minute
	mostInARow   = 100
	mostFailures = 10_000
)

func (h *healthForm) checkNumbers(n *doc.Node, ps *doc.Problems) {
	span[time.Duration]{leastEvery, mostEvery}.hold(n, "every", h.Every, "an endpoint is asked so often", ps)
	span[time.Duration]{leastWithin, mostWithin}.hold(n, "timeout", h.Timeout, "an answer has so long", ps)
	span[int]{1, mostInARow}.hold(n, "rise", h.Rise, "it counts answers in a row", ps)
	span[int]{1, mostInARow}.hold(n, "fall", h.Fall, "it counts answers in a row", ps)
}

func (h *healthForm) health() *Health {
	if h == nil || h.Off {
		return nil
	}
	made := DefaultHealth()
	made.Check, made.Path, made.Service, made.Host = cmp.Or(h.Check, made.Check), h.Path, h.Service, h.Host
	made.Port, made.Plain, made.Headers, made.Origin = h.Port, h.Plain, h.Headers, Origin{Pos: h.At}
	made.Every, made.Within = cmp.Or(h.Every, made.Every), cmp.Or(h.Timeout, made.Within)
	made.Rise, made.Fall = cmp.Or(h.Rise, made.Rise), cmp.Or(h.Fall, made.Fall)
	if h.Statuses != nil {
		made.Statuses = nil
		for _, s := range h.Statuses {
			made.Statuses = append(made.Statuses, StatusRange(s))
		}
	}
	if made.Check != CheckHTTP {
		made.Statuses = nil
	}
	return &made
}

// statusForm is one status or a range of them.
type statusForm StatusRange

func (s *statusForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	from, to, isRange := strings.Cut(n.Value, "-")
	if !isRange {
		to = from
	}
	low, errLow := strconv.Atoi(from)
	high, errHigh := strconv.Atoi(to)
	if n.Kind != doc.Scalar || errLow != nil || errHigh != nil || low < 100 || high > 599 || low > high {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not a status", n.Value), Why: "an answer has a status from 100 to 599", Fix: "write one as 200, or a range as 200-299"})
		return
	}
	*s = statusForm{low, high}
}

// The bounds of the times of outlier.
const (
	leastOutlier = 100 * time.Millisecond
	mostOutlier  = 24 * time.Hour
)

// outlierForm is `outlier`: the failures in a row alone, or a map.
type outlierForm struct {
	Failures *int          `doc:"failures" help:"consecutive failures that eject an endpoint; 5 by default, 0 to disable" example:"5"`
	Rate     *percentForm  `doc:"rate" help:"the share of failed requests that ejects an endpoint; 50% by default, 0% to disable" example:"30%"`
	Requests int           `doc:"requests" help:"requests in the window that are needed for rate to count; 20 by default" example:"50"`
	Window   time.Duration `doc:"window" help:"the period over which rate is measured; 10s by default" example:"30s"`
	Statuses []int         `doc:"statuses,oneormany" help:"statuses that count as failures; 502, 503 and 504 by default" example:"[500, 502, 503]"`
	Eject    time.Duration `doc:"eject" help:"duration of the first ejection; 30s by default" example:"10s"`
	Longest  time.Duration `doc:"longest" help:"the longest ejection; 5m by default" example:"2m"`
	Share    *percentForm  `doc:"share" help:"the share of the endpoints that may be ejected at once; 50% by default" example:"20%"`
	Off      bool          `doc:"-"`
}

func (o *outlierForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch {
	case isNone(n):
		o.Off = true
		return
	case n.Kind == doc.Scalar:
		o.Failures = new(int)
		doc.Decode(n, o.Failures, ps)
	default:
		doc.Decode(n, (*plainOutlier)(o), ps)
	}
	if o.Failures != nil && n.Kind == doc.Scalar {
		n = n.Under("failures")
	}
	if o.Failures != nil {
		span[int]{0, mostFailures}.hold(n, "failures", *o.Failures, "they are counted in a row", ps)
	}
	span[int]{1, mostFailures}.hold(n, "requests", o.Requests, "a share is of as many at least", ps)
	times := span[time.Duration]{leastOutlier, mostOutlier}
	times.hold(n, "window", o.Window, "the share is of it", ps)
	times.hold(n, "eject", o.Eject, "an endpoint is left alone for so long", ps)
	times.hold(n, "longest", o.Longest, "an endpoint is left alone for so long at most", ps)
	if at := place(n, "longest"); o.Longest > 0 && o.Longest < cmp.Or(o.Eject, DefaultOutlier().Eject) && !ps.Has(at) {
		ps.Add(doc.Problem{Pos: at, What: "the longest ejection is shorter than the first", Fix: "raise `longest`, or lower `eject`"})
	}
	for _, status := range o.Statuses {
		if status < 400 || status > 599 {
			ps.Add(doc.Problem{Pos: place(n, "statuses"), What: fmt.Sprintf("%d is no failure", status), Why: "statuses are those of answers that an endpoint is ejected for", Fix: "write some of 400 to 599"})
		}
	}
}

func (o *outlierForm) outlier() *Outlier {
	made := DefaultOutlier()
	switch {
	case o == nil:
		return made
	case o.Off:
		return &Outlier{}
	}
	if o.Failures != nil {
		made.Failures = *o.Failures
	}
	if o.Rate != nil {
		made.Rate = int(*o.Rate)
	}
	if o.Share != nil {
		made.Share = int(*o.Share)
	}
	if o.Statuses != nil {
		made.Statuses = o.Statuses
	}
	made.Requests, made.Window = cmp.Or(o.Requests, made.Requests), cmp.Or(o.Window, made.Window)
	made.Eject = cmp.Or(o.Eject, made.Eject)
	made.Longest = max(cmp.Or(o.Longest, made.Longest), made.Eject)
	return made
}

// holdForm is `hold`: the time alone, or a map.
type holdForm struct {
	Time     wait `doc:"time" help:"how long a request waits for an endpoint, or none; 2s by default" example:"5s"`
	Requests int  `doc:"requests" help:"how many requests may wait at once; 1000 by default" example:"100"`
}

// mostHold is the longest that a request may wait, because its client waits too.
const mostHold = 5 * time.Minute

func (h *holdForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	key := "time"
	if n.Kind == doc.Scalar {
		h.Time.DecodeDoc(n, ps)
		n, key = n.Under("hold"), "hold"
	} else {
		doc.Decode(n, (*plainHold)(h), ps)
	}
	span[time.Duration]{time.Millisecond, mostHold}.hold(n, key, time.Duration(h.Time), "a client waits as long for its answer", ps)
	span[int]{1, mostRequests}.hold(n, "requests", h.Requests, "so many may wait", ps)
}

func (h *holdForm) hold() *Hold {
	made := DefaultHold()
	if h == nil {
		return made
	}
	made.Time, made.Requests = cmp.Or(time.Duration(h.Time), made.Time), cmp.Or(h.Requests, made.Requests)
	return made
}

// wait is a time to wait, or none.
type wait time.Duration

func (w *wait) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*w = wait(orNone(n, NoTimeout, doc.Problem{
		What: "a wait of zero", Fix: "write a time such as 2s, or none for no wait",
	}, ps))
}

// panicForm is `panic`: a share, or none.
type panicForm percentForm

func (p *panicForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !isNone(n) {
		(*percentForm)(p).DecodeDoc(n, ps)
	}
}

func (p *panicForm) share() *int {
	share := DefaultPanic
	if p != nil {
		share = int(*p)
	}
	return &share
}

// healthNode returns the long form of h, nil if h is nil.
func healthNode(h *Health) *doc.Node {
	if h == nil {
		return nil
	}
	f := newFields()
	f.text("check", h.Check, h.Origin.comment())
	f.text("path", h.Path, "")
	f.text("service", h.Service, "")
	f.text("host", h.Host, "")
	if h.Port != 0 {
		f.put("port", doc.EncodeNode(h.Port), "")
	}
	if h.Plain {
		f.put("plain", doc.EncodeNode(true), "")
	}
	if h.Headers != nil {
		f.put("headers", doc.EncodeNode(h.Headers), "")
	}
	f.put("statuses", list(h.Statuses, func(r StatusRange) *doc.Node {
		if r.From == r.To {
			return doc.EncodeNode(r.From)
		}
		return doc.EncodeNode(r.String())
	}), "")
	f.put("every", durationNode(h.Every), "")
	f.put("timeout", durationNode(h.Within), "")
	f.put("rise", doc.EncodeNode(h.Rise), "")
	f.put("fall", doc.EncodeNode(h.Fall), "")
	return &f.Node
}

func outlierNode(o *Outlier) *doc.Node {
	if !o.Ejects() {
		return doc.EncodeNode(none)
	}
	f := newFields()
	f.put("failures", doc.EncodeNode(o.Failures), "")
	f.put("rate", percentNode(o.Rate), "")
	f.put("requests", doc.EncodeNode(o.Requests), "")
	f.put("window", durationNode(o.Window), "")
	f.put("statuses", doc.EncodeNode(o.Statuses), "")
	f.put("eject", durationNode(o.Eject), "")
	f.put("longest", durationNode(o.Longest), "")
	f.put("share", percentNode(o.Share), "")
	return &f.Node
}

func holdNode(h *Hold) *doc.Node {
	if h.Time == NoTimeout {
		return doc.EncodeNode(none)
	}
	f := newFields()
	f.put("time", durationNode(h.Time), "")
	f.put("requests", doc.EncodeNode(h.Requests), "")
	return &f.Node
}

func panicNode(share int) *doc.Node {
	if share == 0 {
		return doc.EncodeNode(none)
	}
	return percentNode(share)
}

// PanicOr returns the share that p points to, or DefaultPanic.
func PanicOr(p *int) int {
	if p == nil {
		return DefaultPanic
	}
	return *p
}

func percentNode(p int) *doc.Node { return doc.EncodeNode(strconv.Itoa(p) + "%") }
