package balance

import (
	"sync/atomic"
	"time"
)

// Pool is what the endpoints of one service have in common. It outlives all lists.
type Pool struct {
	start  time.Time
	round  uint64 // number of the latest list; used by New alone
	active atomic.Int64
	turn   atomic.Uint64 // of round robin
	usual  latency       // what an answer takes, over all endpoints
	line   line
}

// NewPool makes a pool whose clock begins now.
func NewPool() *Pool { return &Pool{start: time.Now()} }

// Now returns the pool's clock, in nanoseconds. It is monotonic and never 0.
func (p *Pool) Now() int64 { return int64(time.Since(p.start)) + 1 }

// InFlight returns how many requests are under way, including those at endpoints that are gone.
func (p *Pool) InFlight() int64 { return p.active.Load() }

// State is what is known of an endpoint. It fills a cache line, so that the states of two endpoints never share one.
type State struct {
	active  atomic.Int64
	latency latency
	since   atomic.Int64 // of the pool's clock: when its slow start began; 0: it has none
	doubts  atomic.Int64 // doubtful answers in a row
	round   uint64       // the latest list that held it; used by New alone
	took    atomic.Int64 // what answers take, without the penalty for failures; for display
	failed  atomic.Int64 // of the pool's clock: when it failed last; 0: never
	// unreachable is until when the endpoint is passed over because it did not take a connection, of the pool's clock;
	// 0: it takes connections, as far as is known.
	unreachable atomic.Int64
}

// InFlight returns how many requests are under way.
func (s *State) InFlight() int64 { return s.active.Load() }

// take counts a request in, unless there are `bound` already; 0: there is no bound.
func (s *State) take(bound int64) bool { return take(&s.active, bound) }

func take(active *atomic.Int64, bound int64) bool {
	if bound == 0 {
		active.Add(1)
		return true
	}
	for {
		n := active.Load()
		if n >= bound {
			return false
		}
		if active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// passedOver is how long an endpoint that did not take a connection is passed over. Then one request asks it again, and
// no other request for the same time.
const passedOver = 100 * time.Millisecond

// Unreachable notes that the endpoint did not take a connection. Until it takes one, it is asked only if no other
// endpoint is left, and by one request once in a while.
func (s *State) Unreachable(now int64) { s.unreachable.Store(now + int64(passedOver)) }

// passed reports whether an endpoint is passed over.
func (s *State) passed(now int64) bool {
	until := s.unreachable.Load()
	return until != 0 && now < until
}

// open reports whether a request may ask an endpoint: it takes connections as far as is known, or this request is the
// one that finds out.
func (s *State) open(now int64) bool {
	until := s.unreachable.Load()
	return until == 0 || now >= until && s.unreachable.CompareAndSwap(until, now+int64(passedOver))
}

// Begin counts a request in at an endpoint that was not chosen by Take.
func (p *Pool) Begin(s *State) {
	s.active.Add(1)
	p.active.Add(1)
}

// Done counts out a request that Set.Take or Begin has counted in.
func (p *Pool) Done(s *State) {
	s.active.Add(-1)
	p.active.Add(-1)
	p.line.call()
}

// take counts a request in, unless there are `bound` already; 0: there is no bound.
func (p *Pool) take(bound int64) bool { return take(&p.active, bound) }

// Outcome is what came of an attempt, as far as it says something about the endpoint.
type Outcome uint8

// The outcomes.
const (
	// Untold says nothing: the client's side failed, or the client's own pace was measured.
	Untold Outcome = iota
	// Answered is an answer with its latency.
	Answered
	// Began is the beginning of an answer, with its latency. Whether the answer is a good one is known at its end:
	// Ended, Doubtful or Failed.
	Began
	// Ended is a good end of an answer that Began.
	Ended
	// Lasted is an attempt without an answer that was given up by the client's side after some time.
	Lasted
	// Doubtful is an answer that the request itself may have caused, such as 500. Several in a row count against the
	// endpoint.
	Doubtful
	// Failed is a failure of the endpoint, or on the way to it.
	Failed
)

// doubtsToFail is how many doubtful answers in a row count as a failure.
const doubtsToFail = 3

// Observe notes the outcome of an attempt at an endpoint, and how long it took.
func (p *Pool) Observe(s *State, now int64, took time.Duration, o Outcome) {
	switch o {
	case Answered:
		p.Answered(s, now, took)
	case Began:
		p.began(s, now, took)
	case Ended:
		s.undoubted()
	default:
		p.failed(s, now, took, o)
	}
}

// Answered notes an answer, and how long it took.
func (p *Pool) Answered(s *State, now int64, took time.Duration) {
	p.began(s, now, took)
	s.undoubted()
}

func (p *Pool) began(s *State, now int64, took time.Duration) {
	t, at := counted(took), ticks(now)
	s.latency.saw(at, t, p.usual.seen())
	s.measure(took)
	p.usual.average(at, t)
	s.reached()
}

// undoubted notes that an answer was a good one.
func (s *State) undoubted() {
	if s.doubts.Load() != 0 {
		s.doubts.Store(0)
	}
}

// counted returns a duration within the limits that are counted.
func counted(took time.Duration) float32 { return float32(min(max(took, 0), longest)) }

// reached notes that the endpoint takes connections.
func (s *State) reached() {
	if s.unreachable.Load() != 0 {
		s.unreachable.Store(0)
	}
}

// failed notes an outcome that is not a good answer.
func (p *Pool) failed(s *State, now int64, took time.Duration, o Outcome) {
	if o == Doubtful && s.doubts.Add(1) >= doubtsToFail {
		o = Failed
	}
	switch o {
	case Doubtful: // a quick refusal is not a quick answer
		s.latency.lasted(now, counted(took), p.usual.seen())
		s.reached()
	case Lasted:
		s.latency.lasted(now, counted(took), p.usual.seen())
	case Failed:
		s.latency.failed(ticks(now), counted(took))
		s.failed.Store(now)
	default: // it says nothing about how long answers take
	}
}

// measure keeps the mean of the latest answers. If two answers come at once, one of them may be missed.
func (s *State) measure(took time.Duration) {
	const latest = 8
	if before := s.took.Load(); before > 0 {
		took = time.Duration(before) + (took-time.Duration(before))/latest
	}
	s.took.Store(int64(max(1, took)))
}

// penalty returns the latency that an endpoint is assigned because of its failures, or 0 if they no longer count.
func (s *State) penalty(now int64, usual float32) time.Duration {
	at := s.failed.Load()
	if at == 0 || now-at > int64(longest) {
		return 0
	}
	reckoned := s.latency.at(now, usual)
	if reckoned < grows*max(float32(s.took.Load()), usual, least) {
		return 0
	}
	return time.Duration(reckoned)
}
