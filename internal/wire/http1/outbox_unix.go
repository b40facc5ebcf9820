//go:build unix

package http1

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// An outbox collects what a cohort has ready to be sent: requests to backends, and responses. The goroutine that adds
// the first letter to an empty outbox waits until all goroutines that are ready have had their turn, and then sends all
// letters. The other goroutines need not run for that: each of them already waits for what comes next on its socket. So
// a request has its goroutine switched to twice, when its backend has answered and when the next request is there. And
// the code that sends is fetched once for all letters.
type outbox struct {
	newest atomic.Pointer[letter] // of the letters that were not sent yet; nil: there are none
}

// outboxes has an outbox for each processor, so that processors do not compete for one. The pool may lose an outbox:
// the goroutine that sends its letters has it too.
var outboxes = sync.Pool{New: func() any { return new(outbox) }}

// letter is something that is to be sent on a socket. A goroutine owns it, except from when it posts the letter until
// it has awaited the result. Meanwhile it must hold the socket (RawConn.Control): if the socket were closed, its number
// could belong to another connection, which would then get the letter.
type letter struct {
	fd     int
	out    []byte
	always bool   // it is sent even if something has arrived on the socket
	recall func() // ends the goroutine's wait

	next  *letter    // in the outbox: the one that was added before
	under sync.Mutex // locked while it is under way; guards the result, which follows
	wrote int        // how much of out went at once
	noisy bool       // something had arrived on the socket before the letter was to be sent
	back  bool       // the goroutine was recalled: the letter is noisy, or some of it is left
}

// post has l sent soon. The caller may be the one that sends it, together with the letters of others.
func (l *letter) post() {
	l.under.Lock()
	o, _ := outboxes.Get().(*outbox)
	first := o.add(l)
	outboxes.Put(o)
	if first {
		runtime.Gosched()
		o.send()
	}
}

// add reports whether l is the first letter. The caller must then call send.
func (o *outbox) add(l *letter) (first bool) {
	for {
		before := o.newest.Load()
		l.next = before
		if o.newest.CompareAndSwap(before, l) { // from now on l is not the caller's
			return before == nil
		}
	}
}

// send sends all letters in the order in which they were added.
func (o *outbox) send() {
	var oldest *letter
	for l := o.newest.Swap(nil); l != nil; {
		before := l.next
		l.next, oldest = oldest, l
		l = before
	}
	for oldest != nil {
		oldest = sendSome(oldest)
	}
}

// together is how many sockets are asked in one call whether something has arrived. The more there are, the longer ago
// the answer is when the last of their letters is sent.
const together = 8

// sendSome sends the first letters of a list, and returns the rest of the list.
func sendSome(list *letter) *letter {
	var asked [together]unix.PollFd
	n := 0
	for l := list; l != nil && n < len(asked); l = l.next {
		asked[n] = unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN}
		n++
	}
	told := pollNow(asked[:n])
	for i := range n {
		l := list
		list, l.next = l.next, nil // its owner may use it again at once
		l.send(!told || asked[i].Revents != 0)
	}
	return list
}

func (l *letter) send(noisy bool) {
	l.noisy, l.wrote = noisy, 0
	if !noisy || l.always {
		l.wrote, _ = ignoringSignals(writeNow, l.fd, l.out) // whoever sends the rest gets the error
	}
	if l.back = noisy || l.wrote < len(l.out); l.back {
		l.recall()
	}
	l.under.Unlock()
}

// await returns when the result of l is there.
func (l *letter) await() {
	l.under.Lock()
	l.under.Unlock() //nolint:gocritic,staticcheck // it is the caller's from here on
}

// pollNow asks sockets whether something has arrived, and reports whether the system has answered.
func pollNow(asked []unix.PollFd) bool {
	for {
		if errno := pollOnce(asked); errno != syscall.EINTR {
			return errno == 0
		}
	}
}
