package dns

import (
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// watched is a file that is read again when it has changed.
type watched[T any] struct {
	path string
	read func([]byte) T

	mu      sync.Mutex
	size    int64
	changed time.Time
	have    bool
	value   T
}

// longestFile is how much of a file is read.
const longestFile = 16 << 20

// get returns the content of the file. If it cannot be read, get returns the last content, or the zero value if there
// was none.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	info, err := os.Stat(w.path)
	if err != nil {
		if !w.have {
			w.value, w.have = w.read(nil), true
		}
		return w.value
	}
	if w.have && info.Size() == w.size && info.ModTime().Equal(w.changed) {
		return w.value
	}
	if text, err := head(w.path); err == nil || !w.have {
		w.value, w.have = w.read(text), true
		w.size, w.changed = info.Size(), info.ModTime()
	}
	return w.value
}

func head(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, longestFile))
}

// hub is what all providers share: the machine's configuration, and one resolver for each distinct set of resolver
// settings.
type hub struct {
	conf   *watched[settings]
	hosts  *watched[hosts]
	system bool
	usable func(netip.Addr) bool
	by     exchanger

	mu        sync.Mutex
	resolvers map[string]*resolver
}

func newHub() *hub {
	return &hub{
		conf: &watched[settings]{path: "/etc/resolv.conf", read: func(text []byte) settings {
			host, _ := os.Hostname() // without a name it has no domain
			return readResolvConf(text, host)
		}},
		hosts:     &watched[hosts]{path: "/etc/hosts", read: readHosts},
		system:    slices.Contains([]string{"windows", "darwin", "ios", "android"}, runtime.GOOS),
		usable:    usable,
		by:        exchange,
		resolvers: map[string]*resolver{},
	}
}

// take returns the resolver for some settings, which lives until all users have called release.
func (h *hub) take(own *config.Resolver) (r *resolver, release func()) {
	key := own.Key()
	h.mu.Lock()
	defer h.mu.Unlock()
	r = h.resolvers[key]
	if r == nil {
		r = newResolver(newRules(own), func() settings { return h.settings(own) }, h.by)
		h.resolvers[key] = r
	}
	r.users++
	return r, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.users--; r.users == 0 {
			delete(h.resolvers, key)
		}
	}
}

// settings merges the config's settings over the machine's. If the config names servers they are asked only for the
// name as written, without the machine's search domains.
func (h *hub) settings(own *config.Resolver) settings {
	s := h.conf.get()
	s.hosts, s.system = h.hosts.get(), h.system
	if own == nil {
		return s
	}
	if len(own.Servers) > 0 {
		s = settings{
			servers: own.Servers, ndots: 1, timeout: defaultTimeout, attempts: defaultAttempts,
			families: []kind{kindA, kindAAAA}, hosts: s.hosts,
		}
	}
	if len(own.Search) > 0 {
		s.search = domains(own.Search)
	}
	if own.Timeout > 0 {
		s.timeout = own.Timeout
	}
	switch own.Family {
	case config.IPv4:
		s.families = []kind{kindA}
	case config.IPv6:
		s.families = []kind{kindAAAA}
	}
	return s
}

// rules bound how long replies are kept.
type rules struct{ least, most time.Duration }

func newRules(own *config.Resolver) rules {
	r := rules{config.DefaultMinTTL, config.DefaultMaxTTL}
	if own != nil && own.MinTTL > 0 {
		r.least = own.MinTTL
	}
	if own != nil && own.MaxTTL > 0 {
		r.most = own.MaxTTL
	}
	return r
}

// keep is how long a reply is kept.
func (r rules) keep(got reply) time.Duration {
	if got.absent() {
		return min(max(got.ttl, r.least), longestAbsence)
	}
	return min(max(got.ttl, r.least), max(r.least, r.most))
}
