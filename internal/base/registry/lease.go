package registry

import (
	"container/heap"
	"time"
)

// leases is a heap of entries, ordered by when they are to be looked at. A heartbeat moves the end of a lease but does
// not move the entry. When the entry's alarm is due, the lease has usually been renewed, and the entry is put back
// until its new end. So a heartbeat costs nothing here, and a lease costs one move per TTL.
type leases []*entry

// none is the index of an entry that has no lease.
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

// grant begins the lease of an entry that has none, or moves the alarm of an entry that has one.
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
