package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The limits of a session.
const (
	answerTime  = 5 * time.Second // for a member to answer one request, or to begin a watch
	callsAtOnce = 32
)

// session is the use of one server until something fails: one connection, with reads and one stream of all watches. It
// is used by several goroutines.
type session struct {
	via    *transport.Transport
	server server
	token  string
	ctx    context.Context //nolint:containedctx // that of all its calls
	cancel context.CancelFunc
	calls  chan struct{} // holds a token for each call under way, and for each that is not allowed yet
	done   chan struct{} // closed when it has failed
	ended  sync.WaitGroup

	mu      sync.Mutex
	err     error // why it has failed
	good    bool  // the server has answered something
	out     *outbox
	last    int64 // the id of the newest watch
	watches map[int64]*watch
}

// newSession makes a session. It sends nothing yet, except to get a token if there is a user.
func newSession(ctx context.Context, via *transport.Transport, at server, user, password string) (*session, error) {
	s := &session{via: via, server: at, calls: make(chan struct{}, callsAtOnce), done: make(chan struct{}), watches: map[int64]*watch{}}
	for range callsAtOnce - 1 { // until there is a connection; otherwise each call would make its own
		s.calls <- struct{}{}
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if user == "" {
		return s, nil
	}
	answer, err := s.call(s.ctx, methodAuthenticate, authenticateRequest(user, password))
	if err == nil {
		s.token, err = readToken(answer)
	}
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return s, nil
}

// fail ends the session; the first reason counts.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = fmt.Errorf("%s: %w", s.server, err)
	s.cancel()
	if s.out != nil {
		s.out.end()
	}
	close(s.done)
}

// close ends the session and waits for its goroutine.
func (s *session) close() {
	s.fail(context.Canceled)
	s.ended.Wait()
}

func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// answered records that the server works.
func (s *session) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good {
		return
	}
	s.good = true
	for range callsAtOnce - 1 {
		<-s.calls
	}
}

func (s *session) wasGood() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good
}

func (s *session) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer within %v", answerTime))
	defer cancel()
	answer, err := unary(ctx, s.via, s.server.Address, method, s.token, message)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return answer, err
}

// read reads all keys of a prefix. A failure that does not concern only this prefix ends the session.
func (s *session) read(ctx context.Context, prefix string) (rangeResponse, error) {
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	case <-s.done:
		return rangeResponse{}, s.failure()
	case <-ctx.Done():
		return rangeResponse{}, ctx.Err() //nolint:wrapcheck // nobody reads it
	}
	own, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	answer, err := s.call(own, methodRange, rangeRequest(prefix))
	var found rangeResponse
	if err == nil {
		found, err = readRange(answer)
	}
	switch {
	case err == nil:
		s.answered()
		return found, nil
	case ctx.Err() != nil:
		return found, ctx.Err() //nolint:wrapcheck // nobody reads it
	case isDenied(err):
		return found, fmt.Errorf("%s: %w", s.server, err)
	}
	s.fail(err)
	return found, s.failure()
}

// isDenied tells whether the user lacks a permission, which another user might have.
func isDenied(err error) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && status.code == codePermissionDenied
}

// watch is one watch of a session. It is for one goroutine.
type watch struct {
	session *session
	id      int64
	ready   chan struct{} // has a value when there are responses

	mu   sync.Mutex
	list []watchResponse
}

// watch begins to watch a prefix from a revision on.
func (s *session) watch(prefix string, from int64) *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	w := &watch{session: s, id: s.last, ready: make(chan struct{}, 1)}
	if s.err != nil { // its reader sees that the session is done
		return w
	}
	s.watches[w.id] = w
	if s.out == nil {
		s.out = newOutbox()
		s.ended.Go(s.stream)
	}
	s.out.send(watchRequest(w.id, prefix, from))
	return w
}

// end ends the watch.
func (w *watch) end() {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[w.id] == nil || s.err != nil {
		return
	}
	delete(s.watches, w.id)
	s.out.send(cancelRequest(w.id))
}

// take returns the responses that have arrived.
func (w *watch) take() []watchResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	w.list = nil
	return list
}

func (w *watch) add(r watchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, r)
	select {
	case w.ready <- struct{}{}:
	default: // the last signal is still pending
	}
}

// stream runs the stream of watches. The head of its response arrives with the first message of a watch.
func (s *session) stream() {
	select {
	case s.calls <- struct{}{}:
	case <-s.done:
		return
	}
	res, err := start(s.ctx, s.via, s.server.Address, methodWatch, s.token, s.out)
	<-s.calls
	if err != nil {
		s.fail(err)
		return
	}
	defer func() { _ = res.Body.Close() }() // it has failed anyway
	for {
		message, err := readFrame(res.Body)
		var r watchResponse
		if err == nil {
			r, err = readWatch(message)
		}
		if err != nil {
			if status := statusOf(exchange.ResponseTrailer(res)); status != nil {
				err = status
			} else if errors.Is(err, io.EOF) {
				err = errors.New("it has ended the watches")
			}
			s.fail(err)
			return
		}
		s.answered()
		s.tell(r)
	}
}

// tell passes a response on to its watch, which may have ended.
func (s *session) tell(r watchResponse) {
	s.mu.Lock()
	w := s.watches[r.id]
	if r.canceled {
		delete(s.watches, r.id)
	}
	s.mu.Unlock()
	switch {
	case w != nil:
		w.add(r)
	case r.canceled && r.id < 0: // for a watch that it does not name
		s.fail(fmt.Errorf("it has refused a watch: %s", discovery.Line(r.reason)))
	}
}

// outbox is a request body to which messages are added over time.
type outbox struct {
	mu    sync.Mutex
	more  sync.Cond
	data  []byte
	ended bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.more.L = &o.mu
	return o
}

func (o *outbox) send(message []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, frame(message)...)
	o.more.Signal()
}

func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.more.Broadcast()
}

// Read implements io.Reader and waits for a message.
func (o *outbox) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.data) == 0 && !o.ended {
		o.more.Wait()
	}
	if len(o.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.data)
	o.data = o.data[n:]
	return n, nil
}

// Close implements io.Closer; the transport calls it when it no longer needs the body.
func (o *outbox) Close() error {
	o.end()
	return nil
}
