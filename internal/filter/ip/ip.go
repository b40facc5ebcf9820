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
	// allow is nil if every address that is not in deny may pass.
	allow, deny set
	decisions   filter.Decisions // at level debug, because the access log has refusals, too
}

func newPolicy(c *Config, decisions filter.Decisions) *policy {
	return &policy{config: c, allow: newSet(c.Allow), deny: newSet(c.Deny), decisions: decisions}
}

// guard lets a request pass if the rules allow its client.
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

// passes decides. A client without an address, on a Unix socket, is in no range and never passes.
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

// why names the range that decided. It is called only for explain and for the log.
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

// narrowest returns the longest prefix in list that contains ip.
func narrowest(list []config.Prefix, ip netip.Addr) (netip.Prefix, bool) {
	var best netip.Prefix
	for _, p := range list {
		if p.Contains(ip) && p.Bits() >= best.Bits() {
			best = p.Prefix
		}
	}
	return best, best.IsValid()
}

// plain returns an address in the form that ranges have: ::ffff:192.0.2.1 becomes 192.0.2.1, and a zone is removed
// because it means nothing to ranges.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// set is a set of addresses as sorted, disjoint ranges, so that a look-up is a binary search.
type set []span

// span is a range, including both ends, which are of the same IP version.
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
