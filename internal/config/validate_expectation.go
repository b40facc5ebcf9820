package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// test checks one of `tests`.
func (c *validator) test(t *Test) {
	at := t.Origin.at()
	if t.Route == "" && t.Backend == "" && t.Status == 0 {
		c.add(at, "the test expects nothing", "so it could never fail", "add route, backend or status")
	}
	if t.Status != 0 && (t.Status < 100 || t.Status > 599) {
		c.add(at, fmt.Sprintf("the test expects the status %d", t.Status), "statuses are 100 to 599", "")
	}
	if t.Route != "" && t.Route != none && c.routes[t.Route] == nil && !c.partial && !c.isRough(t.Route) {
		var names []string
		for name := range c.routes {
			names = append(names, name)
		}
		c.add(at, fmt.Sprintf("the test expects the route %q, which does not exist", t.Route), "", suggest(t.Route, names, "write the key of a route as it stands there, or none"))
	}
	if t.Request.Listener != "" && c.listeners[t.Request.Listener] == nil && !c.unheard {
		c.add(at, fmt.Sprintf("the test uses the listener %q, which does not exist", t.Request.Listener), knownWords(c.listenerNames()), suggest(t.Request.Listener, c.listenerNames(), ""))
	}
	c.testRequest(t)
}

// testRequest checks the request of a test.
func (c *validator) testRequest(t *Test) {
	at := t.Origin.at()
	for _, h := range t.Request.Headers {
		if h.Regex {
			c.add(at, fmt.Sprintf("the header %q of the test is an expression", h.Name), "a request has values", "write one that the expression matches")
		}
	}
	if t.Request.Client != "" {
		if _, err := netip.ParseAddr(t.Request.Client); err != nil {
			c.add(at, fmt.Sprintf("the test comes from %q, which is not an address", t.Request.Client), "", "write an IP address, as 192.0.2.1")
		}
	}
	if as := strings.TrimSpace(t.Request.As); strings.HasPrefix(as, "{") && !json.Valid([]byte(as)) {
		c.add(at, "the caller of the test is no JSON", "it is a subject, or an object of claims", `for example as: '{"sub": "ada", "scope": "orders:read"}'`)
	}
}
