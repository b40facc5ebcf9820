package cloud

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// Held is a value that a Kept returns.
type Held[T any] struct {
	Value T
	// Expires is when the value expires; zero: never.
	Expires time.Time

	round uint64
}

// Fetch fetches a value from outside. expires is zero if the value does not expire by itself.
type Fetch[T any] func(ctx context.Context) (value T, expires time.Time, err error)

// KeptOptions configure a Kept. Zero fields mean the defaults.
type KeptOptions struct {
	Name string // for the log: "credentials of aws"
	Log  *slog.Logger
	// Ahead is how long before its expiry a value is replaced at the latest. The moment is random, between once and
	// twice Ahead before the expiry.
	Ahead time.Duration
	// Look is how often a value that does not expire by itself is fetched again.
	Look time.Duration
	// Begin is the period in which the first fetch happens at a random moment, unless a request asks for the value
	// earlier.
	Begin time.Duration
	// Timeout bounds one fetch.
	Timeout time.Duration
	// Calm is how long after a fetch a refused value does not cause another fetch.
	Calm time.Duration
}

// The defaults, and the pauses after a failed fetch.
const (
	defaultAhead   = 5 * time.Minute
	defaultLook    = 5 * time.Minute
	defaultBegin   = 2 * time.Second
	defaultTimeout = 10 * time.Second
	defaultCalm    = 5 * time.Second
	firstPause     = time.Second
	longestPause   = 30 * time.Second
	// askedPause is the longest pause after a failed fetch while requests ask for the value. Those that find no valid
	// value get the fetch's error meanwhile.
	askedPause = 5 * time.Second
	// margin is how much of a value's lifetime must be left when it is returned, because it is used elsewhere, a moment
	// later and by another clock.
	margin = 10 * time.Second
	// mostLife is after how long a value is replaced at the latest, whatever expiry it has.
	mostLife = 24 * time.Hour
)

// Kept keeps one value that is issued outside for a limited time: a credential or a token. One goroutine fetches it for
// all callers before it expires. While no new value can be fetched, the previous one is returned for as long as it is
// valid. The times of the fetches are random, so that many gateways that have started together do not ask together.
// Kept is safe for concurrent use; Close ends it.
type Kept[T any] struct {
	o     KeptOptions
	fetch Fetch[T]
	wake  chan struct{} // holds an element when the next fetch must not wait
	end   context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	held    Held[T]
	have    bool
	problem error         // of the last fetch
	asked   bool          // a value is wanted that is not there, or another one
	refused uint64        // the round whose value was not accepted
	tried   time.Time     // when the last fetch ended
	rests   time.Time     // after a failed fetch: until then requests do not cause the next one
	done    chan struct{} // closed when the next fetch has ended
}

// ErrClosed says that a Kept was closed.
var ErrClosed = errors.New("it is not kept any more")

// Keep starts keeping the value that fetch returns.
func Keep[T any](fetch Fetch[T], o KeptOptions) *Kept[T] {
	o.Ahead, o.Look, o.Begin = or(o.Ahead, defaultAhead), or(o.Look, defaultLook), or(o.Begin, defaultBegin)
	o.Timeout, o.Calm = or(o.Timeout, defaultTimeout), or(o.Calm, defaultCalm)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, end := context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	k := &Kept[T]{o: o, fetch: fetch, wake: make(chan struct{}, 1), end: end, ended: make(chan struct{}), done: make(chan struct{})}
	go k.run(ctx)
	return k
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// Get returns the value. If there is none, it waits for the fetch that is under way, or returns the error of the last
// one: a failed fetch is not repeated at once.
func (k *Kept[T]) Get(ctx context.Context) (Held[T], error) {
	for first := true; ; first = false {
		k.mu.Lock()
		held, done, problem := k.held, k.done, k.problem
		if k.have && k.counts(held) {
			k.mu.Unlock()
			return held, nil
		}
		if problem != nil && (!first || time.Now().Before(k.rests)) {
			k.mu.Unlock()
			return Held[T]{}, problem
		}
		k.asked = true
		k.mu.Unlock()
		k.hurry()
		select {
		case <-done:
		case <-k.ended:
			return Held[T]{}, ErrClosed
		case <-ctx.Done():
			return Held[T]{}, context.Cause(ctx)
		}
	}
}

func (k *Kept[T]) counts(h Held[T]) bool { return h.Expires.IsZero() || time.Until(h.Expires) > margin }

// hurry makes the next fetch happen now.
func (k *Kept[T]) hurry() {
	select {
	case k.wake <- struct{}{}:
	default: // it was told already
	}
}

// Refused says that h was not accepted where it was used. Another value is then fetched now, once for all callers that
// report it, and Refused waits for it. It returns whether there is another value, with which the caller may try again.
// Other callers go on with h until then, and also afterwards if no other value can be fetched: h may be valid all the
// same.
func (k *Kept[T]) Refused(ctx context.Context, h Held[T]) bool {
	k.mu.Lock()
	if h.round != k.held.round {
		k.mu.Unlock()
		return true // there is another one already
	}
	if time.Since(k.tried) < k.o.Calm {
		k.mu.Unlock()
		return false
	}
	k.asked, k.refused = true, h.round
	done := k.done
	k.mu.Unlock()
	k.hurry()
	select {
	case <-done:
	case <-k.ended:
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return h.round != k.held.round
}

// Problem returns why the last fetch failed. It is nil if that fetch succeeded or none was made.
func (k *Kept[T]) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// Close ends the goroutine. Waiting callers get ErrClosed.
func (k *Kept[T]) Close() {
	k.end()
	<-k.ended
}

func (k *Kept[T]) run(ctx context.Context) {
	defer close(k.ended)
	failures := 0
	timer := time.NewTimer(chance(k.o.Begin))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-k.wake:
			if !k.wanted() {
				continue
			}
		case <-ctx.Done():
			return
		}
		pause := k.once(ctx, &failures)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(pause)
	}
}

// wanted reports whether a request still waits for a value. The request that has woken the goroutine may already have
// been served by the fetch that was under way then.
func (k *Kept[T]) wanted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked && (!k.have || !k.counts(k.held) || k.refused == k.held.round)
}

// once fetches, and returns how long to wait before the next fetch.
func (k *Kept[T]) once(ctx context.Context, failures *int) time.Duration {
	limited, cancel := context.WithTimeout(ctx, k.o.Timeout)
	value, expires, err := k.fetch(limited)
	cancel()
	fresh := Held[T]{Value: value, Expires: expires}
	if err == nil && !k.counts(fresh) {
		err = errors.New("what was given has ended already, or does so now")
	}
	k.mu.Lock()
	if err == nil {
		fresh.round = k.held.round + 1
		k.held, k.have = fresh, true
	}
	wait := pause(err, failures)
	k.problem, k.tried, k.asked = err, time.Now(), false
	k.rests = k.tried.Add(min(wait, askedPause))
	valid := k.have && k.counts(k.held)
	close(k.done)
	k.done = make(chan struct{})
	k.mu.Unlock()
	if err == nil {
		if *failures > 0 {
			k.o.Log.Info("fetched again", "what", k.o.Name)
		}
		*failures = 0
		return k.untilNext(expires)
	}
	if ctx.Err() == nil && *failures&(*failures-1) == 0 { // 1, 2, 4, ...: an outage does not fill the log
		k.o.Log.Warn("could not be fetched", "what", k.o.Name, "error", err, "valid", valid, "failures", *failures)
	}
	return wait
}

// pause returns how long to wait after a fetch that has failed with err. It grows with the number of failures.
func pause(err error, failures *int) time.Duration {
	if err == nil {
		return 0
	}
	*failures++
	most := backoff.Doubling{First: firstPause, Most: longestPause}.After(*failures)
	return most/2 + chance(most)
}

// untilNext returns how long to wait before a value that expires at expires is replaced.
func (k *Kept[T]) untilNext(expires time.Time) time.Duration {
	if expires.IsZero() {
		return k.o.Look/2 + chance(k.o.Look)
	}
	left := min(time.Until(expires), mostLife) - margin
	ahead := min(k.o.Ahead, left/4)
	return max(left-ahead-chance(ahead), firstPause)
}

// chance returns a random duration below most.
func chance(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most) //nolint:gosec // it spreads, and decides nothing
}
