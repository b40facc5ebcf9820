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
	// mostQuestions are asked at once in each lane, for all names together. All lanes are fewer
	// than what a small forwarder takes before it refuses (dnsmasq: 150).
	mostQuestions = 48
	// memory is how long it is known how a question fared after that no longer counts as an answer.
	memory = 10 * time.Minute
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

// lane is where a question waits for its turn, by how it fared before: those that nobody
// answers last long, and would else have all the turns of those that are answered at once.
type lane int

// The lanes. Silence leads one further, an answer to the first.
const (
	laneAnswered lane = iota
	laneUnsure        // never asked, or silent for the first time, as when a packet was lost
	laneSilent
	lanes
)

// past is how a question fared.
type past struct {
	lane  lane
	until time.Time
}

// resolver asks servers. It is safe for concurrent use: who asks what is being asked
// waits for the same answer, and an answer that is still good is not asked for again.
type resolver struct {
	rules    rules
	settings func() settings // as they are now
	exchange exchanger
	slots    [lanes]chan struct{}

	mu      sync.Mutex
	known   map[question]known
	fared   map[question]past
	running map[question]*asking
	heard   map[string]time.Time // when servers answered last
	rests   map[string]time.Time // servers that did not answer, and until when they come last
	turn    int                  // whose turn it is, where servers take turns
	users   int                  // of the hub
}

// exchanger is what exchange is.
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
	r.fare(q, laneAnswered, k.until)
}

// laneOf is called with mu held.
func (r *resolver) laneOf(q question) lane {
	if p, ok := r.fared[q]; ok {
		return p.lane
	}
	return laneUnsure
}

// fare is called with mu held. until is when q is likely asked again.
func (r *resolver) fare(q question, l lane, until time.Time) {
	now := time.Now()
	maps.DeleteFunc(r.fared, func(_ question, old past) bool { return !now.Before(old.until) })
	r.fared[q] = past{l, until.Add(memory)}
}

// query asks one server after the other, as often as the settings say. What nobody answered
// before is asked once: it is looked for again anyway.
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

// inTurn asks all servers when it is the turn of q. silent tells that one of them did not
// answer; the others would say the same again.
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

// round asks one server after the other, until one can tell.
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

// errSilent is a server that did not answer in time.
var errSilent = errors.New("no answer in time")

// once asks one server. One that answered another question meanwhile is not at fault.
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
