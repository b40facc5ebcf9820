package dns

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-gateway/weir/internal/discovery"
)

// mostEndpoints bounds a set.
const mostEndpoints = 1024

// placed is a target with the addresses that its name has.
type placed struct {
	target

	addrs []netip.Addr
}

// endpointsOf makes a set, always in the same order. usable tells whether an address could be reached from this
// machine.
func endpointsOf(list []placed, usable func(netip.Addr) bool) []discovery.Endpoint {
	roads := make([][]way, len(list))
	for i, p := range list {
		roads[i] = ways(p.addrs, usable)
	}
	weights := sharedWeights(list, roads)
	var all []discovery.Endpoint
	for i, p := range list {
		e := discovery.Endpoint{Address: p.address, Name: p.name, Weight: weights[i], Zone: p.zone}
		if p.address != "" {
			all = append(all, e)
		}
		for _, w := range roads[i] {
			e.Address, e.Fallback = netip.AddrPortFrom(w.first, p.port).String(), ""
			if w.other.IsValid() {
				e.Fallback = netip.AddrPortFrom(w.other, p.port).String()
			}
			all = append(all, e)
		}
	}
	return all
}

// way is how an endpoint is reached: by an address, and by a fallback of the other family if there is one.
type way struct{ first, other netip.Addr }

// ways combines the addresses of a name. A name with both families most likely lists each of its endpoints twice. So
// one family is the endpoints, the one that programs on this machine would use, and the other is how they are reached
// if that fails.
func ways(addrs []netip.Addr, usable func(netip.Addr) bool) []way {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	six, four := split(slices.Compact(addrs))
	first, other := six, four
	switch {
	case len(six) == 0:
		first, other = four, nil
	case len(four) > 0:
		first, other = preferred(six, four, usable)
	}
	list := make([]way, len(first))
	for i, a := range first {
		list[i].first = a
		if len(other) > 0 {
			list[i].other = other[i%len(other)]
		}
	}
	return list
}

// split separates IPv6 and IPv4.
func split(addrs []netip.Addr) (six, four []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return six, four
}

// preferred returns the family that comes first, and the other one without the addresses that cannot be reached from
// this machine.
func preferred(six, four []netip.Addr, usable func(netip.Addr) bool) (first, other []netip.Addr) {
	sixHere, fourHere := reachable(six, usable), reachable(four, usable)
	switch {
	case len(sixHere) == 0 && len(fourHere) == 0: // which may change soon
		return six, four
	case len(sixHere) == 0 || len(fourHere) > 0 && precedence(sixHere[0]) < precedence(fourHere[0]):
		return fourHere, sixHere
	default:
		return sixHere, fourHere
	}
}

func reachable(list []netip.Addr, usable func(netip.Addr) bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !usable(a) })
}

// precedence is the one of RFC 6724 section 2.1, except that IPv4 comes first on this machine: more servers listen only
// on 127.0.0.1 than only on ::1.
func precedence(a netip.Addr) int {
	switch {
	case a.Is4():
		return 35
	case a.IsLoopback():
		return 30
	case within(a, "fc00::/7"), within(a, "fec0::/10"), within(a, "3ffe::/16"):
		return 3
	case within(a, "2001::/32"):
		return 5
	case within(a, "2002::/16"):
		return 30
	default:
		return 40
	}
}

func within(a netip.Addr, prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }

// mostWeight keeps sums of weights far from the limits of an int.
const mostWeight = 1_000_000

// sharedWeights returns the weights of each target's endpoints: a target's own weight is shared by all its endpoints.
func sharedWeights(list []placed, roads [][]way) []int {
	common := 1 // the common multiple of all numbers of endpoints
	for _, r := range roads {
		n := max(1, len(r))
		common = min(common/gcd(common, n)*n, mostWeight)
	}
	weights := make([]int, len(list))
	divisor, largest := 0, 0
	for i, p := range list {
		weights[i] = p.weight * common / max(1, len(roads[i]))
		divisor, largest = gcd(divisor, weights[i]), max(largest, weights[i])
	}
	if largest == 0 || common == 1 {
		return weights
	}
	for i, w := range weights {
		if w /= divisor; largest/divisor > mostWeight && w > 0 {
			w = max(1, w*mostWeight/(largest/divisor))
		}
		weights[i] = w
	}
	return weights
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// targetsOf makes targets of SRV records, grouped by priority in the order in which they are to be used. name is the
// name that certificates are for.
func targetsOf(records []record, name string) [][]target {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port), cmp.Compare(b.weight, a.weight))
	})
	records = slices.CompactFunc(records, func(a, b record) bool {
		return a.priority == b.priority && a.target == b.target && a.port == b.port
	})
	var groups [][]target
	for i, r := range records {
		if i == 0 || r.priority != records[i-1].priority {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, target{host: r.target, port: r.port, name: name, weight: int(r.weight)})
	}
	for _, g := range groups {
		weigh(g)
	}
	return groups
}

// rarely is by what factor a target of weight 0 gets less than one of weight 1 beside it: "a very small chance" (RFC
// 2782).
const rarely = 100

// weigh converts SRV weights to ours, where 0 gets no requests.
func weigh(group []target) {
	some := slices.ContainsFunc(group, func(t target) bool { return t.weight > 0 })
	none := slices.ContainsFunc(group, func(t target) bool { return t.weight == 0 })
	for i := range group {
		switch {
		case group[i].weight == 0:
			group[i].weight = 1
		case some && none:
			group[i].weight *= rarely
		}
	}
}
