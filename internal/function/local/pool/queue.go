package pool

import (
	"container/heap"
	"math"
	"time"
)

// queue is the requests that wait for an instance. Whose time is over first is
// served first; of those with the same time, who came first.
type queue[I Instance] struct {
	waiters waiters[I]
	came    uint64    // how many ever did
	latest  time.Time // the deadline after which nobody's is; of an empty queue it means nothing
}

// waiter is one of them. got receives exactly one result once the waiter was
// taken out of the queue by somebody else than itself.
type waiter[I Instance] struct {
	deadline time.Time
	turn     uint64
	place    int // in the heap; gone when it waits no more
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

// remove takes w out and tells whether it was still there.
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

// before tells how many are sure to be served before one with that deadline.
func (q *queue[I]) before(deadline time.Time) int {
	if q.len() == 0 || deadline.Before(q.latest) {
		return 0 // some may be; a heap does not know how many
	}
	return q.len()
}

// waiters is a heap.
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

// Push is container/heap's.
func (w *waiters[I]) Push(one any) {
	added := one.(*waiter[I]) //nolint:forcetypeassert // push stores nothing else
	added.place = len(*w)
	*w = append(*w, added)
}

// Pop is container/heap's.
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
	known int // requests that it was learnt from, up to enough
}

const (
	// enough requests make an average.
	enough = 16
	// newest is the part that the latest request has in it.
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

// wait is how long one waits at the least who has so many before him, for places
// that become free at this pace. It is all but sure: the sum of k durations that are
// spread as widely as they mostly are (exponentially) is shorter in one case of forty.
func (p *pace) wait(before, places int) time.Duration {
	if p.known < enough {
		return 0
	}
	k := float64(before + 1)
	const deviations = 2
	return time.Duration(float64(p.mean) * max(0, k-deviations*math.Sqrt(k)) / float64(places))
}
