package queue

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"
)

// Lane defines how the jobs of a place are sent.
type Lane struct {
	// Concurrency is how many attempts may run at once, at least 1.
	Concurrency int
	Retry       Retry
	// Run makes an attempt. Its context ends when the job is cancelled or the queue cannot wait any longer. Run must
	// not retain the attempt.
	Run func(ctx context.Context, a Attempt) Outcome
	// Ended is called when a job has ended as Done, Failed or Dead. It returns the jobs that are to follow, which are
	// stored together with the end. It may be nil, and must not call the queue.
	Ended func(job Job, body, result []byte) []Draft
}

// Attempt is one try of a job. Job.Attempts is its number, counted from 1.
type Attempt struct {
	Job  Job
	Body []byte
}

// Retry says when a failed job is tried again.
type Retry struct {
	// Times is how many retries there are after the first attempt.
	Times int
	// First is the pause before the first retry. The pause doubles up to Most.
	First, Most time.Duration
}

// after returns the pause after a number of failures. It is randomly up to a half shorter, so that jobs that failed
// together do not come back together.
func (r Retry) after(failures int) time.Duration {
	d := r.First
	for range failures - 1 {
		if d >= r.Most/2 {
			d = r.Most
			break
		}
		d *= 2
	}
	return shorter(min(d, max(r.Most, r.First)))
}

func shorter(d time.Duration) time.Duration {
	if d < 2 {
		return d
	}
	return d - rand.N(d/2) //nolint:gosec // no secret
}

// The pauses of a lane whose backend has no time: the first one, which doubles up to the longest.
const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

// Tally counts events in a lane since the start.
type Tally struct {
	Put      uint64
	Attempts [5]uint64 // by Verdict
	Ended    map[State]uint64
}

// lane holds the jobs of one place. It is guarded by the queue's mu.
type lane struct {
	place   Place
	serves  *Lane // nil if nothing sends them
	waiting waiting
	running int
	paused  time.Time // no attempt starts before this time
	streak  int       // attempts in a row with the verdict NotNow
	tally   Tally
}

func (q *Queue) lane(p Place) *lane {
	l := q.lanes[p]
	if l == nil {
		l = &lane{place: p, tally: Tally{Ended: map[State]uint64{}}}
		q.lanes[p] = l
	}
	return l
}

// Serve sets the lanes of a kind, by name, and replaces all earlier ones. Running attempts continue. Jobs of a lane
// that is not served wait, and die when they are too old.
func (q *Queue) Serve(kind string, lanes map[string]Lane) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for place, l := range q.lanes {
		if _, ok := lanes[place.Lane]; place.Kind == kind && !ok {
			l.serves = nil
		}
	}
	for name, settings := range lanes {
		l := q.lane(Place{kind, name})
		own := settings
		own.Concurrency = max(1, own.Concurrency)
		l.serves = &own
	}
	q.nudge()
}

// push makes e wait until it is due.
func (l *lane) push(e *entry) { heap.Push(&l.waiting, e) }

// drop takes e out of the waiting jobs.
func (l *lane) drop(e *entry) {
	if e.at >= 0 {
		heap.Remove(&l.waiting, e.at)
	}
}

// room is how many attempts may be started. A lane whose backend had no time is tried with one.
func (l *lane) room() int {
	switch {
	case l.serves == nil:
		return 0
	case l.streak > 0:
		return 1 - l.running
	}
	return l.serves.Concurrency - l.running
}

// heard records what an attempt says about the backend.
func (l *lane) heard(o Outcome, now time.Time) {
	l.tally.Attempts[o.Verdict]++
	if o.Verdict != NotNow {
		l.streak, l.paused = 0, time.Time{}
		return
	}
	l.streak++
	if until := now.Add(l.pause(o)); until.After(l.paused) {
		l.paused = until
	}
}

// pause is how long the lane starts nothing after an attempt with the verdict NotNow. If the outcome asks for more than
// mostPause, only its own job waits that long. After mostPause the lane is tried with one of the other jobs.
func (l *lane) pause(o Outcome) time.Duration {
	if o.After > 0 {
		return min(o.After, mostPause)
	}
	d := firstPause
	for range l.streak - 1 {
		if d *= 2; d >= mostPause {
			return mostPause
		}
	}
	return d
}

// waiting is a heap of jobs, ordered by when they are due, and then by when they were put.
type waiting []*entry

func (w waiting) Len() int { return len(w) }

func (w waiting) Less(i, k int) bool {
	a, b := &w[i].job, &w[k].job
	if !a.Due.Equal(b.Due) {
		return a.Due.Before(b.Due)
	}
	return a.ID < b.ID
}

func (w waiting) Swap(i, k int) {
	w[i], w[k] = w[k], w[i]
	w[i].at, w[k].at = i, k
}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	e, _ := x.(*entry)
	e.at = len(*w)
	*w = append(*w, e)
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	e := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	e.at = -1
	return e
}
