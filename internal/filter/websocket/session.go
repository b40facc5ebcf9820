package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// session is an open connection. It implements sockets.Peer. Settings that bind its client, such as limits, are those
// of the config under which it began; functions are notified by the config that serves now.
type session struct {
	caller

	in     *io.PipeReader     // from the client
	gone   context.CancelFunc // reports that the client is no longer read
	out    *out
	pace   *pace
	active atomic.Int64 // time of the latest activity, in nanoseconds of Unix time
	idle   *time.Timer
	life   *time.Timer
	stays  func() bool // detaches the session from its server's end

	mu     sync.Mutex // for the next two:
	now    *held      // the server that notifies functions; nil after the end was notified
	parted bool       // its route is gone: now is not replaced any more

	once   sync.Once // for its end
	status int       // close status, as functions are told
	reason string
}

// closeWait is how long a client may take to answer a close frame.
const closeWait = 5 * time.Second

// held is a server with its functions, kept while it is used for a notification.
type held struct {
	*server

	users   int    // under the session's lock
	release func() // called when there are no users any more
}

// hold returns the current server; the caller must leave it when done.
func (s *session) hold() *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.users++
	return s.now
}

func (s *session) leave(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.left()
}

// left removes a user. It is called with the lock held.
func (h *held) left() {
	if h.users--; h.users == 0 {
		h.release()
	}
}

// Follow implements sockets.Peer. A message that a function is processing stays there.
func (s *session) Follow(ways sockets.Ways) {
	if !s.follow(ways) {
		s.close(websocket.StatusGoingAway, "Going away")
	}
}

// follow tells whether the session still has a route. It asks for the way with the lock held, so that if two calls
// overlap, the later one has the newer way.
func (s *session) follow(ways sockets.Ways) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || s.parted {
		return true // it is already ending
	}
	way, release := ways(exchange.Of(s.socket.Request).Route)
	to, ok := way.(*server)
	if !ok {
		s.parted = true
		return false
	}
	s.now.left()
	s.now = &held{server: to, users: 1, release: release}
	return true
}

// part releases the functions after they were notified of the end.
func (s *session) part() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.left()
	s.now = nil
}

// open begins the session, and returns the proxy's end of it.
func (c caller) open() io.ReadWriteCloser {
	fromClient, toSession := io.Pipe()
	fromSession, toClient := io.Pipe()
	client := exchange.Of(c.socket.Request).Client.Subscriber()
	s := &session{
		caller: c, in: fromClient, status: websocket.StatusAbnormal, reason: "the connection was lost",
		now:  &held{server: c.server, users: 1, release: func() {}}, // the request for the connection holds it
		pace: newPace(c.hub.Said, client, c.config.AtOnce, c.config.Timeout),
	}
	s.out = newOut(toClient, c.hub.Unsent.Part(client), int(c.config.Frame), int(c.config.Unsent), s.hangUp)
	var life context.Context
	life, s.gone = context.WithCancel(context.Background())
	s.touch()
	s.idle = time.AfterFunc(mostLife, s.whenIdle)
	s.idle.Reset(c.config.Idle)
	s.life = time.AfterFunc(c.config.Life, func() { s.close(websocket.StatusGoingAway, "Going away") })
	s.stays = func() bool { return true }
	if server := exchange.Of(c.socket.Request).Server; server != nil { // the proxy tells the client, between messages
		s.stays = context.AfterFunc(server.Ending(), func() { s.note(websocket.StatusGoingAway, "Going away") })
	}
	c.hub.Add(c.socket.ID, s)
	ended := make(chan struct{})
	go s.run(life, ended)
	return &pipe{in: toSession, out: fromSession, gone: s.gone, ended: ended}
}

// run reads from the client until the connection ends, and notifies functions of the end. life ends if the connection
// is lost.
func (s *session) run(life context.Context, ended chan struct{}) {
	defer close(ended)
	defer s.gone()
	var writing sync.WaitGroup
	writing.Go(s.out.run)
	s.ended(s.listen(life))
	s.stays()
	s.hub.Remove(s.socket.ID)
	s.idle.Stop()
	s.life.Stop()
	s.pace.end()
	_ = s.in.Close() // never fails
	late := time.AfterFunc(closeWait, s.out.cut)
	writing.Wait()
	late.Stop()
	s.tellEnd()
	s.part()
	s.server.open.n.Add(-1)
}

// listen passes messages to functions until the connection ends.
func (s *session) listen(life context.Context) error {
	r := websocket.NewReader(s.in, websocket.Limits{Frame: int64(s.config.Frame), Message: int64(s.config.Message)}, websocket.Watch{
		Control: s.control, Alive: s.touch,
		Data: func(begins bool, bytes int64) error { return s.pace.data(life, begins, bytes) },
	})
	for {
		op, payload, err := r.Message()
		if err != nil {
			return err //nolint:wrapcheck // ended looks into it
		}
		s.pace.message(func() { s.message(op == websocket.Text, payload) })
	}
}

// control answers a ping.
func (s *session) control(op websocket.Op, payload []byte) {
	if op == websocket.Ping {
		s.out.answer(payload)
	}
}

func (s *session) touch() { s.active.Store(time.Now().UnixNano()) }

// whenIdle closes a connection on which nothing has happened for too long.
func (s *session) whenIdle() {
	left := s.config.Idle - time.Since(time.Unix(0, s.active.Load()))
	if left > 0 {
		s.idle.Reset(left)
		return
	}
	s.close(websocket.StatusGoingAway, "Going away")
}

// close announces the end of the connection, and cuts it if the client does not answer.
func (s *session) close(status int, reason string) {
	s.note(status, reason)
	s.out.end(status, reason)
	time.AfterFunc(closeWait, s.hangUp)
}

// hangUp stops reading from the client.
func (s *session) hangUp() {
	_ = s.in.CloseWithError(io.ErrUnexpectedEOF) // never fails
	s.gone()
}

// note records how the connection has ended, unless that is recorded already.
func (s *session) note(status int, reason string) {
	s.once.Do(func() { s.status, s.reason = status, reason })
}

// ended records how the connection has ended, and answers a close frame. Later responses find that the client is gone.
func (s *session) ended(err error) {
	if closed, ok := errors.AsType[*websocket.ClosedError](err); ok {
		s.note(closed.Status, closed.Reason)
		s.out.end(closed.Status, "")
		return
	}
	if broken, ok := errors.AsType[*websocket.Error](err); ok {
		s.note(broken.Status, broken.Reason)
		s.out.end(broken.Status, broken.Reason)
		return
	}
	s.once.Do(func() {}) // the initial values stay: the connection was lost
	s.out.end(websocket.StatusNone, "")
}

// message notifies a function of a message.
func (s *session) message(text bool, payload []byte) {
	now := s.hold()
	defer s.leave(now)
	key := now.key(payload)
	id := sockets.NewID()
	if now.backend(key) == nil {
		s.complain("Forbidden", id)
		return
	}
	res, err := caller{now.server, s.socket}.tell(context.Background(), key, s.socket.Said(key, id, time.Now(), text, payload))
	if err == nil {
		err = s.reply(now, key, res)
	}
	switch {
	case err == nil, errors.Is(err, sockets.ErrGone): // the client left before the response
	case errors.Is(err, sockets.ErrSlow):
		s.warn("an answer to a WebSocket was dropped", key, id, err)
	default:
		s.warn(failed, key, id, err)
		s.complain("Internal server error", id)
	}
}

// reply sends a function's response to the client, if the config says so.
func (s *session) reply(by *held, key string, res *http.Response) error {
	if !by.config.replies(key) {
		_ = res.Body.Close() // it is not needed
		return nil
	}
	body, err := by.read(res)
	if err != nil || len(body) == 0 {
		return err
	}
	return s.Send(body)
}

// key returns the key of a message: $default if no backend is configured for the message's own key.
func (s *server) key(message []byte) string {
	key := s.config.Select.key(message)
	if _, said := s.backends[key]; said && key != apigw.ConnectKey && key != apigw.DisconnectKey && key != "" {
		return key
	}
	return apigw.DefaultKey
}

// complain tells the client that a message was not accepted, as API Gateway does.
func (s *session) complain(what, id string) {
	text, _ := json.Marshal(struct { // texts always encode
		Message      string `json:"message"`
		ConnectionID string `json:"connectionId"`
		RequestID    string `json:"requestId"`
	}{what, s.socket.ID, id})
	_ = s.out.message(text) // a client that does not read is not told
}

// failed is the log message for a failed function.
const failed = "a function of a WebSocket has failed"

func (s *session) warn(what, key, id string, err error) {
	s.log.LogAttrs(context.Background(), slog.LevelWarn, what, slog.String("route", exchange.Of(s.socket.Request).Route),
		slog.String("connection", s.socket.ID), slog.String("key", key), slog.String("request_id", id), slog.String("error", fault.From(err).Operator()))
}

// tellEnd notifies a function that the connection has ended.
func (s *session) tellEnd() {
	now := s.hold()
	defer s.leave(now)
	id := sockets.NewID()
	res, err := caller{now.server, s.socket}.tell(context.Background(), apigw.DisconnectKey, s.socket.Ended(id, time.Now(), s.status, s.reason))
	switch {
	case err != nil:
		s.warn(failed, apigw.DisconnectKey, id, err)
	case res != nil:
		_ = res.Body.Close() // the client is gone
	}
}

// Send queues a message for the client.
func (s *session) Send(message []byte) error {
	if int64(len(message)) > int64(s.config.Message) {
		return sockets.ErrTooLarge
	}
	s.touch()
	return s.out.message(message)
}

// End closes the connection.
func (s *session) End() { s.close(websocket.StatusNormal, "Connection Closed Normally") }

// Facts returns information about the connection.
func (s *session) Facts() sockets.Facts {
	x := exchange.Of(s.socket.Request)
	f := sockets.Facts{Connected: s.socket.Connected, Active: time.Unix(0, s.active.Load()), UserAgent: exchange.RequestHead(s.socket.Request).Get("User-Agent")}
	if x.Client.IP.IsValid() {
		f.SourceIP = x.Client.IP.String()
	}
	return f
}
