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

// Held is what a Kept gives out.
type Held[T any] struct {
	Value T
	// Expires is when it ends; zero: it does not.
	Expires time.Time

	round uint64
}

// Fetch gets a value from outside. Expires is zero where it does not end by itself.
type Fetch[T any] func(ctx context.Context) (value T, expires time.Time, err error)

// KeptOptions make a Kept. Zero fields mean the defaults.
type KeptOptions struct {
	Name string // for the log: "credentials of aws"
	Log  *slog.Logger
	// Ahead is how long before its end a value is replaced at the latest; it is at some
	// moment between once and twice that, which chance chooses.
	Ahead time.Duration
	// Look is how often a value is fetched anew that does not end by itself.
	Look time.Duration
	// Begin is the time in which chance puts the first fetch, where nobody asks before.
	Begin time.Duration
	// Timeout bounds one fetch.
	Timeout time.Duration
	// Calm is how often a value is fetched anew at most because it was refused.
	Calm time.Duration
}

// The defaults, and the pauses after a fetch that has failed.
const (
	defaultAhead   = 5 * time.Minute
	defaultLook    = 5 * time.Minute
	defaultBegin   = 2 * time.Second
	defaultTimeout = 10 * time.Second
	defaultCalm    = 5 * time.Second
	firstPause     = time.Second
	longestPause   = 30 * time.Second
	// askedPause is the longest pause while requests ask, which are refused meanwhile.
	askedPause = 5 * time.Second
	// margin is how much of a value's life must be left: it is used elsewhere, a
	// moment later, by another clock.
	margin = 10 * time.Second
	// mostLife is after how long a value is replaced at the latest, whatever it says itself.
	mostLife = 24 * time.Hour
)

// Kept keeps one value that somebody outside gives for a time: a credential, a token.
// It is fetched once for all who ask, before it ends, by one goroutine; while nobody
// gives another one, that of before is given out as long as it counts. Chance
// spreads the moments, so that many gateways that have started together do not ask
// together. It is safe for concurrent use; Close ends it.
type Kept[T any] struct {
	o     KeptOptions
	fetch Fetch[T]
	wake  chan struct{} // holds a token when the next fetch must not wait
	end   context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	held    Held[T]
	have    bool
	problem error         // of the last fetch
	asked   bool          // somebody wants a value that is not there, or another one
	refused uint64        // the round whose value was not accepted
	tried   time.Time     // when the last fetch ended
	rests   time.Time     // until then no request has the next one made, after one that has failed
	done    chan struct{} // is closed when the next fetch has ended
}

// ErrClosed says that a Kept was closed.
var ErrClosed = errors.New("it is not kept any more")

// Keep begins to keep what fetch gives.
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

// Get gives the value. Where there is none, it waits for the fetch that is under way,
// or gives the error of the last one, after which the next is not made at once.
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

// hurry has the next fetch made now.
func (k *Kept[T]) hurry() {
	select {
	case k.wake <- struct{}{}:
	default: // it is being told already
	}
}

// Refused tells that h was not accepted where it was used, so that another one is fetched
// now, once for all who tell it, and waits for that. It tells whether there is another one, with
// which it may be tried again. Everybody else goes on with h until then, and
// also afterwards where none can be had: h may count all the same.
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

// Problem is why the last fetch failed, nil where it did not, or none was made.
func (k *Kept[T]) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// Close ends the goroutine. Who waits gets ErrClosed.
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

// wanted tells whether somebody still waits for a value: who has told so may have been
// served by the fetch that was under way then.
func (k *Kept[T]) wanted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked && (!k.have || !k.counts(k.held) || k.refused == k.held.round)
}

// once fetches, and gives how long to wait until the next time.
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

// pause is how long to wait after a fetch that has failed with err, the more the more have.
func pause(err error, failures *int) time.Duration {
	if err == nil {
		return 0
	}
	*failures++
	most := backoff.Doubling{First: firstPause, Most: longestPause}.After(*failures)
	return most/2 + chance(most)
}

// untilNext is when a value that ends at expires is replaced.
func (k *Kept[T]) untilNext(expires time.Time) time.Duration {
	if expires.IsZero() {
		return k.o.Look/2 + chance(k.o.Look)
	}
	left := min(time.Until(expires), mostLife) - margin
	ahead := min(k.o.Ahead, left/4)
	return max(left-ahead-chance(ahead), firstPause)
}

// chance is some time up to most.
func chance(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most) //nolint:gosec // it spreads, and decides nothing
}
