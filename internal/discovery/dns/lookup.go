package dns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/internal/discovery"
)

const (
	// longestWay bounds aliases that lead from one answer to the next question.
	longestWay = 8
	// patience is how long the answer for the second family is awaited once the first one has arrived.
	patience = time.Second
	// longestUnseen is after how long a name is looked up again if one family could not be resolved.
	longestUnseen = 30 * time.Second
	// hostsAge is how long an answer from /etc/hosts is used.
	hostsAge = 5 * time.Second
)

// sight is the result of looking up a name.
type sight struct {
	name    string // the absolute name that was found; "" if no server was asked
	addrs   []netip.Addr
	records []record
	extra   map[string][]netip.Addr
	until   time.Time
	// absent tells that there is no such name, or that it has no records of the wanted kind. doubt is how long caches
	// may repeat that when it is no longer true.
	absent bool
	doubt  time.Duration
	// unseen are the kinds of addresses that could not be resolved.
	unseen []kind
}

// addresses looks up the addresses of a name, as programs on this machine do. last is the absolute name that was found
// before, "" for none. An error means that the answer is not known.
func (r *resolver) addresses(ctx context.Context, name, last string) (sight, error) {
	s := r.settings()
	if addrs := s.written(name); len(addrs) > 0 {
		return sight{addrs: addrs, until: time.Now().Add(hostsAge)}, nil
	}
	if s.system {
		return systemAddresses(ctx, s, name)
	}
	return search(s.candidates(name), last, func(candidate string) (sight, error) { return r.families(ctx, s, candidate) })
}

// services looks up the SRV records of a name; last is as in addresses.
func (r *resolver) services(ctx context.Context, name, last string) (sight, error) {
	s := r.settings()
	if s.system {
		return systemServices(ctx, name)
	}
	return search(s.candidates(name), last, func(candidate string) (sight, error) {
		k, err := r.records(ctx, question{candidate, kindSRV})
		if err != nil || k.absent() {
			return sight{absent: err == nil, doubt: k.ttl}, err
		}
		return sight{records: k.records, extra: s.taken(k.extra), until: k.until}, nil
	})
}

// search looks for the first candidate that exists. A candidate whose lookup fails is skipped, as other programs do,
// unless it is the one that was found last: its requests must not go to the endpoints of another name.
func search(candidates []string, last string, look func(string) (sight, error)) (sight, error) {
	var failed error
	none := sight{absent: true}
	for _, candidate := range candidates {
		got, err := look(candidate)
		switch {
		case err != nil && candidate == last:
			return sight{}, err
		case err != nil && failed == nil:
			failed = err
		case err != nil:
		case !got.absent:
			got.name = candidate
			return got, nil
		default:
			none.doubt = max(none.doubt, got.doubt)
		}
	}
	if failed != nil {
		return sight{}, failed
	}
	return none, nil
}

// candidates are the absolute names that a name may stand for, in the order in which they are looked up
// (resolv.conf(5): search, ndots).
func (s settings) candidates(name string) []string {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var list []string
	for _, domain := range s.search {
		if full := name + "." + domain; len(full) <= discovery.LongestName {
			list = append(list, protocol.Fqdn(full))
		}
	}
	if strings.Count(name, ".") >= s.ndots {
		return append([]string{name + "."}, list...)
	}
	return append(list, name+".")
}

// written returns the addresses that need no query: those in /etc/hosts, and those of localhost, which never leaves
// this machine (RFC 6761 section 6.3).
func (s settings) written(name string) []netip.Addr {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	addrs := s.hosts[name]
	if len(addrs) == 0 && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return s.wanted(addrs)
}

// taken returns those of the additional addresses of SRV records that are used: the ones that a query for them would
// have returned.
func (s settings) taken(extra map[string][]netip.Addr) map[string][]netip.Addr {
	use := map[string][]netip.Addr{}
	for name, addrs := range extra {
		if len(s.written(name)) > 0 {
			continue // the machine says otherwise
		}
		if addrs = s.wanted(addrs); len(addrs) > 0 {
			use[name] = addrs
		}
	}
	return use
}

// wanted leaves out address families that are not wanted.
func (s settings) wanted(addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !slices.Contains(s.families, familyOf(a)) })
}

func familyOf(a netip.Addr) kind {
	if a.Is4() {
		return kindA
	}
	return kindAAAA
}

// familyAnswer is the answer for one family of a name's addresses.
type familyAnswer struct {
	kind kind
	known
	err error
}

// families asks for both families at once, or one after the other if the machine is configured so.
func (r *resolver) families(ctx context.Context, s settings, name string) (sight, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make(chan familyAnswer, len(s.families))
	ask := func(kinds ...kind) {
		for _, k := range kinds {
			got, err := r.records(ctx, question{name, k})
			answers <- familyAnswer{k, got, err}
		}
	}
	if s.singly {
		go ask(s.families...)
	} else {
		for _, k := range s.families {
			go ask(k)
		}
	}
	var enough <-chan time.Time
	var got both
	for left := len(s.families); left > 0; {
		select {
		case a := <-answers:
			left--
			if got.add(a); len(got.sight.addrs) > 0 && enough == nil {
				enough = time.After(patience)
			}
		case <-enough:
			cancel(errSilent)
		}
	}
	return got.whole()
}

// both combines the families.
type both struct {
	sight  sight
	failed error
}

func (b *both) add(a familyAnswer) {
	switch {
	case a.err != nil:
		b.sight.unseen = append(b.sight.unseen, a.kind)
		if b.failed == nil {
			b.failed = a.err
		}
	case a.absent():
		b.sight.doubt = max(b.sight.doubt, a.ttl)
	default:
		if len(b.sight.addrs) == 0 || a.until.Before(b.sight.until) {
			b.sight.until = a.until
		}
		b.sight.addrs = append(b.sight.addrs, a.addrs...)
	}
}

func (b *both) whole() (sight, error) {
	switch {
	case len(b.sight.addrs) > 0 && len(b.sight.unseen) > 0:
		if soon := time.Now().Add(longestUnseen); soon.Before(b.sight.until) {
			b.sight.until = soon
		}
	case len(b.sight.addrs) > 0:
	case b.failed != nil:
		return sight{}, b.failed
	default:
		b.sight.absent = true
	}
	return b.sight, nil
}

// records asks for records, and follows an alias at which an answer ends.
func (r *resolver) records(ctx context.Context, q question) (known, error) {
	var until time.Time
	for range longestWay {
		k, err := r.ask(ctx, q)
		if err != nil {
			return known{}, err
		}
		if until.IsZero() || k.until.Before(until) {
			until = k.until
		}
		if k.alias == "" {
			k.until = until
			return k, nil
		}
		q.name = k.alias
	}
	return known{}, errRound
}
