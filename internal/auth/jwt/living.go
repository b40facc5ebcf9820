package jwt

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

// The times of a set that is fetched. They are promises: the docs name them.
const (
	soonest     = time.Minute      // between two refreshes, whatever the issuer says
	usual       = 10 * time.Minute // if it says nothing
	rarest      = time.Hour        // whatever it says: a withdrawn key is not accepted for longer than this
	firstRetry  = time.Second      // after a failure, doubled each time
	lastRetry   = time.Minute
	unknownKeys = 10 * time.Second // between two fetches because of an unknown kid
	longestWait = 2 * time.Second  // how long a request waits for such a fetch
	mostWaiting = 64               // requests that wait at the same time
	fetchTime   = 10 * time.Second // for one whole fetch
)

// fetched is a set with the maximum age that its source gives.
type fetched struct {
	set    *keySet
	maxAge time.Duration // 0: the source said nothing
}

// sourced holds the parts of a living set.
type sourced struct {
	fetch  func(ctx context.Context) (fetched, error)
	issuer string
	source string        // identifies it; there is one set for each source
	stale  time.Duration // how long the last good set is used while none can be fetched
	before *known        // what is known from before the start; nil: nothing
	keep   func(*keySet) // is called with each set that was fetched; may be nil
	meter  *telemetry.KeySet
	log    *slog.Logger
}

// living is a set of keys that one goroutine fetches again and again. All methods are safe for concurrent use.
type living struct {
	sourced

	now     atomic.Pointer[known]
	first   chan struct{} // closed after the first attempt
	wake    chan struct{} // holds one element: a request has seen an unknown kid
	waiting atomic.Int32

	mu       sync.Mutex
	fetching bool
	begun    time.Time     // when the last attempt began
	ended    chan struct{} // closed when the current attempt, or else the next one, has ended

	end  context.CancelFunc
	done chan struct{}
}

// known is what is known about the keys at one moment.
type known struct {
	set   *keySet   // nil: never fetched
	since time.Time // when it was fetched, possibly by another process
	kept  bool      // it was fetched by another process
	err   error     // of the last attempt; nil if that succeeded
}

// start makes a living set and starts its goroutine, which close ends.
func start(s sourced) *living {
	ctx, cancel := context.WithCancel(context.Background())
	l := &living{
		sourced: s, end: cancel,
		first: make(chan struct{}), wake: make(chan struct{}, 1), ended: make(chan struct{}), done: make(chan struct{}),
	}
	if s.before == nil {
		l.before = &known{}
	}
	l.now.Store(l.before)
	go l.run(ctx)
	return l
}

func (l *living) close(context.Context) {
	l.end()
	<-l.done
}

// run fetches until ctx ends.
func (l *living) run(ctx context.Context) {
	defer close(l.done)
	for failures, first := 0, true; ctx.Err() == nil; first = false {
		maxAge, err := l.attempt(ctx)
		if first {
			close(l.first)
		}
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		l.pause(ctx, pauseAfter(failures, maxAge))
	}
}

// pauseAfter returns how long to wait after a number of failures in a row, or after a successful fetch that may be kept
// for maxAge. A random part keeps many gateways from asking at the same time.
func pauseAfter(failures int, maxAge time.Duration) time.Duration {
	d := min(max(maxAge, soonest), rarest)
	switch {
	case failures > 0:
		d = backoff.Doubling{First: firstRetry, Most: lastRetry}.After(failures)
	case maxAge == 0:
		d = usual
	}
	return d - time.Duration(rand.Int64N(int64(d)/5+1)) //nolint:gosec,mnd // no secret; up to a fifth sooner
}

// pause waits for d, or until a newer set is needed and may be fetched.
func (l *living) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.wake:
	}
}

// attempt fetches once and publishes the outcome.
func (l *living) attempt(ctx context.Context) (maxAge time.Duration, err error) {
	l.begin()
	defer l.finish()
	bounded, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	got, err := l.fetch(bounded)
	before := l.now.Load()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		l.meter.Fetched(false)
		l.log.Warn("the keys of an issuer could not be fetched", "error", err, "keys_count_for", l.left(before))
		l.now.Store(&known{set: before.set, since: before.since, kept: before.kept, err: err})
		return 0, err
	case before.err != nil:
		l.log.Info("the keys of an issuer are fetched again", "keys", len(got.set.keys))
	}
	got.set.succeed(before.set)
	l.now.Store(&known{set: got.set, since: time.Now()})
	l.meter.Fetched(true)
	if l.keep != nil {
		l.keep(got.set)
	}
	return got.maxAge, nil
}

// begin notes that an attempt is under way. It drains wake, because this attempt serves whoever has asked for one.
func (l *living) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetching, l.begun = true, time.Now()
	select {
	case <-l.wake:
	default:
	}
}

func (l *living) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetching = false
	close(l.ended)
	l.ended = make(chan struct{})
}

// left returns how long a set can still be used if no other can be fetched.
func (l *living) left(k *known) time.Duration {
	if k.set == nil {
		return 0
	}
	return max(0, l.stale-time.Since(k.since)).Round(time.Second)
}

// heard reports the state of the set.
func (l *living) heard() telemetry.Heard {
	k := l.now.Load()
	h := telemetry.Heard{Kind: "keys", Of: l.issuer, Confirmed: k.since, Kept: k.kept, Err: k.err}
	if k.set != nil {
		h.Count, h.Until = len(k.set.keys), k.since.Add(l.stale)
	}
	return h
}

// current returns the set that is valid now, or the reason why there is none.
func (l *living) current(now time.Time) (*known, error) {
	k := l.now.Load()
	switch {
	case k.set == nil:
		return k, noKeysError{k.err, "they were never fetched"}
	case now.Sub(k.since) > l.stale:
		return k, noKeysError{k.err, "the last ones are of " + k.since.UTC().Format(time.RFC3339) + ", which is too old"}
	default:
		return k, nil
	}
}

// noKeysError says that there are no valid keys.
type noKeysError struct {
	cause error
	why   string
}

func (e noKeysError) Error() string {
	if e.cause == nil {
		return e.why
	}
	return e.why + ": " + e.cause.Error()
}

func (e noKeysError) Unwrap() error { return e.cause }

// renew asks for a newer set than k because of a kid that k lacks, and waits a little for the answer. sure is true if
// newer is what the issuer has just sent; otherwise a fetch is still under way or has failed. A stranger with made-up
// kids causes no more than one fetch in ten seconds.
func (l *living) renew(ctx context.Context, k *known) (newer *known, sure bool) {
	ended := l.ask()
	if ended == nil {
		newer = l.now.Load()
		return newer, newer.err == nil
	}
	if l.waiting.Add(1) <= mostWaiting {
		timer := time.NewTimer(longestWait)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	l.waiting.Add(-1)
	newer = l.now.Load()
	return newer, newer != k && newer.err == nil
}

// ask returns a channel that is closed when the current attempt, or the one that ask has requested, ends. It returns
// nil if the last attempt was too recent for another one.
func (l *living) ask() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fetching {
		if time.Since(l.begun) < unknownKeys {
			return nil
		}
		select {
		case l.wake <- struct{}{}:
		default: // another request has asked already
		}
	}
	return l.ended
}
