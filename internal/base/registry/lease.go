package registry

import (
	"container/heap"
	"time"
)

// leases is a heap of entries by when they are to be looked at. A heartbeat moves the end of
// a lease and not the entry: when its alarm comes the lease has mostly been renewed, and it
// is put back by as much. So a heartbeat costs nothing here, and a lease one move in its time.
type leases []*entry

// none is the place of an entry that has no lease.
const none = -1

func (l leases) Len() int { return len(l) }

func (l leases) Less(i, k int) bool { return l[i].alarm < l[k].alarm }

func (l leases) Swap(i, k int) {
	l[i], l[k] = l[k], l[i]
	l[i].at, l[k].at = i, k
}

// Push implements heap.Interface.
func (l *leases) Push(x any) {
	e, _ := x.(*entry)
	e.at = len(*l)
	*l = append(*l, e)
}

// Pop implements heap.Interface.
func (l *leases) Pop() any {
	last := len(*l) - 1
	e := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	e.at = none
	return e
}

// grant begins the lease of an entry that has none, or moves the alarm of one.
func (l *leases) grant(e *entry, alarm time.Duration) {
	e.alarm = alarm
	if e.at == none {
		heap.Push(l, e)
		return
	}
	heap.Fix(l, e.at)
}

// end ends a lease.
func (l *leases) end(e *entry) {
	if e.at != none {
		heap.Remove(l, e.at)
	}
}
