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

// overrides are the header fields that make frameworks treat a request as one with another method.
var overrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// overridden refuses a request that its backend may treat as one with another method if that method belongs to another
// route, with other guards. The method that the guards decided on must be the one that the backend reads. The body of a
// form may name a method too, but is not looked at (decision 0045).
func (l *Listener) overridden(r *http.Request, x *exchange.Exchange, found *Route) *fault.Fault {
	head := exchange.RequestHead(r)
	if exchange.KnownIn(head)&overriding != 0 {
		if f := l.overriddenByField(head, r, x, found); f != nil {
			return f
		}
	}
	if r.Method != http.MethodPost || x.Query == "" { // with any other method, no framework reads it from the query
		return nil
	}
	for name, value := range httpx.QueryPairs(x.Query) {
		if namesMethod(name) && value != "" && !l.leadsTo(found, value, r, x) {
			return fault.BadParameter.New("The parameter _method names a method that this route is not for.")
		}
	}
	return nil
}

// overriding is the set of the names in overrides.
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

// namesMethod reports whether a framework reads the parameter with that decoded name as _method. PHP ignores blanks
// before a name and everything after a NUL, and turns some characters into '_'.
func namesMethod(name string) bool {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	return slices.Contains([]string{"_method", ".method", "[method"}, name)
}

// leadsTo reports whether r would come to found with the other method too.
func (l *Listener) leadsTo(found *Route, method string, r *http.Request, x *exchange.Exchange) bool {
	if method == r.Method {
		return true
	}
	q := route.Query{Method: strings.ToUpper(method), Host: x.Host, Path: x.Path, Request: r}
	var params exchange.Params // of the other match; not used
	other, ok := l.Table.Match(&q, &params)
	return ok && other == found && httpx.IsToken(method)
}
