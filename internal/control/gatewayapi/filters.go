package gatewayapi

import (
	"fmt"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// filterSet collects the filters of a rule or of a backendRef. The first filter that cannot be built makes the whole
// set bad.
type filterSet struct {
	origin  config.Origin
	prefix  *string // common to the rule's matches, nil if they have none
	backend bool    // the filters are on a backendRef

	request    *gwv1.HTTPHeaderFilter
	response   *gwv1.HTTPHeaderFilter
	redirect   *gwv1.HTTPRequestRedirectFilter
	rewrite    *gwv1.HTTPURLRewriteFilter
	cors       *gwv1.HTTPCORSFilter
	bad        *verdict
	unresolved bool // bad is about a reference, not about a value
}

// refusef marks the set as bad.
func (fs *filterSet) refusef(reason gwv1.RouteConditionReason, format string, args ...any) {
	if fs.bad == nil {
		v := failed(string(reason), fmt.Sprintf(format, args...))
		fs.bad = &v
	}
}

// addHTTP adds a filter of an HTTPRoute.
func (fs *filterSet) addHTTP(f gwv1.HTTPRouteFilter) {
	switch f.Type {
	case gwv1.HTTPRouteFilterRequestHeaderModifier:
		take(fs, f.Type, &fs.request, f.RequestHeaderModifier)
	case gwv1.HTTPRouteFilterResponseHeaderModifier:
		take(fs, f.Type, &fs.response, f.ResponseHeaderModifier)
	case gwv1.HTTPRouteFilterURLRewrite:
		take(fs, f.Type, &fs.rewrite, f.URLRewrite)
	case gwv1.HTTPRouteFilterRequestRedirect:
		take(fs, f.Type, &fs.redirect, f.RequestRedirect)
	case gwv1.HTTPRouteFilterCORS:
		take(fs, f.Type, &fs.cors, f.CORS)
	case gwv1.HTTPRouteFilterExtensionRef:
		fs.refuseExtension(f.ExtensionRef)
	default:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "filter %s is not supported", f.Type)
	}
	fs.check()
}

// addGRPC adds a filter of a GRPCRoute.
func (fs *filterSet) addGRPC(f gwv1.GRPCRouteFilter) {
	switch f.Type {
	case gwv1.GRPCRouteFilterRequestHeaderModifier:
		take(fs, f.Type, &fs.request, f.RequestHeaderModifier)
	case gwv1.GRPCRouteFilterResponseHeaderModifier:
		take(fs, f.Type, &fs.response, f.ResponseHeaderModifier)
	case gwv1.GRPCRouteFilterExtensionRef:
		fs.refuseExtension(f.ExtensionRef)
	default:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "filter %s is not supported", f.Type)
	}
}

// take stores the body of a filter, which may occur once.
func take[K ~string, F any](fs *filterSet, kind K, into **F, body *F) {
	switch {
	case body == nil:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "filter %s has no body", kind)
	case *into != nil:
		fs.refusef(gwv1.RouteReasonIncompatibleFilters, "filter %s is given twice", kind)
	default:
		*into = body
	}
}

func (fs *filterSet) refuseExtension(ref *gwv1.LocalObjectReference) {
	kind := groupKind{}
	if ref != nil {
		kind = groupKind{string(ref.Group), string(ref.Kind)}
	}
	fs.refusef(gwv1.RouteReasonInvalidKind, "a filter of kind %s is not known", kind)
	fs.unresolved = true
}

// check finds filters that make no sense together or in their place.
func (fs *filterSet) check() {
	switch {
	case fs.redirect != nil && fs.rewrite != nil:
		fs.refusef(gwv1.RouteReasonIncompatibleFilters, "RequestRedirect and URLRewrite cannot stand on one rule")
	case fs.backend && fs.redirect != nil:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "RequestRedirect cannot stand on a backendRef")
	case fs.backend && fs.cors != nil:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "CORS cannot stand on a backendRef")
	}
	for _, path := range []*gwv1.HTTPPathModifier{fs.rewritePath(), fs.redirectPath()} {
		fs.checkPath(path)
	}
}

func (fs *filterSet) checkPath(path *gwv1.HTTPPathModifier) {
	switch {
	case path == nil:
	case path.Type == gwv1.PrefixMatchHTTPPathModifier && path.ReplacePrefixMatch != nil:
		if fs.prefix == nil {
			fs.refusef(gwv1.RouteReasonIncompatibleFilters, "ReplacePrefixMatch needs matches of one PathPrefix")
		}
	case path.Type == gwv1.FullPathHTTPPathModifier && path.ReplaceFullPath != nil:
	default:
		fs.refusef(gwv1.RouteReasonUnsupportedValue, "path modifier %s is not supported or has no value", path.Type)
	}
}

func (fs *filterSet) rewritePath() *gwv1.HTTPPathModifier {
	if fs.rewrite == nil {
		return nil
	}
	return fs.rewrite.Path
}

func (fs *filterSet) redirectPath() *gwv1.HTTPPathModifier {
	if fs.redirect == nil {
		return nil
	}
	return fs.redirect.Path
}
