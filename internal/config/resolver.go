package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Resolver says how the names of endpoints are looked up. A zero field means what this machine does, or the default.
type Resolver struct {
	Servers []string // host:port with IP addresses; none: this machine's
	Search  []string // domains to try for short names
	Family  string   // IPv4, IPv6, or "" for both
	Timeout time.Duration
	MinTTL  time.Duration // DefaultMinTTL
	MaxTTL  time.Duration // DefaultMaxTTL
	Origin  Origin
}

// The families of Resolver.
const (
	IPv4 = "ipv4"
	IPv6 = "ipv6"
)

// The shortest and longest time for which an answer is kept, whatever its TTL.
const (
	DefaultMinTTL = time.Second
	DefaultMaxTTL = 5 * time.Minute
)

// The bounds of Resolver.
const (
	mostResolvers     = 8
	mostSearched      = 32
	shortestTTL       = 100 * time.Millisecond
	shortestQuestion  = 100 * time.Millisecond
	longestQuestion   = 30 * time.Second
	portOfNameServers = "53"
)

// Key is the same for resolvers with the same settings; r may be nil.
func (r *Resolver) Key() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%q %q %s %s %s %s", r.Servers, r.Search, r.Family, r.Timeout, r.MinTTL, r.MaxTTL)
}

// resolverForm is `resolver`: servers alone, or a map.
type resolverForm struct {
	Servers []string      `doc:"servers,oneormany" help:"addresses of the DNS servers to ask; this machine's by default" example:"[10.0.0.2, \"10.0.0.3:5353\"]"`
	Search  []string      `doc:"search,oneormany" help:"domains that are appended to short names" example:"[shop.internal]"`
	Family  string        `doc:"family" help:"ipv4 or ipv6; both by default" example:"ipv4"`
	Timeout time.Duration `doc:"timeout" help:"the time for one server to answer" example:"2s"`
	MinTTL  time.Duration `doc:"min_ttl" help:"the shortest time that an answer is kept" example:"1s"`
	MaxTTL  time.Duration `doc:"max_ttl" help:"the longest time that an answer is kept" example:"5m"`
	At      doc.Pos       `doc:"-,pos"`
}

func (f *resolverForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	f.At = n.Pos
	if n.Kind != doc.Map {
		n = n.Under("servers")
	}
	doc.Decode(n, (*plainResolver)(f), ps)
}

// resolver checks the form and returns its settings, nil if there are none.
func (f *resolverForm) resolver(ps *doc.Problems) *Resolver {
	if f == nil {
		return nil
	}
	r := &Resolver{Search: f.Search, Family: f.Family, Timeout: f.Timeout, Origin: Origin{Pos: f.At}}
	for _, text := range f.Servers {
		server, ok := nameServer(text)
		if !ok {
			ps.Add(doc.Problem{Pos: f.At, What: fmt.Sprintf("%q is not a DNS server", text), Why: "it must be an IP address, with or without a port: nothing could look up its name", Fix: `for example 10.0.0.2, "10.0.0.2:5353" or "[fd00::53]:53"`})
			continue
		}
		r.Servers = append(r.Servers, server)
	}
	for _, domain := range f.Search {
		if err := checkAddress(strings.TrimSuffix(domain, "."), false); err != nil {
			ps.Add(doc.Problem{Pos: f.At, What: fmt.Sprintf("%q is not a domain", domain), Why: err.Error(), Fix: "for example shop.internal"})
		}
	}
	f.bounds(ps)
	// A default that is not written adapts to a value that is.
	r.MinTTL = cmp.Or(f.MinTTL, min(DefaultMinTTL, cmp.Or(f.MaxTTL, DefaultMaxTTL)))
	r.MaxTTL = cmp.Or(f.MaxTTL, max(DefaultMaxTTL, r.MinTTL))
	return r
}

func (f *resolverForm) bounds(ps *doc.Problems) {
	add := func(what, why, fix string) { ps.Add(doc.Problem{Pos: f.At, What: what, Why: why, Fix: fix}) }
	if len(f.Servers) > mostResolvers {
		add(fmt.Sprintf("there are %d DNS servers", len(f.Servers)), "they are asked one after the other", fmt.Sprintf("keep %d", mostResolvers))
	}
	if len(f.Search) > mostSearched {
		add(fmt.Sprintf("there are %d domains to search", len(f.Search)), "each costs a query", fmt.Sprintf("keep %d", mostSearched))
	}
	if f.Family != "" && !slices.Contains([]string{IPv4, IPv6}, f.Family) {
		add(fmt.Sprintf("the family of addresses is %q", f.Family), "", suggest(f.Family, []string{IPv4, IPv6}, "write ipv4 or ipv6, or leave it out for both"))
	}
	if f.Timeout != 0 && (f.Timeout < shortestQuestion || f.Timeout > longestQuestion) {
		add(fmt.Sprintf("a DNS server gets %s to answer", f.Timeout), "", fmt.Sprintf("write %s to %s", shortestQuestion, longestQuestion))
	}
	for _, ttl := range []time.Duration{f.MinTTL, f.MaxTTL} {
		if ttl != 0 && ttl < shortestTTL {
			add(fmt.Sprintf("answers are kept for %s", ttl), "DNS servers would be queried without a pause", fmt.Sprintf("write %s or more", shortestTTL))
		}
	}
	if f.MaxTTL >= shortestTTL && f.MaxTTL < f.MinTTL {
		add(fmt.Sprintf("answers are kept for at least %s and at most %s", f.MinTTL, f.MaxTTL), "", "make max_ttl the larger one")
	}
}

// nameServer reads an IP address with or without a port, and adds a missing port.
func nameServer(text string) (string, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil && at.Port() > 0 {
		return at.String(), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return "", false
	}
	return net.JoinHostPort(addr.String(), portOfNameServers), true
}

func (expander) resolver(r *Resolver) *doc.Node {
	if r == nil {
		return nil
	}
	f := newFields()
	f.texts("servers", r.Servers, r.Origin.comment())
	f.texts("search", r.Search, "")
	f.text("family", r.Family, "")
	if r.Timeout != 0 {
		f.put("timeout", doc.EncodeNode(r.Timeout), "")
	}
	for _, ttl := range []struct {
		key        string
		own, usual time.Duration
	}{{"min_ttl", r.MinTTL, DefaultMinTTL}, {"max_ttl", r.MaxTTL, DefaultMaxTTL}} {
		comment := ""
		if ttl.own == ttl.usual {
			comment = builtIn
		}
		f.put(ttl.key, doc.EncodeNode(ttl.own), comment)
	}
	return &f.Node
}
