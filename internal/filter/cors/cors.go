package cors

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/filter"
)

// The fields of the CORS protocol.
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowMethods     = "Access-Control-Allow-Methods"
	allowHeaders     = "Access-Control-Allow-Headers"
	exposeHeaders    = "Access-Control-Expose-Headers"
	maxAge           = "Access-Control-Max-Age"
	requestMethod    = "Access-Control-Request-Method"
	requestHeaders   = "Access-Control-Request-Headers"
)

// policy is a Config ready to run. It is immutable after prepare.
type policy struct {
	any         bool // "*"
	origins     []pattern
	credentials bool
	methods     string // joined; "" echoes the request, "*" is all
	headers     string
	expose      string
	maxAge      string // in seconds, "" for none
	turnedAway  *telemetry.Counter

	// Changes to the heads of responses that do not depend on an origin.
	refused, anyone func(int, exchange.Head)
}

// allow adds an origin.
func (p *policy) allow(text string) error {
	if text == "*" {
		p.any = true
		return nil
	}
	o, err := parseOrigin(text)
	if err != nil {
		return err
	}
	p.origins = append(p.origins, o)
	return nil
}

// open tells whether every site is allowed, or every site with some scheme.
func (p *policy) open() bool {
	return p.any || slices.ContainsFunc(p.origins, func(o pattern) bool { return o.star && o.after == "" })
}

func (p *policy) prepare() {
	p.refused = func(_ int, head exchange.Head) { p.mark(head, "") }
	p.anyone = func(_ int, head exchange.Head) { p.mark(head, "*") }
}

// allowed tells whether pages of origin may read.
func (p *policy) allowed(origin string) bool {
	if p.any {
		return true
	}
	for _, o := range p.origins {
		if o.matches(origin) {
			return true
		}
	}
	return false
}

// guard answers preflights and queues the fields for all other responses, so that a page can also read the gateway's
// errors.
func (p *policy) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, head := exchange.Of(r), exchange.RequestHead(r)
		origin := originOf(head)
		granted := origin != "" && p.allowed(origin)
		if isPreflight(r, origin) {
			p.preflight(w, x, head, origin, granted)
			return
		}
		x.OnHead(p.operation(origin, granted))
		next.ServeHTTP(w, r)
	})
}

// ask tells what guard would do.
func (p *policy) ask(r *http.Request) filter.Verdict {
	origin := originOf(exchange.RequestHead(r))
	v := filter.Verdict{Answers: isPreflight(r, origin)}
	switch {
	case origin == "":
	case p.allowed(origin):
		v.Why = "pages of " + origin + " may read"
	default:
		v.Why = "pages of " + origin + " may not read"
	}
	return v
}

// isPreflight tells whether r is a browser's CORS preflight.
func isPreflight(r *http.Request, origin string) bool {
	return r.Method == http.MethodOptions && origin != "" && exchange.RequestHead(r).Get(requestMethod) != ""
}

// originOf returns the request's only origin. Browsers never send several.
func originOf(head exchange.Head) string {
	if values := head.Values("Origin"); len(values) == 1 {
		return values[0]
	}
	return ""
}

// operation returns the change of a response's head.
func (p *policy) operation(origin string, granted bool) func(int, exchange.Head) {
	switch {
	case p.any && !p.credentials: // the same for every client, even one that sent no origin: caches may keep it
		return p.anyone
	case !granted:
		return p.refused
	default:
		return func(_ int, head exchange.Head) { p.mark(head, origin) }
	}
}

// mark replaces the CORS fields of a response by this policy's own, because those of a backend would contradict it.
// With origin "", the response is for no other site.
func (p *policy) mark(head exchange.Head, origin string) {
	for _, name := range [...]string{allowOrigin, allowCredentials, allowMethods, allowHeaders, exposeHeaders, maxAge} {
		head.Del(name)
	}
	if p.varies() {
		vary(head, "Origin")
	}
	if origin == "" {
		return
	}
	head.Set(allowOrigin, origin)
	if p.credentials {
		head.Set(allowCredentials, "true")
	}
	switch {
	case p.expose == "":
	case p.expose == "*" && p.credentials: // then "*" would only be a name
		if list := readable(head); list != "" {
			head.Set(exposeHeaders, list)
		}
	default:
		head.Set(exposeHeaders, p.expose)
	}
}

// varies tells whether the response depends on the origin.
func (p *policy) varies() bool { return !p.any || p.credentials }

// readable lists the fields that a page can read only if they are exposed.
func readable(head exchange.Head) string {
	var list []string
	for _, name := range head.Names() {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Set-Cookie", allowOrigin, allowCredentials, "Cache-Control", "Content-Language", "Content-Length",
			"Content-Type", "Expires", "Last-Modified", "Pragma":
		default:
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// preflight answers a preflight (Fetch section 4.8). A page that is not allowed gets the same 204 without the fields
// that would permit the request.
func (p *policy) preflight(w http.ResponseWriter, x *exchange.Exchange, head exchange.Head, origin string, granted bool) {
	if !granted {
		p.turnedAway.Inc()
	}
	method, headers := head.Get(requestMethod), strings.Join(head.Values(requestHeaders), ", ")
	x.OnHead(func(_ int, out exchange.Head) {
		switch {
		case !granted:
			p.mark(out, "")
		case p.varies():
			p.mark(out, origin)
		default:
			p.mark(out, "*")
		}
		vary(out, requestMethod)
		vary(out, requestHeaders)
		if granted {
			p.grant(out, method, headers)
		}
	})
	w.WriteHeader(http.StatusNoContent)
}

// grant says which methods and fields may be sent.
func (p *policy) grant(out exchange.Head, method, headers string) {
	methods := p.methods
	if methods == "" || methods == "*" && p.credentials {
		methods = method
	}
	if methods == "*" || isList(methods) {
		out.Set(allowMethods, methods)
	}
	allowed := p.headers
	if allowed == "*" && p.credentials {
		allowed = headers
	}
	if allowed == "*" || isList(allowed) {
		out.Set(allowHeaders, allowed)
	}
	if p.maxAge != "" {
		out.Set(maxAge, p.maxAge)
	}
}

// isList holds for a comma-separated list of tokens; only such lists are echoed.
func isList(s string) bool {
	for token := range strings.SplitSeq(s, ",") {
		if !httpx.IsToken(strings.Trim(token, " \t")) {
			return false
		}
	}
	return true
}

// vary adds a name to Vary (RFC 9110 section 12.5.5) unless it is there already.
func vary(head exchange.Head, name string) {
	for _, line := range head.Values("Vary") {
		for have := range strings.SplitSeq(line, ",") {
			if have = strings.Trim(have, " \t"); have == "*" || strings.EqualFold(have, name) {
				return
			}
		}
	}
	head.Add("Vary", name)
}
