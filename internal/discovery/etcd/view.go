package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
)

// view is the known state of the keys of one service. It is for one goroutine.
type view struct {
	prefix string
	log    *slog.Logger
	doubt  time.Duration // how long the previous store counts

	known    bool
	cluster  uint64 // and revision of the store: what was last seen
	revision int64
	entries  map[string]entry // by their keys
	// forgotten are the entries that only the previous store knows, if another store, or an older state of it, has
	// taken its place; they count until the time until.
	forgotten map[string]entry
	until     time.Time
}

// entry is one key.
type entry struct {
	mod      int64
	endpoint discovery.Endpoint
	err      error // why it is none
}

// broken tells whether the answer comes from another store than before, or from an older state of it.
func (v *view) broken(h header) bool {
	return v.known && (h.cluster != v.cluster || h.revision < v.revision)
}

// read takes over everything that the store knows.
func (v *view) read(now time.Time, found rangeResponse) {
	before := v.entries
	v.entries = map[string]entry{}
	for _, p := range found.pairs {
		v.put(p, before)
	}
	if v.broken(found.header) {
		v.log.Warn("etcd has forgotten what it knew: another cluster answers, or one that was restored; endpoints that it does not know are kept for a while",
			"revision", found.header.revision, "before", v.revision, "keys", len(v.entries), "keys before", len(before), "for", v.doubt)
		v.forgotten, v.until = before, now.Add(v.doubt)
	}
	v.known, v.cluster, v.revision = true, found.header.cluster, found.header.revision
}

// apply takes over the events of a watch.
func (v *view) apply(r watchResponse) {
	for _, e := range r.events {
		v.revision = max(v.revision, e.mod)
		if e.deleted {
			delete(v.entries, e.key)
			continue
		}
		v.put(e.pair, v.entries)
	}
	if len(r.events) == 0 { // a progress notification
		v.revision = max(v.revision, r.header.revision)
	}
}

// put reads a key. A key that is not understood is logged once and left out.
func (v *view) put(p pair, before map[string]entry) {
	instance, ok := strings.CutPrefix(p.key, v.prefix)
	if !ok || instance == "" {
		return
	}
	e := entry{mod: p.mod}
	e.endpoint, e.err = endpointOf(p, instance)
	if old, had := before[p.key]; e.err != nil && !errors.Is(e.err, errDeleted) && (!had || old.mod != p.mod) {
		v.log.Warn("a key in etcd is no endpoint; it is left out", "key", shorten(p.key), "error", e.err)
	}
	v.entries[p.key] = e
}

// set returns the endpoints that count at now, and after how long to look again; 0: not necessary.
func (v *view) set(now time.Time) (list []discovery.Endpoint, again time.Duration) {
	for _, e := range v.entries {
		if e.err == nil {
			list = append(list, e.endpoint)
		}
	}
	if len(v.forgotten) > 0 {
		if again = v.until.Sub(now); again <= 0 {
			v.forgotten, again = nil, 0
		}
	}
	for key, e := range v.forgotten {
		if _, back := v.entries[key]; !back && e.err == nil {
			list = append(list, e.endpoint)
		}
	}
	return discovery.Distinct(list), again
}

// shorten returns the beginning of a text that a stranger may have written.
func shorten(s string) string {
	if len(s) > 120 {
		s = s[:120] + "..."
	}
	return fmt.Sprintf("%q", s)
}
