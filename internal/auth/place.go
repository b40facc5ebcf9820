package auth

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Kind is the part of a request that a Place is in.
type Kind string

// The kinds of places.
const (
	InHeader Kind = "header"
	InCookie Kind = "cookie"
	InQuery  Kind = "query"
)

// Authorization is the header field of RFC 9110 section 11.6.2.
const Authorization = "Authorization"

// Place is where in a request a credential stands.
type Place struct {
	Kind Kind
	Name string // a header's name in its canonical spelling
	// Scheme stands before the credential in a header: "Bearer". "" for none.
	Scheme string
}

// AuthorizationOf returns the place of a credential in the Authorization header with the given scheme.
func AuthorizationOf(scheme string) Place {
	return Place{Kind: InHeader, Name: Authorization, Scheme: scheme}
}

// String returns the place as it is written in a config.
func (p Place) String() string {
	text := string(p.Kind) + ":" + p.Name
	if p.Scheme != "" {
		text += " " + p.Scheme
	}
	return text
}

// EncodeDoc writes the place in the form in which it is read.
func (p Place) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: p.String()} }

// DocSchema implements doc.SchemaWriter.
func (Place) DocSchema() *doc.Schema {
	return doc.TextSchema("header:NAME, header:NAME SCHEME, cookie:NAME or query:NAME")
}

// DecodeDoc reads `header:X-API-Key`, `header:Authorization Bearer`, `cookie:session`
// and `query:access_token`.
func (p *Place) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	kind, rest, ok := strings.Cut(n.Value, ":")
	name, scheme, _ := strings.Cut(strings.TrimSpace(rest), " ")
	problem := doc.Problem{
		Pos: n.Pos, What: fmt.Sprintf("%q is no place of a credential", n.Value),
		Why: "a place is header:NAME, cookie:NAME or query:NAME", Fix: "for example `from: header:X-API-Key`",
	}
	switch {
	case n.Kind != doc.Scalar:
		problem.What = n.Kind.String() + " is given where a place of a credential is expected"
	case !ok || name == "":
	case Kind(kind) == InHeader && httpx.IsToken(name) && (scheme == "" || httpx.IsToken(scheme)):
		*p = Place{Kind: InHeader, Name: http.CanonicalHeaderKey(name), Scheme: scheme}
		if p.Name == Authorization && scheme == "" {
			p.Scheme = "Bearer"
		}
		if why := reserved(name); why != "" {
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the field %s can carry no credential", p.Name), Why: why, Fix: "choose another field, for example header:X-API-Key"})
		}
		return
	case Kind(kind) == InCookie && httpx.IsToken(name) && scheme == "",
		Kind(kind) == InQuery && scheme == "" && httpx.CheckQuery(name) == nil && !strings.ContainsAny(name, "&=%+"):
		*p = Place{Kind: Kind(kind), Name: name}
		return
	}
	ps.Add(problem)
}

// reserved says why a header field cannot carry a credential, or returns "" if it can.
func reserved(name string) string {
	switch {
	case forward.Folds(name, "cookie"):
		return "cookies are read one by one; write cookie:NAME"
	case forward.Managed(name):
		return "the gateway reads or writes it itself"
	default:
		return ""
	}
}

// values yields the credentials that stand in this place. If the place has a scheme, values with another scheme are
// skipped.
func (p Place) values(r *http.Request, x *exchange.Exchange) iter.Seq[string] {
	switch p.Kind {
	case InCookie:
		return func(yield func(string) bool) {
			for _, line := range exchange.RequestHead(r).Values("Cookie") {
				for value := range httpx.CookieValues(line, p.Name) {
					if !yield(value) {
						return
					}
				}
			}
		}
	case InQuery:
		return httpx.QueryValues(x.Query, p.Name)
	default:
		return func(yield func(string) bool) {
			for _, value := range exchange.RequestHead(r).Values(p.Name) {
				if credential, ok := p.withoutScheme(value); ok && !yield(credential) {
					return
				}
			}
		}
	}
}

// withoutScheme removes the scheme from the value of a header field. The result is false if the place has a scheme and
// the value does not begin with it.
func (p Place) withoutScheme(value string) (string, bool) {
	if p.Scheme == "" {
		return value, true
	}
	scheme, credential, _ := strings.Cut(value, " ")
	return strings.TrimLeft(credential, " "), strings.EqualFold(scheme, p.Scheme)
}

// Find returns the one credential that stands in one of places. Several credentials are refused, because a backend
// might believe another one than the gateway does (RFC 6750 section 2). A second line of a header field with a scheme
// is refused too, whatever its scheme.
func Find(r *http.Request, places []Place) (string, error) {
	if len(places) == 1 && places[0].Kind == InHeader {
		return places[0].only(exchange.RequestHead(r).Values(places[0].Name))
	}
	return findAmong(r, places)
}

// findAmong is Find for several places, and for a single one in a cookie or the query.
func findAmong(r *http.Request, places []Place) (string, error) {
	x := exchange.Of(r)
	found, n := "", 0
	for _, p := range places {
		if p.Kind == InHeader && len(exchange.RequestHead(r).Values(p.Name)) > 1 {
			return "", severalTimes(p)
		}
		if p.Kind == InQuery && httpx.CheckQuery(x.Query) != nil {
			return "", &RefusedError{Code: InvalidRequest, Reason: "the query can be read in more than one way"}
		}
		for value := range p.values(r, x) {
			if found, n = value, n+1; n > 1 {
				return "", severalTimes(p)
			}
		}
	}
	if n == 0 {
		return "", ErrAbsent
	}
	return found, nil
}

// only is Find for the values of one header field.
func (p Place) only(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", ErrAbsent
	case 1:
		if credential, ok := p.withoutScheme(values[0]); ok {
			return credential, nil
		}
		return "", ErrAbsent
	default:
		return "", severalTimes(p)
	}
}

func severalTimes(p Place) error {
	return &RefusedError{Code: InvalidRequest, Reason: "several credentials: one more stands in " + p.String()}
}

// Strip removes the credentials from r, valid or not, in every spelling of their header field and in trailers too, so
// that nothing behind the gateway mistakes them for checked ones. Places in keep are left alone, but only in their own
// spelling, which is the one that was checked.
func Strip(r *http.Request, places, keep []Place) {
	head := exchange.RequestHead(r)
	for _, p := range places {
		kept := contains(keep, p)
		if p.Kind == InHeader {
			stripField(r, head, p.Name, kept)
		}
		if kept {
			continue
		}
		switch p.Kind {
		case InHeader: // handled above: its other spellings are removed even if it is kept
		case InCookie:
			forward.DropCookie(head, p.Name)
		case InQuery:
			stripQuery(r, p.Name)
		}
	}
}

// stripField removes a header field in every spelling, or in every other spelling if the field itself is kept.
func stripField(r *http.Request, head exchange.Head, name string, kept bool) {
	if !kept {
		head.Del(name)
	}
	trailer, spelled := exchange.RequestTrailer(r), strings.ContainsAny(name, "-_.") // it can be spelled in more than one way
	if !spelled && trailer.Len() == 0 {
		return
	}
	folded := folded(name)
	if spelled {
		exchange.DelFields(head, func(field string) bool {
			return forward.Folds(field, folded) && (!kept || !strings.EqualFold(field, name))
		})
	}
	forward.DropManaged(trailer, []string{folded})
}

// contains compares places by kind and name, and ignores the scheme.
func contains(list []Place, p Place) bool {
	for _, other := range list {
		if other.Kind == p.Kind && other.Name == p.Name {
			return true
		}
	}
	return false
}

// stripQuery removes one parameter and leaves the others unchanged. It changes the request's own URL too, for code that
// knows nothing of the exchange.
func stripQuery(r *http.Request, name string) {
	x := exchange.Of(r)
	rest := httpx.QueryWithout(x.Query, name)
	if rest == x.Query {
		return
	}
	x.Query = rest
	if r.URL != nil {
		u := *r.URL
		u.RawQuery = httpx.QueryWithout(u.RawQuery, name)
		r.URL = &u
	}
	if path, query, ok := strings.Cut(r.RequestURI, "?"); ok {
		r.RequestURI = path
		if query = httpx.QueryWithout(query, name); query != "" {
			r.RequestURI += "?" + query
		}
	}
}
