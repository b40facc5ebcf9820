package compile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
)

// feed runs a provider and passes the endpoints that it finds to a service. If the service is called over several kinds
// of connections, there is one service.Service for each of them, and the feed serves them all. The shelf keeps the last
// set, so that a gateway that starts while the source is unreachable uses the endpoints from before the restart.
// Providers do not know about this.
type feed struct {
	name     string
	asksFor  string
	provider discovery.Provider
	source   *source // the source of the provider; nil: none
	fixed    bool    // the config itself names the endpoints
	meter    *telemetry.Backend
	log      *slog.Logger
	maxAge   time.Duration // of a kept set
	place    *shelf.Place  // nil: the set is not kept

	stop  context.CancelFunc
	done  chan struct{}
	first chan struct{} // closed once the endpoints are known, or once it is known that they cannot be found now

	mu        sync.Mutex
	told      bool // first is closed
	known     bool
	whole     bool // latest is the full set
	latest    []discovery.Endpoint
	partial   []discovery.Endpoint // what was seen of a set while latest is from before the start
	confirmed time.Time            // by the source; zero: never
	kept      *time.Timer          // latest is from before the start until this fires; nil: it is not
	trouble   error                // why the last look found nothing
	to        []*service.Service
}

// newFeed makes the feed of a service. It does not run yet.
func (b *build) newFeed(s *config.Service) (*feed, error) {
	own := *s
	own.Resolver = b.resolver(s)
	d, _, _ := b.compiler.parts.provider(s)
	f := &feed{
		name: inGroup(s.Group, s.Name), asksFor: asksFor(s), fixed: d.Fixed != nil && d.Fixed(own), log: b.compiler.options.Log.With("service", s.Name),
		maxAge: b.compiler.options.KeptAge, done: make(chan struct{}), first: make(chan struct{}),
	}
	f.meter = b.backendMeter(f.name)
	var err error
	f.provider, f.source, err = b.provider(s, &own, discovery.Env{
		Log: f.log, Looked: f.looked, Partly: f.partly, Counts: b.compiler.options.Metrics.Discovery().Changed,
	})
	return f, err
}

// runningFeed returns the feed with that identity that is already running, or starts next.
func (b *build) runningFeed(identity string, next *feed) (*feed, error) {
	same := func(before *feed) bool { return before.source == next.source }
	f, err := keep(b, "feed "+identity, same, func() (*feed, func(context.Context), error) {
		if !next.fixed {
			next.place = b.compiler.options.Shelf.Place("endpoints", identity, next.maxAge)
		}
		next.start()
		b.feeds = append(b.feeds, next)
		return next, func(context.Context) { next.end() }, nil
	})
	if err == nil && !f.fixed {
		b.heard["endpoints "+identity] = f.heard
	}
	return f, err
}

// start runs the provider until end is called.
func (f *feed) start() {
	f.recall()
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	if f.source != nil {
		f.source.users.Add(1)
	}
	go func() {
		defer f.ended()
		if err := f.provider.Run(ctx, f.set); err != nil {
			f.log.Error("discovery ended; the last endpoints stay", "error", err)
		}
	}()
}

// ended notes that the provider no longer runs.
func (f *feed) ended() {
	if f.source != nil {
		f.source.users.Done()
	}
	close(f.done)
}

func (f *feed) end() {
	f.stop()
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled()
	f.place.Close()
}

// recall uses the kept set for as long as it counts. A kept set without endpoints is of no use.
func (f *feed) recall() {
	var list []discovery.Endpoint
	at, ok := f.place.Last(&list)
	if !ok || len(list) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = time.AfterFunc(f.maxAge-time.Since(at), f.forget)
	f.confirmed = at
	f.meter.Seen(at)
	f.pass(list)
	f.log.Info("the endpoints are those of before the start until their source is seen", "endpoints", len(list), "confirmed", at)
}

// forget drops a kept set that is too old.
func (f *feed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		return
	}
	f.settled()
	f.log.Error("the endpoints of before the start are too old by now, and their source was not wholly seen since", "confirmed", f.confirmed, "endpoints", len(f.partial))
	f.pass(f.partial)
}

// settled notes that latest is no longer from before the start. f is locked.
func (f *feed) settled() {
	if f.kept != nil {
		f.kept.Stop()
		f.kept = nil
	}
}

// partly is the provider's callback for a set that may be incomplete. It neither confirms nor replaces a kept set,
// since it may be only a part of that set.
func (f *feed) partly(list []discovery.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.partial = list; f.kept == nil {
		f.whole = false
		f.pass(list)
	}
}

// set is the provider's callback.
func (f *feed) set(list []discovery.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled()
	if !f.known || !slices.Equal(f.latest, list) {
		f.pass(list)
	}
	f.whole = true
	f.confirm()
}

// looked is the provider's callback for the result of each look. It logs when that changes. A successful look confirms
// a set from the provider itself, never a kept one.
func (f *feed) looked(err error) {
	switch {
	case err == nil:
		f.meter.Looked(telemetry.Found, time.Now())
	case errors.Is(err, discovery.ErrAbsent):
		f.meter.Looked(telemetry.Absent, time.Now())
	default:
		f.meter.Looked(telemetry.Unseen, time.Now())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.trouble == nil && len(f.latest) > 0:
		f.log.Warn("endpoints cannot be found now; the last ones stay", "error", err)
	case err != nil && f.trouble == nil:
		f.log.Warn("endpoints cannot be found; requests to this service get 503 until they are", "error", err)
	case err == nil && f.trouble != nil:
		f.log.Info("endpoints are found again")
	}
	if f.trouble = err; err != nil {
		f.tellFirst()
	} else if f.whole {
		f.confirm()
	}
}

// tellFirst ends the wait for the first endpoints. f is locked.
func (f *feed) tellFirst() {
	if !f.told {
		f.told = true
		close(f.first)
	}
}

// confirm notes that the source has confirmed latest just now. f is locked.
func (f *feed) confirm() {
	f.confirmed = time.Now()
	if len(f.latest) == 0 {
		f.place.Clear()
	} else {
		f.place.Put(f.latest)
	}
}

// pass makes list the endpoints. f is locked.
func (f *feed) pass(list []discovery.Endpoint) {
	f.latest = list
	for _, s := range f.to {
		s.Set(list)
	}
	f.known = true
	f.tellFirst()
}

// tell passes the known endpoints, and all later sets, to s. Until endpoints are known, s keeps those that it has,
// unless they were found for different names than are asked for now: it is better to call no endpoint than one that the
// config no longer names.
func (f *feed) tell(s *service.Service, ofOthers bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = append(f.to, s)
	if f.known || ofOthers {
		s.Set(f.latest)
	}
}

// leave stops passing endpoints to s.
func (f *feed) leave(s *service.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = slices.DeleteFunc(f.to, func(other *service.Service) bool { return other == s })
}

// heard returns the state of the feed.
func (f *feed) heard() telemetry.Heard {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := telemetry.Heard{Kind: "endpoints", Of: f.name, Count: len(f.latest), Confirmed: f.confirmed, Kept: f.kept != nil, Err: f.trouble}
	if h.Kept {
		h.Until = f.confirmed.Add(f.maxAge)
	}
	return h
}

// firstSet bounds how long a snapshot waits for the first endpoints of the services it uses. After that it serves
// without them.
const firstSet = 2 * time.Second

// awaitFeeds waits until every feed that was started for this snapshot knows its endpoints or has looked without
// success, so that the first request finds them. Endpoints from before the start count, too.
func (b *build) awaitFeeds() {
	timer := time.NewTimer(firstSet)
	defer timer.Stop()
	for i, f := range b.feeds {
		select {
		case <-f.first:
		case <-f.done: // the feed has logged why
		case <-timer.C:
			for _, late := range b.feeds[i:] {
				late.tellMissing()
			}
			return
		}
	}
}

// tellMissing logs that the first request may find no endpoint.
func (f *feed) tellMissing() {
	select {
	case <-f.first:
	case <-f.done:
	default:
		f.log.Warn("serving before all endpoints are known; requests to this service get 503 until they are")
	}
}
