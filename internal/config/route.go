package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// routeForm holds the fields of a route in the short form, without filters.
type routeForm struct {
	Name         string        `doc:"name" help:"the route's name in logs and metrics; its key by default"`
	To           *doc.Node     `doc:"to" help:"the backend, or several variants" example:"http://users:8080"`
	Compose      *doc.Node     `doc:"compose" help:"instead of to: calls to several backends, by step name"`
	Return       *doc.Node     `doc:"return" help:"the response of compose: JSON with expressions, or a map of status, headers and body"`
	Timing       bool          `doc:"timing" help:"whether the Server-Timing header tells clients how long each step of compose took"`
	Strip        string        `doc:"strip" help:"segments to remove from the front of the path before it is sent" example:"/api"`
	Match        *matchForm    `doc:"match" help:"further conditions for a request"`
	Hosts        []string      `doc:"hosts,oneormany" help:"hosts that the route serves, instead of one in the key"`
	Listeners    []string      `doc:"listeners,oneormany" help:"listeners that the route is attached to; all by default"`
	Timeout      *timeoutsForm `doc:"timeout" help:"the time for the whole request, or for each part" example:"5s"`
	Retry        *retryForm    `doc:"retry" help:"retries after a failed attempt" example:"2"`
	EncodedSlash bool          `doc:"encoded_slash" help:"whether to accept paths with an encoded slash or backslash, or with a ';' (plain or encoded)"`
	Forwarded    *Forwarded    `doc:"forwarded" help:"the header fields about the client that the backend gets, or none; all by default" example:"X-Forwarded-For"`
}

// longRouteForm holds those of the long form.
type longRouteForm struct {
	Matches      []longMatchForm   `doc:"matches" help:"conditions, of which at least one must hold"`
	Filters      *doc.Node         `doc:"filters" help:"a list of filters, each a map of one filter"`
	Backends     []longBackendForm `doc:"backends" help:"the backends that may respond, by weight"`
	Sticky       *Expr             `doc:"sticky" help:"the value that keeps a client on the same backend" example:"auth.id"`
	Hosts        []string          `doc:"hosts,oneormany" help:"hosts that the route serves"`
	Listeners    []string          `doc:"listeners,oneormany" help:"listeners that the route is attached to; all by default"`
	Timeout      *timeoutsForm     `doc:"timeout" help:"the time for the whole request, or for each part"`
	Retry        *retryForm        `doc:"retry" help:"retries after a failed attempt"`
	EncodedSlash bool              `doc:"encoded_slash" help:"whether to accept paths with an encoded slash or backslash, or with a ';' (plain or encoded)"`
	Forwarded    *Forwarded        `doc:"forwarded" help:"the header fields about the client that the backend gets, or none; all by default" example:"X-Forwarded-For"`
}

func routeKeys() []string {
	return []string{"name", "to", "compose", "return", "timing", "strip", "match", "hosts", "listeners", "timeout", "retry", "encoded_slash", "forwarded"}
}

// isCore reports whether key is a field of routeForm that is lowered by itself.
func isCore(key string) bool { return key != "strip" && slices.Contains(routeKeys(), key) }

// route lowers one route, in the short or the long form.
func (l *loader) route(e element, group string, levels []level, ps *doc.Problems) {
	own := &doc.Problems{}
	r := Route{Name: e.name, Group: group, Origin: Origin{Pos: e.pos}, Policy: SourcePolicy{WrongMethod: 405, HeadByGet: true}}
	if e.long {
		l.longRoute(&r, e, levels, own)
	} else {
		l.shortRoute(&r, e, levels, own)
	}
	ps.Join(own)
	if own.Failed() {
		l.rough = append(l.rough, r)
		return
	}
	l.cfg.Routes = append(l.cfg.Routes, r)
}

func (l *loader) shortRoute(r *Route, e element, levels []level, ps *doc.Problems) {
	key, ok := parseKey(e.name, e.pos, ps)
	node := e.node
	if node.Kind != doc.Map {
		node = node.Under("to")
	}
	core, filters := l.v.split(node, routeKeys(), everyKind, ps)
	fields := inherit(slices.Concat(core.Entries, filters), l.known(levels))
	var form routeForm
	doc.Decode(entriesOf(node, fields, isCore), &form, ps)
	form.Compose = cmp.Or(form.Compose, core.Get("compose")) // also if it is not valid YAML
	r.Name = nameOf(form.Name, r)
	r.Hosts = form.Hosts
	if key.host != "" {
		if len(form.Hosts) > 0 {
			ps.Add(doc.Problem{Pos: core.Get("hosts").Pos, What: "the route has a host in its key and hosts beside it", Fix: "keep one of them"})
		}
		r.Hosts = []string{key.host}
	}
	if ok {
		r.Matches = key.matches(form.Match)
	}
	r.Forwarded = form.Forwarded
	r.common(form.Listeners, form.Timeout, form.Retry, form.EncodedSlash, fields)
	l.ofGroup(r)
	c := capturesOf(r.Hosts, r.Matches)
	c.unknown = c.unknown || !ok
	c.sent = slices.ContainsFunc(fields, setsPath)
	c.named = slices.ContainsFunc(fields, setsHost)
	r.Filters = l.filters(filtersOf(fields), c, ps)
	l.calls(r, ps)
	if l.inline(r, &form, fields, ps); form.Compose == nil {
		l.to(r, form.To, c, ps)
	}
}

// nameOf returns a route's name: its own, or its key with the group in front.
func nameOf(own string, r *Route) string {
	switch {
	case own != "":
		return own
	case r.Group != "":
		return r.Group + ": " + r.Name
	default:
		return r.Name
	}
}

// matches returns one match for each method of the key.
func (k routeKey) matches(more *matchForm) []Match {
	var list []Match
	for _, method := range k.everyMethod() {
		m := more.match()
		m.Method, m.Path, m.Origin = method, PathMatch{Pattern: k.path}, Origin{Pos: k.pos}
		list = append(list, m)
	}
	return list
}

func (k routeKey) everyMethod() []string {
	if len(k.methods) == 0 {
		return []string{""}
	}
	return k.methods
}

// common sets the fields that both forms have.
func (r *Route) common(listeners []string, timeout *timeoutsForm, retry *retryForm, slash bool, fields []inherited) {
	r.Listeners, r.EncodedSlash, r.Retry = listeners, slash, retry.retry()
	if timeout != nil {
		r.Timeouts = timeout.timeouts()
	}
	for _, f := range fields {
		if f.via != "" && isCore(f.Key) {
			r.inherits(f.Key, Origin{Pos: f.KeyPos, Via: f.via})
		}
	}
}

func (r *Route) inherits(key string, from Origin) {
	if r.Via == nil {
		r.Via = map[string]Origin{}
	}
	r.Via[key] = from
}

// ofGroup gives a route without hosts or listeners those of its group.
func (l *loader) ofGroup(r *Route) {
	t := l.teams[r.Group]
	if t == nil {
		return
	}
	from := Origin{Pos: t.pos, Via: "group " + t.name}
	if len(r.Hosts) == 0 && len(t.Hosts) > 0 {
		r.Hosts = slices.Clone(t.Hosts)
		r.inherits("hosts", from)
	}
	if len(r.Listeners) == 0 && len(t.Listeners) > 0 {
		r.Listeners = slices.Clone(t.Listeners)
		r.inherits("listeners", from)
	}
}

// known removes from levels what checkLevel refused.
func (l *loader) known(levels []level) []level {
	kept := make([]level, 0, len(levels))
	for _, lv := range levels {
		n := &doc.Node{Kind: doc.Map, Pos: lv.node.Pos}
		for _, e := range lv.node.Entries {
			_, isKind := l.v.filter(e.Key)
			if isKind || e.Key == "strip" || slices.Contains(inheritable(), e.Key) {
				n.Entries = append(n.Entries, e)
			}
		}
		kept = append(kept, level{name: lv.name, node: n})
	}
	return kept
}

func (l *loader) longRoute(r *Route, e element, levels []level, ps *doc.Problems) {
	var form longRouteForm
	doc.Decode(e.node, &form, ps)
	own := unlist(form.Filters, ps)
	for _, key := range inheritable() {
		if n := e.node.Get(key); n != nil {
			own = append(own, doc.Entry{Key: key, KeyPos: n.Pos, Value: n})
		}
	}
	fields := inherit(own, l.known(levels))
	for _, f := range fields {
		switch {
		case f.via != "" && f.Key == "timeout":
			form.Timeout = &timeoutsForm{}
			doc.Decode(f.Value, form.Timeout, ps)
		case f.via != "" && f.Key == "retry":
			form.Retry = &retryForm{}
			doc.Decode(f.Value, form.Retry, ps)
		case f.via != "" && f.Key == "forwarded":
			form.Forwarded = &Forwarded{}
			doc.Decode(f.Value, form.Forwarded, ps)
		}
	}
	r.Hosts, r.Sticky = form.Hosts, form.Sticky
	for _, m := range form.Matches {
		r.Matches = append(r.Matches, m.match())
	}
	r.Forwarded = form.Forwarded
	r.common(form.Listeners, form.Timeout, form.Retry, form.EncodedSlash, fields)
	l.ofGroup(r)
	c := capturesOf(r.Hosts, r.Matches)
	r.Filters = l.filters(filtersOf(fields), c, ps)
	l.calls(r, ps)
	for _, b := range form.Backends {
		l.longBackend(r, b, c, ps)
	}
}

// unlist reads the long form of filters: a list of maps with one key each.
func unlist(n *doc.Node, ps *doc.Problems) []doc.Entry {
	if n == nil || n.Kind == 0 {
		return nil
	}
	var entries []doc.Entry
	if n.Kind != doc.List {
		ps.Add(doc.Problem{Pos: n.Pos, What: "filters is not a list", Why: "the long form is a list of maps of one key each", Fix: "for example `filters:` and below it `- cors: {...}`"})
	}
	for _, item := range n.Items {
		if len(item.Entries) != 1 {
			ps.Add(doc.Problem{Pos: item.Pos, What: "an item of the list is not a map of one key", Fix: "for example `- cors: {...}`"})
			continue
		}
		entries = append(entries, item.Entries[0])
	}
	return entries
}

// filtersOf returns the fields that are filters, with strip and rewrite as one.
func filtersOf(fields []inherited) []inherited {
	var list []inherited
	at := -1 // index of the rewrite
	for _, f := range fields {
		switch {
		case isCore(f.Key):
		case slot(f.Key) != "rewrite":
			list = append(list, f)
		case at >= 0 && f.via == list[at].via:
			list[at].Value = mapAt(list[at].Value.Pos, slices.Concat(list[at].Value.Entries, longRewrite(f).Entries)...)
		default:
			at = len(list)
			list = append(list, inherited{Entry: doc.Entry{Key: "rewrite", KeyPos: f.KeyPos, Value: longRewrite(f)}, via: f.via})
		}
	}
	return list
}

// longRewrite is the map that `strip: /x` and `rewrite: /y` stand for.
func longRewrite(f inherited) *doc.Node {
	if f.Value.Kind != doc.Scalar {
		return f.Value
	}
	key := "path"
	if f.Key == "strip" {
		key = "strip"
	}
	return mapAt(f.Value.Pos, doc.Entry{Key: key, KeyPos: f.KeyPos, Value: f.Value})
}

// filters lowers filters and sorts them into the fixed order.
func (l *loader) filters(fields []inherited, c captures, ps *doc.Problems) []Filter {
	var list []Filter
	for _, f := range fields {
		if made, ok := l.filter(f, c, ps); ok {
			list = append(list, made...)
		}
	}
	l.v.sort(list)
	return list
}

// sort puts filters into the fixed order; equal ones keep theirs.
func (v Vocabulary) sort(list []Filter) {
	type placed struct {
		Filter

		order int
	}
	all := make([]placed, len(list))
	for i, f := range list {
		k, _ := v.filter(f.Name)
		all[i] = placed{f, k.place(f.Config)}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.order - b.order })
	for i, p := range all {
		list[i] = p.Filter
	}
}

// filter lowers one field of a route, which may become several filters.
func (l *loader) filter(f inherited, c captures, ps *doc.Problems) ([]Filter, bool) {
	kind, ok := l.v.filter(f.Key)
	if !ok {
		if slices.Contains(reserved.route, f.Key) {
			ps.Add(notYet(f.KeyPos, f.Key))
		} else {
			ps.Add(unknownKey(f.Entry, kindNames(l.v.Filters)))
		}
		return nil, false
	}
	var own doc.Problems
	config := kind.New()
	doc.Decode(f.Value, config, &own)
	switch {
	case own.Failed():
	case f.Key == "rewrite":
		checkRewrite(f.Value, c, &own)
	case f.Key == "redirect":
		checkRedirect(f.Value, c, &own)
	}
	ps.Join(&own)
	if own.Failed() {
		return nil, false
	}
	var list []Filter
	for _, piece := range kind.pieces(config) {
		list = append(list, Filter{Name: kind.Name, Config: piece, Origin: Origin{Pos: f.KeyPos, Via: f.via}})
	}
	return list, true
}

// checkRewrite checks a rewrite's config against the route.
func checkRewrite(n *doc.Node, c captures, ps *doc.Problems) {
	path, strip := said(n, "path"), said(n, "strip")
	if path != nil && strip != nil {
		ps.Add(doc.Problem{Pos: strip.Pos, What: "the route gives the path to send twice, by strip and by a path", Why: "the path replaces the whole path, so nothing is left to strip", Fix: "keep one of them"})
		return
	}
	if path != nil && path.Kind == doc.Scalar {
		checkPath(path, c, ps)
	}
	if strip != nil && strip.Kind == doc.Scalar {
		checkStrip(strip, c, ps)
	}
}

// checkRedirect checks a redirect's templates against the route.
func checkRedirect(n *doc.Node, c captures, ps *doc.Problems) {
	for _, template := range []*doc.Node{n, said(n, "to"), said(n, "path")} {
		if template != nil && template.Kind == doc.Scalar {
			checkInsertions(template, c, ps)
		}
	}
}

// said returns the value under key, nil if it is missing or empty.
func said(n *doc.Node, key string) *doc.Node {
	if value := n.Get(key); value != nil && (value.Kind != doc.Scalar || value.Value != "") {
		return value
	}
	return nil
}

func checkStrip(n *doc.Node, c captures, ps *doc.Problems) {
	switch {
	case !strings.HasPrefix(n.Value, "/"):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("strip %q does not begin with a slash", n.Value), Fix: fmt.Sprintf("write `strip: /%s`", n.Value)})
	case strings.ContainsAny(n.Value, "{}*"):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("strip %q has a parameter in it", n.Value), Why: "what is stripped is literal", Fix: "use rewrite, with ** or {name...} for what is kept"})
	case !c.below(n.Value):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the route's path does not begin with %q", n.Value), Why: "so nothing would ever be stripped", Fix: fmt.Sprintf("strip the first segments of %s exactly as written there", c.path)})
	}
}
