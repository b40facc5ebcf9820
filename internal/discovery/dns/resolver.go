package dns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// mostQuestions are asked at once, for all names together.
	mostQuestions = 64
	// restOfServer is how long a server that did not answer is asked after the others.
	restOfServer = 30 * time.Second
	// longestAbsence is how long it is not asked again for what is absent: who starts a
	// backend late wants to see it soon.
	longestAbsence = 5 * time.Second
)

// known is a reply that is kept for some time.
type known struct {
	reply

	until time.Time
}

// resolver asks servers. It is safe for concurrent use: who asks what is being asked
// waits for the same answer, and an answer that is still good is not asked for again.
type resolver struct {
	rules    rules
	settings func() settings // as they are now
	exchange exchanger
	slots    chan struct{}

	mu      sync.Mutex
	known   map[question]known
	running map[question]*asking
	rests   map[string]time.Time // servers that did not answer, and until when they come last
	turn    int                  // whose turn it is, where servers take turns
	users   int                  // of the hub
}

// exchanger is what exchange is.
type exchanger func(ctx context.Context, server string, q question, tcp bool) (reply, error)

func newResolver(r rules, now func() settings, by exchanger) *resolver {
	return &resolver{
		rules: r, settings: now, exchange: by, slots: make(chan struct{}, mostQuestions),
		known: map[question]known{}, running: map[question]*asking{}, rests: map[string]time.Time{},
	}
}

// asking is a question on its way, for all who wait for it.
type asking struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int

	got known
	err error
}

// ask gives the reply to q. An error means that nobody could tell.
func (r *resolver) ask(ctx context.Context, q question) (known, error) {
	r.mu.Lock()
	if k, ok := r.known[q]; ok && time.Now().Before(k.until) {
		r.mu.Unlock()
		return k, nil
	}
	a := r.running[q]
	if a == nil {
		a = r.start(q)
	}
	a.waiting++
	r.mu.Unlock()
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		r.leave(q, a)
		return known{}, context.Cause(ctx)
	}
}

// start is called with mu held.
func (r *resolver) start(q question) *asking {
	ctx, cancel := context.WithCancel(context.Background())
	a := &asking{done: make(chan struct{}), cancel: cancel}
	r.running[q] = a
	go func() {
		defer cancel()
		got, err := r.query(ctx, q)
		r.mu.Lock()
		defer r.mu.Unlock()
		defer close(a.done)
		if a.err = err; err == nil {
			a.got = known{got, time.Now().Add(r.rules.keep(got))}
			r.remember(q, a.got)
		}
		if r.running[q] == a {
			delete(r.running, q)
		}
	}()
	return a
}

// leave ends the question when nobody waits for it any more, and then waits for its end.
func (r *resolver) leave(q question, a *asking) {
	r.mu.Lock()
	a.waiting--
	last := a.waiting == 0
	if last && r.running[q] == a {
		delete(r.running, q)
	}
	r.mu.Unlock()
	if last {
		a.cancel()
		<-a.done
	}
}

// remember is called with mu held.
func (r *resolver) remember(q question, k known) {
	now := time.Now()
	maps.DeleteFunc(r.known, func(_ question, old known) bool { return !now.Before(old.until) })
	r.known[q] = k
}

// query asks one server after the other, as often as the settings say.
func (r *resolver) query(ctx context.Context, q question) (reply, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	}
	s := r.settings()
	var failed error
	for range max(1, s.attempts) {
		silent := false
		for _, server := range r.order(s) {
			got, err := r.once(ctx, s, server, q)
			if err == nil || ctx.Err() != nil {
				return got, err
			}
			_, refused := errors.AsType[*refusalError](err)
			silent = silent || !refused
			failed = fmt.Errorf("%s %s at %s: %w", q.kind, q.name, server, err)
		}
		if !silent { // all have answered, and would say the same again
			break
		}
	}
	return reply{}, failed
}

// errSilent is a server that did not answer in time.
var errSilent = errors.New("no answer in time")

// once asks one server.
func (r *resolver) once(ctx context.Context, s settings, server string, q question) (reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errSilent)
	defer cancel()
	got, err := r.exchange(ctx, server, q, s.tcp)
	_, refused := errors.AsType[*refusalError](err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil || refused {
		delete(r.rests, server)
	} else {
		r.rests[server] = time.Now().Add(restOfServer)
	}
	return got, err
}

// order gives the servers as they are to be asked: those that did not answer just now come last.
func (r *resolver) order(s settings) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Clone(s.servers)
	if s.rotate && len(list) > 0 {
		r.turn++
		n := r.turn % len(list)
		list = slices.Concat(list[n:], list[:n])
	}
	now := time.Now()
	slices.SortStableFunc(list, func(a, b string) int {
		return boolOrder(now.Before(r.rests[a])) - boolOrder(now.Before(r.rests[b]))
	})
	return list
}

func boolOrder(late bool) int {
	if late {
		return 1
	}
	return 0
}
