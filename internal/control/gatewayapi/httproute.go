package gatewayapi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// http translates the rules of an HTTPRoute.
func (rs *ruleSet) http(object *gwv1.HTTPRoute) {
	for i := range object.Spec.Rules {
		for _, c := range rs.httpRule(i, &object.Spec.Rules[i]) {
			if len(c.Listeners) > 0 && len(c.Matches) > 0 {
				rs.t.config.Routes = append(rs.t.config.Routes, c)
			}
		}
	}
}

// httpRule translates one rule into one config.Route, or into one for each port if a redirect has to name the
// listener's port.
func (rs *ruleSet) httpRule(i int, rule *gwv1.HTTPRouteRule) []config.Route {
	c := rs.rule(i)
	c.Matches = rs.httpMatches(i, rule.Matches, c.Origin)
	fs := filterSet{origin: c.Origin, prefix: onlyPrefix(rule.Matches)}
	for _, f := range rule.Filters {
		fs.addHTTP(f)
	}
	if rule.SessionPersistence != nil {
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "sessionPersistence is not supported")
	}
	c.Backends = rs.httpBackends(i, rule, c.Origin, fs.prefix)
	rs.timeouts(i, rule.Timeouts, &c)
	retry(rule.Retry, &c)
	if fs.bad != nil {
		rs.settle(i, fs, &c)
		return []config.Route{c}
	}
	if fs.redirect == nil {
		c.Backends = orFailure(c.Backends, c.Origin)
		c.Filters = fs.filters()
		return []config.Route{c}
	}
	c.Backends = nil // a redirect answers by itself
	return rs.redirects(c, fs)
}

// settle makes a rule with a filter that cannot be built answer 500.
func (rs *ruleSet) settle(i int, fs filterSet, c *config.Route) {
	c.Broken = fs.bad.message
	c.Backends = nil
	if fs.unresolved {
		rs.unresolved(fs.bad)
		return
	}
	rs.reject(i, *fs.bad)
}

// redirects returns one route for each port that the rule is served on if its redirect keeps the port of the listener,
// and one route for all ports otherwise.
func (rs *ruleSet) redirects(c config.Route, fs filterSet) []config.Route {
	if fs.redirect.Port != nil || fs.redirect.Scheme != nil {
		c.Filters = fs.filters()
		return []config.Route{c}
	}
	byPort := map[gwv1.PortNumber][]string{}
	for _, l := range rs.listeners {
		byPort[l.spec.Port] = append(byPort[l.spec.Port], l.name)
	}
	var routes []config.Route
	for _, port := range slices.Sorted(maps.Keys(byPort)) {
		one := c
		one.Listeners = byPort[port]
		one.Filters = fs.filtersOn(port)
		if len(byPort) > 1 {
			one.Name = fmt.Sprintf("%s port %d", c.Name, port)
		}
		routes = append(routes, one)
	}
	return routes
}

// httpMatches translates matches. It drops and reports a match that cannot be expressed. An empty list matches every
// request.
func (rs *ruleSet) httpMatches(rule int, matches []gwv1.HTTPRouteMatch, origin config.Origin) []config.Match {
	if len(matches) == 0 {
		return []config.Match{{Path: config.PathMatch{Prefix: "/"}, Origin: origin}}
	}
	var out []config.Match
	for i, m := range matches {
		match, err := httpMatch(m)
		if err != nil {
			rs.reject(rule, failed(string(gwv1.RouteReasonUnsupportedValue), fmt.Sprintf("match %d: %s", i, err)))
			continue
		}
		match.Origin = origin
		out = append(out, match)
	}
	return out
}

func httpMatch(m gwv1.HTTPRouteMatch) (config.Match, error) {
	path, err := httpPath(m.Path)
	if err != nil {
		return config.Match{}, err
	}
	match := config.Match{Path: path, Method: string(deref(m.Method, ""))}
	for _, h := range m.Headers {
		regex := deref(h.Type, gwv1.HeaderMatchExact) != gwv1.HeaderMatchExact
		if match.Headers, err = addField(match.Headers, string(h.Name), h.Value, regex, true); err != nil {
			return config.Match{}, err
		}
	}
	for _, q := range m.QueryParams {
		regex := deref(q.Type, gwv1.QueryParamMatchExact) != gwv1.QueryParamMatchExact
		if match.Query, err = addField(match.Query, string(q.Name), q.Value, regex, false); err != nil {
			return config.Match{}, err
		}
	}
	return match, nil
}

func httpPath(path *gwv1.HTTPPathMatch) (config.PathMatch, error) {
	if path == nil {
		return config.PathMatch{Prefix: "/"}, nil
	}
	value := deref(path.Value, "/")
	if !strings.HasPrefix(value, "/") {
		return config.PathMatch{}, fmt.Errorf("path %q does not begin with /", value)
	}
	switch kind := deref(path.Type, gwv1.PathMatchPathPrefix); kind {
	case gwv1.PathMatchExact:
		return config.PathMatch{Exact: value}, nil
	case gwv1.PathMatchPathPrefix:
		return config.PathMatch{Prefix: prefixOf(value)}, nil
	default:
		return config.PathMatch{}, fmt.Errorf("path matches of type %s are not supported", kind)
	}
}

// prefixOf returns a PathPrefix without its trailing slash, which does not count.
func prefixOf(value string) string {
	if trimmed := strings.TrimRight(value, "/"); trimmed != "" {
		return trimmed
	}
	return "/"
}

// addField adds a condition on a header or query parameter. If several have the same name, the first one counts and the
// others are ignored, as the API says.
func addField(fields []config.FieldMatch, name, value string, regex, fold bool) ([]config.FieldMatch, error) {
	for _, f := range fields {
		if f.Name == name || fold && strings.EqualFold(f.Name, name) {
			return fields, nil
		}
	}
	if regex {
		if _, err := regexp.Compile(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return append(fields, config.FieldMatch{Name: name, Value: value, Regex: regex}), nil
}

// onlyPrefix returns the prefix that all matches of a rule share. It is nil if they differ or one of them is not a
// prefix; then there is no prefix to replace.
func onlyPrefix(matches []gwv1.HTTPRouteMatch) *string {
	var prefix *string
	for _, m := range matches {
		path, err := httpPath(m.Path)
		if err != nil || path.Prefix == "" || prefix != nil && *prefix != path.Prefix {
			return nil
		}
		prefix = &path.Prefix
	}
	if prefix == nil {
		return new("/")
	}
	return prefix
}

// httpBackends resolves the backendRefs with their own filters.
func (rs *ruleSet) httpBackends(rule int, spec *gwv1.HTTPRouteRule, origin config.Origin, prefix *string) []config.Backend {
	refs := make([]gwv1.BackendRef, 0, len(spec.BackendRefs))
	for _, ref := range spec.BackendRefs {
		refs = append(refs, ref.BackendRef)
	}
	backends := rs.backends(refs, origin)
	for i, ref := range spec.BackendRefs {
		fs := filterSet{origin: origin, prefix: prefix, backend: true}
		for _, f := range ref.Filters {
			fs.addHTTP(f)
		}
		rs.filterBackend(rule, fs, &backends[i])
	}
	return backends
}

// filterBackend puts filters on a backend. If one of them cannot be built, the backend answers 500.
func (rs *ruleSet) filterBackend(rule int, fs filterSet, b *config.Backend) {
	switch {
	case fs.bad == nil:
		b.Filters = fs.filters()
	case fs.unresolved:
		rs.unresolved(fs.bad)
		*b = invalidBackend(b.Weight, fs.bad.message, b.Origin)
	default:
		rs.reject(rule, *fs.bad)
		*b = invalidBackend(b.Weight, fs.bad.message, b.Origin)
	}
}

// timeouts translates the timeouts: request bounds the exchange, backendRequest the wait for the response of one
// attempt. "0s" removes a bound; this is what "none" means in Weir.
func (rs *ruleSet) timeouts(rule int, spec *gwv1.HTTPRouteTimeouts, c *config.Route) {
	if spec == nil {
		return
	}
	for _, bound := range []struct {
		name  string
		value *gwv1.Duration
		into  *time.Duration
	}{{"request", spec.Request, &c.Timeouts.Total}, {"backendRequest", spec.BackendRequest, &c.Timeouts.Head}} {
		if bound.value == nil {
			continue
		}
		d, err := time.ParseDuration(string(*bound.value))
		if err != nil || d < 0 {
			rs.reject(rule, failed(string(gwv1.RouteReasonUnsupportedValue), fmt.Sprintf("timeouts.%s: %q is no duration", bound.name, *bound.value)))
			c.Broken = "its time-out is no duration"
			continue
		}
		if d == 0 {
			d = config.NoTimeout
		}
		*bound.into = d
	}
}

// retry translates the number of attempts and the codes. Weir tries another endpoint at once, so the minimum pause
// between tries has no equivalent.
func retry(spec *gwv1.HTTPRouteRetry, c *config.Route) {
	if spec == nil {
		return
	}
	c.Retry = &config.Retry{Attempts: max(0, deref(spec.Attempts, 1))}
	for _, code := range spec.Codes {
		c.Retry.Statuses = append(c.Retry.Statuses, int(code))
	}
}
