package expect

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Record makes tests of what a config does today: for each match of each route a request that leads there, with the
// route, backend and status that were found. It omits what known tests already ask. missed are the routes for which no
// request was found, because another route comes first or an expression decides.
func Record(s *snapshot.Snapshot, cfg *config.Config, known []config.Test) (tests []config.Test, missed []string) {
	asked := map[string]bool{}
	for _, t := range known {
		asked[key(t.Request)] = true
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		covered := false
		for j := range r.Matches {
			for _, t := range reach(s, cfg, r, &r.Matches[j]) {
				covered = true
				if k := key(t.Request); !asked[k] {
					asked[k] = true
					tests = append(tests, t)
				}
			}
		}
		if !covered {
			missed = append(missed, r.Name)
		}
	}
	return tests, missed
}

// key identifies a request.
func key(q config.TestRequest) string {
	parts := []string{q.Method, q.Host + q.Path, q.Listener, q.As, q.Client, q.Body}
	for _, h := range q.Headers {
		parts = append(parts, strings.ToLower(h.Name)+": "+h.Value)
	}
	return strings.Join(parts, "\n")
}

// fillings are values to try for parameters, because another route may have one of them as a literal.
func fillings() []string { return []string{"1", "a", "x-1", "sample"} }

// reach makes a test for each host of a match for which a request leads to the route.
func reach(s *snapshot.Snapshot, cfg *config.Config, r *config.Route, m *config.Match) []config.Test {
	var tests []config.Test
	hosts := r.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		for _, filling := range fillings() {
			q, ok := request(cfg, r, m, host, filling)
			if !ok {
				break
			}
			found, err := find(s, q)
			if err != nil || found.Route != r.Name {
				continue
			}
			t := config.Test{Request: q, Route: r.Name, Status: found.Status, Group: r.Group}
			if len(found.Backends) == 1 {
				t.Backend = found.Backends[0]
			}
			tests = append(tests, t)
			break
		}
	}
	return tests
}

// request makes a request that a match should take.
func request(cfg *config.Config, r *config.Route, m *config.Match, host, filling string) (config.TestRequest, bool) {
	q := config.TestRequest{Method: m.Method, Host: hostOf(host)}
	if q.Method == "" {
		q.Method = "GET"
	}
	path, ok := pathOf(m.Path, filling)
	if !ok {
		return q, false
	}
	q.Path = path
	q.Listener = listenerOf(cfg, r)
	var query, cookies []string
	for _, f := range m.Query {
		value, fits := valueOf(f)
		query = append(query, f.Name+"="+value)
		ok = ok && fits && !strings.ContainsAny(value, "&#% ")
	}
	for _, f := range m.Cookies {
		value, fits := valueOf(f)
		cookies = append(cookies, f.Name+"="+value)
		ok = ok && fits
	}
	for _, f := range m.Headers {
		value, fits := valueOf(f)
		q.Headers = append(q.Headers, config.FieldMatch{Name: f.Name, Value: value})
		ok = ok && fits
	}
	if len(query) > 0 {
		q.Path += "?" + strings.Join(query, "&")
	}
	if len(cookies) > 0 {
		q.Headers = append(q.Headers, config.FieldMatch{Name: "cookie", Value: strings.Join(cookies, "; ")})
	}
	return q, ok
}

// hostOf returns a host that a pattern covers.
func hostOf(pattern string) string {
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		return "a" + rest
	}
	if i := strings.IndexByte(pattern, '}'); strings.HasPrefix(pattern, "{") && i > 0 {
		return "a" + pattern[i+1:]
	}
	return pattern
}

// listenerOf returns the listener that a test must name, or "" if it is the first one.
func listenerOf(cfg *config.Config, r *config.Route) string {
	for i, l := range cfg.Listeners {
		if l.API != "" || len(r.Listeners) > 0 && !slices.Contains(r.Listeners, l.Name) {
			continue
		}
		if i == 0 {
			return ""
		}
		return l.Name
	}
	return ""
}

// pathOf returns a path that a match covers.
func pathOf(m config.PathMatch, filling string) (string, bool) {
	switch {
	case m.Exact != "":
		return m.Exact, true
	case m.Pattern == "":
		return strings.TrimSuffix(m.Prefix, "/") + "/" + filling, true
	}
	p, err := pattern.ParsePath(m.Pattern)
	if err != nil {
		return "", false
	}
	var path strings.Builder
	for _, s := range p.Segments {
		path.WriteString("/")
		switch s.Kind {
		case pattern.Literal:
			path.WriteString(s.Prefix)
		default:
			path.WriteString(s.Prefix + filling + s.Suffix)
		}
	}
	return path.String(), true
}

// valueOf returns a value that meets a condition.
func valueOf(f config.FieldMatch) (string, bool) {
	if !f.Regex {
		return f.Value, true
	}
	parsed, err := syntax.Parse(f.Value, syntax.Perl)
	if err != nil {
		return "", false
	}
	return matching(parsed.Simplify())
}

// matching returns a text that an expression matches, if one is easy to find.
func matching(r *syntax.Regexp) (string, bool) {
	switch r.Op {
	case syntax.OpLiteral:
		return string(r.Rune), true
	case syntax.OpCharClass:
		if len(r.Rune) == 0 {
			return "", false
		}
		return string(pick(r.Rune)), true
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "a", true
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpStar, syntax.OpQuest:
		return "", true
	case syntax.OpPlus, syntax.OpCapture, syntax.OpAlternate:
		return matching(r.Sub[0])
	case syntax.OpConcat:
		var text strings.Builder
		for _, sub := range r.Sub {
			part, ok := matching(sub)
			if !ok {
				return "", false
			}
			text.WriteString(part)
		}
		return text.String(), true
	default: // word boundaries, no match
		return "", false
	}
}

// pick returns a readable character of a class, which is given as pairs of bounds.
func pick(bounds []rune) rune {
	for _, want := range "a1A-_." {
		for i := 0; i+1 < len(bounds); i += 2 {
			if bounds[i] <= want && want <= bounds[i+1] {
				return want
			}
		}
	}
	return bounds[0]
}
