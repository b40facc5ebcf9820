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
	// mostQuestions limits the concurrent questions of each lane, for all names together. All lanes together stay below
	// the limit at which a small forwarder refuses (dnsmasq: 150).
	mostQuestions = 48
	// memory is for how long the lane of a question is remembered after its answer is no longer valid.
	memory = 10 * time.Minute
	// restOfServer is for how long a server that did not answer is asked after the others.
	restOfServer = 30 * time.Second
	// longestAbsence is the longest time before an absent name is asked for again: an operator who starts a backend
	// late wants it to be found soon.
	longestAbsence = 5 * time.Second
)

// known is a reply that is cached for some time.
type known struct {
	reply

	until time.Time
}

// lane is the queue in which a question waits, chosen by how it fared before. Questions that no server answers take
// long, and would otherwise use all the slots of questions that are answered at once.
type lane int

// The lanes. Silence moves a question one lane further, an answer moves it to the first.
const (
	laneAnswered lane = iota
	laneUnsure        // never asked, or silent once, as when a packet was lost
	laneSilent
	lanes
)

// past is how a question fared before.
type past struct {
	lane  lane
	until time.Time
}

// resolver asks servers. It is safe for concurrent use: callers with the same question share one query, and an answer
// that is still valid is not queried again.
type resolver struct {
	rules    rules
	settings func() settings // the current settings
	exchange exchanger
	slots    [lanes]chan struct{}

	mu      sync.Mutex
	known   map[question]known
	fared   map[question]past
	running map[question]*asking
	heard   map[string]time.Time // when servers answered last
	rests   map[string]time.Time // servers that did not answer, and until when they are asked last
	turn    int                  // whose turn it is, if servers take turns
	users   int                  // of the hub
}

// exchanger is the type of exchange.
type exchanger func(ctx context.Context, server string, q question, tcp bool) (reply, error)

func newResolver(r rules, now func() settings, by exchanger) *resolver {
	made := &resolver{
		rules: r, settings: now, exchange: by,
		known: map[question]known{}, fared: map[question]past{}, running: map[question]*asking{},
		heard: map[string]time.Time{}, rests: map[string]time.Time{},
	}
	for i := range made.slots {
		made.slots[i] = make(chan struct{}, mostQuestions)
	}
	return made
}

// asking is a question under way, for all callers that wait for it.
type asking struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int

	got known
	err error
}

// ask returns the reply to q. An error means that the answer is not known.
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

// leave ends the question if no other caller waits for it, and then waits for its end.
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
	r.fare(q, laneAnswered, k.until)
}

// laneOf is called with mu held.
func (r *resolver) laneOf(q question) lane {
	if p, ok := r.fared[q]; ok {
		return p.lane
	}
	return laneUnsure
}

// fare is called with mu held. until is when q will probably be asked again.
func (r *resolver) fare(q question, l lane, until time.Time) {
	now := time.Now()
	maps.DeleteFunc(r.fared, func(_ question, old past) bool { return !now.Before(old.until) })
	r.fared[q] = past{l, until.Add(memory)}
}

// query asks one server after the other, as often as the settings say. A question that no server answered before is
// asked only once, because it is repeated anyway.
func (r *resolver) query(ctx context.Context, q question) (reply, error) {
	s := r.settings()
	r.mu.Lock()
	times := max(1, s.attempts)
	if r.laneOf(q) == laneSilent {
		times = 1
	}
	r.mu.Unlock()
	for {
		got, silent, err := r.inTurn(ctx, s, q)
		if times--; err == nil || !silent || times == 0 || ctx.Err() != nil {
			return got, err
		}
	}
}

// inTurn asks all servers when it is q's turn. silent tells that one of them did not answer; asking the others again
// would give the same result.
func (r *resolver) inTurn(ctx context.Context, s settings, q question) (got reply, silent bool, err error) {
	r.mu.Lock()
	slots := r.slots[r.laneOf(q)]
	r.mu.Unlock()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return reply{}, false, context.Cause(ctx)
	}
	got, silent, err = r.round(ctx, s, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	if silent && err != nil {
		r.fare(q, min(r.laneOf(q)+1, laneSilent), time.Now())
	} else {
		r.fare(q, laneAnswered, time.Now())
	}
	return got, silent, err
}

// round asks one server after the other, until one gives an answer.
func (r *resolver) round(ctx context.Context, s settings, q question) (got reply, silent bool, failed error) {
	for _, server := range r.order(s) {
		got, err := r.once(ctx, s, server, q)
		if err == nil {
			return got, silent, nil
		}
		_, refused := errors.AsType[*refusalError](err)
		silent = silent || !refused
		if ctx.Err() != nil {
			return got, silent, err
		}
		failed = fmt.Errorf("%s %s at %s: %w", q.kind, q.name, server, err)
	}
	return reply{}, silent, failed
}

// errSilent means that a server did not answer in time.
var errSilent = errors.New("no answer in time")

// once asks one server. If it has answered another question meanwhile, it is not considered unresponsive.
func (r *resolver) once(ctx context.Context, s settings, server string, q question) (reply, error) {
	start := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, s.timeout, errSilent)
	defer cancel()
	got, err := r.exchange(limited, server, q, s.tcp)
	_, refused := errors.AsType[*refusalError](err)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil || refused:
		r.heard[server] = time.Now()
		delete(r.rests, server)
	case ctx.Err() == nil && !r.heard[server].After(start):
		r.rests[server] = time.Now().Add(restOfServer)
	}
	return got, err
}

// order returns the servers in the order in which to ask them: those that did not answer recently come last.
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
