package pool

import (
	"container/heap"
	"math"
	"time"
)

// queue holds the requests that wait for an instance. The request with the earliest deadline is served first; among
// equal deadlines, the one that came first.
type queue[I Instance] struct {
	waiters waiters[I]
	came    uint64    // how many requests ever came
	latest  time.Time // no waiter has a later deadline; meaningless if the queue is empty
}

// waiter is one waiting request. got receives exactly one result once the waiter was taken out of the queue by anything
// but itself.
type waiter[I Instance] struct {
	deadline time.Time
	turn     uint64
	place    int // in the heap; gone when it no longer waits
	got      chan result[I]
}

const gone = -1

type result[I Instance] struct {
	lease *Lease[I]
	err   error
}

func (q *queue[I]) len() int { return len(q.waiters) }

func (q *queue[I]) push(deadline time.Time) *waiter[I] {
	if q.len() == 0 || deadline.After(q.latest) {
		q.latest = deadline
	}
	q.came++
	w := &waiter[I]{deadline: deadline, turn: q.came, got: make(chan result[I], 1)}
	heap.Push(&q.waiters, w)
	return w
}

func (q *queue[I]) pop() *waiter[I] {
	return heap.Pop(&q.waiters).(*waiter[I]) //nolint:forcetypeassert // push stores nothing else
}

// remove takes w out and reports whether it was still in the queue.
func (q *queue[I]) remove(w *waiter[I]) bool {
	if w.place == gone {
		return false
	}
	heap.Remove(&q.waiters, w.place)
	return true
}

// fail answers all waiters with err.
func (q *queue[I]) fail(err error) {
	for q.len() > 0 {
		q.pop().got <- result[I]{err: err}
	}
}

// before returns how many waiters are certain to be served before one with that deadline.
func (q *queue[I]) before(deadline time.Time) int {
	if q.len() == 0 || deadline.Before(q.latest) {
		return 0 // some may be; a heap cannot tell how many
	}
	return q.len()
}

// waiters is a heap, ordered by deadline and then by turn.
type waiters[I Instance] []*waiter[I]

func (w waiters[I]) Len() int { return len(w) }

func (w waiters[I]) Less(a, b int) bool {
	if order := w[a].deadline.Compare(w[b].deadline); order != 0 {
		return order < 0
	}
	return w[a].turn < w[b].turn
}

func (w waiters[I]) Swap(a, b int) {
	w[a], w[b] = w[b], w[a]
	w[a].place, w[b].place = a, b
}

// Push implements heap.Interface.
func (w *waiters[I]) Push(one any) {
	added := one.(*waiter[I]) //nolint:forcetypeassert // push stores nothing else
	added.place = len(*w)
	*w = append(*w, added)
}

// Pop implements heap.Interface.
func (w *waiters[I]) Pop() any {
	last := len(*w) - 1
	one := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	one.place = gone
	return one
}

// pace is how long requests hold their place in an instance, on average.
type pace struct {
	mean  time.Duration
	known int // requests that the mean was computed from, up to enough
}

const (
	// enough is how many requests make an average.
	enough = 16
	// newest is the divisor for the latest request's share of the mean.
	newest = 16
)

func (p *pace) took(d time.Duration) {
	if p.known < enough {
		p.known++
		p.mean += (d - p.mean) / time.Duration(p.known)
		return
	}
	p.mean += (d - p.mean) / newest
}

// wait is the least time that a request waits behind that many others, for places that become free at this pace. It is
// almost certain: the sum of k durations that are spread as widely as is typical (exponentially) is shorter in one case
// out of forty.
func (p *pace) wait(before, places int) time.Duration {
	if p.known < enough {
		return 0
	}
	k := float64(before + 1)
	const deviations = 2
	return time.Duration(float64(p.mean) * max(0, k-deviations*math.Sqrt(k)) / float64(places))
}
