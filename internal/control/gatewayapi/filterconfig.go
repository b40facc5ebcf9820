package gatewayapi

import (
	"strings"
	"time"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter/cors"
	"github.com/weir-gateway/weir/internal/filter/headers"
	"github.com/weir-gateway/weir/internal/filter/redirect"
	"github.com/weir-gateway/weir/internal/filter/rewrite"
)

// filters returns the filters of the set in their fixed order.
func (fs *filterSet) filters() []config.Filter { return fs.filtersOn(0) }

// filtersOn returns the filters for a listener's port. A redirect that names neither scheme nor port leads back to that
// port.
func (fs *filterSet) filtersOn(port gwv1.PortNumber) []config.Filter {
	var list []config.Filter
	add := func(name string, c any) { list = append(list, config.Filter{Name: name, Config: c, Origin: fs.origin}) }
	if fs.cors != nil {
		add("cors", corsConfig(fs.cors))
	}
	if fs.request != nil || fs.response != nil {
		add("headers", &headers.Config{Request: headerChange(fs.request), Response: headerChange(fs.response)})
	}
	if fs.rewrite != nil && (fs.rewrite.Hostname != nil || fs.rewrite.Path != nil) {
		add("rewrite", fs.rewriteConfig())
	}
	if fs.redirect != nil {
		add("redirect", fs.redirectConfig(port))
	}
	return list
}

// headerChange reads a header modifier. If a name has several entries, the first one counts, as the API says.
func headerChange(f *gwv1.HTTPHeaderFilter) headers.Change {
	var change headers.Change
	if f == nil {
		return change
	}
	change.Set, change.Add = headerFields(f.Set), headerFields(f.Add)
	for _, name := range f.Remove {
		change.Remove = append(change.Remove, headers.Name{Text: name})
	}
	return change
}

func headerFields(list []gwv1.HTTPHeader) headers.Fields {
	var fields headers.Fields
	seen := map[string]bool{}
	for _, h := range list {
		if key := strings.ToLower(string(h.Name)); !seen[key] {
			seen[key] = true
			fields = append(fields, headers.Field{Name: string(h.Name), Text: h.Value})
		}
	}
	return fields
}

// corsConfig reads a CORS filter. Without allowMethods it allows only the methods that need no permission; in a file,
// omitting them would allow the route's own methods.
func corsConfig(f *gwv1.HTTPCORSFilter) *cors.Config {
	c := &cors.Config{
		Origins: stringsOf(f.AllowOrigins), Methods: stringsOf(f.AllowMethods), Headers: stringsOf(f.AllowHeaders), Expose: stringsOf(f.ExposeHeaders),
		Credentials: deref(f.AllowCredentials, false), MaxAge: time.Duration(max(0, f.MaxAge)) * time.Second, EchoAny: true,
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{"GET", "HEAD", "POST"}
	}
	return c
}

func stringsOf[S ~string](list []S) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

func (fs *filterSet) rewriteConfig() *rewrite.Config {
	c := &rewrite.Config{Host: string(deref(fs.rewrite.Hostname, ""))}
	if path := fs.rewrite.Path; path != nil {
		c.Path, c.ReplacePrefix, c.MatchPrefix = fs.replacement(path)
	}
	return c
}

func (fs *filterSet) redirectConfig(port gwv1.PortNumber) *redirect.Config {
	f := fs.redirect
	c := &redirect.Config{
		Scheme: deref(f.Scheme, ""), Host: string(deref(f.Hostname, "")), Port: int(deref(f.Port, 0)),
		Status: deref(f.StatusCode, 302), ListenerPort: int(port), Absolute: true,
	}
	if f.Path != nil {
		c.Path, c.ReplacePrefix, c.MatchPrefix = fs.replacement(f.Path)
	}
	return c
}

// replacement returns the parts of a path modifier that check has accepted.
func (fs *filterSet) replacement(path *gwv1.HTTPPathModifier) (full string, prefix *string, match string) {
	if path.Type == gwv1.PrefixMatchHTTPPathModifier {
		return "", new(*path.ReplacePrefixMatch), *fs.prefix
	}
	return literal(*path.ReplaceFullPath), nil, ""
}

// literal encodes the characters that have a meaning in a path template, so that an object's value is taken literally.
func literal(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return strings.NewReplacer("{", "%7B", "}", "%7D", "**", "%2A%2A").Replace(path)
}
