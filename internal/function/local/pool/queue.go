package pool

import "container/list"

// queue is the requests that wait for an instance, first come, first served.
type queue[I Instance] struct{ waiters list.List }

// waiter is one of them. got receives exactly one result once the waiter was
// taken out of the queue by somebody else than itself.
type waiter[I Instance] struct {
	place *list.Element
	got   chan result[I]
}

type result[I Instance] struct {
	lease *Lease[I]
	err   error
}

func (q *queue[I]) len() int { return q.waiters.Len() }

func (q *queue[I]) push() *waiter[I] {
	w := &waiter[I]{got: make(chan result[I], 1)}
	w.place = q.waiters.PushBack(w)
	return w
}

func (q *queue[I]) pop() *waiter[I] {
	w := q.waiters.Remove(q.waiters.Front()).(*waiter[I]) //nolint:forcetypeassert // push stores nothing else
	w.place = nil
	return w
}

// remove takes w out and tells whether it was still there.
func (q *queue[I]) remove(w *waiter[I]) bool {
	if w.place == nil {
		return false
	}
	q.waiters.Remove(w.place)
	w.place = nil
	return true
}

// fail answers all waiters with err.
func (q *queue[I]) fail(err error) {
	for q.len() > 0 {
		q.pop().got <- result[I]{err: err}
	}
}
