package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// question is a request that clients send again and again.
type question struct {
	requests [][]byte // sent in turn
	body     []byte   // of each response
}

// tally is what clients have seen.
type tally struct {
	answers int
	lost    int             // requests whose connection ended without an answer
	wrong   string          // the first answer that was not as expected
	waits   []time.Duration // of each answer, counted from when its request was due
	took    time.Duration
}

func (t *tally) failf(format string, about ...any) {
	if t.wrong == "" {
		t.wrong = fmt.Sprintf(format, about...)
	}
}

// loader sends requests over kept connections, all on one thread, with as little work of its own as possible. It
// shares a processor with the origin, so what it uses reduces the load that the proxy can get.
type loader struct {
	question

	address unix.SockaddrInet4
	poll    int
	visits  []*visit
	free    []*visit // without a request under way
	buffer  []byte
	next    int // request
	tally
}

// visit is one connection.
type visit struct {
	fd      int
	number  int32
	asked   bool
	due     time.Time // when its request was due to be sent
	head    []byte    // of the response, as far as it has arrived
	missing int       // of the body, once the head is complete
	leaving bool      // the server will not accept another request
	whole   bool      // the head is complete
}

const largestRead = 256 << 10

func newLoader(port, connections int, q question) (*loader, error) {
	l := &loader{question: q, address: unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}, buffer: make([]byte, largestRead)}
	var err error
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for i := range connections {
		v := &visit{fd: -1, number: int32(i)}
		l.visits, l.free = append(l.visits, v), append(l.free, v)
		if err := l.connect(v); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func (l *loader) close() error {
	for _, v := range l.visits {
		_ = unix.Close(v.fd)
	}
	return unix.Close(l.poll)
}

// connect opens a connection that replaces one that has ended.
func (l *loader) connect(v *visit) error {
	if v.fd >= 0 {
		_ = unix.Close(v.fd)
	}
	*v = visit{fd: -1, number: v.number, head: v.head[:0], asked: v.asked, due: v.due}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	v.fd = fd
	return errors.Join(
		unix.Connect(fd, &l.address), unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: v.number}),
	)
}

// run sends requests for a time and returns the result. With a rate, in requests a second, each request has a time
// when it is due, whatever happened to earlier requests, and its wait counts from then. A slow proxy thus gets as
// many requests as a fast one, and the time that requests spend in a queue counts. Without a rate, every connection
// sends its next request as soon as it has an answer.
func (l *loader) run(d time.Duration, rate int) (tally, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.tally = tally{waits: make([]time.Duration, 0, 1<<16)}
	var step time.Duration
	if rate > 0 {
		step = time.Second / time.Duration(rate)
	}
	begun := time.Now()
	end, due := begun.Add(d), begun
	events := make([]unix.EpollEvent, 256)
	for {
		now := time.Now()
		for len(l.free) > 0 && due.Before(end) && !due.After(now) {
			if err := l.ask(due); err != nil {
				return l.tally, err
			}
			if due = due.Add(step); step == 0 {
				due = now
			}
		}
		if step == 0 && !now.Before(end) {
			due = end
		}
		if !due.Before(end) && len(l.free) == len(l.visits) {
			break
		}
		if now.After(end.Add(patience)) {
			return l.tally, errors.New("there are requests that nobody answers")
		}
		if err := l.await(events, l.pause(now, due, end)); err != nil {
			return l.tally, err
		}
	}
	l.took = time.Since(begun)
	return l.tally, nil
}

// pause returns how long there is nothing to send.
func (l *loader) pause(now, due, end time.Time) time.Duration {
	if len(l.free) == 0 || !due.Before(end) {
		return time.Second
	}
	return max(0, due.Sub(now))
}

// ask sends the next request over a connection that has none.
func (l *loader) ask(due time.Time) error {
	v := l.free[0] // the one that has rested longest, so that all are used alike
	l.free = l.free[1:]
	v.asked, v.due = true, due
	if v.leaving {
		if err := l.connect(v); err != nil {
			return err
		}
	}
	return l.send(v)
}

func (l *loader) send(v *visit) error {
	request := l.requests[l.next%len(l.requests)]
	l.next++
	for {
		n, err := unix.Write(v.fd, request)
		switch {
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET):
			if err := l.connect(v); err != nil { // it ended while no request was under way
				return err
			}
		case err != nil:
			return err
		case n < len(request):
			return fmt.Errorf("only %d bytes of a request of %d could be sent", n, len(request))
		default:
			return nil
		}
	}
}

// await reads what has arrived.
func (l *loader) await(events []unix.EpollEvent, pause time.Duration) error {
	n, err := unix.EpollWait(l.poll, events, 0)
	if err == nil && n == 0 && pause > 0 {
		limit := unix.NsecToTimespec(int64(pause))
		n, err = epollPwait2(l.poll, events, &limit)
	}
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range events[:n] {
		if err := l.read(l.visits[e.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// read reads what has arrived on one connection.
func (l *loader) read(v *visit) error {
	n, err := unix.Read(v.fd, l.buffer)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case n <= 0:
		return l.left(v)
	case !v.asked:
		l.failf("%q came without a request", l.buffer[:min(n, 200)])
		return l.connect(v)
	}
	l.take(v, l.buffer[:n])
	return nil
}

// left handles a connection that the server has closed.
func (l *loader) left(v *visit) error {
	if err := l.connect(v); err != nil {
		return err
	}
	if !v.asked {
		return nil
	}
	l.lost++
	v.asked = false
	l.free = append(l.free, v)
	return nil
}

// take adds a piece to a response.
func (l *loader) take(v *visit, piece []byte) {
	if !v.whole {
		was := len(v.head)
		v.head = append(v.head, piece...)
		end := bytes.Index(v.head, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		piece = piece[end+4-was:]
		l.begin(v, v.head[:end+2])
	}
	if at := len(l.body) - v.missing; len(piece) > v.missing || !bytes.Equal(piece, l.body[at:at+len(piece)]) {
		l.failf("after %d bytes of a body there are %d wrong ones", at, len(piece))
		v.missing, v.leaving = 0, true
	} else if v.missing -= len(piece); v.missing > 0 {
		return
	}
	l.answers++
	l.waits = append(l.waits, time.Since(v.due))
	v.asked, v.whole, v.head = false, false, v.head[:0]
	l.free = append(l.free, v)
}

// begin parses the head of a response, with all its lines.
func (l *loader) begin(v *visit, head []byte) {
	v.whole, v.missing = true, len(l.body)
	length := -1
	for i := 0; len(head) > 0; i++ {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		head = rest
		switch {
		case i == 0 && (len(line) < 12 || string(line[9:12]) != "200"):
			l.failf("%q is not 200", line)
		case is(line, "content-length:"):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[len("content-length:"):])))
		case is(line, "connection:") && bytes.EqualFold(bytes.TrimSpace(line[len("connection:"):]), []byte("close")):
			v.leaving = true
		}
	}
	if length != len(l.body) {
		l.failf("a response has a length of %d, not %d", length, len(l.body))
	}
}

func is(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

// epollPwait2 waits for a time that need not be in whole milliseconds.
func epollPwait2(poll int, events []unix.EpollEvent, limit *unix.Timespec) (int, error) {
	n, _, err := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(poll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), //nolint:gosec // the call's own form
		uintptr(unsafe.Pointer(limit)), 0, 0) //nolint:gosec // as above
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}
