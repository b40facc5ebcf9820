//go:build unix

package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
)

// mailbox is the other end of a socket to which letters are sent.
type mailbox struct {
	letter

	far      int
	recalled bool
}

// newMailbox makes a letter with a socket of its own, both ends of which do not block.
func newMailbox(t *testing.T, out string) *mailbox {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := &mailbox{far: ends[1]}
	m.fd, m.out, m.recall = ends[0], []byte(out), func() { m.recalled = true }
	for _, fd := range ends {
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	return m
}

// got returns what has arrived.
func (m *mailbox) got() string {
	p := make([]byte, 1<<20)
	n, _ := unix.Read(m.far, p)
	return string(p[:max(0, n)])
}

func TestAnOutboxSendsAllLettersAndNoneTwice(t *testing.T) {
	var o outbox
	for range 2 {
		var all []*mailbox
		for n := range 2*together + 3 {
			m := newMailbox(t, fmt.Sprint(n))
			m.under.Lock() // as post does
			if first := o.add(&m.letter); first != (n == 0) {
				t.Fatalf("letter %d is the first: %t", n, first)
			}
			all = append(all, m)
		}
		o.send()
		o.send() // of which there is nothing
		for n, m := range all {
			m.await()
			if got := m.got(); got != string(m.out) || m.wrote != len(m.out) || m.noisy || m.back || m.recalled || m.next != nil {
				t.Errorf("letter %d: %q came, %+v", n, got, m)
			}
		}
	}
}

func TestALetterThatNeedsItsSenderRecallsIt(t *testing.T) {
	large := strings.Repeat("x", 8<<20)
	for name, c := range map[string]struct {
		out    string
		always bool
		before func(m *mailbox) error

		sent, noisy, back bool
	}{
		"nothing has come":   {out: "hi", sent: true},
		"something has come": {out: "hi", before: say, noisy: true, back: true},
		"something has come to one that is sent in any case":         {out: "hi", always: true, before: say, sent: true, noisy: true, back: true},
		"the other end says no more":                                 {out: "hi", before: shut, noisy: true, back: true},
		"the other end says no more to one that is sent in any case": {out: "hi", always: true, before: shut, sent: true, noisy: true, back: true},
		"it is larger than what goes":                                {out: large, back: true},
		"its socket is none":                                         {out: "hi", before: func(m *mailbox) error { m.fd = 1 << 20; return nil }, noisy: true, back: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMailbox(t, c.out)
			m.always = c.always
			if c.before != nil {
				if err := c.before(m); err != nil {
					t.Fatal(err)
				}
			}
			m.post()
			m.await()
			if m.noisy != c.noisy || m.back != c.back || m.recalled != c.back || (m.wrote == len(c.out)) != c.sent {
				t.Errorf("%d bytes were sent, noisy: %t, back: %t, recalled: %t", m.wrote, m.noisy, m.back, m.recalled)
			}
			if got := m.got(); !strings.HasPrefix(c.out, got) || c.sent && got != c.out || len(got) > m.wrote {
				t.Errorf("%d bytes came", len(got))
			}
		})
	}
}

func say(m *mailbox) error  { _, err := unix.Write(m.far, []byte("!")); return err }
func shut(m *mailbox) error { return unix.Shutdown(m.far, unix.SHUT_WR) }

// tcp returns both ends of a connection over the loopback interface.
func tcp(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near, _ = dialled.(*net.TCPConn)
	far, _ = accepted.(*net.TCPConn)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	if err := far.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// What is posted over fares as what is sent directly.
func TestWhatIsHandedOverIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		before func(near, far *net.TCPConn) error // nil: nothing
		then   func(near, far *net.TCPConn) error

		quiet bool
		came  string
		err   error // nil: none
	}{
		"an answer":                  {then: answers, quiet: true, came: "yes"},
		"no answer but an end":       {then: func(_, far *net.TCPConn) error { return far.CloseWrite() }, quiet: true, err: io.EOF},
		"a word before the question": {before: func(_, far *net.TCPConn) error { _, err := far.Write([]byte("no")); return err }},
		"an end before the question": {before: func(_, far *net.TCPConn) error { return far.CloseWrite() }},
		"it is closed meanwhile":     {then: func(near, _ *net.TCPConn) error { return near.Close() }, quiet: true, err: net.ErrClosed},
		"it was closed":              {before: func(near, _ *net.TCPConn) error { return near.Close() }, quiet: true, err: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tcp(t)
			conversation := newTalk(near)
			if c.before != nil {
				if err := c.before(near, far); err != nil {
					t.Fatal(err)
				}
				if c.err == nil {
					awaitNoise(t, near)
				}
			}
			failed := make(chan error, 1)
			go func() {
				if c.then == nil {
					failed <- nil
					return
				}
				_, err := io.ReadFull(far, make([]byte, len("question")))
				failed <- errors.Join(err, c.then(near, far))
			}()
			in := make([]byte, 9)
			quiet, wrote, came, err := conversation.post([]byte("question"), in, false)
			if quiet != c.quiet || string(in[:came]) != c.came || !errors.Is(err, c.err) {
				t.Errorf("quiet: %t, %q came, %v", quiet, in[:came], err)
			}
			if sent := wrote > 0; sent != (c.then != nil) {
				t.Errorf("%d bytes were sent", wrote)
			}
			if conversation.wasRecalled() == quiet {
				t.Errorf("it was recalled: %t", !quiet)
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func answers(_, far *net.TCPConn) error {
	_, err := far.Write([]byte("yes"))
	return err
}

// awaitNoise waits until something has arrived.
func awaitNoise(t *testing.T, c net.Conn) {
	t.Helper()
	peek := NewPeek(c)
	await.That(t, "something arrives", func() bool { return !peek.IsQuiet() })
}

// inCohort has all requests of a test wait for each other.
func inCohort(t *testing.T) {
	t.Helper()
	due := cohorts.due.Swap(math.MaxInt64) // nobody looks meanwhile
	cohorts.forms.Store(true)
	t.Cleanup(func() {
		cohorts.forms.Store(false)
		cohorts.due.Store(due)
	})
}

// serving serves a connection until the test ends, without a sweep that would end its waits.
func serving(t *testing.T, h http.HandlerFunc) (s *Server, c *Conn, client *net.TCPConn) {
	t.Helper()
	s, near, client := serverOf(t, h)
	s.armed = 1 // as if the sweep ran soon
	c = s.Serve(near, time.Time{})
	return s, c, client
}

// serverOf makes a server, and both ends of a connection.
func serverOf(t *testing.T, h http.HandlerFunc) (s *Server, near, client *net.TCPConn) {
	t.Helper()
	inCohort(t)
	s = NewServer(ServerOptions{
		Options: Options{Limits: wideLimits, HeadTime: time.Minute}, KeepAlive: time.Minute,
		Log: slog.New(slog.DiscardHandler), Handler: h, Lines: true,
	})
	near, client = tcp(t)
	t.Cleanup(s.Close)
	return s, near, client
}

const getA = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// ask sends a request and returns the content of its answer.
func ask(t *testing.T, to io.Writer, answers *bufio.Reader) string {
	t.Helper()
	if _, err := io.WriteString(to, getA); err != nil {
		t.Fatal(err)
	}
	return answered(t, answers)
}

func answered(t *testing.T, answers *bufio.Reader) string {
	t.Helper()
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitPhase waits until a connection waits for that.
func awaitPhase(t *testing.T, c *Conn, wanted waits) {
	t.Helper()
	await.That(t, fmt.Sprint("phase ", wanted), func() bool { phase, _ := c.awaits(); return phase == wanted })
}

func TestAResponseIsHandedOverAndTheNextRequestAnswered(t *testing.T) {
	n := 0
	_, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		_, _ = fmt.Fprint(w, n)
	})
	answers := bufio.NewReader(client)
	for want := range 5 {
		if got := ask(t, client, answers); got != fmt.Sprint(want+1) {
			t.Fatalf("%q is answered", got)
		}
		awaitPhase(t, c, posted)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection does not end with its client: %v", err)
	}
}

// A client may send its next request, or say that it sends no more, before it has its answer. The system reports that
// only once, at a time when nobody waits for it.
func TestWhatComesBeforeTheResponseIsNotForgotten(t *testing.T) {
	for name, early := range map[string]string{"a request": getA, "a part of one": getA[:5], "an end": ""} {
		t.Run(name, func(t *testing.T) {
			begun, goOn := make(chan struct{}), make(chan struct{})
			n := 0
			_, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) {
				if n++; n == 1 {
					close(begun)
					<-goOn
				}
				_, _ = fmt.Fprint(w, n)
			})
			for _, piece := range []string{getA, early} {
				if _, err := io.WriteString(client, piece); err != nil {
					t.Fatal(err)
				}
				await.From(t, "the first request", begun)
			}
			if early == "" {
				if err := client.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			awaitNoise(t, c.NetConn())
			close(goOn)
			answers := bufio.NewReader(client)
			if got := answered(t, answers); got != "1" {
				t.Fatalf("%q is answered", got)
			}
			if early == "" {
				if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("the connection does not end with its client: %v", err)
				}
				return
			}
			if _, err := io.WriteString(client, getA[len(early):]); err != nil {
				t.Fatal(err)
			}
			if got := answered(t, answers); got != "2" {
				t.Errorf("%q is answered", got)
			}
		})
	}
}

// A client that asks and asks and reads nothing gets everything in the end.
func TestResponsesThatDoNotGoAtOnceArriveWhole(t *testing.T) {
	const requests = 300
	text := bytes.Repeat([]byte("x"), 5<<10)
	handled := make(chan struct{}, requests)
	_, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text)
		handled <- struct{}{}
	})
	near, _ := c.NetConn().(*net.TCPConn)
	if err := errors.Join(near.SetWriteBuffer(32<<10), client.SetReadBuffer(32<<10)); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		for range requests {
			if _, err := io.WriteString(client, getA); err != nil {
				asked <- err
				return
			}
			<-handled // so that no request is read together with the one before
		}
		asked <- nil
	}()
	await.That(t, "the client's room is full", func() bool { phase, _ := c.awaits(); return phase == nothing && len(handled) == 0 })
	answers := bufio.NewReader(client)
	for n := range requests {
		if got := answered(t, answers); got != string(text) {
			t.Fatalf("response %d has %d bytes", n, len(got))
		}
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatRetiresEndsTheWaitForTheNextRequest(t *testing.T) {
	s, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") })
	answers := bufio.NewReader(client)
	if got := ask(t, client, answers); got != "yes" {
		t.Fatalf("%q is answered", got)
	}
	awaitPhase(t, c, posted)
	s.Retire()
	if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection does not end: %v", err)
	}
}

// Where a server retires while a response is about to be posted over, the response arrives and the connection ends.
func TestAResponseIsNotLostWhereTheServerRetires(t *testing.T) {
	s, _, _ := serving(t, func(http.ResponseWriter, *http.Request) {})
	near, client := tcp(t)
	conn, turn := &Conn{server: s, net: near, bare: bareOf(near)}, newTurn()
	turn.unsent = []byte("the end")
	s.Retire() // which sees nothing of conn
	if after := conn.sendThenReceive(turn); after != ends {
		t.Errorf("after that it does %d", after)
	}
	p := make([]byte, 99)
	n, err := io.ReadAtLeast(client, p, len("the end"))
	if string(p[:n]) != "the end" {
		t.Errorf("%q came, %v", p[:n], err)
	}
}

func TestAConnectionThatIsAskedNoMoreRests(t *testing.T) {
	s, near, client := serverOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") })
	c := s.Serve(near, time.Time{})
	answers := bufio.NewReader(client)
	for range 2 {
		if got := ask(t, client, answers); got != "yes" {
			t.Fatalf("%q is answered", got)
		}
		await.That(t, "it rests", func() bool { phase, _ := c.awaits(); return phase == resting || phase == parked })
	}
}

func TestAServerThatClosesEndsTheWaitForTheNextRequest(t *testing.T) {
	s, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") })
	answers := bufio.NewReader(client)
	if got := ask(t, client, answers); got != "yes" {
		t.Fatalf("%q is answered", got)
	}
	awaitPhase(t, c, posted)
	s.Close()
	if _, err := answers.ReadByte(); err == nil {
		t.Error("something comes")
	}
}

// The deadlines of a handler hold until its response was sent, so it is sent while they do.
func TestAResponseWithADeadlineIsNotHandedOver(t *testing.T) {
	_, c, client := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "yes")
	})
	if got := ask(t, client, bufio.NewReader(client)); got != "yes" {
		t.Fatalf("%q is answered", got)
	}
	awaitPhase(t, c, idle)
}

// heldUp returns the only outbox that is used until the test ends. It has a letter of somebody who does not send it
// yet.
func heldUp(t *testing.T) *outbox {
	t.Helper()
	o, m, made := new(outbox), newMailbox(t, "first"), outboxes.New
	processors, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1) // the pool of one processor can be emptied
	outboxes.New = func() any { return o }
	for outboxes.Get() != o {
	}
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(processors)
		outboxes.New = made
	})
	m.under.Lock()
	o.add(&m.letter)
	return o
}

// A connection may be closed while a letter of it is under way, and its number given to another connection.
func TestALetterOfAConnectionThatIsClosedGoesToNobodyElse(t *testing.T) {
	near, far := tcp(t)
	o := heldUp(t)
	conversation, in := newTalk(near), make([]byte, 9)
	ended := make(chan error, 1)
	go func() {
		_, _, _, err := conversation.post([]byte("secret"), in, false)
		ended <- err
	}()
	await.That(t, "the letter is in the outbox", func() bool { l := o.newest.Load(); return l == &conversation.letter })
	closed := make(chan error, 1)
	go func() { closed <- near.Close() }()
	await.That(t, "the connection is being closed", func() bool { return near.SetDeadline(time.Time{}) != nil })
	strangers := newMailbox(t, "")
	o.send()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := strangers.got(); got != "" {
		t.Errorf("a stranger gets %q", got)
	}
	text, err := io.ReadAll(far)
	if string(text) != "secret" || err != nil {
		t.Errorf("%q arrives, %v", text, err)
	}
}

// An answer that comes before the sender has said how the letter fared waits for that.
func TestAnAnswerDoesNotOvertakeItsLetter(t *testing.T) {
	near, far := tcp(t)
	o := heldUp(t)
	conversation, in := newTalk(near), make([]byte, 9)
	type result struct {
		quiet       bool
		wrote, came int
		err         error
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		r.quiet, r.wrote, r.came, r.err = conversation.post([]byte("question"), in, false)
		ended <- r
	}()
	await.That(t, "the letter is in the outbox", func() bool { l := o.newest.Load(); return l == &conversation.letter })
	if _, err := far.Write([]byte("no")); err != nil {
		t.Fatal(err)
	}
	awaitNoise(t, near)
	awaitPoller(t)
	select {
	case r := <-ended:
		t.Fatalf("it has ended too soon: %+v", r)
	default:
	}
	o.send()
	if r := <-ended; r != (result{}) {
		t.Errorf("it ends with %+v", r)
	}
}

// awaitPoller returns once the runtime has woken everybody for whom something had arrived.
func awaitPoller(t *testing.T) {
	t.Helper()
	near, far := tcp(t)
	failed := make(chan error, 1)
	go func() { failed <- answers(nil, far) }()
	if _, err := near.Read(make([]byte, 9)); err != nil { // it waits, behind all others
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestALinkPostsItsRequestAndAwaitsTheAnswerWithoutADeadline(t *testing.T) {
	for name, length := range map[string]int{"all of it goes at once": 100, "a part of it goes at once": 4 << 20} {
		t.Run(name, func(t *testing.T) {
			inCohort(t)
			near, far := tcp(t)
			question := strings.Repeat("q", length)
			failed := make(chan error, 1)
			go func() {
				_, err := io.ReadFull(far, make([]byte, len(question)))
				if err == nil {
					err = answers(nil, far)
				}
				failed <- err
			}()
			l, in := newLink(nil, "", near), make([]byte, 9)
			quiet, wrote, came, err := l.ask([]byte(question), in)
			if !quiet || err != nil || !l.talk.posted {
				t.Fatalf("quiet: %t, posted: %t, %v", quiet, l.talk.posted, err)
			}
			if wrote < len(question) {
				if _, err := near.Write([]byte(question[wrote:])); err != nil {
					t.Fatal(err)
				}
				if came, err = l.Read(in); err != nil {
					t.Fatal(err)
				}
			}
			if string(in[:came]) != "yes" {
				t.Errorf("%q comes", in[:came])
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// layer is a connection that sends at once what goes, and counts what the client has taken.
type layer struct {
	*net.TCPConn

	socket Socket
	taken  atomic.Int64
}

func (l *layer) Bare() Socket                   { return l.socket }
func (l *layer) Took(n int)                     { l.taken.Add(int64(n)) }
func (l *layer) WriteAtOnce(p, more []byte) int { return l.socket.WriteNow(p, more) }
func (l *layer) NetConn() net.Conn              { return l.TCPConn }

// What a client did not take at once is sent before the rest of the response, which is then not posted.
func TestWhatWasHeldBackComesBeforeTheRest(t *testing.T) {
	large := strings.Repeat("a", 100<<10)
	written := make(chan struct{})
	s, near, client := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		text, rest := "small", ""
		if r.URL.Path == "/" {
			text, rest = large, "b"
			defer func() { written <- struct{}{} }()
		}
		exchange.MapHead(w.Header()).Set("Content-Length", fmt.Sprint(len(text)+len(rest)))
		for _, piece := range []string{text, rest} {
			if _, err := io.WriteString(w, piece); err != nil {
				t.Error(err)
			}
		}
	})
	if err := errors.Join(near.SetWriteBuffer(4<<10), client.SetReadBuffer(16<<10)); err != nil {
		t.Fatal(err)
	}
	conn := &layer{TCPConn: near, socket: NewSocket(near)}
	s.Serve(conn, time.Time{})
	answers := bufio.NewReader(client)
	for range 3 {
		if _, err := io.WriteString(client, getA); err != nil {
			t.Fatal(err)
		}
		await.From(t, "the response is written", written)
		if got := answered(t, answers); got != large+"b" {
			t.Fatalf("%d bytes come", len(got))
		}
	}
	if n := conn.taken.Load(); n != 0 {
		t.Errorf("%d bytes were posted", n)
	}
	if _, err := io.WriteString(client, strings.Replace(getA, "/", "/small", 1)); err != nil {
		t.Fatal(err)
	}
	if got := answered(t, answers); got != "small" {
		t.Errorf("%q is answered", got)
	}
	_ = client.CloseWrite()
	await.That(t, "what was posted is counted", func() bool { return conn.taken.Load() > int64(len("small")) })
}

func TestATurnThatIsGivenBackHoldsNoSocket(t *testing.T) {
	s, near, _ := serverOf(t, func(http.ResponseWriter, *http.Request) {})
	turn := newTurn()
	turn.talk.socket = NewSocket(near)
	s.lendAgain(turn)
	if turn.talk.isPossible() {
		t.Error("it holds one")
	}
}
