package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// repeatable is the only parameter that may be given several times.
const repeatable = "header"

// taking lets only those requests through to next whose query has no unknown parameters. Ignoring a misspelt parameter
// would turn a dry run into a change. Probes, scrapes and profiles do not pass through it, because their clients send
// parameters of their own.
func taking(next http.HandlerFunc, known ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f := unknown(r.URL.RawQuery, known); f != nil {
			answer(w, r, f)
			return
		}
		next(w, r)
	}
}

// unknown returns what is wrong with a query's parameters, nil if nothing is.
func unknown(query string, known []string) *fault.Fault {
	values, err := url.ParseQuery(query)
	if err != nil { // Query of net/url would omit what it cannot read
		return fault.BadParameter.New("The query cannot be read: " + err.Error() + ".")
	}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			return fault.BadParameter.New(fmt.Sprintf("There is no parameter %q here; %s", name, instead(name, known)))
		case len(given) > 1 && name != repeatable:
			return fault.BadParameter.New(fmt.Sprintf("The parameter %q is given more than once.", name))
		}
	}
	return nil
}

// instead suggests the parameter that was probably meant.
func instead(name string, known []string) string {
	if near, ok := doc.Suggest(name, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "none is known."
	}
	return "known: " + strings.Join(known, ", ") + "."
}

// elsewise answers requests that mux has no handler for: there is no such path, or not with this method.
func elsewise(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if allow := strings.Join(methods(mux, r), ", "); allow != "" {
			answer(w, r, fault.MethodNotAllowed.New("Allowed here: "+allow+".", fault.WithField("Allow", allow)))
			return
		}
		answer(w, r, fault.RouteNotFound.New("The admin API has no such path; GET / lists what there is."))
	}
}

// everywhere is the pattern for requests that no other pattern matches.
const everywhere = "/"

// methods lists the methods that r's path has.
func methods(mux *http.ServeMux, r *http.Request) []string {
	all := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	return slices.DeleteFunc(all, func(method string) bool {
		_, pattern := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
		return pattern == everywhere
	})
}
