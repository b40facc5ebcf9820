package config

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Expand prints c in the long form. Comments say where each element was written, and where inherited and default values
// come from. Load reads the output back to the same config, with one exception: the text of secrets that are not
// references is never printed. A comment says so, and Load refuses what stands in its place. Elements made from objects
// are printed as they would be written in a file. v knows the defaults of filters, functions and ways of auth.
func Expand(c *Config, v Vocabulary) []byte {
	e := expander{v}
	return doc.Encode(e.config(c))
}

// expander builds the tree of the long form.
type expander struct{ v Vocabulary }

const builtIn = "built in"

// fields is a map under construction.
type fields struct{ doc.Node }

func newFields() *fields { return &fields{doc.Node{Kind: doc.Map}} }

// put adds a value followed by comment; nil values are left out.
func (f *fields) put(key string, value *doc.Node, comment string) {
	if value == nil {
		return
	}
	if comment != "" {
		commented := *value
		commented.Comment = comment
		value = &commented
	}
	f.Entries = append(f.Entries, doc.Entry{Key: key, Value: value})
}

func (f *fields) text(key, value, comment string) {
	if value != "" {
		f.put(key, doc.EncodeNode(value), comment)
	}
}

// texts adds a list of texts; nil is left out.
func (f *fields) texts(key string, values []string, comment string) {
	if values != nil {
		f.put(key, doc.EncodeNode(values), comment)
	}
}

func (f *fields) number(key string, value int) {
	if value != 0 {
		f.put(key, &doc.Node{Kind: doc.Scalar, Value: strconv.Itoa(value)}, "")
	}
}

func (f *fields) expr(key string, e *Expr) {
	if e != nil {
		f.put(key, e.EncodeDoc(), "")
	}
}

// list returns a list of what each returns for the items, or nil for no items.
func list[E any](items []E, each func(E) *doc.Node) *doc.Node {
	if len(items) == 0 {
		return nil
	}
	n := &doc.Node{Kind: doc.List}
	for _, item := range items {
		n.Items = append(n.Items, each(item))
	}
	return n
}

// own returns the config of an element of a kind, with a mark on values that equal the defaults.
func own(config any, kinds []Kind, name string) *doc.Node {
	n := doc.EncodeNode(config)
	if n == nil {
		n = &doc.Node{Kind: doc.Map}
	}
	if kind, known := find(kinds, name); known {
		markUsual(n, doc.EncodeNode(kind.New()))
	}
	return n
}

// markUsual marks texts, and lists of texts, that are the same in n and usual.
func markUsual(n, usual *doc.Node) {
	switch {
	case usual == nil:
	case n.Kind == doc.Map:
		for _, entry := range n.Entries {
			markUsual(entry.Value, usual.Get(entry.Key))
		}
	case sameText(n, usual) && (n.Value != "" || n.Items != nil):
		n.Comment = builtIn
	}
}

func sameText(a, b *doc.Node) bool {
	return a.Kind != doc.Map && a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Items, b.Items, sameText)
}

// comment is the form in which an origin is printed.
func (o Origin) comment() string {
	switch at := o.String(); {
	case o.Via == "":
		return at
	case at == "":
		return o.Via
	default:
		return o.Via + ", " + at
	}
}

func (e expander) config(c *Config) *doc.Node {
	f := newFields()
	f.text("version", "1", "")
	f.text("problems", string(c.Problems), "")
	f.text("engine", string(c.Engine.OrUsual()), builtInIf(c.Engine.OrUsual() == OwnEngine))
	routed := slices.DeleteFunc(slices.Clone(c.Listeners), func(l Listener) bool { return l.API != "" })
	f.put("listen", list(routed, func(l Listener) *doc.Node { return e.listener(c, l) }), "")
	f.put("admin", e.admin(c.Admin), "")
	f.put(LambdaAPIName, e.lambdaAPI(c), "")
	f.put(RegistryName, e.registry(c), "")
	f.put("telemetry", e.telemetry(c.Telemetry), "")
	f.put("limits", e.limits(c), "")
	f.put("shutdown", e.shutdown(c.Shutdown), "")
	f.put("resolver", e.resolver(c.Resolver), "")
	f.text("zone", c.Zone, "")
	f.put("discovery", e.discoveries(c.Discoveries), "")
	f.put("clouds", e.clouds(c.Clouds), "")
	f.put("trust", list(c.TrustedProxies, prefixNode), "")
	f.put("groups", list(c.Groups, e.group), "")
	f.put("services", list(c.Services, e.service), "")
	f.put("functions", list(c.Functions, e.function), "")
	f.put("compositions", list(c.Compositions, e.composition), "")
	f.put("auth", list(c.Auths, e.auth), "")
	f.put("routes", list(c.Routes, e.route), "")
	f.put("streams", list(c.Streams, e.stream), "")
	f.put("tests", list(c.Tests, e.test), "")
	return &f.Node
}

func (e expander) listener(c *Config, l Listener) *doc.Node {
	f := newFields()
	f.text("name", l.Name, l.Origin.comment())
	f.text("address", c.addressOf(l), "")
	f.text("protocol", string(l.Protocol), "")
	f.text("hostname", l.Hostname, "")
	switch {
	case l.TLS == nil:
	case l.TLS.Passthrough:
		f.text("tls", "passthrough", "")
	default:
		f.put("tls", e.serverTLS(l.TLS), "")
	}
	if l.Announced != nil {
		f.put("proxy_protocol", e.announced(*l.Announced), "")
	}
	return &f.Node
}

func (expander) announced(a Announced) *doc.Node {
	if a.By == nil {
		return doc.EncodeNode(true)
	}
	f := newFields()
	f.put("trust", list(a.By, prefixNode), "")
	return &f.Node
}

func prefixNode(p netip.Prefix) *doc.Node { return doc.EncodeNode(p.String()) }

func (expander) serverTLS(t *ServerTLS) *doc.Node {
	f := newFields()
	f.put("certificates", list(t.Certificates, func(c Certificate) *doc.Node {
		pair := newFields()
		pair.put("cert", c.Cert.EncodeDoc(), "")
		pair.put("key", c.Key.EncodeDoc(), "")
		return &pair.Node
	}), "")
	if t.StrictNames {
		f.put("strict_names", doc.EncodeNode(true), "")
	}
	if t.ClientCA != nil {
		f.put("client_ca", t.ClientCA.EncodeDoc(), "")
	}
	f.text("client", cmp.Or(string(t.Client), none), "")
	version, from := cmp.Or(t.MinVersion, DefaultMinVersion), ""
	if version == DefaultMinVersion {
		from = builtIn
	}
	f.text("min_version", versionText(version), from)
	f.put("ciphers", list(t.Ciphers, func(id uint16) *doc.Node { return doc.EncodeNode(tls.CipherSuiteName(id)) }), "")
	f.put("curves", list(t.Curves, func(id tls.CurveID) *doc.Node { return doc.EncodeNode(curveText(id)) }), "")
	return &f.Node
}

func (expander) admin(a Admin) *doc.Node {
	f := newFields()
	from := a.Origin.comment()
	if from == "" {
		from = builtIn
	}
	f.text("address", a.Address, from)
	if a.Token != nil {
		f.put("token", a.Token.EncodeDoc(), "")
	}
	return &f.Node
}

// limits prints the limits and marks those that have their built-in values.
func (expander) limits(c *Config) *doc.Node {
	n := doc.EncodeNode(new(formOfLimits(c.Limits)))
	usual := doc.EncodeNode(new(formOfLimits(DefaultLimits())))
	f := newFields()
	for _, entry := range n.Entries {
		from := c.LimitsOrigin.comment()
		if entry.Value.Value == usual.Get(entry.Key).Value {
			from = builtIn
		}
		if entry.Key == "memory" && c.Limits.MemoryBytes == 0 {
			from = builtIn + ": what the cgroup allows"
		}
		f.put(entry.Key, entry.Value, from)
	}
	return &f.Node
}

func (expander) shutdown(s Shutdown) *doc.Node {
	f, usual := newFields(), DefaultShutdown()
	for _, d := range []struct {
		key        string
		own, usual time.Duration
	}{{"delay", s.Delay, usual.Delay}, {"drain", cmp.Or(s.Drain, usual.Drain), usual.Drain}} {
		from := s.Origin.comment()
		if d.own == d.usual {
			from = builtIn
		}
		f.put(d.key, doc.EncodeNode(d.own), from)
	}
	return &f.Node
}

func (expander) group(g Group) *doc.Node {
	f := newFields()
	f.text("name", g.Name, g.Origin.comment())
	f.texts("listeners", g.Listeners, "")
	f.texts("hosts", g.Hosts, "")
	f.texts("allow", g.Allow, "")
	f.texts("secrets", g.Secrets, "")
	f.texts("reach", reachTexts(g.Reach), "")
	return &f.Node
}

// reachTexts returns bounds as they are written, nil if there are none.
func reachTexts(b egress.Bounds) []string {
	var texts []string
	for _, p := range b.Reach {
		texts = append(texts, p.String())
	}
	for _, s := range b.Sockets {
		texts = append(texts, unixScheme+":"+s)
	}
	return texts
}

// named begins an element with its name, group and origin.
func named(name, group string, from Origin) *fields {
	f := newFields()
	f.text("name", name, from.comment())
	f.text("group", group, "")
	return f
}

func (e expander) service(s Service) *doc.Node {
	f := named(s.Name, s.Group, s.Origin)
	if s.Source != (Ref{}) {
		f.text("source", s.Source.String(), "")
	}
	f.put("endpoints", list(s.Endpoints, func(at Endpoint) *doc.Node {
		own := newFields()
		own.text("address", at.Address, at.Origin.comment())
		own.put("weight", doc.EncodeNode(at.Weight), "")
		own.text("zone", at.Zone, "")
		return &own.Node
	}), "")
	f.text("protocol", s.Protocol, "")
	if s.TLS != nil {
		own := newFields()
		own.text("name", s.TLS.ServerName, "")
		if s.TLS.CA != nil {
			own.put("ca", s.TLS.CA.EncodeDoc(), "")
		}
		own.texts("sans", s.TLS.SANs, "")
		if s.TLS.Certificate != nil {
			own.put("cert", s.TLS.Certificate.Cert.EncodeDoc(), "")
			own.put("key", s.TLS.Certificate.Key.EncodeDoc(), "")
		}
		f.put("tls", &own.Node, "")
	}
	f.put("resolver", e.resolver(s.Resolver), "")
	f.text("proxy_protocol", s.Announce, "")
	f.put("timeout", timeoutNode(s.Timeouts, ""), serviceTimeouts(s.Timeouts))
	f.put("retry", retryNode(s.Retry), "")
	f.put("balance", balanceNode(s.Balance), "")
	f.put("breaker", breakerNode(s.Breaker), "")
	f.put("health", healthNode(s.Health), "")
	outlier, hold, share := cmp.Or(s.Outlier, DefaultOutlier()), cmp.Or(s.Hold, DefaultHold()), PanicOr(s.Panic)
	f.put("outlier", outlierNode(outlier), builtInIf(Same(*outlier, *DefaultOutlier())))
	f.put("hold", holdNode(hold), builtInIf(*hold == *DefaultHold()))
	f.put("panic", panicNode(share), builtInIf(share == DefaultPanic))
	return &f.Node
}

// serviceTimeouts names the defaults of the timeouts that a service leaves open.
func serviceTimeouts(t Timeouts) string {
	return openTimeouts(t, "not said here, so "+builtIn+": ")
}

func openTimeouts(t Timeouts, lead string) string {
	usual := DefaultTimeouts()
	var open []string
	for _, d := range []struct {
		name       string
		own, usual time.Duration
	}{{"connect", t.Connect, usual.Connect}, {"head", t.Head, usual.Head}, {"idle", t.Idle, usual.Idle}, {"total", t.Total, usual.Total}} {
		if d.own == 0 {
			open = append(open, d.name+" "+durationNode(d.usual).Value)
		}
	}
	if len(open) == 0 {
		return ""
	}
	return lead + strings.Join(open, ", ")
}

func durationNode(d time.Duration) *doc.Node {
	if d == NoTimeout {
		return &doc.Node{Kind: doc.Scalar, Value: none}
	}
	return doc.EncodeNode(d)
}

// timeoutNode is a map of the timeouts that t has.
func timeoutNode(t Timeouts, comment string) *doc.Node {
	f := newFields()
	for _, d := range []struct {
		name string
		own  time.Duration
	}{{"connect", t.Connect}, {"head", t.Head}, {"idle", t.Idle}, {"total", t.Total}} {
		if d.own != 0 {
			f.put(d.name, durationNode(d.own), comment)
		}
	}
	return &f.Node
}

func retryNode(r *Retry) *doc.Node {
	if r == nil {
		return nil
	}
	f := newFields()
	f.put("attempts", doc.EncodeNode(r.Attempts), "")
	if r.Statuses != nil {
		f.put("statuses", doc.EncodeNode(r.Statuses), "")
	}
	f.put("budget", budgetNode(r.Budget), "")
	return &f.Node
}

func (e expander) function(fn Function) *doc.Node {
	f := named(fn.Name, fn.Group, fn.Origin)
	f.Entries = append(f.Entries, own(fn.Config, e.v.Functions, fn.Kind).Entries...)
	return &f.Node
}

func (e expander) auth(a Auth) *doc.Node {
	f := named(a.Name, a.Group, a.Origin)
	f.Entries = append(f.Entries, own(a.Config, e.v.Auths, a.Kind).Entries...)
	return &f.Node
}

func (e expander) route(r Route) *doc.Node {
	f := named(r.Name, r.Group, r.Origin)
	if r.Broken != "" {
		f.Entries[0].Value.Comment += "; broken, answers 500: " + r.Broken
	}
	via := func(key string) string {
		if from, ok := r.Via[key]; ok {
			return from.comment()
		}
		return ""
	}
	if len(r.Listeners) > 0 {
		f.texts("listeners", r.Listeners, via("listeners"))
	}
	if len(r.Hosts) > 0 {
		f.texts("hosts", r.Hosts, via("hosts"))
	}
	f.put("matches", list(r.Matches, e.match), "")
	f.put("filters", list(r.Filters, e.filter), "")
	f.put("backends", list(r.Backends, e.backend), "")
	f.expr("sticky", r.Sticky)
	f.put("timeout", timeoutNode(r.Timeouts, via("timeout")), openTimeouts(r.Timeouts, "the service's where not said here, else "+builtIn+": "))
	f.put("retry", retryNode(r.Retry), via("retry"))
	if r.EncodedSlash {
		f.put("encoded_slash", doc.EncodeNode(true), "")
	}
	f.put("forwarded", forwardedNode(r.Forwarded), via("forwarded"))
	return &f.Node
}

func (e expander) match(m Match) *doc.Node {
	f := newFields()
	f.text("method", m.Method, "")
	path := newFields()
	switch {
	case m.Path.Pattern != "":
		f.text("path", m.Path.Pattern, "")
	case m.Path != PathMatch{}:
		path.text("exact", m.Path.Exact, "")
		path.text("prefix", m.Path.Prefix, "")
		f.put("path", &path.Node, "")
	}
	f.put("headers", list(m.Headers, fieldNode), "")
	f.put("query", list(m.Query, fieldNode), "")
	f.put("cookies", list(m.Cookies, fieldNode), "")
	f.expr("when", m.When)
	return &f.Node
}

func fieldNode(m FieldMatch) *doc.Node {
	f := newFields()
	f.text("name", m.Name, "")
	f.put("value", doc.EncodeNode(m.Value), "")
	if m.Regex {
		f.put("regex", doc.EncodeNode(true), "")
	}
	return &f.Node
}

func (e expander) filter(filter Filter) *doc.Node {
	f := newFields()
	f.put(filter.Name, own(filter.Config, e.v.Filters, filter.Name), filter.Origin.comment())
	return &f.Node
}

func (e expander) backend(b Backend) *doc.Node {
	f := newFields()
	if b.When == nil {
		f.put("weight", doc.EncodeNode(b.Weight), b.Origin.comment())
	}
	f.expr("when", b.When)
	if b.Ref.String() != "" {
		f.text("use", b.Ref.String(), "")
	}
	f.number("status", b.Status)
	f.text("reason", b.Reason, "")
	f.put("filters", list(b.Filters, e.filter), "")
	return &f.Node
}

func (expander) stream(s Stream) *doc.Node {
	f := named(s.Name, s.Group, s.Origin)
	f.texts("listeners", s.Listeners, "")
	f.texts("hosts", s.Hosts, "")
	f.put("to", list(s.Backends, func(b Backend) *doc.Node {
		own := newFields()
		own.put("weight", doc.EncodeNode(b.Weight), "")
		own.text("use", b.Ref.String(), "")
		return &own.Node
	}), "")
	return &f.Node
}

func (expander) test(t Test) *doc.Node {
	f, request := newFields(), newFields()
	request.text("line", t.Request.Method+" "+t.Request.Host+t.Request.Path, t.Origin.comment())
	request.text("listener", t.Request.Listener, "")
	request.text("as", t.Request.As, "")
	request.text("client", t.Request.Client, "")
	request.put("headers", list(t.Request.Headers, fieldNode), "")
	request.text("body", t.Request.Body, "")
	f.put("request", &request.Node, "")
	f.text("group", t.Group, "")
	f.text("route", t.Route, "")
	f.text("backend", t.Backend, "")
	f.number("status", t.Status)
	return &f.Node
}
