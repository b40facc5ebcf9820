package gatewayapi

import (
	"fmt"
	"regexp"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// grpcService and grpcMethod match the names that the API allows. A name that matches has no character with a meaning
// in a path or in a pattern.
var (
	grpcService = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$`)
	grpcMethod  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// grpc translates the rules of a GRPCRoute.
func (rs *ruleSet) grpc(object *gwv1.GRPCRoute) {
	for i := range object.Spec.Rules {
		c := rs.grpcRule(i, &object.Spec.Rules[i])
		if len(c.Listeners) > 0 && len(c.Matches) > 0 {
			rs.t.config.Routes = append(rs.t.config.Routes, c)
		}
	}
}

func (rs *ruleSet) grpcRule(i int, rule *gwv1.GRPCRouteRule) config.Route {
	c := rs.rule(i)
	c.Matches = rs.grpcMatches(i, rule.Matches, c.Origin)
	fs := filterSet{origin: c.Origin}
	for _, f := range rule.Filters {
		fs.addGRPC(f)
	}
	if rule.SessionPersistence != nil {
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "sessionPersistence is not supported")
	}
	c.Backends = orFailure(rs.grpcBackends(i, rule, c.Origin), c.Origin)
	if fs.bad != nil {
		rs.settle(i, fs, &c)
		return c
	}
	c.Filters = fs.filters()
	return c
}

func (rs *ruleSet) grpcMatches(rule int, matches []gwv1.GRPCRouteMatch, origin config.Origin) []config.Match {
	if len(matches) == 0 {
		return []config.Match{{Path: config.PathMatch{Prefix: "/"}, Origin: origin}}
	}
	var out []config.Match
	for i, m := range matches {
		match, err := grpcMatch(m)
		if err != nil {
			rs.reject(rule, failed(string(gwv1.RouteReasonUnsupportedValue), fmt.Sprintf("match %d: %s", i, err)))
			continue
		}
		match.Origin = origin
		out = append(out, match)
	}
	return out
}

func grpcMatch(m gwv1.GRPCRouteMatch) (config.Match, error) {
	path, err := grpcPath(m.Method)
	if err != nil {
		return config.Match{}, err
	}
	match := config.Match{Path: path}
	for _, h := range m.Headers {
		regex := deref(h.Type, gwv1.GRPCHeaderMatchExact) != gwv1.GRPCHeaderMatchExact
		if match.Headers, err = addField(match.Headers, string(h.Name), h.Value, regex, true); err != nil {
			return config.Match{}, err
		}
	}
	return match, nil
}

// grpcPath returns the path of a gRPC method, which is /Service/Method.
func grpcPath(m *gwv1.GRPCMethodMatch) (config.PathMatch, error) {
	if m == nil {
		return config.PathMatch{Prefix: "/"}, nil
	}
	if kind := deref(m.Type, gwv1.GRPCMethodMatchExact); kind != gwv1.GRPCMethodMatchExact {
		return config.PathMatch{}, fmt.Errorf("method matches of type %s are not supported", kind)
	}
	service, method := deref(m.Service, ""), deref(m.Method, "")
	if service != "" && !grpcService.MatchString(service) {
		return config.PathMatch{}, fmt.Errorf("%q is no name of a gRPC service", service)
	}
	if method != "" && !grpcMethod.MatchString(method) {
		return config.PathMatch{}, fmt.Errorf("%q is no name of a gRPC method", method)
	}
	switch {
	case service == "" && method == "":
		return config.PathMatch{Prefix: "/"}, nil
	case service == "":
		return config.PathMatch{Pattern: "/{service}/" + method}, nil
	case method == "":
		return config.PathMatch{Prefix: "/" + service}, nil
	default:
		return config.PathMatch{Exact: "/" + service + "/" + method}, nil
	}
}

func (rs *ruleSet) grpcBackends(rule int, spec *gwv1.GRPCRouteRule, origin config.Origin) []config.Backend {
	refs := make([]gwv1.BackendRef, 0, len(spec.BackendRefs))
	for _, ref := range spec.BackendRefs {
		refs = append(refs, ref.BackendRef)
	}
	backends := rs.backends(refs, origin)
	for i, ref := range spec.BackendRefs {
		fs := filterSet{origin: origin, backend: true}
		for _, f := range ref.Filters {
			fs.addGRPC(f)
		}
		rs.filterBackend(rule, fs, &backends[i])
	}
	return backends
}
