package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// The bounds of a route's numbers.
const (
	maxWeight   = 1_000_000
	maxAttempts = 10
)

func (c *validator) route(r *Route) {
	if r.Broken != "" {
		return // its source has reported it, and the route answers 500
	}
	c.attached(r.Name, r.Listeners, r.Origin, r.Hosts)
	params := c.hosts(r)
	if len(r.Matches) == 0 && r.Origin.Object == "" {
		c.add(r.Origin.at(), fmt.Sprintf("the route %q matches nothing", r.Name), "", "add at least one match; `- {}` is every request")
	}
	for i := range r.Matches {
		c.match(&r.Matches[i], r, params)
	}
	in := capturedBy(r.Name, r.Hosts, r.Matches...)
	in.nobody = !slices.ContainsFunc(r.Filters, c.identifies)
	in.tried = c.rehearsals(r)
	in.anonymous = in.tried || slices.ContainsFunc(r.Filters, letsAnonymousPass)
	for i := range r.Filters {
		c.filter(&r.Filters[i], in)
		c.authNames(r.Filters[i].Config, r.Group, r.Filters[i].Origin)
		c.called(r.Filters[i].Config)
	}
	c.timeouts(r.Timeouts, r.Origin)
	c.retry(r.Retry, r.Origin, false)
	c.expression(r.Sticky, "sticky", expr.String, in)
	c.backends(r, in)
	c.routeGrants(r)
}

// roughRoute checks the parts that could be read of a route that could not be read completely, as far as they do not
// depend on the others.
func (c *validator) roughRoute(r *Route) {
	named := slices.DeleteFunc(slices.Clone(r.Listeners), func(name string) bool { return name == "" })
	if len(named) > 0 {
		c.attached(r.Name, named, r.Origin, nil)
	}
	unknown := captured{open: true}
	for i := range r.Matches {
		c.path(&r.Matches[i], r, nil)
		c.expression(r.Matches[i].When, "when", expr.Bool, unknown)
	}
	c.timeouts(r.Timeouts, r.Origin)
	c.retry(r.Retry, r.Origin, false)
	c.expression(r.Sticky, "sticky", expr.String, unknown)
	for i := range r.Filters {
		c.filter(&r.Filters[i], unknown)
	}
	for i := range r.Backends {
		c.backendParts(&r.Backends[i], unknown)
	}
}

// attached checks which listeners a route is attached to.
func (c *validator) attached(name string, listeners []string, from Origin, hosts []string) {
	var found []*Listener
	for _, n := range listeners {
		l := c.listeners[n]
		switch {
		case l == nil && !c.unheard:
			c.add(from.at(), fmt.Sprintf("the route %q names the listener %q, which does not exist", name, n), knownWords(slices.Collect(maps.Keys(c.listeners))), suggest(n, slices.Collect(maps.Keys(c.listeners)), ""))
		case l != nil && l.API != "":
			c.add(from.at(), fmt.Sprintf("the route %q cannot attach to the listener %q", name, n), fmt.Sprintf("it serves %s, and nothing else", apiNames[l.API]), "name another listener")
		case l != nil && !l.Protocol.serves():
			c.add(from.at(), fmt.Sprintf("the route %q cannot attach to the listener %q", name, n), fmt.Sprintf("it speaks %s, and routes are for HTTP", l.Protocol), "name an HTTP or HTTPS listener, or write a stream")
		case l != nil:
			found = append(found, l)
		}
	}
	if len(listeners) == 0 {
		found = c.serving()
	}
	for _, h := range hosts {
		host, err := pattern.ParseHost(h)
		if err == nil && len(found) > 0 && !c.unheard && !slices.ContainsFunc(found, func(l *Listener) bool { return l.reaches(host) }) {
			c.add(from.at(), fmt.Sprintf("the host %q of the route %q is served by none of its listeners", h, name), "so no request would ever reach it", "add a listener with that hostname, or correct the host")
		}
	}
}

// serving returns the listeners that routes attach to if they name none.
func (c *validator) serving() []*Listener {
	var list []*Listener
	for _, name := range slices.Sorted(maps.Keys(c.listeners)) {
		if l := c.listeners[name]; l.Routed() {
			list = append(list, l)
		}
	}
	return list
}

// reaches reports whether a host of h can arrive at l.
func (l *Listener) reaches(h pattern.Host) bool {
	own, err := pattern.ParseHost(l.Hostname)
	return l.Hostname == "" || err != nil || own.Covers(h) || h.Covers(own)
}

func knownWords(list []string) string {
	if len(list) == 0 {
		return "there are none"
	}
	slices.Sort(list)
	return "there are " + strings.Join(list, ", ")
}

// hosts checks the hosts of r and returns the names that they capture.
func (c *validator) hosts(r *Route) []string {
	var names []string
	seen := map[string]bool{}
	for _, h := range r.Hosts {
		host, err := pattern.ParseHost(h)
		if err != nil {
			c.pattern(r.Origin.at(), false, err)
			continue
		}
		if seen[host.Shape()] {
			c.add(r.Origin.at(), fmt.Sprintf("the host %q appears twice on the route %q", h, r.Name), "", "remove one")
		}
		seen[host.Shape()] = true
		if host.Param != "" {
			names = append(names, host.Param)
		}
	}
	return names
}

func (c *validator) match(m *Match, r *Route, hostParams []string) {
	at := m.Origin.at()
	if m.Method != "" && !isToken(m.Method) {
		c.add(at, fmt.Sprintf("%q is not a method", m.Method), "", "write it in capitals, as GET")
	}
	c.path(m, r, hostParams)
	c.fields("header", m.Headers, at, true)
	c.fields("query parameter", m.Query, at, false)
	c.fields("cookie", m.Cookies, at, true)
	c.expression(m.When, "when", expr.Bool, capturedBy(r.Name, r.Hosts, *m))
}

// path checks the path of m; only a pattern in a file has a place in the text.
func (c *validator) path(m *Match, r *Route, hostParams []string) {
	at := m.Origin.at()
	p := m.Path
	set := 0
	for _, s := range []string{p.Exact, p.Prefix, p.Pattern} {
		if s != "" {
			set++
			if !strings.HasPrefix(s, "/") && s != p.Pattern {
				c.add(at, fmt.Sprintf("the path %q does not begin with a slash", s), "", fmt.Sprintf("write %q", "/"+s))
			}
		}
	}
	if set > 1 {
		c.add(at, "a match has more than one path", "", "keep one of exact, prefix and pattern")
	}
	if p.Pattern == "" {
		return
	}
	parsed, err := pattern.ParsePath(p.Pattern)
	if err != nil {
		c.pattern(at, m.Origin.Object == "", err)
		return
	}
	c.habits(parsed, r, at)
	for _, name := range parsed.Names() {
		if slices.Contains(hostParams, name) {
			c.add(at, fmt.Sprintf("{%s} is captured by the host and by the path of the route %q", name, r.Name), "", "give each its own name")
		}
	}
}

// habits warns of segments that mean something else in other routers, and refuses separators that only routes with
// encoded_slash accept.
func (c *validator) habits(p pattern.Path, r *Route, at doc.Pos) {
	for _, s := range p.Segments {
		if name, ok := strings.CutPrefix(s.Prefix, ":"); ok && s.Kind == pattern.Literal && pattern.IsName(name) {
			c.ps.Add(doc.Problem{
				Pos: at, Severity: doc.Warning, What: fmt.Sprintf("the segment %q of the route %q is literal text", s.Prefix, r.Name),
				Why: "other routers read it as a parameter", Fix: fmt.Sprintf("write {%s} if it is one", name),
			})
		}
		path, err := httpx.NormalizePath("/" + s.Prefix + "x" + s.Suffix)
		if err == nil && path.EncodedSlash && !r.EncodedSlash {
			c.add(at, fmt.Sprintf("the route %q has an encoded slash or backslash or a ; in its path", r.Name), "such paths are refused, because servers disagree on what they mean", "add `encoded_slash: true` if the backend is known to keep them apart")
		}
	}
}

// fields checks the headers, query parameters or cookies of a match.
func (c *validator) fields(what string, fields []FieldMatch, at doc.Pos, token bool) {
	seen := map[string]bool{}
	for _, f := range fields {
		name := f.Name
		if what == "header" {
			name = strings.ToLower(name)
		}
		switch {
		case name == "" || token && !isToken(name):
			c.add(at, fmt.Sprintf("%q is not the name of a %s", f.Name, what), "", "write letters, digits and hyphens, as x-beta")
		case seen[name]:
			c.add(at, fmt.Sprintf("the %s %q is matched twice", what, f.Name), "both would have to hold", "keep one, or write one expression")
		}
		seen[name] = true
		if !f.Regex {
			continue
		}
		if _, err := regexp.Compile(f.Value); err != nil {
			c.add(at, fmt.Sprintf("the expression %q for the %s %q is not RE2", f.Value, what, f.Name), err.Error(), "put \\ before characters that are meant as they are, or leave regex out for plain text")
		}
	}
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func (c *validator) filter(f *Filter, in captured) {
	kind, ok := c.v.filter(f.Name)
	switch {
	case !ok:
		c.add(f.Origin.at(), fmt.Sprintf("unknown filter %q", f.Name), "", suggest(f.Name, kindNames(c.v.Filters), ""))
	case f.Config == nil:
		c.add(f.Origin.at(), fmt.Sprintf("the filter %q has no config", f.Name), "", "")
	case fmt.Sprintf("%T", f.Config) != fmt.Sprintf("%T", kind.New()):
		c.add(f.Origin.at(), fmt.Sprintf("the filter %q has the config %T, not %T", f.Name, f.Config, kind.New()), "", "")
	default:
		checkExpressions(f.Config, in, &c.ps)
	}
}

// identifies reports whether f recognises callers.
func (c *validator) identifies(f Filter) bool {
	kind, _ := c.v.filter(f.Name)
	return kind.Identifies
}

func (c *validator) timeouts(t Timeouts, at Origin) {
	for _, d := range []struct {
		name  string
		value int64
	}{{"connect", int64(t.Connect)}, {"head", int64(t.Head)}, {"idle", int64(t.Idle)}, {"total", int64(t.Total)}} {
		if d.value < 0 && d.value != int64(NoTimeout) {
			c.add(at.at(), fmt.Sprintf("the time-out %q is negative", d.name), "", "write a time such as 5s, or none")
		}
	}
}

// retry checks the further tries of a service, or of a caller of one.
func (c *validator) retry(r *Retry, at Origin, ofService bool) {
	if r == nil {
		return
	}
	if r.Budget != nil && !ofService {
		c.add(at.at(), "a budget of further tries stands beside what asks a service", "all that ask a service share one, for it is the service that must not be flooded", "move it to the `retry` of the service, below services")
	}
	if r.Attempts < 0 || r.Attempts > maxAttempts {
		c.add(at.at(), fmt.Sprintf("retry has %d further tries", r.Attempts), "many tries turn one failure into a flood", fmt.Sprintf("write 0 to %d", maxAttempts))
	}
	for _, s := range r.Statuses {
		if s < 400 || s > 599 {
			c.add(at.at(), fmt.Sprintf("retry counts the status %d as a failure", s), "failures are 400 to 599", "remove it")
		}
	}
}
