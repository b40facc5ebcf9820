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

// feed runs a provider and passes what it finds on to a service, which is several where
// it is called by several kinds of connections. The last set lies on the shelf, so that a
// gateway which is started while the source cannot be seen asks whom it asked before.
// Providers know nothing of that.
type feed struct {
	name     string
	asksFor  string
	provider discovery.Provider
	source   *source // that the provider belongs to; nil: none
	fixed    bool    // the config itself names the endpoints
	meter    *telemetry.Backend
	log      *slog.Logger
	maxAge   time.Duration // of a set that was kept
	place    *shelf.Place  // nil: it is kept nowhere

	stop  context.CancelFunc
	done  chan struct{}
	first chan struct{} // closed once the endpoints are known, or it is known that they cannot be found now

	mu        sync.Mutex
	told      bool // first is closed
	known     bool
	whole     bool // latest is all that there is
	latest    []discovery.Endpoint
	partial   []discovery.Endpoint // what was seen of a set while latest is of before the start
	confirmed time.Time            // by the source; zero: never
	kept      *time.Timer          // latest is of before the start, and ends with this; nil: it is not
	trouble   error                // why nothing was found at the last look
	to        []*service.Service
}

// newFeed makes the feed of a service, which runs nothing yet.
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

// runningFeed gives the feed of that identity that runs already, else starts next.
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

// ended notes that the provider does not run any more.
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

// recall takes over the set that was kept, for as long as it counts. That there was none
// is no help.
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

// forget lets go of a kept set that is too old.
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

// settled notes that latest is not of before the start any more. f is locked.
func (f *feed) settled() {
	if f.kept != nil {
		f.kept.Stop()
		f.kept = nil
	}
}

// partly is the provider's callback for what may not be all. It neither confirms nor
// replaces a set that was kept, of which it may be a part.
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

// looked is told by the provider how looking goes. It logs when that changes. A good look
// confirms a set of the provider's own, never one that was kept.
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

// confirm notes that latest is so just now. f is locked.
func (f *feed) confirm() {
	f.confirmed = time.Now()
	if len(f.latest) == 0 {
		f.place.Clear()
	} else {
		f.place.Put(f.latest)
	}
}

// pass takes list for the endpoints. f is locked.
func (f *feed) pass(list []discovery.Endpoint) {
	f.latest = list
	for _, s := range f.to {
		s.Set(list)
	}
	f.known = true
	f.tellFirst()
}

// tell passes what is known, and all that comes, on to s. Until something is known s keeps
// what it has, unless that is of others than are asked for now: better nobody is called
// than somebody whom the config does not name any more.
func (f *feed) tell(s *service.Service, ofOthers bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = append(f.to, s)
	if f.known || ofOthers {
		s.Set(f.latest)
	}
}

// leave passes nothing on to s any more.
func (f *feed) leave(s *service.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = slices.DeleteFunc(f.to, func(other *service.Service) bool { return other == s })
}

// heard tells how things stand.
func (f *feed) heard() telemetry.Heard {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := telemetry.Heard{Kind: "endpoints", Of: f.name, Count: len(f.latest), Confirmed: f.confirmed, Kept: f.kept != nil, Err: f.trouble}
	if h.Kept {
		h.Until = f.confirmed.Add(f.maxAge)
	}
	return h
}

// firstSet bounds how long a snapshot waits for the first endpoints of what it
// uses; after that it serves without them.
const firstSet = 2 * time.Second

// awaitFeeds waits until all that was started for this snapshot knows its endpoints, be
// it from before the start, so that the first request finds them too, or has looked in vain.
func (b *build) awaitFeeds() {
	timer := time.NewTimer(firstSet)
	defer timer.Stop()
	for i, f := range b.feeds {
		select {
		case <-f.first:
		case <-f.done: // it has logged why
		case <-timer.C:
			for _, late := range b.feeds[i:] {
				late.tellMissing()
			}
			return
		}
	}
}

// tellMissing says that the first request may find no endpoint.
func (f *feed) tellMissing() {
	select {
	case <-f.first:
	case <-f.done:
	default:
		f.log.Warn("serving before all endpoints are known; requests to this service get 503 until they are")
	}
}
