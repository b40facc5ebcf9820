package ip

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
)

// policy is a Config ready to run.
type policy struct {
	config *Config
	// allow is nil where everybody may pass whom deny does not have.
	allow, deny set
	decisions   filter.Decisions // at level debug, for the access log has what is refused, too
}

func newPolicy(c *Config, decisions filter.Decisions) *policy {
	return &policy{config: c, allow: newSet(c.Allow), deny: newSet(c.Deny), decisions: decisions}
}

// guard lets through whom the rules allow.
func (p *policy) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := exchange.Of(r).Client.IP; !p.passes(ip) {
			p.decisions.Record(r, filter.Decision{Refuses: true, DryRun: p.config.DryRun, Reason: func() string { return p.why(ip) }})
			if !p.config.DryRun {
				exchange.Fail(w, p.refusal(ip))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ask tells what guard would do, and by which range.
func (p *policy) ask(r *http.Request) filter.Verdict {
	ip := exchange.Of(r).Client.IP
	switch {
	case p.passes(ip):
	case p.config.DryRun:
		return filter.Verdict{Why: p.why(ip) + "; a dry run, so it passes"}
	default:
		return filter.Verdict{Why: p.why(ip), Fault: p.refusal(ip)}
	}
	return filter.Verdict{Why: p.why(ip)}
}

// passes decides. A client without an address, on a Unix socket, is in no range
// and passes no rule.
func (p *policy) passes(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	ip = plain(ip)
	return !p.deny.has(ip) && (p.allow == nil || p.allow.has(ip))
}

func (p *policy) refusal(ip netip.Addr) *fault.Fault {
	return fault.Forbidden.New("", fault.Internal("ip: %s", p.why(ip)))
}

// why names the range that decided; it is for the few who ask.
func (p *policy) why(ip netip.Addr) string {
	if !ip.IsValid() {
		return "the client has no address, for it came over a Unix socket"
	}
	ip = plain(ip)
	if by, ok := narrowest(p.config.Deny, ip); ok {
		return fmt.Sprintf("%s is in %s, which may not pass", ip, by)
	}
	if len(p.config.Allow) == 0 {
		return fmt.Sprintf("%s is in no range that may not pass", ip)
	}
	if by, ok := narrowest(p.config.Allow, ip); ok {
		return fmt.Sprintf("%s is in %s", ip, by)
	}
	return fmt.Sprintf("%s is in no range that may pass", ip)
}

// narrowest gives the longest prefix of list that has ip.
func narrowest(list []config.Prefix, ip netip.Addr) (netip.Prefix, bool) {
	var best netip.Prefix
	for _, p := range list {
		if p.Contains(ip) && p.Bits() >= best.Bits() {
			best = p.Prefix
		}
	}
	return best, best.IsValid()
}

// plain is an address as ranges have it: ::ffff:192.0.2.1 is 192.0.2.1, and a
// zone means nothing to them.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// set is a set of addresses as ranges that neither meet nor overlap, in their
// order, so that a look-up takes the same few steps for ten ranges and ten thousand.
type set []span

// span is a range, both ends included and of one family.
type span struct{ first, last netip.Addr }

func newSet(list []config.Prefix) set {
	spans := make(set, 0, len(list))
	for _, p := range list {
		spans = append(spans, span{p.Addr(), lastOf(p.Prefix)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	var joined set
	for _, s := range spans {
		if n := len(joined); n > 0 && s.first.Compare(joined[n-1].last) <= 0 {
			if s.last.Compare(joined[n-1].last) > 0 {
				joined[n-1].last = s.last
			}
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// lastOf is the last address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// has tells whether ip is in the set.
func (s set) has(ip netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s, ip, func(r span, ip netip.Addr) int { return r.first.Compare(ip) })
	if found {
		return true
	}
	return i > 0 && ip.Compare(s[i-1].last) <= 0
}
