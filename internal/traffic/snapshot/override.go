package snapshot

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// overrides are the fields by which frameworks take a request for one of another method.
var overrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// overridden refuses a request that its backend may take for one of another method, where
// that is for another route, with other guards: what was decided on is what is read. A form's body
// may say so too, and is not looked at (decision 0045).
func (l *Listener) overridden(r *http.Request, x *exchange.Exchange, found *Route) *fault.Fault {
	head := exchange.RequestHead(r)
	if exchange.KnownIn(head)&overriding != 0 {
		if f := l.overriddenByField(head, r, x, found); f != nil {
			return f
		}
	}
	if r.Method != http.MethodPost || x.Query == "" { // in the query no framework heeds it with any other
		return nil
	}
	for name, value := range httpx.QueryPairs(x.Query) {
		if namesMethod(name) && value != "" && !l.leadsTo(found, value, r, x) {
			return fault.BadParameter.New("The parameter _method names a method that this route is not for.")
		}
	}
	return nil
}

// overriding are the names of those.
var overriding = field.SetOf(field.XHTTPMethod, field.XHTTPMethodOverride, field.XMethodOverride)

func (l *Listener) overriddenByField(head exchange.Head, r *http.Request, x *exchange.Exchange, found *Route) *fault.Fault {
	for _, name := range overrides {
		for _, value := range head.Values(name) {
			if !l.leadsTo(found, value, r, x) {
				return fault.BadParameter.New("The field " + name + " names a method that this route is not for.")
			}
		}
	}
	return nil
}

// namesMethod tells whether a framework reads the parameter of that name, which is decoded, as _method.
// PHP heeds no blanks before a name and nothing behind a NUL, and puts '_' for some characters.
func namesMethod(name string) bool {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	return slices.Contains([]string{"_method", ".method", "[method"}, name)
}

// leadsTo tells whether r would come to found with another method too.
func (l *Listener) leadsTo(found *Route, method string, r *http.Request, x *exchange.Exchange) bool {
	if method == r.Method {
		return true
	}
	q := route.Query{Method: strings.ToUpper(method), Host: x.Host, Path: x.Path, Request: r}
	var params exchange.Params // of the other match, which nobody reads
	other, ok := l.Table.Match(&q, &params)
	return ok && other == found && httpx.IsToken(method)
}
