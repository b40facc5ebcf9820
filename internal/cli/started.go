package cli

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/follow"
)

// started prints what is served, and what to try next.
func (s Streams) started(a *app.App) {
	s.tell(a.Warnings, a.Sources)
	s.instead(a.Follower().Status())
	addresses, secure := a.Addresses(), a.Reconciler().Secure()
	apis := socketsOfAPIs(a.Reconciler().Config())
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		what := "serving"
		if api := apis[name]; api != "" {
			what = api
		}
		_, _ = fmt.Fprintf(s.Out, "%s on %s\n", what, link(addresses[name], secure[name]))
	}
	if address := a.AdminAddress(); address != "" {
		_, _ = fmt.Fprintf(s.Out, "admin on %s\n", link(address, false))
	}
	if try := firstTry(a.Reconciler().Config(), addresses, secure); try != "" {
		_, _ = fmt.Fprintf(s.Out, "try: %s\n", try)
	}
}

// socketsOfAPIs returns the sockets that are not for clients of routes, with the name of what they serve.
func socketsOfAPIs(cfg *config.Config) map[string]string {
	sockets := map[string]string{}
	for _, l := range cfg.Listeners {
		switch l.API {
		case config.LambdaAPIName:
			sockets[l.Socket] = "Lambda API"
		case config.RegistryName:
			sockets[l.Socket] = "registry"
		}
	}
	return sockets
}

// instead says where something is served other than what the files say.
func (s Streams) instead(status follow.Status) {
	for _, b := range status.Bad {
		what := "its last good text serves instead; fix it, or start with --state off to refuse it"
		if !b.LastGood {
			what = "it is left out, because it is new"
		}
		_, _ = fmt.Fprintln(s.Err, s.color(red, b.File+": "+what))
	}
	if h := status.Hold; h != nil {
		_, _ = fmt.Fprintln(s.Err, s.color(yellow, fmt.Sprintf("serving %s by %s since %s instead of the files, until they change or `weir rollback --release`",
			h.Digest, h.By, h.Since.Format(time.DateTime))))
	}
}

// stopping says what the shutdown waits for.
func (s Streams) stopping(a *app.App) {
	n := a.InFlight()
	if delay := a.Delay(); delay > 0 {
		_, _ = fmt.Fprintf(s.Out, "stopping: requests are accepted for another %s, so that load balancers notice; interrupt again to end at once\n", delay)
		return
	}
	if n == 0 {
		_, _ = fmt.Fprintln(s.Out, "stopping")
		return
	}
	_, _ = fmt.Fprintf(s.Out, "stopping: %s may finish within %s; interrupt again to end at once\n",
		count(int(n), "request"), a.Drain().Round(time.Second))
}

// link turns an address into a URL to click on. A wildcard address is shown as localhost, so that a browser on this
// machine can open it.
func link(address string, secure bool) string {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return "unix:" + address
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "::" || host == "0.0.0.0") {
		address = net.JoinHostPort("localhost", port)
	}
	return scheme + address
}

// firstTry returns a command that requests the first route that needs nothing but a URL, or "" if there is none.
func firstTry(cfg *config.Config, addresses map[string]string, secure map[string]bool) string {
	for i := range cfg.Routes {
		if url := sampleURL(cfg, &cfg.Routes[i], addresses, secure); url != "" {
			return "curl " + url
		}
	}
	return ""
}

// sampleURL returns a URL for which a plain GET takes the route, or "" if there is none.
func sampleURL(cfg *config.Config, r *config.Route, addresses map[string]string, secure map[string]bool) string {
	at := slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool {
		return l.Routed() && (len(r.Listeners) == 0 || slices.Contains(r.Listeners, l.Name)) && l.Hostname == "" && addresses[l.Socket] != ""
	})
	if at < 0 || len(r.Hosts) > 0 {
		return ""
	}
	socket := cfg.Listeners[at].Socket
	base := link(addresses[socket], secure[socket])
	if strings.HasPrefix(base, "unix:") {
		return ""
	}
	for _, m := range r.Matches {
		if m.Method != "" && m.Method != http.MethodGet || m.When != nil || len(m.Headers)+len(m.Query)+len(m.Cookies) > 0 {
			continue
		}
		if path := samplePath(cmp.Or(m.Path.Exact, m.Path.Prefix, m.Path.Pattern, "/")); path != "" {
			return base + path
		}
	}
	return ""
}

// samplePath returns a path that a pattern matches: with 1 for each parameter, and for a prefix the prefix itself.
func samplePath(pattern string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimSuffix(pattern, "/**"), "/") {
		before, rest, found := strings.Cut(segment, "{")
		_, after, _ := strings.Cut(rest, "}")
		switch {
		case found && strings.Contains(rest, "..."):
			continue
		case found:
			segment = before + "1" + after
		}
		if b.Len() > 0 || segment != "" {
			b.WriteString("/" + segment)
		}
	}
	return cmp.Or(b.String(), "/")
}
